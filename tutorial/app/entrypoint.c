/* The entry point: it hands each packet over to the program in the table's only slot, if there is one. */
#include "app.h"

struct {
	NUMBER(type, BPF_MAP_TYPE_PROG_ARRAY);
	NUMBER(max_entries, 1);
	TYPE(key, __u32);
	TYPE(value, __u32);
} call_table SEC(".maps");

SEC("xdp/entrypoint")
int entrypoint(struct xdp_md *ctx)
{
	say("entrypoint: %d bytes", ctx->data_end - ctx->data);
	bpf_tail_call(ctx, &call_table, 0);
	/* A tail call that succeeds does not come back. */
	say("entrypoint: no program in the table");
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
