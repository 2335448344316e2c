"""Values of ctypes as the text that BCC's key_sprintf and leaf_sprintf write, and back (`bpf_table_*_snprintf`)."""

from __future__ import annotations

import ctypes
import sys

from ..errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

PADDING = "__pad_"
BYTES: tuple[Any, ...] = (ctypes.c_char, ctypes.c_uint8, ctypes.c_int8)


def text(value: Any) -> bytes:
    """`0x2a`, `"comm"` for bytes, `[ 0x1 0x2 ]` for an array, `{ 0x1 0x2 }` for a struct or a union's first member."""
    if isinstance(value, int):
        return b"0x%x" % value
    kind = type(value)
    if issubclass(kind, ctypes.Array):
        if kind._type_ in BYTES:
            return b'"%s"' % bytes(value).split(b"\0")[0]
        return b"[ %s ]" % b" ".join([text(_element(value, kind._type_, at)) for at in range(len(value))])
    if issubclass(kind, (ctypes.Structure, ctypes.Union)):
        return b"{ %s }" % b" ".join([text(_member(value, *field)) for field in _fields(kind)])
    if issubclass(kind, (ctypes.c_float, ctypes.c_double)):
        return b"%f" % value.value
    return b"0x%x" % int.from_bytes(bytes(value), sys.byteorder)


def scan(written: bytes, kind: Any) -> Any:
    """A value from its text; integers in any base with its prefix. Error for text of another type."""
    words = _words(written)
    value = kind()
    try:
        _fill(value, kind, words)
    except (StopIteration, ValueError):
        raise Error(f"no {kind.__name__} in {written.decode('utf-8', 'backslashreplace')!r}") from None
    if next(words, None) is not None:
        raise Error(f"more than a {kind.__name__} in {written.decode('utf-8', 'backslashreplace')!r}")
    return value


def _fields(kind: Any) -> list[tuple[str, Any]]:
    """The fields that are shown: of a union the first one."""
    fields = [(field[0], field[1]) for field in kind._fields_ if not field[0].startswith(PADDING)]
    return fields[:1] if issubclass(kind, ctypes.Union) else fields


def _member(value: Any, name: str, kind: Any) -> Any:
    """A field as an object of its type, which ctypes gives as a Python value where that is a simple one."""
    return kind.from_buffer(value, getattr(type(value), name).offset)


def _element(value: Any, kind: Any, index: int) -> Any:
    return kind.from_buffer(value, index * ctypes.sizeof(kind))


def _words(written: bytes) -> Iterator[bytes]:
    """Numbers, brackets, and quoted bytes with their first quote."""
    at = 0
    while at < len(written):
        if written[at : at + 1].isspace():
            at += 1
            continue
        quoted = written[at : at + 1] == b'"'
        end = written.find(b'"', at + 1) if quoted else at
        while not quoted and end < len(written) and not written[end : end + 1].isspace():
            end += 1
        end = len(written) if end < 0 else end
        yield written[at:end]
        at = end + quoted


def _fill(value: Any, kind: Any, words: Iterator[bytes]) -> None:
    """Take the words of one value, into it."""
    if issubclass(kind, ctypes.Array) and kind._type_ in BYTES:
        data = next(words)
        if data[:1] != b'"' or len(data) - 1 > ctypes.sizeof(kind):
            raise ValueError
        ctypes.memmove(value, data[1:], len(data) - 1)
    elif issubclass(kind, ctypes.Array):
        _expect(words, b"[")
        for at in range(len(value)):
            _fill(_element(value, kind._type_, at), kind._type_, words)
        _expect(words, b"]")
    elif issubclass(kind, (ctypes.Structure, ctypes.Union)):
        _expect(words, b"{")
        for name, inner in _fields(kind):
            _fill(_member(value, name, inner), inner, words)
        _expect(words, b"}")
    elif issubclass(kind, (ctypes.c_float, ctypes.c_double)):
        value.value = float(next(words))
    else:
        number, size = int(next(words), 0), ctypes.sizeof(kind)
        if not -(1 << size * 8 - 1) <= number < 1 << size * 8:
            raise ValueError
        ctypes.memmove(ctypes.addressof(value), (number % (1 << size * 8)).to_bytes(size, sys.byteorder), size)


def _expect(words: Iterator[bytes], word: bytes) -> None:
    if next(words) != word:
        raise ValueError
