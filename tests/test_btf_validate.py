"""The check of BTF before C code sees it: sound blobs pass, each kind of defect is named, hostile ones end quickly."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bcctool.btf import kinds
from bcctool.btf.reader import Btf
from bcctool.btf.validate import MAX_HEIGHT, validate
from bcctool.errors import Malformed

from .test_btf_blobs import UNKNOWN_OFFSET, Blob, section
from .test_btf_raw import every_kind

VMLINUX = Path("/sys/kernel/btf/vmlinux")

Build = Callable[[Blob], object]


def typedefs(blob: Blob, *targets: int) -> None:
    for at, target in enumerate(targets):
        blob.add(kinds.TYPEDEF, f"t{at}", target)


def doubling(blob: Blob) -> None:
    """Each anonymous struct holds the one before twice: C text for all of them would be of 2^40 words."""
    inner = blob.struct("", 0)
    for _ in range(40):
        inner = blob.struct("", 0, ("a", inner, 0), ("b", inner, 0))


def callbacks(blob: Blob) -> None:
    """The same with parameters."""
    pointer = blob.ptr(0)
    for _ in range(40):
        pointer = blob.ptr(blob.proto(0, ("a", pointer), ("b", pointer)))


def nested(blob: Blob) -> None:
    inner = blob.number()
    for depth in range(MAX_HEIGHT + 1):
        inner = blob.struct(f"s{depth}", 4, ("a", inner, 0))


BAD: dict[str, tuple[Build, str]] = {
    "name": (lambda b: b.add(kinds.INT, UNKNOWN_OFFSET, 4, 32), r"\[1\] INT: name offset"),
    "member name": (lambda b: b.add(kinds.STRUCT, "s", 4, UNKNOWN_OFFSET, 0, 0, vlen=1), r"\[1\] STRUCT: name offset"),
    "parameter name": (lambda b: b.add(kinds.FUNC_PROTO, "", 0, UNKNOWN_OFFSET, 0, vlen=1), "name offset"),
    "target": (lambda b: b.ptr(2), r"\[1\] PTR: type id 2 is out of range"),
    "member type": (lambda b: b.struct("s", 4, ("a", 0, 0), ("b", 9, 0)), r"\[1\] STRUCT: type id 9"),
    "element": (lambda b: b.array(7, 1), r"\[1\] ARRAY: type id 7"),
    "member without a size": (lambda b: b.struct("s", 8, ("a", b.add(kinds.CONST, "", b.proto(0)), 0)),
                              r"\[3\] STRUCT: holds a type \[2\], which has no size"),
    "element without a size": (lambda b: b.array(b.add(kinds.FWD, "f"), 1), r"\[2\] ARRAY: holds a type \[1\]"),
    "void member": (lambda b: b.struct("s", 8, ("a", 0, 0)), r"\[1\] STRUCT: holds a type \[0\]"),
    "index": (lambda b: b.array(b.number(), 1, index=9), r"\[2\] ARRAY: type id 9"),
    "parameter type": (lambda b: b.proto(0, ("a", 5)), r"\[1\] FUNC_PROTO: type id 5"),
    "section entry": (lambda b: b.datasec(".data", 4, (8, 0, 4)), r"\[1\] DATASEC: type id 8"),
    "no name": (lambda b: b.add(kinds.TYPEDEF, "", 0), r"\[1\] TYPEDEF: has no name"),
    "vlen": (lambda b: b.add(kinds.PTR, "", 0, vlen=1), "no entries"),
    "huge vlen": (lambda b: b.add(kinds.STRUCT, "s", 4, *[0, 0, 0] * 0x10000, vlen=0x10000), "too large"),
    "kind_flag": (lambda b: b.add(kinds.PTR, "", 0, flag=True), "kind_flag"),
    "int size": (lambda b: b.number("i", 3), "size 3"),
    "int bits": (lambda b: b.number("i", 4, bits=30, offset=5), "30 bits at bit 5 of 4 bytes"),
    "int without bits": (lambda b: b.number("i", 4, bits=0), "0 bits"),
    "enum size": (lambda b: b.enum("e", 5), "size 5"),
    "linkage": (lambda b: b.add(kinds.VAR, "v", 0, 3), "unknown linkage 3"),
    "func linkage": (lambda b: b.add(kinds.FUNC, "f", b.proto(0), vlen=3), "unknown linkage 3"),
    "func of int": (lambda b: b.add(kinds.FUNC, "f", b.number(), vlen=1), r"type \[1\] is no prototype"),
    "section of int": (lambda b: b.datasec(".data", 4, (b.number(), 0, 4)), "neither variable nor function"),
    "section end": (lambda b: b.datasec(".data", 4, (b.add(kinds.VAR, "v", 0, 0), 2, 4)), "lie outside its 4 bytes"),
    "tag component": (lambda b: b.add(kinds.DECL_TAG, "t", b.struct("s", 0), 0), "component 0"),
    "member end": (lambda b: b.struct("s", 4, ("a", b.number(), 8)), "32 bits at bit 8 lie outside its 4 bytes"),
    "bitfield": (lambda b: b.struct("s", 8, ("a", b.number(), 33 << 24), flag=True), "a bitfield of 33 bits"),
    "own typedef": (lambda b: typedefs(b, 1), "contains itself|cycle"),
    "typedef cycle": (lambda b: typedefs(b, 2, 3, 1), "contains itself|cycle"),
    "array of itself": (lambda b: b.array(1, 2), "contains itself"),
    "struct in itself": (lambda b: b.struct("s", 4, ("a", 1, 0)), "contains itself"),
    "pointer to itself": (lambda b: b.ptr(1), "contains itself"),
    "prototype of itself": (lambda b: b.proto(0, ("a", b.ptr(2))), "contains itself"),
    "huge array": (lambda b: b.array(b.array(b.number(), 1 << 31), 2), "too large"),
    "nesting": (nested, "types inside each other"),
    "doubling structs": (doubling, "no use is left"),
    "doubling prototypes": (callbacks, "no use is left"),
    "padding": (lambda b: b.struct("s", 1 << 31, ("a", b.number(), 0)), "no use is left"),
}


@pytest.mark.parametrize("case", BAD)
def test_defect_is_named(case: str) -> None:
    build, reason = BAD[case]
    blob = Blob()
    build(blob)
    start = time.monotonic()
    with pytest.raises(Malformed, match=reason):
        validate(blob.btf())
    assert time.monotonic() - start < 1


@pytest.mark.parametrize("order", ["<", ">"])
def test_sound_blob(order: str) -> None:
    blob = Blob(order)
    number = blob.number()
    blob.number("old_bits", 4, bits=4)
    blob.struct("old", 4, ("a", 2, 0), ("b", 2, 28))
    blob.struct("list", 16, ("next", blob.next_id + 1, 0), ("n", number, 64))
    blob.ptr(blob.next_id - 1)
    blob.add(kinds.TYPEDEF, "callback", blob.ptr(blob.proto(number, ("self", blob.ptr(4)), ("", 0))))
    blob.datasec(".bss", 0, (blob.add(kinds.VAR, "v", number, 1), 0, 4))
    validate(blob.btf())


def test_every_kind_but_the_defects_it_has() -> None:
    with pytest.raises(Malformed, match=r"\[17\] FUNC: unknown linkage 7"):
        validate(every_kind())


def test_split_blob_refers_to_its_base() -> None:
    base = Blob()
    base.struct("s", 4, ("a", base.number(), 0))
    own = Blob(first_id=3, first_string=len(base.strings))
    own.struct("t", 8, ("s", 2, 0), ("p", own.next_id + 1, 0))
    own.ptr(own.add(kinds.TYPEDEF, 1, 2))
    validate(own.btf(base.btf()))
    own.ptr(99)
    with pytest.raises(Malformed, match=r"\[6\] PTR: type id 99"):
        validate(own.btf(base.btf()))


@pytest.mark.parametrize("target", ["bpf", "bpfeb"])
@pytest.mark.parametrize("source", ["btf_values.c", "btf_sections.c"])
def test_compiled_objects(compile_c: Callable[..., Path], source: str, target: str) -> None:
    validate(Btf(section(compile_c(source, "-g", target=target), ".BTF")))


@pytest.mark.skipif(not VMLINUX.exists(), reason="the kernel has no BTF of its own")
def test_kernel_btf() -> None:
    validate(Btf(VMLINUX.read_bytes()))
