"""Values of BTF types as text: each kind in each style, both byte orders, the layout, and types that are too much."""

from __future__ import annotations

import json
import struct
import time
from typing import Any

import pytest

from bcctool.btf import kinds
from bcctool.btf.layout import BOOL, CHAR, SIGNED
from bcctool.btf.reader import Btf
from bcctool.btf.values import MAX_NESTING, Row, formatter, shortest_float
from bcctool.errors import Malformed

from .test_btf_blobs import Blob

STYLES = ("plain", "json", "pretty")


def texts(blob: Blob, data: bytes, id: int | None = None) -> tuple[str, ...]:
    """The last type's value in the three styles."""
    btf = blob.btf()
    return tuple(Row(btf, btf.nr_types - 1 if id is None else id, style).render(data) for style in STYLES)


def both(text: str) -> tuple[str, str, str]:
    return text, text, text


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("code", "encoding", "value"),
    [
        ("B", 0, 200),
        ("b", SIGNED, -56),
        ("H", 0, 40000),
        ("h", SIGNED, -2),
        ("I", 0, 0xFFFFFFFF),
        ("i", SIGNED, -1),
        ("Q", 0, (1 << 64) - 1),
        ("q", SIGNED, -(1 << 63)),
    ],
)
def test_integers(order: str, code: str, encoding: int, value: int) -> None:
    blob = Blob(order)
    blob.number("number", struct.calcsize(code), encoding)
    assert texts(blob, struct.pack(order + code, value)) == both(str(value))


@pytest.mark.parametrize("order", ["<", ">"])
def test_int128_is_hexadecimal(order: str) -> None:
    blob = Blob(order)
    blob.number("__int128", 16)
    data = (5 << 64 | 7).to_bytes(16, "little" if order == "<" else "big")
    assert texts(blob, data) == ("0x50000000000000007", *['"0x50000000000000007"'] * 2)
    assert texts(blob, bytes(16))[0] == "0x0"


@pytest.mark.parametrize(("byte", "text"), [(0, "false"), (1, "true"), (2, "true")])
def test_bool(byte: int, text: str) -> None:
    blob = Blob()
    blob.number("_Bool", 1, BOOL)
    assert texts(blob, bytes([byte])) == both(text)


@pytest.mark.parametrize(
    ("byte", "plain", "in_json"),
    [
        (65, '"A"', '"A"'),
        (9, "0x9", '"\\u0009"'),
        (0x9C, "0x9c", '"\\u009c"'),
        (34, '"\\""', '"\\""'),
        (92, '"\\\\"', '"\\\\"'),
    ],
)
def test_character(byte: int, plain: str, in_json: str) -> None:
    blob = Blob()
    blob.number("char", 1, CHAR)
    assert texts(blob, bytes([byte])) == (plain, in_json, in_json)


def test_pointer() -> None:
    blob = Blob()
    blob.ptr(0)
    address = struct.pack("<Q", 0xFFFF888000000010)
    assert texts(blob, address) == ('"0xffff888000000010"', *["18446612682070032400"] * 2)
    assert texts(blob, bytes(8)) == ('"(nil)"', "0", "0")


def test_function_pointer() -> None:
    blob = Blob()
    proto = blob.proto(0)
    pointer = blob.ptr(blob.add(kinds.TYPEDEF, "handler", proto))
    row = Row(blob.btf(), pointer, "json", func_pointer=lambda id, value: f'"prog {value} of type {id}"')
    assert row.render(struct.pack("<Q", 12)) == '"prog 12 of type 1"'


@pytest.mark.parametrize(
    ("size", "flag", "raw", "text"),
    [
        (4, False, 1, '"ONE"'),
        (4, False, 7, "7"),
        (4, False, 0xFFFFFFFE, '"MINUS"'),
        (4, False, 0xFFFFFFFD, "-3"),
        (4, True, 0xFFFFFFFE, '"MINUS"'),
        (2, True, 0xFFFE, '"MINUS"'),
        (2, True, 0xFFFD, "-3"),
        (1, False, 0xFE, '"MINUS"'),
        (1, False, 0xFD, "-3"),
    ],
)
def test_enum_with_a_negative_enumerator(size: int, flag: bool, raw: int, text: str) -> None:
    blob = Blob()
    blob.enum("e", size, ("ONE", 1), ("UNO", 1), ("MINUS", -2), flag=flag)
    assert texts(blob, raw.to_bytes(size, "little")) == both(text)


