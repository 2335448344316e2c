"""The BTF of an object made complete: clang leaves the layout of data sections to ELF, the kernel wants it in BTF."""

from __future__ import annotations

import struct

from ..btf import kinds
from ..btf.reader import HEADER_LEN, Btf
from .externs import KCONFIG, KSYMS, externs
from .reader import STB_LOCAL, STT_FUNC, STV_HIDDEN, STV_INTERNAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..btf.reader import Type
    from .reader import Elf, Section

BTF_SECTION = ".BTF"
TEXT = ".text"
LINKAGE_STATIC, LINKAGE_GLOBAL = 0, 1
MAX_SIZE = 0xFFFFFFFF
KSYM_SIZE = 4  # of the int that stands for a kernel symbol, whose own type the kernel does not accept in a DATASEC
DUMMY = "dummy_ksym"  # stands for a kernel function in a DATASEC, and names its parameters


def raw_btf(elf: Elf) -> Btf | None:
    """The BTF of an object as it is in the file, None if it has none."""
    section = elf.section(BTF_SECTION)
    if section is None or not section.data:
        return None
    btf = Btf(section.data, where=f"{elf.where}: {BTF_SECTION}")
    if btf.byteorder != elf.byteorder:
        elf.malformed(section, f"{btf.byteorder}-endian in a {elf.byteorder}-endian file")
    return btf


def fixed_btf(elf: Elf) -> bytes | None:
    """The BTF of an object in the file's byte order, None if it has none; ids stay as they are.

    Sizes of data sections come from their ELF sections, offsets of variables from their symbols, those of `.kconfig`
    from externs.externs. Externs become what the kernel knows: variables in `.ksyms` ints, functions a dummy variable.
    Raises Malformed when the BTF is not valid, or names a variable that has no symbol.
    """
    section, btf = elf.section(BTF_SECTION), raw_btf(elf)
    if section is None or btf is None:
        return None
    patch = _Patch(elf, btf, section.data)
    sections = {section.name: section for section in elf.sections}
    hidden = _hidden_functions(elf)
    seen = set()
    for id in range(1, btf.nr_types):
        if btf.kind(id) == kinds.FUNC and hidden and btf.name(id) in hidden:
            patch.put(id, 1, kinds.FUNC << 24 | LINKAGE_STATIC)
        if btf.kind(id) != kinds.DATASEC:
            continue
        name = btf.name(id)
        if name in seen:
            elf.malformed(section, f"describes the section {name} twice")
        seen.add(name)
        if name == KSYMS:
            patch.ksyms(id)
        elif name == KCONFIG:
            patch.kconfig(id)
        elif name in sections:
            patch.data_section(id, sections[name])
    return patch.finish()


def _hidden_functions(elf: Elf) -> set[str]:
    """The subprograms that are to be static for the kernel, which then verifies them with what their callers know."""
    text = {section.index for section in elf.sections if section.name == TEXT}
    return {
        symbol.name
        for symbol in elf.symbols
        if symbol.type == STT_FUNC and symbol.bind != STB_LOCAL and symbol.visibility in (STV_INTERNAL, STV_HIDDEN)
        if symbol.section in text
    }


