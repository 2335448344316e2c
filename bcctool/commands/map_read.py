"""The elements that `map dump` wrote, read back: JSON or plain text, and `key … value …` lines, a batch at a time.

What a dump writes is regular: each element is as wide as the next, and its digits stand at the same places. Such
elements are read by the columns of a chunk, whose other characters have to be those of the layout; others one by one.
"""

from __future__ import annotations

import contextlib
import json
import re
import struct
import sys
from itertools import chain

from ..btf.python import encode_text
from ..errors import Error
from ..escapes import printable
from .map_format import DIGIT, KEY, VALUE, ElementFormat, Types
from .map_words import byte

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, BinaryIO

    from ..btf.values import Row
    from ..objects.map import Map

    Batch = tuple[bytes | bytearray, bytes | bytearray, int]
    """Keys, values, how many."""

CHUNK = 1 << 21
MAX_ELEMENT = 64 << 20  # bytes of text
MAX_LABELS = 8  # words of an element besides its bytes, and of each CPU's value
MAX_SHOWN = 40  # characters of bad input in an error
_STRING = r'"(?:[^"\\]|\\.)*"'
_STRING_OR_BRACE = re.compile(rf"{_STRING}|[{{}}]")
_STRING_OR_HEX = re.compile(rf"{_STRING}|\b0x[0-9a-f]+\b")
# What the conversions of a template may have become.
_CONVERSIONS = {"%d": r"-?\d+", "%s": rf"(?:{_STRING}|-?\d+|true|false|\[(?:[^\[\]{{}}\"]|{_STRING})*\])", "%%": "%"}


def elements(map: Map, stream: BinaryIO, name: str) -> Iterator[Batch]:
    """All elements of the input for a map; name: of the input, for errors. Error for what can't be an element."""
    first = stream.read(CHUNK)
    reader = _Json if first.lstrip()[:1] in (b"[", b"{") else _Lines
    yield from reader(map, name).batches(first, stream)


class _Reader:
    """What both layouts have in common: `pending` is the input that was read and not used yet."""

    def __init__(self, map: Map, name: str) -> None:
        self.map = map
        self.name = name
        self.count = 0
        self.pending = b""
        self.layout: _Layout | _Numbers | None = None

    def batches(self, first: bytes, stream: BinaryIO) -> Iterator[Batch]:
        chunk = self.start(first)
        while True:
            self.pending += chunk
            if self.layout is not None:
                keys, values, n, used = self.layout.take(self.pending)
                self.pending = self.pending[used:]
                if n:
                    self.count += n
                    yield keys, values, n
            yield from self.one_by_one(last=not chunk)
            if not chunk:
                return
            if len(self.pending) > MAX_ELEMENT:
                raise self.error("an element is too large")
            chunk = stream.read(max(CHUNK, len(self.pending)))

    def start(self, first: bytes) -> bytes:
        """Choose the layout that the input seems to have; the input from its first element."""
        raise NotImplementedError

    def one_by_one(self, last: bool) -> Iterator[Batch]:
        """What stands in `pending` in another layout, up to what may be incomplete."""
        raise NotImplementedError

    def error(self, reason: str) -> Error:
        """An Error that says where; what came before has been handed out already."""
        return Error(f"{self.name}: element {self.count + 1}: {printable(reason)}")

    def whole(self, key: bytes, values: dict[int, bytes]) -> tuple[bytes, bytes]:
        """Key and value of an element, checked; values: by CPU, 0 for maps that are not per CPU."""
        map_, info = self.map, self.map.info
        if len(key) != info.key_size:
            raise self.error(f"a key of {len(key)} bytes, the map's have {info.key_size}")
        if sorted(values) != list(range(map_.cpus or 1)):
            raise self.error(f"values of {len(values)} CPUs, the map's have {map_.cpus}" if map_.cpus else "no value")
        for value in values.values():
            if len(value) != info.value_size:
                raise self.error(f"a value of {len(value)} bytes, the map's have {info.value_size}")
        self.count += 1
        return key, b"".join([values[cpu].ljust(map_.value_stride, b"\0") for cpu in range(map_.cpus or 1)])


