"""The command lines of test_scenario.py; `@/` is where the scenario's objects are pinned, {p/NAME} the id of a program.

{m/NAME} is the id of a map, {l/NAME} of a link, {lp/NAME} of a link's program, {b/NAME} of BTF; {t/NAME} is a tag.
"""

from __future__ import annotations

from ..scenario import PLAIN

STYLES = ("", "-j ", "-p ")
ALL_STYLES = (*STYLES, "-f ", "-jf ", "-pf ")
TYPES = ("p_socket_filter", "p_classifier", "p_action", "p_tracepoint", "p_raw_tracepoint", "p_xdp", "p_perf_event",
         "p_cgroup_skb", "p_cgroup_sock", "p_cgroup_sock_addr", "p_cgroup_sysctl", "p_cgroup_device", "p_sock_ops",
         "p_sk_skb",
         "p_sk_msg", "p_lwt_in", "p_flow_dissector", "p_sk_lookup", "p_syscall")  # fmt: skip
LONG, TAIL = "much_longer_name_of_{salt}", "tail_{salt}"
RICH = f"pinned @/progs/{LONG}"
PROGS = (RICH, f"pinned @/progs/{TAIL}", "pinned @/progs/kernel_symbols", "pinned @/maps/uses_storage",
        "id {p/tail_end}")
SHAPES = "map pinned @/m/sc_shapes"
MAPS = ("sc_shapes", "sc_ints", "sc_flat", "sc_names", "sc_cpus", "sc_cpu_hash", "sc_lru", "sc_lru_cpus",
        "sc_sockets",
        "sc_socket_hash", "sc_reuseport", "sc_devices", "sc_device_hash", "sc_cpu_map", "sc_xsks", "sc_perf",
        "sc_cgroups",
        "sc_queue", "sc_stack", "sc_bloom", "sc_sk_storage", "sc_task_storage", "sc_inode_storage", "sc_cgrp_storage",
        "sc_trie", "sc_ring", "sc_user_ring", "sc_traces", "sc_cg_storage", "sc_cg_cpus", "sc_inner1", "sc_outer",
        "sc_outer_hash", "sc_tails", "sc_counts", "scenario_rodata", "scenario_data", "scenario_bss", "_data_own",
        "sc_wides", "arena")  # fmt: skip
LINKS = ("l_raw_tp", "l_tp_btf", "l_connect4", "l_sock_create", "l_setsockopt", "l_sockops", "l_egress",
        "l_sk_lookup",
         "l_flow", "l_iter_task", "l_iter_cgroup", "l_iter_map")  # fmt: skip
NEWER_LINKS = ("l_tp", "l_uprobe", "l_uretprobe", "l_uprobe_multi", "l_uretprobe_multi", "l_perf_event_cpu0", "l_xdp",
               "l_tcx_ingress", "l_tcx_egress", "l_netfilter", "l_sk_msg", "l_verdict")  # fmt: skip


def styled(*commands: str, styles: tuple[str, ...] = STYLES) -> list[str]:
    """Each command in text, in JSON and in pretty JSON."""
    return [style + command for command in commands for style in styles]


PROG = [
    *styled(*(f"prog show pinned @/types/{name}" for name in TYPES)),
    *styled(*(f"prog show {selector}" for selector in PROGS)),
    *styled(*(f"prog dump xlated {selector}{words}" for selector in PROGS for words in ("", " opcodes", " linum"))),
    *styled("prog show tag {t/LONG}", f"prog show name {LONG}", f"p s n {TAIL}", "prog dump x i {lp/l_xdp}",
            "prog show id {lp/l_sk_lookup}", "p l id {p/p_xdp:#x}", "prog show id 0{p/p_xdp:o}"),
    "prog show -j pinned @/types/p_xdp", f"p -p s {RICH}", "prog show id {p/p_xdp} --json",
    "prog --pretty show id {p/p_xdp}",
    "--js prog show id {p/p_xdp}", "prog show -jp tag {t/LONG}",
    f"prog dump xlated name {TAIL} op", "prog dump xlated tag {t/LONG} l",
    f"prog dump xlated {RICH} file /dev/null", f"-j prog d x {RICH} f /dev/null",
    f"prog dump xlated {RICH} foo",
    f"prog dump foo {RICH}",
    *styled("prog show pinned @/m/hash", "prog show pinned @/none", "prog show name", "prog show foo 1",
    "prog show id x",
            "prog show id 4294967295", "prog dump xlated id 4294967295", "prog show id {p/p_xdp} junk",
            "prog pin id {p/p_xdp}",
            styles=("", "-j ")),
]  # fmt: skip

