"""`link` over a kernel in memory: every type of link as a record and as text, selectors, statuses, streams."""

from __future__ import annotations

import errno
import json
import os
from functools import partial
from typing import Any

import pytest

from bcctool.commands import link as family
from bcctool.commands import link_perf, link_show
from bcctool.errors import KernelError
from bcctool.kernel import bpf, libbpf, proc, uapi
from bcctool.objects.link import Link
from bcctool.objects.prog import Prog

from .fake_kernel import FakeKernel, fake_kernel, written  # noqa: F401  (a fixture)

ATTACH = uapi.ATTACH_TYPES.index
TYPE = uapi.LINK_TYPES.index
HEAD = {"id": 3, "prog_id": 7}


class Stub:
    """A link whose details are given."""

    def __init__(self, name: str, details: dict[str, Any]) -> None:
        self.name, self._details, self.id = name, details, 3
        self.info = uapi.link_info(id=3, type=TYPE(name), prog_id=7)
        if "ifindex" in details and "attach_type" in details:
            getattr(self.info, name).attach_type = details["attach_type"]

    def details(self) -> dict[str, Any]:
        return self._details


def shown(name: str, details: dict[str, Any]) -> tuple[list[tuple[str, Any]], str]:
    """What is special in the record, in order, and in the text."""
    stub: Any = Stub(name, details)
    record = link_show.describe(stub, None, {})
    assert list(record.items())[:3] == [("id", 3), ("type", name), ("prog_id", 7)]
    text = link_show.text(record)
    start = f"3: {name}  prog 7  "
    assert text.startswith(start) or name == "struct_ops"
    assert text.endswith("\n")
    return list(record.items())[3:], text[len(start) : -1]


CGROUP = {"cgroup_id": 99, "order": 2, "tid": 99, "pid": 0, "map_id": 0}
NETFILTER = {"pf": 2, "hooknum": 1, "priority": -100, "flags": 0}
UPROBES = {"path": "/bin/x\x1b", "offsets": [16, 32], "ref_ctr_offsets": [0, 64], "cookies": [0, 0xCAFE], "count": 2}
UPROBE = {"file_name": "/bin/x", "offset": 64, "cookie": 0, "ref_ctr_offset": 0}
KPROBE = {"func_name": "do_x", "offset": 0, "addr": 0xFFFFFFFF81000000, "missed": 0, "cookie": 0}

