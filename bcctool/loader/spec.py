"""ELF → inert program specs: instructions with the subprograms they call, what they refer to, and their debug info.

A spec is the same on every machine. The order in which subprograms follow their caller is libbpf's: each one is
appended where it is first called, and then searched for calls itself.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from functools import cached_property

from ..btf import kinds
from ..elf.externs import KCONFIG
from ..errors import Error
from ..insn.opcodes import CALL, LD_IMM64, PSEUDO_CALL, PSEUDO_FUNC, PSEUDO_MAP_FD, PSEUDO_MAP_VALUE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, NoReturn

    from ..btf.ext import BtfExt, CoreRelo
    from ..elf.externs import Extern
    from ..elf.maps import MapDef
    from ..elf.object import ObjectFile, ProgDef
    from ..elf.reader import Symbol

SLOT = 8
MAX_INSNS = 1_000_000  # the kernel's own limit
STT_SECTION = 3
EXCEPTION_CALLBACK = "exception_callback:"  # a declaration tag of a program, before the callback's name
_INSN_OFF = 4  # bytes of insn_off, the first field of func_info and line_info records


class MapRef:
    """The ld_imm64 at `index` (in slots) loads the address of a map, or of `offset` in a global data map's value."""

    __slots__ = ("index", "map", "offset", "pseudo")

    def __init__(self, index: int, map: MapDef, pseudo: int, offset: int) -> None:
        self.index = index
        self.map = map
        self.pseudo = pseudo
        self.offset = offset


class ExternRef:
    """The instruction at `index` (in slots) calls a function of the kernel, or loads the address of something there."""

    __slots__ = ("extern", "index", "is_call")

    def __init__(self, index: int, extern: Extern, is_call: bool) -> None:
        self.index = index
        self.extern = extern
        self.is_call = is_call


class CoreRef:
    """The instruction at `index` (in slots), of the named function, depends on the layout of the kernel's types."""

    __slots__ = ("function", "index", "relo")

    def __init__(self, index: int, relo: CoreRelo, function: str) -> None:
        self.index = index
        self.relo = relo
        self.function = function


class ProgSpec:
    """A program ready to be loaded, but for what differs from kernel to kernel: descriptors, addresses, types.

    insns: its own instructions and those of all that it calls, calls resolved. func_info, line_info: records of
    `*_rec_size` bytes with insn_off in slots of `insns`; empty without BTF. functions: the names of all functions with
    their first slots.
    """

    def __init__(self, name: str, section: str) -> None:
        self.name = name
        self.section = section
        self.insns = bytearray()
        self.functions: list[tuple[str, int]] = []
        self.map_refs: list[MapRef] = []
        self.extern_refs: list[ExternRef] = []
        self.core_refs: list[CoreRef] = []
        self.func_info = bytearray()
        self.line_info = bytearray()
        self.func_info_rec_size = self.line_info_rec_size = 0

    @property
    def insn_cnt(self) -> int:
        return len(self.insns) // SLOT


class Linker:
    """Puts the programs of one object together."""

    def __init__(self, obj: ObjectFile) -> None:
        self.obj = obj
        self.order = "<" if obj.byteorder == "little" else ">"
        self.functions = {(f.section_index, f.offset): f for f in (*obj.progs, *obj.subprogs)}
        self._symbols: dict[int, dict[int, Symbol]] = {}
        self._infos: dict[str, _Infos] = {}
        self._places: dict[tuple[int, int], list[int]] = {}
        self._relocated: dict[int, list[int]] = {}

    def spec(self, prog: ProgDef) -> ProgSpec:
        """The spec of one program. Malformed, or Error, for references that lead nowhere."""
        return _Program(self, prog).link()

    def symbols(self, section: int) -> dict[int, Symbol]:
        """The symbol that each relocated offset of a section refers to."""
        if section not in self._symbols:
            rows = self.obj.relocations(section)
            self._symbols[section] = {offset: self.obj.symbols[symbol] for offset, _, symbol, _ in rows}
        return self._symbols[section]

    def infos(self, section: str) -> _Infos | None:
        """What .BTF.ext says about a section."""
        ext = self.obj.btf_ext
        if ext is not None and section not in self._infos:
            self._infos[section] = _Infos(ext, section, self.order)
        return self._infos.get(section)

    def places(self, function: ProgDef) -> list[int]:
        """The offsets in its section of the instructions that refer to something: relocated ones, and calls."""
        key = function.section_index, function.offset
        if key not in self._places:
            low, high = function.offset, function.offset + len(function.insns)
            calls = (at for at, code in enumerate(bytes(function.insns[::SLOT])) if code == CALL)
            shift = 4 if self.order == "<" else 0
            found = {low + at * SLOT for at in calls if function.insns[at * SLOT + 1] >> shift & 15 == PSEUDO_CALL}
            offsets = self._offsets(function.section_index)
            found.update(offsets[bisect_left(offsets, low) : bisect_left(offsets, high)])
            self._places[key] = sorted(found)
        return self._places[key]

    def _offsets(self, section: int) -> list[int]:
        if section not in self._relocated:
            self._relocated[section] = sorted(self.symbols(section))
        return self._relocated[section]

    @cached_property
    def externs(self) -> dict[int, Extern]:
        """The object's externs by the index of their symbols."""
        return {extern.symbol: extern for extern in self.obj.externs}

    @cached_property
    def kconfig(self) -> MapDef | None:
        """The map of the kernel's configuration."""
        return next((map_ for map_ in self.obj.maps if map_.section == KCONFIG), None)

    @cached_property
    def exception_callbacks(self) -> dict[str, str]:
        """By program: the function that is called when it throws (bpf_throw)."""
        btf = self.obj.btf
        if btf is None:
            return {}
        found = {}
        for id, kind in enumerate(btf.kinds()):
            if kind == kinds.DECL_TAG and btf.name(id).startswith(EXCEPTION_CALLBACK):
                tag = btf.type(id)
                found[btf.name(tag.type_id)] = tag.name.removeprefix(EXCEPTION_CALLBACK)
        return found


