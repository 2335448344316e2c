"""What a program's section name says: its type, where it attaches, whether it may sleep.

One row per name, after the kernel's Documentation/bpf/libbpf/program_types.rst and the UAPI header.
"""

from __future__ import annotations

EXTRAS = 1  # the name may go on after a slash: what to attach to (`kprobe/do_sys_open`)
SLEEPABLE = 2  # BPF_F_SLEEPABLE
FRAGS = 4  # BPF_F_XDP_HAS_FRAGS
BTF_TARGET = 8  # what it attaches to is named by attach_btf_id


class Section:
    """A row: `prog_type` and `attach_type` are the UAPI names in lower case, `attach_type` empty for none."""

    __slots__ = ("attach_type", "flags", "prefix", "prog_type")

    def __init__(self, prefix: str, prog_type: str, attach_type: str, flags: int) -> None:
        self.prefix = prefix
        self.prog_type = prog_type
        self.attach_type = attach_type
        self.flags = flags

    @property
    def prog_type_number(self) -> int:
        """The value of enum bpf_prog_type."""
        from ..kernel.uapi import PROG_TYPES

        return PROG_TYPES.index(self.prog_type)

    @property
    def attach_type_number(self) -> int:
        """The value of enum bpf_attach_type, 0 for none."""
        from ..kernel.uapi import ATTACH_TYPES

        return ATTACH_TYPES.index(self.attach_type) if self.attach_type else 0


