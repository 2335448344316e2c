"""Functions of processes by address: this one's, one that is gone, and a machine without BCC's library."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bcctool.kernel import bcc_symbols
from bcctool.kernel.bcc_symbols import UserSymbols

NOTHING = ("", "", 0)
SLEEPER = "import sys; print('ready', flush=True); sys.stdin.read()"


def address_of(name: str) -> int:
    address = ctypes.cast(getattr(ctypes.CDLL(None), name), ctypes.c_void_p).value
    assert address
    return address


@pytest.fixture
def symbols() -> Iterator[UserSymbols]:
    with UserSymbols() as found:
        found.at(os.getpid(), 0)
        if found.missing:
            pytest.skip("libbcc_bpf, which knows the functions of processes, is not installed")
        yield found


def test_a_function_of_this_process(symbols: UserSymbols) -> None:
    name, module, distance = symbols.at(os.getpid(), address_of("strtol") + 3)
    assert "strtol" in name
    assert os.path.realpath(module) in {os.path.realpath(path) for path in mapped()}
    assert distance == 3


def mapped() -> list[str]:
    return [line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "/" in line]


def test_what_no_function_is_at(symbols: UserSymbols) -> None:
    assert symbols.at(os.getpid(), 1)[0] == ""


def test_a_process_that_is_gone(symbols: UserSymbols) -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    assert symbols.at(child.pid, address_of("strtol")) == NOTHING
    assert symbols.in_file(child.pid, "00" * 20, 1) == NOTHING
    assert symbols.gone == {child.pid}


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bcc_symbols, "LIBRARIES", ("libnosuch_bpf.so.0",))
    with UserSymbols() as symbols:
        assert symbols.at(os.getpid(), address_of("strtol")) == NOTHING
        assert symbols.in_file(os.getpid(), "00" * 20, 1) == NOTHING
        assert symbols.missing


def test_a_library_that_lacks_a_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bcc_symbols.FUNCTIONS, "bcc_no_such_function", (None, ()))
    with UserSymbols() as symbols:
        assert symbols.at(os.getpid(), address_of("strtol")) == NOTHING
        assert symbols.missing


def test_only_so_many_processes_are_kept(symbols: UserSymbols, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were asked for last."""
    monkeypatch.setattr(bcc_symbols, "MAX_CACHES", 2)
    processes = [
        subprocess.Popen([sys.executable, "-IS", "-c", SLEEPER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    try:
        for process in processes:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
        for process in [processes[at] for at in (0, 1, 0, 2)]:
            executable = next(start for start, path in starts(process.pid) if "libc" in path)
            assert symbols.at(process.pid, executable)[1] != ""
        assert list(symbols._caches) == [processes[0].pid, processes[2].pid]
    finally:
        for process in processes:
            process.communicate()


def starts(pid: int) -> Iterator[tuple[int, str]]:
    """Where files that a process runs are mapped."""
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        where, rights, *_, path = line.split()
        if "x" in rights and "/" in path:
            yield int(where.partition("-")[0], 16), path