class _Infos:
    """The records of one section, to be taken function by function."""

    def __init__(self, ext: BtfExt, section: str, order: str) -> None:
        relos = ext.core_relos(section)
        self.func_info = _ByOffset(*_records(ext.raw_funcs(section), ext.func_info_rec_size, order))
        self.line_info = _ByOffset(*_records(ext.raw_lines(section), ext.line_info_rec_size, order))
        self.core_relos = _ByOffset([relo.insn_off for relo in relos], relos)


class _ByOffset:
    """Items in the order of the instructions that they belong to."""

    def __init__(self, offsets: list[int], items: list[Any]) -> None:
        places = sorted(range(len(offsets)), key=offsets.__getitem__)
        self.offsets = [offsets[place] for place in places]
        self.items = [items[place] for place in places]

    def between(self, low: int, high: int) -> Iterator[tuple[int, Any]]:
        """(offset from `low` in slots, item) of those for instructions from byte `low` up to `high`."""
        for at in range(bisect_left(self.offsets, low), bisect_left(self.offsets, high)):
            yield (self.offsets[at] - low) // SLOT, self.items[at]


def _records(raw: bytes, size: int, order: str) -> tuple[list[int], list[bytes]]:
    """insn_off of each record, and the bytes after it."""
    offsets = [offset for (offset,) in struct.iter_unpack(f"{order}I{size - _INSN_OFF}x", raw)]
    return offsets, [raw[at + _INSN_OFF : at + size] for at in range(0, len(raw), size)]


