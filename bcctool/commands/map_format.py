"""The text of map elements in bpftool's layout, a batch at a time and without a Python object per element.

All elements of a map have one template. The digits of their bytes stand at the same places in each, so that one strided
assignment puts a digit into all elements of a batch; numbers of BTF types are the arguments of one % for the batch.
"""

from __future__ import annotations

import errno
import os
import struct
from binascii import hexlify

from ..errors import Malformed
from ..escapes import quote
from ..objects.map import MAP_IN_MAP_TYPES
from ..output import newline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from ..btf.reader import Btf
    from ..btf.values import Row
    from ..objects.map import Map

    Column = Callable[[bytes, int], Sequence[Any]]
    """The arguments for one %-conversion of n elements, made of their keys or values."""

KEY, VALUE = "key", "value"
DIGIT = "\0"  # a hex digit to be filled in
MAX_FILLED = 512  # bytes of an element; the digits of larger ones are made element by element
LINE_BYTES, HALF_LINE = 16, 23  # of the plain hex layout: bytes, characters
MAX_SHORT = 16  # bytes of a key or value that stands on the line of its label
MAX_PAIR = 24  # bytes of a key and a value that share a line


def hex_lines(data: bytes) -> str:
    """Bytes as plain text: 16 per line, a further space after 8."""
    text, width = data.hex(" "), LINE_BYTES * 3
    lines = (text[at : at + width - 1] for at in range(0, len(text), width))
    return "\n".join([f"{line[:HALF_LINE]} {line[HALF_LINE:]}" if len(line) > HALF_LINE else line for line in lines])


def hex_array(data: bytes, pretty: bool = False, depth: int = 0) -> str:
    """Bytes as a JSON array of "0x.." strings."""
    body = data.hex("|").replace("|", '","0x')
    return f'["0x{body}"{newline(pretty, depth)}]' if data else "[]"


class Types:
    """What BTF says of a map's keys and values: (BTF, type id) of each, id 0 for those without a type."""

    def __init__(self, map: Map) -> None:
        types = map.types()
        self.of = {KEY: (types, map.info.btf_key_type_id), VALUE: map.value_type(types)}

    def row(self, source: str, style: str, depth: int, size: int) -> Row | None:
        """How keys or values of this size print, None if they have no type."""
        btf: Btf | None
        btf, id = self.of[source]
        if btf is None or not id:
            return None
        from ..btf.values import Row

        row = Row(btf, id, style, depth)
        if row.size != size:
            raise Malformed(btf.where, f"type [{id}]", f"{row.size} bytes, but the map's {source} has {size}")
        return row


