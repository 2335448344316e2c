"""The part of a kernel's BTF that CO-RE relocations of given objects depend on (`gen min_core_btf`, BTFGen).

Of structs only the members that are accessed stay, with their offsets; what nothing depends on becomes void.
"""

from __future__ import annotations

import struct
from array import array

from . import kinds
from .core import Relocator
from .core_spec import ENUM_RELOS, FIELD_RELOS, TYPE_ID_LOCAL, TYPE_MATCHES, parse_spec
from .kinds import COMPOSITES, ENUMS, HEAD_WORDS, KINDS, MODIFIERS, REFERRING
from .reader import HEADER_LEN
from .validate import NAME_COLUMN, TYPE_COLUMNS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .core_spec import Spec
    from .ext import CoreRelo
    from .reader import Btf

KIND_FLAG = 1 << 31
MAX_DEPTH = 32


def minimal(source: Btf, objects: Sequence[tuple[Btf, Iterable[CoreRelo]]]) -> bytes:
    """Raw BTF, in the byte order of `source` (a blob without a base), with what the relocations need of it.

    objects: the types of each object, and its relocations. Malformed when a relocation makes no sense.
    """
    kept = _Kept(source)
    for types, relos in objects:
        relocator = Relocator(types, [lambda: [source]])
        seen = set()
        for relo in relos:
            key = relo.type_id, relo.access, relo.kind
            if key not in seen and relo.kind != TYPE_ID_LOCAL:
                seen.add(key)
                for spec in relocator.matches(parse_spec(types, relo), relo.kind):
                    kept.take(spec, relo.kind)
    return kept.blob()


class _Kept:
    """The types that stay, by id, and of structs and unions the members."""

    def __init__(self, btf: Btf) -> None:
        self.btf = btf
        self.members: dict[int, set[int]] = {}
        self.strings = bytearray(b"\0")
        self.offsets = {b"": 0}

    def take(self, spec: Spec, relo_kind: int) -> None:
        """Keep what a relocation refers to."""
        if relo_kind == TYPE_MATCHES:
            self.take_whole(spec.root_id, False, 0)
        else:
            self.take_type(spec.root_id, follow=relo_kind not in FIELD_RELOS | ENUM_RELOS)
        if relo_kind in FIELD_RELOS:
            for step in spec.path[1:]:
                self.take_type(step.type_id)
                if step.name is not None:
                    self.members[step.type_id].add(step.index)
                    self.take_type(self.btf.type(step.type_id).entries[step.index].type_id)

    def take_type(self, id: int, follow: bool = False) -> None:
        """Keep a type and what it is made of, structs without their members; `follow` pointers too."""
        pending = [id]
        while pending:
            id = pending.pop()
            if not id:
                continue
            self.members.setdefault(id, set())
            type_ = self.btf.type(id)
            if type_.kind in MODIFIERS or (type_.kind == kinds.PTR and follow):
                pending.append(type_.type_id)
            elif type_.kind == kinds.ARRAY:
                pending += type_.entries[:2]
            elif type_.kind == kinds.FUNC_PROTO:
                pending += [type_.type_id, *[type_id for _, type_id in type_.entries]]

    def take_whole(self, id: int, behind_pointer: bool, depth: int) -> None:
        """Keep a type with all members; structs that pointers lead to stay without."""
        if not id or depth > MAX_DEPTH:
            return
        seen = id in self.members
        self.members.setdefault(id, set())
        type_ = self.btf.type(id)
        if type_.kind in COMPOSITES and not behind_pointer:
            if len(self.members[id]) < type_.vlen:
                self.members[id].update(range(type_.vlen))
                for member in type_.entries:
                    self.take_whole(member.type_id, False, depth + 1)
        elif type_.kind in MODIFIERS or type_.kind == kinds.PTR:
            self.take_whole(type_.type_id, behind_pointer or type_.kind == kinds.PTR, depth + 1)
        elif type_.kind == kinds.ARRAY:
            self.take_type(type_.entries[1])
            self.take_whole(type_.entries[0], behind_pointer, depth + 1)
        elif type_.kind == kinds.FUNC_PROTO and not seen:
            for part in (type_.type_id, *[type_id for _, type_id in type_.entries]):
                self.take_whole(part, behind_pointer, depth + 1)

    def string(self, offset: int) -> int:
        """The place of a string in the new blob."""
        text = self.btf.raw_string(offset) if offset else b""
        if text not in self.offsets:
            self.offsets[text] = len(self.strings)
            self.strings += text + b"\0"
        return self.offsets[text]

    def blob(self) -> bytes:
        """The kept types with new ids, in the order of the old ones."""
        ids = sorted(self.members)
        new = {old: at for at, old in enumerate(ids, 1)}
        words = array("I")
        for id in ids:
            words.extend(self.renumbered(id, new))
        order = "<" if self.btf.byteorder == "little" else ">"
        types = struct.pack(f"{order}{len(words)}I", *words)
        areas = HEADER_LEN, 0, len(types), len(types), len(self.strings)
        return struct.pack(order + "HBB5I", 0xEB9F, 1, 0, *areas) + types + self.strings

    def renumbered(self, id: int, new: dict[int, int]) -> list[int]:
        """The words of a type in the new blob."""
        name, info, third, *tail = self.btf.words_of(id)
        kind = kinds.kind_of(info)
        if kind in REFERRING:
            third = new.get(third, 0)
        if kind in COMPOSITES:
            stay = sorted(self.members[id])
            tail = [word for index in stay for word in tail[index * 3 : index * 3 + 3]]
            info = info & KIND_FLAG | kind << 24 | len(stay)
        row = KINDS[kind]
        stride = row.entry_words or row.words
        for at in range(0, len(tail), stride or 1):
            if kind in NAME_COLUMN:
                tail[at + NAME_COLUMN[kind]] = self.string(tail[at + NAME_COLUMN[kind]])
            for column in TYPE_COLUMNS.get(kind, ()):
                tail[at + column] = new.get(tail[at + column], 0)
        assert kind in ENUMS or HEAD_WORDS + len(tail) == HEAD_WORDS + row.words + row.entry_words * kinds.vlen_of(info)
        return [self.string(name), info, third, *tail]