@pytest.mark.parametrize(
    ("size", "raw", "text"),
    [(1, 200, '"LARGE"'), (1, 201, "201"), (2, 40001, "40001"), (4, 0x80000000, '"TOP"'), (4, 0xFFFFFFFF, "-1")],
)
def test_unsigned_enum_is_not_sign_extended(size: int, raw: int, text: str) -> None:
    blob = Blob()
    values = [("LARGE", 200), ("TOP", 0x80000000)][: 2 if size == 4 else 1]
    blob.enum("e", size, *values)
    assert texts(blob, raw.to_bytes(size, "little")) == both(text)


@pytest.mark.parametrize(
    ("flag", "raw", "text"),
    [
        (False, 1 << 40, '"BIG"'),
        (False, (1 << 64) - 1, '"LAST"'),
        (False, 1 << 63, str(1 << 63)),
        (True, (1 << 64) - 1, '"LAST"'),
        (True, (1 << 64) - 2, "-2"),
    ],
)
def test_enum64(flag: bool, raw: int, text: str) -> None:
    blob = Blob()
    blob.enum64("e", ("BIG", 1 << 40), ("LAST", -1), flag=flag)
    assert texts(blob, raw.to_bytes(8, "little")) == both(text)


@pytest.mark.parametrize(
    ("code", "value", "text"),
    [("f", 0.1, "0.1"), ("d", 0.1, "0.1"), ("d", 1e300, "1e+300"), ("f", 3.0, "3.0"), ("f", 16777216.0, "16777216.0")],
)
def test_float(code: str, value: float, text: str) -> None:
    blob = Blob()
    blob.add(kinds.FLOAT, "number", struct.calcsize(code))
    assert texts(blob, struct.pack("<" + code, value)) == both(text)


@pytest.mark.parametrize("value", ["inf", "-inf", "nan"])
def test_float_without_json_notation(value: str) -> None:
    blob = Blob()
    blob.add(kinds.FLOAT, "double", 8)
    assert texts(blob, struct.pack("<d", float(value))) == (value, f'"{value}"', f'"{value}"')


def test_shortest_float_reads_back() -> None:
    for raw in range(0x3F000000, 0x3F000000 + 20000, 37):
        (value,) = struct.unpack("<f", struct.pack("<I", raw))
        assert struct.pack("<f", float(shortest_float(value, 4))) == struct.pack("<I", raw)


def test_float_of_unusual_size() -> None:
    blob = Blob()
    blob.add(kinds.FLOAT, "long double", 16)
    assert texts(blob, b"\x01" + bytes(15)) == ("0x1", '"0x1"', '"0x1"')


@pytest.mark.parametrize(
    ("kind", "text"),
    [(kinds.VOID, "(unknown)"), (kinds.FWD, "(fwd-kind-invalid)"), (kinds.FUNC_PROTO, "(unsupported-kind)")],
)
def test_no_values(kind: int, text: str) -> None:
    blob = Blob()
    id = blob.add(kind, "f") if kind else 0
    assert texts(blob, b"", id) == (text, f'"{text}"', f'"{text}"')


@pytest.mark.parametrize("order", ["<", ">"])
def test_bitfields(order: str) -> None:
    """a takes the first 3 bits, b the next 7, c 40 across words; big endian counts from the top."""
    blob = Blob(order)
    number, long, boolean = blob.number("int", 4, SIGNED), blob.number("long", 8), blob.number("_Bool", 1, BOOL)
    members = ("a", number, 3 << 24), ("b", number, 7 << 24 | 3), ("c", long, 40 << 24 | 10)
    blob.struct("s", 8, *members, ("d", boolean, 1 << 24 | 50), flag=True)
    fields = ((5, 0, 3), (0x55, 3, 7), (0xABCDEF0123, 10, 40), (1, 50, 1))
    if order == "<":
        data = sum(value << at for value, at, _ in fields).to_bytes(8, "little")
    else:
        data = sum(value << 64 - at - bits for value, at, bits in fields).to_bytes(8, "big")
    assert "".join(texts(blob, data)[0].split()) == '{"a":0x5,"b":0x55,"c":0xabcdef0123,"d":0x1}'
    assert texts(blob, data)[1] == '{"a":"0x5","b":"0x55","c":"0xabcdef0123","d":"0x1"}'


def test_bitfields_of_older_compilers() -> None:
    blob = Blob()
    odd = blob.number("odd", 4, SIGNED, bits=5)
    blob.struct("s", 4, ("a", odd, 0), ("b", odd, 5))
    assert texts(blob, struct.pack("<I", 0b10001_00011))[1] == '{"a":"0x3","b":"0x11"}'


