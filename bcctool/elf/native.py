"""Functions of programs and libraries, by the offset in the file at which a uprobe goes (ELF gABI, symbol versions).

Such files have symbols by the million, so their tables are read where they lie, and nothing of them is kept.
"""

from __future__ import annotations

import fnmatch
import mmap
import os
import re
import struct

from ..errors import Error, KernelError, Malformed
from ..escapes import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NoReturn

    from typing_extensions import Self

IDENT_SIZE = 16
PT_LOAD = 1
PF_X = 1
SHT_NOTE, SHT_NOBITS, SHT_DYNSYM, SHT_SYMTAB = 7, 8, 11, 2
SHT_VERDEF, SHT_VERSYM = 0x6FFFFFFD, 0x6FFFFFFF
SHN_XINDEX, PN_XNUM = 0xFFFF, 0xFFFF
STT_FUNC, STB_WEAK = 2, 2
VERSION_HIDDEN = 0x8000  # of several versions of a name the ones that new programs are not linked with
# In this order: the first has what the linker tells apart, the second more, unless the file is stripped.
TABLES = (SHT_DYNSYM, SHT_SYMTAB)
# Generous for any real file, and what bounds the time that a hostile one takes.
MAX_SECTIONS, MAX_SEGMENTS, MAX_SYMBOLS, MAX_VERSIONS = 1 << 16, 1 << 12, 1 << 22, 1 << 12
MAX_NAME, MAX_NAMES, MAX_HITS = 4096, 1 << 27, 1 << 16
WILDCARDS = "*?"


class Layout:
    """How the tables of one ELF class are packed, and the place of each field in a row."""

    __slots__ = ("header", "section", "segment", "segment_fields", "symbol", "symbol_fields", "word")

    def __init__(self, order: str, wide: bool) -> None:
        word = "Q" if wide else "I"
        self.word = struct.Struct(order + word)
        # e_type, e_machine, e_version, e_entry, e_phoff, e_shoff, e_flags, e_ehsize, then sizes and counts
        self.header = struct.Struct(f"{order}{IDENT_SIZE}xHHI3{word}I6H")
        self.section = struct.Struct(f"{order}II4{word}II2{word}")
        self.segment = struct.Struct(order + ("II6Q" if wide else "8I"))
        self.segment_fields = (0, 1, 2, 3, 5) if wide else (0, 6, 1, 2, 4)  # type, flags, offset, address, file size
        self.symbol = struct.Struct(order + ("IBBHQQ" if wide else "IIIBBH"))
        self.symbol_fields = (0, 1, 3, 4) if wide else (0, 3, 5, 1)  # name, info, section, value


class Section:
    """A section header: what of it is asked for here."""

    __slots__ = ("address", "entsize", "index", "link", "name", "offset", "size", "type")

    def __init__(self, index: int, row: tuple[int, ...]) -> None:
        self.index = index
        self.name, self.type, _, self.address, self.offset, self.size, self.link, _, _, self.entsize = row


class Function:
    """A symbol of a function; version is empty without one, default where it is the one that a plain name means."""

    __slots__ = ("address", "default", "version", "weak")

    def __init__(self, address: int, weak: bool, version: str, default: bool) -> None:
        self.address = address
        self.weak = weak
        self.version = version
        self.default = default


