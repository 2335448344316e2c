"""`map dump MAP stacks`: a line for each record, whatever names there are; the words; no kernel."""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest

from bcctool.commands import map_stacks
from bcctool.commands.map_stacks import Names, counted, records, text
from bcctool.kernel import bpf
from bcctool.kernel.bcc_symbols import MAX_PID, UserSymbols
from bcctool.objects.stacks import EITHER, KERNEL, USER, Count, Counts, Stacks

from .fake_kernel import FakeKernel, fake_kernel, written  # noqa: F401  (a fixture)
from .test_objects_map import TYPE, Entries, entries  # noqa: F401  (a fixture)

KERNEL_ADDRESS = 0xFFFFFFFF81000010
run = partial(written, "map")


class KnownKernel:
    """A kernel with one function."""

    def function(self, address: int) -> tuple[str, str, int]:
        return ("do_it", "kernel", 0x10) if address == KERNEL_ADDRESS else ("", "", 0)

    def hidden(self) -> bool:
        return False


class KnownUser(UserSymbols):
    """Processes whose functions are called by pid and address."""

    def at(self, pid: int, address: int) -> tuple[str, str, int]:
        return (f"f{pid}_{address}", "/bin/x", 1) if address < 100 else ("", "/bin/y", address)

    def in_file(self, pid: int, build_id: str, offset: int) -> tuple[str, str, int]:
        return ("g", "/bin/z", 2) if build_id == "ab" else ("", "", 0)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    monkeypatch.setattr(map_stacks, "KernelSymbols", KnownKernel)
    monkeypatch.setattr(map_stacks, "UserSymbols", KnownUser)
    return Names(KnownUser())


def line(names: Names, pid: int | None, *frames: tuple[str, int], comm: str | None = None) -> str:
    head = {} if comm is None else {"comm": comm}
    return text(head | {"frames": names.frames(pid, list(frames)), "count": 3})


@pytest.mark.parametrize(
    ("pid", "frames", "found"),
    [
        (7, [("", 1), ("", 2), ("", KERNEL_ADDRESS)], "f7_1;f7_2;do_it 3\n"),
        (7, [("", 100), ("", KERNEL_ADDRESS + 1)], "[unknown];[unknown] 3\n"),
        (None, [("", 1), ("", KERNEL_ADDRESS)], "[unknown];do_it 3\n"),
        (0, [("", 1)], "[unknown] 3\n"),
        (MAX_PID + 1, [("", 1)], "[unknown] 3\n"),
        (7, [("ab", 1), ("cd", 0x123)], "g;[cd]+0x123 3\n"),
        (None, [("ab", 1)], "[ab]+0x1 3\n"),
        (7, [], "[unknown] 3\n"),
    ],
)
def test_lines(names: Names, pid: int | None, frames: list[tuple[str, int]], found: str) -> None:
    assert line(names, pid, *frames) == found


def test_the_command_is_the_outermost(names: Names) -> None:
    assert line(names, 7, ("", 1), comm="sh") == "sh;f7_1 3\n"
    assert line(names, 7, ("", 1), comm="") == "f7_1 3\n"
    assert line(names, 7, comm="sh") == "sh 3\n"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a;b 5", "a\\x3bb 5"),
        ("a\nb 9", "a\\nb 9"),
        ("\x1b[31m\x07\u202e", "\\x1b[31m\\x07\\u202e"),
        ("std::f(int, char)", "std::f(int, char)"),
        ("\udcff", "\\udcff"),
    ],
)
def test_names_that_would_be_something_else(name: str, shown: str) -> None:
    record = {"comm": name, "frames": [{"ip": "0x1", "symbol": name}], "count": 1}
    assert text(record) == f"{shown};{shown} 1\n"


def test_a_frame_says_what_is_known(names: Names) -> None:
    assert names.frames(7, [("", 1), ("", 200), ("", KERNEL_ADDRESS), ("ab", 5), ("cd", 5)]) == [
        {"ip": "0x1", "symbol": "f7_1", "module": "/bin/x", "offset": 1},
        {"ip": "0xc8", "module": "/bin/y", "offset": 200},
        {"ip": hex(KERNEL_ADDRESS), "symbol": "do_it", "module": "kernel", "offset": 0x10},
        {"build_id": "ab", "file_offset": 5, "symbol": "g", "module": "/bin/z", "offset": 2},
        {"build_id": "cd", "file_offset": 5},
    ]


class SomeStacks(Stacks):
    def __init__(self, of: dict[int, list[tuple[str, int]]]) -> None:
        self.of = of

    def get(self, id: int) -> list[tuple[str, int]] | None:
        return self.of.get(id)


class SomeCounts(Counts):
    def __init__(self, *given: Count) -> None:
        self.given = given
        self._pid = "pid" if any(entry.pid is not None for entry in given) else ""

    def __iter__(self) -> Any:
        return iter(self.given)


STACKS = SomeStacks({1: [("", 1)], 2: [("", KERNEL_ADDRESS)]})


