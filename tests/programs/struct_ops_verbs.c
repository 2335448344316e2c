/* Congestion controls with names of the test's own, as all of the machine sees them: TABLE, and LINKED with a link. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define STRING(x) #x
#define NAME(x) STRING(x)

struct tcp_congestion_ops {
	char name[16];
	unsigned int (*ssthresh)(void *sk);
	void (*cong_avoid)(void *sk, unsigned int ack, unsigned int acked);
	unsigned int (*undo_cwnd)(void *sk);
};

SEC("struct_ops/threshold") unsigned int threshold(void *ctx)
{
	return 2;
}

SEC("struct_ops") unsigned int undo_what_was_done_before(void *ctx)
{
	return 10;
}

SEC("struct_ops/avoid") void avoid(void *ctx)
{
}

#define CONTROL(variable) \
	struct tcp_congestion_ops variable = { \
		.name = NAME(variable), \
		.ssthresh = (void *)threshold, \
		.cong_avoid = (void *)avoid, \
		.undo_cwnd = (void *)undo_what_was_done_before, \
	}

#ifdef TABLE
SEC(".struct_ops") CONTROL(TABLE);
#endif
#ifdef LINKED
SEC(".struct_ops.link") CONTROL(LINKED);
#endif

char _license[] SEC("license") = "GPL";
