"""`net` beside the distribution's bpftool in one network: 7.1, which knows no tcx and no netfilter."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..conftest import ROOT, Completed, Sandbox, no_bpf

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(not shutil.which("bpftool"), reason="bpftool is not installed"),
]

PIN = "/sys/fs/bpf/p"
XDP, TC = f"pinned {PIN}/net_xdp", f"pinned {PIN}/net_tc"
FILTER, ACT = (f"bpf object-pinned {PIN}/{name}" for name in ("net_tc", "net_act"))
# bpftool 7.1 asks each device for the qdiscs of all: no two have the same handles.
SETUP = f"""
ip link add veth0 type veth peer name veth1
ip link add veth2 type veth peer name veth3
bpftool net attach xdp {XDP} dev veth0
bpftool net attach xdpgeneric {XDP} dev veth1
tc qdisc add dev veth0 clsact
tc filter add dev veth0 ingress {FILTER} da
tc filter add dev veth0 egress prio 3 {FILTER} da
tc filter add dev veth0 egress prio 4 bpf bytecode 1,6 0 0 4294967295, flowid 1:1
tc qdisc add dev veth1 root handle 1: htb
tc class add dev veth1 parent 1: classid 1:10 htb rate 1mbit
tc filter add dev veth1 parent 1: {FILTER} flowid 1:10
tc filter add dev veth1 parent 1:10 {FILTER} flowid 1:10
tc qdisc add dev veth2 handle ffff: ingress
tc filter add dev veth2 ingress {FILTER}
ip link add veth4 type veth peer name veth5
tc qdisc add dev veth4 ingress_block 7 egress_block 8 clsact
tc qdisc add dev veth5 ingress_block 7 clsact
tc filter add block 7 {FILTER} da
tc filter add block 7 {ACT} da
tc filter add block 8 {ACT} da
tc filter add dev veth5 egress chain 5 {ACT} da
tc filter add dev veth5 egress chain 2 prio 9 {FILTER} da
tc filter add dev veth5 egress prio 9 u32 match u32 0 0 flowid 1:1
tc filter add dev veth5 egress prio 3 {FILTER} action mirred egress redirect dev veth4
ip link add veth6 type veth peer name veth7
tc qdisc add dev veth6 root handle 2: htb default 10
tc class add dev veth6 parent 2: classid 2:1 htb rate 1mbit
tc class add dev veth6 parent 2:1 classid 2:10 htb rate 1mbit
tc qdisc add dev veth6 parent 2:10 handle 20: tbf rate 1mbit burst 10k latency 10ms
tc filter add dev veth6 parent 2: {FILTER} flowid 2:10
tc filter add dev veth6 parent 2:1 {ACT} flowid 2:10
tc filter add dev veth6 parent 2:10 {ACT} flowid 2:10
tc qdisc add dev veth7 root handle 3: htb
tc class add dev veth7 parent 3: classid 3:1 htb rate 1mbit
tc qdisc add dev veth7 parent 3:1 handle 4: htb
tc filter add dev veth7 parent 3: {FILTER} flowid 3:1
tc filter add dev veth7 parent 4: {ACT}
tc qdisc add dev veth7 clsact
tc filter add dev veth7 ingress bpf da obj OBJECT sec tc
tc filter add dev veth7 egress bpf obj OBJECT sec tc action mirred egress redirect dev veth4
"""
# Of filters, as Python writes them: none, an empty one, long ones.
NAMES = ("None", "''", "'x' * 250", "'\\xe9' * 50", "'a b'")
NAMELESS = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from bcctool.kernel import bpf
from pyroute2 import IPRoute
from pyroute2.netlink import NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST
from pyroute2.netlink.rtnl import tcmsg
RTM_NEWTFILTER, ALL, INGRESS = 44, 0x300, 0xfffffff2
prog = bpf.obj_get("{PIN}/net_tc")
with IPRoute() as ip:
    (index,) = ip.link_lookup(ifname="veth3")
    for prio, name in enumerate(({", ".join(NAMES)}), 1):
        msg = tcmsg.tcmsg()
        msg["index"], msg["parent"], msg["info"] = index, INGRESS, prio << 16 | ALL
        options = [("TCA_BPF_FD", prog), ("TCA_BPF_FLAGS", 1)] + ([("TCA_BPF_NAME", name)] if name is not None else [])
        msg["attrs"] = [("TCA_KIND", "bpf"), ("TCA_OPTIONS", {{"attrs": options}})]
        ip.nlm_request(msg, RTM_NEWTFILTER, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL)
"""