@pytest.mark.parametrize(
    ("ids", "found"),
    [
        ({USER: 1, KERNEL: 2}, "c;f7_1;do_it 3\n"),
        ({USER: -errno.EFAULT, KERNEL: 2}, "c;do_it 3\n"),
        ({USER: 1, KERNEL: -1}, "c;f7_1 3\n"),
        ({USER: -errno.EEXIST, KERNEL: 2}, "c;[Missed User Stack];do_it 3\n"),
        ({USER: 1, KERNEL: -errno.ENOMEM}, "c;f7_1;[Missed Kernel Stack] 3\n"),
        ({USER: 99, KERNEL: 2}, "c;[Missed User Stack];do_it 3\n"),  # no longer in the map
        ({EITHER: 99}, "c;[Missed Stack] 3\n"),
        ({EITHER: 1}, "c;f7_1 3\n"),
    ],
)
def test_what_is_counted(names: Names, ids: dict[str, int], found: str) -> None:
    assert text(counted(STACKS, names, Count(ids, 3, 7, "c"), 7)) == found


def test_the_record_of_a_count(names: Names) -> None:
    record = counted(STACKS, names, Count({USER: -errno.EEXIST, KERNEL: 2}, 3, 7, "c"), 7)
    kernel = {"ip": hex(KERNEL_ADDRESS), "symbol": "do_it", "module": "kernel", "offset": 0x10}
    assert record == {
        "comm": "c", "pid": 7, "user_id": -errno.EEXIST, "kernel_id": 2, "frames": [{"missed": "user"}, kernel],
        "count": 3,
    }  # fmt: skip
    assert list(counted(STACKS, names, Count({KERNEL: 2}, 3, None, None), None)) == ["id", "frames", "count"]


def test_whose_counts(names: Names) -> None:
    """A process that is asked for is the only one, or the one that all are of when nothing says which."""
    several = SomeCounts(Count({USER: 1}, 3, 7, "c"), Count({USER: 1}, 4, 8, "d"))
    assert list(map(text, records(STACKS, several, None, ExitStack()))) == ["c;f7_1 3\n", "d;f8_1 4\n"]
    assert list(map(text, records(STACKS, several, 8, ExitStack()))) == ["d;f8_1 4\n"]
    unsaid = SomeCounts(Count({EITHER: 1}, 3, None, None))
    assert list(map(text, records(STACKS, unsaid, 8, ExitStack()))) == ["f8_1 3\n"]


def test_warnings(names: Names) -> None:
    assert list(names.warnings()) == []
    names.frames(None, [("", 1), ("", 2)])
    names.user.gone = {9, 4, 5}
    names.user.missing = names.hidden = True
    assert list(names.warnings()) == [
        "the kernel hides its addresses from this user: no function of its has a name here",
        "functions of processes are [unknown]: say which with `pid PID`, or `counts MAP` that has pids",
        "functions of processes are [unknown] without libbcc_bpf.so.0: install libbpfcc",
        "process 4 and 2 others are gone: functions there are [unknown]",
    ]
    names.user.gone = {9}
    assert list(names.warnings())[-1] == "process 9 is gone: functions there are [unknown]"


@pytest.fixture
def maps(entries: Entries, fake_kernel: FakeKernel) -> FakeKernel:  # noqa: F811
    """A stack_trace map with the id 3, without stacks, besides those of `entries`."""
    fake_kernel.add(bpf.MAP, 3, type=TYPE("stack_trace"), name=b"st", key_size=4, value_size=16, max_entries=4)
    entries.of = {}
    return fake_kernel


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("id 1 stacks", "map 1 is of type hash: stacks are in maps of type stack_trace"),
        ("id 3 stacks junk", "expected 'pid' or 'counts', got: 'junk'?"),
        ("id 3 stacks pid", "expected PID"),
        ("id 3 stacks pid x", "can't parse x as PID"),
        ("id 3 stacks pid 2147483648", "PID 2147483648 is out of range: 0..2147483647"),
        ("id 3 stacks pid 1 pid 2", "duplicate pid"),
        ("id 3 stacks counts id 1 counts id 1", "duplicate counts"),
        ("id 3 stacks counts", "expected 'id', 'name' or 'pinned', got: nothing"),
        ("id 3 stacks counts id 3", "map 3 is of type stack_trace: counts by stack are in a hash"),
        ("id 3 stacks counts id 99", "get map by id (99): No such file or directory"),
    ],
)
def test_refusals(maps: FakeKernel, capsys: pytest.CaptureFixture[str], words: str, message: str) -> None:
    before = len(os.listdir("/proc/self/fd"))
    assert run(f"dump {words}") == ("", 255)
    assert capsys.readouterr().err == f"Error: {message}\n"
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("words", ["id 3 stacks", "i 3 s", "name st stacks pid 1 counts id 1", "id 3 st c id 1 p 1"])
def test_nothing_there(maps: FakeKernel, names: Names, words: str) -> None:
    assert run(f"dump {words}") == ("", 0)
    assert run(f"dump {words}", json=True) == ("[]", 0)


def test_other_words_are_bpftools_usage(maps: FakeKernel, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("dump id 3 junk")[1] == 255
    assert capsys.readouterr().err.startswith("Usage: ")
