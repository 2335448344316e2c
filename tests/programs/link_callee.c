/* What link_caller.c needs; NUMBER and the license are for objects that do not go together. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#ifndef NUMBER
#define NUMBER int
#endif

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, int);
	__type(value, NUMBER);
	__uint(max_entries, 2);
} shared SEC(".maps");

__attribute__((noinline)) int weigh(int number)
{
	return number * 10;
}

SEC("xdp/callee") int callee(struct xdp_md *ctx)
{
	return weigh(1);
}

char _license[] SEC("license") = "GPL";
