"""Whether a BTF blob is sound, before code that trusts it sees it: the rules of the kernel's Documentation/bpf/btf.rst.

The checks run over whole columns of the type section where they can: a kernel's 126,000 types are checked at once.
"""

from __future__ import annotations

from collections import defaultdict

from ..errors import Malformed
from . import kinds
from .kinds import COMPOSITES, HEAD_WORDS, KINDS, MODIFIERS, REFERRING, kind_flag_of, kind_of, vlen_of
from .reader import MAX_SIZE, POINTER_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .reader import Btf

MAX_HEIGHT = 512  # of types inside types: readers recurse that deep
WALKING = -1
TEXT_PER_WORD = 16  # names and paddings that C text may have for each word of BTF

HAS_VLEN = frozenset((*[kind for kind, row in enumerate(KINDS) if row.entry_words], kinds.FUNC))
HAS_FLAG = frozenset((kinds.STRUCT, kinds.UNION, kinds.ENUM, kinds.FWD, kinds.DECL_TAG, kinds.TYPE_TAG, kinds.ENUM64))
# A FUNC too, says the kernel; but gcc 12 leaves the names of some out, and no reader looks at them.
NAMED = frozenset((kinds.FWD, kinds.TYPEDEF, kinds.VAR, kinds.DATASEC, kinds.DECL_TAG, kinds.TYPE_TAG))
SIZES = {
    kinds.INT: frozenset((1, 2, 4, 8, 16)),
    kinds.ENUM: frozenset((1, 2, 4, 8)),
    kinds.FLOAT: frozenset((2, 4, 8, 12, 16)),
    kinds.ENUM64: frozenset((1, 2, 4, 8)),
}
MAX_LINKAGE = 2
SIZELESS = frozenset(
    (kinds.VOID, kinds.FWD, kinds.FUNC, kinds.FUNC_PROTO, kinds.VAR, kinds.DATASEC, kinds.DECL_TAG)
)  # what no member or element can be

# Which words of an entry (or of what follows the head) are names, and which are type ids.
NAME_COLUMN = {kinds.STRUCT: 0, kinds.UNION: 0, kinds.ENUM: 0, kinds.FUNC_PROTO: 0, kinds.ENUM64: 0}
TYPE_COLUMNS = {
    kinds.ARRAY: (0, 1), kinds.STRUCT: (1,), kinds.UNION: (1,), kinds.FUNC_PROTO: (1,), kinds.DATASEC: (0,)
}  # fmt: skip


def validate(btf: Btf) -> None:
    """Check the blob's own types (its base is a blob of its own); raises Malformed that names the type.

    Names and type ids are in range, each kind's fields make sense, members lie inside their struct, no type contains
    itself, and nesting and the length of the types as C text are bounded.
    """
    table = _Table(btf)
    for info, ids in table.groups.items():
        _check_fields(table, info, ids)
        _check_references(table, info, ids)
    _check_targets(table)
    _Shapes(table).check()


class _Table:
    """The type section as lists; `kinds` holds those of the base too, by id."""

    def __init__(self, btf: Btf) -> None:
        self.btf = btf
        self.start = btf.start_id
        self.words = btf.words.tolist()
        self.index = btf.index
        words = self.words
        infos = [words[at + 1] for at in self.index]
        self.kinds = btf.kinds()
        self.groups: defaultdict[int, list[int]] = defaultdict(list)
        for id, info in enumerate(infos, self.start):
            self.groups[info].append(id)
        self.string_end = btf.start_string + len(btf.strings)

    def head(self, id: int, word: int) -> int:
        return self.words[self.index[id - self.start] + word]

    def tail(self, id: int) -> list[int]:
        """The words behind the head."""
        start = self.index[id - self.start]
        own = id - self.start + 1
        end = self.index[own] if own < len(self.index) else len(self.words)
        return self.words[start + HEAD_WORDS : end]

    def is_forward(self, id: int) -> bool:
        """Whether a pointer to this type needs but a name: qualifiers and typedefs, then a struct or union with a name.

        So do the base's types, which cannot refer back to these.
        """
        for _ in range(MAX_HEIGHT):
            kind = self.kinds[id]
            if kind not in MODIFIERS or id < self.start:
                return id < self.start or (kind in COMPOSITES and bool(self.head(id, 0)))
            id = self.head(id, 2)
        raise self.malformed(id, "typedefs and qualifiers form a cycle or too long a chain")

    def of_kind(self, kind: int) -> list[int]:
        return [id for info, ids in self.groups.items() if kind_of(info) == kind for id in ids]

    def malformed(self, id: int, reason: str) -> Malformed:
        return Malformed(self.btf.where, f"type [{id}] {KINDS[self.kinds[id]].name}", reason)