class _Patch:
    """The edited copy of a blob; types and strings that the edits need are collected and appended at the end."""

    def __init__(self, elf: Elf, btf: Btf, data: memoryview) -> None:
        self.elf = elf
        self.btf = btf
        self.data = bytearray(data)
        self.header = list(struct.unpack_from(elf.order + "I4I", data, 4))  # hdr_len, type_off, _len, str_off, _len
        self.types = bytearray()
        self.dummy_name = self.dummy_var = 0
        self.protos: set[int] = set()  # whose parameters have names
        self.values = {
            (symbol.section, symbol.name): symbol.value for symbol in elf.symbols if symbol.name and symbol.section
        }

    def put(self, id: int, word: int, *values: int) -> None:
        """Overwrite 32-bit words of a type, counted from its start."""
        at = self.header[0] + self.header[1] + 4 * (self.btf.index[id - 1] + word)
        struct.pack_into(f"{self.elf.order}{len(values)}I", self.data, at, *values)

    def put_layout(self, id: int, size: int, variables: list[tuple[int, int, int]]) -> None:
        """Write a DATASEC's size and its variables (offset, type id, size), which the kernel wants in order."""
        if size > MAX_SIZE:
            self.elf.malformed(self.btf.name(id), f"{size} bytes, a map's value takes {MAX_SIZE} at most")
        self.put(id, 2, size)
        flat = [word for offset, type_id, var_size in sorted(variables) for word in (type_id, offset, var_size)]
        self.put(id, kinds.HEAD_WORDS, *flat)

    def data_section(self, id: int, section: Section) -> None:
        variables = []
        for type_id, offset, size in self.btf.type(id).entries:
            var = self.variable(section.name, type_id)
            if var.entries[0] != LINKAGE_STATIC:
                offset = self.value(section, var.name)
            if offset + size > section.size:
                self.elf.malformed(section, f"BTF puts {var.name} at offset {offset}, outside of {section.size} bytes")
            variables.append((offset, type_id, size))
        self.put_layout(id, section.size, variables)

    def variable(self, section: str, id: int) -> Type:
        if self.btf.kind(id) != kinds.VAR:
            self.elf.malformed(BTF_SECTION, f"{section} has type [{id}], which is no variable")
        return self.btf.type(id)

    def value(self, section: Section, name: str) -> int:
        try:
            return self.values[section.index, name]
        except KeyError:
            self.elf.malformed(section, f"BTF has a variable {name}, but there is no symbol for it")

    def kconfig(self, id: int) -> None:
        places = {extern.type_id: extern for extern in externs(self.elf, self.btf) if extern.section == KCONFIG}
        variables = []
        for type_id, _, _ in self.btf.type(id).entries:
            var = self.variable(KCONFIG, type_id)
            if type_id not in places:
                self.elf.malformed(BTF_SECTION, f"{KCONFIG} has a variable {var.name} without a symbol")
            variables.append((places[type_id].offset, type_id, places[type_id].size))
            self.put(type_id, kinds.HEAD_WORDS, LINKAGE_GLOBAL)
        self.put_layout(id, max((offset + size for offset, _, size in variables), default=0), variables)

    def ksyms(self, id: int) -> None:
        int_id = self.int_id()
        variables = []
        for place, (type_id, _, _) in enumerate(self.btf.type(id).entries):
            if self.btf.kind(type_id) == kinds.FUNC:
                self.function(type_id)
                type_id = self.dummy(int_id)
            elif self.btf.kind(type_id) == kinds.VAR:
                self.put(type_id, 2, int_id, LINKAGE_GLOBAL)
            else:
                self.elf.malformed(BTF_SECTION, f"{KSYMS} has type [{type_id}], neither a variable nor a function")
            variables.append((place * KSYM_SIZE, type_id, KSYM_SIZE))
        self.put_layout(id, len(variables) * KSYM_SIZE, variables)

    def int_id(self) -> int:
        """The id of a 32-bit integer, which any object with a program has: programs return one."""
        ids = (id for id in range(1, self.btf.nr_types) if self.btf.kind(id) == kinds.INT)
        found = next((id for id in ids if self.btf.size_of(id) == KSYM_SIZE), 0)
        if not found:
            self.elf.malformed(BTF_SECTION, f"has {KSYMS}, but no 32-bit integer to stand for kernel symbols")
        return found

    def function(self, id: int) -> None:
        """Make an extern FUNC global, and name its parameters, which the kernel wants for functions with code."""
        func = self.btf.type(id)
        self.put(id, 1, kinds.FUNC << 24 | LINKAGE_GLOBAL)
        if self.btf.kind(func.type_id) != kinds.FUNC_PROTO:
            self.elf.malformed(BTF_SECTION, f"type [{id}] is a function without a prototype")
        if func.type_id in self.protos:
            return
        self.protos.add(func.type_id)
        proto = self.btf.type(func.type_id)
        for at, (name, type_id) in enumerate(proto.entries):
            if not name and type_id:
                self.put(proto.id, kinds.HEAD_WORDS + 2 * at, self.dummy_string())

    def dummy_string(self) -> int:
        self.dummy_name = self.dummy_name or len(self.btf.strings)
        return self.dummy_name

    def dummy(self, int_id: int) -> int:
        """The id of the dummy variable, appended when first needed."""
        if not self.dummy_var:
            self.dummy_var = self.btf.nr_types
            info = kinds.VAR << 24
            self.types += struct.pack(self.elf.order + "4I", self.dummy_string(), info, int_id, LINKAGE_GLOBAL)
        return self.dummy_var

    def finish(self) -> bytes:
        if not self.dummy_name:
            return bytes(self.data)
        header_len, type_off, type_len, str_off, str_len = self.header
        types = self.data[header_len + type_off :][:type_len] + self.types
        strings = self.data[header_len + str_off :][:str_len] + DUMMY.encode() + b"\0"
        header = self.data[:HEADER_LEN]
        struct.pack_into(self.elf.order + "5I", header, 4, HEADER_LEN, 0, len(types), len(types), len(strings))
        return bytes(header + types + strings)
