"""Values of BTF types as text: a type is compiled once to a struct format and a % template, in bpftool's layout.

A million map entries then cost one unpack and one % each. The layout is that of bpftool's JSON writer, which prints its
text mode too: "json" is compact, "pretty" indented, "plain" indented with pointers, bitfields and characters as in C.
"""

from __future__ import annotations

import struct
from heapq import heappop, heappush
from itertools import repeat

from ..errors import Malformed
from ..escapes import escape_json
from . import kinds
from .layout import (
    BOOL,
    CHAR,
    FLOAT_CODES,
    SIGNED,
    SIGNED_CODES,
    UNSIGNED_CODES,
    bits_at,
    enumerators,
    is_char_array,
    is_signed_enum,
    shift_in,
    window,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .reader import Btf, Member, Type

    Convert = Callable[[Any], str]
    Leaf = tuple[int, str, Convert | None]  # byte offset, struct code, what makes text of the value (None: %d)
    FuncPointer = Callable[[int, int], str]

INDENT = "    "
UNROLL = 64  # leaves of an array that become part of the template; larger arrays are looped over
MAX_LEAVES = 1 << 16  # of one value, loops counted once: more is no real type
MAX_TEMPLATE = 1 << 23  # characters, likewise
MAX_VALUE = 1 << 32  # bytes; the kernel's largest
MAX_NESTING = 32  # structs and arrays inside each other, as in the kernel's verifier of BTF
PRINTABLE = bytes(range(0x20, 0x7F))
POINTER_CODE = "Q"


class _Plan:
    """A compiled type: the template's arguments are the values of the leaves in order."""

    __slots__ = ("leaves", "size", "template")

    def __init__(self, template: str, leaves: list[Leaf], size: int) -> None:
        self.template = template
        self.leaves = leaves
        self.size = size


class _Printer:
    """Runs a plan over data."""

    def __init__(self, plan: _Plan, byteorder: str, where: str) -> None:
        self.where = where
        self.size = plan.size
        self.template = plan.template
        formats, order = _formats(plan, "<" if byteorder == "little" else ">")
        self._unpackers = [struct.Struct(format).unpack_from for format in formats]
        self._order = order
        self._converts = [(at, leaf[2]) for at, leaf in enumerate(plan.leaves) if leaf[2]]
        self.format = formats[0] if len(formats) == 1 and not self._converts else None

    def render(self, data: bytes | memoryview, offset: int = 0) -> str:
        """The text of the value at an offset."""
        if len(data) - offset < self.size:
            raise Malformed(self.where, "value", f"{len(data) - offset} bytes, its type takes {self.size}")
        values: list[Any] = []
        for unpack_from in self._unpackers:
            values += unpack_from(data, offset)
        if self._order is not None:
            values = [values[at] for at in self._order]
        for at, convert in self._converts:
            values[at] = convert(values[at])
        return self.template % tuple(values)

    def render_all(self, data: bytes) -> str:
        """The texts of values one after the other, with commas between."""
        if self.format is not None and self.size:
            return ",".join([self.template % values for values in struct.iter_unpack(self.format, data)])
        return ",".join([self.render(data, offset) for offset in range(0, len(data), self.size)])


class Row(_Printer):
    """How values of one type print.

    size: bytes of a value. template: % template of the text. format: for a flat type the struct format (`size` bytes)
    whose fields are the template's arguments, else None; `render(data, offset)` serves every type.
    style: "plain", "json" or "pretty"; depth: indentation level of the line on which the value starts.
    func_pointer: JSON text for a pointer to a FUNC_PROTO, given the prototype's id and the pointer's value.
    Raises Malformed when the type is no sound type of values; `render` also when the data is too short.
    """

    def __init__(
        self, btf: Btf, type_id: int, style: str, depth: int = 0, func_pointer: FuncPointer | None = None
    ) -> None:
        plan = _Compiler(btf, style, func_pointer).compile(type_id, depth, 0)
        super().__init__(plan, btf.byteorder, btf.where)


def formatter(btf: Btf, type_id: int, style: str, depth: int = 0) -> Callable[..., str]:
    """A function (data, offset=0) → the text of a value of this type; see Row."""
    return Row(btf, type_id, style, depth).render


def _formats(plan: _Plan, order: str) -> tuple[list[str], list[int] | None]:
    """Struct formats that together unpack all leaves, and where each leaf's value then is (None: in order).

    One format takes what follows each other; members of unions and bitfields overlap and need several.
    """
    layers: list[list[str]] = [[order]]
    members: list[list[int]] = [[]]
    free = [(0, 0)]  # (end of the layer so far, layer)
    for at in sorted(range(len(plan.leaves)), key=lambda at: plan.leaves[at][0]):
        offset, code, _ = plan.leaves[at]
        if free[0][0] > offset:
            layers.append([order])
            members.append([])
            end, layer = 0, len(layers) - 1
        else:
            end, layer = heappop(free)
        layers[layer] += (f"{offset - end}x" if offset > end else "", code)
        members[layer].append(at)
        heappush(free, (offset + struct.calcsize(order + code), layer))
    for end, layer in free:
        if end < plan.size:
            layers[layer].append(f"{plan.size - end}x")
    positions = [at for layer_members in members for at in layer_members]
    in_order = positions == list(range(len(positions)))
    inverse = None if in_order else sorted(range(len(positions)), key=positions.__getitem__)
    return ["".join(layer) for layer in layers], inverse


class _Compiler:
    """Compiles types of one BTF in one style. The methods by kind return plans, `depth` as in Row."""

    def __init__(self, btf: Btf, style: str, func_pointer: FuncPointer | None) -> None:
        self.btf = btf
        self.plain = style == "plain"
        self.indented = style != "json"
        self.colon = '": ' if self.indented else '":'
        self.func_pointer = func_pointer
        self.plans: dict[tuple[int, int], _Plan] = {}

    def line(self, depth: int) -> str:
        return "\n" + INDENT * depth if self.indented else ""

    def malformed(self, id: int, reason: str) -> Malformed:
        return Malformed(self.btf.where, f"type [{id}]", reason)

    def compile(self, id: int, depth: int, nesting: int) -> _Plan:
        """The plan for values of a type."""
        if nesting > MAX_NESTING:
            raise self.malformed(id, f"more than {MAX_NESTING} types nested in each other")
        plan = self.plans.get((id, depth))
        if plan is None:
            type_ = self.btf.type(self.btf.resolve(id))
            bits = bits_at(type_, 0, 0)
            if bits:
                plan = self.bitfield(type_.size, *bits)
            else:
                plan = _COMPILE.get(type_.kind, _Compiler.no_value)(self, type_, depth, nesting)
            self.plans[id, depth] = plan
        return plan

    def bare(self, text: str) -> str:
        """What JSON has no notation for: as it is in plain text, a string in JSON."""
        return text if self.plain else f'"{text}"'

    def no_value(self, type_: Type, depth: int, nesting: int) -> _Plan:
        text = {kinds.VOID: "(unknown)", kinds.FWD: "(fwd-kind-invalid)"}.get(type_.kind, "(unsupported-kind)")
        return _Plan(self.bare(text), [], 0)

    def hex(self, size: int) -> Leaf:
        byteorder = self.btf.byteorder
        return 0, f"{size}s", lambda raw: self.bare(f"0x{int.from_bytes(raw, byteorder):x}")

    def bitfield(self, size: int, bit_offset: int, nr_bits: int) -> _Plan:
        byteorder = self.btf.byteorder
        first, length = window(bit_offset, nr_bits)
        shift = shift_in(length, bit_offset, nr_bits, byteorder)
        mask = (1 << nr_bits) - 1

        def convert(raw: bytes) -> str:
            return self.bare(f"0x{int.from_bytes(raw, byteorder) >> shift & mask:x}")

        return _Plan("%s", [(first, f"{length}s", convert)], max(size, first + length))

    def integer(self, type_: Type, depth: int, nesting: int) -> _Plan:
        size, encoding = type_.size, type_.entries[0]
        if encoding == BOOL and size:
            return _Plan("%s", [(0, "B", ("false", *repeat("true", 255)).__getitem__)], size)
        if encoding == CHAR and size == 1:
            return _Plan("%s", [(0, "B", self.char)], 1)
        codes = SIGNED_CODES if encoding == SIGNED else UNSIGNED_CODES
        if size not in codes:
            return _Plan("%s", [self.hex(size)], size)
        return _Plan("%d", [(0, codes[size], None)], size)

    def char(self, code: int) -> str:
        if code in PRINTABLE:
            return f'"{escape_json(chr(code))}"'
        return f"0x{code:x}" if self.plain else f'"\\u{code:04x}"'

    def floating(self, type_: Type, depth: int, nesting: int) -> _Plan:
        if type_.size not in FLOAT_CODES:
            return _Plan("%s", [self.hex(type_.size)], type_.size)
        return _Plan("%s", [(0, FLOAT_CODES[type_.size], lambda value: self.number(value, type_.size))], type_.size)

    def number(self, value: float, size: int) -> str:
        if value - value != 0:  # an infinity or no number
            return self.bare(repr(value))
        return shortest_float(value, size)

    def enum(self, type_: Type, depth: int, nesting: int) -> _Plan:
        if type_.size not in UNSIGNED_CODES:
            raise self.malformed(type_.id, f"an enum of {type_.size} bytes")
        names = {value: f'"{escape_json(name)}"' for value, name in enumerators(type_).items()}
        # What has no name in a 4-byte enum is a signed number in bpftool, whatever the enum's sign.
        signed = is_signed_enum(type_) or (type_.kind == kinds.ENUM and type_.size == 4)
        sign = 1 << type_.size * 8 - 1 if signed else 0

        def convert(value: int) -> str:
            return names.get(value) or str(value - (value & sign) * 2)

        return _Plan("%s", [(0, UNSIGNED_CODES[type_.size], convert)], type_.size)

    def pointer(self, type_: Type, depth: int, nesting: int) -> _Plan:
        convert: Convert | None = None
        target = self.btf.resolve(type_.type_id)
        if self.func_pointer and self.btf.kind(target) == kinds.FUNC_PROTO:
            describe = self.func_pointer

            def convert(value: int) -> str:
                return describe(target, value)

        elif self.plain:

            def convert(value: int) -> str:
                return f'"{value:#x}"' if value else '"(nil)"'

        return _Plan("%s" if convert else "%d", [(0, POINTER_CODE, convert)], 8)

    def array(self, type_: Type, depth: int, nesting: int) -> _Plan:
        element_id, _, nelems = type_.entries
        element = self.compile(element_id, depth + 1, nesting + 1)
        size = nelems * element.size
        if size > MAX_VALUE or (not element.size and nelems * len(element.template) > MAX_TEMPLATE):
            raise self.malformed(type_.id, f"{nelems} elements of {element.size} bytes are too many")
        if not nelems:
            return _Plan("[]", [], 0)
        close = self.line(depth) + "]"
        if is_char_array(self.btf, type_):
            elements = _Printer(element, self.btf.byteorder, self.btf.where)
            return _Plan("%s", [(0, f"{size}s", lambda raw: _text(raw) or f"[{elements.render_all(raw)}{close}")], size)
        if nelems * max(len(element.leaves), 1) <= UNROLL or not element.size:
            leaves = [
                (at * element.size + offset, code, convert)
                for at in range(nelems)
                for offset, code, convert in element.leaves
            ]
            return _Plan(f"[{','.join([element.template] * nelems)}{close}", leaves, size)
        elements = _Printer(element, self.btf.byteorder, self.btf.where)
        return _Plan("%s", [(0, f"{size}s", lambda raw: f"[{elements.render_all(raw)}{close}")], size)

    def members(self, type_: Type, depth: int, nesting: int) -> _Plan:
        parts = _Parts(self, type_.id, type_.size)
        for member in type_.entries:
            plan, offset = self.member(type_, member, depth + 1, nesting + 1)
            parts.add(plan, offset, self.named(member.name, plan.template, depth + 1))
        return parts.enclosed("{", "}", depth)

    def member(self, type_: Type, member: Member, depth: int, nesting: int) -> tuple[_Plan, int]:
        """(plan, byte offset) of a member."""
        target = self.btf.type(self.btf.resolve(member.type_id))
        bits = bits_at(target, member.bit_offset, member.bitfield_size)
        if bits:
            return self.bitfield(0, *bits), 0
        if member.bit_offset % 8:
            raise self.malformed(type_.id, f"member '{member.name}' starts inside a byte")
        return self.compile(target.id, depth, nesting), member.bit_offset // 8

    def named(self, name: str, text: str, depth: int) -> str:
        return f'{self.line(depth)}"{_literal(name)}{self.colon}{text}'

    def variable(self, type_: Type, depth: int, nesting: int) -> _Plan:
        plan = self.compile(type_.type_id, depth + 1, nesting + 1)
        parts = _Parts(self, type_.id, plan.size)
        parts.add(plan, 0, self.named(type_.name, plan.template, depth + 1))
        return parts.enclosed("{", "}", depth)

    def section(self, type_: Type, depth: int, nesting: int) -> _Plan:
        # Object files leave the size of a section to the loader.
        end = max([type_.size, *(offset + size for _, offset, size in type_.entries)])
        parts = _Parts(self, type_.id, end)
        for variable_id, offset, _ in type_.entries:
            plan = self.compile(variable_id, depth + 2, nesting + 1)
            parts.add(plan, offset, plan.template)
        plan = parts.enclosed("[", "]", depth + 1)
        return _Plan(f"{{{self.named(type_.name, plan.template, depth + 1)}{self.line(depth)}}}", plan.leaves, end)


class _Parts:
    """What a struct or section is made of, as it grows; bounded in size."""

    def __init__(self, compiler: _Compiler, id: int, size: int) -> None:
        self.compiler = compiler
        self.id = id
        self.size = size
        self.leaves: list[Leaf] = []
        self.texts: list[str] = []
        self.length = 0

    def add(self, plan: _Plan, start: int, text: str) -> None:
        if start + plan.size > self.size:
            raise self.compiler.malformed(self.id, f"{plan.size} bytes at offset {start} of {self.size} bytes")
        self.leaves += [(start + offset, code, convert) for offset, code, convert in plan.leaves]
        self.texts.append(text)
        self.length += len(text)
        if len(self.leaves) > MAX_LEAVES or self.length > MAX_TEMPLATE:
            raise self.compiler.malformed(self.id, "too many members")

    def enclosed(self, opening: str, closing: str, depth: int) -> _Plan:
        line = self.compiler.line(depth) if self.texts else ""
        return _Plan(f"{opening}{','.join(self.texts)}{line}{closing}", self.leaves, self.size)


_COMPILE: dict[int, Callable[[_Compiler, Type, int, int], _Plan]] = {
    kinds.INT: _Compiler.integer,
    kinds.PTR: _Compiler.pointer,
    kinds.ARRAY: _Compiler.array,
    kinds.STRUCT: _Compiler.members,
    kinds.UNION: _Compiler.members,
    kinds.ENUM: _Compiler.enum,
    kinds.VAR: _Compiler.variable,
    kinds.DATASEC: _Compiler.section,
    kinds.FLOAT: _Compiler.floating,
    kinds.ENUM64: _Compiler.enum,
}


def _literal(name: str) -> str:
    """A name as part of a template and of a JSON string."""
    return escape_json(name).replace("%", "%%")


def _text(raw: bytes) -> str | None:
    """A char array as a JSON string, or None if it does not hold printable text that ends with a NUL."""
    text, end, _ = raw.partition(b"\0")
    if not end or text.translate(None, PRINTABLE):
        return None
    return f'"{escape_json(text.decode())}"'


def shortest_float(value: float, size: int) -> str:
    """The shortest decimal that reads back as the same number of this size in bytes (4 or 8)."""
    if size == 8:
        return repr(value)
    for digits in range(6, 10):
        text = f"{value:.{digits}g}"
        if struct.pack("f", float(text)) == struct.pack("f", value):
            break
    return repr(float(text))
