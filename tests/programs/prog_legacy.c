/* Maps as before BTF: several in one section, definitions of 20 bytes. */
#include <linux/bpf.h>

#define SEC(name) __attribute__((section(name), used))

struct bpf_map_def {
	unsigned int type, key_size, value_size, max_entries, map_flags;
};

static void *(*lookup)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;

struct bpf_map_def SEC("maps") counter_map = { BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0 };
struct bpf_map_def SEC("maps") other_map = { BPF_MAP_TYPE_HASH, 8, 16, 32, BPF_F_NO_PREALLOC };

SEC("xdp") int counter(struct xdp_md *ctx)
{
	int key = 0;
	long other_key = 0;
	long *count = lookup(&counter_map, &key);

	if (count)
		__sync_fetch_and_add(count, 1);
	return lookup(&other_map, &other_key) ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "GPL";