def _check_fields(table: _Table, info: int, ids: list[int]) -> None:
    """What the words of each type have to be by themselves; all `ids` share `info`."""
    kind, vlen = kind_of(info), vlen_of(info)
    first = ids[0]
    if vlen and kind not in HAS_VLEN:
        raise table.malformed(first, f"vlen {vlen}, but its kind has no entries")
    if vlen > 0xFFFF:
        raise table.malformed(first, f"vlen {vlen} is too large")
    if kind == kinds.FUNC and vlen > MAX_LINKAGE:
        raise table.malformed(first, f"unknown linkage {vlen}")
    if kind_flag_of(info) and kind not in HAS_FLAG:
        raise table.malformed(first, "kind_flag is set, but means nothing for its kind")
    sizes, check = SIZES.get(kind), _FIELDS.get(kind)
    if sizes is not None:
        for id in ids:
            if table.head(id, 2) not in sizes:
                raise table.malformed(id, f"size {table.head(id, 2)}")
    if check is not None:
        for id in ids:
            reason = check(table, id, table.tail(id))
            if reason:
                raise table.malformed(id, reason)


def _int_reason(table: _Table, id: int, tail: list[int]) -> str:
    bit_offset, nr_bits = tail[0] >> 16 & 0xFF, tail[0] & 0xFF
    if not 0 < nr_bits <= 128 or bit_offset + nr_bits > table.head(id, 2) * 8:
        return f"{nr_bits} bits at bit {bit_offset} of {table.head(id, 2)} bytes"
    return ""


def _variable_reason(table: _Table, id: int, tail: list[int]) -> str:
    return "" if tail[0] <= MAX_LINKAGE else f"unknown linkage {tail[0]}"


def _section_reason(table: _Table, id: int, tail: list[int]) -> str:
    end = table.head(id, 2) or MAX_SIZE  # object files leave it to the loader
    for type_id, offset, size in zip(tail[0::3], tail[1::3], tail[2::3], strict=True):
        if offset + size > end:
            return f"{size} bytes at offset {offset} lie outside its {end} bytes"
        if type_id < len(table.kinds) and table.kinds[type_id] not in (kinds.VAR, kinds.FUNC):
            return f"entry [{type_id}] is neither variable nor function"
    return ""


def _tag_reason(table: _Table, id: int, tail: list[int]) -> str:
    target = table.head(id, 2)
    if tail[0] == 0xFFFFFFFF or not table.start <= target < len(table.kinds):
        return ""
    kind = table.kinds[target]
    if kind == kinds.FUNC:
        target = table.head(target, 2)
    if not table.start <= target < len(table.kinds) or kind in (kinds.VAR, kinds.TYPEDEF):
        return f"component {tail[0]} of a type without components"
    return "" if tail[0] < vlen_of(table.head(target, 1)) else f"component {tail[0]} does not exist"


_FIELDS: dict[int, Callable[[_Table, int, list[int]], str]] = {
    kinds.INT: _int_reason,
    kinds.VAR: _variable_reason,
    kinds.DATASEC: _section_reason,
    kinds.DECL_TAG: _tag_reason,
}


