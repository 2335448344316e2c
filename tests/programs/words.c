/* A program and a map for selectors; NAME, TYPED and NUMBER make names and tags that nobody else has. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#ifndef NAME
#define NAME words
#define TYPED typed
#define NUMBER 1
#endif

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, int);
	__type(value, long);
	__uint(max_entries, 4);
} TYPED SEC(".maps");

SEC("xdp") int NAME(struct xdp_md *ctx)
{
	volatile int number = NUMBER;
	int key = number;

	return bpf_map_lookup_elem(&TYPED, &key) ? XDP_PASS : XDP_DROP;
}

char _license[] SEC("license") = "GPL";
