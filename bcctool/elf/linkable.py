"""Whether a linker that is not ours may read an object: what libbpf's relies on, checked by our own reader first."""

from __future__ import annotations

from ..btf.validate import validate
from .datasec import raw_btf
from .reader import (
    SHF_EXECINSTR,
    SHN_LORESERVE,
    SHN_UNDEF,
    SHT_NOBITS,
    SHT_NULL,
    SHT_PROGBITS,
    SHT_REL,
    SHT_STRTAB,
    SHT_SYMTAB,
    STB_LOCAL,
    STB_WEAK,
    STT_FUNC,
    STT_NOTYPE,
    STT_SECTION,
    STV_HIDDEN,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .object import ObjectFile
    from .reader import Elf, Section, Symbol

SHT_LLVM_ADDRSIG = 0x6FFF4C03
SECTION_TYPES = (SHT_NULL, SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB, SHT_NOBITS, SHT_REL, SHT_LLVM_ADDRSIG)
# SHF_WRITE, ALLOC, EXECINSTR, MERGE, STRINGS, INFO_LINK, LINK_ORDER, EXCLUDE; a compressed section is not what it says.
FLAGS = 0x1 | 0x2 | 0x4 | 0x10 | 0x20 | 0x40 | 0x80 | 0x80000000
DROPPED = (".rel.debug", ".rel.BTF")  # tables that the linker does not copy, but opens all the same
STB_GLOBAL = 1
STT_FILE = 4
BINDINGS = (STB_LOCAL, STB_GLOBAL, STB_WEAK)
VISIBILITIES = (0, STV_HIDDEN)
SLOT = 8
MAX_ALIGN = 1 << 16
# type of a relocation (R_BPF_*) → bytes at its offset that it changes
RELOCATION_SIZES = {1: 2 * SLOT, 2: 8, 3: 4, 4: 4, 10: SLOT}


def require_linkable(obj: ObjectFile) -> None:
    """Malformed, or Error, unless every table of the object is what a linker expects, and its BTF is sound."""
    elf = obj.elf
    if not elf.symbols:
        elf.malformed("", "there is no symbol table")
    for section in elf.sections:
        _check_section(elf, section)
    for symbol in elf.symbols:
        _check_symbol(elf, symbol)
    for section in elf.sections:
        if section.type == SHT_REL:
            _check_relocations(elf, section)
    btf = raw_btf(elf)
    if btf is None:
        elf.malformed("", "it has no BTF, which linking needs: compile with clang -g")
    validate(btf)
    if obj.btf is not None:  # whose layout has been checked against the ELF sections
        _check_records(obj)


def _check_section(elf: Elf, section: Section) -> None:
    if section.type not in SECTION_TYPES:
        elf.malformed(section, f"type {section.type:#x} can't be linked")
    if section.type == SHT_NULL:
        return
    if not section.name:
        elf.malformed(section, "has no name")
    if section.flags & ~FLAGS:
        elf.malformed(section, f"flags {section.flags:#x} can't be linked")
    if section.align & section.align - 1 or section.align > MAX_ALIGN:
        elf.malformed(section, f"an alignment of {section.align} bytes")
    if section.flags & SHF_EXECINSTR and (section.size % SLOT or section.type != SHT_PROGBITS):
        elf.malformed(section, f"{section.size} bytes are not made of whole instructions")


def _check_symbol(elf: Elf, symbol: Symbol) -> None:
    def fail(reason: str) -> None:
        elf.malformed(f"symbol [{symbol.index}] {symbol.name}", reason)

    values = symbol.section, symbol.value, symbol.size
    if symbol.index == 0:
        if any((*values, symbol.bind, symbol.type, symbol.name)):
            fail("the first one has to be empty")
        return
    if symbol.bind not in BINDINGS or symbol.visibility not in VISIBILITIES:
        fail(f"binding {symbol.bind}, visibility {symbol.visibility}")
    if symbol.type > STT_FILE:
        fail(f"type {symbol.type}")
    if symbol.section == SHN_UNDEF:
        if any(values) or symbol.bind == STB_LOCAL or symbol.type != STT_NOTYPE:
            fail("is undefined, but not just a name")
    elif symbol.section >= SHN_LORESERVE:
        if symbol.type != STT_FILE:
            fail(f"stands in no section ({symbol.section:#x})")
    else:
        section = elf.sections[symbol.section]
        if symbol.value + symbol.size > section.size:
            fail(f"reaches past the end of {section}")
        if symbol.type == STT_SECTION and (symbol.value or symbol.bind != STB_LOCAL):
            fail("stands for a section, but not for its start")
        if symbol.type == STT_FUNC and not section.flags & SHF_EXECINSTR:
            fail(f"is a function in {section}, which holds no code")


def _check_relocations(elf: Elf, table: Section) -> None:
    target, relocations = elf.sections[table.info], elf.relocations(table.info)
    if table.name.startswith(DROPPED):
        return
    if table.name != f".rel{target.name}" or target.type not in (SHT_PROGBITS, SHT_NOBITS):
        elf.malformed(table, f"relocates {target}")
    code = target.flags & SHF_EXECINSTR
    for offset, type_, index, _ in relocations:
        size = RELOCATION_SIZES.get(type_)
        if size is None:
            elf.malformed(table, f"relocation type {type_} at offset {offset}")
        if offset + size > target.size or (code and offset % SLOT):
            elf.malformed(table, f"relocation at offset {offset} of {target.size} bytes")
        if not index or elf.symbols[index].type == STT_FILE:
            elf.malformed(table, f"relocation at offset {offset} refers to no symbol")


def _check_records(obj: ObjectFile) -> None:
    """The records of .BTF.ext: they belong to sections that there are, and to types, strings and code in them."""
    ext, btf = obj.btf_ext, obj.btf
    if ext is None or btf is None:
        return
    sizes = {section.name: section.size for section in obj.sections}
    for name in ext.sections():
        places = [*ext.funcs(name)]
        places += [(line.insn_off, 0) for line in ext.lines(name)]
        places += [(relo.insn_off, relo.type_id) for relo in ext.core_relos(name)]
        for insn_off, type_id in places:
            if insn_off % SLOT or insn_off >= sizes.get(name, 0):
                obj.elf.malformed(".BTF.ext", f"a record for offset {insn_off} of {name}")
            if type_id >= btf.nr_types:
                obj.elf.malformed(".BTF.ext", f"type [{type_id}] of {btf.nr_types}")
