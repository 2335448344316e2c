"""`loadall … autoattach`: programs run where their sections say, for as long as their links are pinned."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bcctool.elf.native import function_offset
from bcctool.elf.usdt import probes
from bcctool.errors import Error
from bcctool.kernel import bpf, probe, proc, uapi
from bcctool.loader import progs
from bcctool.loader.attach import attach, pins
from bcctool.loader.attach_places import Places
from bcctool.loader.attachment import Links
from bcctool.loader.load import Loaded, load
from bcctool.objects.link import Link

from ..conftest import BCCTOOL, PROGRAMS, ROOT, Sandbox, run

Compile = Callable[..., Path]
ARCH = {"x86_64": "x86", "aarch64": "arm64"}.get(platform.machine(), "x86")
x86_64 = pytest.mark.skipif(platform.machine() != "x86_64", reason="the operands of attach_target.c are x86-64's")
CALLS = "import os; [os.getpgid(0) for _ in range(7)]"
NOTICE = "Program nowhere does not support autoattach, falling back to pinning\n"


EVENTS = {"on_start": 1, "on_return": 2, "on_tracepoint": 5}  # BPF_PERF_EVENT_UPROBE, URETPROBE, TRACEPOINT
KIND = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
from bcctool.objects.link import Link
print(Link.from_pin(sys.argv[1]).info.perf_event.type)
"""


def libc() -> str:
    """The path of the C library that this process uses."""
    maps = Path("/proc/self/maps").read_text().split()
    return next(path for path in maps if os.path.basename(path).startswith("libc.so"))


def hits(box: Sandbox) -> list[int]:
    return [
        element["formatted"]["value"]
        for element in json.loads(box.bcctool("-j", "map", "dump", "pinned", "/sys/fs/bpf/a/hits").stdout)
    ]


def test_programs_run_where_they_say(sandbox: Sandbox, compile_c: Compile) -> None:
    obj = compile_c("attach.c", "-g", f'-DLIBRARY="{libc()}"')
    done = sandbox.bcctool("prog", "loadall", obj, "/sys/fs/bpf/a", "pinmaps", "/sys/fs/bpf/a", "autoattach")
    assert (done.stdout, done.stderr) == ("", NOTICE)
    before = hits(sandbox)
    sandbox.run("/usr/bin/python3", "-c", CALLS)
    after = hits(sandbox)
    assert [now - then for now, then in zip(after[:3], before[:3], strict=True)] == [7, 7, 7]
    assert after[3] >= before[3] + 7
    links = {name: sandbox.bcctool("prog", "show", "pinned", f"/sys/fs/bpf/a/{name}", status=None).stderr
             for name in ("on_tracepoint", "on_start", "on_return", "on_raw", "nowhere")}  # fmt: skip
    assert links == dict.fromkeys(links, "Error: incorrect object type: link\n") | {"nowhere": ""}
    kinds = [int(sandbox.run(sys.executable, "-c", KIND, f"/sys/fs/bpf/a/{name}").stdout) for name in EVENTS]
    assert kinds == list(EVENTS.values())
    sandbox.run("rm", "/sys/fs/bpf/a/on_start")
    sandbox.run("/usr/bin/python3", "-c", CALLS)
    assert hits(sandbox)[1:3] == [after[1], after[2] + 7]


def test_no_notice_in_json(sandbox: Sandbox, compile_c: Compile) -> None:
    words = ("prog", "load", compile_c("prog_legacy.c"), "/sys/fs/bpf/p", "autoattach")
    done = sandbox.bcctool("-j", *words)
    assert (done.stdout, done.stderr) == ("null\n", "")


REFUSED = [
    ({"LIBRARY": "/nosuch.so"}, "/nosuch.so: No such file or directory"),
    ({"LIBRARY": "nosuch.so"}, "there is no program or library 'nosuch.so': give its path"),
    ({"LIBRARY": "/dev/zero"}, "/dev/zero: is not a regular file"),
    ({"LIBRARY": "/etc/passwd"}, "/etc/passwd: not an ELF file"),
    ({"LIBRARY": libc(), "FUNCTION": "no_such_function"}, f"{libc()}: it has no function 'no_such_function'"),
    ({"LIBRARY": libc(), "FUNCTION": "getpgid+x"}, "'getpgid+x' is no function and offset"),
]  # fmt: skip