def _check_references(table: _Table, info: int, ids: list[int]) -> None:
    """Names and type ids in range; all `ids` share `info`, so their entries stand in the same columns."""
    words, index, start = table.words, table.index, table.start
    kind = kind_of(info)
    row = KINDS[kind]
    tail = row.words + row.entry_words * vlen_of(info)
    positions = [index[id - start] for id in ids]

    def check(values: Sequence[int], end: int, what: str, per_type: int) -> None:
        if values and max(values) >= end:
            at = next(at for at, value in enumerate(values) if value >= end)
            raise table.malformed(ids[at // per_type], f"{what} {values[at]} is out of range")

    names = [words[at] for at in positions]
    check(names, table.string_end, "name offset", 1)
    if kind in NAMED and not min(names):
        raise table.malformed(ids[names.index(0)], "has no name")
    if kind in REFERRING:
        check([words[at + 2] for at in positions], len(table.kinds), "type id", 1)
    if tail and (kind in NAME_COLUMN or kind in TYPE_COLUMNS):
        flat: list[int] = []
        for at in positions:
            flat += words[at + HEAD_WORDS : at + HEAD_WORDS + tail]
        stride = row.entry_words or row.words
        if kind in NAME_COLUMN:
            check(flat[NAME_COLUMN[kind] :: stride], table.string_end, "name offset", tail // stride)
        for column in TYPE_COLUMNS.get(kind, ()):
            check(flat[column::stride], len(table.kinds), "type id", tail // stride)


def _check_targets(table: _Table) -> None:
    """What a FUNC refers to is a prototype, an array counts in integers."""
    for id in table.of_kind(kinds.FUNC):
        if table.kinds[table.head(id, 2)] != kinds.FUNC_PROTO:
            raise table.malformed(id, f"type [{table.head(id, 2)}] is no prototype")


class _Shapes:
    """Types that contain or spell out others: no cycles, bounded height, members that fit, bounded C text.

    A pointer to a named struct needs no more than its name, so it ends the walk, as does a prototype's parameter.
    """

    def __init__(self, table: _Table) -> None:
        self.table = table
        self.size = _own_sizes(table)
        self.sizeless = [kind in SIZELESS for kind in table.kinds]  # qualified ones too, once they are finished
        self.height = [0] * len(table.kinds)  # 0: not seen, WALKING, else of what it contains
        self.text = [1] * len(table.kinds)  # words of C that a reference to the type takes
        self.total_text = 0
        for id in table.of_kind(kinds.ENUM) + table.of_kind(kinds.ENUM64):
            if not table.head(id, 0):
                self.text[id] += vlen_of(table.head(id, 1))

    def check(self) -> None:
        table = self.table
        for kind in _PARTS:
            for id in table.of_kind(kind):
                if not self.height[id]:
                    self.walk(id)
        if self.total_text > TEXT_PER_WORD * len(table.words) + 4096:
            raise Malformed(table.btf.where, "types", "they repeat or pad each other so often that no use is left")

    def walk(self, root: int) -> None:
        """Visit a type after all that it contains, without recursion."""
        height, kind_of_id, start = self.height, self.table.kinds, self.table.start
        stack, parts_of = [root], {}
        while stack:
            id = stack[-1]
            if height[id] > 0:
                stack.pop()
                continue
            if height[id] == 0:
                parts = parts_of[id] = _PARTS[kind_of_id[id]](self.table, id)
                height[id] = WALKING
                pending = [part for part in parts if part >= start and height[part] <= 0 and kind_of_id[part] in _PARTS]
                if pending:
                    if any(height[part] == WALKING for part in pending):
                        raise self.table.malformed(id, "contains itself")
                    stack += pending
                    continue
            self.finish(id, parts_of.pop(id))
            stack.pop()

    def finish(self, id: int, parts: list[int]) -> None:
        table, kind = self.table, self.table.kinds[id]
        self.height[id] = 1 + max([self.height[part] for part in parts], default=0)
        if self.height[id] > MAX_HEIGHT:
            raise table.malformed(id, f"more than {MAX_HEIGHT} types inside each other")
        if kind in MODIFIERS:
            self.sizeless[id] = self.sizeless[parts[0]]
        elif kind in COMPOSITES or kind == kinds.ARRAY:
            for part in parts:
                if self.sizeless[part]:
                    raise table.malformed(id, f"holds a type [{part}], which has no size")
        text = sum([self.text[part] for part in parts])
        if kind in COMPOSITES:
            text += self.members(id, parts)
        elif kind == kinds.ARRAY:
            self.size[id] = table.tail(id)[2] * self.size[parts[0]]
            if self.size[id] > MAX_SIZE:
                raise table.malformed(id, "is too large")
        elif kind in MODIFIERS:
            self.size[id] = self.size[parts[0]]
        self.total_text += text
        if kind == kinds.TYPEDEF or (kind in COMPOSITES and table.head(id, 0)):
            return
        self.text[id] += text

    def int_bits(self, id: int, bits: int) -> int:
        """The bits that a member's INT really has: BTF older than kind_flag keeps bitfields there."""
        for _ in range(MAX_HEIGHT):
            kind = self.table.kinds[id]
            if kind not in MODIFIERS or id < self.table.start:
                break
            id = self.table.head(id, 2)
        return self.table.tail(id)[0] & 0xFF if kind == kinds.INT and id >= self.table.start else bits

    def members(self, id: int, parts: list[int]) -> int:
        """Check where the members lie; the number of paddings that C needs between them."""
        table, size = self.table, self.size
        flag, nr_bytes = kind_flag_of(table.head(id, 1)), table.head(id, 2)
        end = padding = 0
        for part, offset in zip(parts, table.tail(id)[2::3], strict=True):
            bits = size[part] * 8
            if flag and offset >> 24:
                offset, bitfield = offset & 0xFFFFFF, offset >> 24
                if bitfield > bits:
                    raise table.malformed(id, f"a bitfield of {bitfield} bits in type [{part}] of {bits} bits")
                bits = bitfield
            if offset + bits > nr_bytes * 8 and offset + self.int_bits(part, bits) > nr_bytes * 8:
                raise table.malformed(id, f"{bits} bits at bit {offset} lie outside its {nr_bytes} bytes")
            if offset > end:
                padding += (offset - end) // 64
            end = offset + bits
        return padding + max(0, nr_bytes * 8 - end) // 64


def _own_sizes(table: _Table) -> list[int]:
    """Size by id where it is written in the type; for the base's types where they have one."""
    sizes = [0] * len(table.kinds)
    for info, ids in table.groups.items():
        if kind_of(info) in kinds.SIZED:
            for id in ids:
                sizes[id] = table.head(id, 2)
        elif kind_of(info) == kinds.PTR:
            for id in ids:
                sizes[id] = POINTER_SIZE
    return sizes


def _target(table: _Table, id: int) -> list[int]:
    return [table.head(id, 2)]


def _element(table: _Table, id: int) -> list[int]:
    return table.tail(id)[:1]


def _members(table: _Table, id: int) -> list[int]:
    return table.tail(id)[1::3]


def _pointed_to(table: _Table, id: int) -> list[int]:
    return [] if table.is_forward(table.head(id, 2)) else [table.head(id, 2)]


def _signature(table: _Table, id: int) -> list[int]:
    return [part for part in (table.head(id, 2), *table.tail(id)[1::2]) if not table.is_forward(part)]


_PARTS: dict[int, Callable[[_Table, int], list[int]]] = {
    kinds.PTR: _pointed_to,
    kinds.ARRAY: _element,
    kinds.STRUCT: _members,
    kinds.UNION: _members,
    kinds.TYPEDEF: _target,
    kinds.VOLATILE: _target,
    kinds.CONST: _target,
    kinds.RESTRICT: _target,
    kinds.FUNC_PROTO: _signature,
    kinds.VAR: _target,
    kinds.TYPE_TAG: _target,
}
