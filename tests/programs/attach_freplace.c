/* A function of an XDP program that a program of the same object replaces, once it is loaded. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#ifdef TARGET
__attribute__((noinline)) int verdict(struct xdp_md *ctx) { return ctx->data_end - ctx->data > 0 ? XDP_PASS : XDP_DROP; }
__attribute__((noinline)) int other(struct xdp_md *ctx) { return ctx->data_end - ctx->data > 0 ? XDP_TX : XDP_DROP; }
SEC("xdp") int target(struct xdp_md *ctx) { return verdict(ctx) + 10 * other(ctx); }
#else
SEC("freplace/verdict") int replacement(struct xdp_md *ctx) { return 7; }
#endif

char _license[] SEC("license") = "GPL";