def chars(encoding: int, name: str = "char") -> Blob:
    blob = Blob()
    blob.array(blob.number(name, 1, encoding), 4)
    return blob


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"abc\0", '"abc"'),
        (b"\0xyz", '""'),
        (b'"\\\0\0', '"\\"\\\\"'),
        (b"%s\0\0", '"%s"'),
        (b"abcd", "[97,98,99,100]"),
        (b"a\n\0\0", "[97,10,0,0]"),
        (b"\x7f\0\0\0", "[127,0,0,0]"),
    ],
)
def test_text(data: bytes, text: str) -> None:
    assert texts(chars(SIGNED), data)[1] == text


def test_text_of_other_types() -> None:
    assert texts(chars(CHAR, "signed char"), b"ab\0\0")[1] == '"ab"'
    assert texts(chars(CHAR), b"a\x01bc")[:2] == ('["a",0x1,"b","c"\n]', '["a","\\u0001","b","c"]')
    assert texts(chars(0, "unsigned char"), b"ab\0\0")[1] == "[97,98,0,0]"
    blob = Blob()
    char = blob.number("char", 1, SIGNED)
    blob.array(blob.add(kinds.TYPEDEF, "letter", char), 2)
    assert texts(blob, b"a\0")[1] == "[97,0]"
    blob.array(blob.add(kinds.CONST, "", char), 2)
    assert texts(blob, b"a\0")[1] == '"a"'


@pytest.mark.parametrize("nelems", [3, 500])
def test_arrays(nelems: int) -> None:
    blob = Blob()
    blob.array(blob.number("short", 2), nelems)
    numbers = ",".join(str(number) for number in range(nelems))
    data = struct.pack(f"<{nelems}H", *range(nelems))
    assert texts(blob, data) == (f"[{numbers}\n]", f"[{numbers}]", f"[{numbers}\n]")


def test_empty_array_and_struct() -> None:
    blob = Blob()
    empty = blob.struct("empty", 0)
    blob.struct("s", 4, ("none", blob.array(empty, 0), 0), ("two", blob.array(empty, 2), 0), ("e", empty, 0))
    assert texts(blob, bytes(4))[1] == '{"none":[],"two":[{},{}],"e":{}}'


LAYOUT = """\
{
            "name": "x",
            "grid": [[0,1
                ],[2,3
                ]
            ],
            "points": [{
                    "x": 4
                },{
                    "x": 5
                }
            ],
            "": {
                "%d": 6
            }
        }"""


def layout() -> Blob:
    blob = Blob()
    byte, char = blob.number("unsigned char", 1), blob.number("char", 1, SIGNED)
    grid = blob.array(blob.array(byte, 2), 2)
    points = blob.array(blob.struct("point", 1, ("x", byte, 0)), 2)
    anonymous = blob.struct("", 1, ("%d", byte, 0), kind=kinds.UNION)
    name = blob.array(char, 2)
    blob.struct("s", 9, ("name", name, 0), ("grid", grid, 16), ("points", points, 48), ("", anonymous, 64))
    return blob


def test_layout_by_depth() -> None:
    data = b"x\0" + bytes(range(7))
    btf = layout().btf()
    for style in ("plain", "pretty"):
        assert Row(btf, btf.nr_types - 1, style, depth=2).render(data) == LAYOUT
    compact = '{"name":"x","grid":[[0,1],[2,3]],"points":[{"x":4},{"x":5}],"":{"%d":6}}'
    assert Row(btf, btf.nr_types - 1, "json", depth=2).render(data) == compact


def test_union_members_share_their_bytes() -> None:
    blob = Blob()
    word, byte = blob.number("int", 4), blob.number("unsigned char", 1)
    blob.struct("u", 4, ("word", word, 0), ("bytes", blob.array(byte, 4), 0), ("low", byte, 0), kind=kinds.UNION)
    blob.struct("s", 8, ("u", blob.next_id - 1, 0), ("after", word, 32))
    text = texts(blob, struct.pack("<II", 0x04030201, 9))[1]
    assert text == '{"u":{"word":67305985,"bytes":[1,2,3,4],"low":1},"after":9}'