# type, details, JSON, text
CASES: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("raw_tracepoint", {"tp_name": "sys\x1b", "cookie": 0}, {"tp_name": "sys\x1b", "cookie": 0},
     "\n\ttp 'sys\\x1b'  "),
    ("raw_tracepoint", {"tp_name": "a", "cookie": 5}, {"tp_name": "a", "cookie": 5}, "\n\ttp 'a'  cookie 5  "),
    ("cgroup", {"cgroup_id": 8, "attach_type": ATTACH("cgroup_device")},
     {"cgroup_id": 8, "attach_type": "cgroup_device"}, "\n\tcgroup_id 8  attach_type cgroup_device  "),
    ("cgroup", {"cgroup_id": 0, "attach_type": 250}, {"cgroup_id": 0, "attach_type": 250},
     "\n\tcgroup_id 0  attach_type 250  "),
    ("iter", {"target_name": "udp", **CGROUP}, {"target_name": "udp"}, "target_name udp  "),
    ("iter", {"target_name": "bpf_map_elem", "map_id": 4, "tid": 1}, {"target_name": "bpf_map_elem", "map_id": 4},
     "target_name bpf_map_elem  map_id 4  "),
    ("iter", {"target_name": "task", "tid": 4, "pid": 5}, {"target_name": "task", "tid": 4},
     "target_name task  tid 4 "),
    ("iter", {"target_name": "task_vma", "tid": 0, "pid": 5}, {"target_name": "task_vma", "pid": 5},
     "target_name task_vma  pid 5 "),
    ("iter", {"target_name": "cgroup", **CGROUP},
     {"target_name": "cgroup", "cgroup_id": 99, "order": "descendants_pre"},
     "target_name cgroup  cgroup_id 99  order descendants_pre  "),
    ("netns", {"netns_ino": 40, "attach_type": ATTACH("sk_lookup")}, {"netns_ino": 40, "attach_type": "sk_lookup"},
     "\n\tnetns_ino 40  attach_type sk_lookup  "),
    ("sockmap", {"map_id": 40, "attach_type": ATTACH("sk_msg_verdict")},
     {"map_id": 40, "attach_type": "sk_msg_verdict"}, "\n\tmap_id 40  attach_type sk_msg_verdict  "),
    ("netfilter", NETFILTER, {"pf": 2, "hook": 1, "prio": -100, "flags": 0}, "\n\tip input prio -100"),
    ("netfilter", NETFILTER | {"pf": 3, "flags": 10}, {"pf": 3, "hook": 1, "prio": -100, "flags": 10},
     "\n\tarp output prio -100 flags 0xa"),
    ("netfilter", NETFILTER | {"pf": 77}, {"pf": 77, "hook": 1, "prio": -100, "flags": 0},
     "\n\tpf: 77, hook 1, prio -100"),
    ("uprobe_multi", UPROBES | {"flags": 0, "pid": 0},
     {"retprobe": False, "path": "/bin/x\x1b", "func_cnt": 2, "pid": 0,
      "funcs": [{"offset": 16, "ref_ctr_offset": 0, "cookie": 0},
                {"offset": 32, "ref_ctr_offset": 64, "cookie": 0xCAFE}]},
     "\n\tuprobe.multi  path /bin/x\\x1b  func_cnt 2  "
     "\n\toffset             ref_ctr_offset     cookies         "
     "\n\t0x10               0x0                0x0                "
     "\n\t0x20               0x40               0xcafe             "),
    ("perf_event", {}, {}, ""),
    ("perf_event", {"kind": 5, "tp_name": "sched", "cookie": 9}, {"tracepoint": "sched", "cookie": 9},
     "\n\ttracepoint sched  cookie 9  "),
    ("perf_event", {"kind": 1, **UPROBE},
     {"retprobe": False, "file": "/bin/x", "offset": 64, "cookie": 0, "ref_ctr_offset": 0},
     "\n\tuprobe /bin/x+0x40  "),
    ("perf_event", {"kind": 2, **UPROBE, "cookie": 1, "ref_ctr_offset": 255},
     {"retprobe": True, "file": "/bin/x", "offset": 64, "cookie": 1, "ref_ctr_offset": 255},
     "\n\turetprobe /bin/x+0x40  cookie 1  ref_ctr_offset 0xff  "),
    ("perf_event", {"kind": 3, **KPROBE},
     {"retprobe": False, "addr": 0xFFFFFFFF81000000, "func": "do_x", "offset": 0, "missed": 0, "cookie": 0},
     "\n\tkprobe ffffffff81000000 do_x  "),
    ("perf_event", {"kind": 4, **KPROBE, "addr": 0, "offset": 8, "missed": 2, "cookie": 3},
     {"retprobe": True, "addr": 0, "func": "do_x", "offset": 8, "missed": 2, "cookie": 3},
     "\n\tkretprobe do_x+0x8  missed 2  cookie 3  "),
    ("perf_event", {"kind": 6, "type": 0, "config": 0, "cookie": 0},
     {"event_type": "hardware", "event_config": "cpu-cycles", "cookie": 0}, "\n\tevent hardware:cpu-cycles  "),
    ("perf_event", {"kind": 6, "type": 22, "config": 4, "cookie": 6},
     {"event_type": 22, "event_config": 4, "cookie": 6}, "\n\tevent 22 :4  cookie 6  "),
]  # fmt: skip


@pytest.mark.parametrize(("name", "details", "fields", "text"), CASES)
def test_types(name: str, details: dict[str, Any], fields: dict[str, Any], text: str) -> None:
    assert shown(name, details) == (list(fields.items()), text)


def test_a_path_without_functions_has_no_pid_unless_the_link_is_for_one() -> None:
    none = {"path": "/x", "offsets": [], "ref_ctr_offsets": [], "cookies": [], "count": 0, "flags": 1, "pid": 12}
    assert shown("uprobe_multi", none)[1].startswith("\n\turetprobe.multi  path /x  func_cnt 0  pid 12  \n")


