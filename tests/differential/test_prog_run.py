"""`prog run` against the distribution's bpftool over the same program: the same but for times."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..conftest import Sandbox, no_bpf

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(not shutil.which("bpftool"), reason="bpftool is not installed"),
]

TEXT = "> Hello eCHO! <3 \t\x7f and more"
SIZES = (14, 15, 16, 17, 23, 24, 25, 30, 31, 32, 33, 48)
COMMANDS = [
    *(f"{style}prog run pinned PIN data_in {size} data_out - {more}"
      for style in ("", "-j ", "-p ") for size in SIZES for more in ("", "repeat 3")),
    "prog run pinned PIN data_in 20",
    "-j prog run pinned PIN data_in 20",
    "prog run pinned PIN data_in 20 ctx_out - ",
    "prog run pinned PIN data_in 20 ctx_in 20 ctx_out -",
    "prog run pinned PIN data_in 20 repeat 0",
    "prog run pinned PIN data_in 20 data_out - data_size_out 3",
    "-j prog run pinned PIN data_in 20 data_out - data_size_out 3",
    "prog run pinned PIN repeat 3",
    "prog run pinned PIN data_in 20 repeat x",
    "-j prog run pinned PIN data_in 20 ctx_size_out x",
    "prog run pinned PIN data_in 20 data_size_out x",
    "prog run pinned PIN data_in /nosuch",
    "prog run pinned PIN data_in - ctx_in -",
    "prog run pinned PIN d 20",
    "prog run pinned PIN c 20",
    "prog run pinned PIN data_in 20 foo",
    "prog run pinned PIN data_in",
    "prog run pinned PIN",
    "prog run",
    "-j prog run",
    "prog run pinned /nosuch data_in 20",
]  # fmt: skip


@pytest.fixture(scope="module")
def box(compile_c: Callable[..., Path]) -> Iterator[Sandbox]:
    if reason := no_bpf():
        pytest.skip(reason)
    box = Sandbox()
    box.run("bpftool", "prog", "load", compile_c("run_types.c", "-g"), "/sys/fs/bpf/xdp")
    yield box
    box.close()


@pytest.mark.parametrize("command", COMMANDS)
def test_same_output(box: Sandbox, tmp_path: Path, command: str) -> None:
    words = command.replace("PIN", "/sys/fs/bpf/xdp").split()
    for at, word in enumerate(words):
        if word.isdigit() and words[at - 1] in ("data_in", "ctx_in", "d", "c"):
            (tmp_path / word).write_text((TEXT * 2)[: int(word)])
            words[at] = str(tmp_path / word)
    expected, found = (run(*words, status=None) for run in (lambda *w, **o: box.run("bpftool", *w, **o), box.bcctool))
    assert found.returncode == expected.returncode
    assert without_time(found.stdout) == without_time(expected.stdout)
    assert found.stderr == expected.stderr


def without_time(text: str) -> str:
    return re.sub(r'(duration( \(average\))?"?: ?)\d+', r"\1N", text)
