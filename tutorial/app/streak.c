/* Streaks: how many packets of the same size came in a row, and the longest such row of each size. */
#include "app.h"

struct streak {
	__u32 now;
	__u32 longest;
};

/* Sizes that have not been seen for long make room for new ones. */
struct {
	NUMBER(type, BPF_MAP_TYPE_LRU_HASH);
	NUMBER(max_entries, 64);
	TYPE(key, __u32);
	TYPE(value, struct streak);
} streak_map SEC(".maps");

__u32 last_size;

/* A function of its own, so that there is something to see in the program's graph. */
static __attribute__((noinline)) void extend(struct streak *streak, __u32 size)
{
	streak->now = size == last_size ? streak->now + 1 : 1;
	if (streak->now > streak->longest)
		streak->longest = streak->now;
	last_size = size;
}

SEC("xdp/streak")
int streak(struct xdp_md *ctx)
{
	__u32 size = ctx->data_end - ctx->data;
	struct streak *known = bpf_map_lookup_elem(&streak_map, &size);

	if (known) {
		extend(known, size);
		say("streak: %d in a row of %d bytes", known->now, size);
	} else {
		struct streak first = { 1, 1 };

		bpf_map_update_elem(&streak_map, &size, &first, BPF_ANY);
		last_size = size;
		say("streak: the first of %d bytes", size);
	}
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
