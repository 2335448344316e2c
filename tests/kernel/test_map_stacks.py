"""`map dump MAP stacks`: where a program of ours calls from, by address and by build id; tools of others; failures."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from bcctool.kernel import bcc_symbols, proc

from ..conftest import BCCTOOL, PROGRAMS, Sandbox, no_bpf, run
from ..live import Live

Compile = Callable[..., Path]
MAPS = "/sys/fs/bpf/m"
TIMES = {"left": 3, "right": 4}  # as stacks_target.c calls
LINE = re.compile(r"(?P<frames>.*) (?P<count>\d+)")
HOMELESS = "Warning: functions of processes are [unknown]: say which with `pid PID`, or `counts MAP` that has pids\n"
NUMBERS = itertools.count()
GCC_FLAGS = ("-O2", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls")
needs_bcc = pytest.mark.skipif(
    not any(shutil.which("ldconfig") and name in run("ldconfig", "-p").stdout for name in bcc_symbols.LIBRARIES),
    reason="libbcc_bpf, which knows the functions of processes, is not installed",
)


class Traced:
    """A process that has called getpgid() while the programs of stacks.c watched, and is alive until it is ended."""

    def __init__(self, box: Sandbox, obj: Path, program: Path) -> None:
        self.box, self.name = box, program.name
        box.bcctool("prog", "loadall", obj, "/sys/fs/bpf/p", "pinmaps", MAPS, "autoattach")
        self.process = subprocess.Popen([program], stdin=PIPE, stdout=PIPE, text=True)
        self.pid = str(self.process.pid)
        assert self.process.stdout
        assert self.process.stdout.readline() == "done\n"

    def end(self) -> None:
        self.process.communicate()

    def dump(self, map: str, *words: str, **options: Any) -> tuple[list[tuple[list[str], int]], str]:
        """Frames and count of each line, and stderr; words: that are maps' names after `pinned`."""
        done = self.box.bcctool("map", "dump", "pinned", f"{MAPS}/{map}", "stacks", *words, **options)
        found = []
        for line in done.stdout.splitlines():
            match = LINE.fullmatch(line)
            assert match
            found.append((match["frames"].split(";"), int(match["count"])))
        return found, done.stderr

    def records(self, map: str, *words: str) -> list[dict[str, Any]]:
        done = self.box.bcctool("-j", "map", "dump", "pinned", f"{MAPS}/{map}", "stacks", *words)
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found


def build(compile_c: Compile, directory: Path, *flags: str) -> tuple[Path, Path]:
    """The BPF object, and the program that it watches: no other process has its name."""
    if not shutil.which("gcc"):
        pytest.skip("gcc is not installed")
    program = directory / f"st{os.getpid()}_{next(NUMBERS)}"
    run("gcc", *GCC_FLAGS, *flags, PROGRAMS / "stacks_target.c", "-o", program)
    return compile_c("stacks.c", "-g", f'-DCOMM="{program.name}"'), program


@pytest.fixture(scope="module")
def traced(compile_c: Compile, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    if reason := no_bpf():
        pytest.skip(reason)
    box = Sandbox()
    found = Traced(box, *build(compile_c, tmp_path_factory.mktemp("stacks")))
    yield found
    found.end()
    box.close()


def is_in_order(names: list[str], frames: list[str]) -> bool:
    rest = iter(frames)
    return all(name in rest for name in names)


@needs_bcc
def test_counts_with_user_and_kernel_stacks(traced: Traced) -> None:
    found, errors = traced.dump("stacks", "counts", "pinned", f"{MAPS}/counts")
    assert errors == ""
    assert sum(count for _, count in found) == sum(TIMES.values())
    for frames, count in found:
        (side,) = TIMES.keys() & set(frames)
        assert count == TIMES[side]
        assert frames[0] == traced.name
        assert is_in_order(["main", side, "middle", "inner"], frames)
        user, kernel = frames.index("inner"), frames.index("do_syscall_64") if "do_syscall_64" in frames else 0
        assert user < (kernel or len(frames) - 1)


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="do_syscall_64 is x86-64's way into the kernel")
def test_the_way_into_the_kernel(traced: Traced) -> None:
    """It is in one stack of all, and below the user's in the counts."""
    found, errors = traced.dump("stacks")
    assert errors == HOMELESS
    assert [count for _, count in found] == [1] * 3
    (kernel,) = [frames for frames, _ in found if set(frames) != {"[unknown]"}]
    assert is_in_order(["entry_SYSCALL_64_after_hwframe", "do_syscall_64"], kernel)
    counted, _ = traced.dump("stacks", "counts", "pinned", f"{MAPS}/counts")
    assert all(frames[-len(kernel) :] == kernel for frames, _ in counted)


