/* Programs that the verifier refuses, and sections that say nothing. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, int);
	__type(value, int);
	__uint(max_entries, 1);
} slots SEC(".maps");

#ifdef SECTION
SEC(SECTION)
#else
SEC("xdp")
#endif
int refused(struct xdp_md *ctx)
{
	int key = 0;
	int *value = bpf_map_lookup_elem(&slots, &key);

	return *value;
}

char _license[] SEC("license") = "GPL";
