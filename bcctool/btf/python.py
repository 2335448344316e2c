"""Values of BTF types as Python objects, both ways: what a program reads from and stores in a map's buffers."""

from __future__ import annotations

import struct

from ..errors import Error, Malformed
from . import kinds
from .kinds import COMPOSITES, ENUMS, KINDS
from .layout import (
    BOOL,
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
from .reader import POINTER_SIZE
from .values import MAX_LEAVES, MAX_NESTING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .reader import Btf, Member, Type

    Data = bytes | memoryview
    Read = Callable[[Data, int], Any]

MAX_ENCODED = 64 << 20  # bytes of a value that `encode` makes


def decode(btf: Btf, type_id: int, data: Data) -> Any:
    """The value in `data`, which may be longer than its type.

    Integers, pointers: int; bool; enums: the enumerator's name, else int; floats: float (8 or 4 bytes); arrays of char:
    str when they are UTF-8 padded with NULs, else bytes; other arrays: list; structs and unions: dict, the members of
    anonymous members among its own; variables and sections: dict by name. Raises Malformed for too little data or an
    unsound type. For many values of one type use `decoder`.
    """
    return decoder(btf, type_id)(data)


def decoder(btf: Btf, type_id: int) -> Callable[[Data], Any]:
    """`decode` with the type's work done once: a function of the data."""
    reader = _Reader(btf).compile(type_id, 0)

    def read(data: Data) -> Any:
        if len(data) < reader.size:
            raise Malformed(btf.where, "value", f"{len(data)} bytes, its type takes {reader.size}")
        return reader.read(data, 0)

    return read


def encode(btf: Btf, type_id: int, value: Any, where: str = "value") -> bytes:
    """The bytes of a value as `decode` gives it; also: bytes for arrays of one-byte elements, enumerators as ints.

    Struct members that are not given are zero. Raises Error for a value that does not fit; it names the
    place, which starts with `where`.
    """
    return _encoded(_Writer, btf, type_id, value, where)


def encode_text(btf: Btf, type_id: int, value: Any, where: str = "value") -> bytes:
    """The bytes of a value as btf.values writes it as JSON: like `encode`, and numbers may be text, as "0x2a"."""
    return _encoded(_TextWriter, btf, type_id, value, where)


def _encoded(kind: type[_Writer], btf: Btf, type_id: int, value: Any, where: str) -> bytes:
    size = btf.size_of(type_id)
    if size > MAX_ENCODED:
        raise Error(f"a value of {size} bytes is too large, the limit is {MAX_ENCODED}")
    writer = kind(btf, size)
    writer.put(type_id, 0, value, where)
    return bytes(writer.data)


class _Value:
    """A compiled type: `read(data, offset)`, the size in bytes, and how many values `read` makes."""

    __slots__ = ("count", "read", "size")

    def __init__(self, read: Read, size: int, count: int = 1) -> None:
        self.read = read
        self.size = size
        self.count = count


class _Reader:
    """Compiles types to functions; the methods by kind take the type and the nesting so far."""

    def __init__(self, btf: Btf) -> None:
        self.btf = btf
        self.order = "<" if btf.byteorder == "little" else ">"
        self.compiled: dict[int, _Value] = {}

    def compile(self, id: int, nesting: int) -> _Value:
        value = self.compiled.get(id)
        if value is None:
            type_ = self.btf.type(self.btf.resolve(id))
            if nesting > MAX_NESTING:
                raise self.malformed(type_, f"more than {MAX_NESTING} types nested in each other")
            if type_.kind not in _READ:
                raise self.malformed(type_, "has no values")
            bits = bits_at(type_, 0, 0)
            value = self.bitfield(type_, *bits) if bits else _READ[type_.kind](self, type_, nesting)
            if value.count > MAX_LEAVES + 64 * value.size:
                raise self.malformed(type_, f"{value.count} values in {value.size} bytes")
            self.compiled[id] = value
        return value

    def malformed(self, type_: Type, reason: str) -> Malformed:
        return Malformed(self.btf.where, f"type [{type_.id}] {KINDS[type_.kind].name}", reason)

    def unpacked(self, code: str) -> _Value:
        unpacker = struct.Struct(self.order + code)
        unpack_from = unpacker.unpack_from
        return _Value(lambda data, offset: unpack_from(data, offset)[0], unpacker.size)

    def integer(self, type_: Type, nesting: int) -> _Value:
        size, signed, byteorder = type_.size, type_.entries[0] == SIGNED, self.btf.byteorder
        if type_.entries[0] == BOOL:
            return _Value(lambda data, offset: any(data[offset : offset + size]), size)
        code = (SIGNED_CODES if signed else UNSIGNED_CODES).get(size)
        if code is not None:
            return self.unpacked(code)
        return _Value(lambda data, at: int.from_bytes(data[at : at + size], byteorder, signed=signed), size)

    def pointer(self, type_: Type, nesting: int) -> _Value:
        return self.unpacked(UNSIGNED_CODES[POINTER_SIZE])

    def floating(self, type_: Type, nesting: int) -> _Value:
        if type_.size not in FLOAT_CODES:
            raise self.malformed(type_, f"numbers of {type_.size} bytes are not supported")
        return self.unpacked(FLOAT_CODES[type_.size])

    def enum(self, type_: Type, nesting: int) -> _Value:
        names, signed, size = enumerators(type_), is_signed_enum(type_), type_.size
        if size not in UNSIGNED_CODES:
            raise self.malformed(type_, f"an enum of {size} bytes")
        unpack_from = struct.Struct(self.order + UNSIGNED_CODES[size]).unpack_from
        sign = 1 << size * 8 - 1 if signed else 0

        def read(data: Data, offset: int) -> str | int:
            (value,) = unpack_from(data, offset)
            return names.get(value) or value - (value & sign) * 2

        return _Value(read, size)

    def bitfield(self, type_: Type, bit_offset: int, nr_bits: int) -> _Value:
        first, length = window(bit_offset, nr_bits)
        byteorder = self.btf.byteorder
        shift, mask = shift_in(length, bit_offset, nr_bits, byteorder), (1 << nr_bits) - 1
        sign = 1 << nr_bits - 1 if _is_signed(type_) else 0
        names = enumerators(type_) if type_.kind in ENUMS else {}
        boolean = type_.kind == kinds.INT and type_.entries[0] == BOOL

        def read(data: Data, offset: int) -> Any:
            raw = int.from_bytes(data[offset + first : offset + first + length], byteorder) >> shift & mask
            value = raw - (raw & sign) * 2
            return bool(raw) if boolean else names.get(value % (1 << type_.size * 8)) or value

        return _Value(read, first + length)

    def array(self, type_: Type, nesting: int) -> _Value:
        element_id, _, nelems = type_.entries
        element = self.compile(element_id, nesting + 1)
        size, step, read_one = nelems * element.size, element.size, element.read
        if is_char_array(self.btf, type_):
            return _Value(lambda data, offset: _text(bytes(data[offset : offset + size])), size)
        offsets = range(0, size, step) if step else [0] * min(nelems, MAX_LEAVES)
        count = nelems * max(1, element.count)
        return _Value(lambda data, offset: [read_one(data, offset + at) for at in offsets], size, count)

    def members(self, type_: Type, nesting: int) -> _Value:
        named: list[tuple[str, Read, int]] = []
        anonymous: list[tuple[Read, int]] = []
        count = 1
        for member in type_.entries:
            offset, value = self.member(type_, member, nesting)
            if offset + value.size > type_.size:
                raise self.malformed(type_, f"member '{member.name}' does not fit its {type_.size} bytes")
            count += max(1, value.count)
            if member.name:
                named.append((member.name, value.read, offset))
            elif self.btf.kind(self.btf.resolve(member.type_id)) in COMPOSITES:
                anonymous.append((value.read, offset))

        def read(data: Data, offset: int) -> dict[str, Any]:
            values = {name: read_one(data, offset + at) for name, read_one, at in named}
            for read_one, at in anonymous:
                values.update(read_one(data, offset + at))
            return values

        return _Value(read, type_.size, count)

    def member(self, type_: Type, member: Member, nesting: int) -> tuple[int, _Value]:
        target = self.btf.type(self.btf.resolve(member.type_id))
        bits = bits_at(target, member.bit_offset, member.bitfield_size)
        if bits:
            return 0, self.bitfield(target, *bits)
        if member.bit_offset % 8:
            raise self.malformed(type_, f"member '{member.name}' starts inside a byte")
        return member.bit_offset // 8, self.compile(target.id, nesting + 1)

    def variable(self, type_: Type, nesting: int) -> _Value:
        value, name = self.compile(type_.type_id, nesting + 1), type_.name
        read_one = value.read
        return _Value(lambda data, offset: {name: read_one(data, offset)}, value.size, value.count)

    def section(self, type_: Type, nesting: int) -> _Value:
        parts = [(offset, self.compile(id, nesting + 1)) for id, offset, _ in type_.entries]
        size = max([type_.size, *(offset + value.size for offset, value in parts)])

        def read(data: Data, offset: int) -> dict[str, Any]:
            values: dict[str, Any] = {}
            for at, value in parts:
                values.update(value.read(data, offset + at))
            return values

        return _Value(read, size, 1 + sum([value.count for _, value in parts]))


_READ: dict[int, Callable[[_Reader, Type, int], _Value]] = {
    kinds.INT: _Reader.integer,
    kinds.PTR: _Reader.pointer,
    kinds.ARRAY: _Reader.array,
    kinds.STRUCT: _Reader.members,
    kinds.UNION: _Reader.members,
    kinds.ENUM: _Reader.enum,
    kinds.VAR: _Reader.variable,
    kinds.DATASEC: _Reader.section,
    kinds.FLOAT: _Reader.floating,
    kinds.ENUM64: _Reader.enum,
}


def _is_signed(type_: Type) -> bool:
    if type_.kind == kinds.INT:
        return bool(type_.entries[0] == SIGNED)
    return type_.kind in ENUMS and is_signed_enum(type_)


def _text(raw: bytes) -> str | bytes:
    text = raw.rstrip(b"\0")
    if b"\0" in text:
        return raw
    try:
        return text.decode()
    except UnicodeDecodeError:
        return raw


class _Writer:
    """Puts values into the zeroed bytes of one value; `where` names the place for errors."""

    def __init__(self, btf: Btf, size: int) -> None:
        self.btf = btf
        self.data = bytearray(size)

    def put(self, id: int, offset: int, value: Any, where: str) -> None:
        type_ = self.btf.type(self.btf.resolve(id))
        if where.count(".") + where.count("[") > 2 * MAX_NESTING:
            raise Error(f"{where}: types are nested too deeply")
        if type_.kind not in _WRITE:
            raise Error(f"{where}: values of kind {KINDS[type_.kind].name} cannot be stored")
        bits = bits_at(type_, 0, 0)
        if bits:
            self.put_bits(type_, offset * 8 + bits[0], bits[1], value, where)
        else:
            _WRITE[type_.kind](self, type_, offset, value, where)

    def store(self, offset: int, raw: bytes, where: str) -> None:
        if offset + len(raw) > len(self.data):
            raise Error(f"{where}: lies outside the value's {len(self.data)} bytes")
        self.data[offset : offset + len(raw)] = raw

    def put_number(self, type_: Type, offset: int, value: Any, where: str) -> None:
        size = type_.size or POINTER_SIZE
        number = self.number(type_, size * 8, value, where)
        self.store(offset, (number % (1 << size * 8)).to_bytes(size, self.btf.byteorder), where)

    def number(self, type_: Type, nr_bits: int, value: Any, where: str) -> int:
        """The integer of a value for an INT, ENUM or PTR of so many bits."""
        if type_.kind in ENUMS and isinstance(value, str):
            stored = next((stored for stored, name in enumerators(type_).items() if name == value), None)
            if stored is None:
                raise Error(f"{where}: {value!r} is no enumerator of enum {type_.name or '(anonymous)'}")
            half = 1 << type_.size * 8 - 1
            value = stored - 2 * half if _is_signed(type_) and stored >= half else stored
        if not isinstance(value, int):
            raise Error(f"{where}: expected an integer, got {value!r}")
        signed = _is_signed(type_)
        if type_.kind == kinds.INT and type_.entries[0] == BOOL:
            nr_bits = 1
        low, high = (-(1 << nr_bits - 1), 1 << nr_bits - 1) if signed else (0, 1 << nr_bits)
        if type_.kind in ENUMS:
            low, high = -(1 << nr_bits - 1), 1 << nr_bits  # compilers leave open which of them they are
        if not low <= value < high:
            raise Error(f"{where}: {value} is out of range, {low} to {high - 1} expected")
        return int(value)

    def put_bits(self, type_: Type, bit_offset: int, nr_bits: int, value: Any, where: str) -> None:
        first, length = window(bit_offset, nr_bits)
        if first + length > len(self.data):
            raise Error(f"{where}: lies outside the value's {len(self.data)} bytes")
        byteorder = self.btf.byteorder
        shift, mask = shift_in(length, bit_offset, nr_bits, byteorder), (1 << nr_bits) - 1
        number = self.number(type_, nr_bits, value, where) & mask
        old = int.from_bytes(self.data[first : first + length], byteorder)
        new = old & ~(mask << shift) | number << shift
        self.data[first : first + length] = new.to_bytes(length, byteorder)

    def put_float(self, type_: Type, offset: int, value: Any, where: str) -> None:
        if type_.size not in FLOAT_CODES or not isinstance(value, (int, float)):
            raise Error(f"{where}: expected a number of 4 or 8 bytes, got {value!r} for {type_.size} bytes")
        try:
            raw = struct.pack(("<" if self.btf.byteorder == "little" else ">") + FLOAT_CODES[type_.size], value)
        except (OverflowError, struct.error):
            raise Error(f"{where}: {value!r} is out of range for {type_.size} bytes") from None
        self.store(offset, raw, where)

    def put_array(self, type_: Type, offset: int, value: Any, where: str) -> None:
        element_id, _, nelems = type_.entries
        step = self.btf.size_of(element_id)
        if isinstance(value, str) and is_char_array(self.btf, type_):
            value = value.encode()
        if isinstance(value, (bytes, bytearray)) and step == 1:
            if len(value) > nelems:
                raise Error(f"{where}: {len(value)} bytes do not fit in {nelems}")
            self.store(offset, bytes(value), where)
            return
        if not isinstance(value, (list, tuple)):
            raise Error(f"{where}: expected a list, got {value!r}")
        if len(value) > nelems:
            raise Error(f"{where}: {len(value)} elements do not fit in {nelems}")
        for at, element in enumerate(value):
            self.put(element_id, offset + at * step, element, f"{where}[{at}]")

    def put_members(self, type_: Type, offset: int, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise Error(f"{where}: expected a dict, got {value!r}")
        members = dict(self.members(type_.id, offset * 8, 0))
        unknown = [name for name in value if name not in members]
        if unknown:
            raise Error(f"{where}: no member {unknown[0]!r} in {KINDS[type_.kind].name.lower()} {type_.name}".rstrip())
        # Of members that share their bytes the largest is stored last: it holds what the others say, and more.
        for name in sorted(value, key=lambda name: self.btf.size_of(members[name][0].type_id)):
            member, bit_offset = members[name]
            self.put_member(type_, member, bit_offset, value[name], f"{where}.{name}")

    def members(self, id: int, bit_offset: int, nesting: int) -> list[tuple[str, tuple[Member, int]]]:
        """(name, (member, bit offset in the value)) of a struct's members and of those inside its anonymous ones."""
        if nesting > MAX_NESTING:
            raise Malformed(self.btf.where, f"type [{id}]", "anonymous members are nested too deeply")
        found: list[tuple[str, tuple[Member, int]]] = []
        for member in self.btf.type(id).entries:
            target = self.btf.resolve(member.type_id)
            if member.name:
                found.append((member.name, (member, bit_offset + member.bit_offset)))
            elif self.btf.kind(target) in COMPOSITES:
                found += self.members(target, bit_offset + member.bit_offset, nesting + 1)
            if len(found) > MAX_LEAVES:
                raise Malformed(self.btf.where, f"type [{id}]", "too many members")
        return found

    def put_member(self, type_: Type, member: Member, bit_offset: int, value: Any, where: str) -> None:
        target = self.btf.type(self.btf.resolve(member.type_id))
        bits = bits_at(target, bit_offset, member.bitfield_size)
        if bits:
            self.put_bits(target, *bits, value, where)
        elif bit_offset % 8:
            raise Malformed(self.btf.where, f"type [{type_.id}]", f"member '{member.name}' starts inside a byte")
        else:
            self.put(target.id, bit_offset // 8, value, where)

    def put_variable(self, type_: Type, offset: int, value: Any, where: str) -> None:
        if not isinstance(value, dict) or list(value) != [type_.name]:
            raise Error(f"{where}: expected a dict with {type_.name!r}, got {value!r}")
        self.put(type_.type_id, offset, value[type_.name], f"{where}.{type_.name}")

    def put_section(self, type_: Type, offset: int, value: Any, where: str) -> None:
        variables = {self.btf.name(id): (id, start) for id, start, _ in type_.entries}
        if not isinstance(value, dict) or not variables.keys() >= value.keys():
            raise Error(f"{where}: expected a dict of the section's variables, got {value!r}")
        for name, content in value.items():
            id, start = variables[name]
            self.put(id, offset + start, {name: content}, where)


class _TextWriter(_Writer):
    """For values that were text: large and small numbers in hex, null pointers, characters."""

    def number(self, type_: Type, nr_bits: int, value: Any, where: str) -> int:
        if isinstance(value, str) and type_.kind not in ENUMS:
            if value == "(nil)":
                return 0
            try:
                value = ord(value) if len(value) == 1 else int(value, 16)
            except ValueError:
                raise Error(f"{where}: {value!r} is no number") from None
            if nr_bits and _is_signed(type_) and value >> nr_bits - 1 == 1:
                value -= 1 << nr_bits  # bits are written without their sign
        return super().number(type_, nr_bits, value, where)


_WRITE: dict[int, Callable[[_Writer, Type, int, Any, str], None]] = {
    kinds.INT: _Writer.put_number,
    kinds.PTR: _Writer.put_number,
    kinds.ARRAY: _Writer.put_array,
    kinds.STRUCT: _Writer.put_members,
    kinds.UNION: _Writer.put_members,
    kinds.ENUM: _Writer.put_number,
    kinds.VAR: _Writer.put_variable,
    kinds.DATASEC: _Writer.put_section,
    kinds.FLOAT: _Writer.put_float,
    kinds.ENUM64: _Writer.put_number,
}
