"""`link`: links of every kind that the running kernel takes; what is pinned, detached, or in another namespace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bcctool.kernel import proc

from ..conftest import BCCTOOL, ROOT, Sandbox, run
from .test_attach import native

Compile = Callable[..., Path]
PINS = "/sys/fs/bpf/a"


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> str:
    """attach_target.c as a program of this machine."""
    return native(tmp_path_factory.mktemp("native"))


@pytest.fixture(scope="module")
def kinds(compile_c: Compile, target: str) -> Path:
    """attach_kinds.c with that as the program of its probes."""
    return compile_c("attach_kinds.c", "-g", f'-DPROGRAM="{target}"')


@pytest.fixture
def cgroup() -> Iterator[str]:
    """A cgroup of our own."""
    top = next(proc.mounts("cgroup2"), "")
    if not top:
        pytest.skip("no cgroup2 is mounted")
    path = Path(top, f"link-{os.getpid()}")
    path.mkdir()
    yield str(path)
    path.rmdir()


def attach(box: Sandbox, obj: Path, *places: str) -> None:
    box.bcctool("prog", "loadall", obj, PINS, "pinmaps", PINS, "autoattach", *places)


def shown(box: Sandbox, name: str) -> str:
    """The text of a link, without its first line."""
    first, _, rest = box.bcctool("link", "show", "pinned", f"{PINS}/{name}").stdout.partition("\n")
    assert first.partition("  ")[2].startswith("prog ")
    return rest


def record(box: Sandbox, name: str) -> dict[str, Any]:
    """The record of a link, without its ids."""
    found: dict[str, Any] = json.loads(box.bcctool("-j", "link", "show", "pinned", f"{PINS}/{name}").stdout)
    assert found.pop("id")
    assert found.pop("prog_id")
    return found


def offset(target: str, function: str) -> int:
    """Of a function in the file, from nm and readelf."""
    for line in run("nm", target).stdout.splitlines():
        if line.endswith(f" {function}"):
            return int(line.split()[0], 16)  # attach_target's code is where the file has it
    raise LookupError(function)


PLACES = "to dev lo ingress to netns /proc/self/ns/net to netfilter ip6 output -5 to perf_event context-switches"


def test_each_kind(sandbox: Sandbox, kinds: Path, target: str, cgroup: str) -> None:
    attach(sandbox, kinds, *PLACES.split(), "to", "cgroup", cgroup)
    called, one, two = (offset(target, name) for name in ("called", "many_1", "many_2"))
    inode = os.stat(cgroup).st_ino
    netns = sandbox.run("stat", "-Lc", "%i", "/proc/self/ns/net").stdout.strip()
    path = os.path.realpath(target)
    table = "\toffset             ref_ctr_offset     cookies         \n"
    rows = "".join(f"\t{f'0x{at:x}':18} {'0x0':18} {'0x0':18} \n" for at in (one, two))
    expected = {
        "on_tp": "\ttracepoint sys_enter_getpgid  \n",
        "on_raw_tp": "\ttp 'sys_enter'  \n",
        "on_tp_btf": "\ttp 'sys_enter'  \n",
        "on_uprobe": f"\tuprobe {path}+0x{called:x}  \n",
        "on_uretprobe": f"\turetprobe {path}+0x{called:x}  \n",
        "on_uprobe_multi": f"\tuprobe.multi  path {path}  func_cnt 2  \n{table}{rows}",
        "on_uretprobe_multi": f"\turetprobe.multi  path {path}  func_cnt 2  \n{table}{rows}",
        "on_perf_event_cpu0": "\tevent software:context-switches  \n",
        "on_xdp": "\tifindex lo(1)  \n",
        "on_tcx_ingress": "\tifindex lo(1)  attach_type tcx_ingress  \n",
        "on_tc_egress": "\tifindex lo(1)  attach_type tcx_egress  \n",
        "on_connect4": f"\tcgroup_id {inode}  attach_type cgroup_inet4_connect  \n",
        "on_sk_lookup": f"\tnetns_ino {netns}  attach_type sk_lookup  \n",
        "on_netfilter": "\tip6 output prio -5\n",
    }
    assert {name: shown(sandbox, name) for name in expected} == expected
    assert record(sandbox, "on_uprobe_multi") == {
        "type": "uprobe_multi", "retprobe": False, "path": path, "func_cnt": 2, "pid": 0,
        "funcs": [{"offset": at, "ref_ctr_offset": 0, "cookie": 0} for at in (one, two)],
    }  # fmt: skip
    assert record(sandbox, "on_netfilter") == {"type": "netfilter", "pf": 10, "hook": 3, "prio": -5, "flags": 0}
    iterators = sandbox.bcctool("link", "show").stdout
    assert f"  target_name cgroup  cgroup_id {inode}  order descendants_pre  \n" in iterators
    assert "  target_name task  \n" in iterators


def test_struct_ops_names_its_map(sandbox: Sandbox, compile_c: Compile) -> None:
    maps = f"{PINS}/maps"
    sandbox.bcctool("prog", "loadall", compile_c("struct_ops_tcp.c", "-g"), PINS, "pinmaps", maps, "autoattach")
    try:
        map_ = json.loads(sandbox.bcctool("-j", "map", "show", "pinned", f"{maps}/linked").stdout)["id"]
        text = sandbox.bcctool("link", "show", "pinned", f"{PINS}/linked").stdout
        assert text.partition(": ")[2] == f"struct_ops  map {map_}  \n"
        words = ("-j", "link", "show", "id", text.partition(":")[0])
        assert json.loads(sandbox.bcctool(*words).stdout) == {
            "id": int(text.partition(":")[0]), "type": "struct_ops", "prog_id": 0, "map_id": map_,
        }  # fmt: skip
    finally:
        sandbox.bcctool("map", "delete", "pinned", f"{maps}/counting", "key", *"0000")


@pytest.fixture
def attached(sandbox: Sandbox, kinds: Path) -> Sandbox:
    """A box with an XDP program and tcx programs at a device that only it has."""
    sandbox.run("ip", "link", "add", "v0", "index", "50", "type", "veth", "peer", "name", "v1", "index", "51")
    attach(sandbox, kinds, "to", "dev", "v0", "ingress")
    return sandbox


def test_a_device_of_another_network_namespace(attached: Sandbox) -> None:
    """Where another one has the number."""
    other = "ip link add w0 index 50 type veth peer name w1 index 51 && exec \"$@\""
    for name in ("on_xdp", "on_tc"):
        assert "ifindex v0(50)  " in shown(attached, name)
        words = (*BCCTOOL, "link", "show", "pinned", f"{PINS}/{name}")
        for within in (("sh", "-c", other, "sh"), ()):
            assert "\tifindex (unknown)  " in attached.run("unshare", "-n", *within, *words).stdout


@pytest.mark.parametrize(("name", "hook"), [("on_xdp", ""), ("on_tc", "  attach_type tcx_ingress")])
def test_detach(attached: Sandbox, name: str, hook: str) -> None:
    net = json.loads(attached.bcctool("-j", "net", "show", "dev", "v0").stdout)[0]
    attached.bcctool("link", "detach", "pinned", f"{PINS}/{name}")
    after = json.loads(attached.bcctool("-j", "net", "show", "dev", "v0").stdout)[0]
    kind = "xdp" if name == "on_xdp" else "tc"
    assert len(after[kind]) == len(net[kind]) - 1
    assert shown(attached, name) == f"\tifindex (detached){hook}  \n"
    assert record(attached, name)["ifindex"] == 0
    done = attached.bcctool("-j", "link", "detach", "pinned", f"{PINS}/on_tp", status=1)
    assert json.loads(done.stdout) == {"error": "failed link detach: Operation not supported"}


def test_detach_from_a_cgroup(sandbox: Sandbox, kinds: Path, cgroup: str) -> None:
    attach(sandbox, kinds, "to", "cgroup", cgroup)
    sandbox.bcctool("link", "detach", "pinned", f"{PINS}/on_connect4")
    assert shown(sandbox, "on_connect4") == "\tcgroup_id 0  attach_type cgroup_inet4_connect  \n"


def test_pin(attached: Sandbox) -> None:
    attached.bcctool("link", "pin", "pinned", f"{PINS}/on_tc", "/sys/fs/bpf/again")
    id = json.loads(attached.bcctool("-j", "link", "show", "pinned", "/sys/fs/bpf/again").stdout)["id"]
    listed = json.loads(attached.bcctool("-jf", "link", "show").stdout)
    paths = {record["id"]: set(record["pinned"]) for record in listed}
    assert paths[id] == {f"{PINS}/on_tc", "/sys/fs/bpf/again"}
    text = attached.bcctool("-f", "link", "show", "id", str(id)).stdout
    assert set(text.splitlines()[-2:]) == {f"\tpinned {PINS}/on_tc", "\tpinned /sys/fs/bpf/again"}
    done = attached.bcctool("link", "pin", "id", str(id), "/sys/fs/bpf/again", status=239)
    assert done.stderr == "Error: can't pin the object (/sys/fs/bpf/again): File exists\n"
    assert "bpffs" in attached.bcctool("link", "pin", "id", str(id), "/tmp/again", status=255).stderr
    attached.run("rm", f"{PINS}/on_tc", "/sys/fs/bpf/again")
    attached.bcctool("link", "show", "id", str(id), status=254)


HOLD = """
import sys; sys.path.insert(0, {root!r})
from bcctool.objects.link import Link
with Link.from_pin(sys.argv[1]): print(flush=True); sys.stdin.read()
"""


def test_who_holds_a_link(attached: Sandbox) -> None:
    words = [sys.executable, "-c", HOLD.format(root=str(ROOT)), f"{PINS}/on_tc"]
    enter = ["nsenter", "-t", str(attached.holder.pid), "-m", "-n", "--"]
    with subprocess.Popen([*enter, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        holder.stdout.readline()
        assert {"pid": holder.pid} in [{"pid": row["pid"]} for row in record(attached, "on_tc")["pids"]]
        assert f"({holder.pid})\n" in shown(attached, "on_tc")
        holder.communicate()
    assert "pids" not in record(attached, "on_tc")


CHURN = """
import sys; sys.path.insert(0, {root!r})
from bcctool.loader.attach import attach
from bcctool.loader.load import load
with load(sys.argv[1]) as found:
    for _ in range(500):
        attach(found.progs["on_raw_tp"], "raw_tp/sys_enter").close()
"""


def test_links_come_and_go_while_they_are_listed(sandbox: Sandbox, kinds: Path) -> None:
    words = [sys.executable, "-c", CHURN.format(root=str(ROOT)), str(kinds)]
    listings = 0
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as churning:
        while churning.poll() is None:
            done = sandbox.bcctool("-j", "link", "show")
            assert (isinstance(json.loads(done.stdout), list), done.stderr) == (True, "")
            listings += 1
        assert churning.stderr
        assert (churning.returncode, churning.stderr.read()) == (0, "")
    assert listings > 2