class _Program:
    """One program in the making; `starts` has the slot at which each function begins."""

    def __init__(self, linker: Linker, prog: ProgDef) -> None:
        self.linker = linker
        self.obj = linker.obj
        self.prog = prog
        self.spec = ProgSpec(prog.name, prog.section)
        self.order = linker.order
        self.starts: dict[tuple[int, int], int] = {}

    def link(self) -> ProgSpec:
        self.append_with_callees(self.prog)
        name = self.linker.exception_callbacks.get(self.prog.name)
        if name is not None:
            callback = next((f for f in self.obj.subprogs if f.name == name), None)
            if callback is None:
                self.fail(self.prog, 0, f"there is no function '{name}', its exception callback")
            if (callback.section_index, callback.offset) not in self.starts:
                self.append_with_callees(callback)
        return self.spec

    def append_with_callees(self, function: ProgDef) -> None:
        self.append(function)
        pending = [(function, iter(self.linker.places(function)))]
        while pending:
            function, places = pending[-1]
            callee = self.resolve(function, places)
            if callee is None:
                pending.pop()
            else:
                self.append(callee)
                pending.append((callee, iter(self.linker.places(callee))))

    def append(self, function: ProgDef) -> None:
        """Put a function's code at the end."""
        spec = self.spec
        start = spec.insn_cnt
        if start + len(function.insns) // SLOT > MAX_INSNS:
            self.fail(function, 0, f"with what it calls, more than {MAX_INSNS} instructions")
        self.starts[function.section_index, function.offset] = start
        spec.functions.append((function.name, start))
        spec.insns += function.insns
        self.append_info(function, start)

    def append_info(self, function: ProgDef, start: int) -> None:
        """Move the function's func_info and line_info records along with it; note its CO-RE relocations."""
        ext, infos, spec = self.obj.btf_ext, self.linker.infos(function.section), self.spec
        if ext is None or infos is None:
            return
        spec.func_info_rec_size, spec.line_info_rec_size = ext.func_info_rec_size, ext.line_info_rec_size
        low, high = function.offset, function.offset + len(function.insns)
        for records, target in ((infos.func_info, spec.func_info), (infos.line_info, spec.line_info)):
            for slot, rest in records.between(low, high):
                target += struct.pack(self.order + "I", start + slot)
                target += rest
        for slot, relo in infos.core_relos.between(low, high):
            if relo.insn_off % SLOT:
                self.fail(function, 0, f"a CO-RE relocation at byte {relo.insn_off}, inside of an instruction")
            spec.core_refs.append(CoreRef(start + slot, relo, function.name))

    def resolve(self, function: ProgDef, places: Iterator[int]) -> ProgDef | None:
        """Resolve a function's references at its places; stop at the first one to a function that is to be appended."""
        insns = self.spec.insns
        start = self.starts[function.section_index, function.offset]
        symbols = self.linker.symbols(function.section_index)
        for place in places:
            at = start + (place - function.offset) // SLOT
            code, symbol, target, appended = insns[at * SLOT], symbols.get(place), None, True
            if code == CALL:
                target = self.called(function, at, place, symbol)
            elif symbol is not None and code == LD_IMM64 and (at + 1) * SLOT < len(insns):
                target = self.loaded(function, at, place, symbol)
            elif symbol is not None:
                self.fail(function, place, f"'{symbol.name}' is relocated in an instruction that has no room for it")
            if target is not None:
                key = (target.section_index, target.offset)
                appended = key in self.starts
                first = self.starts[key] if appended else self.spec.insn_cnt
                self.put(at, PSEUDO_CALL if code == CALL else PSEUDO_FUNC, first - at - 1)
            if not appended:
                return target
        return None

    def imm(self, at: int) -> int:
        value: int = struct.unpack_from(self.order + "i", self.spec.insns, at * SLOT + 4)[0]
        return value

    def put(self, at: int, src: int, imm: int) -> None:
        """Set source register and immediate of the instruction at a slot."""
        put_reference(self.spec.insns, at, src, imm, self.order)

    def called(self, function: ProgDef, at: int, place: int, symbol: Symbol | None) -> ProgDef | None:
        """The function that a call refers to: by symbol, by section and distance, or by distance alone."""
        imm = self.imm(at)
        if symbol is None:
            return self.function_at(function, place, function.section_index, place + (imm + 1) * SLOT)
        if symbol.section == 0:
            self.spec.extern_refs.append(ExternRef(at, self.extern(function, place, symbol), True))
            return None
        offset = (imm + 1) * SLOT if symbol.type == STT_SECTION else symbol.value
        return self.function_at(function, place, symbol.section, offset)

    def loaded(self, function: ProgDef, at: int, place: int, symbol: Symbol) -> ProgDef | None:
        """Note the map or extern that a ld_imm64 refers to; or the function whose address it takes."""
        offset = symbol.value + self.imm(at)
        if symbol.section == 0:
            extern = self.extern(function, place, symbol)
            if extern.section != KCONFIG or self.linker.kconfig is None:
                self.spec.extern_refs.append(ExternRef(at, extern, False))
                return None
            map_, offset = self.linker.kconfig, extern.offset + self.imm(at)
        elif (symbol.section, offset) in self.linker.functions:
            return self.linker.functions[symbol.section, offset]
        else:
            map_ = self.obj.map_at(symbol.section, offset)
        in_value = map_.global_data or symbol.section != map_.section_index  # the variables of an arena
        if not in_value:
            self.spec.map_refs.append(MapRef(at, map_, PSEUDO_MAP_FD, 0))
        elif 0 <= offset < (map_.value_size or len(map_.contents or b"")):
            self.spec.map_refs.append(MapRef(at, map_, PSEUDO_MAP_VALUE, offset))
        else:
            self.fail(function, place, f"offset {offset} lies outside {map_.section}")
        return None

    def extern(self, function: ProgDef, place: int, symbol: Symbol) -> Extern:
        found = self.linker.externs.get(symbol.index)
        if found is None:
            self.fail(function, place, f"uses '{symbol.name}', an undefined symbol without a global name")
        return found

    def function_at(self, function: ProgDef, place: int, section: int, offset: int) -> ProgDef:
        found = self.linker.functions.get((section, offset))
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