@pytest.mark.parametrize(("macros", "message"), REFUSED)
def test_a_place_that_is_not_there_leaves_nothing(
    sandbox: Sandbox, compile_c: Compile, macros: dict[str, str], message: str
) -> None:
    obj = compile_c("attach.c", "-g", *[f'-D{name}="{value}"' for name, value in macros.items()])
    done = sandbox.bcctool("prog", "loadall", obj, "/sys/fs/bpf/a", "autoattach", status=255)
    place = f"{macros['LIBRARY']}:{macros.get('FUNCTION', 'getpgid')}"
    assert done.stderr == f"Error: can't attach program 'on_start' to uprobe/{place}: {message}\n"
    assert sandbox.run("ls", "/sys/fs/bpf").stdout.split() == ["maps.debug", "progs.debug"]


def test_offsets_are_those_of_the_code() -> None:
    """The first bytes of the function in the file are those in memory."""
    library = ctypes.CDLL(libc())
    address = ctypes.cast(library.getpgid, ctypes.c_void_p).value
    assert address
    offset = function_offset(libc(), "getpgid")
    assert Path(libc()).read_bytes()[offset : offset + 16] == ctypes.string_at(address, 16)
    with pytest.raises(Error, match="no function 'getpgid_'"):
        function_offset(libc(), "getpgid_")


def test_no_tracefs_is_mounted_with_n(sandbox: Sandbox, compile_c: Compile) -> None:
    unmount = (
        "for at in /sys/kernel/tracing /sys/kernel/debug/tracing; do while umount $at 2>/dev/null; do :; done; done; "
        '"$@"; status=$?; grep -c " tracefs " /proc/mounts; exit $status'
    )
    words = ("prog", "loadall", compile_c("attach.c", "-g"), "/sys/fs/bpf/a", "autoattach")
    done = sandbox.run("unshare", "--mount", "sh", "-c", unmount, "sh", *BCCTOOL, "-n", *words, status=255)
    assert (done.stdout, done.stderr) == ("0\n", "Error: no tracefs is mounted, and -n forbids to mount one\n")


TIMES = 3  # as in attached.py
# program → type of its links, how often it has run; None: as often as anybody's doing makes it, at least TIMES
KINDS = {
    "on_tp": ("perf_event", None),
    "on_raw_tp": ("raw_tracepoint", None),
    "on_tp_btf": ("raw_tracepoint", None),
    "on_uprobe": ("perf_event", TIMES),
    "on_uprobe_offset": ("perf_event", TIMES),
    "on_uretprobe": ("perf_event", TIMES),
    "on_uprobe_sleepable": ("perf_event", TIMES),
    "on_uprobe_libc": ("perf_event", None),
    "on_uprobe_multi": ("uprobe_multi", 2 * TIMES),
    "on_uretprobe_multi": ("uprobe_multi", 2 * TIMES),
    "on_uprobe_session": ("uprobe_multi", 2 * TIMES),  # at the start and at the end
    "on_uprobe_multi_sleepable": ("uprobe_multi", TIMES),
    "on_perf_event": ("perf_event", None),
    "on_xdp": ("xdp", TIMES),
    "on_tcx_ingress": ("tcx", TIMES),
    "on_tc_egress": ("tcx", TIMES),
    "on_tc": ("tcx", TIMES),
    "on_cgroup_egress": ("cgroup", TIMES),
    "on_connect4": ("cgroup", TIMES),
    "on_sock_create": ("cgroup", 2 * TIMES),
    "on_setsockopt": ("cgroup", 2),
    "on_sockops": ("cgroup", None),
    "on_sk_lookup": ("netns", TIMES),
    "on_flow_dissector": ("netns", None),
    "on_netfilter": ("netfilter", TIMES),
    "on_sk_msg": ("sockmap", TIMES),
    "on_stream_verdict": ("sockmap", TIMES),
    "on_iter_task": ("iter", None),
    "on_iter_map": ("iter", 6),  # five elements, and the end
    "on_iter_cgroup": ("iter", 2),
}
SEVERAL = ("on_perf_event",)
PYTHON = "/usr/bin/python3"


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> str:
    """attach_target.c as a program of this machine."""
    return native(tmp_path_factory.mktemp("native"))


