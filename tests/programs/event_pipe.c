/* A sample per packet: a word, and the packet. FLAGS are those of the map. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#ifndef FLAGS
#define FLAGS 0
#endif

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(map_flags, FLAGS);
	__type(key, int);
	__type(value, int);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, int);
} results SEC(".maps");

SEC("xdp") int sample(struct xdp_md *ctx)
{
	__u64 size = ctx->data_end - ctx->data;
	__u64 word = 0x0102030405060708;
	int key = 0, result;

	result = bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU | size << 32, &word, sizeof(word));
	bpf_map_update_elem(&results, &key, &result, BPF_ANY);
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
