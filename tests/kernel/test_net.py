"""net on a real kernel: attaching, detaching, and finding programs at every hook, in a network of the test's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE
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
        (f"attach xdp pinned {PINS}/p/net_xdp dev veth0 prepend", 234, "expected 'overwrite', got: 'prepend'?"),
        (f"attach tcx_i pinned {PINS}/p/net_tc dev veth0 overwrite", 234, "expected 'prepend', got: 'overwrite'?"),
        (f"attach tcx_i pinned {PINS}/p/net_tc dev veth0 prepend x", 234, "expected no more arguments, got: 'x'?"),
        ("detach tcx_i dev veth0 prepend", 234, "expected no more arguments, got: 'prepend'?"),
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


LINKS = f"""
import errno, sys
sys.path.insert(0, {str(ROOT)!r})
import ctypes, json, os, subprocess
from bcctool.kernel import bpf, libbpf, proc, uapi
NETFILTER, ATTACH, ACCEPT = 32, 45, bytes.fromhex("b700000001000000 9500000000000000")
IN, OUT, DEFRAG = 0, 4, 1
opts = libbpf.opts(libbpf.prog_load_opts, expected_attach_type=ATTACH)
try:
    prog = libbpf.call("bpf_prog_load", NETFILTER, b"accept", b"GPL", ACCEPT, 2, ctypes.byref(opts))
except OSError as error:
    sys.exit(f"no netfilter programs here: {{error}}")
rows = [(10, hook, -hook, 0) for hook in range(IN, OUT + 1)] + [(2, hook, 7, 0) for hook in range(OUT, IN - 1, -1)]
rows += [(2, IN, -128, 0), (2, IN, 2147483646, 0)]
for pf, hook, priority, flags in rows:
    bpf.link_create(prog, 0, ATTACH, netfilter=dict(pf=pf, hooknum=hook, priority=priority, flags=flags))
try:
    bpf.link_create(prog, 0, ATTACH, netfilter=dict(pf=2, hooknum=IN, priority=-200, flags=DEFRAG))
except OSError as error:
    assert error.errno in (errno.EOPNOTSUPP, errno.ENOENT), error
print(proc.fdinfo(prog)["prog_id"])
for words in ([], ["-j"]):
    print(subprocess.run([*{BCCTOOL!r}, *words, "net", "show"], capture_output=True, text=True).stdout, "####")
"""
INET = ("prerouting", "input", "forward", "output", "postrouting")


def test_netfilter_links(net: Sandbox) -> None:
    done = net.run(sys.executable, "-c", LINKS, status=None)
    if done.returncode:
        pytest.skip(done.stderr)
    id, _, listings = done.stdout.partition("\n")
    text, line, _ = listings.split("####\n")
    section = text[text.index("netfilter:\n") :]
    rows = [("ip", "prerouting", -128), *[("ip", hook, 7) for hook in INET], ("ip6", "prerouting", 0)]
    rows += [("ip6", hook, -number) for number, hook in enumerate(INET)][1:]
    rows.insert(2, ("ip", "prerouting", 2147483646))
    expected = [f"\t{pf} {hook} prio {prio} prog_id {id}" for pf, hook, prio in rows]
    assert [
        line for line in section.splitlines() if line.endswith(f" prog_id {id}") and "flags" not in line
    ] == expected
    found = [row for row in json.loads(line)[0]["netfilter"] if row["id"] == int(id)]
    assert [*found[0]] == ["pf", "hook", "prio", "flags", "id"]
    defragmenting = [row for row in found if row["flags"]]
    assert [(row["pf"], row["hook"], row["prio"], row["flags"]) for row in defragmenting] in ([], [(2, 0, -200, 1)])
    if defragmenting:
        assert f"\n\tip prerouting prio -200 flags 0x1 prog_id {id}\n" in section
    order = [(row["pf"], row["hook"], row["prio"]) for row in found]
    assert order == sorted(order)
    assert len(order) == len(rows) + len(defragmenting)


LINK = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import os, socket
from bcctool.kernel import bpf, proc, uapi
name, type = sys.argv[1:3]
target = os.open("/proc/self/ns/net", os.O_RDONLY) if type == "flow_dissector" else socket.if_nametoindex("veth0")
link = bpf.link_create(bpf.obj_get("{PINS}/p/" + name), target, uapi.ATTACH_TYPES.index(type))
print(proc.fdinfo(link)["link_id"], flush=True)
sys.stdin.read()
"""


