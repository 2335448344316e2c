"""CO-RE relocations resolved: what an instruction is to hold so that it fits the types of the target kernel.

Numbers follow linux/bpf.h's struct bpf_core_relo; the candidates of a local type are looked for in tiers of blobs
(vmlinux, then all modules), a later tier only when no earlier one has any.
"""

from __future__ import annotations

from ..errors import Error, Malformed
from . import kinds
from .core_match import Candidates, match_spec
from .core_spec import (
    ENUM_RELOS,
    ENUMVAL_EXISTS,
    ENUMVAL_VALUE,
    FIELD_BYTE_OFFSET,
    FIELD_BYTE_SIZE,
    FIELD_EXISTS,
    FIELD_LSHIFT_U64,
    FIELD_RELOS,
    FIELD_RSHIFT_U64,
    FIELD_SIGNED,
    RELO_NAMES,
    TYPE_ID_LOCAL,
    TYPE_ID_TARGET,
    TYPE_SIZE,
    Spec,
    parse_spec,
)
from .layout import SIGNED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .ext import CoreRelo
    from .reader import Btf, Type

    Tier = Callable[[], Sequence[Btf]]

MAX_LOAD = 8  # bytes that one instruction can load


class Value:
    """What a relocation comes to in one blob.

    number: None where there is none. exact: whether the compiler has to have had the same (bitfields may be read by
    way of different windows). size, type_id: of the field in memory, for instructions that access it; else 0.
    """

    __slots__ = ("exact", "number", "size", "type_id")

    def __init__(self, number: int | None, exact: bool = True, size: int = 0, type_id: int = 0) -> None:
        self.number = number
        self.exact = exact
        self.size = size
        self.type_id = type_id


class Resolution:
    """A relocation, resolved.

    local: what the compiler put in. target: what belongs there now; its number is None where the kernel has no such
    thing and the instruction must not be reached. local_spec: what it is about. target_specs: all that matched.
    resizable: whether a load may be widened or narrowed to the target's size.
    """

    __slots__ = ("kind", "local", "local_spec", "resizable", "target", "target_specs")

    def __init__(self, kind: int, spec: Spec, local: Value, target: Value, target_specs: list[Spec]) -> None:
        self.kind = kind
        self.local_spec = spec
        self.local = local
        self.target = target
        self.target_specs = target_specs
        self.resizable = local.size == target.size or _resizable(spec, local, target, target_specs)

    @property
    def what(self) -> str:
        """As libbpf's log has it: `<byte_off> [7] struct task_struct.pid (0:9 @ offset 40)`."""
        return f"<{RELO_NAMES[self.kind]}> {self.local_spec}"


class Relocator:
    """Resolves the relocations of one object against a kernel's types."""

    def __init__(self, local: Btf, tiers: Sequence[Tier]) -> None:
        """local: the object's types; both they and the targets have to be sound (btf.validate)."""
        self.local = local
        self.tiers = tiers
        self._candidates: dict[Btf, Candidates] = {}
        self._resolved: dict[tuple[int, str, int], Resolution] = {}

    def resolve(self, relo: CoreRelo) -> Resolution:
        """What a relocation comes to. Malformed for one without sense, Error for one with several answers."""
        key = relo.type_id, relo.access, relo.kind
        if key not in self._resolved:
            self._resolved[key] = self._resolve(parse_spec(self.local, relo), relo.kind)
        return self._resolved[key]

    def candidates(self, id: int) -> list[tuple[Btf, int]]:
        """The blobs and ids of what may stand for a local type."""
        type_ = self.local.type(id)
        for tier in self.tiers:
            found = []
            for blob in tier():
                if blob not in self._candidates:
                    self._candidates[blob] = Candidates(blob)
                found += [(blob, other) for other in self._candidates[blob].of(type_)]
            if found:
                return found
        return []

    def matches(self, spec: Spec, kind: int) -> list[Spec]:
        """What a local spec may stand for in the targets."""
        found = [match_spec(spec, blob, id, kind) for blob, id in self.candidates(spec.root_id)]
        return [match for match in found if match is not None]

    def _resolve(self, spec: Spec, kind: int) -> Resolution:
        if kind == TYPE_ID_LOCAL:
            value = Value(spec.root_id, exact=False)
            return Resolution(kind, spec, value, value, [])
        name = self.local.name(spec.root_id)
        if not name:
            raise Error(f"{self.local.where}: CO-RE relocation {RELO_NAMES[kind]} of {spec}: a type without a name")
        found = [(match, value_of(match, kind)) for match in self.matches(spec, kind)]
        _check_agreement(spec, kind, found)
        target = found[0][1] if found else absent(kind)
        return Resolution(kind, spec, value_of(spec, kind), target, [match for match, _ in found])


