"""Sections, symbols and relocations of a BPF object file, every offset checked before use (ELF gABI, EM_BPF).

One kind of ELF only, whose tables are unpacked at once: to import pyelftools, which reads all kinds and is used for
other files, would take longer than to load a small object.
"""

from __future__ import annotations

import struct
from itertools import pairwise

from ..errors import Error, Malformed
from ..escapes import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal, NoReturn

CLASS64 = 2
BYTEORDERS: dict[int, Literal["little", "big"]] = {1: "little", 2: "big"}
MACHINES = {  # e_machine, spelled as people name the target
    2: "SPARC",
    3: "x86",
    8: "MIPS",
    20: "PowerPC",
    21: "PowerPC64",
    22: "s390",
    40: "ARM",
    43: "SPARC64",
    50: "IA-64",
    62: "x86-64",
    183: "AArch64",
    243: "RISC-V",
    247: "BPF",
    258: "LoongArch",
}
EM_BPF = 247
EV_CURRENT = 1
ET_REL = 1
TYPES = {0: "has no type", 2: "is an executable", 3: "is a shared object", 4: "is a core dump"}

SHT_NULL, SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB, SHT_RELA, SHT_NOBITS, SHT_REL = 0, 1, 2, 3, 4, 8, 9
SHF_ALLOC, SHF_EXECINSTR = 2, 4
SHN_UNDEF, SHN_LORESERVE, SHN_XINDEX = 0, 0xFF00, 0xFFFF
STB_LOCAL, STB_WEAK = 0, 2
STT_NOTYPE, STT_OBJECT, STT_FUNC, STT_SECTION = 0, 1, 2, 3
STV_INTERNAL, STV_HIDDEN = 1, 2

HEADER_SIZE, SECTION_SIZE, SYMBOL_SIZE = 64, 64, 24
HEADER = "40xQ10x3H"  # e_shoff, e_shentsize, e_shnum, e_shstrndx
SECTION_HEADER = "IIQQQQIIQQ"  # name, type, flags, address, offset, size, link, info, alignment, size of an entry
SLOT = 8  # bytes of an instruction
RELOCATION_FORMATS = {SHT_REL: "QQ", SHT_RELA: "QQq"}
# Generous for any real object (a program has a million instructions at most), and what bounds time and memory here.
MAX_SECTIONS, MAX_SYMBOLS, MAX_RELOCATIONS, MAX_NAME = 1 << 16, 1 << 17, 1 << 19, 4096
MAX_NAMES = 1 << 24  # bytes of all names of one table: a string table may share tails between names


class Section:
    """A section header; `data` is empty for SHT_NOBITS, whose `size` takes no space in the file."""

    __slots__ = ("align", "data", "entsize", "flags", "index", "info", "link", "name", "offset", "size", "type")

    def __init__(self, index: int, header: tuple[int, ...]) -> None:
        self.index = index
        _, self.type, self.flags, _, self.offset, self.size, self.link, self.info, self.align, self.entsize = header
        self.name = ""
        self.data = memoryview(b"")

    def __str__(self) -> str:
        return f"section {self.name}" if self.name else f"section [{self.index}]"


class Symbol:
    """A symbol table entry; `section` is the index of its section (0: undefined, from SHN_LORESERVE on: special)."""

    __slots__ = ("bind", "index", "name", "section", "size", "type", "value", "visibility")

    def __init__(self, index: int, name: str, info: int, other: int, section: int, value: int, size: int) -> None:
        self.index = index
        self.name = name
        self.bind = info >> 4
        self.type = info & 0xF
        self.visibility = other & 3
        self.section = section
        self.value = value
        self.size = size


