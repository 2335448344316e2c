"""`bcc list`: what processes have, whoever made them: tools of libbpf and BCC, a loader of ours, a bare descriptor."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from bcctool.commands import bcc_list
from bcctool.kernel import bpf, proc
from bcctool.objects.map import Map

from ..conftest import BCCTOOL, NOBODY, ROOT, Completed, Sandbox, run

Compile = Callable[..., Path]
HOLD = """
import sys
from bcctool import BPF
b = BPF(obj=sys.argv[1])
b.attach_raw_tracepoint(tp="sys_enter", fn_name="on_raw")
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def traced(sandbox: Sandbox) -> Sandbox:
    """A sandbox with a tracefs."""
    sandbox.mount_tracefs()
    return sandbox


@pytest.fixture
def start(traced: Sandbox) -> Iterator[Callable[..., int]]:
    """Start a program in the sandbox: `start("execsnoop", environment…)`, its pid. It is ended at the end."""
    running: list[subprocess.Popen[str]] = []

    def call(*words: str, **variables: str) -> int:
        command = ("nsenter", "-t", str(traced.holder.pid), "-m", "-n", "--", *words)
        environment = {**os.environ, **variables}
        running.append(subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True, env=environment))
        return running[-1].pid

    yield call
    for process in running:
        process.kill()
        process.communicate()


