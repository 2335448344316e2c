/* Functions and values of a kernel that has them in a module (nf_conntrack), and tells its version in its own way. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct nf_conn {
	unsigned int unused;
};
struct bpf_ct_opts {
	int netns_id;
	int error;
	unsigned char l4proto;
	unsigned char rest[3];
};

extern int LINUX_KERNEL_VERSION __kconfig;
extern _Bool LINUX_HAS_BPF_COOKIE __kconfig;
extern struct nf_conn *bpf_xdp_ct_lookup(struct xdp_md *xdp, struct bpf_sock_tuple *tuple, unsigned int tuple_size,
					 struct bpf_ct_opts *opts, unsigned int opts_size) __ksym;
extern void bpf_ct_release(struct nf_conn *conn) __ksym;
extern const void nf_ct_delete __ksym;

unsigned long address;

SEC("xdp") int lookup(struct xdp_md *xdp)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_ct_opts opts = { .netns_id = -1, .l4proto = 6 };
	struct nf_conn *conn = bpf_xdp_ct_lookup(xdp, &tuple, sizeof(tuple.ipv4), &opts, sizeof(opts));

	address = (unsigned long)&nf_ct_delete + LINUX_KERNEL_VERSION + LINUX_HAS_BPF_COOKIE;
	if (conn)
		bpf_ct_release(conn);
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
