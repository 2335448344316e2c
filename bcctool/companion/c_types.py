"""BTF types as ctypes, laid out byte by byte as BTF says: the keys and leaves of BCC's tables, the data of events."""

from __future__ import annotations

import ctypes
import sys

from ..btf import kinds
from ..btf.layout import BOOL, FLOAT_CODES, SIGNED, bits_at, is_char_array, is_signed_enum, shift_in, window
from ..btf.reader import POINTER_SIZE
from ..btf.values import MAX_NESTING
from ..errors import Error, Malformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..btf.reader import Btf, Member, Type

    CType = Any  # ctypes has no name for the types of its types

MAX_MEMBERS = 100_000  # of all structs that one type is made of
MAX_BYTES = 1 << 31
UNSIGNED = {1: ctypes.c_uint8, 2: ctypes.c_uint16, 4: ctypes.c_uint32, 8: ctypes.c_uint64}
SIGNED_INTS = {1: ctypes.c_int8, 2: ctypes.c_int16, 4: ctypes.c_int32, 8: ctypes.c_int64}
FLOATS = {4: ctypes.c_float, 8: ctypes.c_double}
# What ctypes has in every struct: a member of such a name gets an underscore behind it.
TAKEN = frozenset(dir(ctypes.Structure)) | {"_fields_", "_anonymous_", "_pack_", "_align_", "_layout_", "bits_"}


def c_type(btf: Btf, type_id: int) -> CType:
    """The ctypes class of a type's values.

    Integers, enums, pointers: the integer of their size; arrays of char: `c_char` arrays; structs and unions: Structure
    and Union with the C names, the members of anonymous members among their own, bitfields as attributes. What ctypes
    would lay out otherwise (packed, aligned) is laid out by hand. Malformed for a type without values.
    """
    return _Types(btf).make(type_id, 0)


def of_size(size: int) -> CType:
    """What stands for values of so many bytes whose type nobody tells."""
    return UNSIGNED.get(size) or ctypes.c_uint8 * size