class Elf:
    """A relocatable 64-bit BPF object of either byte order.

    data: its bytes. where: the file's name in error messages. Raises Error when `data` is another kind of file,
    Malformed when a header, an extent, a name or a link is not valid. `relocations` are checked when asked for.
    """

    def __init__(self, data: bytes, where: str) -> None:
        self.where = printable(where)
        self.data = memoryview(data).toreadonly().cast("B")
        check_kind(bytes(self.data[:HEADER_SIZE]), self.where)
        self.byteorder = BYTEORDERS[data[5]]
        self.order = "<" if self.byteorder == "little" else ">"
        self.sections = self._read_sections(*self._read_header())
        self.symbols = self._read_symbols()
        self._relocating: dict[int, list[Section]] = {}  # index of a section: the tables of its relocations
        for section in self.sections:
            if section.type in RELOCATION_FORMATS:
                self._relocating.setdefault(section.info, []).append(section)

    def malformed(self, where: object, reason: str) -> NoReturn:
        """Raise Malformed for a place in this file, with control characters of names made visible."""
        raise Malformed(self.where, printable(str(where)), printable(reason))

    def _read_header(self) -> tuple[int, int, int]:
        """(offset, number of entries, index of the names' section) of the section header table."""
        offset, size, count, names = struct.unpack_from(self.order + HEADER, self.data)
        if not offset:
            self.malformed("header", "there are no sections")
        if size != SECTION_SIZE:
            self.malformed("header", f"section headers of {size} bytes, not {SECTION_SIZE}")
        if offset + SECTION_SIZE <= len(self.data):  # what the header has no room for, the first entry holds
            _, _, _, _, _, large_count, large_names, _, _, _ = struct.unpack_from(
                self.order + SECTION_HEADER, self.data, offset
            )
            count = count or large_count
            names = large_names if names == SHN_XINDEX else names
        if not count:
            self.malformed("header", "there are no sections")
        if count > MAX_SECTIONS:
            self.malformed("header", f"{count} sections, {MAX_SECTIONS} are supported")
        if offset + count * SECTION_SIZE > len(self.data):
            self.malformed("header", "the section headers lie outside the file: is it truncated?")
        if names >= count:
            self.malformed("header", f"section names in section [{names}] of {count}")
        return offset, count, names

    def _read_sections(self, offset: int, count: int, names: int) -> list[Section]:
        table = self.data[offset : offset + count * SECTION_SIZE]
        headers = list(struct.iter_unpack(self.order + SECTION_HEADER, table))
        sections = [Section(index, header) for index, header in enumerate(headers)]
        for section in sections:
            self._check_section(section, count)
        strings = self._strings(names, sections, "header")
        for section, name in zip(sections, self._names(strings, [header[0] for header in headers]), strict=True):
            section.name = name
        filled = sorted((section for section in sections if section.data), key=_extent)
        for one, other in pairwise(filled):
            if other.offset < one.offset + one.size:
                self.malformed(other, f"overlaps {one}")
        return sections

    def _check_section(self, section: Section, count: int) -> None:
        if section.type == SHT_NULL:
            section.size = 0
            return
        if section.type != SHT_NOBITS:
            if section.offset + section.size > len(self.data):
                where = f"{section.size} bytes at offset {section.offset} of {len(self.data)} bytes"
                self.malformed(section, f"{where}: is the file truncated?")
            section.data = self.data[section.offset : section.offset + section.size]
        if section.link >= count:
            self.malformed(section, f"links to section [{section.link}] of {count}")
        if section.type in RELOCATION_FORMATS and section.info >= count:
            self.malformed(section, f"relocates section [{section.info}] of {count}")

    def _strings(self, index: int, sections: list[Section], where: object) -> bytes:
        if sections[index].type != SHT_STRTAB:
            self.malformed(where, f"names in section [{index}], which is no string table")
        return bytes(sections[index].data)

    def _names(self, strings: bytes, offsets: list[int]) -> list[str]:
        """The strings at `offsets`; bytes that are not UTF-8 come out as `\\xNN`."""
        names = []
        total = 0
        for entry, offset in enumerate(offsets):
            end = strings.find(b"\0", offset, offset + MAX_NAME)
            if end < 0 and (offset or strings):
                self.malformed("string table", f"the name of entry {entry}, at offset {offset}, has no end")
            total += max(0, end - offset)
            names.append(strings[offset:end].decode("utf-8", "backslashreplace"))
            if total > MAX_NAMES:
                self.malformed("string table", f"more than {MAX_NAMES} bytes of names")
        return names

    def _read_symbols(self) -> list[Symbol]:
        tables = [section for section in self.sections if section.type == SHT_SYMTAB]
        if not tables:
            return []
        if len(tables) > 1:
            self.malformed(tables[1], "a second symbol table")
        table = tables[0]
        if table.entsize != SYMBOL_SIZE or table.size % SYMBOL_SIZE:
            self.malformed(table, f"{table.size} bytes in entries of {table.entsize}, not {SYMBOL_SIZE}")
        if table.size > MAX_SYMBOLS * SYMBOL_SIZE:
            self.malformed(table, f"{table.size // SYMBOL_SIZE} symbols, {MAX_SYMBOLS} are supported")
        rows = list(struct.iter_unpack(self.order + "IBBHQQ", table.data))
        strings = self._strings(table.link, self.sections, table)
        symbols = []
        for index, (row, name) in enumerate(zip(rows, self._names(strings, [row[0] for row in rows]), strict=True)):
            symbol = Symbol(index, name, *row[1:])
            if len(self.sections) <= symbol.section < SHN_LORESERVE:
                self.malformed(table, f"symbol [{index}] is in section [{symbol.section}] of {len(self.sections)}")
            symbols.append(symbol)
        return symbols

    def section(self, name: str) -> Section | None:
        """The section with this name, None without; Malformed if there are several."""
        found = [section for section in self.sections if section.name == name]
        if len(found) > 1:
            self.malformed(found[1], "a second section of this name")
        return found[0] if found else None

    def relocations(self, section: int) -> list[tuple[int, int, int, int]]:
        """(offset, type, symbol index, addend) of each relocation of a section, in file order; REL has addend 0."""
        tables = self._relocating.get(section, [])
        if len(tables) > 1:
            self.malformed(tables[1], f"a second table of relocations of {self.sections[section]}")
        return self._read_relocations(tables[0], self.sections[section]) if tables else []

    def _read_relocations(self, table: Section, target: Section) -> list[tuple[int, int, int, int]]:
        layout = struct.Struct(self.order + RELOCATION_FORMATS[table.type])
        if table.entsize != layout.size or table.size % layout.size:
            self.malformed(table, f"{table.size} bytes in entries of {table.entsize}, not {layout.size}")
        if table.size > MAX_RELOCATIONS * layout.size:
            self.malformed(table, f"{table.size // layout.size} relocations, {MAX_RELOCATIONS} are supported")
        if self.sections[table.link].type != SHT_SYMTAB:
            self.malformed(table, f"links to section [{table.link}], which is no symbol table")
        rows = []
        for offset, info, *addend in layout.iter_unpack(table.data):
            if offset >= target.size:
                self.malformed(table, f"offset {offset} lies outside {target} of {target.size} bytes")
            if offset % SLOT and target.flags & SHF_EXECINSTR:
                self.malformed(table, f"offset {offset} is in the middle of an instruction")
            if info >> 32 >= len(self.symbols):
                self.malformed(table, f"symbol [{info >> 32}] of {len(self.symbols)}")
            rows.append((offset, info & 0xFFFFFFFF, info >> 32, *addend, 0)[:4])
        return rows