def test_struct_ops_names_its_map() -> None:
    info = uapi.link_info(id=3, type=TYPE("struct_ops"))
    stub: Any = Stub("struct_ops", {"map_id": 5})
    stub.info = info
    record = link_show.describe(stub, None, {})
    assert record == {"id": 3, "type": "struct_ops", "prog_id": 0, "map_id": 5}
    assert link_show.text(record) == "3: struct_ops  map 5  \n"


TRACING = {"attach_type": ATTACH("trace_fentry"), "target_obj_id": 1, "target_btf_id": 20, "cookie": 0}


def test_tracing(fake_kernel: FakeKernel) -> None:  # noqa: F811
    fake_kernel.add(bpf.PROG, 7, type=uapi.PROG_TYPES.index("tracing"))
    fields, text = shown("tracing", TRACING)
    expected = {"prog_type": "tracing", "attach_type": "trace_fentry", "target_obj_id": 1, "target_btf_id": 20}
    assert fields == list((expected | {"cookie": 0}).items())
    assert text == "\n\tprog_type tracing  attach_type trace_fentry  \n\ttarget_obj_id 1  target_btf_id 20  "
    _, text = shown("tracing", TRACING | {"target_obj_id": 0, "target_btf_id": 0, "cookie": 4})
    assert text == "\n\tprog_type tracing  attach_type trace_fentry  \n\tcookie 4  "
    _, text = shown("tracing", TRACING | {"target_obj_id": 0})  # a type of the kernel, whose BTF object is not told
    assert text.endswith("\n\ttarget_obj_id 0  target_btf_id 20  ")


def test_tracing_whose_program_is_gone(fake_kernel: FakeKernel) -> None:  # noqa: F811
    fields, text = shown("tracing", TRACING)
    assert fields[0] == ("attach_type", "trace_fentry")
    assert text.startswith("\n\tattach_type trace_fentry  \n")


SYMBOLS = b"""ffffffff81000000 T first
ffffffff81000000 t alias
ffffffff81000040 t second\t[veth]
ffffffff81000080 T third
"""


def test_functions_of_kprobe_multi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc.KernelSymbols, "_lines", lambda self: SYMBOLS)
    addresses = [0xFFFFFFFF81000040, 0xFFFFFFFF81000000, 0xFFFFFFFF81000044]
    details = {"addrs": addresses, "cookies": [17, 0, 5], "count": 3, "flags": 0, "missed": 0}
    fields, text = shown("kprobe_multi", details)
    functions = [
        {"addr": 0xFFFFFFFF81000000, "func": "first", "module": None, "cookie": 0},
        {"addr": 0xFFFFFFFF81000040, "func": "second", "module": "veth", "cookie": 17},
    ]
    assert fields == [("retprobe", False), ("func_cnt", 3), ("missed", 0), ("funcs", functions)]
    assert text == (
        "\n\tkprobe.multi  func_cnt 3  "
        "\n\taddr             cookie           func [module]"
        "\n\tffffffff81000000 0                first  "
        "\n\tffffffff81000040 11               second [veth]  "
    )


def test_functions_that_the_kernel_hides() -> None:
    details = {"addrs": [0, 0], "cookies": [0, 0], "count": 2, "flags": 1, "missed": 6}
    fields, text = shown("kprobe_multi", details)
    assert fields == [("retprobe", True), ("func_cnt", 2), ("missed", 6), ("funcs", [])]
    assert text == "\n\tkretprobe.multi  func_cnt 2  missed 6  "


# ifindex, programs and links at the hook of our device of that index
DEVICES = [
    (0, [], "(detached)", "(detached)"),
    (4, [(7, 0, 3, 0)], "eth0", "eth0(4)"),
    (4, [(9, 0, 9, 0)], "(unknown)", "(unknown)"),  # in another network namespace
    (99, [(7, 0, 3, 0)], "(unknown)", "(unknown)"),
]


