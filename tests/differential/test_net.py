"""`net` beside the distribution's bpftool in one network: 7.1, which knows no tcx and no netfilter."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..conftest import Completed, Sandbox, no_bpf

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(not shutil.which("bpftool"), reason="bpftool is not installed"),
]

PIN = "/sys/fs/bpf/p"
XDP, TC = f"pinned {PIN}/net_xdp", f"pinned {PIN}/net_tc"
FILTER = f"bpf object-pinned {PIN}/net_tc"
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
"""

SHOW = [
    f"{style}net {words}"
    for style in ("", "-j ", "-p ")
    for words in ("show", "list", "", "show dev veth0", "show d veth1", "show dev veth2", "show dev lo")
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
    "net show dev nosuch",
    "-j net show dev nosuch",
]


@pytest.fixture(scope="module")
def box(compile_c: Callable[..., Path]) -> Iterator[Sandbox]:
    """A network with XDP on two devices, and with filters on classes, queueing disciplines, clsact and ingress."""
    if reason := no_bpf():
        pytest.skip(reason)
    box = Sandbox()
    box.run("bpftool", "prog", "loadall", compile_c("net_hooks.c", "-g"), PIN)
    for line in SETUP.strip().splitlines():
        words = line.split()
        if "bytecode" in words:  # its value is one word
            at = words.index("bytecode") + 1
            words[at : at + 4] = [" ".join(words[at : at + 4])]
        box.run(*words)
    yield box
    box.close()


def known(done: Completed) -> str:
    """What bpftool 7.1 knows of our output: without the last section."""
    text = done.stdout.replace(',"netfilter":[]', "").replace(',\n        "netfilter": []', "")
    return text.removesuffix("netfilter:\n\n")


@pytest.mark.parametrize("command", SHOW)
def test_same_listing(box: Sandbox, command: str) -> None:
    theirs = box.run("bpftool", *command.split())
    ours = box.bcctool(*command.split())
    assert known(ours) == theirs.stdout
    assert known(ours) != ours.stdout


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
