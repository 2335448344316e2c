"""Which release brought what: the tables against facts known from elsewhere, and against their own enums."""

from __future__ import annotations

import pytest

from bcctool.commands.object_show import section_needs
from bcctool.kernel import versions
from bcctool.kernel.uapi import ATTACH_TYPES, HELPERS, MAP_TYPES, PROG_TYPES
from bcctool.loader.sections import SECTIONS

TABLES = {
    "helpers": (versions.HELPERS_UNTIL, HELPERS, versions.helper_since, 1),
    "map types": (versions.MAP_TYPES_UNTIL, MAP_TYPES, versions.map_type_since, 1),
    "program types": (versions.PROG_TYPES_UNTIL, PROG_TYPES, versions.prog_type_since, 1),
    "attach types": (versions.ATTACH_TYPES_UNTIL, ATTACH_TYPES, versions.attach_type_since, 0),
}
# Of BCC's docs/kernel-versions.md, chosen at the edges: the first and the last of many releases.
HELPERS_SINCE = {
    "3.19": "map_lookup_elem map_update_elem map_delete_elem",
    "4.1": "probe_read ktime_get_ns trace_printk get_prandom_u32 get_smp_processor_id skb_store_bytes l4_csum_replace",
    "4.2": "tail_call clone_redirect get_current_pid_tgid get_current_uid_gid get_current_comm",
    "4.3": "get_cgroup_classid skb_vlan_push skb_vlan_pop skb_get_tunnel_key skb_set_tunnel_key perf_event_read",
    "4.4": "redirect get_route_realm perf_event_output",
    "4.5": "skb_load_bytes",
    "4.6": "get_stackid csum_diff skb_get_tunnel_opt skb_set_tunnel_opt",
    "4.8": "skb_change_proto skb_change_type skb_under_cgroup get_hash_recalc get_current_task probe_write_user",
    "4.9": "current_task_under_cgroup skb_change_tail skb_pull_data csum_update set_hash_invalid",
    "4.10": "get_numa_node_id skb_change_head xdp_adjust_head",
    "4.11": "probe_read_str",
    "4.12": "get_socket_cookie get_socket_uid",
    "4.13": "set_hash setsockopt skb_adjust_room",
    "4.14": "redirect_map sk_redirect_map sock_map_update",
    "4.15": "xdp_adjust_meta perf_event_read_value perf_prog_read_value getsockopt",
    "4.16": "override_return sock_ops_cb_flags_set",
    "4.17": "msg_redirect_map msg_apply_bytes msg_cork_bytes msg_pull_data bind",
    "4.18": "xdp_adjust_tail get_stack fib_lookup lwt_push_encap rc_keydown skb_cgroup_id get_current_cgroup_id",
    "4.19": "get_local_storage sk_select_reuseport skb_ancestor_cgroup_id",
    "4.20": "sk_lookup_tcp sk_lookup_udp sk_release map_push_elem map_pop_elem map_peek_elem msg_push_data",
    "5.0": "msg_pop_data rc_pointer_rel",
    "5.1": "spin_lock spin_unlock sk_fullsock tcp_sock skb_ecn_set_ce get_listener_sock",
    "5.2": "skc_lookup_tcp tcp_check_syncookie sysctl_get_name strtol sk_storage_get sk_storage_delete",
    "5.3": "send_signal",
    "5.5": "skb_output probe_read_user probe_read_kernel probe_read_user_str probe_read_kernel_str",
    "5.8": "ringbuf_output ringbuf_reserve ringbuf_submit ringbuf_discard ringbuf_query",
    "5.9": "get_task_stack",
    "5.10": "load_hdr_opt inode_storage_get skb_cgroup_classid redirect_neigh redirect_peer seq_printf_btf",
    "5.13": "for_each_map_elem snprintf",
    "5.15": "timer_init get_func_ip get_attach_cookie task_pt_regs",
    "5.17": "find_vma loop strncmp get_func_arg_cnt",
    "6.2": "cgrp_storage_get cgrp_storage_delete",
}
MAPS_SINCE = {
    "3.19": "hash array", "4.2": "prog_array", "4.3": "perf_event_array", "4.6": "percpu_hash percpu_array stack_trace",
    "4.8": "cgroup_array", "4.10": "lru_hash lru_percpu_hash", "4.11": "lpm_trie", "4.12": "array_of_maps hash_of_maps",
    "4.14": "devmap sockmap", "4.15": "cpumap", "4.18": "xskmap sockhash", "4.19": "cgroup_storage reuseport_sockarray",
    "4.20": "percpu_cgroup_storage queue stack", "5.2": "sk_storage", "5.4": "devmap_hash", "5.6": "struct_ops",
    "5.8": "ringbuf", "5.10": "inode_storage", "5.11": "task_storage", "5.16": "bloom_filter", "6.1": "user_ringbuf",
    "6.2": "cgrp_storage", "6.9": "arena",
}  # fmt: skip
PROGS_SINCE = {
    "3.19": "socket_filter", "4.1": "kprobe sched_cls sched_act", "4.7": "tracepoint", "4.8": "xdp",
    "4.9": "perf_event", "4.10": "cgroup_skb cgroup_sock lwt_in lwt_out lwt_xmit", "4.13": "sock_ops",
    "4.14": "sk_skb", "4.15": "cgroup_device", "4.17": "sk_msg raw_tracepoint cgroup_sock_addr",
    "4.18": "lwt_seg6local lirc_mode2", "4.19": "sk_reuseport", "4.20": "flow_dissector",
    "5.2": "cgroup_sysctl raw_tracepoint_writable", "5.3": "cgroup_sockopt", "5.5": "tracing", "5.6": "struct_ops ext",
    "5.7": "lsm", "5.9": "sk_lookup", "5.14": "syscall", "6.4": "netfilter",
}  # fmt: skip


@pytest.mark.parametrize("table", TABLES)
def test_rows_stand_in_the_order_of_releases_and_of_the_enum(table: str) -> None:
    rows, names, since, first = TABLES[table]
    releases = [versions.order(release) for release, _ in rows]
    assert releases == sorted(set(releases))
    numbers = [names.index(name) for _, name in rows]
    assert numbers == sorted(set(numbers))
    assert [since(number) for number in numbers] == [release for release, _ in rows]
    assert all(since(number) for number in range(first, len(names)))  # what a newer enum has needs a row
    assert since(len(names)) is None
    assert since(-1) is None


@pytest.mark.parametrize(
    ("facts", "names", "table"),
    [(HELPERS_SINCE, HELPERS, "helpers"), (MAPS_SINCE, MAP_TYPES, "map types"),
     (PROGS_SINCE, PROG_TYPES, "program types")],
)  # fmt: skip
def test_releases_are_those_of_the_documents(facts: dict[str, str], names: tuple[str, ...], table: str) -> None:
    since = TABLES[table][2]
    found = {name: since(names.index(name)) for line in facts.values() for name in line.split()}
    assert found == {name: release for release, line in facts.items() for name in line.split()}


def test_no_attach_type_is_older_than_its_programs() -> None:
    for section in SECTIONS.values():
        needs = [release for release, _ in section_needs(section)]
        assert all(needs), section.prefix
        if section.attach_type:
            programs = versions.prog_type_since(section.prog_type_number)
            attach = versions.attach_type_since(section.attach_type_number)
            assert programs
            assert attach
            assert versions.order(attach) >= versions.order(programs), section.prefix
