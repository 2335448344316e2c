"""perf: every type of descriptor that the kernel describes, as a record and as text."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

import pytest

from bcctool.commands import perf
from bcctool.errors import Error, KernelError
from bcctool.kernel import bpf, proc, uapi
from bcctool.verbs import Args, Options

HEAD = {"pid": 10, "fd": 3, "prog_id": 77}
CASES = [
    ("raw_tracepoint", 0, 0, b"sched_switch", {"tracepoint": "sched_switch"}, "sched_switch"),
    ("tracepoint", 0, 0, b"sys_enter", {"tracepoint": "sys_enter"}, "sys_enter"),
    ("kprobe", 16, 0, b"do_x", {"func": "do_x", "offset": 16}, "func do_x  offset 16"),
    ("kretprobe", 0, 0xFFFF8000, b"", {"addr": 0xFFFF8000}, "addr 4294934528"),
    ("uprobe", 0x40, 0, b"/bin/\x1b", {"filename": "/bin/\x1b", "offset": 64}, "filename /bin/\\x1b  offset 64"),
    ("uretprobe", 0, 0, b"", {"filename": "", "offset": 0}, "filename   offset 0"),
]


@pytest.mark.parametrize(("word", "offset", "address", "name", "fields", "text"), CASES)
def test_types(word: str, offset: int, address: int, name: bytes, fields: dict[str, Any], text: str) -> None:
    type = uapi.TASK_FD_TYPES.index(word)
    record = perf.describe(10, 3, 77, type, offset, address, name)
    assert list(record.items()) == [*HEAD.items(), ("fd_type", word), *fields.items()]
    assert perf.text(record) == f"pid 10  fd 3: prog_id 77  {word}  {text}\n"


def test_a_type_that_is_newer_than_we_are() -> None:
    record = perf.describe(10, 3, 77, 99, 1, 2, b"x")
    assert record == HEAD | {"fd_type": 99}
    assert perf.text(record) == "pid 10  fd 3: prog_id 77  99\n"


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> dict[int, list[tuple[str, str]]]:
    """What descriptors the processes have; the kernel describes number 3 of each, as a tracepoint."""
    found: dict[int, list[tuple[str, str]]] = {}

    def descriptors(pid: int) -> Iterator[tuple[str, str]]:
        return iter(found[pid])

    def query(pid: int, fd: int) -> tuple[int, int, int, int, bytes]:
        if pid not in found or fd != 3:
            raise OSError(perf.ENOTSUPP, "")
        return 77, 1, 0, 0, b"sys_enter"

    monkeypatch.setattr(proc, "pids", lambda: iter(found))
    monkeypatch.setattr(proc, "descriptors", descriptors)
    monkeypatch.setattr(bpf, "task_fd_query", query)
    return found


def run(*words: str) -> Any:
    return perf.show.run(Args(words, Options(), "show"))


def test_only_descriptors_that_may_hold_a_program_are_asked_about(
    processes: dict[int, list[tuple[str, str]]],
) -> None:
    processes[1] = [("3", "/dev/null")]
    processes[2] = [("2", "anon_inode:[perf_event]"), ("3", "anon_inode:[perf_event]")]
    processes[5] = [("3", "anon_inode:bpf_link"), ("4", "anon_inode:bpf_link")]
    processes[6] = [("3", "anon_inode:bpf-prog")]
    assert [(record["pid"], record["fd"]) for record in run()] == [(2, 3), (5, 3)]


def test_no_permission_comes_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    def query(pid: int, fd: int) -> tuple[int, int, int, int, bytes]:
        raise OSError(errno.EPERM, "")

    monkeypatch.setattr(bpf, "task_fd_query", query)
    with pytest.raises(KernelError) as caught:
        run()
    assert caught.value.message == "perf_query_support: Operation not permitted"
    assert (caught.value.status, caught.value.detail.partition(":")[0]) == (255, "HINT")


def test_more_words_are_refused(processes: dict[int, list[tuple[str, str]]]) -> None:
    with pytest.raises(Error, match="expected no more arguments, got: 'x'"):
        run("x")