def native(folder: Path, *flags: str) -> str:
    if not shutil.which("gcc"):
        pytest.skip("gcc is not installed")
    path = folder / "target"
    run("gcc", "-O2", *flags, PROGRAMS / "attach_target.c", "-o", path)
    return str(path)


def outcomes(box: Sandbox, obj: Path, target: str, *names: str) -> dict[str, Any]:
    """What attached.py says of the programs."""
    done = box.run(sys.executable, ROOT / "tests" / "attached.py", obj, target, *names)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def variables(loaded: Loaded) -> dict[str, Any]:
    """The global variables of an object."""
    found: dict[str, Any] = next(map_ for name, map_ in loaded.maps.items() if name.endswith(".bss"))[0]
    return found


def test_each_kind_runs_where_it_attaches(sandbox: Sandbox, compile_c: Compile, target: str) -> None:
    found = outcomes(sandbox, compile_c("attach_kinds.c", "-g", f'-DPROGRAM="{target}"'), target)
    assert found.pop("variables") == {}
    assert {name: outcome.get("error") for name, outcome in found.items()} == dict.fromkeys(KINDS)
    for name, (kind, runs) in KINDS.items():
        outcome = found[name]
        assert set(outcome["links"].values()) == {kind}, name
        assert outcome["after"] == 0, name
        assert outcome["ran"] == runs if runs else outcome["ran"] >= TIMES, f"{name}: {outcome['ran']}"
        suffixes = [f"_cpu{cpu}" for cpu in proc.online_cpus()] if name in SEVERAL else [""]
        assert list(outcome["links"]) == [name + suffix for suffix in suffixes]


def probed(compile_c: Compile, target: str, probe: str, *flags: str) -> Path:
    where = (f"-D__TARGET_ARCH_{ARCH}", f'-DPROGRAM="{target}"', f'-DPROBE="{probe}"')
    return compile_c("attach_usdt.c", "-g", *where, *flags)


WIDE = 0x123456789ABCDEF0
# probe → runs, number of arguments, their last values, sum over all runs of those that can be read
USDT = {
    "arguments": (TIMES, 7, [-TIMES, 2**32 - TIMES, WIDE, WIDE, -5], None),
    "twice": (2 * TIMES, 1, [1000], 3 * 1000 + 1 + 2 + 3),
    "silent": (TIMES, 0, [], 0),
    "watched": (TIMES, 1, [TIMES], 1 + 2 + 3),  # its program looks at the semaphore before it comes by
}


@x86_64
@pytest.mark.parametrize("probe", USDT)
def test_usdt(sandbox: Sandbox, compile_c: Compile, target: str, probe: str) -> None:
    found = outcomes(sandbox, probed(compile_c, target, probe), target)
    runs, count, values, total = USDT[probe]
    outcome, told = found["on_probe"], found["variables"]
    assert outcome == {"links": {"on_probe": "uprobe_multi"}, "ran": runs, "after": 0}
    assert told["count"] == count
    assert told["arguments"][: len(values)] == values
    assert total is None or told["sum"] == total


@x86_64
def test_usdt_of_python(sandbox: Sandbox, compile_c: Compile, target: str) -> None:
    if b".note.stapsdt" not in Path(PYTHON).read_bytes():
        pytest.skip(f"{PYTHON} has no probes")
    found = outcomes(sandbox, probed(compile_c, target, "twice", f'-DPYTHON="{PYTHON}"'), target, "on_python")
    assert found["on_python"] == {"links": {"on_python": "uprobe_multi"}, "ran": TIMES, "after": 0}
    assert found["variables"]["event"] == "wanted"


@x86_64
def test_many_places_of_a_usdt_probe_by_one_link(compile_c: Compile, target: str) -> None:
    """Programs that are loaded for it; there is a cookie for each place."""
    obj = probed(compile_c, target, "twice", '-DSECTION="uprobe.multi/"')
    with load(str(obj)) as loaded:
        link = attach(loaded.progs["on_probe"], f"usdt/{target}:ours:twice", maps=loaded.maps)
        assert isinstance(link, Link)
        with link:
            assert link.name == "uprobe_multi"
            run(target, str(TIMES))
        found = variables(loaded)
        assert (found["hits_on_probe"], found["sum"]) == (2 * TIMES, USDT["twice"][-1])


