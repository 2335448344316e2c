/* A congestion control that counts its calls, once for a map that is in use when registered, once for one with a link. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct tcp_congestion_ops {
	unsigned int flags; /* not where the kernel has it */
	char name[16];
	unsigned int (*ssthresh)(void *sk);
	void (*cong_avoid)(void *sk, unsigned int ack, unsigned int acked);
	unsigned int (*undo_cwnd)(void *sk);
	void (*init)(void *sk);
	void (*release)(void *sk);
	long not_invented;
};
struct tcp_congestion_ops___small {
	char name[16];
	unsigned int (*ssthresh)(void *sk);
	unsigned int (*undo_cwnd)(void *sk);
	void (*cong_avoid)(void *sk, unsigned int ack, unsigned int acked);
};

int starts, calls, ends;

SEC("struct_ops/start") void start(void *ctx)
{
	__sync_fetch_and_add(&starts, 1);
}

SEC("struct_ops/end") void end(void *ctx)
{
	__sync_fetch_and_add(&ends, 1);
}

SEC("struct_ops/threshold") unsigned int threshold(void *ctx)
{
	return 2;
}

SEC("struct_ops") unsigned int undo(void *ctx)
{
	return 10;
}

SEC("struct_ops/avoid") void avoid(void *ctx)
{
	__sync_fetch_and_add(&calls, 1);
}

SEC(".struct_ops") struct tcp_congestion_ops counting = {
	.name = "bcctool_count",
	.ssthresh = (void *)threshold,
	.cong_avoid = (void *)avoid,
	.undo_cwnd = (void *)undo,
	.init = (void *)start,
	.release = (void *)end,
#ifdef NEEDS_ECN
	.flags = 2,
#endif
#ifdef NOT_INVENTED
	.not_invented = 1,
#endif
#ifdef TWICE
	.release = (void *)start,
#endif
};

#ifndef NO_LINK
SEC(".struct_ops.link") struct tcp_congestion_ops___small linked = {
	.name = "bcctool_link",
	.ssthresh = (void *)threshold,
	.undo_cwnd = (void *)undo,
	.cong_avoid = (void *)avoid,
};
#endif

char _license[] SEC("license") = "GPL";
