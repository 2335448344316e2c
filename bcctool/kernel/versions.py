"""The first kernel release that knows a helper, a map, program or attach type.

After BCC's docs/kernel-versions.md and docs.ebpf.io's timeline of commits; where they differ, by the commit's release.
"""

from __future__ import annotations

from bisect import bisect_left

from .uapi import ATTACH_TYPES, HELPERS, MAP_TYPES, PROG_TYPES

# The enums only ever grow at their end, so that a row per release does: what was its last one.
HELPERS_UNTIL = (
    ("3.19", "map_delete_elem"), ("4.1", "l4_csum_replace"), ("4.2", "get_current_comm"), ("4.3", "perf_event_read"),
    ("4.4", "perf_event_output"), ("4.5", "skb_load_bytes"), ("4.6", "skb_set_tunnel_opt"),
    ("4.8", "probe_write_user"), ("4.9", "set_hash_invalid"), ("4.10", "xdp_adjust_head"), ("4.11", "probe_read_str"),
    ("4.12", "get_socket_uid"), ("4.13", "skb_adjust_room"), ("4.14", "sock_map_update"), ("4.15", "getsockopt"),
    ("4.16", "sock_ops_cb_flags_set"), ("4.17", "bind"), ("4.18", "get_current_cgroup_id"),
    ("4.19", "skb_ancestor_cgroup_id"), ("4.20", "msg_push_data"), ("5.0", "rc_pointer_rel"),
    ("5.1", "get_listener_sock"), ("5.2", "sk_storage_delete"), ("5.3", "send_signal"), ("5.4", "tcp_gen_syncookie"),
    ("5.5", "probe_read_kernel_str"), ("5.6", "jiffies64"), ("5.7", "sk_assign"), ("5.8", "csum_level"),
    ("5.9", "get_task_stack"), ("5.10", "redirect_peer"), ("5.11", "sock_from_file"), ("5.12", "check_mtu"),
    ("5.13", "snprintf"), ("5.14", "sys_close"), ("5.15", "task_pt_regs"), ("5.16", "kallsyms_lookup_name"),
    ("5.17", "get_func_arg_cnt"), ("5.18", "ima_file_hash"), ("5.19", "dynptr_data"),
    ("6.0", "tcp_raw_check_syncookie_ipv6"), ("6.1", "user_ringbuf_drain"), ("6.2", "cgrp_storage_delete"),
)  # fmt: skip
MAP_TYPES_UNTIL = (
    ("3.19", "array"), ("4.2", "prog_array"), ("4.3", "perf_event_array"), ("4.6", "stack_trace"),
    ("4.8", "cgroup_array"), ("4.10", "lru_percpu_hash"), ("4.11", "lpm_trie"), ("4.12", "hash_of_maps"),
    ("4.14", "sockmap"), ("4.15", "cpumap"), ("4.18", "sockhash"), ("4.19", "reuseport_sockarray"), ("4.20", "stack"),
    ("5.2", "sk_storage"), ("5.4", "devmap_hash"), ("5.6", "struct_ops"), ("5.8", "ringbuf"),
    ("5.10", "inode_storage"), ("5.11", "task_storage"), ("5.16", "bloom_filter"), ("6.1", "user_ringbuf"),
    ("6.2", "cgrp_storage"), ("6.9", "arena"),
)  # fmt: skip
PROG_TYPES_UNTIL = (
    ("3.19", "socket_filter"), ("4.1", "sched_act"), ("4.7", "tracepoint"), ("4.8", "xdp"), ("4.9", "perf_event"),
    ("4.10", "lwt_xmit"), ("4.13", "sock_ops"), ("4.14", "sk_skb"), ("4.15", "cgroup_device"),
    ("4.17", "cgroup_sock_addr"), ("4.18", "lirc_mode2"), ("4.19", "sk_reuseport"), ("4.20", "flow_dissector"),
    ("5.2", "raw_tracepoint_writable"), ("5.3", "cgroup_sockopt"), ("5.5", "tracing"), ("5.6", "ext"), ("5.7", "lsm"),
    ("5.9", "sk_lookup"), ("5.14", "syscall"), ("6.4", "netfilter"),
)  # fmt: skip
ATTACH_TYPES_UNTIL = (
    ("4.10", "cgroup_inet_sock_create"), ("4.13", "cgroup_sock_ops"), ("4.14", "sk_skb_stream_verdict"),
    ("4.15", "cgroup_device"), ("4.17", "cgroup_inet6_post_bind"), ("4.18", "lirc_mode2"), ("4.20", "flow_dissector"),
    ("5.2", "cgroup_udp6_recvmsg"), ("5.3", "cgroup_setsockopt"), ("5.5", "trace_fexit"), ("5.7", "lsm_mac"),
    ("5.8", "xdp_devmap"), ("5.9", "xdp"), ("5.13", "sk_skb_verdict"), ("5.14", "sk_reuseport_select_or_migrate"),
    ("5.15", "perf_event"), ("5.18", "trace_kprobe_multi"), ("6.0", "lsm_cgroup"), ("6.4", "netfilter"),
    ("6.6", "trace_uprobe_multi"), ("6.7", "netkit_peer"), ("6.10", "trace_kprobe_session"),
    ("6.13", "trace_uprobe_session"),
)  # fmt: skip
# Attach types that older kernels do without: such programs were there before, and load without it.
OPTIONAL_ATTACH_TYPES = frozenset(("xdp", "sk_reuseport_select", "tcx_ingress", "tcx_egress"))
BPF_CALLS, GLOBAL_DATA, SLEEPABLE, KFUNCS, FRAGS = "4.16", "5.2", "5.10", "5.13", "5.18"


def order(release: str) -> tuple[int, ...]:
    """What releases such as "5.10" are sorted by."""
    return tuple(map(int, release.split(".")))


def _since(rows: tuple[tuple[str, str], ...], names: tuple[str, ...], number: int, first: int = 1) -> str | None:
    lasts = [names.index(name) for _, name in rows]
    return rows[bisect_left(lasts, number)][0] if first <= number <= lasts[-1] else None


def helper_since(id: int) -> str | None:
    """The release that brought a helper, None for one that the table does not have."""
    return _since(HELPERS_UNTIL, HELPERS, id)


def map_type_since(number: int) -> str | None:
    """The release that brought a map type."""
    return _since(MAP_TYPES_UNTIL, MAP_TYPES, number)


def prog_type_since(number: int) -> str | None:
    """The release that brought a program type."""
    return _since(PROG_TYPES_UNTIL, PROG_TYPES, number)


def attach_type_since(number: int) -> str | None:
    """The release that brought an attach type."""
    return _since(ATTACH_TYPES_UNTIL, ATTACH_TYPES, number, first=0)
