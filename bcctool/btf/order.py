"""The order in which types are asked of libbpf's C printer: bpftool's, less most of the requests that print nothing.

Asking for a type prints it and all it needs. The sort key of a type is: rank, sort name, own name, hash, id; ranks put
anonymous enums first, then enums, integers, structs, function types, and what has no name last.
"""

from __future__ import annotations

from collections import Counter
from itertools import compress, pairwise

from . import kinds
from .kinds import COMPOSITES, ENUMS, KINDS, MODIFIERS, PTR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .reader import Btf

    Row = tuple[str, str, int]
    """Sort name, own name (a char for each byte), id."""

ANONYMOUS_ENUM, ENUM, NUMBER, COMPOSITE, FUNCTION, OTHER = RANKS = 0, 1, 2, 3, 4, 10

NUMBERS = frozenset((kinds.INT, kinds.FLOAT))
REFERENCES = frozenset((*MODIFIERS, PTR, kinds.ARRAY))
NAMED_REFERENCES = frozenset((kinds.TYPEDEF, kinds.TYPE_TAG))
NAMELESS_REFERENCES = REFERENCES - NAMED_REFERENCES
# A request for one of the other kinds prints nothing; one for a prototype may bring what its parameters need.
ASKED = NUMBERS | REFERENCES | COMPOSITES | ENUMS | {kinds.FWD, kinds.FUNC_PROTO}
MASK = (1 << 64) - 1


class Order:
    """The types of a blob and its base, whose references have to be in range and free of cycles (see validate).

    kinds: the kind of each by id.
    """

    def __init__(self, btf: Btf) -> None:
        self.btf = btf
        self.kinds = btf.kinds()
        self._ids = list(range(len(self.kinds)))

    def of_kinds(self, *wanted: int) -> list[int]:
        """The ids of some kinds, ascending."""
        chosen = bytes([kind in wanted for kind in range(256)])
        return list(compress(self._ids, self.kinds.translate(chosen)))

    def nameless_enums(self) -> list[int]:
        """The ids of enums without a name, ascending."""
        return [id for id in self.of_kinds(*ENUMS) if not self.btf.head(id)[0]]

    def by_id(self) -> list[int]:
        """The ids to ask for in ascending order."""
        return self.of_kinds(*ASKED)

    def sorted(self) -> list[int]:
        """The ids to ask for in bpftool's order."""
        keys = _Keys(self)
        keys.references(self.of_kinds(*NAMED_REFERENCES))
        keys.named(COMPOSITE, self.of_kinds(*COMPOSITES))
        keys.named(ENUM, self.of_kinds(*ENUMS))
        keys.named(OTHER, self.of_kinds(kinds.FWD))
        keys.nameless_composites(self.of_kinds(*COMPOSITES), self.of_kinds(kinds.FWD))
        keys.numbers(self.of_kinds(*NUMBERS))
        keys.nameless_enums(self.nameless_enums())
        return keys.ids()


