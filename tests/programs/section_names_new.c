/* A tiny program for every section name that libbpf has learnt after 1.1, named on_ and that. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define PROG(name, section) SEC(section) int on_##name(void *ctx) { return 0; }
#define PROG_ONE(name, section) SEC(section) int on_##name(void *ctx) { return 1; }

PROG(tc_ingress, "tc/ingress") /* 1.3 */
PROG(tc_egress, "tc/egress")
PROG(tcx_ingress, "tcx/ingress")
PROG(tcx_egress, "tcx/egress")
PROG(netkit_primary, "netkit/primary")
PROG(netkit_peer, "netkit/peer")
PROG_ONE(netfilter, "netfilter") /* 1.2 */
PROG(uprobe_multi, "uprobe.multi//bin/true:main") /* 1.3 */
PROG(uretprobe_multi, "uretprobe.multi//bin/true:main")
PROG(uprobe_multi_s, "uprobe.multi.s//bin/true:main")
PROG(uretprobe_multi_s, "uretprobe.multi.s//bin/true:main")
PROG(usdt_s, "usdt.s//bin/true:provider:probe") /* 1.2 */
PROG(kprobe_session, "kprobe.session/do_*") /* 1.5 */
PROG(uprobe_session, "uprobe.session//bin/true:main") /* 1.6 */
PROG(uprobe_session_s, "uprobe.session.s//bin/true:main")
PROG(sk_skb_verdict, "sk_skb/verdict") /* 1.5 */
PROG_ONE(connect_unix, "cgroup/connect_unix") /* 1.3 */
PROG_ONE(sendmsg_unix, "cgroup/sendmsg_unix")
PROG_ONE(recvmsg_unix, "cgroup/recvmsg_unix")
PROG_ONE(getpeername_unix, "cgroup/getpeername_unix")
PROG_ONE(getsockname_unix, "cgroup/getsockname_unix")
PROG(struct_ops, "struct_ops/nobody") /* known to 1.1, which wants a map that names it */
PROG(struct_ops_s, "struct_ops.s/nobody")

char _license[] SEC("license") = "GPL";