class NativeElf:
    """An executable or shared library of any machine, open for as long as it is asked. Use it as a context manager.

    machine: its e_machine; wide: whether it is a 64-bit one; relocated: whether it runs at other addresses than it
    names (ET_DYN). Error when it can't be read, or is no ELF file; Malformed where one of its tables can't be right.
    """

    def __init__(self, path: str) -> None:
        self.where = printable(path)
        if os.path.exists(path) and not os.path.isfile(path):  # to open a pipe would wait
            raise Error(f"{self.where}: is not a regular file")
        try:
            with open(path, "rb") as file:
                self._file = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise KernelError(self.where, error.errno or 0, status=255) from None
        except ValueError:  # there is nothing in it
            raise Error(f"{self.where}: not an ELF file") from None
        try:
            self._read_header()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def malformed(self, where: str, reason: str) -> NoReturn:
        """Raise Malformed for a place in this file."""
        raise Malformed(self.where, where, reason)

    def _read_header(self) -> None:
        ident = self._file[:IDENT_SIZE]
        if ident[:4] != b"\x7fELF":
            raise Error(f"{self.where}: not an ELF file")
        if len(ident) < IDENT_SIZE or ident[4] not in (1, 2) or ident[5] not in (1, 2):
            self.malformed("header", "neither 32 nor 64 bits, or no byte order")
        self.wide = ident[4] == 2
        self.order = "<" if ident[5] == 1 else ">"
        self.layout = Layout(self.order, self.wide)
        if len(self._file) < self.layout.header.size:
            self.malformed("header", "is cut off")
        row = self.layout.header.unpack_from(self._file)
        self.relocated, self.machine = row[0] == 3, row[1]
        phoff, shoff = row[4:6]
        phentsize, phnum, shentsize, shnum, self._names = row[8:13]
        extended = self._rows("section headers", self.layout.section, shoff, 1) if shoff else []
        if extended:  # what has no room in the header stands in the first, empty section
            first = Section(0, extended[0])
            shnum = shnum or first.size
            self._names = first.link if self._names == SHN_XINDEX else self._names
            phnum = extended[0][7] if phnum == PN_XNUM else phnum
        if (shoff and shentsize != self.layout.section.size) or (phnum and phentsize != self.layout.segment.size):
            self.malformed("header", "the entries of its tables have another size than they should")
        if shnum > MAX_SECTIONS or phnum > MAX_SEGMENTS:
            self.malformed("header", f"{shnum} sections and {phnum} segments are more than are read here")
        rows = self._rows("section headers", self.layout.section, shoff, shnum) if shoff else []
        self.sections = [Section(index, row) for index, row in enumerate(rows)]
        self.segments = [
            tuple(row[field] for field in self.layout.segment_fields)
            for row in self._rows("program headers", self.layout.segment, phoff, phnum)
        ]

    def _rows(self, where: str, layout: struct.Struct, offset: int, count: int) -> list[tuple[int, ...]]:
        end = offset + count * layout.size
        if end > len(self._file):
            self.malformed(where, "lie outside the file: is it truncated?")
        return list(layout.iter_unpack(self._file[offset:end]))

    def _extent(self, section: Section) -> tuple[int, int]:
        """Where the bytes of a section begin and end in the file."""
        if section.type == SHT_NOBITS:
            return 0, 0
        if section.offset + section.size > len(self._file):
            self.malformed(f"section [{section.index}]", "lies outside the file: is it truncated?")
        return section.offset, section.offset + section.size

    def data(self, section: Section, limit: int) -> bytes:
        """The bytes of a section. Malformed when they are more than `limit`."""
        start, end = self._extent(section)
        if end - start > limit:
            self.malformed(f"section [{section.index}]", f"{end - start} bytes, {limit} are supported")
        return self._file[start:end]

    def section(self, name: str) -> Section | None:
        """The first section with this name, None without."""
        if self._names >= len(self.sections):
            return None
        start, end = self._extent(self.sections[self._names])
        wanted = name.encode() + b"\0"
        for section in self.sections:
            at = start + section.name
            if at + len(wanted) <= end and self._file[at : at + len(wanted)] == wanted:
                return section
        return None

    def offset(self, address: int, flags: int = 0) -> int | None:
        """Where in the file the byte of an address stands, in a segment with all of these flags (PF_X); else None."""
        for type_, has, offset, start, size in self.segments:
            if type_ == PT_LOAD and has & flags == flags and start <= address < start + size:
                return int(address - start + offset)
        return None

    def function_offset(self, name: str) -> int:
        """Where in the file the code of a function begins; name: `open`, `open@VERSION` or `open@@VERSION`.

        Error when there is none of this name, or there are several and the name does not tell which.
        """
        plain, at, version = name.partition("@")
        only_default, version = version[:1] == "@", version.removeprefix("@")
        for type_ in TABLES if plain else ():
            found = [function for _, function in self._functions(type_, plain)]
            if at:
                found = [
                    function
                    for function in found
                    if function.version and function.version == version and (function.default or not only_default)
                ]
            elif any(function.default for function in found):
                found = [function for function in found if function.default or not function.version]
            strong = [function for function in found if not function.weak] or found[:1]
            offsets = {self.offset(function.address) for function in strong} - {None}
            if len(offsets) > 1:
                hint = "give a version (NAME@VERSION)" if strong[0].version else "give an offset in the file (PATH:0xN)"
                raise Error(f"{self.where}: it has {len(offsets)} functions '{printable(name)}': {hint}")
            for offset in offsets:
                assert offset is not None
                return offset
        raise Error(f"{self.where}: it has no function '{printable(name)}'")

    def function_offsets(self, pattern: str) -> list[int]:
        """Where in the file the code of each function begins whose name matches; `*` and `?` are wildcards.

        Ascending, each once. Error when none does.
        """
        if not any(wildcard in pattern for wildcard in WILDCARDS):
            return [self.function_offset(pattern)]
        matches = compiled(pattern).match
        found = set()
        for type_ in TABLES:
            for name, function in self._functions(type_):
                if matches(name.decode("utf-8", "backslashreplace")):
                    found.add(self.offset(function.address, PF_X))
        offsets = sorted(offset for offset in found if offset is not None)
        if not offsets:
            raise Error(f"{self.where}: no function matches '{printable(pattern)}'")
        return offsets

    def _functions(self, type_: int, name: str | None = None) -> Iterator[tuple[bytes, Function]]:
        """The functions of a symbol table that are defined in this file, of all names or of one."""
        table = next((section for section in self.sections if section.type == type_), None)
        if table is None:
            return
        layout, where = self.layout, f"section [{table.index}]"
        start, end = self._extent(table)
        size = layout.symbol.size
        if table.entsize != size or (end - start) % size or table.link >= len(self.sections):
            self.malformed(where, "is no symbol table")
        if end - start > MAX_SYMBOLS * size:
            self.malformed(where, f"more than {MAX_SYMBOLS} symbols")
        strings = self._extent(self.sections[table.link])
        text = b"" if name is None else name.encode()
        wanted = None if name is None else self._places(text + b"\0", *strings)
        versions, names = self._versions(table) if type_ == SHT_DYNSYM else (b"", {})
        at_name, at_info, at_section, at_value = layout.symbol_fields
        total = 0
        with memoryview(self._file) as whole, whole[start:end] as symbols:
            for index, row in enumerate(layout.symbol.iter_unpack(symbols)):
                if row[at_info] & 0xF != STT_FUNC or not row[at_section]:
                    continue
                if wanted is not None and row[at_name] not in wanted:
                    continue
                found = self._string(row[at_name], *strings) if wanted is None else text
                total += len(found)
                if total > MAX_NAMES:
                    self.malformed(where, f"more than {MAX_NAMES} bytes of names")
                number = int.from_bytes(versions[2 * index : 2 * index + 2], "little" if self.order == "<" else "big")
                version = names.get(number & ~VERSION_HIDDEN, "")
                default = bool(version) and not number & VERSION_HIDDEN
                yield found, Function(row[at_value], row[at_info] >> 4 == STB_WEAK, version, default)

    def _places(self, text: bytes, start: int, end: int) -> set[int]:
        """Offsets of a string in a string table: some may be the tails of others."""
        found: set[int] = set()
        at = self._file.find(text, start, end)
        while at >= 0 and len(found) < MAX_HITS:
            found.add(at - start)
            at = self._file.find(text, at + 1, end)
        return found

    def _string(self, offset: int, start: int, end: int) -> bytes:
        """The string at an offset of a string table, or its first bytes; empty when it has no end."""
        if start + offset >= end:
            return b""
        limit = min(start + offset + MAX_NAME, end)
        stop = self._file.find(b"\0", start + offset, limit)
        return self._file[start + offset : max(stop, start + offset)]

    def _versions(self, table: Section) -> tuple[bytes, dict[int, str]]:
        """The version number of each dynamic symbol, as bytes, and the names of the versions that are defined here."""
        versym = next((section for section in self.sections if section.type == SHT_VERSYM), None)
        verdef = next((section for section in self.sections if section.type == SHT_VERDEF), None)
        if versym is None or verdef is None or verdef.link >= len(self.sections):
            return b"", {}
        strings = self._extent(self.sections[verdef.link])
        data = self.data(verdef, MAX_NAMES)
        names: dict[int, str] = {}
        at = 0
        for _ in range(MAX_VERSIONS):
            if at + 20 > len(data):
                break
            _, _, number, _, _, aux, after = struct.unpack_from(self.order + "4H3I", data, at)
            if at + aux + 8 <= len(data):
                (name,) = struct.unpack_from(self.order + "I", data, at + aux)
                names[number] = self._string(name, *strings).decode("utf-8", "backslashreplace")
            if not after:
                break
            at += after
        return self.data(versym, 2 * MAX_SYMBOLS), names


def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern with the wildcards `*` and `?` as a regular expression that takes no more than linear time."""
    return re.compile(fnmatch.translate(pattern.replace("[", "[[]")))


def function_offset(path: str, name: str) -> int:
    """Where in a file the code of a function begins: NativeElf.function_offset."""
    with NativeElf(path) as elf:
        return elf.function_offset(name)


def function_offsets(path: str, pattern: str) -> list[int]:
    """Where in a file the code of each function begins that matches: NativeElf.function_offsets."""
    with NativeElf(path) as elf:
        return elf.function_offsets(pattern)
