"""Section names: against the installed libbpf, whose answers are the reference, and the UAPI's own names."""

from __future__ import annotations

import ctypes

import pytest

from bcctool.kernel.uapi import ATTACH_TYPES, PROG_TYPES
from bcctool.loader.sections import BTF_TARGET, EXTRAS, FRAGS, SECTIONS, SLEEPABLE, by_type_name, lookup

# What libbpf 1.1, the oldest that is common, does not know yet.
NEWER = {
    "cgroup/connect_unix",
    "cgroup/getpeername_unix",
    "cgroup/getsockname_unix",
    "cgroup/recvmsg_unix",
    "cgroup/sendmsg_unix",
    "kprobe.session",
    "netfilter",
    "netkit/peer",
    "netkit/primary",
    "sk_skb/verdict",
    "struct_ops.s",
    "tc/egress",
    "tc/ingress",
    "tcx/egress",
    "tcx/ingress",
    "uprobe.multi",
    "uprobe.multi.s",
    "uprobe.session",
    "uprobe.session.s",
    "uretprobe.multi",
    "uretprobe.multi.s",
    "usdt.s",
}
ENDINGS = ("", "/", "/x", "/x/y", "x", ".s", ".", "//")


def libbpf() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libbpf.so.1")
    except OSError:
        pytest.skip("needs libbpf.so.1")
    library.libbpf_set_print(None)
    return library


def test_same_answers_as_libbpf() -> None:
    library = libbpf()
    prog_type, attach_type = ctypes.c_int(), ctypes.c_int()
    differences = []
    known = set()
    for name in [prefix + ending for prefix in SECTIONS for ending in ENDINGS] + ["", "/", "x", "maps", "?xdp"]:
        status = library.libbpf_prog_type_by_name(name.encode(), ctypes.byref(prog_type), ctypes.byref(attach_type))
        theirs = None if status else (prog_type.value, attach_type.value)
        row = by_type_name(name)
        ours = (row.prog_type_number, row.attach_type_number) if row else None
        if theirs is None and row and row.prefix in NEWER:
            continue
        known.add(name)
        if theirs != ours:
            differences.append((name, theirs, ours))
    assert differences == []
    assert len(known & set(SECTIONS)) >= len(set(SECTIONS) - NEWER)


def test_names_are_those_of_the_uapi() -> None:
    for row in SECTIONS.values():
        assert PROG_TYPES[row.prog_type_number] == row.prog_type
        assert row.attach_type in ("", *ATTACH_TYPES)
        assert row.attach_type_number == (ATTACH_TYPES.index(row.attach_type) if row.attach_type else 0)
    assert {row.prog_type for row in SECTIONS.values()} == set(PROG_TYPES) - {"unspec"}


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("xdp", "xdp"),
        ("?xdp", "xdp"),
        ("xdp/devmap", "xdp/devmap"),
        ("kprobe/do_sys_open+0x10", "kprobe"),
        ("?kprobe.multi/a*b", "kprobe.multi"),
        ("usdt//usr/bin/x:a:b", "usdt"),
        ("struct_ops/init", "struct_ops"),
        ("xdp/anything", None),
        ("socket1", None),
        ("fentry.sx", None),
        ("??xdp", None),
        (".text", None),
        ("", None),
        ("/", None),
    ],
)
def test_lookup(name: str, prefix: str | None) -> None:
    row = lookup(name)
    assert (row.prefix if row else None) == prefix


def test_optional_prefix_is_no_type_name() -> None:
    assert by_type_name("?xdp") is None


def test_every_documented_type_name_is_known() -> None:
    # bpftool-prog(8), TYPE
    text = """socket kprobe kretprobe classifier action tracepoint raw_tracepoint xdp perf_event cgroup/skb cgroup/sock
        cgroup/dev lwt_in lwt_out lwt_xmit lwt_seg6local sockops sk_skb sk_msg lirc_mode2 sk_reuseport flow_dissector
        cgroup/sysctl cgroup/bind4 cgroup/bind6 cgroup/post_bind4 cgroup/post_bind6 cgroup/connect4 cgroup/connect6
        cgroup/connect_unix cgroup/getpeername4 cgroup/getpeername6 cgroup/getpeername_unix cgroup/getsockname4
        cgroup/getsockname6 cgroup/getsockname_unix cgroup/sendmsg4 cgroup/sendmsg6 cgroup/sendmsg_unix cgroup/recvmsg4
        cgroup/recvmsg6 cgroup/recvmsg_unix cgroup/getsockopt cgroup/setsockopt cgroup/sock_release struct_ops fentry
        fexit freplace sk_lookup"""
    assert [name for name in text.split() if by_type_name(name) is None] == []


def test_flags() -> None:
    assert {row.prefix for row in SECTIONS.values() if row.prefix.endswith(".s")} | {"syscall"} == {
        row.prefix for row in SECTIONS.values() if row.flags & SLEEPABLE
    }
    assert {row.prefix for row in SECTIONS.values() if row.flags & FRAGS} == {
        "xdp.frags",
        "xdp.frags/cpumap",
        "xdp.frags/devmap",
    }
    assert {row.prog_type for row in SECTIONS.values() if row.flags & BTF_TARGET} == {"tracing", "ext", "lsm"}
    assert not [prefix for prefix, row in SECTIONS.items() if row.flags & EXTRAS and "/" in prefix]
