"""How values of BTF types lie in memory: struct codes, bitfields, enumerators, char arrays."""

from __future__ import annotations

from . import kinds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .reader import Btf, Type

SIGNED, CHAR, BOOL = 1, 2, 4  # encodings of an INT

UNSIGNED_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}
SIGNED_CODES = {1: "b", 2: "h", 4: "i", 8: "q"}
FLOAT_CODES = {4: "f", 8: "d"}


def is_plain_int(type_: Type) -> bool:
    """Whether an INT fills its bytes: no bit offset, no odd number of bits."""
    _, bit_offset, nr_bits = type_.entries
    return not bit_offset and nr_bits == type_.size * 8


def bits_at(type_: Type, bit_offset: int, bitfield_size: int) -> tuple[int, int] | None:
    """(bit offset, number of bits) of a member that is not whole bytes, else None.

    type_: the member's type behind qualifiers. BTF older than kind_flag has the bitfield in the INT itself.
    """
    if bitfield_size:
        return bit_offset, bitfield_size
    if type_.kind == kinds.INT and (bit_offset % 8 or not is_plain_int(type_)):
        return bit_offset + type_.entries[1], type_.entries[2]
    return None


def window(bit_offset: int, nr_bits: int) -> tuple[int, int]:
    """(byte offset, number of bytes) that hold these bits."""
    first = bit_offset // 8
    return first, (bit_offset + nr_bits + 7) // 8 - first


def shift_in(window_size: int, bit_offset: int, nr_bits: int, byteorder: str) -> int:
    """How far right the bits are to be shifted in the integer made of their window; big endian counts from the top."""
    if byteorder == "little":
        return bit_offset % 8
    return window_size * 8 - bit_offset % 8 - nr_bits


def is_char_array(btf: Btf, array: Type) -> bool:
    """Whether an ARRAY holds text: elements `char` (qualified perhaps, but not by another name)."""
    element = btf.type(array.entries[0])
    for _ in range(4):
        if element.kind not in (kinds.CONST, kinds.VOLATILE, kinds.RESTRICT, kinds.TYPE_TAG):
            break
        element = btf.type(element.type_id)
    return (
        element.kind == kinds.INT
        and element.size == 1
        and is_plain_int(element)
        and (element.entries[0] == CHAR or element.name == "char")
    )


def enumerators(type_: Type) -> dict[int, str]:
    """Name by value, the value as the unsigned integer that is stored; the first of several names."""
    bits = type_.size * 8
    names: dict[int, str] = {}
    for name, value in type_.entries:
        # Compilers that leave kind_flag unset give -1 as 0xffffffff, whatever the enum's size.
        signed = value - (1 << 32) if type_.kind == kinds.ENUM and value >> 31 == 1 else value
        if -(1 << bits - 1) <= signed < 1 << bits:
            names.setdefault(signed % (1 << bits), name)
        elif 0 <= value < 1 << bits:
            names.setdefault(value, name)
    return names


def is_signed_enum(type_: Type) -> bool:
    """Whether an enum's values are signed; without kind_flag an enumerator with its top bit set tells."""
    return type_.kind_flag or (type_.kind == kinds.ENUM and any(value >> 31 == 1 for _, value in type_.entries))
