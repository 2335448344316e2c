"""ELF → inert program specs: instructions with the subprograms they call, what they refer to, and their debug info.

A spec is the same on every machine. The order in which subprograms follow their caller is libbpf's: each one is
appended where it is first called, and then searched for calls itself.
"""

from __future__ import annotations

import struct

from ..errors import Error
from ..insn.opcodes import CALL, LD_IMM64, PSEUDO_CALL, PSEUDO_FUNC, PSEUDO_MAP_FD, PSEUDO_MAP_VALUE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from ..elf.maps import MapDef
    from ..elf.object import ObjectFile, ProgDef
    from ..elf.reader import Symbol

SLOT = 8
MAX_INSNS = 1_000_000  # the kernel's own limit
STT_SECTION = 3
_INSN_OFF = 4  # bytes of insn_off, the first field of func_info and line_info records


class MapRef:
    """The ld_imm64 at `index` (in slots) loads the address of a map, or of `offset` in a global data map's value."""

    __slots__ = ("index", "map", "offset", "pseudo")

    def __init__(self, index: int, map: MapDef, pseudo: int, offset: int) -> None:
        self.index = index
        self.map = map
        self.pseudo = pseudo
        self.offset = offset


class ProgSpec:
    """A program ready to be loaded, but for the descriptors of its maps.

    insns: its own instructions and those of all that it calls, calls resolved. func_info, line_info: records of
    `*_rec_size` bytes with insn_off in slots of `insns`; empty without BTF.
    """

    def __init__(self, name: str, section: str) -> None:
        self.name = name
        self.section = section
        self.insns = bytearray()
        self.map_refs: list[MapRef] = []
        self.func_info = bytearray()
        self.line_info = bytearray()
        self.func_info_rec_size = self.line_info_rec_size = 0

    @property
    def insn_cnt(self) -> int:
        return len(self.insns) // SLOT


def prog_spec(obj: ObjectFile, prog: ProgDef) -> ProgSpec:
    """The spec of one program of an object. Malformed, or Error for what this loader cannot do."""
    return _Linker(obj, prog).link()