SHOW = [
    f"{style}net {words}"
    for style in ("", "-j ", "-p ")
    for words in (
        "show",
        "list",
        "",
        "show dev veth0",
        "show d veth1",
        "show dev veth2",
        "show dev lo",
        "list dev veth4",
        "sh dev veth5",
        "show dev veth6",
        "show dev veth7",
    )
]
# Nothing that changes the order of what is shown: each is undone by the next, or fails.
CHANGE = [
    f"net attach xdp {XDP} dev veth0",
    f"-j net attach xdp {XDP} dev veth0",
    f"net attach xdp {XDP} dev veth0 overwrite",
    f"-j net attach xdp {XDP} dev veth0 over",
    f"net attach xdpgeneric {XDP} dev veth0",
    f"net attach xdpoffload {XDP} dev veth0",
    f"net attach xdp {TC} dev veth3",
    f"-j net attach xdp {TC} dev nosuch",
    f"net attach xdp {TC}",
    f"net attach xdp {XDP} foo veth0",
    f"net attach ydp {XDP} dev veth0",
    f"net attach xdp {XDP} dev veth0 foo",
    "net attach xdp id 4294967295 dev veth0",
    "net attach xdp foo 1 dev veth0",
    "net attach",
    "net detach",
    "net detach xdp dev",
    "net detach xdp foo lo",
    "net detach ydp dev lo",
    "net detach xdp dev nosuch",
    "net detach xdp dev lo",
    "-j net detach xdp dev lo",
    "net detach xdpdrv dev veth1",
    "-j net detach xdpoffload dev veth1",
    "net detach xdp d lo",
    "net detach xdpgeneric dev lo",
    "-j net detach xdpdrv dev lo",
    f"net attach xdpdrv {XDP} dev lo",
    f"net attach xdp {XDP} dev veth0 overwrite",
    f"net attach xdpgeneric {XDP} dev veth0 overwrite",
    f"net attach xdpdrv {XDP} dev veth1 overwrite",
    f"net attach xdp {XDP} dev {'a' * 30}",
    f"net attach xdp pinned {PIN}/nosuch dev lo",
    "net attach xdp name net_tc dev lo",
    "net attach xdp tag 00 dev lo",
    f"net attach {XDP} dev lo",
    "-j net show dev",
    "-j net show foo",
    "-j net show dev lo junk",
    "-j net foo",
    "-j net help",
    "net show dev nosuch",
    "-j net show dev nosuch",
]


@pytest.fixture(scope="module")
def box(compile_c: Callable[..., Path]) -> Iterator[Sandbox]:
    """A network with XDP on two devices, and with filters on classes, queueing disciplines, clsact and ingress."""
    if reason := no_bpf():
        pytest.skip(reason)
    box = Sandbox()
    compiled = compile_c("net_hooks.c", "-g")
    box.run("bpftool", "prog", "loadall", compiled, PIN)
    for line in SETUP.replace("OBJECT", str(compiled)).strip().splitlines():
        words = line.split()
        if "bytecode" in words:  # its value is one word
            at = words.index("bytecode") + 1
            words[at : at + 4] = [" ".join(words[at : at + 4])]
        box.run(*words)
    yield box
    box.close()


def known(done: Completed) -> str:
    """What bpftool 7.1 knows of our output: without the last section, which has the links of others too."""
    text = re.sub(r',"netfilter":\[.*', "}]", done.stdout)
    text = re.sub(r',\n        "netfilter": \[.*', "\n    }\n]\n", text, flags=re.DOTALL)
    return re.sub(r"(?m)^netfilter:\n(\n|.)*", "", text)


@pytest.mark.parametrize("command", SHOW)
def test_same_listing(box: Sandbox, command: str) -> None:
    theirs = box.run("bpftool", *command.split())
    ours = box.bcctool(*command.split())
    assert known(ours) == theirs.stdout
    assert known(ours) != ours.stdout


@pytest.mark.parametrize("style", ["", "-j ", "-p "])
def test_same_listing_of_filters_with_odd_names(box: Sandbox, style: str) -> None:
    box.run("tc", "qdisc", "add", "dev", "veth3", "clsact")
    try:
        box.run(sys.executable, "-c", NAMELESS)
        theirs = box.run("bpftool", *f"{style}net show dev veth3".split())
        assert known(box.bcctool(*f"{style}net show dev veth3".split())) == theirs.stdout
        assert theirs.stdout.count("clsact/ingress") == len(NAMES)
    finally:
        box.run("tc", "qdisc", "del", "dev", "veth3", "clsact")


def test_same_listing_with_a_flow_dissector(box: Sandbox) -> None:
    """Text only: their JSON of it is not valid."""
    pinned = ("pinned", f"{PIN}/net_flow", "flow_dissector")
    box.run("bpftool", "prog", "attach", *pinned)
    try:
        theirs = box.run("bpftool", "net", "show").stdout
        assert known(box.bcctool("net", "show")) == theirs
        assert theirs.partition("flow_dissector:\n")[2].startswith("id ")
    finally:
        box.run("bpftool", "prog", "detach", *pinned)


@pytest.mark.parametrize("command", CHANGE)
def test_same_answer(box: Sandbox, command: str) -> None:
    theirs = box.run("bpftool", *command.split(), status=None)
    ours = box.bcctool(*command.split(), status=theirs.returncode)
    assert (ours.stdout, ours.stderr) == (theirs.stdout, theirs.stderr)


def test_both_detach_the_same(box: Sandbox) -> None:
    for attach, detach in ((box.bcctool, box.run), (box.run, box.bcctool)):
        tools = {box.bcctool: (), box.run: ("bpftool",)}
        attach(*tools[attach], "net", "attach", "xdpdrv", *XDP.split(), "dev", "veth3")
        assert "veth3" in box.run("bpftool", "net", "show").stdout
        detach(*tools[detach], "net", "detach", "xdpdrv", "dev", "veth3")
        assert "veth3" not in box.run("bpftool", "net", "show").stdout
