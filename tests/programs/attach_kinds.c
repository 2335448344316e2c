/* One program of each kind that attaches on a kernel without kprobes, each with a counter of its own. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#ifndef PROGRAM
#define PROGRAM "/usr/bin/true"
#endif

#define COUNTED(name, section, result) \
	int hits_##name; \
	SEC(section) int name(void *ctx) \
	{ \
		__sync_fetch_and_add(&hits_##name, 1); \
		return result; \
	}

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__type(key, int);
	__type(value, int);
	__uint(max_entries, 4);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, int);
	__type(value, int);
	__uint(max_entries, 5);
} elements SEC(".maps");

COUNTED(on_tp, "tp/syscalls/sys_enter_getpgid", 0)
COUNTED(on_raw_tp, "raw_tp/sys_enter", 0)
COUNTED(on_tp_btf, "tp_btf/sys_enter", 0)
COUNTED(on_uprobe, "uprobe/" PROGRAM ":called", 0)
COUNTED(on_uprobe_offset, "uprobe/" PROGRAM ":called+0", 0)
COUNTED(on_uretprobe, "uretprobe/" PROGRAM ":called", 0)
COUNTED(on_uprobe_sleepable, "uprobe.s/" PROGRAM ":called", 0)
COUNTED(on_uprobe_libc, "uprobe/libc:getpgid", 0)
COUNTED(on_uprobe_multi, "uprobe.multi/" PROGRAM ":many_?", 0)
COUNTED(on_uretprobe_multi, "uretprobe.multi/" PROGRAM ":many_*", 0)
COUNTED(on_uprobe_session, "uprobe.session/" PROGRAM ":many_1", 0)
COUNTED(on_uprobe_multi_sleepable, "uprobe.multi.s/" PROGRAM ":many_2", 0)
COUNTED(on_perf_event, "perf_event", 0)
COUNTED(on_xdp, "xdp", XDP_PASS)
COUNTED(on_tcx_ingress, "tcx/ingress", -1)
COUNTED(on_tc_egress, "tc/egress", -1)
COUNTED(on_tc, "tc", -1)
COUNTED(on_cgroup_egress, "cgroup_skb/egress", 1)
COUNTED(on_connect4, "cgroup/connect4", 1)
COUNTED(on_sock_create, "cgroup/sock_create", 1)
COUNTED(on_setsockopt, "cgroup/setsockopt", 1)
COUNTED(on_sockops, "sockops", 1)
COUNTED(on_sk_lookup, "sk_lookup", SK_PASS)
COUNTED(on_flow_dissector, "flow_dissector", 129 /* BPF_FLOW_DISSECTOR_CONTINUE */)
COUNTED(on_netfilter, "netfilter", 1)
COUNTED(on_sk_msg, "sk_msg", SK_PASS)
COUNTED(on_stream_verdict, "sk_skb/stream_verdict", SK_PASS)
COUNTED(on_iter_task, "iter/task", 0)
COUNTED(on_iter_map, "iter/bpf_map_elem", 0)
COUNTED(on_iter_cgroup, "iter/cgroup", 0)

char _license[] SEC("license") = "GPL";
