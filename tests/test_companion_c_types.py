"""ctypes made from BTF: their layout is that of the compiler, their values are those of btf.python."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bcctool.btf import kinds
from bcctool.btf.layout import CHAR, SIGNED, is_char_array
from bcctool.btf.python import decode
from bcctool.btf.reader import Btf, Type
from bcctool.companion.c_types import c_type, of_size
from bcctool.elf.object import ObjectFile
from bcctool.errors import Error, Malformed

from .test_btf_blobs import Blob

Compile = Callable[..., Path]
VMLINUX = Path("/sys/kernel/btf/vmlinux")
SAMPLE = 400  # of the kernel's structs


def plain(btf: Btf, id: int, value: Any) -> Any:
    """What btf.python makes of a type, with numbers for enumerators and bytes for text, as ctypes has them."""
    type_ = btf.type(btf.resolve(id))
    if type_.kind == kinds.ARRAY:
        if is_char_array(btf, type_):
            return value.encode() if isinstance(value, str) else value.rstrip(b"\0")
        return [plain(btf, type_.entries[0], element) for element in value]
    if type_.kind in kinds.COMPOSITES:
        members = {member.name: member.type_id for member in members_of(btf, type_)}
        return {name: plain(btf, members[name], element) for name, element in value.items()}
    if type_.kind in kinds.ENUMS:
        return next((number for name, number in type_.entries if name == value), value)
    return value


def members_of(btf: Btf, type_: Type) -> Any:
    """Members, those of anonymous ones among them."""
    for member in type_.entries:
        inner = btf.type(btf.resolve(member.type_id))
        if not member.name and inner.kind in kinds.COMPOSITES:
            yield from members_of(btf, inner)
        elif member.name:
            yield member


def seen(btf: Btf, id: int, value: Any) -> Any:
    """The same of an object of ctypes."""
    type_ = btf.type(btf.resolve(id))
    if type_.kind == kinds.ARRAY:
        if is_char_array(btf, type_):
            return bytes(value).rstrip(b"\0") if not isinstance(value, bytes) else value
        return [seen(btf, type_.entries[0], element) for element in value]
    if type_.kind in kinds.COMPOSITES:
        return {
            member.name: seen(btf, member.type_id, getattr(value, member.name)) for member in members_of(btf, type_)
        }
    if type_.kind == kinds.INT and type_.size == 16:
        return value[0] % (1 << 64) + (value[1] << 64)
    if type_.name == "char":
        return int.from_bytes(value, "little", signed=True)
    return value


@pytest.fixture(scope="module")
def everything(compile_c: Compile) -> Btf:
    btf = ObjectFile(str(compile_c("btf_values.c", "-g"))).btf
    assert btf is not None
    return btf


def char_arrays_are_text(value: Any) -> Any:
    """ctypes ends an array of char at the first NUL: as `plain` for random bytes."""
    if isinstance(value, dict):
        return {name: char_arrays_are_text(element) for name, element in value.items()}
    if isinstance(value, list):
        return [char_arrays_are_text(element) for element in value]
    return value.split(b"\0")[0] if isinstance(value, bytes) else value


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_values_are_those_of_the_decoder(everything: Btf, seed: int) -> None:
    id = everything.find("everything", kinds.STRUCT) or 0
    made = c_type(everything, id)
    assert ctypes.sizeof(made) == everything.size_of(id)
    data = bytearray(random.Random(seed).randbytes(ctypes.sizeof(made)))
    expected = char_arrays_are_text(plain(everything, id, decode(everything, id, bytes(data))))
    wide = expected.pop("wide")
    found = char_arrays_are_text(seen(everything, id, made.from_buffer_copy(data)))
    assert found.pop("wide") % (1 << 128) == wide % (1 << 128)
    for name in ("plain", "byte", "negative", "bit_enum"):  # an enum's numbers are signed or not, as it likes
        assert (found.pop(name) - expected.pop(name)) % 256 == 0
    assert found == expected


def test_what_is_assigned_is_what_is_read(everything: Btf) -> None:
    made = c_type(everything, everything.find("everything") or 0)
    value = made()
    value.bits3, value.bits5, value.bits40, value.bit_bool = 5, -3, (1 << 40) - 2, 1
    value.word, value.s16, value.text, value.one = 0x01020304, -2, b"hello", b"z"
    assert (value.bits3, value.bits5, value.bits40, value.bit_bool) == (5, -3, (1 << 40) - 2, 1)
    assert list(value.bytes) == [4, 3, 2, 1]
    assert decode(everything, everything.find("everything") or 0, bytes(value))["bits40"] == (1 << 40) - 2
    value.bits3 = 8 + 1  # cut, as in C
    assert (value.bits3, value.bits5) == (1, -3)


@pytest.mark.skipif(not VMLINUX.exists(), reason="the kernel has no BTF")
def test_layouts_of_the_kernels_structs() -> None:
    btf = Btf(VMLINUX.read_bytes())
    ids = [id for id in range(1, btf.nr_types) if btf.kind(id) in kinds.COMPOSITES]
    for id in random.Random(1).sample(ids, SAMPLE):
        made = c_type(btf, id)
        type_ = btf.type(id)
        assert ctypes.sizeof(made) == type_.size, type_.name
        for member in type_.entries:
            field = getattr(made, member.name, None) if member.name else None
            if field is not None and not isinstance(field, property):
                assert (type_.name, member.name, field.offset * 8) == (type_.name, member.name, member.bit_offset)


def record(*members: tuple[str, int], size: int = 8, kind: int = kinds.STRUCT) -> Any:
    """The class of a struct or union of ints, each with its offset in bits."""
    blob = Blob("<")
    number = blob.number("int", 4, SIGNED)
    id = blob.struct("record", size, *((name, number, at) for name, at in members), kind=kind)
    return c_type(blob.btf(), id)


@pytest.mark.parametrize(
    ("members", "size", "kind"),
    [
        ((("a", 0), ("b", 16)), 8, kinds.STRUCT),  # overlap
        ((("a", 48),), 8, kinds.STRUCT),  # too long
        ((("a", 32),), 8, kinds.UNION),  # not at its start
    ],
)
def test_members_that_can_not_be(members: tuple[tuple[str, int], ...], size: int, kind: int) -> None:
    with pytest.raises(Malformed, match="do not fit"):
        record(*members, size=size, kind=kind)


def test_unaligned_members_and_padding_are_laid_out_by_hand() -> None:
    made = record(("a", 8), ("b", 40), size=11)
    assert (made.a.offset, made.b.offset, ctypes.sizeof(made)) == (1, 5, 11)


@pytest.mark.parametrize("name", ["_fields_", "__init__", "__class__", "bits_", "_anonymous_"])
def test_names_that_ctypes_has_itself(name: str) -> None:
    made = record((name, 0), ("other", 32))
    value = made(7, 8)
    assert (getattr(value, f"{name}_"), value.other) == (7, 8)


def test_types_without_values() -> None:
    blob = Blob("<")
    forward = blob.add(kinds.FWD, "later", 0)
    odd = blob.number("odd", 3)
    huge = blob.array(blob.number("char", 1, CHAR), 0xFFFFFFFF)
    chain = blob.number("int", 4, SIGNED)
    for _ in range(100):
        chain = blob.struct("deep", 4, ("inner", chain, 0))
    btf = blob.btf()
    for id in (0, forward, odd, huge, chain):
        with pytest.raises(Malformed):
            c_type(btf, id)


def test_types_of_the_other_byte_order() -> None:
    blob = Blob(">")
    id = blob.number("int", 4, SIGNED)
    with pytest.raises(Error, match="big-endian types on a little-endian machine"):
        c_type(blob.btf(), id)


@pytest.mark.parametrize(("size", "name"), [(1, "c_ubyte"), (4, "c_uint"), (8, "c_ulong"), (6, "c_ubyte_Array_6")])
def test_types_that_nobody_tells(size: int, name: str) -> None:
    assert of_size(size).__name__ == name
    assert ctypes.sizeof(of_size(size)) == size
