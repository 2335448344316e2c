"""A prebuilt BPF object file as what it contains: programs, maps, BTF, license; read on demand, never loaded."""

from __future__ import annotations

import os
from functools import cached_property

from ..btf.ext import BtfExt
from ..btf.reader import Btf
from .data_maps import ARENA, ARENA_SECTION, data_maps, fill_arena, kconfig_map, struct_ops_maps
from .datasec import fixed_btf, raw_btf
from .embedded import Source, numbered
from .externs import Extern, externs
from .legacy import legacy_maps
from .maps import MapDef, btf_maps
from .reader import SHF_EXECINSTR, SHT_PROGBITS, STB_LOCAL, STT_FUNC, Elf, Section, Symbol

TEXT = ".text"
INSN_SIZE = 8


class ProgDef:
    """A function: a program, or a subprogram that programs call.

    section, section_index: where it stands; `offset` in that section and the length of `insns` are in bytes,
    multiples of 8. symbol: its symbol, for binding and visibility.
    """

    __slots__ = ("insns", "name", "offset", "section", "section_index", "symbol")

    def __init__(self, symbol: Symbol, section: Section) -> None:
        self.name = symbol.name
        self.section = section.name
        self.section_index = section.index
        self.offset = symbol.value
        self.insns = section.data[symbol.value : symbol.value + symbol.size]
        self.symbol = symbol


class ObjectFile:
    """A BPF object file, or the one in an executable that embeds it; FILE#N is the Nth of several (embedded.Source).

    path: as given; name: the file's, up to the first dot, after which global data maps are named; a skeleton's
    author may set another one before the first use of `maps`.
    strict: refuse what is unknown in map definitions (bpftool's --mapcompat accepts it).
    Raises Error when the file cannot be read or is no BPF object; what it contains is read on first use, and raises
    Malformed then. Works without the kernel.
    """

    def __init__(self, path: str, strict: bool = True) -> None:
        self._open(read_object(path), path, strict)
        self.name = _name(numbered(path)[0])

    @classmethod
    def from_bytes(cls, data: bytes, name: str, strict: bool = True) -> ObjectFile:
        """The object file in `data`; `name` stands for its path."""
        self = cls.__new__(cls)
        self._open(data, name, strict)
        return self

    def _open(self, data: bytes, path: str, strict: bool) -> None:
        self.path = path
        self.name = _name(path)
        self.strict = strict
        self.elf = Elf(data, path)

    @property
    def byteorder(self) -> str:
        """The file's byte order, "little" or "big"."""
        return self.elf.byteorder

    @property
    def sections(self) -> list[Section]:
        """All sections by index, number 0 included."""
        return self.elf.sections

    @property
    def symbols(self) -> list[Symbol]:
        """All symbols by index, number 0 included."""
        return self.elf.symbols

    def relocations(self, section: int) -> list[tuple[int, int, int, int]]:
        """(offset, type, symbol index, addend) of each relocation of a section."""
        return self.elf.relocations(section)

    @cached_property
    def license(self) -> str:
        """The license, empty if the object has none."""
        section = self.elf.section("license")
        text = bytes(section.data).split(b"\0")[0] if section else b""
        return text.decode("utf-8", "backslashreplace")

    @cached_property
    def version(self) -> int | None:
        """The kernel version that the object asks for, as LINUX_VERSION_CODE."""
        section = self.elf.section("version")
        if section is None:
            return None
        if len(section.data) != 4:
            self.elf.malformed(section, f"{len(section.data)} bytes, a kernel version takes 4")
        return int.from_bytes(section.data, self.elf.byteorder)

    @cached_property
    def _functions(self) -> list[ProgDef]:
        found = []
        for symbol in self.elf.symbols:
            if symbol.type != STT_FUNC or not 0 < symbol.section < len(self.sections):
                continue
            section = self.sections[symbol.section]
            if section.type != SHT_PROGBITS or not section.flags & SHF_EXECINSTR:
                continue
            if symbol.value % INSN_SIZE or symbol.size % INSN_SIZE or not symbol.size:
                self.elf.malformed(section, f"function {symbol.name} is not made of whole instructions")
            if symbol.value + symbol.size > section.size:
                self.elf.malformed(section, f"function {symbol.name} reaches past the end")
            found.append(ProgDef(symbol, section))
        return sorted(found, key=lambda function: (function.section_index, function.offset))

    @cached_property
    def progs(self) -> list[ProgDef]:
        """The programs, by section and offset: all global functions outside of `.text`."""
        return [function for function in self._functions if not _is_subprog(function)]

    @cached_property
    def subprogs(self) -> list[ProgDef]:
        """The functions that programs call: those in `.text`, and the static ones elsewhere."""
        return [function for function in self._functions if _is_subprog(function)]

    @cached_property
    def btf(self) -> Btf | None:
        """The types, with the layout of data sections filled in (datasec.fixed_btf); None if compiled without -g."""
        data = fixed_btf(self.elf)
        return Btf(data, where=f"{self.elf.where}: .BTF") if data else None

    @cached_property
    def btf_ext(self) -> BtfExt | None:
        """Function, line and CO-RE records; None if compiled without -g."""
        section = self.elf.section(".BTF.ext")
        if section is None or not section.data or self.btf is None:
            return None
        return BtfExt(section.data, self.btf, where=f"{self.elf.where}: .BTF.ext")

    @cached_property
    def externs(self) -> list[Extern]:
        """The undefined symbols: kernel configuration, kernel symbols, what another object defines."""
        return externs(self.elf, raw_btf(self.elf))  # the fixed one has no functions in .ksyms

    @cached_property
    def maps(self) -> list[MapDef]:
        """The maps in the order in which libbpf creates them."""
        defined = [*legacy_maps(self.elf, self.strict), *btf_maps(self.elf, self.btf, self.strict)]
        fill_arena(self.elf, defined)
        return [
            *defined,
            *data_maps(self.elf, self.btf, self.name),
            *kconfig_map(self.elf, self.btf, self.externs, self.name),
            *struct_ops_maps(self.elf, self.btf),
        ]

    @cached_property
    def _maps_by_place(self) -> dict[tuple[int, int | None], MapDef]:
        # None stands for every offset: a global data map is its whole section, and an arena's variables have one.
        places = {(map_.section_index, None if map_.global_data else map_.section_offset): map_ for map_ in self.maps}
        section = self.elf.section(ARENA_SECTION)
        for map_ in self.maps if section else ():
            if section and map_.type == ARENA:
                places[section.index, None] = map_
        return places

    def map_at(self, section: int, offset: int) -> MapDef:
        """The map that a relocation refers to: a defined map stands at an exact offset, global data anywhere in it."""
        places = self._maps_by_place
        found = places.get((section, offset)) or places.get((section, None))
        if found is None:
            where = self.sections[section] if 0 <= section < len(self.sections) else f"section [{section}]"
            self.elf.malformed(where, f"there is no map at offset {offset}")
        return found


def _is_subprog(function: ProgDef) -> bool:
    return function.section == TEXT or function.symbol.bind == STB_LOCAL


def _name(path: str) -> str:
    return os.path.basename(path).split(".")[0]


def read_object(path: str) -> bytes:
    """The object in a file, which has to be a regular one of bearable size; of one without any the first bytes."""
    with Source(path) as source:
        return source.read()


def embedded_btf(path: str) -> bytes | None:
    """The .BTF section, as it stands there, of the object that another file embeds; None when it has none."""
    with Source(path) as source:
        if not source.embedded or not source.spans:
            return None
        section = Elf(source.read(), path).section(".BTF")
    return bytes(section.data) if section else None