class _Keys:
    """Sort keys by rank, made kind by kind, the references first; the hash only where the rest is equal.

    A reference without a name, such as `const struct s`, sorts before the struct. That matters when it leads to a
    typedef, or when several types are called s; else it moves the struct to its own place, whichever reference it is.
    """

    def __init__(self, order: Order) -> None:
        self.btf = btf = order.btf
        self.kinds = order.kinds
        self.offsets = btf.column(0)  # of names
        self.targets = btf.column(2)
        for id in order.of_kinds(kinds.ARRAY):
            self.targets[id] = btf.word(id, 3)
        self.strings = b"".join([blob.strings for blob in btf.chain()]).decode("latin-1")
        self.rows: dict[int, list[Row]] = {rank: [] for rank in RANKS}
        self.users: dict[int, list[int]] = {}  # the nameless references to a type
        self.moved: set[int] = set()  # structs that one of these sorts before
        # Without a name, and with a hash of 0: the first of what has no name. Some bring forward declarations.
        self.prototypes = order.of_kinds(kinds.FUNC_PROTO)
        self._collect_users(order.of_kinds(*NAMELESS_REFERENCES), order.of_kinds(*NAMED_REFERENCES))
        self.late: list[int] = []  # references to what comes last: forward declarations and void
        self._hashes: dict[tuple[int, bool], int] = {}
        self._name_hashes: dict[int, int] = {}

    def _collect_users(self, references: list[int], typedefs: list[int]) -> None:
        kind_of, targets, offsets, users = self.kinds, self.targets, self.offsets, self.users
        used = {targets[id] for ids in (references, typedefs) for id in ids}
        for id in references:
            target = targets[id]
            kind = kind_of[target]
            if kind == kinds.FUNC_PROTO:
                self.prototypes.append(id)
                continue
            if kind in COMPOSITES and offsets[target]:
                if kind_of[id] != PTR:
                    self.moved.add(target)
                elif id not in used:
                    continue  # most pointers: they need no more than the struct's name, and nothing needs them
            users.setdefault(target, []).append(id)

    def string(self, offset: int) -> str:
        return self.strings[offset : self.strings.index("\0", offset)]

    def leading_to(self, ids: Iterable[int]) -> list[int]:
        """The nameless references that lead to some types through others of them."""
        start = list(ids)
        found = start.copy()
        for id in found:
            found += self.users.get(id, ())
        return found[len(start) :]

    def references(self, named: list[int]) -> None:
        """Typedefs and type tags, and what leads to them or to prototypes."""
        for id in (*named, *self.leading_to(named + self.prototypes)):
            self.reference(id)

    def named(self, rank: int, ids: Iterable[int]) -> None:
        """Types that stand for themselves, if they have a name; what leads to them where its order matters."""
        offsets, moved, string, rows = self.offsets, self.moved, self.string, self.rows[rank]
        names = {id: string(offsets[id]) for id in ids if offsets[id]}
        exact = {name for name, count in Counter(names.values()).items() if count > 1}
        exact.update([sort_name for sort_name, own, _ in rows if not own])
        rows += [(name, "" if id in moved and name not in exact else name, id) for id, name in names.items()]
        for id in self.leading_to([id for id, name in names.items() if name in exact]):
            self.reference(id)

    def nameless_composites(self, ids: Iterable[int], forwards: list[int]) -> None:
        """Structs and unions without a name, which print nothing by themselves: those that bring what is not yet out.

        Before them in the order come all types but forward declarations and typedefs of such and of void.
        """
        members = {id: self.btf.words_of(id)[4::3] for id in ids if not self.offsets[id]}
        late = {*forwards, *self.leading_to(forwards), *self.late}
        while found := [id for id, parts in members.items() if not late.isdisjoint(parts)]:
            for id in found:
                del members[id]
            late.update(found, references := self.leading_to(found))
            self.rows[OTHER] += [("", "", id) for id in found]
            for id in references:
                self.reference(id)

    def numbers(self, ids: list[int]) -> None:
        """Integers and floats: they print nothing, but once asked for let typedefs behind pointers print."""
        self.rows[NUMBER] += [(name, name, id) for id in ids for name in (self.string(self.offsets[id]),)]
        for id in self.leading_to(ids):
            self.reference(id)

    def nameless_enums(self, ids: Iterable[int]) -> None:
        """Enums that sort by their first enumerator."""
        words_of = self.btf.words_of
        self.rows[ANONYMOUS_ENUM] += [(self.string((*words_of(id), 0)[3]), "", id) for id in ids]

    def reference(self, id: int) -> None:
        """Add a type that leads to another one."""
        kind_of, offsets, targets = self.kinds, self.offsets, self.targets
        kind, end, named = kind_of[id], id, False
        while kind in REFERENCES:
            if offsets[end]:
                named = True
            end = targets[end]
            kind = kind_of[end]
        name = offsets[end]
        if kind in COMPOSITES:
            rank = COMPOSITE if named or name else OTHER
        elif kind in ENUMS:
            rank = ENUM if named or name else ANONYMOUS_ENUM
        elif kind in NUMBERS:
            rank = NUMBER
        elif kind == kinds.FUNC_PROTO:
            rank = FUNCTION if named else OTHER
        else:
            rank = OTHER
            self.late.append(id)
        if rank == OTHER and not name and not self.hash(id):
            self.prototypes.append(id)
        else:
            self.rows[rank].append((self.string(name), self.string(offsets[id]), id))

    def ids(self) -> list[int]:
        """All ids in order of their keys."""
        ordered: list[int] = []
        for rank, rows in self.rows.items():
            rows.sort()
            ties = [at for at, (row, after) in enumerate(pairwise(rows)) if row[:2] == after[:2]]
            while ties:
                first = last = ties.pop()
                while ties and ties[-1] == first - 1:
                    first = ties.pop()
                equals = [(self.hash(row[2]), row) for row in rows[first : last + 2]]
                rows[first : last + 2] = [row for _, row in sorted(equals)]
            if rank == OTHER:
                ordered += sorted(self.prototypes)
            ordered += [row[2] for row in rows]
        return ordered

    def hash(self, id: int, members: bool = True) -> int:
        """What tells apart types of equal names: a hash of the names inside, and of members' types if `members`."""
        known = self._hashes.get((id, members))
        if known is not None:
            return known
        kind, value = self.kinds[id], self._mix_name(0, self.offsets[id])
        if kind in REFERENCES:
            if kind == kinds.ARRAY:
                value = _mix(value, self.btf.word(id, 5))
            value = _mix(value, self.hash(self.targets[id], members))
        elif kind in ENUMS:
            for name in self.btf.words_of(id)[3 :: KINDS[kind].entry_words]:
                value = self._mix_name(value, name)
        elif kind in COMPOSITES and members:
            words = self.btf.words_of(id)
            for name, type_id in zip(words[3::3], words[4::3], strict=True):
                value = _mix(self._mix_name(value, name), self.hash(type_id, False))
        self._hashes[id, members] = value
        return value

    def _mix_name(self, value: int, offset: int) -> int:
        if not offset:
            return value
        folded = self._name_hashes.get(offset)
        if folded is None:
            folded = 0
            for byte in self.string(offset).encode("latin-1"):
                folded = folded * 31 + byte - (byte >> 7 << 8) & MASK
            self._name_hashes[offset] = folded
        return _mix(value, folded)


def _mix(value: int, more: int) -> int:
    return value * 31 + more & MASK
