"""Whether types of two blobs stand for the same thing: the rules by which CO-RE finds a local type in the kernel.

Names are compared without flavors. Three questions: are fields compatible (any integer is to any other), are types
(kinds agree all the way down), do types match (members, sizes and signs agree as well).
"""

from __future__ import annotations

from functools import cached_property

from ..errors import Malformed
from . import kinds
from .core_spec import ENUM_RELOS, SEPARATOR, TYPE_MATCHES, TYPE_RELOS, Spec, Step, essential_name, is_flexible
from .kinds import COMPOSITES, ENUMS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .reader import Btf, Member, Type

MAX_DEPTH = 32
MAX_WORK = 200_000  # pairs of types that one comparison may look at


class Candidates:
    """The types of a target blob that may stand for local ones: of the same kind, and of the same name but for flavors.

    Without those of the target's base.
    """

    def __init__(self, target: Btf) -> None:
        self.target = target
        self._found: dict[str, list[int]] = {}

    @cached_property
    def flavors(self) -> dict[str, set[int]]:
        """The string offsets of names with a flavor, by the rest of the name."""
        found: dict[str, set[int]] = {}
        for offset, name in self.target.strings_with(SEPARATOR.encode()):
            found.setdefault(essential_name(name), set()).add(offset)
        return found

    def of(self, type_: Type) -> list[int]:
        """The ids of those that may stand for a local type."""
        name = essential_name(type_.name)
        if name not in self._found:
            flavored = self.target.own_ids(self.flavors.get(name, set()))
            self._found[name] = sorted({*self.target.own_named(name), *flavored})
        wanted = ENUMS if type_.kind in ENUMS else (type_.kind,)
        return [id for id in self._found[name] if self.target.kind(id) in wanted]


def match_spec(local: Spec, target: Btf, id: int, relo_kind: int) -> Spec | None:
    """What a local spec refers to in the target's type; None when there is no such thing."""
    spec = Spec(target, id)
    if relo_kind in TYPE_RELOS:
        compare = types_match if relo_kind == TYPE_MATCHES else types_are_compatible
        return spec if compare(local.btf, local.root_id, target, id) else None
    if relo_kind in ENUM_RELOS:
        return spec if _take_enumerator(local, spec) else None
    for at, step in enumerate(local.steps):
        reached = target.resolve(id)
        if step.name is not None:
            member = _take_member(local.btf, step, spec, reached, 0)
            if member is None:
                return None
            id = member.type_id
            continue
        if at:
            array = target.type(reached)
            if array.kind != kinds.ARRAY or (step.index >= array.entries[2] and not is_flexible(spec, array)):
                return None
            reached = target.resolve(array.entries[0])
        spec.take(Step(reached, step.index, None), step.index * target.size_of(reached) * 8)
        id = reached
    return spec


def _take_enumerator(local: Spec, spec: Spec) -> bool:
    enum = spec.btf.type(spec.btf.resolve(spec.root_id))
    name = essential_name(local.steps[0].name or "")
    if enum.kind in ENUMS:
        for index, (other, _) in enumerate(enum.entries):
            if essential_name(other) == name:
                spec.take(Step(enum.id, index, other), 0)
                return True
    return False


def _take_member(local: Btf, step: Step, spec: Spec, id: int, depth: int) -> Member | None:
    """Go into the member of a target's struct that a step names, through anonymous ones too."""
    struct = spec.btf.type(id)
    if struct.kind not in COMPOSITES or depth > MAX_DEPTH:
        return None
    wanted = local.type(step.type_id).entries[step.index]
    for index, member in enumerate(struct.entries):
        if member.name and member.name != step.name:
            continue
        mark = spec.mark()
        spec.take(Step(id, index, member.name), member.bit_offset)
        if not member.name:
            found = _take_member(local, step, spec, spec.btf.resolve(member.type_id), depth + 1)
            if found is not None:
                return found
        elif fields_are_compatible(local, wanted.type_id, spec.btf, member.type_id):
            return member  # type: ignore[no-any-return]
        spec.back(mark)
        if member.name:
            return None
    return None


def kinds_agree(one: Type, other: Type) -> bool:
    """Whether two types are of the same kind; enums of any width are."""
    return one.kind == other.kind or (one.kind in ENUMS and other.kind in ENUMS)


def names_agree(one: str, other: str) -> bool:
    """Whether two names are the same but for flavors, or one is missing."""
    return not one or not other or essential_name(one) == essential_name(other)


