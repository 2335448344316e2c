"""BTF blobs: an index of where each type starts, and types decoded on demand (kernel's Documentation/bpf/btf.rst)."""

from __future__ import annotations

import struct
import sys
from array import array

from ..errors import Malformed
from . import kinds
from .kinds import HEAD_WORDS, KINDS, MODIFIERS, kind_flag_of, kind_of, vlen_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterator
    from typing import Any, Literal

MAGIC: dict[bytes, Literal["little", "big"]] = {b"\x9f\xeb": "little", b"\xeb\x9f": "big"}
HEADER_LEN = 24
POINTER_SIZE = 8
MAX_DEPTH = 64  # of modifiers or array dimensions in a row; the kernel stops at 32
MAX_SIZE = 0xFFFFFFFF
MAX_STRING = 1 << 16  # bytes of one string: tails of a long one could be named millions of times
_KIND_OF_TOP = bytes([kind_of(top << 24) for top in range(256)])


class Member:
    """A struct or union member; `bit_offset` from the start of the struct, `bitfield_size` in bits (0: no bitfield)."""

    __slots__ = ("bit_offset", "bitfield_size", "name", "type_id")

    def __init__(self, name: str, type_id: int, bit_offset: int, bitfield_size: int) -> None:
        self.name = name
        self.type_id = type_id
        self.bit_offset = bit_offset
        self.bitfield_size = bitfield_size


class Type:
    """One decoded type.

    `size` in bytes is 0 for kinds without one, `type_id` is 0 for kinds that refer to no type. `entries` by kind:
    STRUCT, UNION: Member...; ENUM, ENUM64: (name, value)...; FUNC_PROTO: (name, type_id)...;
    DATASEC: (type_id, offset, size)...; ARRAY: type_id, index_type_id, nelems; INT: encoding, bit_offset, nr_bits;
    VAR, FUNC: linkage; DECL_TAG: component_idx.
    """

    __slots__ = ("entries", "id", "kind", "kind_flag", "name", "size", "type_id", "vlen")

    def __init__(self, id: int, kind: int, name: str, vlen: int, kind_flag: bool, third: int) -> None:
        self.id = id
        self.kind = kind
        self.name = name
        self.vlen = vlen
        self.kind_flag = kind_flag
        self.size = third if KINDS[kind].third == "size" else 0
        self.type_id = third if KINDS[kind].third == "type" else 0
        self.entries: tuple[Any, ...] = ()


