"""Reading BTF blobs: every kind, both byte orders, split blobs, and blobs that are not what they promise."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from bcctool.btf import kinds
from bcctool.btf.reader import Btf
from bcctool.errors import Malformed

from .test_btf_blobs import UNKNOWN_OFFSET, Blob, section

VMLINUX = Path("/sys/kernel/btf/vmlinux")


@pytest.fixture(params=["<", ">"], ids=["little", "big"])
def blob(request: pytest.FixtureRequest) -> Blob:
    return Blob(request.param)


def test_int(blob: Blob) -> None:
    blob.number("bits", 4, encoding=1, bits=5, offset=3)
    type_ = blob.btf().type(1)
    assert (type_.kind, type_.name, type_.size, type_.entries) == (kinds.INT, "bits", 4, (1, 3, 5))


def test_array(blob: Blob) -> None:
    blob.array(blob.number(), 7)
    assert blob.btf().type(2).entries == (1, 1, 7)


def test_struct_with_bitfields(blob: Blob) -> None:
    number = blob.number()
    blob.struct("s", 8, ("plain", number, 0), ("bits", number, 5 << 24 | 32), flag=True)
    members = blob.btf().type(2).entries
    assert [(m.name, m.type_id, m.bit_offset, m.bitfield_size) for m in members] == [
        ("plain", 1, 0, 0),
        ("bits", 1, 32, 5),
    ]


def test_struct_without_kind_flag_has_wide_offsets(blob: Blob) -> None:
    blob.struct("s", 1 << 24, ("far", blob.number(), 5 << 24))
    (member,) = blob.btf().type(2).entries
    assert (member.bit_offset, member.bitfield_size) == (5 << 24, 0)


@pytest.mark.parametrize(("flag", "value"), [(True, -3), (False, 0xFFFFFFFD)])
def test_enum(blob: Blob, flag: bool, value: int) -> None:
    blob.enum("e", 4, ("A", 1), ("B", -3), flag=flag)
    assert blob.btf().type(1).entries == (("A", 1), ("B", value))


@pytest.mark.parametrize(("flag", "value"), [(True, -3), (False, (1 << 64) - 3)])
def test_enum64(blob: Blob, flag: bool, value: int) -> None:
    blob.enum64("e", ("A", 1 << 40), ("B", -3), flag=flag)
    assert blob.btf().type(1).entries == (("A", 1 << 40), ("B", value))


def test_function(blob: Blob) -> None:
    number = blob.number()
    proto = blob.proto(number, ("x", number), ("", 0))
    blob.add(kinds.FUNC, "f", proto, vlen=1)
    btf = blob.btf()
    assert (btf.type(2).type_id, btf.type(2).entries) == (1, (("x", 1), ("", 0)))
    assert (btf.type(3).name, btf.type(3).type_id, btf.type(3).entries) == ("f", 2, (1,))


def test_variable_section_tag_forward(blob: Blob) -> None:
    number = blob.number()
    variable = blob.add(kinds.VAR, "v", number, 1)
    blob.datasec(".data", 4, (variable, 0, 4))
    blob.add(kinds.DECL_TAG, "tag", variable, 0xFFFFFFFF)
    blob.add(kinds.FWD, "u", 0, flag=True)
    btf = blob.btf()
    assert btf.type(2).entries == (1,)
    assert btf.type(3).entries == ((2, 0, 4),)
    assert btf.type(4).entries == (-1,)
    assert (btf.type(5).name, btf.type(5).kind_flag) == ("u", True)


def test_void() -> None:
    void = Blob().btf().type(0)
    assert (void.kind, void.name, void.entries) == (0, "", ())


def test_longer_header(blob: Blob) -> None:
    blob.number("int")
    assert Btf(blob.bytes(header_len=32)).name(1) == "int"


def test_split_blob_continues_ids_and_strings(blob: Blob) -> None:
    number = blob.number("int")
    base = blob.btf()
    own = Blob(blob.order, first_id=2, first_string=len(blob.strings))
    own.struct("s", 4, ("member", number, 0))
    own.add(kinds.TYPEDEF, 1, 2)  # named by the base's string
    btf = own.btf(base)
    assert (btf.start_id, btf.nr_types) == (2, 4)
    assert [btf.name(id) for id in range(4)] == ["", "int", "s", "int"]
    assert btf.type(2).entries[0].name == "member"
    assert (btf.find("int"), list(btf.ids("int")), btf.find("s")) == (1, [1, 3], 2)
    assert (btf.size_of(3), list(btf.kinds())) == (4, [0, kinds.INT, kinds.STRUCT, kinds.TYPEDEF])


def test_split_blob_of_other_byte_order_than_base() -> None:
    with pytest.raises(Malformed, match="little-endian"):
        Blob(">").btf(Blob("<").btf())


def test_find_by_kind_and_by_tail_of_a_longer_name() -> None:
    blob = Blob()
    blob.number("long_name")
    blob.enum("twin", 4)
    blob.struct("twin", 0)
    blob.add(kinds.INT, 1 + len("long_"), 4, 32)
    btf = blob.btf()
    assert (btf.find("twin"), btf.find("twin", kinds.STRUCT), btf.find("name"), btf.find("none")) == (2, 3, 4, None)


def test_name_that_is_not_utf8() -> None:
    blob = Blob()
    blob.add(kinds.INT, b"\xff\xc3\xa4", 4, 32)
    assert blob.btf().name(1) == "\\xffä"


def test_resolve_and_size_of() -> None:
    blob = Blob()
    number = blob.number("int", 4)
    typedef = blob.add(kinds.TYPEDEF, "t", blob.add(kinds.CONST, "", number))
    rows = blob.array(blob.array(typedef, 3), 5)
    pointer, variable = blob.ptr(typedef), blob.add(kinds.VAR, "v", rows, 0)
    btf = blob.btf()
    assert (btf.resolve(typedef), btf.resolve(rows)) == (number, rows)
    assert [btf.size_of(id) for id in (number, typedef, rows, pointer, variable)] == [4, 4, 60, 8, 60]


@pytest.mark.parametrize("kind", [kinds.FWD, kinds.FUNC_PROTO, kinds.VOID])
def test_size_of_what_has_none(kind: int) -> None:
    blob = Blob()
    id = blob.add(kind, "f") if kind else 0
    with pytest.raises(Malformed, match="has no size"):
        blob.btf().size_of(id)


def test_cycles_end() -> None:
    blob = Blob()
    blob.add(kinds.TYPEDEF, "t", 2)
    blob.add(kinds.CONST, "", 1)
    blob.array(3, 2)
    btf = blob.btf()
    with pytest.raises(Malformed, match="cycle"):
        btf.resolve(1)
    with pytest.raises(Malformed):
        btf.size_of(3)


def test_huge_array() -> None:
    blob = Blob()
    blob.array(blob.array(blob.number(), 1 << 31), 1 << 31)
    with pytest.raises(Malformed, match="too large"):
        blob.btf().size_of(3)


@pytest.mark.parametrize("id", [-1, 2, 1 << 31])
def test_id_out_of_range(id: int) -> None:
    blob = Blob()
    blob.number()
    with pytest.raises(Malformed, match="no such type"):
        blob.btf().type(id)


def test_string_out_of_range() -> None:
    blob = Blob()
    blob.add(kinds.INT, UNKNOWN_OFFSET, 4, 32)
    with pytest.raises(Malformed, match="outside the string section"):
        blob.btf().name(1)


def test_string_without_end() -> None:
    blob = Blob()
    places = [blob.name("x" * (1 << 16)), blob.name("y" * ((1 << 16) - 1))]
    btf = blob.btf()
    assert btf.string(places[1]) == "y" * ((1 << 16) - 1)
    assert btf.string(places[0] + 1) == "x" * ((1 << 16) - 1)
    with pytest.raises(Malformed, match=f"string offset {places[0]}: the string is too long"):
        btf.string(places[0])


def header(**fields: int) -> bytes:
    values = {"magic": 0xEB9F, "version": 1, "flags": 0, "hdr_len": 24} | {"to": 0, "tl": 0, "so": 0, "sl": 1} | fields
    return struct.pack("<HBBIIIII", *values.values()) + b"\0" * 8


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "wrong magic"),
        (b"\x9f", "wrong magic"),
        (b"\x7fELF" + bytes(60), "wrong magic"),
        (header()[:20], "20 bytes, a header takes 24"),
        (header(version=2), "version 2"),
        (header(hdr_len=23), "header length 23"),
        (header(hdr_len=1 << 31), "header length"),
        (header(tl=12), "types: 12 bytes at offset 0"),
        (header(to=1 << 31), "types"),
        (header(sl=9), "strings: 9 bytes"),
        (header(to=2, tl=4), "multiples of 4"),
        (header(tl=3), "multiples of 4"),
        (header(sl=0), "does not end with a NUL"),
        (header()[:24] + b"a", "does not end with a NUL"),
        (header(sl=2)[:24] + b"a\0", "first string is not empty"),
    ],
)
def test_bad_headers(data: bytes, reason: str) -> None:
    with pytest.raises(Malformed, match=reason):
        Btf(data)


@pytest.mark.parametrize("kind", [0, 20, 31, 32, 127])
def test_unknown_kind(kind: int) -> None:
    blob = Blob()
    blob.number()
    blob.words += [0, kind << 24, 0]
    with pytest.raises(Malformed, match=rf"type \[2\]: unknown kind {kind}"):
        blob.btf()


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_last_type_is_cut_off(missing: int) -> None:
    blob = Blob()
    blob.number()
    del blob.words[-missing:]
    with pytest.raises(Malformed, match="past the end"):
        blob.btf()


def test_vlen_beyond_the_section() -> None:
    blob = Blob()
    blob.add(kinds.STRUCT, "s", 4, vlen=0xFFFF)
    with pytest.raises(Malformed, match="past the end"):
        blob.btf()


def test_every_truncation_is_noticed(compile_c: Callable[..., Path]) -> None:
    data = section(compile_c("btf_values.c", "-g"), ".BTF")
    for length in range(0, len(data), 16):
        with pytest.raises(Malformed):
            Btf(data[:length])


@pytest.mark.parametrize("target", ["bpf", "bpfeb"])
def test_compiled_object(compile_c: Callable[..., Path], target: str) -> None:
    btf = Btf(section(compile_c("btf_values.c", "-g", target=target), ".BTF"))
    id = btf.find("everything", kinds.STRUCT)
    assert id is not None
    assert btf.byteorder == ("little" if target == "bpf" else "big")
    members = {member.name: (member.bit_offset, member.bitfield_size) for member in btf.type(id).entries}
    assert (members["s8"], members["s32"], members["bits5"][1]) == ((0, 0), (64, 0), 5)


@pytest.mark.skipif(not VMLINUX.exists(), reason="the kernel has no BTF of its own")
def test_kernel_btf() -> None:
    btf = Btf(VMLINUX.read_bytes())
    id = btf.find("task_struct", kinds.STRUCT)
    assert id is not None
    assert "comm" in [member.name for member in btf.type(id).entries]
