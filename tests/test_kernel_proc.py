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


CODE = b"""\
ffffffff81000000 D data
ffffffff81000000 t local_name
ffffffff81000000 T function
ffffffff81000100 T next
ffffffff81000200 T _etext
ffffffffc0001000 t in_module\t[mod]
ffffffff81000080 d variable
"""


@pytest.mark.parametrize(
    ("address", "found"),
    [
        (0xFFFFFFFF81000000, ("function", "kernel", 0)),
        (0xFFFFFFFF810000FF, ("function", "kernel", 0xFF)),
        (0xFFFFFFFF81000100, ("next", "kernel", 0)),
        (0xFFFFFFFF80FFFFFF, ("", "", 0)),
        (0xFFFFFFFF81000210, ("", "", 0)),  # behind the end of the code
        (0xFFFFFFFFC0001010, ("in_module", "mod", 0x10)),
        (0xFFFFFFFFC0001000 + (1 << 20) + 1, ("", "", 0)),  # too far away to be in it
        (0xFFFFFFFFFFFFFFFF, ("", "", 0)),
    ],
)
def test_the_function_around_an_address(lists: list[bytes], address: int, found: tuple[str, str, int]) -> None:
    lists += [CODE]
    symbols = proc.KernelSymbols()
    assert symbols.function(address) == found
    assert not symbols.hidden()


@pytest.mark.parametrize("text", [b"", b"0000000000000000 T function\n0000000000000000 t in_module\t[mod]\n"])
def test_addresses_that_the_kernel_hides(lists: list[bytes], text: bytes) -> None:
    lists += [text]
    symbols = proc.KernelSymbols()
    assert symbols.function(0xFFFFFFFF81000000) == ("", "", 0)
    assert symbols.hidden()
