"""`prog tracelog stdout|stderr`: the parts in which the kernel hands out a program's stream, put together."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bcctool.commands import prog_tracelog
from bcctool.errors import Error, NotSupported
from bcctool.kernel import bpf, proc, uapi
from bcctool.verbs import Args, Options

from .fake_kernel import FakeKernel, fake_kernel  # noqa: F401

PARTS = [b"first \xc3", b"\xa4\tline\n\x1b[2J", b""]  # cut inside a character


@pytest.fixture
def streams(fake_kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> list[int]:  # noqa: F811
    """A program with the id 1 whose streams hold PARTS; the stream numbers that were asked for."""
    fake_kernel.add(bpf.PROG, 1, name=b"p")
    asked: list[int] = []

    def call(cmd: int, attr: Any) -> int:
        assert cmd == uapi.BPF_PROG_STREAM_READ_BY_FD
        part = PARTS[len(asked)]
        asked.append(attr.stream_id)
        ctypes.memmove(attr.stream_buf, part, len(part))
        return len(part)

    monkeypatch.setattr(bpf, "bpf", call)
    return asked


def read(stream: str) -> str:
    result = prog_tracelog.run(Args([stream, "id", "1"], Options(), "tracelog"))
    return "".join(result.chunks("plain", 0))


def test_stdout(streams: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    assert read("stdout") == "first ä\tline\n\\x1b[2J"
    assert streams == [1, 1, 1]
    assert capsys.readouterr() == ("", "")


def test_stderr(streams: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    assert read("stderr") == ""
    assert streams == [2, 2, 2]
    assert capsys.readouterr() == ("", "first ä\tline\n\\x1b[2J")


def test_a_kernel_without_streams(streams: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(cmd: int, attr: Any) -> int:
        raise OSError(errno.EINVAL, "")

    monkeypatch.setattr(bpf, "bpf", refuse)
    with pytest.raises(NotSupported, match=r"since Linux 6\.17"):
        read("stdout")


def test_a_pipe_that_can_t_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc, "mounts", lambda *_: iter([str(tmp_path)]))
    before = signal.getsignal(signal.SIGINT), len(os.listdir("/proc/self/fd"))
    with pytest.raises(Error, match=f"can't open {tmp_path}/trace_pipe: No such file or directory"):
        next(prog_tracelog.lines())
    assert (signal.getsignal(signal.SIGINT), len(os.listdir("/proc/self/fd"))) == before


@pytest.fixture
def bounded() -> Iterator[None]:
    """A loop that does not end fails, instead of keeping everybody waiting."""

    def expire(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, expire)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("style", ["plain", "json"])
def test_the_end_of_the_pipe_ends_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, style: str) -> None:
    """As when tracing is switched off."""
    monkeypatch.setattr(proc, "mounts", lambda *_: iter([str(tmp_path)]))
    os.mkfifo(tmp_path / "trace_pipe")
    writer = os.open(tmp_path / "trace_pipe", os.O_RDWR)
    os.write(writer, b"one\ntwo\n")
    log = prog_tracelog.trace(False, style, 0)
    shown = [next(log), next(log)]
    os.close(writer)
    assert "".join([*shown, *log]) == {"plain": "one\ntwo\n", "json": '["one\\n","two\\n"]'}[style]