MAP = [
    *styled(*(f"map show pinned @/m/{name}" for name in (*MAPS, *PLAIN, "maps"))),
    *styled(*(f"map dump pinned @/m/{name}" for name in (*MAPS, *PLAIN, "maps") if name != "sc_reuseport")),
    *styled("map show name twin_{salt}", "map dump name twin_{salt}", "map show name solo_{salt}", styles=ALL_STYLES),
    *styled("map show id {m/sc_shapes}", "map show id {m/sc_shapes:#x}", "m s i 0{m/hash:o}",
    "map dump id {m/sc_tails}",
            "map d id {m/sc_inner2}", "map show name scenario.bss", "map show pinned '@/odd/with space'",
            "map show pinned @/odd/ünïcode", "map dump pinned '@/odd/quo\"te'"),
    "map show -j pinned @/m/hash", "map -jf show pinned @/m/solo", "map dump pinned @/m/sc_flat -p",
    *styled(
        "map lookup pinned @/m/hash key 1 0 0 0", "map lookup pinned @/m/hash key 9 0 0 0",
        "map lookup pinned @/m/hash key 9 0 0", "map lookup pinned @/m/hash key hex 1 0 0 zz",
        "map lookup pinned @/m/hash k h 01 00 00 00", "map lookup pinned @/m/cpus key 1 0 0 0",
        "map lookup pinned @/m/hash17_1 key 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0",
        "map lookup pinned @/m/trie key 32 0 0 0 10 1 2 9",
        "map lookup pinned @/m/queue", "map peek pinned @/m/stack", "map lookup pinned @/m/bloom",
        "map lookup pinned @/m/sc_ints key 7 0 0 0", "map lookup pinned @/m/sc_shapes key 2 0 0 0 98 0 0 0",
        "map lookup pinned @/m/sc_cpus key 1 0 0 0", "map lookup pinned @/m/sc_cpu_hash key 3 0 0 0 97 98 0 0",
        "map lookup pinned @/m/sc_trie key 32 0 0 0 10 9 9 9", "map lookup pinned @/m/sc_trie key 32 0 0 0 11 9 9 9",
        "map lookup pinned @/m/sc_names key 1 0 0 0", "map lookup pinned @/m/sc_sockets key 0 0 0 0",
        "map lookup pinned @/m/sc_sockets key 1 0 0 0", "map lookup pinned @/m/sc_socket_hash key 7 0 0 0",
        "map lookup pinned @/m/sc_devices key 1 0 0 0", "map lookup pinned @/m/sc_devices key 0 0 0 0",
        "map lookup pinned @/m/sc_device_hash key 9 0 0 0", "map lookup pinned @/m/sc_cpu_map key 0 0 0 0",
        "map lookup pinned @/m/sc_xsks key 0 0 0 0", "map lookup pinned @/m/sc_perf key 0 0 0 0",
        "map lookup pinned @/m/sc_cgroups key 1 0 0 0", "map lookup pinned @/m/sc_reuseport key 0 0 0 0",
        "map peek pinned @/m/sc_queue", "map peek pinned @/m/sc_stack", "map peek pinned @/m/sc_ring",
        "map lookup pinned @/m/sc_tails key 1 0 0 0", "map lookup pinned @/m/sc_tails key 0 0 0 0",
        "map lookup pinned @/m/progs key 1 0 0 0", "map lookup pinned @/m/scenario_rodata key 0 0 0 0",
        "map lookup name twin_{salt} key 0 0 0 0", "map lookup name solo_{salt} key 1 0 0 0",
        "map getnext pinned @/m/array", "map getnext pinned @/m/array key 1 0 0 0",
        "map getnext pinned @/m/array key 2 0 0 0",
        "map getnext pinned @/m/queue", "map getnext pinned @/m/sc_trie",
        "map getnext pinned @/m/sc_flat key 0 0 0 0",
        "map getnext pinned @/m/sc_outer", "map getnext pinned @/m/sc_xsks", "map getnext pinned @/m/sc_ring",
        "map getnext pinned @/m/hash1_17 key 1", "map g pinned @/m/sc_sockets key 0 0 0 0",
        "map update pinned @/m/frozen key 0 0 0 0 value 1 0 0 0", "map freeze pinned @/m/frozen",
        "map delete pinned @/m/array key 1 0 0 0", "map delete pinned @/m/hash key 99 0 0 0",
        "map update pinned @/m/hash key 1 0 0 0 value 1 0 0 0 0 0 0 0 noexist",
        "map update pinned @/m/hash key 1 0 0 0 value 1",
        "map update pinned @/m/maps key 0 0 0 0 value 1 0 0 0",
        "map update pinned @/m/maps key 0 0 0 0 value pinned @/m/queue",
        "map pin pinned @/m/hash @/m/array", "map show pinned @/types/p_xdp", "map show pinned @/links/l_xdp",
        "map show pinned @/none", "map show id 4294967295", "map dump id x", "map show foo 1", "map show id",
        styles=("", "-j "),
    ),
]  # fmt: skip

