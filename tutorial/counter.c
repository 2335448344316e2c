/* Count what an interface receives: how many packets, how many bytes.
 *
 *   clang -O2 -target bpf -c counter.c -o counter_nobtf.o            a map as objects described it before BTF
 *   clang -O2 -target bpf -c counter.c -o counter_btf.o -g -D BTF    the same map, described by its types
 *
 * No header is included, so that clang needs nothing but this file. The declarations are those of linux/bpf.h.
 */

#define SEC(name) __attribute__((section(name), used))

typedef unsigned int __u32;
typedef unsigned long long __u64;

enum { BPF_MAP_TYPE_ARRAY = 2 };
enum { XDP_PASS = 2 };

struct xdp_md {
	__u32 data;
	__u32 data_end;
};

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;

struct traffic {
	__u64 packets;
	__u64 bytes;
};

#ifdef BTF
/* Numbers are array sizes and types are pointers: this struct exists to be read from BTF, nobody fills it. */
struct {
	int (*type)[BPF_MAP_TYPE_ARRAY];
	int (*max_entries)[1];
	__u32 *key;
	struct traffic *value;
} counter_map SEC(".maps");
#else
struct bpf_map_def {
	__u32 type;
	__u32 key_size;
	__u32 value_size;
	__u32 max_entries;
	__u32 map_flags;
};

struct bpf_map_def counter_map SEC("maps") = {
	.type = BPF_MAP_TYPE_ARRAY,
	.key_size = sizeof(__u32),
	.value_size = sizeof(struct traffic),
	.max_entries = 1,
};
#endif

SEC("xdp")
int counter(struct xdp_md *ctx)
{
	__u32 key = 0;
	struct traffic *traffic = bpf_map_lookup_elem(&counter_map, &key);

	if (traffic) {
		/* The same interface may receive on several CPUs at once. */
		__sync_fetch_and_add(&traffic->packets, 1);
		__sync_fetch_and_add(&traffic->bytes, ctx->data_end - ctx->data);
	}
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
