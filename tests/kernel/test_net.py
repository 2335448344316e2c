"""net on a real kernel: attaching, detaching, and finding programs at every hook, in a network of the test's own."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..conftest import BCCTOOL, NOBODY, ROOT, Sandbox

pytestmark = pytest.mark.skipif(not shutil.which("bpftool"), reason="bpftool, which loads the programs, is missing")

PINS = "/sys/fs/bpf"


@pytest.fixture
def net(sandbox: Sandbox, compile_c: Callable[..., Path]) -> Sandbox:
    """A sandbox with two devices and programs for all hooks."""
    sandbox.run("ip", "link", "add", "veth0", "type", "veth", "peer", "name", "veth1")
    for name in ("veth0", "veth1"):
        sandbox.run("ip", "link", "set", name, "up")
    sandbox.run("bpftool", "prog", "loadall", compile_c("net_hooks.c", "-g"), f"{PINS}/p")
    return sandbox


def prog(name: str) -> tuple[str, str]:
    return "pinned", f"{PINS}/p/{name}"


def id_of(net: Sandbox, name: str) -> int:
    return int(json.loads(net.bcctool("-j", "prog", "show", *prog(name)).stdout)["id"])


def show(net: Sandbox, *words: str) -> dict[str, Any]:
    (record,) = json.loads(net.bcctool("-j", "net", "show", *words).stdout)
    assert [*record] == ["xdp", "tc", "flow_dissector", "netfilter"]
    return dict(record)


def xdp(net: Sandbox) -> list[tuple[str, str, int]]:
    return [(row["devname"], row["mode"], row["id"]) for row in show(net)["xdp"]]


@pytest.mark.parametrize(("type", "mode"), [("xdp", "driver"), ("xdpdrv", "driver"), ("xdpgeneric", "generic")])
def test_xdp_comes_and_goes(net: Sandbox, type: str, mode: str) -> None:
    assert net.bcctool("net", "attach", type, *prog("net_xdp"), "dev", "veth0").stdout == ""
    assert xdp(net) == [("veth0", mode, id_of(net, "net_xdp"))]
    assert net.bcctool("-j", "net", "detach", type, "dev", "veth0").stdout == "null\n"
    assert xdp(net) == []
    assert net.bcctool("net", "detach", type, "dev", "veth0").stdout == ""  # nothing attached is fine


def test_xdp_is_replaced_only_on_demand(net: Sandbox) -> None:
    net.bcctool("net", "attach", "xdp", *prog("net_xdp"), "dev", "veth0")
    done = net.bcctool("net", "attach", "xdp", *prog("net_other"), "dev", "veth0", status=240)
    assert done.stderr.endswith("Error: interface xdp attach failed: Device or resource busy\n")
    assert xdp(net) == [("veth0", "driver", id_of(net, "net_xdp"))]
    net.bcctool("net", "attach", "xdp", *prog("net_other"), "dev", "veth0", "overwrite")
    assert xdp(net) == [("veth0", "driver", id_of(net, "net_other"))]


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (f"attach xdp pinned {PINS}/p/net_tc dev veth0", 234, "interface xdp attach failed: Invalid argument"),
        (f"attach xdpoffload pinned {PINS}/p/net_xdp dev veth0", 234,
         "interface xdpoffload attach failed: Invalid argument"),
        (f"attach tcx_ingress pinned {PINS}/p/net_xdp dev veth0", 234,
         "interface tcx_ingress attach failed: Invalid argument"),
        (f"attach xdp pinned {PINS}/p/net_xdp dev nosuch", 234, "invalid devname nosuch"),
        ("detach xdp dev nosuch", 234, "invalid devname nosuch"),
        ("detach tcx_egress dev veth0", 254, "interface tcx_egress detach failed: No such file or directory"),
        ("show dev nosuch", 255, "invalid devname nosuch"),
    ],
)  # fmt: skip
def test_what_the_kernel_refuses(net: Sandbox, words: str, status: int, message: str) -> None:
    assert net.bcctool("net", *words.split(), status=status).stderr == f"Error: {message}\n"
    done = net.bcctool("-j", "net", *words.split(), status=status)
    assert (json.loads(done.stdout), done.stderr) == ({"error": message}, "")


def test_tcx_programs_in_order(net: Sandbox) -> None:
    net.bcctool("net", "attach", "tcx_ingress", *prog("net_tc"), "dev", "veth0")
    net.bcctool("net", "attach", "tcx_in", *prog("net_act"), "dev", "veth0", "prepend")
    net.bcctool("net", "attach", "tcx_egress", *prog("net_tc"), "dev", "veth1")
    rows = show(net)["tc"]
    assert [(row["devname"], row["kind"], row["name"], row["prog_id"]) for row in rows] == [
        ("veth1", "tcx/egress", "net_tc", id_of(net, "net_tc")),
        ("veth0", "tcx/ingress", "net_act", id_of(net, "net_act")),
        ("veth0", "tcx/ingress", "net_tc", id_of(net, "net_tc")),
    ]
    assert show(net, "dev", "veth1")["tc"] == rows[:1]
    again = net.bcctool("net", "attach", "tcx_ingress", *prog("net_tc"), "dev", "veth0", status=239)
    assert again.stderr == "Error: interface tcx_ingress attach failed: File exists\n"
    net.bcctool("net", "detach", "tcx_ingress", "dev", "veth0")
    assert [row["name"] for row in show(net, "dev", "veth0")["tc"]] == ["net_act"]


def test_classic_filters_of_two_devices_with_the_same_handles(net: Sandbox) -> None:
    """bpftool asks every device for the filters of all devices' qdiscs, and would show these twice."""
    for device in ("veth0", "veth1"):
        net.run("tc", "qdisc", "add", "dev", device, "root", "handle", "1:", "htb")
        pinned = ("bpf", "object-pinned", f"{PINS}/p/net_tc", "flowid", "1:1")
        net.run("tc", "filter", "add", "dev", device, "parent", "1:", *pinned)
    rows = [(row["devname"], row["kind"], row["id"]) for row in show(net)["tc"]]
    assert rows == [(device, "htb", id_of(net, "net_tc")) for device in ("veth1", "veth0")]