@needs_bcc
@pytest.mark.parametrize("counts", ["by_id", "untyped"])
def test_keys_that_are_ids(traced: Traced, counts: str) -> None:
    found, errors = traced.dump("stacks", "counts", "pinned", f"{MAPS}/{counts}", "pid", traced.pid)
    assert errors == ""
    assert len(found) == 2
    assert all(is_in_order(["main", side, "middle", "inner"], frames) and count == TIMES[side]
               for frames, count in found for side in TIMES.keys() & set(frames))  # fmt: skip
    assert {frames[0] for frames, _ in found} != {traced.name}


@needs_bcc
def test_build_ids(traced: Traced) -> None:
    """With the process as functions, without it as what a copy of the file can be asked for.

    The kernel has an address where it can't read a file at once, and thus another stack: there may be more than two.
    """
    found, errors = traced.dump("builds", "pid", traced.pid)
    assert errors == ""
    assert {side for frames, _ in found for side in TIMES.keys() & set(frames)} == TIMES.keys()
    assert all(is_in_order(["main", "middle", "inner"], frames) for frames, _ in found)
    without, errors = traced.dump("builds")
    assert errors == HOMELESS
    assert any(all(re.fullmatch(r"\[[0-9a-f]{40}\]\+0x[0-9a-f]+", frame) for frame in frames) for frames, _ in without)
    assert [len(frames) for frames, _ in without] == [len(frames) for frames, _ in found]


@needs_bcc
def test_records(traced: Traced) -> None:
    for record in traced.records("stacks", "counts", "pinned", f"{MAPS}/counts"):
        assert list(record) == ["comm", "pid", "user_id", "kernel_id", "frames", "count"]
        assert (record["comm"], record["pid"]) == (traced.name, traced.process.pid)
        (middle,) = [frame for frame in record["frames"] if frame.get("symbol") == "middle"]
        assert list(middle) == ["ip", "symbol", "module", "offset"]
        assert Path(middle["module"]).name == traced.name
        assert record["frames"][-1]["module"] == "kernel"
    ids = {record["id"] for record in traced.records("stacks")}
    assert {record["user_id"] for record in traced.records("stacks", "counts", "pinned", f"{MAPS}/counts")} < ids
    frames = [frame for record in traced.records("builds", "pid", traced.pid) for frame in record["frames"]]
    middle = next(frame for frame in frames if frame.get("symbol") == "middle" and "build_id" in frame)
    assert list(middle) == ["build_id", "file_offset", "symbol", "module", "offset"]
    assert Path(middle["module"]).name == traced.name


def test_another_process_has_no_counts(traced: Traced) -> None:
    assert traced.dump("stacks", "counts", "pinned", f"{MAPS}/counts", "pid", "1") == ([], "")


def test_an_ordinary_dump_is_as_ever(traced: Traced) -> None:
    shown = traced.box.bcctool("map", "dump", "pinned", f"{MAPS}/stacks").stdout
    assert shown.endswith("Found 3 elements\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("counts stacks", "map ID is of type hash: stacks are in maps of type stack_trace"),
        ("stacks stacks counts pinned /sys/fs/bpf/m/stacks",
         "map ID is of type stack_trace: counts by stack are in a hash"),
    ],
)  # fmt: skip
def test_refusals(traced: Traced, words: str, message: str) -> None:
    name, *rest = words.split()
    words = f"map dump pinned {MAPS}/{name} {' '.join(rest)}"
    id = json.loads(traced.box.bcctool("-j", "map", "show", "pinned", f"{MAPS}/{name}").stdout)["id"]
    done = traced.box.bcctool(*words.split(), status=255)
    assert (done.stdout, done.stderr) == ("", f"Error: {message.replace('ID', str(id))}\n")
    done = traced.box.bcctool("-j", *words.split(), status=255)
    assert (json.loads(done.stdout), done.stderr) == ({"error": message.replace("ID", str(id))}, "")


@needs_bcc
def test_without_build_ids(sandbox: Sandbox, compile_c: Compile, tmp_path: Path) -> None:
    """The kernel gives addresses then, and they are looked up as such."""
    traced = Traced(sandbox, *build(compile_c, tmp_path, "-Wl,--build-id=none"))
    try:
        found, errors = traced.dump("builds", "pid", traced.pid)
        assert errors == ""
        assert {side for frames, _ in found for side in TIMES.keys() & set(frames)} == TIMES.keys()
        assert all(is_in_order(["main", "middle", "inner"], frames) for frames, _ in found)
    finally:
        traced.end()


@needs_bcc
def test_a_process_that_is_gone(sandbox: Sandbox, compile_c: Compile, tmp_path: Path) -> None:
    traced = Traced(sandbox, *build(compile_c, tmp_path))
    traced.end()
    gone = f"Warning: process {traced.pid} is gone: functions there are [unknown]\n"
    counts = ("counts", "pinned", f"{MAPS}/counts")
    found, errors = traced.dump("stacks", *counts)
    assert errors == gone
    assert sum(count for _, count in found) == sum(TIMES.values())
    assert all(frames[:3] == [traced.name, "[unknown]", "[unknown]"] for frames, _ in found)
    assert all(not frame.startswith("[unknown]") for frames, _ in found for frame in frames[-1:])
    frames, errors = traced.dump("builds", "pid", traced.pid)
    assert errors == gone
    assert all(frame.startswith("[") for frames, _ in frames for frame in frames)