def fields_are_compatible(local: Btf, local_id: int, target: Btf, target_id: int) -> bool:
    """Whether a field of the one type can be read where the other is."""
    for _ in range(MAX_DEPTH):
        one, other = local.type(local.resolve(local_id)), target.type(target.resolve(target_id))
        if one.kind in COMPOSITES and other.kind in COMPOSITES:
            return True
        if not kinds_agree(one, other):
            return False
        if one.kind != kinds.ARRAY:
            break
        local_id, target_id = one.entries[0], other.entries[0]
    if one.kind == kinds.INT:
        return not one.entries[1] and not other.entries[1]  # bit offsets: how old compilers had bitfields
    if one.kind in ENUMS or one.kind == kinds.FWD:
        return names_agree(one.name, other.name)
    return one.kind in (kinds.PTR, kinds.FLOAT)


def types_are_compatible(local: Btf, local_id: int, target: Btf, target_id: int) -> bool:
    """Whether two types are of the same kinds all the way down; names, members and sizes play no part."""
    return _Comparison(local, target).compatible(local_id, target_id, 0)


def types_match(local: Btf, local_id: int, target: Btf, target_id: int) -> bool:
    """Whether a local type is the target's, or a part of it: members by name, sizes and signs of integers."""
    return _Comparison(local, target).match(local_id, target_id, False, 0)


class _Comparison:
    """One comparison of types, whose work is bounded."""

    def __init__(self, local: Btf, target: Btf) -> None:
        self.local = local
        self.target = target
        self.work = 0

    def pair(self, local_id: int, target_id: int, depth: int) -> tuple[Type, Type]:
        """The types behind typedefs and qualifiers."""
        self.work += 1
        if depth > MAX_DEPTH or self.work > MAX_WORK:
            raise Malformed(self.local.where, f"type [{local_id}]", "nests too deeply to be compared")
        local, target = self.local, self.target
        return local.type(local.resolve(local_id)), target.type(target.resolve(target_id))

    def compatible(self, local_id: int, target_id: int, depth: int) -> bool:
        one, other = self.pair(local_id, target_id, depth)
        if not kinds_agree(one, other):
            return False
        if one.kind == kinds.INT:
            return not one.entries[1] and not other.entries[1]
        if one.kind == kinds.PTR:
            return self.compatible(one.type_id, other.type_id, depth + 1)
        if one.kind == kinds.ARRAY:
            return self.compatible(one.entries[0], other.entries[0], depth + 1)
        if one.kind == kinds.FUNC_PROTO:
            return one.vlen == other.vlen and all(
                self.compatible(mine, yours, depth + 1) for mine, yours in _signatures(one, other)
            )
        return one.kind in COMPOSITES or one.kind in ENUMS or one.kind in (kinds.VOID, kinds.FWD)

    def match(self, local_id: int, target_id: int, behind_pointer: bool, depth: int) -> bool:
        one, other = self.pair(local_id, target_id, depth)
        if not names_agree(one.name, other.name):
            return False
        if one.kind in ENUMS:
            return other.kind in ENUMS and self.enumerators_match(one, other)
        if behind_pointer and (one.kind in COMPOSITES or one.kind == kinds.FWD):
            return _forward_kind(one) == _forward_kind(other)
        if one.kind != other.kind:
            return False
        if one.kind == kinds.INT:
            return one.size == other.size and one.entries[0] & 1 == other.entries[0] & 1
        if one.kind == kinds.PTR:
            return self.match(one.type_id, other.type_id, True, depth + 1)
        if one.kind == kinds.ARRAY:
            mine, yours = one.entries, other.entries
            return bool(mine[2] == yours[2]) and self.match(mine[0], yours[0], behind_pointer, depth + 1)
        if one.kind == kinds.FUNC_PROTO:
            return one.vlen == other.vlen and all(
                self.match(mine, yours, behind_pointer, depth + 1) for mine, yours in _signatures(one, other)
            )
        if one.kind in COMPOSITES:
            return self.members_match(one, other, depth)
        return one.kind == kinds.VOID or (one.kind == kinds.FWD and one.kind_flag == other.kind_flag)

    def enumerators_match(self, one: Type, other: Type) -> bool:
        names = {essential_name(name) for name, _ in other.entries}
        return one.vlen <= other.vlen and all(essential_name(name) in names for name, _ in one.entries)

    def members_match(self, one: Type, other: Type, depth: int) -> bool:
        """Whether every local member has one of its name in the target that matches."""
        return all(
            any(
                names_agree(member.name, theirs.name) and self.match(member.type_id, theirs.type_id, False, depth + 1)
                for theirs in other.entries
            )
            for member in one.entries
        )


def _signatures(one: Type, other: Type) -> list[tuple[int, int]]:
    """The types of parameters and result, side by side."""
    pairs = [(mine, yours) for (_, mine), (_, yours) in zip(one.entries, other.entries, strict=True)]
    return [*pairs, (one.type_id, other.type_id)]


def _forward_kind(type_: Type) -> int:
    """What a forward declaration stands for; other types stand for themselves."""
    if type_.kind == kinds.FWD:
        return kinds.UNION if type_.kind_flag else kinds.STRUCT
    return type_.kind
