/* Programs for the places where `net` and `perf` look for programs. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#ifndef NO_MAP /* a map definition needs BTF, this can do without */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 1);
} net_counter SEC(".maps");

SEC("xdp")
int net_xdp(struct xdp_md *ctx)
{
	__u32 key = 0;
	__u64 *count = bpf_map_lookup_elem(&net_counter, &key);

	if (count)
		*count += 1;
	return XDP_PASS;
}
#endif

SEC("xdp")
int net_other(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("tc")
int net_tc(struct __sk_buff *skb)
{
	return 0;
}

SEC("tc")
int net_act(struct __sk_buff *skb)
{
	return -1;
}

SEC("flow_dissector")
int net_flow(struct __sk_buff *skb)
{
	return BPF_OK;
}

SEC("raw_tp/sched_switch")
int net_raw(struct bpf_raw_tracepoint_args *ctx)
{
	return 0;
}

char _license[] SEC("license") = "GPL";
