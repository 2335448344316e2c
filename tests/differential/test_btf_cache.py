"""A dump of large BTF that is kept: the same bytes the next time, others for other types, styles and options."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bcctool.commands import btf_dump

from ..conftest import Completed

Bcctool = Callable[..., Completed]
VMLINUX = Path("/sys/kernel/btf/vmlinux")
WORDS = ((), ("format", "c"), ("format", "c", "unsorted"))

pytestmark = pytest.mark.skipif(not VMLINUX.exists(), reason="the kernel has no BTF")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "bcctool"


def dump(bcctool: Bcctool, path: Path, *words: str, style: str = "") -> str:
    text: str = bcctool(*[style] * bool(style), "btf", "dump", "file", path, *words).stdout
    return text


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_the_second_dump_is_the_first(words: tuple[str, ...], bcctool: Bcctool, home: Path) -> None:
    first = dump(bcctool, VMLINUX, *words)
    (kept,) = home.iterdir()
    before = kept.stat().st_ino
    assert dump(bcctool, VMLINUX, *words) == first
    assert [entry.stat().st_ino for entry in home.iterdir()] == [before]
    home.chmod(0o777)  # so it is not used
    assert dump(bcctool, VMLINUX, *words) == first


def test_styles_and_options_are_kept_apart(bcctool: Bcctool, home: Path) -> None:
    texts = [dump(bcctool, VMLINUX, *words) for words in WORDS]
    texts += [dump(bcctool, VMLINUX, style=style) for style in ("-j", "-p")]
    assert len(set(texts)) == len(texts) == len(list(home.iterdir()))
    assert [dump(bcctool, VMLINUX, *words) for words in WORDS] == texts[:3]


def test_it_goes_by_what_is_in_the_file(bcctool: Bcctool, home: Path, tmp_path: Path) -> None:
    data = VMLINUX.read_bytes()
    path = tmp_path / "types"
    path.write_bytes(data)
    first = dump(bcctool, path)
    assert first == dump(bcctool, VMLINUX)
    at = data.rindex(b"task_struct\0")
    path.write_bytes(data[:at] + b"T" + data[at + 1 :])
    os.utime(path, (1, 1))
    changed = dump(bcctool, path)
    assert changed != first
    assert "'Task_struct'" in changed or "Task_struct" in changed


def test_what_is_picked_is_made_each_time(bcctool: Bcctool, home: Path) -> None:
    assert dump(bcctool, VMLINUX, "root_id", "1").count("\n") == 1
    assert not home.exists() or not list(home.iterdir())


def test_switched_off(bcctool: Bcctool, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BCCTOOL_NO_CACHE", "1")
    dump(bcctool, VMLINUX)
    assert not home.exists()


def test_small_files_are_not_kept(bcctool: Bcctool, home: Path, compile_c: Callable[..., Path]) -> None:
    dump(bcctool, compile_c("btf_values.c", "-g"))
    assert not home.exists()


def test_large_files_that_are_not_sound(bcctool: Bcctool, home: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad"
    path.write_bytes(VMLINUX.read_bytes()[: 2 * btf_dump.LARGE])
    for style in ("", "-j"):
        done = bcctool(*[style] * bool(style), "btf", "dump", "file", path, status=255)
        assert (str(path) in done.stdout + done.stderr)
        assert "Traceback" not in done.stderr
    assert not home.exists() or not list(home.iterdir())


def test_in_a_batch(bcctool: Bcctool, home: Path) -> None:
    plain = dump(bcctool, VMLINUX, "format", "c")
    lines = f"version\nbtf dump file {VMLINUX} format c\nversion\n"
    done = bcctool("batch", "file", "-", input=lines)
    assert plain in done.stdout
    assert done.stdout.startswith("bcctool v")