@pytest.mark.parametrize("type_", ["tcx", "netkit", "xdp"])
@pytest.mark.parametrize(("index", "attached", "name", "place"), DEVICES)
def test_devices(
    monkeypatch: pytest.MonkeyPatch, type_: str, index: int, attached: list[tuple[int, ...]], name: str, place: str
) -> None:
    hook = {"tcx": "tcx_egress", "netkit": "netkit_primary", "xdp": ""}[type_]

    def if_indextoname(index: int) -> str:
        if index != 4:
            raise OSError(errno.ENXIO, "")
        return "eth0"

    def query(function: str, index: int, mode: int, id: Any) -> int:
        id._obj.value = attached[0][0] if mode == 0 else 0
        return 0

    monkeypatch.setattr(proc, "interface_name", if_indextoname)
    monkeypatch.setattr(bpf, "prog_query", lambda *words, links: attached if words == (hook, index) else [])
    monkeypatch.setattr(libbpf, "call", query)
    details = {"ifindex": index} | ({"attach_type": ATTACH(hook)} if hook else {})
    fields, text = shown(type_, details)
    tail = [("attach_type", hook)] if hook else []
    assert fields == [("devname", name), ("ifindex", index), *tail]
    assert text == f"\n\tifindex {place}  " + (f"attach_type {hook}  " if hook else "")


EVENTS = [
    (1, 9, ("software", "dummy")),
    (1, 99, ("software", 99)),
    (6, 0, ("software", "cpu-clock")),
    (7, 0, ("software", "task-clock")),
    (3, 0x10000, ("hw-cache", "L1-dcache-load-misses")),
    (3, 0x0203, ("hw-cache", "dTLB-prefetch-refs")),
    (3, 0x90909, ("hw-cache", "9-9-9")),
    (4, 0x1C2, ("raw", 0x1C2)),
    (5, 1, ("breakpoint", 1)),
]


@pytest.mark.parametrize(("type_", "config", "names"), EVENTS)
def test_events(type_: int, config: int, names: tuple[str | int, str | int]) -> None:
    assert link_perf.event(type_, config) == names


def test_names_of_events_are_those_of_the_kernel() -> None:
    assert (len(link_perf.HARDWARE), len(link_perf.SOFTWARE)) == (uapi.PERF_COUNT_HW_MAX, uapi.PERF_COUNT_SW_MAX)
    assert (len(link_perf.TYPES), len(link_perf.CACHES)) == (uapi.PERF_TYPE_MAX, uapi.PERF_COUNT_HW_CACHE_MAX)