@x86_64
def test_many_places_of_a_usdt_probe_by_many_links(
    compile_c: Compile, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kernels before 6.6 have no other."""
    monkeypatch.setattr(progs, "takes", lambda feature: False)
    with load(str(probed(compile_c, target, "twice"))) as loaded:
        links = attach(loaded.progs["on_probe"], f"usdt/{target}:ours:twice", maps=loaded.maps)
        assert isinstance(links, Links)
        with links:
            assert [path for path, _ in links.pins("/x")] == ["/x_0", "/x_1"]
            run(target, str(TIMES))
        found = variables(loaded)
        assert (found["hits_on_probe"], found["sum"]) == (2 * TIMES, USDT["twice"][-1])


def attach_all(stack: contextlib.ExitStack, loaded: Loaded, target: str, *names: str) -> None:
    for name in names:
        links = attach(loaded.progs["on_probe"], f"usdt/{target}:ours:{name}", maps=loaded.maps)
        assert links is not None
        stack.enter_context(links)


@x86_64
def test_specs_of_usdt_probes_are_shared(compile_c: Compile, target: str) -> None:
    """There is an entry of the map for each description, whoever attached it."""
    with load(str(probed(compile_c, target, "twice"))) as loaded, contextlib.ExitStack() as stack:
        attach_all(stack, loaded, target, "twice", "silent", "twice", "arguments", "watched")
        assert [spec["arg_cnt"] for spec in loaded.maps["__bpf_usdt_specs"].values()][:4] == [1, 1, 7, 0]


@x86_64
def test_a_usdt_probe_without_arguments_keeps_none(compile_c: Compile, target: str) -> None:
    """The program passes `silent` after `arguments`, which was attached later."""
    with load(str(probed(compile_c, target, "twice"))) as loaded, contextlib.ExitStack() as stack:
        attach_all(stack, loaded, target, "silent", "arguments")
        run(target, str(TIMES))
        found = variables(loaded)
        assert (found["hits_on_probe"], found["count"]) == (2 * TIMES, 0)


@x86_64
def test_no_room_for_the_specs_of_a_usdt_probe(compile_c: Compile, target: str) -> None:
    obj = probed(compile_c, target, "twice", "-DBPF_USDT_MAX_SPEC_CNT=1")
    with load(str(obj)) as loaded, pytest.raises(Error, match=r"no room in __bpf_usdt_specs .*BPF_USDT_MAX_SPEC_CNT"):
        attach(loaded.progs["on_probe"], f"usdt/{target}:ours:twice", maps=loaded.maps)


@x86_64
def test_usdt_without_cookies(
    compile_c: Compile, tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On such kernels the address tells; that of a library is not known."""
    fixed = native(tmp_path, "-no-pie")
    monkeypatch.setattr(probe, "perf_cookie", lambda: False)
    with load(str(probed(compile_c, fixed, "twice"))) as loaded:
        prog, addresses = loaded.progs["on_probe"], loaded.maps["__bpf_usdt_ip_to_spec_id"]
        found = attach(prog, f"usdt/{fixed}:ours:twice", maps=loaded.maps)
        assert found is not None
        found.close()
        places = enumerate(probes(fixed, "ours", "twice"))
        assert dict(addresses.items()) == {place.address: id for id, place in places}
        with pytest.raises(Error, match="tells probes of libraries not apart"):
            attach(prog, f"usdt/{target}:ours:twice", maps=loaded.maps)


def test_kernels_without_links_of_perf_events(
    compile_c: Compile, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program runs until it is closed, and can't be pinned."""

    def refuse(prog: int, target: int, attach_type: int, **fields: object) -> int:
        raise OSError(errno.EINVAL, "")

    monkeypatch.setattr(bpf, "link_create", refuse)
    monkeypatch.setattr(probe, "perf_cookie", lambda: False)
    with load(str(compile_c("attach_kinds.c", "-g", f'-DPROGRAM="{target}"'))) as loaded:
        found = attach(loaded.progs["on_uprobe"], f"uprobe/{target}:called")
        assert found is not None
        assert variables(loaded)["hits_on_uprobe"] == 0
        run(target, str(TIMES))
        assert variables(loaded)["hits_on_uprobe"] == TIMES
        with pytest.raises(Error, match=r"can't pin /sys/fs/bpf/x: .* \(since Linux 5.15\)"):
            pins("/sys/fs/bpf/x", found)
        found.close()
        run(target, str(TIMES))
        assert variables(loaded)["hits_on_uprobe"] == TIMES


def test_a_uprobe_by_its_offset_in_the_file(compile_c: Compile, target: str) -> None:
    with load(str(compile_c("attach_kinds.c", "-g", f'-DPROGRAM="{target}"'))) as loaded:
        link = attach(loaded.progs["on_uprobe"], f"uprobe/{target}:{function_offset(target, 'called'):#x}")
        assert isinstance(link, Link)
        with link:
            run(target, str(TIMES))
        assert variables(loaded)["hits_on_uprobe"] == TIMES


NO_PLACE = Places()
# program, section, places → what follows "can't attach program … to SECTION: "
FAILURES: list[tuple[str, str, Places, str]] = [
    ("on_tp", "tp/sched/no_such", NO_PLACE, "there is no tracepoint sched/no_such"),
    ("on_tp", "tp/../../version", NO_PLACE, "it has to be tracepoint/CATEGORY/NAME"),
    ("on_raw_tp", "raw_tp/no_such", NO_PLACE, "there is no raw tracepoint of this name"),
    ("on_uprobe", "uprobe/nothing", NO_PLACE, "'nothing' is no file and function: it has to be FILE:FUNCTION"),
    ("on_uprobe", "uprobe/{target}:called+0x7fffff", NO_PLACE, "there is no instruction at 0x8"),
    ("on_uprobe", "uretprobe/{target}:called+4", NO_PLACE, "a function ends where it ends: the offset has to go"),
    ("on_uprobe", "usdt/{target}:ours:none", NO_PLACE, "{target}: it has no USDT probe ours:none"),
    ("on_uprobe", "usdt/{target}:twice", NO_PLACE, "'{target}:twice' is no FILE:PROVIDER:NAME"),
    ("on_uprobe", "usdt/{target}:ours:twice", NO_PLACE, "its object has no map __bpf_usdt_specs"),
    ("on_uprobe", "usdt/{target}:ours:unreadable", NO_PLACE,
     "USDT probe: argument 1: '8@watched(%rip)' is no place that a program can read"),
    ("on_uprobe_multi", "uprobe.multi/{target}:no_*", NO_PLACE, "{target}: no function matches 'no_*'"),
    ("on_uprobe", "uprobe.multi/{target}:many_*", NO_PLACE, "this kernel refuses it: "),
    ("on_tc", "tc", Places(ifindex=1), "its section does not say which way"),
    ("on_xdp", "xdp", Places(ifindex=0x7FFFFFFF), "the kernel refuses it there: "),
    ("on_connect4", "cgroup/connect4", Places(cgroup="/nosuch"), "/nosuch: No such file or directory"),
    ("on_connect4", "cgroup/connect4", Places(cgroup="/proc"), "Bad file descriptor"),
    ("on_sk_lookup", "sk_lookup", Places(netns="/etc/passwd"), "the kernel refuses it there: "),
    ("on_perf_event", "perf_event", Places(event=(99, 0)), "this machine does not count (99, 0)"),
]  # fmt: skip


def test_failures_say_what_where_and_why(compile_c: Compile, target: str) -> None:
    with load(str(compile_c("attach_kinds.c", "-g", f'-DPROGRAM="{target}"'))) as loaded:
        for name, section, places, message in FAILURES:
            section, message = section.format(target=target), message.format(target=target)
            with pytest.raises(Error) as caught:
                attach(loaded.progs[name], section, places=places, maps=loaded.maps)
            assert caught.value.message.startswith(f"can't attach program '{name}' to {section}: {message}")
            assert caught.value.status == 255


def test_no_place_is_no_failure(compile_c: Compile, target: str) -> None:
    """Programs without a place stay programs; places without a program are told."""
    places = Places(netns="/nosuch", event="cycles")
    with load(str(compile_c("attach_kinds.c", "-g", f'-DPROGRAM="{target}"'))) as loaded:
        for name, section in (
            ("on_xdp", "xdp"), ("on_connect4", "cgroup/connect4"),
            ("on_netfilter", "netfilter"), ("on_sk_msg", "sk_msg"), ("on_iter_map", "iter/bpf_map_elem"),
            ("on_uprobe", "uprobe"), ("on_tp", "mine"),
        ):  # fmt: skip
            assert attach(loaded.progs[name], section, places=places) is None
        for section in ("xdp/devmap", "xdp.frags/cpumap"):  # such programs run from maps
            assert attach(loaded.progs["on_xdp"], section, places=Places(ifindex=1)) is None
    assert places.unused == ["event", "netns"]


def test_the_command_takes_places(sandbox: Sandbox, compile_c: Compile, target: str) -> None:
    obj = compile_c("attach_kinds.c", "-g", f'-DPROGRAM="{target}"')
    words = "to dev lo egress to netns /proc/self/ns/net to netfilter ip input -5 to perf_event cpu-clock freq 49"
    done = sandbox.bcctool("prog", "loadall", obj, "/sys/fs/bpf/a", "autoattach", *words.split())
    assert done.stdout == ""
    without = [line.split()[1] for line in done.stderr.splitlines()]
    assert without == ["on_cgroup_egress", "on_connect4", "on_sock_create", "on_setsockopt", "on_sockops", "on_sk_msg",
                       "on_stream_verdict", "on_iter_map"]  # fmt: skip
    record = json.loads(sandbox.bcctool("-j", "net", "show").stdout)[0]
    assert [(row["devname"], row["mode"]) for row in record["xdp"]] == [("lo", "generic")]
    assert [(row["kind"], row["name"]) for row in record["tc"]] == [
        ("tcx/ingress", "on_tcx_ingress"), ("tcx/egress", "on_tc_egress"), ("tcx/egress", "on_tc"),
    ]  # fmt: skip
    assert len(record["flow_dissector"]) == 1
    assert [(row["pf"], row["hook"], row["prio"]) for row in record["netfilter"]] == [(2, 1, -5)]
    cpus = [name for name in sandbox.run("ls", "/sys/fs/bpf/a").stdout.split() if name.startswith("on_perf_event")]
    assert cpus == [f"on_perf_event_cpu{cpu}" for cpu in proc.online_cpus()]
    assert sandbox.run("cat", "/sys/fs/bpf/a/on_iter_task").stdout == ""


def test_a_hook_that_is_taken(sandbox: Sandbox, compile_c: Compile, target: str) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from bcctool.loader.attach import attach; from bcctool.loader.attach_places import Places\n"
        "from bcctool.loader.load import load\n"
        "with load(sys.argv[1]) as loaded:\n"
        "    with attach(loaded.progs['on_xdp'], 'xdp', places=Places(ifindex=1)):\n"
        "        attach(loaded.progs['on_xdp'], 'xdp', places=Places(ifindex=1))\n"
    )
    obj = compile_c("attach_kinds.c", "-g", f'-DPROGRAM="{target}"')
    done = sandbox.run(sys.executable, "-c", code, obj, status=1)
    assert "to xdp: something else is attached there, which has to go first" in done.stderr


def test_link_create_fills_in_structs(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def record(command: int, attr: uapi.attr_link_create) -> int:
        calls.append((command, attr))
        return 5

    monkeypatch.setattr(bpf, "bpf", record)
    assert bpf.link_create(3, 4, 7, flags=9, netfilter={"pf": 2, "priority": -3}) == 5
    command, attr = calls[0]
    assert command == uapi.BPF_LINK_CREATE
    assert (attr.prog_fd, attr.target_ifindex, attr.attach_type, attr.flags) == (3, 4, 7, 9)
    assert (attr.netfilter.pf, attr.netfilter.hooknum, attr.netfilter.priority) == (2, 0, -3)
