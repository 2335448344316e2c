"""The order of types in C headers: the shortcuts of btf.order against the whole order, spelled out type by type."""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from bcctool.btf import c, kinds
from bcctool.btf.kinds import KINDS, REFERRING
from bcctool.btf.order import Order
from bcctool.btf.reader import Btf
from bcctool.btf.validate import TYPE_COLUMNS

from .test_btf_blobs import Blob, section

VMLINUX = Path("/sys/kernel/btf/vmlinux")
MASK = (1 << 64) - 1
RANK = {kinds.INT: 2, kinds.FLOAT: 2, kinds.STRUCT: 3, kinds.UNION: 3, kinds.FUNC_PROTO: 4}
ENUMS = (kinds.ENUM, kinds.ENUM64)
LEADING = (
    kinds.ARRAY,
    kinds.PTR,
    kinds.CONST,
    kinds.VOLATILE,
    kinds.RESTRICT,
    kinds.TYPEDEF,
    kinds.TYPE_TAG,
    kinds.DECL_TAG,
)


def whole_order(btf: Btf) -> list[int]:
    """Every id but that of void, in the order that bpftool 7.8 documents by its output."""
    type_of = cache(btf.type)

    def target(id: int) -> int:
        type_ = type_of(id)
        return int(type_.entries[0]) if type_.kind == kinds.ARRAY else type_.type_id

    def rank(id: int, named: bool) -> int:
        type_ = type_of(id)
        named = named or bool(type_.name)
        if type_.kind in ENUMS:
            return 1 if named else 0
        if type_.kind in LEADING:
            return rank(target(id), named)
        if type_.kind in (kinds.INT, kinds.FLOAT):
            return 2
        return RANK.get(type_.kind, 10) if named else 10

    def sort_name(id: int, direct: bool) -> bytes:
        type_ = type_of(id)
        if type_.kind in ENUMS and not type_.name and direct and type_.entries:
            return str(type_.entries[0][0]).encode()
        return sort_name(target(id), False) if type_.kind in LEADING else type_.name.encode()

    def folded(text: str) -> int:
        value = 0
        for byte in text.encode():
            value = value * 31 + (byte - 256 if byte > 127 else byte) & MASK
        return value

    @cache
    def hash_of(id: int, members: bool) -> int:
        type_ = type_of(id)
        value = folded(type_.name) if type_.name else 0
        if type_.kind in ENUMS:
            for name, _ in type_.entries:
                value = (value * 31 + folded(name)) & MASK
        elif type_.kind in (kinds.STRUCT, kinds.UNION) and members:
            for member in type_.entries:
                value = (value * 31 + folded(member.name)) & MASK if member.name else value
                value = (value * 31 + hash_of(member.type_id, False)) & MASK
        elif type_.kind in LEADING:
            if type_.kind == kinds.ARRAY:
                value = (value * 31 + type_.entries[2]) & MASK
            value = (value * 31 + hash_of(target(id), members)) & MASK
        return value

    def key(id: int) -> tuple[int, bytes, bytes, int, int]:
        return rank(id, False), sort_name(id, True), type_of(id).name.encode(), hash_of(id, True), id

    return sorted(range(1, btf.nr_types), key=key)


def same_text(btf: Btf, monkeypatch: pytest.MonkeyPatch) -> None:
    """The header is that of the whole order, every type asked for by itself."""
    text = c.c_header(btf)
    with monkeypatch.context() as patch:
        patch.setattr(Order, "sorted", lambda _: whole_order(btf))
        patch.setattr(c, "_bundled", lambda ids, *_: (array("I"), ids))
        expected = c.c_header(btf)
    assert text.decode() == expected.decode()


@pytest.mark.skipif(not VMLINUX.exists(), reason="the kernel has no BTF of its own")
def test_order_of_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    same_text(Btf(VMLINUX.read_bytes()), monkeypatch)


def test_order_of_an_object(compile_c: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    same_text(Btf(section(compile_c("btf_values.c", "-g"), ".BTF")), monkeypatch)


CHOICES = (
    *(kinds.PTR, kinds.CONST, kinds.TYPEDEF, kinds.STRUCT) * 3,
    *(kinds.ARRAY, kinds.ENUM, kinds.FWD, kinds.FUNC_PROTO, kinds.TYPE_TAG),
)


def any_types(seed: int) -> Btf:
    """Types of few names that refer to each other at random."""
    choose, blob = random.Random(seed), Blob()
    sizes = {blob.number("int", 4): 4, blob.number("long", 8): 8}  # of the types that a member may have
    for _ in range(choose.randrange(10, 60)):
        kind, name = choose.choice(CHOICES), choose.choice("abc")
        earlier, unnamed = choose.choice([*sizes]), choose.choice((name, ""))
        if kind == kinds.STRUCT:
            members = [(name, choose.choice([*sizes]), 0) for name in "mn"[: choose.randrange(3)]]
            size = max([sizes[member[1]] for member in members], default=0)
            sizes[blob.struct(unnamed, size, *members, kind=kinds.UNION)] = size
        elif kind == kinds.ENUM:
            sizes[blob.enum(unnamed, 4, *[(choose.choice("EF"), 1)][: choose.randrange(2)])] = 4
        elif kind == kinds.FUNC_PROTO:
            sizes[blob.ptr(blob.proto(earlier, ("x", choose.choice([*sizes]))))] = 8
        elif kind == kinds.FWD:
            sizes[blob.ptr(blob.add(kinds.FWD, name))] = 8
        elif kind == kinds.ARRAY:
            count = choose.choice((1, 2, 99))
            sizes[blob.array(earlier, count)] = count * sizes[earlier]
        elif kind == kinds.TYPE_TAG:
            sizes[blob.ptr(blob.add(kind, "user", earlier))] = 8
        else:
            id = blob.add(kind, name if kind == kinds.TYPEDEF else "", earlier)
            sizes[id] = 8 if kind == kinds.PTR else sizes[earlier]
    return shuffled(blob.btf(), choose)


def shuffled(btf: Btf, choose: random.Random) -> Btf:
    """The same types under other ids, so that they also refer to later ones."""
    order = list(range(1, btf.nr_types))
    choose.shuffle(order)
    new_id = {0: 0, **{id: new for new, id in enumerate(order, 1)}}
    blob = Blob()
    blob.strings = btf.strings
    for id in order:
        words, kind = btf.words_of(id), btf.kind(id)
        if kind in REFERRING:
            words[2] = new_id[words[2]]
        for column in TYPE_COLUMNS.get(kind, ()):
            start, step = 3 + column, KINDS[kind].entry_words or 3
            words[start::step] = [new_id[id] for id in words[start::step]]
        blob.words += words
    return blob.btf()


@pytest.mark.parametrize("seed", range(300))
def test_order_of_any_types(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    same_text(any_types(seed), monkeypatch)