@pytest.mark.parametrize("style", ["-j", "-p", ""])
def test_addresses_in_values(traced: Traced, style: str) -> None:
    """A key that is one, a number and a pointer in a value; what is none stays, also bytes that are no text."""
    words = [style] if style else []
    shown = traced.box.bcctool(*words, "map", "dump", "pinned", f"{MAPS}/places", "symbols").stdout
    ((place,),) = [json.loads(shown)]
    assert re.fullmatch(r"0xf[0-9a-f]{15} <\w+\+0x[0-9a-f]+>", place["key"])
    raw = ["0xff", "0x01", *["0x00"] * 14]
    assert place["value"] == {"ip": place["key"], "pointer": place["key"], "nowhere": (1 << 64) - 1, "name": raw}
    function = place["key"].partition("<")[2].partition("+")[0]
    assert any(function in frames for frames, _ in traced.dump("stacks")[0])


def test_addresses_in_values_without_types(traced: Traced) -> None:
    words = ("map", "dump", "pinned", f"{MAPS}/untyped", "symbols")
    done = traced.box.bcctool(*words, status=255)
    assert done.stdout == ""
    assert re.fullmatch(r"Error: map \d+ has no BTF, which tells where its addresses are\n", done.stderr)
    done = traced.box.bcctool("map", "dump", "pinned", f"{MAPS}/places", "symbols", "junk", status=255)
    assert done.stderr == "Error: expected no more arguments, got: 'junk'\n"


def test_addresses_on_each_cpu(traced: Traced) -> None:
    shown = traced.box.bcctool("-j", "map", "dump", "pinned", f"{MAPS}/by_id", "symbols").stdout
    for element in json.loads(shown):
        assert [each["cpu"] for each in element["values"]] == list(range(proc.possible_cpus()))
        assert sum(each["value"]["delta"] for each in element["values"]) in TIMES.values()


def test_without_the_library(traced: Traced) -> None:
    code = BCCTOOL[3].replace("sys.exit(", "from bcctool.kernel import bcc_symbols; "
                              "bcc_symbols.LIBRARIES = ('libnosuch_bpf.so.0',); sys.exit(")  # fmt: skip
    words = ("map", "dump", "pinned", f"{MAPS}/stacks", "stacks", "pid", traced.pid)
    done = traced.box.run(*BCCTOOL[:3], code, *words)
    assert done.stdout.count("\n") == 3
    assert done.stdout.count("[unknown];[unknown]") >= 2
    assert done.stderr == "Warning: functions of processes are [unknown] without libnosuch_bpf.so.0: install libbpfcc\n"


def test_no_import_of_bcc(traced: Traced) -> None:
    code = BCCTOOL[3].replace("sys.exit(main())", "main(); print(*sys.modules, file=sys.stderr)")
    words = ("map", "dump", "pinned", f"{MAPS}/stacks", "stacks", "pid", traced.pid)
    modules = traced.box.run(*BCCTOOL[:3], code, *words).stderr.split()
    assert "bcctool.kernel.bcc_symbols" in modules
    assert not {"bcc", "json", "re"} & set(modules)


def test_a_tool_of_others(sandbox: Sandbox, tmp_path: Path) -> None:
    """libbpf-tools' offcputime: the command's name is in the value, and threads of the kernel have no user stack."""
    if not shutil.which("offcputime"):
        pytest.skip("libbpf-tools is not installed")
    box = sandbox
    with Live(box, tmp_path / "out", "30", tool=("offcputime", "-m", "0")) as tool:
        maps: dict[str, str] = {}

        def found() -> bool:
            for fd, link in proc.descriptors(tool.process.pid):
                if "bpf-map" in link:
                    id = proc.fdinfo(fd, tool.process.pid)["map_id"]
                    maps[json.loads(box.bcctool("-j", "map", "show", "id", id).stdout)["name"]] = id
            return {"stackmap", "info"} <= maps.keys()

        tool.wait_for(found)
        words = ("map", "dump", "id", maps["stackmap"], "stacks", "counts", "id", maps["info"])
        tool.wait_for(lambda: any(is_of_kernel_thread(line) for line in box.bcctool(*words).stdout.splitlines()))
        lines = box.bcctool(*words).stdout.splitlines()
    assert all(LINE.fullmatch(line) for line in lines)
    for line in filter(is_of_kernel_thread, lines):
        assert re.fullmatch(r"\w+/?\d*(;ret_from_fork_asm)?;ret_from_fork;kthread;.*;schedule;.* \d+", line)


def is_of_kernel_thread(line: str) -> bool:
    """Of one that never was a process; a stack that the map had no place for says nothing."""
    return line.startswith(("ksoftirqd/", "rcu_")) and "[Missed Kernel Stack]" not in line
