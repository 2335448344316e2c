/* A program for each hook of a cgroup that allows what it is asked. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define ALLOW(name, section, context) \
	SEC(section) int name(struct context *ctx) { return 1; }

ALLOW(in, "cgroup_skb/ingress", __sk_buff)
ALLOW(out, "cgroup_skb/egress", __sk_buff)
ALLOW(either_way_and_a_long_name, "cgroup/skb", __sk_buff)
ALLOW(sock_create, "cgroup/sock_create", bpf_sock)
ALLOW(sock_release, "cgroup/sock_release", bpf_sock)
ALLOW(bind4, "cgroup/bind4", bpf_sock_addr)
ALLOW(bind6, "cgroup/bind6", bpf_sock_addr)
ALLOW(post_bind4, "cgroup/post_bind4", bpf_sock)
ALLOW(post_bind6, "cgroup/post_bind6", bpf_sock)
ALLOW(connect4, "cgroup/connect4", bpf_sock_addr)
ALLOW(connect6, "cgroup/connect6", bpf_sock_addr)
ALLOW(getpeername4, "cgroup/getpeername4", bpf_sock_addr)
ALLOW(getpeername6, "cgroup/getpeername6", bpf_sock_addr)
ALLOW(getsockname4, "cgroup/getsockname4", bpf_sock_addr)
ALLOW(getsockname6, "cgroup/getsockname6", bpf_sock_addr)
ALLOW(sendmsg4, "cgroup/sendmsg4", bpf_sock_addr)
ALLOW(sendmsg6, "cgroup/sendmsg6", bpf_sock_addr)
ALLOW(recvmsg4, "cgroup/recvmsg4", bpf_sock_addr)
ALLOW(recvmsg6, "cgroup/recvmsg6", bpf_sock_addr)
ALLOW(sock_ops, "sockops", bpf_sock_ops)
ALLOW(device, "cgroup/dev", bpf_cgroup_dev_ctx)
ALLOW(sysctl, "cgroup/sysctl", bpf_sysctl)
ALLOW(getsockopt, "cgroup/getsockopt", bpf_sockopt)
ALLOW(setsockopt, "cgroup/setsockopt", bpf_sockopt)

#ifdef UNIX /* since Linux 6.7 */
ALLOW(connect_unix, "cgroup/connect_unix", bpf_sock_addr)
ALLOW(getpeername_unix, "cgroup/getpeername_unix", bpf_sock_addr)
ALLOW(getsockname_unix, "cgroup/getsockname_unix", bpf_sock_addr)
ALLOW(sendmsg_unix, "cgroup/sendmsg_unix", bpf_sock_addr)
ALLOW(recvmsg_unix, "cgroup/recvmsg_unix", bpf_sock_addr)
#endif

#ifdef LSM
SEC("lsm_cgroup/socket_bind") int guard_bind(void *ctx) { return 1; }
SEC("lsm_cgroup/socket_connect") int guard_connect_with_a_long_name(void *ctx) { return 1; }
#endif

char LICENSE[] SEC("license") = "GPL";
