/* One program for each way of being run by hand. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp") int r_xdp(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	unsigned char *byte = (void *)(long)ctx->data;

	if ((void *)(byte + 1) > end)
		return XDP_ABORTED;
	*byte += 1;
	return XDP_PASS;
}

SEC("tc") int r_tc(struct __sk_buff *skb)
{
	skb->mark += 1;
	return skb->len;
}

SEC("socket") int r_socket(struct __sk_buff *skb)
{
	return 7;
}

struct input {
	int number;
	int twice;
};

SEC("syscall") int r_syscall(struct input *input)
{
	input->twice = input->number * 2;
	return input->number;
}

SEC("raw_tp") int r_raw_tp(struct bpf_raw_tracepoint_args *ctx)
{
	return ctx->args[0] + ctx->args[1];
}

SEC("tracepoint") int r_tracepoint(void *ctx)
{
	return 0;
}

char _license[] SEC("license") = "GPL";