@pytest.fixture
def kernel(fake_kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> FakeKernel:  # noqa: F811
    """Links 3 (netns) and 900 (of a type that is newer than we are); the second is pinned, the first held."""
    netns = uapi.link_info(type=TYPE("netns"))
    netns.netns.netns_ino, netns.netns.attach_type = 40, ATTACH("sk_lookup")
    fake_kernel.add(bpf.LINK, 3, type=netns.type, prog_id=7, _3=netns._3)
    fake_kernel.add(bpf.LINK, 900, type=250, prog_id=8)
    fake_kernel.pins["/b/new"] = (bpf.LINK, 900)
    fake_kernel.pins["/b/map"] = (bpf.MAP, 1)
    fake_kernel.add(bpf.MAP, 1)
    monkeypatch.setattr(family, "owners", lambda kind: {3: [{"pid": 1, "comm": "in\x1bit"}]})
    return fake_kernel


run = partial(written, "link")
"""What `link WORDS` writes to stdout, and its status."""


NETNS = "3: netns  prog 7  \n\tnetns_ino 40  attach_type sk_lookup  \n\tpids in\\x1bit(1)\n"
NEW = "900: type 250  prog 8  \n"


def test_show(kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("show") == (NETNS + NEW, 0)
    assert run("l") == (NETNS + NEW, 0)
    assert run("show id 3") == (NETNS, 0)
    assert run("show pinned /b/new") == (NEW, 0)
    text, status = run("list", json=True)
    assert (json.loads(text)[1], status) == ({"id": 900, "type": 250, "prog_id": 8}, 0)
    assert json.loads(run("show id 3", json=True)[0])["pids"] == [{"pid": 1, "comm": "in\x1bit"}]
    monkeypatch.setattr("bcctool.objects.pins.pins", lambda kind: {900: ["/b/new", "/b/n\x1b"]})
    assert run("show", bpffs=True)[0] == NETNS + NEW[:-1] + "\n\tpinned /b/new\n\tpinned /b/n\\x1b\n"
    assert json.loads(run("show id 3", json=True, bpffs=True)[0])["pinned"] == []
    assert not kernel.open or all(not os.path.exists(f"/proc/self/fd/{fd}") for fd in kernel.open)


def test_links_that_vanish_or_are_being_made_are_skipped(kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel.vanished.add(3)
    assert run("show") == (NEW, 0)
    kernel.vanished.clear()
    opened = bpf.fd_by_id

    def busy(kind: str, id: int, flags: int = 0) -> int:
        if id == 3:
            raise OSError(errno.EAGAIN, "")
        return opened(kind, id, flags)

    monkeypatch.setattr(bpf, "fd_by_id", busy)
    assert run("show", json=True) == ('[{"id":900,"type":250,"prog_id":8}]', 0)


# words, status, message
FAILURES = [
    ("show id 4", 254, "failed to get link with ID 4: No such file or directory"),
    ("show id x", 255, "can't parse x as ID"),
    ("show name x", 255, "expected 'id' or 'pinned', got: 'name'?"),
    ("show id", 255, "what is 'id'?"),
    ("list id 3 x", 255, "what is 'id'?"),
    ("show pinned /b/map", 255, "incorrect object type: map"),
    ("show pinned /b/none", 255, "bpf obj get (/b/none): No such file or directory"),
    ("pin", 234, "'pin' needs at least 3 arguments, 0 found"),
    ("pin id 3", 234, "'pin' needs at least 3 arguments, 2 found"),
    ("pin id 4 /b/x", 254, "failed to get link with ID 4: No such file or directory"),
    ("pin id 3 /b/x y", 255, "expected no more arguments, got: 'y'"),
    ("detach", 1, "link specifier is invalid or missing"),
    ("detach id", 1, "link specifier is invalid or missing"),
    ("detach id 3 x", 1, "link specifier is invalid or missing"),
    ("detach id 4", 1, "failed to get link with ID 4: No such file or directory"),
    ("detach tag 4", 1, "expected 'id' or 'pinned', got: 'tag'?"),
    ("detach pinned /b/map", 1, "incorrect object type: map"),
    ("detach id 3", 1, "failed link detach: Operation not supported"),
]


@pytest.mark.parametrize(("words", "status", "message"), FAILURES)
def test_failures(
    kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    words: str, status: int, message: str,
) -> None:  # fmt: skip
    def refuse(fd: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "")

    monkeypatch.setattr(bpf, "link_detach", refuse)
    assert run(words) == ("", status)
    assert capsys.readouterr().err == f"Error: {message}\n"
    text, found = run(words, json=True)
    assert (json.loads(text), found) == ({"error": message}, status)
    assert capsys.readouterr().err == ""


def test_nobody_may_list(kernel: FakeKernel, capsys: pytest.CaptureFixture[str]) -> None:
    kernel.error = errno.EPERM
    assert run("show", json=True) == ('[{"error":"can\'t get next link: Operation not permitted"}]', 255)
    assert run("show") == ("", 255)
    assert capsys.readouterr().err == "Error: can't get next link: Operation not permitted\n"


def test_detach(kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    detached: list[tuple[str, int]] = []
    monkeypatch.setattr(bpf, "link_detach", lambda fd: detached.append(kernel.open[fd]))
    assert run("detach id 3") == ("", 0)
    assert run("d p /b/new", json=True) == ("null", 0)
    assert detached == [(bpf.LINK, 3), (bpf.LINK, 900)]


def test_pin_wants_a_bpffs(kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[str] = []
    monkeypatch.setattr(Link, "pin", lambda link, path: pinned.append(path))
    text, status = run("pin id 3 /nosuch/x", json=True)
    assert (status, pinned) == (255, [])
    assert json.loads(text)["error"].startswith("can't pin in /nosuch")
    monkeypatch.setattr(proc, "require_bpffs", lambda directory, nomount: None)
    assert run("pin id 3 /b/x", json=True) == ("null", 0)
    assert pinned == ["/b/x"]


def test_a_program_that_cannot_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(id: int) -> Prog:
        raise KernelError("x", errno.ENOENT)

    monkeypatch.setattr(Prog, "from_id", gone)
    assert shown("tracing", TRACING)[0][0] == ("attach_type", "trace_fentry")
