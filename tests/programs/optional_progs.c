/* Programs that are not loaded unless somebody asks for them, among others; what only they use. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, int); __type(value, int); }
	only_optional SEC(".maps");

static __attribute__((noinline)) int add(int x)
{
	return x + 2;
}

SEC("?tc") int left_out(struct __sk_buff *ctx)
{
	int key = 0;

	return bpf_map_lookup_elem(&only_optional, &key) ? add(ctx->len) : 0;
}

SEC("tc") int loaded(struct __sk_buff *ctx)
{
	return add(ctx->mark);
}

SEC("?xdp") int refused(struct xdp_md *ctx)
{
	return *(int *)(long)ctx->data; /* by the verifier, if it came to it */
}

#ifdef UNKNOWN /* libbpf 1.1 wants to know the type of every program */
SEC("?no_such_section/x") int unknown(void *ctx)
{
	return 0;
}
#endif

SEC("xdp") int also_loaded(struct xdp_md *ctx)
{
	return 2;
}

char _license[] SEC("license") = "GPL";
