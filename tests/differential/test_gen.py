"""`gen object` against the distribution's bpftool, which has the same libbpf: the same bytes, the same status."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ..conftest import ROOT, Completed, run

pytestmark = pytest.mark.skipif(not shutil.which("bpftool"), reason="bpftool is not installed")

Compile = Callable[..., Path]
SOURCES = {
    "app": [f"{ROOT}/tutorial/app/{part}.c" for part in ("counter", "entrypoint", "streak")],
    "reversed": [f"{ROOT}/tutorial/app/{part}.c" for part in ("streak", "entrypoint", "counter")],
    "parts": ["link_callee.c", "link_caller.c"],
    "one": ["prog_rich.c"],
    "legacy map": ["prog_legacy.c"],
    "many maps": ["map_values.c"],
    "twice": ["link_callee.c", "link_callee.c"],
    "other license": ["link_callee.c", "prog_types.c"],
}


@pytest.mark.parametrize("which", SOURCES)
@pytest.mark.parametrize("style", ["", "-j"])
def test_same_object(
    bcctool: Callable[..., Completed], compile_c: Compile, tmp_path: Path, which: str, style: str
) -> None:
    inputs = [compile_c(source, "-g") for source in SOURCES[which]]
    ours, theirs = tmp_path / "ours.o", tmp_path / "theirs.o"
    options = [style] if style else []
    expected = run("bpftool", *options, "gen", "object", theirs, *inputs, status=None)
    found = bcctool(*options, "gen", "object", ours, *inputs, status=None)
    assert found.returncode == expected.returncode
    if expected.returncode:
        assert theirs.read_bytes() == b""  # where we leave nothing
        assert not ours.exists()
    else:
        assert (found.stdout, found.stderr) == (expected.stdout, expected.stderr)
        assert ours.read_bytes() == theirs.read_bytes()
        assert ours.stat().st_mode == theirs.stat().st_mode


WORDS = ["gen object", "gen object out.o", "gen frob", "gen help", "-j gen object", "gen object /nosuch/x IN"]


@pytest.mark.parametrize("words", WORDS)
def test_same_status(bcctool: Callable[..., Completed], compile_c: Compile, words: str) -> None:
    command = words.replace("IN", str(compile_c("prog_rich.c", "-g"))).split()
    expected, found = run("bpftool", *command, status=None), bcctool(*command, status=None)
    assert found.returncode == expected.returncode
    assert bool(found.stdout) == bool(expected.stdout)