def _extent(section: Section) -> tuple[int, int]:
    return section.offset, section.size


def check_kind(head: bytes, where: str) -> None:
    """Raise Error for a file that is no BPF object; the checks in the order of what the user most likely did."""
    if head[:4] != b"\x7fELF":
        raise Error(f"{where}: not an ELF file")
    if len(head) < HEADER_SIZE:
        raise Malformed(where, "header", f"{len(head)} of {HEADER_SIZE} bytes: is the file truncated?")
    byteorder = BYTEORDERS.get(head[5])
    if byteorder is None:
        raise Malformed(where, "header", f"unknown byte order {head[5]}")
    type_, machine, version = struct.unpack_from("<HHI" if byteorder == "little" else ">HHI", head, 16)
    if machine != EM_BPF:
        name = MACHINES.get(machine, f"machine {machine}")
        raise Error(f"{where}: an ELF for {name}, not BPF: compile with clang -target bpf")
    if head[6] != EV_CURRENT or version != EV_CURRENT:
        raise Malformed(where, "header", f"ELF version {head[6]}, {version}: only {EV_CURRENT} is known")
    if head[4] != CLASS64:
        raise Error(f"{where}: a 32-bit ELF: BPF objects are 64-bit, compile with clang -target bpf")
    if type_ != ET_REL:
        raise Error(f"{where}: {TYPES.get(type_, f'has ELF type {type_}')}, not an object file: compile with clang -c")