def test_section_and_variables() -> None:
    blob = Blob()
    number = blob.number("int", 4, SIGNED)
    first, second = (blob.add(kinds.VAR, name, number, 1) for name in ("a", "b"))
    blob.datasec(".data", 0, (first, 0, 4), (second, 8, 4))
    data = struct.pack("<iii", 1, 2, -3)
    assert texts(blob, data)[1] == '{".data":[{"a":1},{"b":-3}]}'
    assert texts(blob, data)[2] == (
        '{\n    ".data": [{\n            "a": 1\n        },{\n            "b": -3\n        }\n    ]\n}'
    )
    assert texts(blob, data, first)[1] == '{"a":1}'


def test_flat_rows_are_a_format_and_a_template() -> None:
    blob = Blob(">")
    number, long = blob.number("int", 4, SIGNED), blob.number("long", 8)
    numbers = blob.array(number, 2)
    id = blob.struct("s", 24, ("a", number, 0), ("b", long, 64), ("c", numbers, 128))
    row = Row(blob.btf(), id, "json")
    assert row.format == ">i4xQii"
    assert row.template % struct.unpack(row.format, struct.pack(row.format, -1, 2, 3, 4)) == '{"a":-1,"b":2,"c":[3,4]}'
    assert struct.calcsize(row.format) == row.size == 24


def test_rows_that_are_not_flat_have_no_format() -> None:
    blob = Blob()
    enum, union = blob.enum("e", 4, ("A", 0)), blob.struct("u", 4, ("a", 1, 0), ("b", 1, 0), kind=kinds.UNION)
    pointer = blob.ptr(0)
    btf = blob.btf()
    assert [Row(btf, id, "plain").format for id in (enum, union, pointer)] == [None] * 3
    assert Row(btf, pointer, "json").format == "<Q"


def test_offset_and_too_little_data() -> None:
    blob = Blob()
    blob.number("int", 4)
    render = formatter(blob.btf(), 1, "json")
    assert render(memoryview(b"xx\x05\0\0\0"), 2) == "5"
    with pytest.raises(Malformed, match="3 bytes, its type takes 4"):
        render(b"xx\x05\0\0", 2)


def test_names_cannot_break_the_json() -> None:
    blob = Blob()
    blob.struct('s"', 1, ('a"\n\\%s', blob.number("b", 1), 0))
    assert json.loads(texts(blob, b"\x07")[1]) == {'a"\n\\%s': 7}


def chain(blob: Blob, count: int, *names: str) -> None:
    inner = blob.number()
    for _ in range(count):
        inner = blob.struct("s", 4, *[(name, inner, 0) for name in names])


def zero_arrays(blob: Blob) -> None:
    inner = blob.struct("empty", 0)
    for _ in range(8):
        inner = blob.array(inner, 1 << 16)


def typedef_cycle(blob: Blob) -> None:
    blob.add(kinds.TYPEDEF, "t", 1)


def outside(blob: Blob) -> None:
    blob.struct("s", 4, ("a", blob.number(), 8))


def inside_byte(blob: Blob) -> None:
    blob.struct("s", 8, ("a", blob.array(blob.number(), 1), 3))


HOSTILE: dict[str, Any] = {
    "nesting": lambda blob: chain(blob, MAX_NESTING + 1, "a"),
    "doubling": lambda blob: chain(blob, 30, "a", "b"),
    "array": lambda blob: blob.array(blob.number(), (1 << 32) - 1),
    "array of nothing": lambda blob: blob.array(blob.struct("empty", 0), (1 << 31)),
    "arrays of nothing": zero_arrays,
    "typedef cycle": typedef_cycle,
    "array cycle": lambda blob: blob.array(1, 2),
    "struct cycle": lambda blob: blob.struct("s", 4, ("a", 1, 0)),
    "member outside": outside,
    "member inside a byte": inside_byte,
    "member type": lambda blob: blob.struct("s", 4, ("a", 77, 0)),
    "enum size": lambda blob: blob.enum("e", 3),
}


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.parametrize("style", ["json", "plain"])
def test_hostile_types(case: str, style: str) -> None:
    blob = Blob()
    HOSTILE[case](blob)
    btf: Btf = blob.btf()
    start = time.monotonic()
    with pytest.raises(Malformed):
        Row(btf, btf.nr_types - 1, style)
    assert time.monotonic() - start < 1


def test_large_array_needs_its_data() -> None:
    blob = Blob()
    blob.array(blob.number(), (1 << 30) - 1)
    row = Row(blob.btf(), 2, "json")
    with pytest.raises(Malformed, match="bytes, its type takes"):
        row.render(bytes(4096))
