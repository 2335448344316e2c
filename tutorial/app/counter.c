/* The counter of chapter 1, as a part of the application: how many packets, how many bytes. */
#include "app.h"

struct traffic {
	__u64 packets;
	__u64 bytes;
};

struct {
	NUMBER(type, BPF_MAP_TYPE_ARRAY);
	NUMBER(max_entries, 1);
	TYPE(key, __u32);
	TYPE(value, struct traffic);
} counter_map SEC(".maps");

SEC("xdp/counter")
int counter(struct xdp_md *ctx)
{
	__u32 key = 0;
	struct traffic *traffic = bpf_map_lookup_elem(&counter_map, &key);

	if (traffic) {
		/* The same interface may receive on several CPUs at once. */
		__sync_fetch_and_add(&traffic->packets, 1);
		__sync_fetch_and_add(&traffic->bytes, ctx->data_end - ctx->data);
		say("counter: packet %llu", traffic->packets);
	}
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
