"""The kinds of BTF types, one row per kind, as in the kernel's Documentation/bpf/btf.rst and linux/btf.h."""

from __future__ import annotations

VOID = 0
INT = 1
PTR = 2
ARRAY = 3
STRUCT = 4
UNION = 5
ENUM = 6
FWD = 7
TYPEDEF = 8
VOLATILE = 9
CONST = 10
RESTRICT = 11
FUNC = 12
FUNC_PROTO = 13
VAR = 14
DATASEC = 15
FLOAT = 16
DECL_TAG = 17
TYPE_TAG = 18
ENUM64 = 19

HEAD_WORDS = 3  # struct btf_type: name_off, info, size or type


class Kind:
    """A row: `words` 32-bit words follow the head, and `entry_words` per vlen; `third` is what the head ends with."""

    __slots__ = ("entry_words", "name", "third", "words")

    def __init__(self, name: str, words: int, entry_words: int, third: str) -> None:
        self.name = name
        self.words = words
        self.entry_words = entry_words
        self.third = third


KINDS = (
    Kind("UNKNOWN", 0, 0, ""),
    Kind("INT", 1, 0, "size"),
    Kind("PTR", 0, 0, "type"),
    Kind("ARRAY", 3, 0, ""),
    Kind("STRUCT", 0, 3, "size"),
    Kind("UNION", 0, 3, "size"),
    Kind("ENUM", 0, 2, "size"),
    Kind("FWD", 0, 0, ""),
    Kind("TYPEDEF", 0, 0, "type"),
    Kind("VOLATILE", 0, 0, "type"),
    Kind("CONST", 0, 0, "type"),
    Kind("RESTRICT", 0, 0, "type"),
    Kind("FUNC", 0, 0, "type"),
    Kind("FUNC_PROTO", 0, 2, "type"),
    Kind("VAR", 1, 0, "type"),
    Kind("DATASEC", 0, 3, "size"),
    Kind("FLOAT", 0, 0, "size"),
    Kind("DECL_TAG", 1, 0, "type"),
    Kind("TYPE_TAG", 0, 0, "type"),
    Kind("ENUM64", 0, 3, "size"),
)

MODIFIERS = frozenset((TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG))
"""Kinds that only rename or qualify the type they point to."""

COMPOSITES = frozenset((STRUCT, UNION))
ENUMS = frozenset((ENUM, ENUM64))
SIZED = frozenset(kind for kind, row in enumerate(KINDS) if row.third == "size")
REFERRING = frozenset(kind for kind, row in enumerate(KINDS) if row.third == "type")


# Fields of btf_type.info. Bits 16-23 and 29-30 are unused; a set one gives a kind or vlen that no row explains.
def kind_of(info: int) -> int:
    """The kind in btf_type.info (0..127; above 19 is unknown)."""
    return info >> 24 & 0x7F


def vlen_of(info: int) -> int:
    """The number of entries in btf_type.info."""
    return info & 0xFFFFFF


def kind_flag_of(info: int) -> bool:
    """The kind_flag in btf_type.info: bitfield layout, signed enum, union forward, attribute tag."""
    return bool(info >> 31)