class _Layout:
    """Elements of one width, as ElementFormat writes them, and what a dump has in them besides, by BTF."""

    def __init__(self, map: Map, style: str, depth: int, types: Types | None) -> None:
        plain = ElementFormat(map, style, depth)
        self.record = plain.record
        self.strides = plain.strides
        self.fixed = [(at, bytes((char,))) for at, char in enumerate(self.record) if char]
        self.beginning = self.record.partition(DIGIT.encode())[0]
        places = {(source, number): place for place, source, number in plain.places}
        self.bytes = [
            (source, number // 2, place, places[source, number + 1])
            for (source, number), place in places.items()
            if not number % 2
        ]
        self.formatted = _formatted(self.record, _Shape(map, style, depth, types).record) if types else None

    def take(self, text: bytes) -> tuple[bytearray, bytearray, int, int]:
        """Keys, values, number and length of the elements that the text begins with; none if they look otherwise."""
        width, used = len(self.record), 0
        if self.formatted:
            used = max(0, text.rfind(self.beginning))
            text = self.formatted.sub(b"", text[:used])
        n = len(text) // width
        for at, char in self.fixed:
            column = text[at : n * width : width]
            if column.count(char) != n:
                n = len(column) - len(column.lstrip(char))
        read = {source: bytearray(n * stride) for source, stride in self.strides.items()}
        pair = bytearray(2 * n)
        for source, offset, high, low in self.bytes:
            pair[::2], pair[1::2] = text[high : n * width : width], text[low : n * width : width]
            column = _from_hex(pair)
            if len(column) != n:
                return bytearray(), bytearray(), 0, 0
            read[source][offset :: self.strides[source]] = column
        if self.formatted and n * width != len(text):  # where they end in the input, only the whole tells
            return bytearray(), bytearray(), 0, 0
        return read[KEY], read[VALUE], n, used or n * width


class _Numbers:
    """Elements of nothing but numbers, as plain text has them by BTF. Error for types that have other values."""

    def __init__(self, map: Map) -> None:
        types = Types(map)
        rows = [types.row(source, "plain", 2, size) for source, size in _sizes(map)]
        if map.cpus or any(row is None or row.format is None or "%s" in row.template for row in rows):
            raise Error("not only numbers")
        self.formats = [str(row.format) for row in rows if row]
        self.counts = [len(struct.unpack(format_, bytes(struct.calcsize(format_)))) for format_ in self.formats]
        record = _Shape(map, "plain", 1, types).record
        parts = re.split(rb"%d", record)
        self.beginning = parts[0].replace(b"%%", b"%")
        self.fixed = sum(len(part.replace(b"%%", b"%")) for part in parts)
        self.pattern = re.compile(rb"(-?\d+)".join([re.escape(part.replace(b"%%", b"%")) for part in parts]))

    def take(self, text: bytes) -> tuple[bytes, bytes, int, int]:
        """As _Layout.take."""
        used = max(0, text.rfind(self.beginning))
        found = self.pattern.findall(text, 0, used)
        n, width = len(found), sum(self.counts)
        digits = list(chain.from_iterable(found)) if width > 1 else found
        if n * self.fixed + sum(map(len, digits)) != used:
            return b"", b"", 0, 0
        try:
            numbers = list(map(int, digits))
        except ValueError:  # more digits than Python converts
            return b"", b"", 0, 0
        data: list[bytes] = []
        first = 0
        for format_, count in zip(self.formats, self.counts, strict=True):
            fields = [0] * (n * count)
            for at in range(count):
                fields[at::count] = numbers[first + at :: width]
            first += count
            try:
                data.append(struct.pack(format_[0] + format_[1:] * n, *fields))
            except struct.error:  # one is too large, which the general way tells of
                return b"", b"", 0, 0
        return data[0], data[1], n, used


def _sizes(map: Map) -> tuple[tuple[str, int], tuple[str, int]]:
    return (KEY, map.info.key_size), (VALUE, map.info.value_size)


class _Shape(ElementFormat):
    """A layout with the whole template of each value in it, where text is made of it value by value, too."""

    def _value_of(self, row: Row | None, source: str, offset: int) -> str:
        return row.template if row else "null"


def _formatted(plain: bytes, typed: bytes) -> re.Pattern[bytes] | None:
    """A pattern for what BTF adds to an element."""
    shared = next(at for at, pair in enumerate(zip(plain, typed, strict=False)) if pair[0] != pair[1])
    added = typed[shared : len(typed) - (len(plain) - shared)].decode()
    parts = re.split("(%.)", added)
    if any(part not in _CONVERSIONS for part in parts[1::2]):
        return None
    return re.compile(
        "".join([_CONVERSIONS[part] if at % 2 else re.escape(part) for at, part in enumerate(parts)]).encode()
    )


def _from_hex(digits: bytes | bytearray) -> bytes:
    """The bytes of digits, empty for anything else; of what has blanks in it too few."""
    try:
        return bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        return b""


class _Json(_Reader):
    """An array of elements as JSON, compact or indented; also one without the raw bytes, as plain text has it."""

    def start(self, first: bytes) -> bytes:
        self.decoder = json.JSONDecoder(object_pairs_hook=_members)
        text = first.lstrip().removeprefix(b"[").lstrip()
        style = "json" if text.startswith(b'{"') else "pretty"
        types = Types(self.map) if self.map.info.btf_id else None
        self.layout = _Layout(self.map, style, 1, types)
        if types and not text.startswith(self.layout.beginning):  # plain text by BTF
            with contextlib.suppress(Error):
                self.layout = _Numbers(self.map)
        return text

    def one_by_one(self, last: bool) -> Iterator[Batch]:
        text, at = self.pending.decode("utf-8", "surrogateescape"), 0
        keys, values, n = bytearray(), bytearray(), 0
        while at < len(text):
            if text[at] in " \t\r\n,[":
                at += 1
                continue
            if text[at] == "]":
                at = len(text)
                break
            try:
                element, end = self.decode(text, at)
            except json.JSONDecodeError as error:
                if last:
                    raise self.error(f"no JSON: {error.msg}: {text[at : at + MAX_SHOWN]!r}") from None
                break
            except ValueError:  # more digits than Python converts
                raise self.error(f"a number is too long: {text[at : at + MAX_SHOWN]!r}") from None
            at = end
            entry = self.element(element)
            if entry:
                keys += entry[0]
                values += entry[1]
                n += 1
        self.pending = text[at:].encode("utf-8", "surrogateescape")
        if n:
            yield keys, values, n

    def decode(self, text: str, at: int) -> tuple[Any, int]:
        """The value that begins somewhere in a text, and where it ends. JSONDecodeError if it is none, or not whole."""
        try:
            return self.decoder.raw_decode(text, at)
        except json.JSONDecodeError:
            end = _end(text, at)
            if "0x" not in text[at:end]:
                raise
            return self.decoder.decode(_STRING_OR_HEX.sub(_quoted, text[at:end])), end

    def element(self, element: Any) -> tuple[bytes, bytes] | None:
        """Key and value of an element, None for one that a dump could not read."""
        if not isinstance(element, dict):
            raise self.error(f"expected an object, got {str(element)[:MAX_SHOWN]}")
        if "elements" in element:
            raise self.error("a dump of several maps: load them one by one")
        by_cpu = element.get("values")
        if by_cpu is None:
            found = {0: element["value"]} if "value" in element else {}
        elif isinstance(by_cpu, list) and all(
            isinstance(row, dict) and isinstance(row.get("cpu"), int) for row in by_cpu
        ):
            found = {row["cpu"]: row.get("value") for row in by_cpu}
        else:
            raise self.error("expected an array of cpu and value")
        if any(isinstance(value, dict) and list(value) == ["error"] for value in found.values()):
            return None
        key = self.bytes_of(element.get("key", []), KEY)
        return self.whole(key, {cpu: self.bytes_of(value, VALUE) for cpu, value in found.items()})

    def bytes_of(self, value: Any, source: str) -> bytes:
        """The bytes of a key or value: an array of "0x..", or a value by BTF."""
        codec = self.map.codecs[source == VALUE]
        if isinstance(value, list) and all(isinstance(item, str) and item[:2] == "0x" for item in value):
            data = _from_hex("".join([item[2:].rjust(2, "0") for item in value]).encode("ascii", "replace"))
            if len(data) == len(value) and (len(data) == codec.size or codec.types is None):
                return data
        if codec.types is None or not codec.type_id:
            raise self.error(f'expected an array of bytes as "0x00" for the {source}')
        try:
            return encode_text(codec.types, codec.type_id, value, source)
        except Error as error:
            raise self.error(error.message) from None


def _end(text: str, at: int) -> int:
    """Where an object ends that begins somewhere in a text; where it begins if it is not whole."""
    depth = 0
    for match in _STRING_OR_BRACE.finditer(text, at):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if not depth:
            return match.end()
    return at


def _quoted(match: re.Match[str]) -> str:
    """Plain text by BTF has some numbers in bare hex."""
    return match[0] if match[0][0] == '"' else f'"{match[0]}"'


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, those of its anonymous members among its own."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        found |= value if not name and isinstance(value, dict) else {name: value}
    return found


class _Lines(_Reader):
    """`key: 00 …  value: 00 …` as in a dump; and `key … value …` with the bytes as the words of `map update`."""

    def start(self, first: bytes) -> bytes:
        self.layout = _Layout(self.map, "plain", 0, None)
        self.words: list[str] = []  # of the element that is being read
        info, cpus = self.map.info, self.map.cpus or 1
        self.most = MAX_LABELS + info.key_size + cpus * (info.value_size + MAX_LABELS)
        return first

    def one_by_one(self, last: bool) -> Iterator[Batch]:
        end = len(self.pending) if last else self.pending.rfind(b"\n") + 1
        text, self.pending = self.pending[:end].decode("utf-8", "replace"), self.pending[end:]
        keys, values, n = bytearray(), bytearray(), 0
        for entry in self.entries(text, last):
            keys += entry[0]
            values += entry[1]
            n += 1
        if n:
            yield keys, values, n

    def entries(self, text: str, last: bool) -> Iterator[tuple[bytes, bytes]]:
        """The elements of whole lines; one that goes on in lines to come stays in `words`."""
        first = KEY if self.map.info.key_size else VALUE
        for line in text.splitlines():
            words = line.split()
            if words[:1] in (["Found"], ["#"]) or not words:
                continue
            if self.words and words[0].rstrip(":") == first:
                entry = self.element()
                if entry:
                    yield entry
            self.words += words
            if len(self.words) > self.most:
                raise self.error(f"more than {self.most} words")
        if last and self.words:
            entry = self.element()
            if entry:
                yield entry

    def element(self) -> tuple[bytes, bytes] | None:
        """Key and value of the words read so far, None for one that a dump could not read."""
        words, self.words = self.words, []
        if words[-1] in ("entry>", "read>"):
            return None
        parts: dict[Any, list[str]] = {}
        current: list[str] | None = None
        bases: dict[int, int] = {}
        following = iter([*words[1:], "", ""])
        rest = iter(words)
        for word in rest:
            label, after = word.rstrip(":"), next(following)
            if label == VALUE and after == "(CPU":
                next(rest)
                cpu = next(rest, "").rstrip("):")
                next(following), next(following)
                if not (cpu.isascii() and cpu.isdecimal()):
                    raise self.error(f"no CPU in 'value (CPU {cpu}'")
                current = parts.setdefault(int(cpu), [])
                bases[id(current)] = 16
            elif label in (KEY, VALUE, "inner_map_id"):
                current = parts.setdefault(label if label == KEY else 0, [])
                bases[id(current)] = 10 if label == "inner_map_id" else 16 if word != label else 0
            elif current is None:
                raise self.error(f"expected 'key' or 'value', got {word[:MAX_SHOWN]!r}")
            elif word == "hex":
                bases[id(current)] = 16
            else:
                current.append(word)
        key = self.bytes_of(parts.pop(KEY, []), bases)
        return self.whole(key, {cpu: self.bytes_of(value, bases) for cpu, value in parts.items()})

    def bytes_of(self, words: list[str], bases: dict[int, int]) -> bytes:
        base = bases.get(id(words), 0)
        try:
            if base == 10 and len(words) == 1:
                return int(words[0]).to_bytes(self.map.info.value_size, sys.byteorder)
            return bytes([byte(word, base == 16) for word in words])
        except (ValueError, OverflowError):
            raise self.error(f"no map id: {words[0][:MAX_SHOWN]!r}") from None
        except Error as error:
            raise self.error(error.message) from None