@contextmanager
def linked(net: Sandbox, name: str, type: str) -> Iterator[str]:
    """A program attached by a link to veth0, or to the network namespace; the link's id."""
    enter = ("nsenter", "-t", str(net.holder.pid), "-m", "-n", "--", sys.executable, "-c", LINK, name, type)
    with subprocess.Popen(enter, stdin=PIPE, stdout=PIPE, text=True) as holder:
        assert holder.stdout is not None
        try:
            yield holder.stdout.readline().strip()
        finally:
            holder.communicate("")


def test_tcx_links_and_what_is_printed_of_them(net: Sandbox) -> None:
    """Byte for byte as later bpftools print them; the distribution's does not know tcx."""
    net.bcctool("net", "attach", "tcx_egress", *prog("net_tc"), "dev", "veth0")
    with linked(net, "net_act", "tcx_egress") as link:
        text = net.bcctool("net", "show", "dev", "veth0").stdout
        line = net.bcctool("-j", "net", "show", "dev", "veth0").stdout
        # The last program is a link's, which is not detached so.
        refused = net.bcctool("net", "detach", "tcx_egress", "dev", "veth0", status=240)
        assert [row["name"] for row in show(net, "dev", "veth0")["tc"]] == ["net_tc", "net_act"]
    tc, act = id_of(net, "net_tc"), id_of(net, "net_act")
    index = json.loads(net.run("ip", "-j", "link", "show", "veth0").stdout)[0]["ifindex"]
    assert text.startswith(
        f"xdp:\n\ntc:\nveth0({index}) tcx/egress net_tc prog_id {tc} \n"
        f"veth0({index}) tcx/egress net_act prog_id {act} link_id {link} \n\nflow_dissector:\n\nnetfilter:\n"
    )
    row = f'{{"devname":"veth0","ifindex":{index},"kind":"tcx/egress","name":"%s","prog_id":%d,"prog_flags":[],'
    assert line.startswith(
        f'[{{"xdp":[],"tc":[{row % ("net_tc", tc)}"link_id":0,"link_flags":[]}},'
        f'{row % ("net_act", act)}"link_id":{link},"link_flags":[]}}],"flow_dissector":[],"netfilter":['
    )
    assert refused.stderr == "Error: interface tcx_egress detach failed: Device or resource busy\n"


def test_xdp_of_a_link_is_shown_and_left_alone(net: Sandbox) -> None:
    with linked(net, "net_xdp", "xdp"):
        assert xdp(net) == [("veth0", "driver", id_of(net, "net_xdp"))]
        for words in (
            ("attach", "xdp", *prog("net_other"), "dev", "veth0", "overwrite"),
            ("detach", "xdp", "dev", "veth0"),
        ):
            done = net.bcctool("net", *words, status=240)
            assert done.stderr.endswith(f"Error: interface xdp {words[0]} failed: Device or resource busy\n")
        assert xdp(net) == [("veth0", "driver", id_of(net, "net_xdp"))]
    assert xdp(net) == []


@pytest.mark.parametrize("name", [b"a\x1b[31m", b"b\xff\xfe", "\u00f6".encode(), b'q"\\', "\u202e".encode()])
def test_devices_with_names_of_any_bytes(net: Sandbox, name: bytes) -> None:
    device = os.fsdecode(name)
    net.run("ip", "link", "add", device, "type", "veth")
    net.bcctool("net", "attach", "xdpgeneric", *prog("net_xdp"), "dev", device)
    text = net.bcctool("net", "show", "dev", device).stdout
    assert text.startswith("xdp:\n")
    assert text.splitlines()[1].isprintable()
    assert f"generic id {id_of(net, 'net_xdp')}\n" in text
    shown = show(net, "dev", device)["xdp"][0]["devname"]
    assert shown == name.decode("utf-8", "backslashreplace")
    net.bcctool("net", "detach", "xdpgeneric", "dev", device)
    assert show(net, "dev", device)["xdp"] == []