class ElementFormat:
    """How the elements of one map print in one style, at one depth of JSON containers; types: None for hex only.

    `elements(keys, values, n)` is the text of n elements, with the separator between them: a comma in JSON, nothing in
    plain text, where each ends with a newline. Malformed when the types are no types of values.
    """

    def __init__(self, map: Map, style: str, depth: int, types: Types | None = None) -> None:
        self.map = map
        self.style = style
        self.depth = depth
        self.types = types
        self.is_text = style == "plain" and types is None  # else the JSON writer's layout, also in plain style
        self.pretty = style != "json"
        self.separator = "" if self.is_text else ","
        self.sizes = {KEY: int(map.info.key_size), VALUE: int(map.info.value_size)}
        self.strides = {KEY: self.sizes[KEY], VALUE: map.value_bytes}
        self.filled = sum(self.strides.values()) <= MAX_FILLED
        self.digits: list[tuple[str, int]] = []  # where each DIGIT comes from: source, number of the digit in it
        self.columns: list[tuple[str, Column]] = []
        self.record = ((self._text() if self.is_text else self._json()) + self.separator).encode("utf-8", "replace")
        places = [at for at, char in enumerate(self.record) if not char]
        self.places = [(place, *digit) for place, digit in zip(places, self.digits, strict=True)]

    def elements(self, keys: bytes | memoryview, values: bytes | memoryview, n: int) -> str:
        """The text of n elements, whose keys and values lie side by side."""
        out, width = bytearray(self.record * n), len(self.record)
        if self.places:
            digits = {KEY: hexlify(keys), VALUE: hexlify(values)}
            for place, source, number in self.places:
                out[place::width] = digits[source][number :: 2 * self.strides[source]]
        text = out[: len(out) - len(self.separator)].decode()
        if not self.columns:
            return text
        data = {KEY: bytes(keys), VALUE: bytes(values)}
        arguments: list[Any] = [None] * (len(self.columns) * n)
        for at, (source, column) in enumerate(self.columns):
            arguments[at :: len(self.columns)] = column(data[source], n)
        return text % tuple(arguments)

    def unreadable(self, key: bytes, error: int) -> str:
        """The text of an element whose value could not be looked up."""
        if self.is_text:
            cannot_read = error == errno.ENOSPC and self.map.type == "reuseport_sockarray"
            text = "<no entry>" if error == errno.ENOENT else "<cannot read>" if cannot_read else os.strerror(error)
            return self._pair(hex_lines(key), VALUE, len(text), text)
        depth = self.depth + 1
        row = self.types.row(KEY, self.style, depth, len(key)) if self.types and self.style == "plain" else None
        key_text = row.render(key) if row else hex_array(key, self.pretty, depth)
        value_text = self._object(depth, [("error", quote(os.strerror(error)))])
        return self._object(self.depth, [(KEY, key_text), (VALUE, value_text)])

    # What follows builds the template: text, DIGITs and % conversions, in the order in which they stand there.

    def _hex(self, source: str, offset: int = 0, depth: int = 0) -> str:
        """The place for the bytes of a key, or of the value at an offset."""
        size, stride = self.sizes[source], self.strides[source]

        def layout(data: bytes) -> str:
            return hex_lines(data) if self.is_text else hex_array(data, self.pretty, depth)

        if not self.filled:
            self.columns.append((source, lambda data, n: [
                layout(data[at : at + size]) for at in range(offset, n * stride, stride)
            ]))  # fmt: skip
            return "%s"
        if self.types:
            self.columns.append((source, _hex_column(layout(b"\xff" * size).replace("f", DIGIT), stride, offset)))
            return "%s"
        self.digits += [(source, number) for number in range(2 * offset, 2 * (offset + size))]
        return layout(b"\xff" * size).replace("f", DIGIT)

    def _value_of(self, row: Row | None, source: str, offset: int) -> str:
        """The place for a BTF value at an offset."""
        size, stride = self.sizes[source], self.strides[source]
        if row is None:
            return "null"
        if row.format is None:
            render = row.render
            self.columns.append(
                (source, lambda data, n: [render(data, at) for at in range(offset, n * stride, stride)])
            )
            return "%s"
        fields = _Fields(row.format, offset, stride - offset - size)
        self.columns += [(source, fields.column(at)) for at in range(fields.count)]
        return row.template

    def _pair(self, key: str, label: str, size: int, value: str) -> str:
        """Key and value of one element in plain text; size: bytes, or characters of a message."""
        key_size = self.sizes[KEY]
        if key_size > MAX_SHORT or size > MAX_SHORT:
            return (f"key:\n{key}\n" if key_size else "") + f"{label}:\n{value}\n"
        between = "  " if key_size + size <= MAX_PAIR else "\n"
        return (f"key: {key}{between}" if key_size else "") + f"{label}: {value}\n"

    def _text(self) -> str:
        key = self._hex(KEY)
        size = self.sizes[VALUE]
        if self.map.cpus:
            between = "\n" if size > MAX_SHORT else " "
            return f"key:\n{key}\n" + "".join(
                [f"value (CPU {cpu:02}):{between}{self._hex(VALUE, offset)}\n" for cpu, offset in self._cpus()]
            )
        if self.map.type in MAP_IN_MAP_TYPES:
            return self._pair(key, "inner_map_id", size, f"{self._inner_id()} ")
        return self._pair(key, VALUE, size, self._hex(VALUE))

    def _json(self) -> str:
        depth = self.depth
        members = []
        if self.style != "plain":
            members.append((KEY, self._hex(KEY, 0, depth + 1)))
            members.append(self._values(depth, lambda offset, depth: self._hex(VALUE, offset, depth)))
            if self.map.type in MAP_IN_MAP_TYPES:
                members.append(("inner_map_id", self._inner_id()))
            if self.types:
                members.append(("formatted", self._object(depth + 1, self._formatted(depth + 1))))
            return self._object(depth, members)
        return self._object(depth, self._formatted(depth))

    def _formatted(self, depth: int) -> list[tuple[str, str]]:
        """Key and value by BTF, as members of an object at a depth."""
        assert self.types
        key = self.types.row(KEY, self.style, depth + 1, self.sizes[KEY])
        members = [(KEY, self._value_of(key, KEY, 0))] if key else []
        value_depth = depth + 3 if self.map.cpus else depth + 1
        value = self.types.row(VALUE, self.style, value_depth, self.sizes[VALUE])
        return [*members, self._values(depth, lambda offset, _: self._value_of(value, VALUE, offset))]

    def _values(self, depth: int, place: Callable[[int, int], str]) -> tuple[str, str]:
        """The member of an object at a depth that holds the value, or the values of all CPUs; place: offset, depth."""
        if not self.map.cpus:
            return VALUE, place(0, depth + 1)
        items = [
            self._object(depth + 2, [("cpu", str(cpu)), (VALUE, place(offset, depth + 3))])
            for cpu, offset in self._cpus()
        ]
        return "values", f"[{','.join(items)}{newline(self.pretty, depth + 1)}]"

    def _object(self, depth: int, members: list[tuple[str, str]]) -> str:
        before = newline(self.pretty, depth + 1)
        body = ",".join([f"{before}{self._name(name)}{text}" for name, text in members])
        return f"{{{body}{newline(self.pretty, depth)}}}"

    def _name(self, name: str) -> str:
        return f'"{name}": ' if self.pretty else f'"{name}":'

    def _cpus(self) -> list[tuple[int, int]]:
        """Each CPU and the offset of its value."""
        return [(cpu, cpu * self.map.value_stride) for cpu in range(self.map.cpus)]

    def _inner_id(self) -> str:
        """The place for the id of the map that is the value."""
        self.columns.append((VALUE, _Fields("=I", 0, 0).column(0)))
        return "%d"


