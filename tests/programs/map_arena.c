/* Memory shared with user space, and variables in it (clang 19, libbpf 1.4, Linux 6.9). */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define BPF_MAP_TYPE_ARENA_NUMBER 33
#ifndef __ulong
#define __ulong(name, value) enum { value_of_##name = value } name
#endif
#define in_arena __attribute__((address_space(1)))

struct {
	__uint(type, BPF_MAP_TYPE_ARENA_NUMBER);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 4);
	__ulong(map_extra, 0x1ull << 44);
} arena SEC(".maps");

int in_arena counted SEC(".addr_space.1");
int in_arena started SEC(".addr_space.1") = 5;

SEC("syscall") int count(void *ctx)
{
	asm volatile("" ::"r"(&arena)); /* the verifier has to see which arena it is */
	counted += started;
	return 0;
}

char _license[] SEC("license") = "GPL";