COUNT = 600


def test_many_devices(net: Sandbox, tmp_path: Path) -> None:
    links = "".join(f"link add a{n} type veth peer name b{n}\n" for n in range(COUNT))
    net.run("ip", "-b", "-", input=links)
    pinned = f"object-pinned {PINS}/p/net_tc"
    filters = "".join(
        f"qdisc add dev a{n} clsact\nfilter add dev a{n} egress bpf {pinned} da\n" for n in range(0, COUNT, 3)
    )
    net.run("tc", "-b", "-", input=filters)
    rows = show(net)["tc"]
    assert [row["devname"] for row in rows] == [f"a{n}" for n in range(0, COUNT, 3)]
    assert {(row["kind"], row["id"]) for row in rows} == {("clsact/egress", id_of(net, "net_tc"))}


CHURN = f"""
i=0
while [ -e /proc/{{}} ]; do
    i=$((i + 1))
    ip link add c$((i % 50)) type veth peer name d$((i % 50))
    tc qdisc add dev c$((i % 50)) clsact
    tc filter add dev c$((i % 50)) ingress bpf object-pinned {PINS}/p/net_tc da
    ip link del c$(((i + 47) % 50))
done 2>/dev/null
"""


def test_devices_that_come_and_go(net: Sandbox) -> None:
    """Never an error, and what stays is always there."""
    net.bcctool("net", "attach", "xdp", *prog("net_xdp"), "dev", "veth0")
    net.run("tc", "qdisc", "add", "dev", "veth0", "clsact")
    net.run("tc", "filter", "add", "dev", "veth0", "ingress", "bpf", "object-pinned", f"{PINS}/p/net_tc", "da")
    enter = ("nsenter", "-t", str(net.holder.pid), "-m", "-n", "--", "sh", "-c")
    with subprocess.Popen([*enter, CHURN.replace("{}", str(os.getpid()))], stdout=PIPE) as churn:
        try:
            for _ in range(25):
                record = show(net)
                assert [row["devname"] for row in record["xdp"]] == ["veth0"]
                assert [row["kind"] for row in record["tc"] if row["devname"] == "veth0"] == ["clsact/ingress"]
                assert {row["kind"] for row in record["tc"]} == {"clsact/ingress"}
        finally:
            churn.kill()
            churn.wait()
            # Left to the end of the namespace, they would keep their programs for seconds.
            devices = ("veth0", *(f"c{n}" for n in range(50)))
            net.run("ip", "-force", "-b", "-", input="".join(f"link del {name}\n" for name in devices), status=None)


def test_the_flow_dissector(net: Sandbox) -> None:
    """A network namespace with a flow dissector of its own."""
    net.run("bpftool", "prog", "attach", *prog("net_flow"), "flow_dissector")
    try:
        assert show(net)["flow_dissector"] == [{"id": id_of(net, "net_flow")}]
        assert show(net, "dev", "lo")["flow_dissector"] == [{"id": id_of(net, "net_flow")}]
    finally:
        net.run("bpftool", "prog", "detach", *prog("net_flow"), "flow_dissector")


def test_the_flow_dissector_of_a_link(net: Sandbox) -> None:
    with linked(net, "net_flow", "flow_dissector"):
        assert show(net)["flow_dissector"] == [{"id": id_of(net, "net_flow")}]
        assert f"flow_dissector:\nid {id_of(net, 'net_flow')}\nnetfilter:\n" in net.bcctool("net", "show").stdout
    assert show(net)["flow_dissector"] == []


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
