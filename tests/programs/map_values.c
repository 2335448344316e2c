/* Maps with BTF of every shape that a dump shows, an XDP program that owns them, and metadata in .rodata. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

typedef __u32 u32;
typedef __u64 u64;

enum state { IDLE, BUSY = 5 };

struct key {
	u32 id;
	char name[4];
};

struct value {
	u64 count;
	enum state state;
	u32 low : 4;
	u32 high : 28;
	char text[8];
};

struct flat {
	u32 a;
	int b;
	u64 c[2];
};

#define MAP(map, kind, key_type, value_type, count)                                                                     \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_##kind);                                                                     \
		__type(key, key_type);                                                                                 \
		__type(value, value_type);                                                                             \
		__uint(max_entries, count);                                                                            \
	} map SEC(".maps")

MAP(t_ints, HASH, u32, u64, 8);
MAP(t_structs, HASH, struct key, struct value, 8);
MAP(t_flat, ARRAY, u32, struct flat, 2);
MAP(t_cpus, PERCPU_ARRAY, u32, struct flat, 2);
MAP(t_socks, REUSEPORT_SOCKARRAY, u32, u64, 2);

const volatile int limit = 9;
const char bpf_metadata_license[] SEC(".rodata") = "Apache";
const volatile int bpf_metadata_version SEC(".rodata") = 7;
int seen = 3;

SEC("xdp") int map_values(struct xdp_md *ctx)
{
	u32 id = 0;
	struct key key = {};

	if (bpf_map_lookup_elem(&t_ints, &id) || bpf_map_lookup_elem(&t_structs, &key) ||
	    bpf_map_lookup_elem(&t_flat, &id) || bpf_map_lookup_elem(&t_cpus, &id))
		return bpf_metadata_license[1] + bpf_metadata_version;
	return seen++ < limit ? XDP_PASS : XDP_DROP;
}

SEC("sk_reuseport") int pick(struct sk_reuseport_md *ctx)
{
	u32 id = 0;

	return bpf_sk_select_reuseport(ctx, &t_socks, &id, 0) ? SK_DROP : SK_PASS;
}

char _license[] SEC("license") = "GPL";
