"""Declarations of variables and members in C, one after another as libbpf's btf_dump writes them.

What a blob names and C could not is refused, so that nothing of it can become code.
"""

from __future__ import annotations

from collections import defaultdict

from ..errors import Malformed
from ..escapes import printable
from . import kinds
from .c_layout import MAX_DEPTH, UNITS, Layout, padding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .reader import Btf, Member, Type

QUALIFIERS = {kinds.CONST: "const", kinds.VOLATILE: "volatile", kinds.RESTRICT: "restrict", kinds.TYPE_TAG: ""}
TAGS = {kinds.STRUCT: "struct", kinds.UNION: "union", kinds.ENUM: "enum", kinds.ENUM64: "enum"}
ENUM_MODES = {1: "byte", 2: "HI", 8: "word"}  # by size
MAX_CHAIN = 64  # of pointers to pointers, arrays of arrays
MAX_INDENT = 13
MAX_PARTS = 1 << 17  # members, enumerators, parameters and paddings of one file
PADDING_BITS = UNITS[0][1]
WIDE = 1 << 31  # enumerators from here on make an enum wide by themselves


def is_identifier(name: str) -> bool:
    """Whether C (with compilers that take letters of all languages) can have such a name."""
    return name.isidentifier()


class Declarations:
    """The declarations of one C file: types and enumerators of the same name are told apart as `name___2`.

    The blob has to be sound (btf.validate). Raises Malformed for a name that is no C identifier, and for types nested
    out of all proportion.
    """

    def __init__(self, btf: Btf) -> None:
        self.btf = btf
        self.layout = Layout(btf)
        self._depth = self._parts = 0
        self._qualified = False
        self._names: dict[int, str] = {}
        self._tags: defaultdict[str, int] = defaultdict(int)
        self._identifiers: defaultdict[str, int] = defaultdict(int)

    def declare(self, id: int, name: str = "", indent: int = 0, qualified: bool = False) -> str:
        """`int (*name)[2]`; without a name the type alone. indent: tabs of the line that it will stand on.

        qualified: with const, volatile and restrict, which are left out otherwise, wherever they stand.
        """
        self._qualified = qualified
        return self._declare(id, name, indent)

    def identifier(self, name: str, what: str) -> str:
        """The name, if it is one."""
        if not is_identifier(name):
            raise self._malformed(what, f"the name '{printable(name)}' is no C identifier")
        return name

    def _malformed(self, what: str, reason: str) -> Malformed:
        return Malformed(self.btf.where, what, reason)

    def _count(self, parts: int) -> None:
        self._parts += parts
        if self._parts > MAX_PARTS:
            raise self._malformed("types", f"more than {MAX_PARTS} members, parameters and the like to declare")

    def _declare(self, id: int, name: str, indent: int) -> str:
        base, *rest = self._chain(id)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._malformed(f"type [{id}]", f"more than {MAX_DEPTH} types inside each other")
        words = []
        while rest and rest[0].kind in QUALIFIERS:
            words.append(QUALIFIERS[rest.pop(0).kind] + " ")
        text = "".join(words) + self._base(base, indent) + self._declarator(rest, name, False, indent)
        self._depth -= 1
        return text

    def _chain(self, id: int) -> list[Type]:
        """What the type is made of, from what has a name (or is a struct without one) outward."""
        chain: list[Type] = []
        for _ in range(MAX_CHAIN):
            type_ = self.btf.type(id)
            if type_.kind not in QUALIFIERS or (self._qualified and QUALIFIERS[type_.kind]):
                chain.append(type_)
            if type_.kind == kinds.ARRAY:
                id = type_.entries[0]
            elif type_.kind in (kinds.PTR, kinds.FUNC_PROTO, *QUALIFIERS):
                id = type_.type_id
            else:
                return chain[::-1]
        raise self._malformed(f"type [{id}]", "too long a chain of types")

    def _declarator(self, rest: list[Type], name: str, after_pointer: bool, indent: int) -> str:
        """What stands behind the type that a chain begins with: pointers, name, dimensions, parameters."""
        text = ""
        for at, type_ in enumerate(rest, 1):
            if type_.kind == kinds.PTR:
                text += "*" if after_pointer else " *"
                after_pointer = True
            elif type_.kind in QUALIFIERS:
                text += f" {QUALIFIERS[type_.kind]}"
                after_pointer = False
            else:
                outer = rest[at:]
                while outer and outer[0].kind in QUALIFIERS:  # of an array or a function, where C has none
                    outer.pop(0)
                return text + self._suffixed(type_, outer, name, after_pointer, indent)
        return text + (" " if name and not after_pointer else "") + name

    def _suffixed(self, type_: Type, outer: list[Type], name: str, after_pointer: bool, indent: int) -> str:
        """An array or a function, and what is made of it."""
        if type_.kind == kinds.FUNC_PROTO:
            inner = f" ({self._declarator(outer, name, True, indent)})" if outer else f" {name}"
            return inner + self._parameters(type_, indent)
        dimension = f"[{type_.entries[2]}]"
        if not outer or outer[0].kind == kinds.ARRAY:
            return self._declarator(outer, name, after_pointer, indent) + dimension
        space = " " if name and not after_pointer else ""
        return f"{space}({self._declarator(outer, name, True, indent)}){dimension}"

    def _parameters(self, proto: Type, indent: int) -> str:
        if not proto.entries or (len(proto.entries) == 1 and proto.entries[0][1] == 0):
            return "(void)"
        self._count(len(proto.entries))
        words = []
        for name, id in proto.entries:
            what = f"a parameter of type [{proto.id}]"
            words.append(self._declare(id, self.identifier(name, what) if name else "", indent) if id else "...")
        return f"({', '.join(words)})"

    def _base(self, type_: Type, indent: int) -> str:
        if type_.kind == kinds.VOID:
            return "void"
        if type_.kind in (kinds.INT, kinds.FLOAT):
            if not all(map(is_identifier, type_.name.split(" "))):
                raise self._malformed(f"type [{type_.id}]", f"'{printable(type_.name)}' is no C type")
            return type_.name
        if type_.kind == kinds.FWD:
            return f"{'union' if type_.kind_flag else 'struct'} {self._unique(type_)}"
        if type_.kind == kinds.TYPEDEF:
            return self._unique(type_)
        if type_.kind not in TAGS:
            raise self._malformed(f"type [{type_.id}]", "is no type of a value")
        if type_.name:
            return f"{TAGS[type_.kind]} {self._unique(type_)}"
        return (self._struct if type_.kind in kinds.COMPOSITES else self._enum)(type_, indent)

    def _unique(self, type_: Type) -> str:
        name = self.identifier(type_.name, f"type [{type_.id}]")
        if type_.kind == kinds.FWD or (type_.kind in kinds.ENUMS and not type_.entries):
            return name
        if type_.id not in self._names:
            names = self._tags if type_.kind in TAGS else self._identifiers
            self._names[type_.id] = _numbered(name, names)
        return self._names[type_.id]

    def _enum(self, type_: Type, indent: int) -> str:
        if not type_.entries:
            raise self._malformed(f"type [{type_.id}]", "is an enum without a name and values")
        self._count(len(type_.entries))
        suffix = "" if type_.kind == kinds.ENUM else "LL" if type_.kind_flag else "ULL"
        lines = []
        for name, value in type_.entries:
            self.identifier(name, f"type [{type_.id}]")
            lines.append(f"{_numbered(name, self._identifiers)} = {value}{suffix},")
        mode = ENUM_MODES.get(type_.size, "")
        if type_.size == 8 and type_.kind == kinds.ENUM64 and any(_is_wide(value) for _, value in type_.entries):
            mode = ""
        return _block("enum", lines, indent) + (f" __attribute__((mode({mode})))" if mode else "")

    def _struct(self, type_: Type, indent: int) -> str:
        self._count(len(type_.entries))
        packed = self.layout.is_packed(type_)
        lines: list[str] = []
        end, in_bitfield = 0, False
        for member in type_.entries:
            if type_.kind == kinds.STRUCT:
                alignment = 1 if packed else self.layout.alignment(member.type_id)
                is_bitfield = bool(member.bitfield_size)
                lines += self._padding(end, member.bit_offset, alignment, in_bitfield and is_bitfield)
                end = member.bit_offset + (member.bitfield_size or 8 * self.btf.size_of(member.type_id))
                in_bitfield = is_bitfield
            lines.append(self._member(type_, member, indent + 1))
        if type_.kind == kinds.STRUCT:
            lines += self._padding(end, 8 * type_.size, 1 if packed else self.layout.alignment(type_.id), False)
        return _block(TAGS[type_.kind], lines, indent) + (" __attribute__((packed))" if packed else "")

    def _padding(self, start: int, end: int, alignment: int, between_bitfields: bool) -> list[str]:
        self._count(max(0, end - start) // PADDING_BITS)
        return padding(start, end, alignment, between_bitfields)

    def _member(self, type_: Type, member: Member, indent: int) -> str:
        if member.name or self.btf.kind(member.type_id) not in kinds.COMPOSITES:
            self.identifier(member.name, f"a member of type [{type_.id}]")
        bits = f": {member.bitfield_size}" if member.bitfield_size else ""
        return f"{self._declare(member.type_id, member.name, indent)}{bits};"


def _numbered(name: str, names: defaultdict[str, int]) -> str:
    names[name] += 1
    return name if names[name] == 1 else f"{name}___{names[name]}"


def _is_wide(value: int) -> bool:
    return not -WIDE <= value < 2 * WIDE


def _block(word: str, lines: list[str], indent: int) -> str:
    if not lines:
        return f"{word} {{}}"
    tabs = "\t" * min(indent, MAX_INDENT)
    inner = "\t" * min(indent + 1, MAX_INDENT)
    return f"{word} {{\n" + "".join([f"{inner}{line}\n" for line in lines]) + tabs + "}"