LINK = [
    *styled(*(f"link show pinned @/links/{name}" for name in LINKS)),
    *styled(*(f"link show pinned @/links/{name}" for name in LINKS[:4]), styles=("-f ", "-jf ")),
    *styled("link show id {l/l_connect4}", "l s i {l/l_iter_map}", "link list id {l/l_flow:#x}"),
    *styled("link show pinned @/m/hash", "link show pinned @/none", "link show id 2147483647", "link show name x",
            "link pin pinned @/links/l_tp @/links/l_xdp", "link pin id {l/l_tp}", "link show id", styles=("", "-j ")),
]  # fmt: skip

BTF = [
    *styled(*(f"btf dump {source}" for source in (
        SHAPES, f"{SHAPES} key", f"{SHAPES} value", f"{SHAPES} kv", f"{SHAPES} all",
        "prog pinned @/maps/uses_storage",
        "id {b/sc_shapes}", f"prog {RICH}", "map id {m/sc_wides} value", "map id {m/sc_trie} key",
        "map name scenario.bss",
        "map pinned @/m/sc_bytes v", "map pinned @/m/sc_names all format raw", "file {o/progs}",
        "file {o/maps} format raw",
        "map pinned @/m/scenario_rodata kv"))),
    *styled("btf show id {b/sc_wides}", "btf show id {b/sc_shapes}", "bt l id {b/sc_counts}",
    "b l id {b/sc_counts}", "bt s id {b/sc_counts:#x}"),
    "-B /sys/kernel/btf/vmlinux btf dump file {o/wide}", "btf dump -j file {o/wide}", "btf dump id {b/sc_wides} -p",
    *styled(f"btf dump {SHAPES} foo", "btf show id {b/sc_shapes} junk", "btf dump prog pinned @/none",
            "btf dump map pinned @/types/p_xdp", "btf dump id 4294967295", "btf dump id x", "btf dump file @/none",
            f"btf dump {SHAPES} format x", "btf dump file", styles=("", "-j ")),
]  # fmt: skip

CGROUP = styled(
    "cgroup show {cgroup}", "cgroup list {cgroup} effective", "cgroup show {cgroup}/child",
    "cgroup s {cgroup}/child eff",
    "cgroup tree {cgroup}", "cgroup tree {cgroup} effective", "c t {cgroup}/child",
) + styled(
    "cgroup show @/none", "cgroup show {cgroup} foo", "cgroup show", "cgroup tree {cgroup} foo",
    "cgroup attach {cgroup} nosuch id {p/p_cgroup_skb}", "cgroup attach {cgroup} ingress",
    "cgroup detach {cgroup} egress id 4294967295",
    "cgroup attach {cgroup} ingress id {p/p_xdp}", "cgroup detach {cgroup}/child egress id {p/p_cgroup_skb}",
    "cgroup attach {cgroup} ingress id {p/p_cgroup_skb} foo", styles=("", "-j "),
)  # fmt: skip

