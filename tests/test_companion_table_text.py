"""Keys and leaves as text: BCC's form, and back; text that is none."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcctool.companion.table_text import scan, text
from bcctool.errors import Error


class Inner(ctypes.Structure):
    _fields_ = (("a", ctypes.c_uint8), ("name", ctypes.c_char * 8))


class Either(ctypes.Union):
    _fields_ = (("word", ctypes.c_uint32), ("byte", ctypes.c_uint8))


class Key(ctypes.Structure):
    _fields_ = (
        ("a", ctypes.c_uint32),
        ("b", ctypes.c_int32),
        ("inner", Inner),
        ("__pad_3", ctypes.c_char * 7),
        ("big", ctypes.c_uint64),
        ("numbers", ctypes.c_uint16 * 2),
        ("either", Either),
        ("ratio", ctypes.c_double),
    )


def test_the_text_that_bcc_writes() -> None:
    """The first part is what BCC itself made of such a struct."""
    key = Key(17, -3, Inner(5, b"hey"), b"", 1 << 63, (1, 2), Either(257), 0.5)
    assert text(key) == (b'{ 0x11 0xfffffffd { 0x5 "hey" } 0x8000000000000000 [ 0x1 0x2 ] { 0x101 } 0.500000 }')
    assert text(ctypes.c_uint64(77)) == b"0x4d"
    assert text(ctypes.c_int(-1)) == b"0xffffffff"
    assert text(7) == b"0x7"


@given(st.integers(0, (1 << 32) - 1), st.integers(-(1 << 31), (1 << 31) - 1), st.integers(0, (1 << 64) - 1),
       st.text(alphabet="abc {}[]", max_size=8))  # fmt: skip
def test_back_from_text(a: int, b: int, big: int, name: str) -> None:
    key = Key(a, b, Inner(255, name.encode()), b"", big, (65535, 0), Either(a), 1.5)
    assert bytes(scan(text(key), Key)) == bytes(key)


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        (b"", ctypes.c_uint32),
        (b"zz", ctypes.c_uint32),
        (b"0x100000000", ctypes.c_uint32),
        (b"-0x80000001", ctypes.c_int32),
        (b"1 2", ctypes.c_uint32),
        (b"{ 0x1", Inner),
        (b'{ 0x1 "123456789" }', Inner),
        (b"{ 0x1 name }", Inner),
        (b'[ 0x1 "a" }', Inner),
        (b'"open', ctypes.c_uint32 * 2),
    ],
)
def test_text_that_is_none(written: bytes, kind: Any) -> None:
    with pytest.raises(Error, match="in "):
        scan(written, kind)


def test_numbers_in_other_bases() -> None:
    assert (scan(b" 255 ", ctypes.c_uint8).value, scan(b"-1", ctypes.c_uint16).value) == (255, 65535)