def _hex_column(template: str, stride: int, offset: int) -> Column:
    """The text of the bytes at an offset: DIGITs of the template filled in. What % has to read is shorter then."""
    record, width = template.encode(), len(template)
    places = [at for at, char in enumerate(record) if not char]

    def column(data: bytes, n: int) -> Sequence[Any]:
        digits, out = hexlify(data), bytearray(record * n)
        for number, place in enumerate(places, 2 * offset):
            out[place::width] = digits[number :: 2 * stride]
        text = out.decode()
        return [text[at : at + width] for at in range(0, n * width, width)]

    return column


class _Fields:
    """The columns of a flat type: all fields of a batch are unpacked at once, for the first of its columns."""

    def __init__(self, format: str, before: int, after: int) -> None:
        order, codes = format[0], format[1:]
        self.order = order
        self.codes = (f"{before}x" if before else "") + codes + (f"{after}x" if after else "")
        self.count = len(struct.unpack(format, bytes(struct.calcsize(format))))
        self.batch = struct.Struct(order)
        self.fields: tuple[Any, ...] = ()

    def column(self, number: int) -> Column:
        """One field of all elements."""

        def column(data: bytes, n: int) -> Sequence[Any]:
            if number == 0:
                if len(data) > self.batch.size:
                    self.batch = struct.Struct(self.order + self.codes * n)
                # A smaller batch is filled up: to compile a format takes longer than to unpack what is not there.
                self.fields = self.batch.unpack(data.ljust(self.batch.size, b"\0"))
            return self.fields[number : n * self.count : self.count]

        return column
