/* A program for each place where links attach on a kernel without kprobes; PROGRAM is what attach_target.c became. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#ifndef PROGRAM
#define PROGRAM "/usr/bin/true"
#endif

#define ON(name, section, result) \
	SEC(section) int name(void *ctx) \
	{ \
		return result; \
	}

ON(l_tp, "tp/syscalls/sys_enter_getpgid", 0)
ON(l_raw_tp, "raw_tp/sys_enter", 0)
ON(l_tp_btf, "tp_btf/sys_enter", 0)
ON(l_uprobe, "uprobe/" PROGRAM ":called", 0)
ON(l_uretprobe, "uretprobe/" PROGRAM ":called", 0)
ON(l_uprobe_multi, "uprobe.multi/" PROGRAM ":many_?", 0)
ON(l_uretprobe_multi, "uretprobe.multi/" PROGRAM ":many_1", 0)
ON(l_perf_event, "perf_event", 0)
ON(l_xdp, "xdp", XDP_PASS)
ON(l_tcx_ingress, "tcx/ingress", -1)
ON(l_tcx_egress, "tcx/egress", -1)
ON(l_egress, "cgroup_skb/egress", 1)
ON(l_connect4, "cgroup/connect4", 1)
ON(l_sock_create, "cgroup/sock_create", 1)
ON(l_setsockopt, "cgroup/setsockopt", 1)
ON(l_sockops, "sockops", 1)
ON(l_sk_lookup, "sk_lookup", SK_PASS)
ON(l_flow, "flow_dissector", 129 /* BPF_FLOW_DISSECTOR_CONTINUE */)
ON(l_netfilter, "netfilter", 1)
ON(l_sk_msg, "sk_msg", SK_PASS)
ON(l_verdict, "sk_skb/stream_verdict", SK_PASS)
ON(l_iter_task, "iter/task", 0)
ON(l_iter_cgroup, "iter/cgroup", 0)

char _license[] SEC("license") = "GPL";