class Btf:
    """A BTF blob; ids and string offsets continue those of `base` (split BTF).

    data: the blob as given; words: the type section as native-endian u32 words; index: the word position of each own
    type; strings: the own string section; start_string: the offset of its first byte.
    Raises Malformed when the header, the string section or the extent of a type is not valid; what the types
    say about each other is checked on use (or at once by btf.validate).
    """

    nr_types: int
    start_string: int
    strings: bytes

    def __init__(self, data: bytes | memoryview | mmap.mmap, base: Btf | None = None, where: str = "BTF") -> None:
        self.where = where
        self.base = base
        self.data = data
        view = memoryview(data).cast("B")
        self.byteorder, types, strings = _sections(view, where)
        if base is not None and base.byteorder != self.byteorder:
            raise Malformed(where, "header", f"{self.byteorder}-endian, but its base BTF is {base.byteorder}-endian")
        self.start_id = base.nr_types if base else 1
        self.start_string = base.start_string + len(base.strings) if base else 0
        self.strings = _checked_strings(bytes(strings), base is not None, where)
        self.words = _native_words(types, self.byteorder)
        self.index = _index(self.words, self.start_id, where)
        self.nr_types = self.start_id + len(self.index)
        self._names: tuple[bytes, frozenset[int]] | None = None

    def _position(self, id: int) -> int:
        if not self.start_id <= id < self.nr_types:
            raise Malformed(self.where, f"type [{id}]", f"no such type, there are {self.nr_types}")
        return self.index[id - self.start_id]

    def head(self, id: int) -> tuple[int, int, int]:
        """(name_off, info, size or type) of a type; zeros for void (id 0)."""
        if id < self.start_id:
            if self.base is not None:
                return self.base.head(id)
            if id == 0:
                return 0, 0, 0
        words, at = self.words, self._position(id)
        return words[at], words[at + 1], words[at + 2]

    def word(self, id: int, number: int) -> int:
        """A word of a type that has as many."""
        if id < self.start_id and self.base is not None:
            return self.base.word(id, number)
        return self.words[self.index[id - self.start_id] + number]

    def words_of(self, id: int) -> list[int]:
        """All words of a type: its head and what follows it; three zeros for void."""
        if id < self.start_id:
            if self.base is not None:
                return self.base.words_of(id)
            if id == 0:
                return [0] * HEAD_WORDS
        at, after = self._position(id), id - self.start_id + 1
        return self.words[at : self.index[after] if after < len(self.index) else len(self.words)].tolist()

    def kind(self, id: int) -> int:
        """The kind of a type (btf.kinds), 0 for void."""
        return kind_of(self.head(id)[1])

    def chain(self) -> list[Btf]:
        """The blobs that make up the ids, the base of all first."""
        return [*self.base.chain(), self] if self.base else [self]

    def column(self, word: int) -> list[int]:
        """One word of the head of every type by id, those of the base included; 0 for void."""
        column = [0]
        for blob in self.chain():
            column += map(blob.words[word:].__getitem__, blob.index)
        return column

    def kinds(self) -> bytes:
        """The kind of every type by id, those of the base included."""
        tops = array("I", self.column(1)).tobytes()[3 if sys.byteorder == "little" else 0 :: 4]
        return tops.translate(_KIND_OF_TOP)

    def name(self, id: int) -> str:
        """The name of a type, empty if it has none."""
        return self.string(self.head(id)[0])

    def type(self, id: int) -> Type:
        """Decode one type."""
        name_offset, info, third, *words = self.words_of(id)
        kind = kind_of(info)
        type_ = Type(id, kind, self.string(name_offset), vlen_of(info), kind_flag_of(info), third)
        decode = _ENTRIES.get(kind)
        if decode is not None:
            type_.entries = tuple(decode(self, type_, words))
        return type_

    def types(self) -> Iterator[Type]:
        """All own types in order (a split blob's base not included)."""
        return map(self.type, range(self.start_id, self.nr_types))

    def ids(self, name: str, kind: int | None = None) -> Iterator[int]:
        """The ids of all types with this name (and kind), base first, ascending."""
        for blob in self.chain():
            for id in blob.own_ids(self._string_offsets(name.encode() + b"\0")):
                if kind in (None, self.kind(id)):
                    yield id

    def own_ids(self, offsets: set[int]) -> list[int]:
        """The own types whose names stand at these string offsets, ascending."""
        if self._names is None:
            column = array("I", map(self.words.__getitem__, self.index))
            self._names = column.tobytes(), frozenset(column)
        column_bytes, used = self._names
        ids = []
        for offset in offsets & used:
            word = offset.to_bytes(4, sys.byteorder)
            at = column_bytes.find(word)
            while at >= 0:
                if at % 4 == 0:
                    ids.append(self.start_id + at // 4)
                at = column_bytes.find(word, at + 1)
        return sorted(ids)

    def _string_offsets(self, text: bytes) -> set[int]:
        """Every offset at which a string that begins with `text` can be referred to, tails of longer ones included."""
        offsets = set()
        for blob in self.chain():
            at = blob.strings.find(text)
            while at >= 0:
                offsets.add(blob.start_string + at)
                at = blob.strings.find(text, at + 1)
        return offsets

    def own_named(self, name: str) -> list[int]:
        """The own types of this name, those of the base left out, ascending."""
        return self.own_ids(self._string_offsets(name.encode() + b"\0"))

    def strings_with(self, text: bytes) -> Iterator[tuple[int, str]]:
        """(offset, string) of all strings that contain a text, those of the base first."""
        for blob in self.chain():
            at = blob.strings.find(text)
            while at >= 0:
                start = blob.strings.rfind(b"\0", 0, at) + 1
                raw = blob.raw_string(blob.start_string + start)
                yield blob.start_string + start, raw.decode("utf-8", "backslashreplace")
                at = blob.strings.find(text, start + len(raw))

    def find(self, name: str, kind: int | None = None) -> int | None:
        """The first type with this name (and kind), or None."""
        return next(self.ids(name, kind), None)

    def resolve(self, id: int) -> int:
        """The id behind typedefs, const, volatile, restrict and type tags."""
        for _ in range(MAX_DEPTH):
            _, info, third = self.head(id)
            if kind_of(info) not in MODIFIERS:
                return id
            id = third
        raise Malformed(self.where, f"type [{id}]", "typedefs and qualifiers form a cycle or too long a chain")

    def size_of(self, id: int) -> int:
        """The size of a type's values in bytes."""
        count = 1
        for _ in range(MAX_DEPTH):
            id = self.resolve(id)
            _, info, third = self.head(id)
            kind = kind_of(info)
            if kind == kinds.ARRAY:
                id, _, nelems = self.type(id).entries
                count *= nelems
            elif kind == kinds.VAR:
                id = third
            else:
                break
        if kind == kinds.PTR:
            third = POINTER_SIZE
        elif kind not in kinds.SIZED:
            raise Malformed(self.where, f"type [{id}] {KINDS[kind].name}", "has no size")
        if count * third > MAX_SIZE:
            raise Malformed(self.where, f"type [{id}]", f"more than {MAX_SIZE} bytes are too large")
        return count * third

    def string(self, offset: int) -> str:
        """The string at an offset; bytes that are not UTF-8 come out as `\\xNN`."""
        return self.raw_string(offset).decode("utf-8", "backslashreplace") if offset else ""

    def raw_string(self, offset: int) -> bytes:
        """The bytes of the string at an offset."""
        if offset < self.start_string and self.base is not None:
            return self.base.raw_string(offset)
        start = offset - self.start_string
        end = self.strings.find(b"\0", start, start + MAX_STRING)
        if end < 0:
            place = "lies outside the string section" if start >= len(self.strings) else "the string is too long"
            raise Malformed(self.where, f"string offset {offset}", place)
        return self.strings[start:end]


def _sections(view: memoryview[int], where: str) -> tuple[Literal["little", "big"], memoryview[int], memoryview[int]]:
    """(byte order, type section, string section) after the checks of the header."""
    byteorder = MAGIC.get(bytes(view[:2]))
    if byteorder is None:
        raise Malformed(where, "header", "not BTF: wrong magic")
    if len(view) < HEADER_LEN:
        raise Malformed(where, "header", f"{len(view)} bytes, a header takes {HEADER_LEN}")
    version, _flags, header_len, *areas = struct.unpack_from(("<" if byteorder == "little" else ">") + "2x2B5I", view)
    if version != 1:
        raise Malformed(where, "header", f"version {version} is not supported, only 1 is")
    if not HEADER_LEN <= header_len <= len(view):
        raise Malformed(where, "header", f"header length {header_len} is out of range")
    body = view[header_len:]
    parts = []
    for section, offset, length in (("types", *areas[:2]), ("strings", *areas[2:])):
        if offset + length > len(body):
            raise Malformed(where, section, f"{length} bytes at offset {offset} of {len(body)} bytes of data")
        parts.append(body[offset : offset + length])
    if areas[0] % 4 or areas[1] % 4:
        raise Malformed(where, "types", "offset and length have to be multiples of 4")
    return byteorder, parts[0], parts[1]


def _checked_strings(strings: bytes, split: bool, where: str) -> bytes:
    if not strings and split:
        return strings
    if not strings or strings[-1]:
        raise Malformed(where, "strings", "the section does not end with a NUL")
    if strings[0] and not split:
        raise Malformed(where, "strings", "the first string is not empty")
    return strings


def _native_words(types: memoryview[int], byteorder: str) -> memoryview[int]:
    if byteorder == sys.byteorder:
        return types.cast("I")
    words = array("I", bytes(types))
    words.byteswap()
    return memoryview(words)


def _index(words: memoryview[int], start_id: int, where: str) -> array[int]:
    """The word position of each type. One dict look-up per type: a blob has few different info words."""
    steps: dict[int, int] = {}
    index = array("I")
    append = index.append
    at, end = 0, len(words)
    try:
        while at < end:
            append(at)
            info = words[at + 1]
            try:
                at += steps[info]
            except KeyError:
                kind = kind_of(info)
                if not 0 < kind < len(KINDS):
                    id = start_id + len(index) - 1
                    raise Malformed(where, f"type [{id}]", f"unknown kind {kind}") from None
                row = KINDS[kind]
                steps[info] = step = HEAD_WORDS + row.words + row.entry_words * vlen_of(info)
                at += step
    except IndexError:
        at = end + 1
    if at != end:
        raise Malformed(where, f"type [{start_id + len(index) - 1}]", "reaches past the end of the type section")
    return index


def _triples(words: list[int]) -> Iterator[tuple[int, int, int]]:
    return zip(words[0::3], words[1::3], words[2::3], strict=True)


def _int(btf: Btf, type_: Type, words: list[int]) -> tuple[int, int, int]:
    return words[0] >> 24 & 0xF, words[0] >> 16 & 0xFF, words[0] & 0xFF


def _members(btf: Btf, type_: Type, words: list[int]) -> Iterator[Member]:
    for name, type_id, offset in _triples(words):
        if type_.kind_flag:
            yield Member(btf.string(name), type_id, offset & 0xFFFFFF, offset >> 24)
        else:
            yield Member(btf.string(name), type_id, offset, 0)


def _enumerators(btf: Btf, type_: Type, words: list[int]) -> Iterator[tuple[str, int]]:
    for name, value in zip(words[0::2], words[1::2], strict=True):
        yield btf.string(name), value - (value >> 31 << 32) if type_.kind_flag else value


def _enumerators64(btf: Btf, type_: Type, words: list[int]) -> Iterator[tuple[str, int]]:
    for name, low, high in _triples(words):
        value = high << 32 | low
        yield btf.string(name), value - (value >> 63 << 64) if type_.kind_flag else value


def _parameters(btf: Btf, type_: Type, words: list[int]) -> Iterator[tuple[str, int]]:
    return ((btf.string(name), type_id) for name, type_id in zip(words[0::2], words[1::2], strict=True))


def _variables(btf: Btf, type_: Type, words: list[int]) -> Iterator[tuple[int, int, int]]:
    return _triples(words)


def _linkage(btf: Btf, type_: Type, words: list[int]) -> tuple[int]:
    return (type_.vlen,)


def _same(btf: Btf, type_: Type, words: list[int]) -> list[int]:
    return words


def _component(btf: Btf, type_: Type, words: list[int]) -> tuple[int]:
    return (words[0] - (words[0] >> 31 << 32),)


_ENTRIES = {
    kinds.INT: _int,
    kinds.ARRAY: _same,
    kinds.STRUCT: _members,
    kinds.UNION: _members,
    kinds.ENUM: _enumerators,
    kinds.FUNC: _linkage,
    kinds.FUNC_PROTO: _parameters,
    kinds.VAR: _same,
    kinds.DATASEC: _variables,
    kinds.DECL_TAG: _component,
    kinds.ENUM64: _enumerators64,
}