def listed(box: Sandbox, pid: int, ready: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The record of a process as soon as it has what is waited for."""
    end = time.monotonic() + 60
    while True:
        records = json.loads(box.bcctool("-j", "bcc", "list", "pid", str(pid)).stdout)
        if records and ready(records[0]):
            record: dict[str, Any] = records[0]
            return record
        assert time.monotonic() < end, records
        time.sleep(0.2)


@pytest.fixture
def held(start: Callable[..., int], traced: Sandbox, compile_c: Compile) -> tuple[int, dict[str, Any]]:
    """A process with the programs of companion.c, and its record."""
    pid = start(sys.executable, "-c", HOLD, str(compile_c("companion.c", "-g")), PYTHONPATH=str(ROOT))
    return pid, listed(traced, pid, lambda record: bool(record["perf_events"] and record["links"]))


def test_a_process_with_all_kinds(held: tuple[int, dict[str, Any]]) -> None:
    pid, record = held
    assert list(record) == ["pid", "comm", "cmdline", "progs", "maps", "links", "perf_events"]
    assert (record["pid"], record["cmdline"][:2]) == (pid, [sys.executable, "-c"])
    progs = {prog["name"]: prog for prog in record["progs"]}
    assert len(progs) == 8
    assert list(progs["drop"]) == ["id", "type", "name", "attached"]
    assert (progs["drop"]["type"], progs["drop"]["attached"]) == ("xdp", [])
    assert progs["on_raw"]["attached"] == ["raw_tracepoint tp 'sys_enter'"]
    by_name = progs["tracepoint__syscalls__sys_enter_getpgid"]
    assert by_name["attached"] == ["tracepoint sys_enter_getpgid"]
    maps = {found["name"]: found for found in record["maps"]}
    assert {"counter_map", "events", "ring", "stacks", "jumps"} <= set(maps)
    assert list(maps["seen"]) == ["id", "type", "name", "bytes_key", "bytes_value", "max_entries"]
    assert [maps["seen"][key] for key in ("type", "bytes_key", "bytes_value", "max_entries")] == ["array", 4, 8, 1]
    (link,) = record["links"]
    assert (link["type"], link["prog_id"]) == ("raw_tracepoint", progs["on_raw"]["id"])
    (event,) = record["perf_events"]
    assert list(event) == ["fd", "prog_id", "fd_type", "tracepoint"]
    assert (event["prog_id"], event["tracepoint"]) == (by_name["id"], "sys_enter_getpgid")


def test_the_text(held: tuple[int, dict[str, Any]], traced: Sandbox) -> None:
    pid, record = held
    text = traced.bcctool("bcc", "list", "pid", str(pid)).stdout
    first, *lines = text.splitlines()
    assert first.startswith(f"{pid}: {record['comm']}  {sys.executable} -c")
    progs = {prog["name"]: prog["id"] for prog in record["progs"]}
    assert f"\tprog {progs['drop']}: xdp  name drop" in lines
    assert f"\tprog {progs['on_raw']}: raw_tracepoint  name on_raw  raw_tracepoint tp 'sys_enter'" in lines
    (found,) = [found for found in record["maps"] if found["name"] == "seen"]
    assert f"\tmap {found['id']}: array  name seen  key 4B  value 8B  max_entries 1" in lines
    (event,) = record["perf_events"]
    assert lines[-1] == f"\tperf_event fd {event['fd']}: prog {event['prog_id']}  tracepoint sys_enter_getpgid"
    assert len(lines) == sum(len(record[key]) for key in ("progs", "maps", "links", "perf_events"))


def test_the_table(held: tuple[int, dict[str, Any]], traced: Sandbox) -> None:
    pid, record = held
    header, *rows = traced.bcctool("-t", "bcc", "list", "pid", str(pid)).stdout.splitlines()
    assert header.split() == ["PID", "COMM", "KIND", "ID", "TYPE", "NAME", "PLACE"]
    kinds = [row.split()[2] for row in rows]
    counts = [len(record[key]) for key in ("progs", "maps", "links", "perf_events")]
    assert [kinds.count(kind) for kind in ("prog", "map", "link", "perf_event")] == counts


def test_who_is_listed(held: tuple[int, dict[str, Any]], traced: Sandbox) -> None:
    pid, _ = held
    records = json.loads(traced.bcctool("-j", "bcc", "list").stdout)
    pids = [record["pid"] for record in records]
    assert pid in pids
    assert pids == sorted(pids)
    assert os.getpid() not in pids  # has nothing


@pytest.mark.parametrize("tool", ["execsnoop", "execsnoop-bpfcc"])
def test_execsnoop(tool: str, start: Callable[..., int], traced: Sandbox, tmp_path: Path) -> None:
    """That of libbpf-tools, and BCC's, which needs kprobes: without them syscount stands in for it."""
    path = shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin")
    if path is None:
        pytest.skip(f"{tool} is not installed")
    if tool == "execsnoop":
        pid = start(path)
        record = listed(traced, pid, lambda record: len(record["perf_events"]) == 2)
        expected = ["tracepoint sys_enter_execve", "tracepoint sys_exit_execve"]
    else:
        kprobes = os.path.exists("/sys/bus/event_source/devices/kprobe")
        words = (sys.executable, "-m", "bcctool", "bcc", "run", "execsnoop" if kprobes else "syscount")
        pid = start(*words, PYTHONPATH=str(ROOT), XDG_CACHE_HOME=str(tmp_path))
        record = listed(traced, pid, lambda record: len(record["perf_events"]) == 1 + kprobes)
        probed = ["kprobe __x64_sys_execve", "kretprobe __x64_sys_execve"]
        expected = probed if kprobes else ["tracepoint sys_exit"]
    assert [place for prog in record["progs"] for place in prog["attached"]] == expected
    assert tool.removesuffix("-bpfcc") in " ".join(record["cmdline"]) or "syscount" in " ".join(record["cmdline"])
    assert record["maps"]


def test_a_program_that_is_only_held(bcctool: Callable[..., Completed]) -> None:
    with Map.create("hash", 4, 8, 10, name="only") as map_:
        record = json.loads(bcctool("-j", "bcc", "list", "pid", str(os.getpid())).stdout)[0]
        (found,) = [found for found in record["maps"] if found["id"] == map_.id]
        assert (found["name"], record["progs"], record["links"], record["perf_events"]) == ("only", [], [], [])
        assert bcc_list.process(os.getpid(), bcc_list.Links()) == record
    assert bcc_list.process(os.getpid(), bcc_list.Links()) is None


def test_what_ends_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = [(bpf.MAP, 0xFFFFFFFF), (bpf.PROG, 0xFFFFFFFF), (bpf.LINK, 0xFFFFFFFF)]
    monkeypatch.setattr(bcc_list, "held_ids", lambda pid, kinds, descriptors: iter(gone))
    record = bcc_list.process(os.getpid(), bcc_list.Links())
    assert record is not None
    assert (record["progs"], record["maps"], record["links"]) == ([], [], [])
    monkeypatch.setattr(proc, "comm", lambda pid: "")  # the process ended
    assert bcc_list.process(os.getpid(), bcc_list.Links()) is None


def test_names_that_are_hostile() -> None:
    evil = "a\x1b[31m\nb"
    record = {
        "pid": 1,
        "comm": evil,
        "cmdline": [evil],
        "progs": [{"id": 2, "type": "xdp", "name": evil, "attached": [evil]}],
        "maps": [],
        "links": [],
        "perf_events": [{"fd": 3, "prog_id": 2, "fd_type": "kprobe", "func": evil, "offset": 0}],
    }
    text = bcc_list.text(record)
    assert "\x1b" not in text
    assert text.count("\n") == 3


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("pid", "4294967295"), "Error: no process 4294967295\n"),
        (("pid",), "Error: expected PID\n"),
        (("pid", "x"), "Error: can't parse x as PID\n"),
        (("pid", "1", "2"), "Error: expected no more arguments, got: '2'\n"),
        (("name",), "Error: expected 'pid', got: 'name'?\n"),
    ],
)
def test_words_that_are_none(words: tuple[str, ...], error: str, bcctool: Callable[..., Completed]) -> None:
    assert bcctool("bcc", "list", *words, status=255).stderr == error


def test_processes_that_can_not_be_looked_at(bcctool: Callable[..., Completed]) -> None:
    """Root, but for the right to look into others."""
    if not shutil.which("setpriv"):
        pytest.skip("setpriv (util-linux) is not installed")
    words = ("setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace", *BCCTOOL, "bcc", "list")
    with Map.create("hash", 4, 8, 10):
        done = run(*words, "pid", str(os.getpid()), status=255)
        assert done.stderr == f"Error: can't see the descriptors of process {os.getpid()}: CAP_SYS_PTRACE is needed\n"
        done = run(*words)
    assert re.fullmatch(
        r"Warning: the descriptors of \d+ processes can't be seen without CAP_SYS_PTRACE\n", done.stderr
    )


def test_without_rights(bcctool: Callable[..., Completed]) -> None:
    if not shutil.which("setpriv"):
        pytest.skip("setpriv (util-linux) is not installed")
    done = run(*NOBODY, *BCCTOOL, "bcc", "list", status=None)
    same = run(*NOBODY, *BCCTOOL, "prog", "show", status=None)
    assert (done.returncode, done.stderr) == (same.returncode, same.stderr)
    assert "Operation not permitted" in done.stderr
