/* A program that prints a line, with what a terminal would take for a command in it. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp") int printer(struct xdp_md *ctx)
{
	volatile char clear[] = "\x1b[2J";

	bpf_printk("tab\there \"quoted\" %s %d", (char *)clear, ctx->data_end - ctx->data);
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
