"""`prog tracelog`: lines as they come, however it is ended; a program's own streams; a pipe that can't be had."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..conftest import BCCTOOL, Sandbox, no_bpf
from ..live import Live

Compile = Callable[..., Path]
PIPE = "/sys/kernel/tracing/trace_pipe"


@pytest.fixture(scope="module")
def box(compile_c: Compile) -> Iterator[Sandbox]:
    """A sandbox with tracefs and the programs pinned."""
    if reason := no_bpf():
        pytest.skip(reason)
    box = Sandbox()
    box.mount_tracefs()
    box.bcctool("prog", "loadall", compile_c("tracelog.c", "-g"), "/sys/fs/bpf/t")
    yield box
    box.close()


class Log(Live):
    """A tracelog; it has been seen reading."""

    def __init__(self, box: Sandbox, out: Path, *options: str) -> None:
        super().__init__(box, out, *options, "prog", "tracelog")

    def is_ready(self) -> bool:
        return PIPE in self.open_files()


def say(box: Sandbox, tmp_path: Path, size: int) -> None:
    """Have a line printed that ends in a number of ours."""
    packet = tmp_path / "packet"
    packet.write_bytes(bytes(size))
    box.bcctool("prog", "run", "pinned", "/sys/fs/bpf/t/printer", "data_in", packet)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_lines_until_a_signal(box: Sandbox, tmp_path: Path, number: signal.Signals) -> None:
    size = 100 + number
    with Log(box, tmp_path / "log") as log:
        say(box, tmp_path, size)
        log.wait_for(lambda: f"{size}\n" in log.out.read_text())  # at once, not when a buffer is full
        assert log.end(number) == (0, "")
    lines = [line for line in log.out.read_text().splitlines() if line.endswith(f" {size}")]
    assert len(lines) == 1
    assert lines[0].endswith(f'bpf_trace_printk: tab\there "quoted" \\x1b[2J {size}')


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("style", ["-j", "-p"])
def test_json_is_closed(box: Sandbox, tmp_path: Path, style: str, number: signal.Signals) -> None:
    size = 200 + number
    with Log(box, tmp_path / "log", style) as log:
        say(box, tmp_path, size)
        log.wait_for(lambda: f"{size}\\n" in log.out.read_text())
        assert log.end(number) == (0, "")
    lines = [line for line in json.loads(log.out.read_text()) if line.endswith(f" {size}\n")]
    assert len(lines) == 1
    assert f'tab\there "quoted" \x1b[2J {size}\n' in lines[0]


def test_a_log_without_lines_is_still_an_array(box: Sandbox, tmp_path: Path) -> None:
    with Log(box, tmp_path / "log", "-j") as log:
        assert log.end(signal.SIGINT) == (0, "")
    assert isinstance(json.loads(log.out.read_text()), list)


def test_a_pipe_that_is_busy(box: Sandbox, tmp_path: Path) -> None:
    with Log(box, tmp_path / "log"):
        done = box.bcctool("prog", "tracelog", status=255)
        assert done.stderr == f"Error: can't open {PIPE}: Device or resource busy: somebody else is reading it\n"
        error = json.loads(box.bcctool("-j", "prog", "tracelog", status=255).stdout)["error"]
        assert error.startswith("can't open ")


def test_no_tracefs(box: Sandbox) -> None:
    unmount = "while umount /sys/kernel/tracing 2>/dev/null; do :; done; while umount /sys/kernel/debug/tracing " \
              "2>/dev/null; do :; done; exec \"$@\""  # fmt: skip
    done = box.run("unshare", "--mount", "sh", "-c", unmount, "sh", *BCCTOOL, "-n", "prog", "tracelog", status=255)
    assert done.stderr == "Error: no tracefs is mounted, and -n forbids to mount one\n"


def test_a_program_s_own_streams_are_empty(box: Sandbox) -> None:
    """What could fill them is a function of the kernel that not every configuration has memory for."""
    words = "pinned", "/sys/fs/bpf/t/printer"
    for stream, style, shown in (("stdout", "-j", "\n"), ("stderr", "-j", "\n"), ("stdout", "-n", "")):
        done = box.bcctool(style, "prog", "tracelog", stream, *words, status=None)
        if "since Linux 6.17" in done.stderr + done.stdout:
            pytest.skip("this kernel has no streams")
        assert (done.returncode, done.stdout, done.stderr) == (0, shown, "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("junk",), "expected 'stdout' or 'stderr', got: 'junk'?"),
        (("stdout",), "expected 'id', 'tag', 'name' or 'pinned', got: nothing"),
        (("stdout", "id", "4294967295"), "get by id (4294967295): No such file or directory"),
        (("stdout", "pinned", "/sys/fs/bpf/t/printer", "junk"), "expected no more arguments, got: 'junk'"),
    ],
)
def test_refusals(box: Sandbox, words: tuple[str, ...], message: str) -> None:
    assert box.bcctool("prog", "tracelog", *words, status=255).stderr == f"Error: {message}\n"