NET = [
    *styled("net show dev s0", "net list dev s2", "n s d s3", "net show dev lo"),
    *styled("net show dev nosuch", "net attach xdp id {p/p_xdp} dev s0", "net attach xdp id {p/p_classifier} dev s3",
            "net attach foo id {p/p_xdp} dev s0", "net detach xdp dev nosuch", "net detach xdp",
            "net attach xdp id 4294967295 dev s0",
            "net attach xdpgeneric id {p/p_xdp} dev s0", styles=("", "-j ")),
]  # fmt: skip

STRUCT_OPS = styled(
    "struct_ops show name {table}", "struct_ops list name {linked}", "struct_ops dump name {table}", "s d n {linked}",
) + styled("struct_ops show id {m/hash}", "struct_ops dump id 4294967295", "struct_ops show foo 1", styles=("",
        "-j "))  # fmt: skip

OTHERS = ["nosuch", "-j nosuch", "prog nosuch", "-j map nosuch", "link nosuch", "btf nosuch", "cgroup nosuch",
        "net nosuch",
          "perf nosuch", "struct_ops nosuch", "gen nosuch", "iter nosuch", "feature nosuch", "-j gen skeleton @/none",
          "gen skeleton", "iter pin", "iter pin {o/iter}", "iter pin @/none @/x", "batch", "batch file",
          "batch file @/none", "-j batch file @/none", "batch file {tmp}/empty junk",
          "-p batch nosuch {tmp}/empty"]  # fmt: skip

# Written to files of these names.
BATCHES = {
    "listing": [*(f"map show pinned @/m/{name}" for name in ("hash", "sc_flat", "frozen")),
                *(f"map dump pinned @/m/{name}" for name in ("hash", "array", "cpus", "sc_flat", "sc_cpus",
                "sc_trie")),
                *(f"prog show pinned @/types/{name}" for name in TYPES), f"prog dump xlated {RICH} linum"],
    "quoted": ["map show pinned '@/odd/with space' # a comment", "", "# nothing",
    "map lookup pinned @/m/hash key \\", "1 0 0 0",
               'p s pinned "@/types/p_xdp"'],
    "failing": ["map show pinned @/m/hash", "map lookup pinned @/m/hash key 99 0 0 0", "map show pinned @/m/array"],
    "unknown": ["prog show pinned @/types/p_xdp", "prog show id x", "prog show pinned @/types/p_xdp"],
    "nested": ["batch file {tmp}/quoted", "map show pinned @/m/array"],
    "unterminated": ["map show pinned '@/m/hash"],
    "unfinished": ["map show pinned @/m/hash", "map show pinned \\"],
    "empty": [],
}  # fmt: skip

COMMANDS = [*PROG, *MAP, *LINK, *BTF, *CGROUP, *NET, *STRUCT_OPS, *OTHERS,
            *styled(*(f"batch file {{tmp}}/{name}" for name in BATCHES))]  # fmt: skip
LISTINGS = [
    *styled("prog show", "map show", "link show", styles=ALL_STYLES),
    *styled("prog list", "p", "m l", "map", "l", "btf show", "bt l", "perf show", "pe l", "struct_ops show", "s"),
    "prog show -f", "map -jf list", "--json --bpffs link",
]  # fmt: skip

GOLDEN = {
    "link": styled(*(f"link show pinned @/links/{name}" for name in NEWER_LINKS), "link show id {l/linked}",
    "link show")
    + styled("link show pinned @/links/l_xdp", "link show", styles=("-f ", "-jf ")),
    "net": styled("net show", "net show dev s1", "net show dev lo"),
    "map": [*styled(*(f"map dump pinned @/m/{name}" for name in ("sc_floats", "sc_bytes", "sc_outer", "sc_outer_hash")),
                    "map lookup pinned @/m/sc_outer key 2 0 0 0"),
            "map dump pinned @/m/sc_reuseport"],
    "prog": [*styled("prog show id {lp/l_netfilter}"), "prog dump xlated pinned @/types/p_xdp visual"],
    "btf": [f"btf dump map pinned @/m/{words} format c" for words in ("sc_flat value", "sc_names kv",
    "sc_wides value")],
    "cgroup": styled("cgroup show {cgroup}", "cgroup tree {cgroup} effective"),
    "feature": [f"{style}feature list_builtins {group}" for style in ("", "-j ")
                for group in ("prog_types", "map_types", "attach_types", "link_types", "helpers")],
}  # fmt: skip
