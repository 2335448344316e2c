"""`map event_pipe` beside the distribution's bpftool: the same packets sent to each, timestamps and ids aside."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from ..conftest import BCCTOOL, Sandbox
from ..sampled import CPUS, EVENTS, LAST, Sampled

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(not shutil.which("bpftool"), reason="bpftool is not installed"),
]

Compile = Callable[..., Path]
TOOLS = {"bcctool": BCCTOOL, "bpftool": ("bpftool",)}
VARYING = re.compile(r'(@\d+\.\d{9} |"timestamp": ?\d+|"id": ?\d+)')


@pytest.fixture
def sampled(sandbox: Sandbox, compile_c: Compile, tmp_path: Path) -> Sampled:
    return Sampled(sandbox, compile_c("event_pipe.c", "-g"), tmp_path)


def seen(sampled: Sampled, tool: str, style: str) -> tuple[str, tuple[int, str]]:
    """What a tool shows of samples of several sizes from several CPUs, some of them lost, and how it ends."""
    with sampled.pipe(options=(style,) if style else (), out=tool, tool=TOOLS[tool]) as pipe:
        for size, cpu in ((14, CPUS[0]), (16, LAST), (17, CPUS[0]), (255, LAST)):
            sampled.send(size, cpu)
            pipe.wait_for(pipe.is_asleep)  # what bpftool writes as JSON waits for more
        os.kill(pipe.process.pid, signal.SIGSTOP)
        sampled.send(1400, repeat=100)
        os.kill(pipe.process.pid, signal.SIGCONT)
        pipe.wait_for(pipe.is_asleep)
        sampled.send(20)
        pipe.wait_for(pipe.is_asleep)
        ended = pipe.end()
    return VARYING.sub("VARYING", pipe.out.read_text()), ended


@pytest.mark.parametrize("style", ["", "-j", "-p"])
def test_the_same_is_shown(sampled: Sampled, style: str) -> None:
    ours, theirs = (seen(sampled, tool, style) for tool in TOOLS)
    assert ours == theirs
    assert ours[1] == (0, "Stopping...\n")
    assert "lost" in ours[0]
    assert ours[0].count("VARYING") > 5


REFUSED = (
    "cpu 0", "index 0", "cpu", "cpu 0 index", "cpu 0 cpu 1", "junk", "cpu x index 0", "cpu 0 index x",
    "cpu 0 index 0 junk",
)  # fmt: skip


@pytest.mark.parametrize("words", REFUSED)
def test_the_same_is_refused(sampled: Sampled, words: str) -> None:
    ours, theirs = (
        sampled.box.run(*tool, "-j", "map", "event_pipe", *EVENTS, *words.split(), status=255)
        for tool in TOOLS.values()
    )
    assert ours.stdout == theirs.stdout
