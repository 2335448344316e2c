/* An exception callback: named by a tag of the program, called by nobody (libbpf 1.4, Linux 6.7). */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

extern void bpf_throw(__u64 cookie) __ksym;

__attribute__((noinline)) int caught(__u64 cookie)
{
	return cookie + 40;
}

static __attribute__((noinline)) int check(int x)
{
	if (x > 100)
		bpf_throw(2);
	return x;
}

SEC("tc") __attribute__((btf_decl_tag("exception_callback:caught"))) int throws(struct __sk_buff *ctx)
{
	return check(ctx->len);
}

char _license[] SEC("license") = "GPL";
