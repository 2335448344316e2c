/* A program that needs another object: it calls a function and reads a map that are defined there. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

extern int weigh(int number);

extern struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, int);
	__type(value, int);
	__uint(max_entries, 2);
} shared SEC(".maps");

int tuned SEC(".data.tuned") = 3;
const volatile int fixed SEC(".rodata.fixed") = 4;
int seen;

SEC("xdp/caller") int caller(struct xdp_md *ctx)
{
	int key = 1, *found = bpf_map_lookup_elem(&shared, &key);

	seen++;
	return weigh(tuned) + fixed + (found ? *found : 0);
}

#ifndef LICENSE
#define LICENSE "GPL"
#endif
char _license[] SEC("license") = LICENSE;
