"""The iterator over open files on a real kernel: it names whom /proc names."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bcctool.commands.perf import rows
from bcctool.kernel import bpf, caps, libbpf, perf, proc
from bcctool.objects import holders, open_files
from bcctool.objects.owners import owners

from ..conftest import ROOT

KINDS = (bpf.PROG, bpf.LINK, bpf.MAP, bpf.BTF)  # as tests/holding.py prints their ids
HOLD = (sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); import tests.holding")
SOFTWARE, DUMMY = 1, 9  # a perf event that counts nothing
IN_PID_NAMESPACE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
ASK = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from bcctool.kernel import bpf
from bcctool.objects import open_files
print(open_files.holders([bpf.BTF]))
"""


class Holder:
    """A process that holds one object of each kind of KINDS."""

    def __init__(self, *before: str) -> None:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([*before, *HOLD], **pipes)
        assert self.process.stdout is not None
        self.ids = dict(zip(KINDS, map(int, self.process.stdout.readline().split()), strict=True))
        self.pid = self.process.pid
        if before:  # its number out here is that of a child
            with open(f"/proc/{self.pid}/task/{self.pid}/children") as file:
                self.pid = int(file.read())

    def close(self) -> None:
        self.process.communicate()


@pytest.fixture(params=["here", "in a pid namespace"])
def holder(request: pytest.FixtureRequest) -> Iterator[Holder]:
    made = Holder(*(IN_PID_NAMESPACE if request.param != "here" else ()))
    yield made
    made.close()


def ask(*kinds: str) -> set[int]:
    """The iterator's answer; a skip where it can't run for a reason that is the machine's."""
    found = open_files.holders(kinds)
    if found is None and os.readlink("/proc/self/ns/pid") != "pid:[4026531836]":
        pytest.skip("in a pid namespace the iterator is not used")
    assert found is not None
    return found


def test_each_kind_is_told_apart(holder: Holder) -> None:
    """By a child that holds an object of one kind; the processes of others may come and go meanwhile."""
    for kind in (*KINDS, holders.PERF_EVENT):
        fd = perf.event(SOFTWARE, DUMMY, 0) if kind == holders.PERF_EVENT else bpf.fd_by_id(kind, holder.ids[kind])
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[fd]) as child:
            os.close(fd)
            assert {each for each in (*KINDS, holders.PERF_EVENT) if child.pid in ask(each)} == {kind}


def test_several_kinds_at_once(holder: Holder) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as other:
        found = ask(*KINDS, holders.PERF_EVENT)
        assert holder.pid in found
        assert other.pid not in found


