"""/proc: kernel symbols, whose list is not written at one moment."""

from __future__ import annotations

import builtins
import io
from typing import Any

import pytest

from bcctool.kernel import proc

WITHOUT = b"ffffffff81000000 T _text\n"
WITH = WITHOUT + b"ffffffffc0001000 t bpf_prog_0123456789abcdef_late\t[bpf]\n"


@pytest.fixture
def lists(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What /proc/kallsyms gives to one reader after the other; the last one to all that follow."""
    texts: list[bytes] = []

    def open_(path: str, *words: Any, **options: Any) -> Any:
        assert path == "/proc/kallsyms"
        file = io.BytesIO(texts.pop(0) if len(texts) > 1 else texts[0])
        file.readall = file.read  # type: ignore[attr-defined]
        return file

    monkeypatch.setattr(builtins, "open", open_)
    return texts


def test_a_symbol_that_the_first_list_lacks(lists: list[bytes]) -> None:
    lists += [WITHOUT, WITHOUT, WITH]
    symbols = proc.KernelSymbols()
    assert symbols.name(0xFFFFFFFF81000000) == "_text"
    assert len(lists) == 2
    assert symbols.name(0xFFFFFFFFC0001000) == "bpf_prog_0123456789abcdef_late"


def test_what_is_no_symbol_is_not_looked_for_without_end(lists: list[bytes]) -> None:
    lists += [WITHOUT, WITHOUT, WITHOUT, WITHOUT, WITH]
    symbols = proc.KernelSymbols()
    assert symbols.name(0xFFFFFFFFC0001000) == ""
    assert symbols.name(0) == ""
    assert symbols.name(0xFFFFFFFFC0001000) == ""
    assert lists == [WITH]