class _Linker:
    """Puts one program together; `starts` has the slot at which each function begins."""

    def __init__(self, obj: ObjectFile, prog: ProgDef) -> None:
        self.obj = obj
        self.prog = prog
        self.spec = ProgSpec(prog.name, prog.section)
        self.order = "<" if obj.byteorder == "little" else ">"
        self.functions = {(f.section_index, f.offset): f for f in (*obj.progs, *obj.subprogs)}
        self.starts: dict[tuple[int, int], int] = {}
        self.relocations: dict[int, dict[int, Symbol]] = {}

    def link(self) -> ProgSpec:
        pending = [self.append(self.prog)]
        while pending:
            function, at, end = pending.pop()
            called = self.resolve(function, at, end)
            if called is not None:
                resume_at, callee = called
                pending.append((function, resume_at, end))
                pending.append(self.append(callee))
        return self.spec

    def append(self, function: ProgDef) -> tuple[ProgDef, int, int]:
        """Put a function's code at the end; (function, its first slot, the slot after its last)."""
        spec = self.spec
        start = spec.insn_cnt
        if start + len(function.insns) // SLOT > MAX_INSNS:
            self.fail(function, 0, f"with what it calls, more than {MAX_INSNS} instructions")
        self.starts[function.section_index, function.offset] = start
        spec.insns += function.insns
        self.append_info(function, start)
        return function, start, spec.insn_cnt

    def append_info(self, function: ProgDef, start: int) -> None:
        """Move the function's func_info and line_info records along with it."""
        ext, spec = self.obj.btf_ext, self.spec
        if ext is None:
            return
        spec.func_info_rec_size, spec.line_info_rec_size = ext.func_info_rec_size, ext.line_info_rec_size
        low, high = function.offset, function.offset + len(function.insns)
        for raw, size, target in (
            (ext.raw_funcs(function.section), spec.func_info_rec_size, spec.func_info),
            (ext.raw_lines(function.section), spec.line_info_rec_size, spec.line_info),
        ):
            for at in range(0, len(raw), size):
                (insn_off,) = struct.unpack_from(self.order + "I", raw, at)
                if low <= insn_off < high:
                    target += struct.pack(self.order + "I", (insn_off - low) // SLOT + start)
                    target += raw[at + _INSN_OFF : at + size]
        if any(low <= relo.insn_off < high for relo in ext.core_relos(function.section)):
            self.fail(function, 0, "needs CO-RE relocations, which this version of bcctool does not do yet")

    def resolve(self, function: ProgDef, at: int, end: int) -> tuple[int, ProgDef] | None:
        """Resolve a function's references from slot `at` on; (slot, function) at the first one not yet appended."""
        insns = self.spec.insns
        start = self.starts[function.section_index, function.offset]
        symbols = self.symbols(function.section_index)
        while at < end:
            code, registers = insns[at * SLOT], insns[at * SLOT + 1]
            src = registers >> 4 if self.order == "<" else registers & 15
            place = function.offset + (at - start) * SLOT
            symbol = symbols.get(place)
            target = None
            if code == CALL and (src == PSEUDO_CALL or symbol is not None):
                target = self.called(function, place, symbol, self.imm(at))
            elif code == LD_IMM64 and symbol is not None and at + 1 < end:
                target = self.loaded(function, at, place, symbol)
            elif symbol is not None:
                self.fail(function, place, f"'{symbol.name}' is relocated in an instruction that has no room for it")
            if target is not None:
                key = (target.section_index, target.offset)
                if key not in self.starts:
                    return at, target
                self.put(at, PSEUDO_CALL if code == CALL else PSEUDO_FUNC, self.starts[key] - at - 1)
            at += 2 if code == LD_IMM64 else 1
        return None

    def symbols(self, section: int) -> dict[int, Symbol]:
        """The symbol that each relocated offset of a section refers to."""
        if section not in self.relocations:
            rows = self.obj.relocations(section)
            self.relocations[section] = {offset: self.obj.symbols[symbol] for offset, _, symbol, _ in rows}
        return self.relocations[section]

    def imm(self, at: int) -> int:
        value: int = struct.unpack_from(self.order + "i", self.spec.insns, at * SLOT + 4)[0]
        return value

    def put(self, at: int, src: int, imm: int) -> None:
        """Set source register and immediate of the instruction at a slot."""
        put_reference(self.spec.insns, at, src, imm, self.order)

    def called(self, function: ProgDef, place: int, symbol: Symbol | None, imm: int) -> ProgDef:
        """The function that a call refers to: by symbol, by section and distance, or by distance alone."""
        if symbol is None:
            return self.function_at(function, place, function.section_index, place + (imm + 1) * SLOT)
        if symbol.section == 0:
            self.fail(function, place, f"calls the kernel function '{symbol.name}': externs are not supported yet")
        offset = (imm + 1) * SLOT if symbol.type == STT_SECTION else symbol.value
        return self.function_at(function, place, symbol.section, offset)

    def loaded(self, function: ProgDef, at: int, place: int, symbol: Symbol) -> ProgDef | None:
        """Note the map that a ld_imm64 refers to; or the function whose address it takes."""
        if symbol.section == 0:
            self.fail(function, place, f"uses the extern '{symbol.name}': externs are not supported yet")
        offset = symbol.value + self.imm(at)
        if (symbol.section, offset) in self.functions:
            return self.functions[symbol.section, offset]
        map_ = self.obj.map_at(symbol.section, offset)
        if not map_.global_data:
            self.spec.map_refs.append(MapRef(at, map_, PSEUDO_MAP_FD, 0))
        elif 0 <= offset < map_.value_size:
            self.spec.map_refs.append(MapRef(at, map_, PSEUDO_MAP_VALUE, offset))
        else:
            self.fail(function, place, f"offset {offset} lies outside {map_.section}")
        return None

    def function_at(self, function: ProgDef, place: int, section: int, offset: int) -> ProgDef:
        found = self.functions.get((section, offset))
        if found is None:
            self.fail(function, place, f"calls offset {offset} of section [{section}], where no function starts")
        return found

    def fail(self, function: ProgDef, place: int, reason: str) -> NoReturn:
        where = f"{self.obj.path}: section {function.section}, function {function.name}"
        if place:
            where += f", instruction {(place - function.offset) // SLOT}"
        raise Error(f"{where}: {reason}")


def put_reference(insns: bytearray, at: int, src: int, imm: int, order: str) -> None:
    """Set source register and immediate of the instruction at slot `at`; order: "<" or ">" as in struct."""
    registers = insns[at * SLOT + 1]
    insns[at * SLOT + 1] = registers & 0x0F | src << 4 if order == "<" else registers & 0xF0 | src
    struct.pack_into(order + "i", insns, at * SLOT + 4, imm)
