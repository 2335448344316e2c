"""What the functions of an object call: helpers, kernel functions, each other (linux/bpf.h, R_BPF_64_32)."""

from __future__ import annotations

from ..insn.disasm import operands
from ..insn.opcodes import CALL, LD_IMM64, PSEUDO_CALL, PSEUDO_KFUNC_CALL
from .object import INSN_SIZE
from .reader import SHN_UNDEF, STT_SECTION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .object import ObjectFile, ProgDef
    from .reader import Symbol

# Far above any real object; they bound the time that a hostile one can take.
MAX_INSNS = 1 << 20
MAX_STEPS = 1 << 18


class Calls:
    """What a function's own instructions call, each once, in the order of its first call.

    helpers: their ids. kfuncs: names of undefined symbols. functions: of the object, addresses that it takes included.
    """

    __slots__ = ("functions", "helpers", "kfuncs")

    def __init__(self) -> None:
        self.helpers: dict[int, None] = {}
        self.kfuncs: dict[str, None] = {}
        self.functions: dict[ProgDef, None] = {}


def calls(obj: ObjectFile) -> dict[ProgDef, Calls]:
    """The calls of every function. Malformed for a relocation that is not valid, or code of more than MAX_INSNS."""
    functions = [*obj.progs, *obj.subprogs]
    total = sum([len(function.insns) for function in functions]) // INSN_SIZE
    if total > MAX_INSNS:
        obj.elf.malformed("functions", f"{total} instructions, {MAX_INSNS} are supported")
    by_section: dict[int, list[ProgDef]] = {}
    for function in functions:
        by_section.setdefault(function.section_index, []).append(function)
    places = {(function.section_index, function.offset): function for function in functions}
    found = {}
    for index, members in by_section.items():
        symbols = {offset: obj.symbols[symbol] for offset, _, symbol, _ in obj.relocations(index)}
        for function in members:
            found[function] = _calls(function, symbols, places, obj.byteorder)
    return found


def _calls(
    function: ProgDef, symbols: dict[int, Symbol], places: dict[tuple[int, int], ProgDef], byteorder: str
) -> Calls:
    found = Calls()
    for slot, code in enumerate(bytes(function.insns[::INSN_SIZE])):
        if code not in (CALL, LD_IMM64):
            continue
        at = slot * INSN_SIZE
        _, src, _, imm = operands(bytes(function.insns[at : at + INSN_SIZE]), byteorder)
        symbol = symbols.get(function.offset + at)
        if symbol is not None and symbol.section == SHN_UNDEF:
            if code == CALL:
                found.kfuncs[symbol.name] = None
            continue
        callee = places.get(_target(function, at, code, src, imm, symbol))
        if callee is not None:
            found.functions[callee] = None
        elif code == CALL and src not in (PSEUDO_CALL, PSEUDO_KFUNC_CALL):
            found.helpers[imm] = None
    return found


def _target(function: ProgDef, at: int, code: int, src: int, imm: int, symbol: Symbol | None) -> tuple[int, int]:
    """(section, offset) of what a call goes to, or an address refers to; (-1, 0) for neither."""
    if symbol is None:
        local = code == CALL and src == PSEUDO_CALL
        return (function.section_index, function.offset + at + (imm + 1) * INSN_SIZE) if local else (-1, 0)
    if code == LD_IMM64:
        return symbol.section, symbol.value + imm
    return symbol.section, (imm + 1) * INSN_SIZE if symbol.type == STT_SECTION else symbol.value


class Reach:
    """For each program what it calls together with the subprograms that it calls."""

    def __init__(self, obj: ObjectFile) -> None:
        self.obj = obj
        self.calls = calls(obj)
        self.left = MAX_STEPS

    def functions(self, program: ProgDef) -> list[ProgDef]:
        """The program and what it calls, directly or not. Malformed when all these add up to more than MAX_STEPS."""
        found: dict[ProgDef, None] = {}
        pending = [program]
        while pending:
            function = pending.pop()
            if function in found:
                continue
            found[function] = None
            own = self.calls[function]
            self.left -= 1 + len(own.functions) + len(own.helpers) + len(own.kfuncs)
            if self.left < 0:
                self.obj.elf.malformed("functions", "they call each other too often to be followed")
            pending += reversed(own.functions)
        return list(found)

    def helpers(self, functions: Iterable[ProgDef]) -> list[int]:
        """Ids of the helpers that functions call, ascending."""
        return sorted({id for function in functions for id in self.calls[function].helpers})

    def kfuncs(self, functions: Iterable[ProgDef]) -> list[str]:
        """Names of the kernel functions that functions call, sorted."""
        return sorted({name for function in functions for name in self.calls[function].kfuncs})