class _Types:
    """Makes classes; the methods by kind take the type and the nesting so far."""

    def __init__(self, btf: Btf) -> None:
        self.btf = btf
        self.made: dict[int, CType] = {}
        self.members_left = MAX_MEMBERS
        if btf.byteorder != sys.byteorder:
            raise Error(f"{btf.where}: {btf.byteorder}-endian types on a {sys.byteorder}-endian machine")

    def make(self, id: int, nesting: int) -> CType:
        type_ = self.btf.type(self.btf.resolve(id))
        if type_.id not in self.made:
            if nesting > MAX_NESTING:
                raise self.malformed(type_, f"more than {MAX_NESTING} types nested in each other")
            made = _MAKE[type_.kind](self, type_, nesting) if type_.kind in _MAKE else None
            if made is None:
                raise self.malformed(type_, "has no values for ctypes")
            if ctypes.sizeof(made) > MAX_BYTES:
                raise self.malformed(type_, f"{ctypes.sizeof(made)} bytes are too many")
            self.made[type_.id] = made
        return self.made[type_.id]

    def malformed(self, type_: Type, reason: str) -> Malformed:
        return Malformed(self.btf.where, f"type [{type_.id}] {kinds.KINDS[type_.kind].name}", reason)

    def integer(self, type_: Type, nesting: int) -> CType:
        encoding = type_.entries[0]
        if encoding == BOOL and type_.size == 1:
            return ctypes.c_bool
        if type_.name == "char" and type_.size == 1:
            return ctypes.c_char
        if type_.size == 16:
            return (ctypes.c_int64 if encoding == SIGNED else ctypes.c_uint64) * 2  # as BCC has them
        return (SIGNED_INTS if encoding == SIGNED else UNSIGNED).get(type_.size)

    def pointer(self, type_: Type, nesting: int) -> CType:
        return UNSIGNED[POINTER_SIZE]

    def enum(self, type_: Type, nesting: int) -> CType:
        return (SIGNED_INTS if is_signed_enum(type_) else UNSIGNED).get(type_.size)

    def floating(self, type_: Type, nesting: int) -> CType:
        return FLOATS[type_.size] if type_.size in FLOAT_CODES else None

    def array(self, type_: Type, nesting: int) -> CType:
        element_id, _, nelems = type_.entries
        element = ctypes.c_char if is_char_array(self.btf, type_) else self.make(element_id, nesting + 1)
        if nelems * ctypes.sizeof(element) > MAX_BYTES:
            raise self.malformed(type_, f"{nelems} elements are too many")
        return element * nelems

    def composite(self, type_: Type, nesting: int) -> CType:
        base: CType = ctypes.Union if type_.kind == kinds.UNION else ctypes.Structure
        self.members_left -= len(type_.entries)
        if self.members_left < 0:
            raise self.malformed(type_, f"more than {MAX_MEMBERS} members")
        layout = _Layout(type_, base is ctypes.Union)
        for member in type_.entries:
            self.member(layout, type_, member, nesting)
        made = layout.natural(base) or layout.by_hand(base)
        if made is None:
            raise self.malformed(type_, f"its members do not fit its {type_.size} bytes")
        return made

    def member(self, layout: _Layout, type_: Type, member: Member, nesting: int) -> None:
        target = self.btf.type(self.btf.resolve(member.type_id))
        bits = bits_at(target, member.bit_offset, member.bitfield_size)
        if bits:
            if sum(window(*bits)) > type_.size:
                raise self.malformed(type_, f"member '{member.name}' does not fit its {type_.size} bytes")
            layout.add_bits(member.name, *bits, _is_signed(target))
            return
        if member.bit_offset % 8:
            raise self.malformed(type_, f"member '{member.name}' starts inside a byte")
        if member.name or target.kind in kinds.COMPOSITES:
            layout.add(member.name, self.make(target.id, nesting + 1), member.bit_offset // 8)


_MAKE: dict[int, Callable[[_Types, Type, int], CType]] = {
    kinds.INT: _Types.integer,
    kinds.PTR: _Types.pointer,
    kinds.ARRAY: _Types.array,
    kinds.STRUCT: _Types.composite,
    kinds.UNION: _Types.composite,
    kinds.ENUM: _Types.enum,
    kinds.ENUM64: _Types.enum,
    kinds.FLOAT: _Types.floating,
}


class _Layout:
    """The members of one struct or union: fields at their offsets, and bitfields, which become properties."""

    def __init__(self, type_: Type, is_union: bool) -> None:
        self.name = type_.name or "anonymous"
        self.size = type_.size
        self.is_union = is_union
        self.fields: list[tuple[str, CType, int]] = []
        self.anonymous: list[str] = []
        self.bits: dict[str, tuple[int, int, bool]] = {}

    def add(self, name: str, made: CType, offset: int) -> None:
        if not name:
            name = f"__anon{len(self.anonymous)}"  # as BCC calls them
            self.anonymous.append(name)
            for inner, (bit_offset, nr_bits, signed) in getattr(made, "bits_", {}).items():
                self.bits.setdefault(inner, (offset * 8 + bit_offset, nr_bits, signed))
        self.fields.append((_free(name), made, offset))

    def add_bits(self, name: str, bit_offset: int, nr_bits: int, signed: bool) -> None:
        if name:
            self.bits[_free(name)] = bit_offset, nr_bits, signed

    def natural(self, base: CType) -> CType | None:
        """The class as ctypes lays it out, if that is what BTF says."""
        made = self.made(base, [(name, field) for name, field, _ in self.fields], packed=False)
        offsets = [getattr(made, name).offset for name, _, _ in self.fields]
        right = ctypes.sizeof(made) == self.size and offsets == [offset for _, _, offset in self.fields]
        return made if right else None

    def by_hand(self, base: CType) -> CType | None:
        """The class with every byte accounted for; None if the members overlap or do not fit."""
        padded: list[tuple[str, CType]] = []
        at = 0

        def pad(end: int) -> None:
            if end > at or self.is_union:
                padded.append((f"__pad_{len(padded)}", ctypes.c_uint8 * (end - at)))

        for name, field, offset in sorted(self.fields, key=lambda row: row[2]):
            end = offset + ctypes.sizeof(field)
            if offset < at or end > self.size or (self.is_union and offset):
                return None
            if not self.is_union:
                pad(offset)
                at = end
            padded.append((name, field))
        pad(self.size)
        return self.made(base, padded, packed=True)

    def made(self, base: CType, fields: list[tuple[str, CType]], packed: bool) -> CType:
        attributes: dict[str, Any] = {name: _bitfield(*bits) for name, bits in self.bits.items()}
        attributes["bits_"] = self.bits
        attributes["_anonymous_"] = self.anonymous
        if packed:
            attributes["_pack_"] = 1
        attributes["_fields_"] = fields
        return type(self.name, (base,), attributes)


def _free(name: str) -> str:
    """The name of a member, changed if ctypes needs it for itself."""
    return f"{name}_" if name in TAKEN else name


def _is_signed(type_: Type) -> bool:
    if type_.kind == kinds.INT:
        return bool(type_.entries[0] == SIGNED)
    return type_.kind in kinds.ENUMS and is_signed_enum(type_)


def _bitfield(bit_offset: int, nr_bits: int, signed: bool) -> property:
    """An attribute for some bits of a struct; what is assigned is cut to them, as in C."""
    first, length = window(bit_offset, nr_bits)
    shift, mask = shift_in(length, bit_offset, nr_bits, sys.byteorder), (1 << nr_bits) - 1
    sign = 1 << nr_bits - 1 if signed else 0
    holder = ctypes.c_uint8 * length

    def read(owner: Any) -> int:
        raw = int.from_bytes(holder.from_buffer(owner, first), sys.byteorder) >> shift & mask
        return raw - (raw & sign) * 2

    def write(owner: Any, value: int) -> None:
        held = holder.from_buffer(owner, first)
        rest = int.from_bytes(held, sys.byteorder) & ~(mask << shift)
        held[:] = list((rest | (value & mask) << shift).to_bytes(length, sys.byteorder))

    return property(read, write)