def _check_agreement(spec: Spec, kind: int, found: list[tuple[Spec, Value]]) -> None:
    """Error when the kernel has several types of the name and they don't come to the same."""
    for match, value in found[1:]:
        first_match, first = found[0]
        if match.bit_offset != first_match.bit_offset or value.number != first.number:
            raise Error(
                f"{spec.btf.where}: CO-RE relocation {RELO_NAMES[kind]} of {spec} is ambiguous: "
                f"{first_match.btf.where} has {first_match}, {match.btf.where} has {match}"
            )


def absent(kind: int) -> Value:
    """What a relocation comes to where the kernel has nothing that matches."""
    unanswered = (kind in FIELD_RELOS and kind != FIELD_EXISTS) or kind == ENUMVAL_VALUE
    return Value(None if unanswered else 0)


def value_of(spec: Spec, kind: int) -> Value:
    """What a relocation comes to in the blob of `spec`."""
    if kind in ENUM_RELOS:
        return Value(1 if kind == ENUMVAL_EXISTS else _enumerator(spec) & 0xFFFFFFFFFFFFFFFF)
    if kind in FIELD_RELOS:
        return _field(spec, kind)
    if kind == TYPE_ID_TARGET:
        return Value(spec.root_id, exact=False)
    return Value(spec.btf.size_of(spec.root_id) if kind == TYPE_SIZE else 1)


def _enumerator(spec: Spec) -> int:
    """The value of an enumerator; that of an ENUM, which has 32 bits, extended by its sign as libbpf does."""
    step = spec.steps[0]
    enum = spec.btf.type(step.type_id)
    value = int(enum.entries[step.index][1])
    return value - (value >> 31 << 32) if enum.kind == kinds.ENUM and value >= 0 else value


def _field(spec: Spec, kind: int) -> Value:
    if kind == FIELD_EXISTS:
        return Value(1)
    step, btf = spec.steps[-1], spec.btf
    if step.name is None:
        size = btf.size_of(step.type_id)
        if kind == FIELD_BYTE_OFFSET:
            return Value(spec.bit_offset // 8, size=size, type_id=step.type_id)
        if kind == FIELD_BYTE_SIZE:
            return Value(size)
        raise Malformed(btf.where, f"CO-RE relocation {RELO_NAMES[kind]} of {spec}", "is of no field")
    member = btf.type(step.type_id).entries[step.index]
    type_ = btf.type(btf.resolve(member.type_id))
    if member.bitfield_size:
        start, size = _window(spec, type_, member.bitfield_size)
    else:
        start, size = spec.bit_offset // 8, btf.size_of(type_.id)
    bits, exact = member.bitfield_size or size * 8, not member.bitfield_size
    if kind == FIELD_BYTE_OFFSET:
        element = _element(btf, type_)
        return Value(start, exact, btf.size_of(element) if exact else 0, member.type_id if exact else 0)
    if kind == FIELD_BYTE_SIZE:
        return Value(size, exact)
    if kind == FIELD_SIGNED:
        return Value(int(_is_signed(type_)))
    if kind == FIELD_RSHIFT_U64:
        return Value(64 - bits)
    assert kind == FIELD_LSHIFT_U64
    skipped = spec.bit_offset - start * 8
    left = 64 - (skipped + bits) if btf.byteorder == "little" else (MAX_LOAD - size) * 8 + skipped
    return Value(left % (1 << 64), exact)


def _window(spec: Spec, type_: Type, bits: int) -> tuple[int, int]:
    """(offset, size) in bytes of the smallest aligned load, of the type's size or more, that covers a bitfield."""
    size, first = type_.size, spec.bit_offset
    while size:
        start = first // 8 // size * size
        if first + bits <= (start + size) * 8:
            return start, size
        if size >= MAX_LOAD:
            break
        size *= 2
    raise Error(f"{spec.btf.where}: the bitfield {spec} can't be read by one load")


def _element(btf: Btf, type_: Type) -> int:
    """The id of what the innermost arrays hold."""
    while type_.kind == kinds.ARRAY:
        type_ = btf.type(btf.resolve(type_.entries[0]))
    return type_.id


def _is_signed(type_: Type) -> bool:
    if type_.kind == kinds.INT:
        return bool(type_.entries[0] & SIGNED)
    return type_.kind in kinds.ENUMS and type_.kind_flag


def _resizable(spec: Spec, local: Value, target: Value, target_specs: list[Spec]) -> bool:
    """Whether zero-extension does no harm: to unsigned integers (of enums and structs nobody knows)."""
    if not target_specs:
        return True
    one = spec.btf.type(spec.btf.resolve(local.type_id))
    blob = target_specs[0].btf
    other = blob.type(blob.resolve(target.type_id))
    return one.kind == other.kind == kinds.INT and not _is_signed(one) and not _is_signed(other)
