/* One small program for each of several hooks: they count how often they ran, each in a slot of its own.
 *
 *   clang -O2 -g -target bpf -c hooks.c -o hooks.o
 *
 * No header is included, so that clang needs nothing but this file. The declarations are those of linux/bpf.h.
 */

#define SEC(name) __attribute__((section(name), used))

typedef unsigned int __u32;
typedef unsigned long long __u64;

enum { BPF_MAP_TYPE_ARRAY = 2 };
enum { XDP_PASS = 2 };
enum { TCX_NEXT = -1 };

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;

enum hook { FRAME_IN, PACKET_IN, PACKET_OUT, SYSCALL, HOOKS };

struct {
	int (*type)[BPF_MAP_TYPE_ARRAY];
	int (*max_entries)[HOOKS];
	__u32 *key;
	__u64 *value;
} runs SEC(".maps");

static __attribute__((always_inline)) void count(enum hook hook)
{
	__u32 key = hook;
	__u64 *slot = bpf_map_lookup_elem(&runs, &key);

	if (slot)
		__sync_fetch_and_add(slot, 1);
}

SEC("xdp")
int frame_in(void *ctx)
{
	count(FRAME_IN);
	return XDP_PASS;
}

SEC("tcx/ingress")
int packet_in(void *ctx)
{
	count(PACKET_IN);
	return TCX_NEXT;
}

SEC("tcx/egress")
int packet_out(void *ctx)
{
	count(PACKET_OUT);
	return TCX_NEXT;
}

SEC("tracepoint/syscalls/sys_enter_getpgid")
int getpgid(void *ctx)
{
	count(SYSCALL);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