@pytest.mark.parametrize("kind", KINDS)
def test_owners_are_those_of_proc(kind: str, holder: Holder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named once for all threads, and this process not at all."""
    tasks = {*map(int, os.listdir(f"/proc/{holder.pid}/task")), os.getpid()}
    fd = bpf.fd_by_id(kind, holder.ids[kind])
    by_proc = [each for each in owners(kind)[holder.ids[kind]] if each["pid"] in tasks]
    assert by_proc == [{"pid": holder.pid, "comm": proc.comm(holder.pid)}]
    ask(kind)
    monkeypatch.setattr(holders, "MANY", 0)
    assert [each for each in owners(kind)[holder.ids[kind]] if each["pid"] in tasks] == by_proc
    os.close(fd)


def test_perf_events_are_those_of_proc(holder: Holder, monkeypatch: pytest.MonkeyPatch) -> None:
    def mine() -> list[dict[str, Any]]:
        return [row for row in rows() if row["pid"] == holder.pid]

    by_proc = mine()
    ask(bpf.LINK)
    monkeypatch.setattr(holders, "MANY", 0)
    assert mine() == by_proc
    assert [(row["prog_id"], row["fd_type"]) for row in by_proc] == [(holder.ids[bpf.PROG], "raw_tracepoint")]


def test_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing comes right behind it, and is not to show our program or link."""
    made: list[tuple[str, int]] = []
    link_create = bpf.link_create

    def noted(prog: int, *args: Any, **fields: Any) -> int:
        link = link_create(prog, *args, **fields)
        made.extend(((bpf.PROG, int(proc.fdinfo(prog)["prog_id"])), (bpf.LINK, int(proc.fdinfo(link)["link_id"]))))
        return link

    monkeypatch.setattr(bpf, "link_create", noted)
    before = os.listdir("/proc/self/fd")
    ask(bpf.BTF)
    after = {(kind, id) for kind in (bpf.PROG, bpf.LINK) for id in bpf.ids(kind)}
    assert len(made) == 2
    assert not after & set(made)
    assert os.listdir("/proc/self/fd") == before


def refuse(*_: Any) -> int:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


def another_proc(path: str) -> str:
    return "1" if path == "/proc/self" else "pid:[4026531836]" if path == "/proc/self/ns/pid" else READLINK(path)


READLINK = os.readlink
BROKEN: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "no BTF": lambda patch: patch.setattr(open_files, "VMLINUX", "/nowhere"),
    "BTF that is none": lambda patch: patch.setattr(open_files, "VMLINUX", "/etc/passwd"),
    "another pid namespace": lambda patch: patch.setattr(open_files, "_FIRST_PID_NAMESPACE", "pid:[1]"),
    "the /proc of another one": lambda patch: patch.setattr(os, "readlink", another_proc),
    "no such function": lambda patch: patch.setitem(holders.RELEASE, bpf.BTF, "btf_no_release"),
    "a function of another kind": lambda patch: patch.setitem(holders.RELEASE, bpf.BTF, "bpf_map_release"),
    "no program of the type": lambda patch: patch.setattr(libbpf, "call", refuse),
    "no links": lambda patch: patch.setattr(bpf, "link_create", refuse),
    "no right to open objects": lambda patch: patch.setattr(bpf, "fd_by_id", refuse),
}


@pytest.mark.parametrize("what", BROKEN)
def test_where_the_kernel_can_not_be_asked(
    what: str, holder: Holder, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Then all processes are looked at, and nothing is said or left open."""
    before = os.listdir("/proc/self/fd")
    BROKEN[what](monkeypatch)
    monkeypatch.setattr(holders, "MANY", 0)
    assert open_files.holders([bpf.BTF]) is None
    assert holder.pid in holders.processes(bpf.BTF)
    assert os.listdir("/proc/self/fd") == before
    assert capfd.readouterr() == ("", "")


def test_without_rights() -> None:
    with caps.Without([name for name in ("CAP_SYS_ADMIN", "CAP_BPF", "CAP_PERFMON") if caps.is_known(name)]):
        assert open_files.holders([bpf.BTF]) is None


def test_numbers_of_a_pid_namespace_are_not_mixed_up() -> None:
    done = subprocess.run([*IN_PID_NAMESPACE, sys.executable, "-c", ASK], capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"
    without_proc = [word for word in IN_PID_NAMESPACE if word != "--mount-proc"]
    done = subprocess.run([*without_proc, sys.executable, "-c", ASK], capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"


def test_a_listing_among_many_processes(holder: Holder, bcctool: Callable[..., Any]) -> None:
    """So many that the kernel is asked by itself: all threads of one process count once, processes each."""
    until, closed = os.pipe()
    children = []
    try:
        for _ in range(holders.MANY):
            pid = os.posix_spawn("/bin/cat", ["cat"], {}, file_actions=[(os.POSIX_SPAWN_DUP2, until, 0)])
            children.append(pid)
        record = json.loads(bcctool("-j", "prog", "show", "id", str(holder.ids[bpf.PROG])).stdout)
        assert {"pid": holder.pid, "comm": proc.comm(holder.pid)} in record["pids"]
    finally:
        os.close(closed)
        os.close(until)
        for pid in children:
            os.waitpid(pid, 0)
