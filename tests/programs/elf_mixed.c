/* A legacy map and a BTF-defined one in the same object. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, int);
} new SEC(".maps");

struct { unsigned int type, key_size, value_size, max_entries, map_flags; } old SEC("maps") = { 1, 4, 4, 1, 0 };
