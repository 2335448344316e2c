"""What is kept for later runs: whole or not at all, whoever writes, whatever is damaged; and never too much."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from bcctool import cache
from bcctool.errors import Error
from bcctool.output import Encoded

from .conftest import ROOT

TEXT = ["one\n", "zwei äöü\n", "x" * 1000]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(cache.OFF, raising=False)
    return tmp_path / "bcctool"


def read(pieces: Iterable[str | Encoded]) -> str:
    """The text of what `texts` gives."""
    return "".join(
        [os.pread(piece.fd, piece.size, 0).decode() if isinstance(piece, Encoded) else piece for piece in pieces]
    )


def never() -> Iterator[str]:
    pytest.fail("made again")
    yield ""


def test_a_text_is_made_once(home: Path) -> None:
    assert read(cache.texts("a", lambda: TEXT)) == "".join(TEXT)
    assert read(cache.texts("a", never)) == "".join(TEXT)
    assert [entry.name for entry in home.iterdir()] == ["text-a"]
    assert read(cache.texts("b", lambda: ["other"])) == "other"


def test_an_empty_text() -> None:
    assert read(cache.texts("a", list)) == ""
    assert read(cache.texts("a", never)) == ""


@pytest.mark.parametrize("damage", [b"", b"x", b"bcctool1", bytes(5000)])
def test_a_text_that_was_replaced_by_something_else(damage: bytes, home: Path) -> None:
    read(cache.texts("a", lambda: TEXT))
    (home / "text-a").write_bytes(damage)
    assert read(cache.texts("a", lambda: ["new"])) == "new"
    assert read(cache.texts("a", never)) == "new"


@pytest.mark.parametrize("at", [0, 500, -1, -5, -12, -20])
def test_a_single_bit_that_changed(at: int, home: Path) -> None:
    read(cache.texts("a", lambda: TEXT))
    data = bytearray((home / "text-a").read_bytes())
    data[at] ^= 1
    (home / "text-a").write_bytes(data)
    assert read(cache.texts("a", lambda: ["new"])) == "new"


def test_a_text_that_was_cut(home: Path) -> None:
    read(cache.texts("a", lambda: TEXT))
    whole = (home / "text-a").read_bytes()
    for size in range(0, len(whole), 37):
        (home / "text-a").write_bytes(whole[:size])
        assert read(cache.texts("a", lambda: ["new"])) == "new"
        (home / "text-a").unlink()


def test_a_reader_that_stops_leaves_nothing(home: Path) -> None:
    pieces = cache.texts("a", lambda: TEXT)
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert list(home.iterdir()) == []


def test_a_maker_that_fails_leaves_nothing(home: Path) -> None:
    def fail() -> Iterator[str]:
        yield "half"
        raise OSError("the maker's own")

    with pytest.raises(OSError, match="the maker's own"):
        list(cache.texts("a", fail))
    assert list(home.iterdir()) == []


def test_off(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read(cache.texts("a", lambda: ["kept"]))
    monkeypatch.setenv(cache.OFF, "1")
    assert read(cache.texts("a", lambda: ["made"])) == "made"
    assert read(cache.texts("b", lambda: ["made"])) == "made"
    assert [entry.name for entry in home.iterdir()] == ["text-a"]


def test_no_place_for_a_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert read(cache.texts("a", lambda: TEXT)) == "".join(TEXT)


def test_a_cache_of_others_is_not_read(home: Path) -> None:
    read(cache.texts("a", lambda: ["theirs"]))
    home.chmod(0o777)
    assert read(cache.texts("a", lambda: ["ours"])) == "ours"
    with pytest.raises(Error, match="others may write there"):
        cache.directory()


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    real = open
    monkeypatch.setattr("builtins.open", lambda path, mode: real("/dev/full", "wb"))
    assert read(cache.texts("a", lambda: TEXT)) == "".join(TEXT)
    monkeypatch.undo()
    assert not (home / "text-a").exists()


def test_the_oldest_go(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAX_TEXTS", 10_000)
    for number in range(9):
        read(cache.texts(str(number), lambda: ["x" * 1500]))
        os.utime(home / f"text-{number}", (number + 1, number + 1))
        if number == 5:
            read(cache.texts("1", never))  # is in use, and stays
    names = sorted(entry.name for entry in home.iterdir())
    assert names == ["text-1", "text-4", "text-5", "text-6", "text-7", "text-8"]
    read(cache.texts("huge", lambda: ["x" * 6000]))
    assert not (home / "text-huge").exists()


def test_what_killed_runs_have_left_goes(home: Path) -> None:
    read(cache.texts("a", lambda: TEXT))
    for name, age in (("old", 1), ("new", None)):
        (home / f".partial-{name}").write_text("half")
        if age:
            os.utime(home / f".partial-{name}", (age, age))
    (home / ".partial-directory").mkdir()
    os.utime(home / ".partial-directory", (1, 1))  # of another kind, which looks after its own
    read(cache.texts("b", lambda: TEXT))
    names = {entry.name for entry in home.iterdir()}
    assert names == {"text-a", "text-b", ".partial-new", ".partial-directory"}


def test_many_at_once(home: Path) -> None:
    script = f"""
import os, sys; sys.path.insert(0, {str(ROOT)!r})
from bcctool import cache
from bcctool.output import Encoded
for _ in range(30):
    text = "".join([os.pread(p.fd, p.size, 0).decode() if isinstance(p, Encoded) else p for p in cache.texts("a", lambda: ["ab" * 50000] * 3)])
    assert text == "ab" * 150000, len(text)
    if _ % 7 == int(sys.argv[1]):
        try: os.unlink(os.path.join(cache.directory(), "text-a"))
        except FileNotFoundError: pass
"""  # noqa: E501
    running = [subprocess.Popen((sys.executable, "-c", script, str(number))) for number in range(5)]
    assert [process.wait() for process in running] == [0] * 5
    assert [entry.name for entry in home.iterdir()] in (["text-a"], [])


def test_a_home_that_sudo_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """HOME is that of another user: the cache is in our own home."""
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1 + tmp_path.stat().st_uid)
    from pwd import struct_passwd

    ours = struct_passwd(("me", "x", 1, 1, "", "/var/mine", "/bin/sh"))
    monkeypatch.setattr("pwd.getpwuid", lambda uid: ours)
    assert cache._home() == "/var/mine"