# name, program type, attach type, flags
_ROWS = (
    ("socket", "socket_filter", "", 0),
    ("sk_reuseport/migrate", "sk_reuseport", "sk_reuseport_select_or_migrate", 0),
    ("sk_reuseport", "sk_reuseport", "sk_reuseport_select", 0),
    ("kprobe", "kprobe", "", EXTRAS),
    ("kretprobe", "kprobe", "", EXTRAS),
    ("uprobe", "kprobe", "", EXTRAS),
    ("uprobe.s", "kprobe", "", EXTRAS | SLEEPABLE),
    ("uretprobe", "kprobe", "", EXTRAS),
    ("uretprobe.s", "kprobe", "", EXTRAS | SLEEPABLE),
    ("kprobe.multi", "kprobe", "trace_kprobe_multi", EXTRAS),
    ("kretprobe.multi", "kprobe", "trace_kprobe_multi", EXTRAS),
    ("kprobe.session", "kprobe", "trace_kprobe_session", EXTRAS),
    ("uprobe.multi", "kprobe", "trace_uprobe_multi", EXTRAS),
    ("uretprobe.multi", "kprobe", "trace_uprobe_multi", EXTRAS),
    ("uprobe.session", "kprobe", "trace_uprobe_session", EXTRAS),
    ("uprobe.multi.s", "kprobe", "trace_uprobe_multi", EXTRAS | SLEEPABLE),
    ("uretprobe.multi.s", "kprobe", "trace_uprobe_multi", EXTRAS | SLEEPABLE),
    ("uprobe.session.s", "kprobe", "trace_uprobe_session", EXTRAS | SLEEPABLE),
    ("ksyscall", "kprobe", "", EXTRAS),
    ("kretsyscall", "kprobe", "", EXTRAS),
    ("usdt", "kprobe", "", EXTRAS),
    ("usdt.s", "kprobe", "", EXTRAS | SLEEPABLE),
    ("tc/ingress", "sched_cls", "tcx_ingress", 0),
    ("tc/egress", "sched_cls", "tcx_egress", 0),
    ("tcx/ingress", "sched_cls", "tcx_ingress", 0),
    ("tcx/egress", "sched_cls", "tcx_egress", 0),
    ("tc", "sched_cls", "", 0),
    ("classifier", "sched_cls", "", 0),
    ("action", "sched_act", "", 0),
    ("netkit/primary", "sched_cls", "netkit_primary", 0),
    ("netkit/peer", "sched_cls", "netkit_peer", 0),
    ("tracepoint", "tracepoint", "", EXTRAS),
    ("tp", "tracepoint", "", EXTRAS),
    ("raw_tracepoint", "raw_tracepoint", "", EXTRAS),
    ("raw_tp", "raw_tracepoint", "", EXTRAS),
    ("raw_tracepoint.w", "raw_tracepoint_writable", "", EXTRAS),
    ("raw_tp.w", "raw_tracepoint_writable", "", EXTRAS),
    ("tp_btf", "tracing", "trace_raw_tp", EXTRAS | BTF_TARGET),
    ("fentry", "tracing", "trace_fentry", EXTRAS | BTF_TARGET),
    ("fmod_ret", "tracing", "modify_return", EXTRAS | BTF_TARGET),
    ("fexit", "tracing", "trace_fexit", EXTRAS | BTF_TARGET),
    ("fentry.s", "tracing", "trace_fentry", EXTRAS | BTF_TARGET | SLEEPABLE),
    ("fmod_ret.s", "tracing", "modify_return", EXTRAS | BTF_TARGET | SLEEPABLE),
    ("fexit.s", "tracing", "trace_fexit", EXTRAS | BTF_TARGET | SLEEPABLE),
    ("freplace", "ext", "", EXTRAS | BTF_TARGET),
    ("lsm", "lsm", "lsm_mac", EXTRAS | BTF_TARGET),
    ("lsm.s", "lsm", "lsm_mac", EXTRAS | BTF_TARGET | SLEEPABLE),
    ("lsm_cgroup", "lsm", "lsm_cgroup", EXTRAS | BTF_TARGET),
    ("iter", "tracing", "trace_iter", EXTRAS | BTF_TARGET),
    ("iter.s", "tracing", "trace_iter", EXTRAS | BTF_TARGET | SLEEPABLE),
    ("syscall", "syscall", "", SLEEPABLE),
    ("xdp.frags/devmap", "xdp", "xdp_devmap", FRAGS),
    ("xdp/devmap", "xdp", "xdp_devmap", 0),
    ("xdp.frags/cpumap", "xdp", "xdp_cpumap", FRAGS),
    ("xdp/cpumap", "xdp", "xdp_cpumap", 0),
    ("xdp.frags", "xdp", "xdp", FRAGS),
    ("xdp", "xdp", "xdp", 0),
    ("perf_event", "perf_event", "", 0),
    ("lwt_in", "lwt_in", "", 0),
    ("lwt_out", "lwt_out", "", 0),
    ("lwt_xmit", "lwt_xmit", "", 0),
    ("lwt_seg6local", "lwt_seg6local", "", 0),
    ("sockops", "sock_ops", "cgroup_sock_ops", 0),
    ("sk_skb/stream_parser", "sk_skb", "sk_skb_stream_parser", 0),
    ("sk_skb/stream_verdict", "sk_skb", "sk_skb_stream_verdict", 0),
    ("sk_skb/verdict", "sk_skb", "sk_skb_verdict", 0),
    ("sk_skb", "sk_skb", "", 0),
    ("sk_msg", "sk_msg", "sk_msg_verdict", 0),
    ("lirc_mode2", "lirc_mode2", "lirc_mode2", 0),
    ("flow_dissector", "flow_dissector", "flow_dissector", 0),
    ("cgroup_skb/ingress", "cgroup_skb", "cgroup_inet_ingress", 0),
    ("cgroup_skb/egress", "cgroup_skb", "cgroup_inet_egress", 0),
    ("cgroup/skb", "cgroup_skb", "", 0),
    ("cgroup/sock_create", "cgroup_sock", "cgroup_inet_sock_create", 0),
    ("cgroup/sock_release", "cgroup_sock", "cgroup_inet_sock_release", 0),
    ("cgroup/sock", "cgroup_sock", "cgroup_inet_sock_create", 0),
    ("cgroup/post_bind4", "cgroup_sock", "cgroup_inet4_post_bind", 0),
    ("cgroup/post_bind6", "cgroup_sock", "cgroup_inet6_post_bind", 0),
    ("cgroup/bind4", "cgroup_sock_addr", "cgroup_inet4_bind", 0),
    ("cgroup/bind6", "cgroup_sock_addr", "cgroup_inet6_bind", 0),
    ("cgroup/connect4", "cgroup_sock_addr", "cgroup_inet4_connect", 0),
    ("cgroup/connect6", "cgroup_sock_addr", "cgroup_inet6_connect", 0),
    ("cgroup/connect_unix", "cgroup_sock_addr", "cgroup_unix_connect", 0),
    ("cgroup/sendmsg4", "cgroup_sock_addr", "cgroup_udp4_sendmsg", 0),
    ("cgroup/sendmsg6", "cgroup_sock_addr", "cgroup_udp6_sendmsg", 0),
    ("cgroup/sendmsg_unix", "cgroup_sock_addr", "cgroup_unix_sendmsg", 0),
    ("cgroup/recvmsg4", "cgroup_sock_addr", "cgroup_udp4_recvmsg", 0),
    ("cgroup/recvmsg6", "cgroup_sock_addr", "cgroup_udp6_recvmsg", 0),
    ("cgroup/recvmsg_unix", "cgroup_sock_addr", "cgroup_unix_recvmsg", 0),
    ("cgroup/getpeername4", "cgroup_sock_addr", "cgroup_inet4_getpeername", 0),
    ("cgroup/getpeername6", "cgroup_sock_addr", "cgroup_inet6_getpeername", 0),
    ("cgroup/getpeername_unix", "cgroup_sock_addr", "cgroup_unix_getpeername", 0),
    ("cgroup/getsockname4", "cgroup_sock_addr", "cgroup_inet4_getsockname", 0),
    ("cgroup/getsockname6", "cgroup_sock_addr", "cgroup_inet6_getsockname", 0),
    ("cgroup/getsockname_unix", "cgroup_sock_addr", "cgroup_unix_getsockname", 0),
    ("cgroup/sysctl", "cgroup_sysctl", "cgroup_sysctl", 0),
    ("cgroup/getsockopt", "cgroup_sockopt", "cgroup_getsockopt", 0),
    ("cgroup/setsockopt", "cgroup_sockopt", "cgroup_setsockopt", 0),
    ("cgroup/dev", "cgroup_device", "cgroup_device", 0),
    ("struct_ops", "struct_ops", "", EXTRAS),
    ("struct_ops.s", "struct_ops", "", EXTRAS | SLEEPABLE),
    ("sk_lookup", "sk_lookup", "sk_lookup", 0),
    ("netfilter", "netfilter", "netfilter", 0),
)
SECTIONS = {row[0]: Section(*row) for row in _ROWS}


def lookup(name: str) -> Section | None:
    """The row of a section name, None for an unknown one; a leading "?" (not loaded by default) is skipped."""
    return by_type_name(name.removeprefix("?"))


def by_type_name(name: str) -> Section | None:
    """The row of what follows `type` in `prog load`: a section name, as bpftool takes it."""
    if name in SECTIONS:
        return SECTIONS[name]
    # No name with EXTRAS has a slash, so what precedes the first one is all there is to look for.
    row = SECTIONS.get(name.partition("/")[0])
    return row if row and row.flags & EXTRAS else None
