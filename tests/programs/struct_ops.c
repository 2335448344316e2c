/* Two TCP congestion controls as struct_ops maps, one to be registered by a link, and their programs. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define RELOCATED __attribute__((preserve_access_index))

struct sock { int not_used; } RELOCATED;
struct ack_sample;
struct tcp_congestion_ops { /* as much of the kernel's as is set here, in another order, and one field that it lacks */
	char name[16];
	__u32 flags;
	void (*init)(struct sock *sk);
	__u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, __u32 ack, __u32 acked);
	__u32 (*undo_cwnd)(struct sock *sk);
	void *owner;
};
struct tcp_congestion_ops___more { char name[16]; __u32 (*ssthresh)(struct sock *sk); int not_in_the_kernel; };

SEC("struct_ops/own_init") void own_init(__u64 *ctx)
{
}

SEC("struct_ops/own_ssthresh") __u32 own_ssthresh(__u64 *ctx)
{
	return 17;
}

SEC("struct_ops/own_cong_avoid") void own_cong_avoid(__u64 *ctx)
{
}

SEC("struct_ops/own_undo_cwnd") __u32 own_undo_cwnd(__u64 *ctx)
{
	return 18;
}

SEC(".struct_ops") struct tcp_congestion_ops by_update = {
	.name = "by_update",
	.init = (void *)own_init,
	.ssthresh = (void *)own_ssthresh,
	.cong_avoid = (void *)own_cong_avoid,
	.undo_cwnd = (void *)own_undo_cwnd,
	.flags = 0,
};

#ifdef LINK /* libbpf 1.2 */
SEC(".struct_ops.link") struct tcp_congestion_ops by_link = {
	.name = "by_link",
	.ssthresh = (void *)own_ssthresh,
	.cong_avoid = (void *)own_cong_avoid,
	.undo_cwnd = (void *)own_undo_cwnd,
};
#endif

#ifdef SHADOW /* libbpf 1.4: flavors, and fields that the kernel lacks as long as they are zero */
SEC("?.struct_ops.link") struct tcp_congestion_ops___more shadow = {
	.name = "shadow",
	.ssthresh = (void *)own_ssthresh,
};
#endif

char _license[] SEC("license") = "GPL";
