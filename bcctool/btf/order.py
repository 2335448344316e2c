"""The order in which types are asked of libbpf's C printer: bpftool's, less the requests that print nothing.

Asking for a type prints it and all it needs. The sort key of a type is: rank, sort name, own name, hash, id; ranks put
anonymous enums first, then enums, integers, structs, function types, and what has no name last.
"""

from __future__ import annotations

from . import kinds
from .kinds import COMPOSITES, ENUMS, KINDS, MODIFIERS, PTR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .reader import Btf

    Key = tuple[int, bytes, bytes]

ANONYMOUS_ENUM, ENUM, NUMBER, COMPOSITE, FUNCTION, OTHER = 0, 1, 2, 3, 4, 10  # ranks

NAMELESS = (OTHER, b"", b"")
NUMBERS = frozenset((kinds.INT, kinds.FLOAT))
REFERENCES = frozenset((*MODIFIERS, PTR, kinds.ARRAY))
# A request for one of these prints nothing.
SILENT = frozenset((kinds.VOID, kinds.INT, kinds.FLOAT, kinds.FUNC, kinds.VAR, kinds.DATASEC, kinds.DECL_TAG))
ASKED = REFERENCES | COMPOSITES | ENUMS | {kinds.FWD}
MASK = (1 << 64) - 1


class Order:
    """The types of a blob and its base, whose references have to be in range and free of cycles (see validate).

    kinds: the kind of each by id.
    """

    def __init__(self, btf: Btf) -> None:
        self.btf = btf
        self.kinds = btf.kinds()

    def of_kind(self, kind: int) -> list[int]:
        """The ids of one kind, ascending."""
        ids, find = [], self.kinds.find
        id = find(kind)
        while id >= 0:
            ids.append(id)
            id = find(kind, id + 1)
        return ids

    def by_id(self) -> list[int]:
        """The ids to ask for in ascending order."""
        return [id for id, kind in enumerate(self.kinds) if kind not in SILENT]

    def sorted(self) -> list[int]:
        """The ids to ask for in bpftool's order."""
        names, targets = self._columns()
        requests: dict[Key, list[int]] = {}
        # Prototypes have neither a name nor a hash: they come first among the nameless, in order of their ids.
        prototypes = self.of_kind(kinds.FUNC_PROTO)
        keys = _Keys(self.btf, self.kinds, names, targets)
        for id, kind in enumerate(self.kinds):
            if kind not in ASKED:
                continue
            if kind == PTR and self.kinds[targets[id]] in COMPOSITES and names[targets[id]]:
                continue  # most pointers: nothing is to be printed for them
            key = keys.reference(id) if kind in REFERENCES else keys.own(id, kind)
            if key == NAMELESS:
                prototypes.append(id)
            elif key is not None:
                requests.setdefault(key, []).append(id)
        order: list[int] = []
        for key in sorted((*requests, NAMELESS)):
            if key == NAMELESS:
                order += sorted(prototypes)
            elif keys.direct.issuperset(requests[key]):
                order.append(requests[key][0])  # without a typedef between, all ask for the same type
            elif len(requests[key]) > 1:
                order += sorted(requests[key], key=lambda id: (keys.hash(id, True), id))
            else:
                order += requests[key]
        return order

    def _columns(self) -> tuple[list[int], list[int]]:
        """Name offset and target (of an array: its element) of every type by id."""
        names, targets = [0], [0]
        for blob in self.btf.chain():
            words = blob.words
            names += [words[at] for at in blob.index]
            targets += [words[at + 2] for at in blob.index]
        for id in self.of_kind(kinds.ARRAY):
            targets[id] = self.btf.words_of(id)[3]
        return names, targets


class _Keys:
    """Sort keys but for the hash. direct: references that ask for one type alone."""

    def __init__(self, btf: Btf, kinds: bytes, names: list[int], targets: list[int]) -> None:
        self.btf = btf
        self.kinds = kinds
        self.names = names
        self.targets = targets
        self.direct: set[int] = set()
        self._hashes: dict[tuple[int, bool], int] = {}
        self._name_hashes: dict[int, int] = {}
        self.strings = b"".join([blob.strings for blob in btf.chain()])

    def string(self, offset: int) -> bytes:
        return self.strings[offset : self.strings.index(b"\0", offset)]

    def own(self, id: int, kind: int) -> Key | None:
        """The key of a type that stands for itself, None if others print it."""
        offset, string = self.names[id], self.string
        if offset:
            name = string(offset)
            return (ENUM if kind in ENUMS else COMPOSITE if kind in COMPOSITES else OTHER), name, name
        if kind not in ENUMS:
            return None
        words = self.btf.words_of(id)
        return ANONYMOUS_ENUM, string(words[3]) if len(words) > 3 else b"", b""

    def reference(self, id: int) -> Key | None:
        """The key of a type that leads to another one, None if asking for it prints nothing new."""
        kind_of, names, targets = self.kinds, self.names, self.targets
        kind, end = kind_of[id], id
        named = prints = through_pointer = typedef = False
        while kind in REFERENCES:
            if names[end]:
                named = True
            if kind == PTR:
                through_pointer = True
            elif kind == kinds.ARRAY:
                through_pointer = False
            elif kind == kinds.TYPEDEF:
                typedef = True
                prints = prints or not through_pointer
            end = targets[end]
            kind = kind_of[end]
        name = names[end]
        if kind in COMPOSITES:
            if not (prints or not name or not through_pointer):
                return None
            rank = COMPOSITE if named or name else OTHER
        elif kind in ENUMS:
            rank = ENUM if named or name else ANONYMOUS_ENUM
        elif kind == kinds.FUNC_PROTO:
            rank = FUNCTION if named else OTHER
        elif kind == kinds.FWD:
            rank = OTHER
        elif prints:
            rank = NUMBER if kind in NUMBERS else OTHER
        else:
            return None
        if name and not typedef:
            self.direct.add(id)
        return rank, self.string(name), self.string(names[id])

    def hash(self, id: int, members: bool) -> int:
        """What tells apart types of equal names: a hash of the names inside, and of members' types if `members`."""
        known = self._hashes.get((id, members))
        if known is not None:
            return known
        kind, value = self.kinds[id], self.mix_name(0, self.names[id])
        if kind in REFERENCES:
            if kind == kinds.ARRAY:
                value = _mix(value, self.btf.words_of(id)[5])
            value = _mix(value, self.hash(self.targets[id], members))
        elif kind in ENUMS:
            for name in self.btf.words_of(id)[3 :: KINDS[kind].entry_words]:
                value = self.mix_name(value, name)
        elif kind in COMPOSITES and members:
            words = self.btf.words_of(id)
            for name, type_id in zip(words[3::3], words[4::3], strict=True):
                value = _mix(self.mix_name(value, name), self.hash(type_id, False))
        self._hashes[id, members] = value
        return value

    def mix_name(self, value: int, offset: int) -> int:
        if not offset:
            return value
        folded = self._name_hashes.get(offset)
        if folded is None:
            folded = 0
            for byte in self.string(offset):
                folded = folded * 31 + byte - (byte >> 7 << 8)
            self._name_hashes[offset] = folded
        return _mix(value, folded)


def _mix(value: int, more: int) -> int:
    return value * 31 + more & MASK
