"""How C lays out what BTF describes: natural alignments, packed structs, and the padding that reproduces an offset."""

from __future__ import annotations

from ..errors import Malformed
from . import kinds
from .reader import POINTER_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .reader import Btf, Type

MAX_ALIGNMENT = 8
MAX_DEPTH = 32  # of structs in structs
UNITS = (("long", 64), ("int", 32), ("short", 16), ("char", 8))  # of padding, with their bits


class Layout:
    """The alignment of the types of a blob that has been validated; each struct is looked at once."""

    def __init__(self, btf: Btf) -> None:
        self.btf = btf
        self._alignments: dict[int, int] = {}

    def alignment(self, id: int, depth: int = 0) -> int:
        """The natural alignment of a type in bytes, 1 for what has none."""
        found = self._alignments.get(id)
        if found is None:
            found = self._alignments[id] = self._alignment(id, depth)
        return found

    def _alignment(self, id: int, depth: int) -> int:
        if depth > MAX_DEPTH:
            raise Malformed(self.btf.where, f"type [{id}]", f"more than {MAX_DEPTH} types inside each other")
        type_ = self.btf.type(self.btf.resolve(id))
        if type_.kind == kinds.ARRAY:
            return self.alignment(type_.entries[0], depth + 1)
        if type_.kind in kinds.COMPOSITES:
            return 1 if self._misfits(type_, depth) else self._largest(type_, depth)
        if type_.kind == kinds.PTR:
            return POINTER_SIZE
        return max(1, min(MAX_ALIGNMENT, type_.size))

    def _largest(self, type_: Type, depth: int) -> int:
        return max((self.alignment(member.type_id, depth + 1) for member in type_.entries), default=1)

    def _misfits(self, type_: Type, depth: int) -> bool:
        """Whether a member, or the size, is at odds with the alignment of members."""
        return type_.size % self._largest(type_, depth) != 0 or any(
            member.bit_offset % (8 * self.alignment(member.type_id, depth + 1)) and not member.bitfield_size
            for member in type_.entries
        )

    def is_packed(self, type_: Type) -> bool:
        """Whether a struct can only be what it is with `__attribute__((packed))`."""
        return type_.kind == kinds.STRUCT and self._misfits(type_, 0)


def padding(start: int, end: int, alignment: int, between_bitfields: bool) -> list[str]:
    """The unnamed bitfields that fill the bits from `start` to `end`, where something of an alignment in bytes follows.

    An unnamed field of a larger type moves what follows to that type's boundary, so that a wide hole takes few fields.
    """
    fields = []
    for unit, bits in UNITS:
        rounded = round_up(start, bits)
        if rounded > end:
            continue
        if rounded > start:
            if between_bitfields:
                fields.append(f"{unit}: {rounded - start};")
            elif end - rounded <= rounded - start and (rounded != end or round_up(start, 8 * alignment) != end):
                fields.append(f"{unit}: 0;")
            start = rounded
        fields += [f"{unit}: {bits};"] * ((end - start) // bits)
        start += (end - start) // bits * bits
        break
    if start < end:
        unit = next(unit for unit, bits in reversed(UNITS) if bits >= end - start)
        fields.append(f"{unit}: {end - start};")
    return fields


def round_up(number: int, unit: int) -> int:
    """The next multiple."""
    return -(-number // unit) * unit
