"""Values of BTF types as Python objects: what decodes to what, that it encodes back, and values that do not fit."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bcctool.btf import kinds
from bcctool.btf.layout import BOOL, SIGNED
from bcctool.btf.python import decode, decoder, encode
from bcctool.btf.reader import Btf
from bcctool.errors import Error, Malformed

from .test_btf_blobs import Blob, section
from .test_btf_values import HOSTILE


def record(order: str = "<") -> tuple[Btf, int]:
    """A struct with a member of each shape, and its id."""
    blob = Blob(order)
    number, byte, long = blob.number("int", 4, SIGNED), blob.number("unsigned char", 1), blob.number("long", 8)
    char, boolean = blob.number("char", 1, SIGNED), blob.number("_Bool", 1, BOOL)
    wide = blob.number("__int128", 16, SIGNED)
    enum = blob.enum("color", 4, ("RED", 0), ("BLUE", 5))
    text, numbers = blob.array(char, 8), blob.array(number, 2)
    double = blob.add(kinds.FLOAT, "double", 8)
    inner = blob.struct("inner", 4, ("x", number, 0))
    anonymous = blob.struct("", 8, ("low", number, 0), ("whole", long, 0), kind=kinds.UNION)
    pointer = blob.ptr(0)
    members = (
        ("wide", wide, 0),
        ("number", number, 128),
        ("flag", boolean, 160),
        ("byte", byte, 168),
        ("color", enum, 192),
        ("text", text, 224),
        ("numbers", numbers, 288),
        ("inner", inner, 352),
        ("ratio", double, 384),
        ("", anonymous, 448),
        ("pointer", pointer, 512),
        ("bits", number, 3 << 24 | 576),
        ("on", boolean, 1 << 24 | 579),
        ("shade", enum, 4 << 24 | 580),
    )
    id = blob.struct("record", 80, *members, flag=True)
    return blob.btf(), id


VALUE: dict[str, Any] = {
    "wide": -(1 << 100),
    "number": -5,
    "flag": True,
    "byte": 255,
    "color": "BLUE",
    "text": "näme",
    "numbers": [1, -2],
    "inner": {"x": 7},
    "ratio": 0.5,
    "low": 3,
    "whole": 3,
    "pointer": 0xFFFF888000000000,
    "bits": -4,
    "on": True,
    "shade": "BLUE",
}


def test_layout_in_memory() -> None:
    btf, id = record()
    data = encode(btf, id, VALUE)
    assert data[:16] == (-(1 << 100)).to_bytes(16, "little", signed=True)
    assert data[16:44] == struct.pack("<i?BxxI8sii", -5, True, 255, 5, "näme".encode(), 1, -2)[:28]
    assert data[72:74] == struct.pack("<H", 0b0101_1_100)
    assert decode(btf, id, data) == VALUE


def test_big_endian() -> None:
    btf, id = record(">")
    value = VALUE | {"low": 1, "whole": 1 << 32}
    data = encode(btf, id, value)
    assert data[16:20] == struct.pack(">i", -5)
    assert data[72] == 0b100_1_0101
    assert decode(btf, id, data) == value


def test_missing_members_are_zero() -> None:
    btf, id = record()
    assert encode(btf, id, {}) == bytes(80)
    assert decode(btf, id, bytes(80))["color"] == "RED"


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"abc\0\0\0\0\0", "abc"),
        (bytes(8), ""),
        (b"abcdefgh", "abcdefgh"),
        (b"ab\0cd\0\0\0", b"ab\0cd\0\0\0"),
        (b"\xff\0\0\0\0\0\0\0", b"\xff\0\0\0\0\0\0\0"),
    ],
)
def test_text(raw: bytes, value: str | bytes) -> None:
    blob = Blob()
    blob.array(blob.number("char", 1, SIGNED), 8)
    assert decode(blob.btf(), 2, raw) == value
    assert encode(blob.btf(), 2, value) == raw


def test_bytes_for_an_array_of_bytes() -> None:
    blob = Blob()
    blob.array(blob.number("unsigned char", 1), 6)
    assert encode(blob.btf(), 2, b"\1\2") == encode(blob.btf(), 2, [1, 2]) == b"\1\2\0\0\0\0"
    assert decode(blob.btf(), 2, b"\1\2\0\0\0\0") == [1, 2, 0, 0, 0, 0]


def test_section() -> None:
    blob = Blob()
    number = blob.number("int", 4, SIGNED)
    first, second = (blob.add(kinds.VAR, name, number, 1) for name in ("a", "b"))
    blob.datasec(".data", 12, (first, 0, 4), (second, 8, 4))
    data = struct.pack("<iii", 1, 0, -3)
    assert decode(blob.btf(), 4, data) == {"a": 1, "b": -3}
    assert encode(blob.btf(), 4, {"a": 1, "b": -3}) == data


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"number": 1 << 31}, r"value\.number: 2147483648 is out of range, -2147483648 to 2147483647"),
        ({"number": "1"}, r"value\.number: expected an integer, got '1'"),
        ({"number": 1.0}, "expected an integer"),
        ({"byte": -1}, "out of range, 0 to 255"),
        ({"flag": 2}, "out of range, 0 to 1"),
        ({"bits": 4}, "out of range, -4 to 3"),
        ({"color": "GREEN"}, "'GREEN' is no enumerator of enum color"),
        ({"text": "123456789"}, "9 bytes do not fit in 8"),
        ({"numbers": [1, 2, 3]}, "3 elements do not fit in 2"),
        ({"numbers": [1, 1 << 40]}, r"value\.numbers\[1\]: "),
        ({"numbers": 5}, "expected a list"),
        ({"inner": 5}, "expected a dict"),
        ({"inner": {"y": 5}}, r"value\.inner: no member 'y' in struct inner"),
        ({"ratio": "x"}, "expected a number"),
        ({"pointer": -1}, "out of range"),
        ({"nothing": 1}, "no member 'nothing' in struct record"),
    ],
)
def test_values_that_do_not_fit(change: dict[str, Any], reason: str) -> None:
    btf, id = record()
    with pytest.raises(Error, match=reason):
        encode(btf, id, change)


def test_float_out_of_range() -> None:
    blob = Blob()
    blob.add(kinds.FLOAT, "float", 4)
    with pytest.raises(Error, match="out of range for 4 bytes"):
        encode(blob.btf(), 1, 1e300)


def test_too_little_data() -> None:
    btf, id = record()
    with pytest.raises(Malformed, match="79 bytes, its type takes 80"):
        decode(btf, id, bytes(79))


def test_too_large_to_encode() -> None:
    blob = Blob()
    blob.array(blob.number("char", 1), 1 << 31)
    with pytest.raises(Error, match="too large"):
        encode(blob.btf(), 2, "x")


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_types(case: str) -> None:
    blob = Blob()
    HOSTILE[case](blob)
    btf = blob.btf()
    start = time.monotonic()
    with pytest.raises(Malformed):
        decode(btf, btf.nr_types - 1, bytes(64))
    assert time.monotonic() - start < 1


def test_hostile_types_to_encode() -> None:
    blob = Blob()
    blob.struct("", 4, ("", 1, 0))
    with pytest.raises(Malformed, match="nested too deeply"):
        encode(blob.btf(), 1, {"a": 1})


numbers = st.integers(-(1 << 31), (1 << 31) - 1)
shades = st.one_of(st.sampled_from(["RED", "BLUE"]), st.sampled_from([1, 2, 3, 4, *range(6, 16)]))
records = st.fixed_dictionaries(
    {
        "wide": st.integers(-(1 << 127), (1 << 127) - 1),
        "number": numbers,
        "flag": st.booleans(),
        "byte": st.integers(0, 255),
        "color": st.one_of(shades, st.integers(16, (1 << 32) - 1)),
        "text": st.text('ab%"\\ä', max_size=4),
        "numbers": st.lists(numbers, min_size=2, max_size=2),
        "inner": st.fixed_dictionaries({"x": numbers}),
        "ratio": st.floats(allow_nan=False),
        "whole": st.integers(0, (1 << 64) - 1),
        "pointer": st.integers(0, (1 << 64) - 1),
        "bits": st.integers(-4, 3),
        "on": st.booleans(),
        "shade": shades,
    }
)


@pytest.mark.parametrize("order", ["<", ">"])
@settings(max_examples=60, deadline=None)
@given(value=records)
def test_round_trip(order: str, value: dict[str, Any]) -> None:
    btf, id = record(order)
    decoded = decode(btf, id, encode(btf, id, value))
    assert {name: decoded[name] for name in value} == value
    assert encode(btf, id, decoded) == encode(btf, id, value)


@pytest.mark.parametrize("target", ["bpf", "bpfeb"])
def test_compiled_object(compile_c: Callable[..., Path], target: str) -> None:
    btf = Btf(section(compile_c("btf_values.c", "-g", target=target), ".BTF"))
    id = btf.find("everything")
    assert id is not None
    read = decoder(btf, id)
    value = {"s8": -1, "u64": 1 << 63, "yes": True, "byte": "BYTE_B", "negative": "NEGATIVE_A", "plain": "MINUS"} | {
        "text": "hello",
        "grid": [[1, 2, 3], [4, 5, 6]],
        "bytes": [1, 2, 3, 4],
        "bits3": 7,
        "bits5": -3,
        "bit_bool": True,
        "bits40": (1 << 40) - 1,
    }
    decoded = read(encode(btf, id, value))
    assert {name: decoded[name] for name in value} == value
    assert (decoded["s16"], decoded["empty"], decoded["flexible"]) == (0, {}, [])