LINK = f"""
import ctypes, subprocess, sys
sys.path.insert(0, {str(ROOT)!r})
from bcctool.kernel import bpf, libbpf, proc, uapi
NETFILTER, LINK_NETFILTER, ACCEPT = 32, 45, bytes.fromhex("b700000001000000 9500000000000000")
opts = libbpf.opts(libbpf.prog_load_opts, expected_attach_type=LINK_NETFILTER)
try:
    prog = libbpf.call("bpf_prog_load", NETFILTER, b"accept", b"GPL", ACCEPT, 2, ctypes.byref(opts))
except OSError as error:
    sys.exit(f"no netfilter programs here: {{error}}")
links = []
for hook, priority in ((3, 7), (0, -128)):
    attr = uapi.attr_link_create(attach_type=LINK_NETFILTER)
    attr.prog_fd = prog
    attr.netfilter.pf, attr.netfilter.hooknum, attr.netfilter.priority = 2, hook, priority
    links.append(bpf.bpf(uapi.BPF_LINK_CREATE, attr))
print(proc.fdinfo(prog)["prog_id"])
print(subprocess.run({[*BCCTOOL, "net", "show"]!r}, capture_output=True, text=True).stdout)
"""


def test_netfilter_links(net: Sandbox) -> None:
    done = net.run(sys.executable, "-c", LINK, status=None)
    if done.returncode:
        pytest.skip(done.stderr)
    id, _, listing = done.stdout.partition("\n")
    section = listing[listing.index("netfilter:\n") :]
    first, second = f"\n\tip prerouting prio -128 prog_id {id}", f"\n\tip output prio 7 prog_id {id}"
    assert section.index(first) < section.index(second)


def test_the_flow_dissector(net: Sandbox) -> None:
    """A network namespace with a flow dissector of its own."""
    net.run("bpftool", "prog", "attach", *prog("net_flow"), "flow_dissector")
    try:
        assert show(net)["flow_dissector"] == [{"id": id_of(net, "net_flow")}]
        assert show(net, "dev", "lo")["flow_dissector"] == [{"id": id_of(net, "net_flow")}]
    finally:
        net.run("bpftool", "prog", "detach", *prog("net_flow"), "flow_dissector")


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ("net show", 255, "can't query prog: Operation not permitted"),
        ("net attach xdp id 1 dev lo", 234, "get by id (1): Operation not permitted"),
        ("net detach xdp dev lo", 255, "interface xdp detach failed: Operation not permitted"),
        ("perf show", 255, "perf_query_support: Operation not permitted"),
        ("btf show", 255, "can't get next prog: Operation not permitted"),
        ("btf dump id 1", 255, "can't get BTF object by id (1): Operation not permitted"),
    ],
)
def test_without_privileges(sandbox: Sandbox, words: str, status: int, message: str) -> None:
    done = sandbox.run(*NOBODY, *BCCTOOL, "-j", *words.split(), status=status)
    assert json.loads(done.stdout) == {"error": message}
    done = sandbox.run(*NOBODY, *BCCTOOL, *words.split(), status=status)
    first, *hint = done.stderr.splitlines()
    assert (done.stdout, first) == ("", f"Error: {message}")
    assert [line.partition(":")[0] for line in hint] == (["HINT"] if words == "perf show" else [])
