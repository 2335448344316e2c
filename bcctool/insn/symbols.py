"""What the operands of calls and 64-bit immediates mean: plainly, or in a program that the kernel has loaded."""

from __future__ import annotations

from ..kernel.uapi import HELPERS
from .opcodes import (
    PSEUDO_CALL,
    PSEUDO_FUNC,
    PSEUDO_KFUNC_CALL,
    PSEUDO_MAP_FD,
    PSEUDO_MAP_IDX_VALUE,
    PSEUDO_MAP_VALUE,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_U32 = 0xFFFFFFFF
_U64 = 0xFFFFFFFFFFFFFFFF


class Symbols:
    """Operands of an instruction whose surroundings are unknown, as the verifier log shows them.

    Subclass it to say more. All arguments are the instruction's fields: `index` in slots, `imm` and its two halves
    signed. Neither method may raise for any value of them.
    """

    def call(self, index: int, src: int, off: int, imm: int) -> str:
        """What follows `call `: `bpf_NAME#ID` or `unknown#ID` for a helper, `pc+N` for a function of the program.

        A kernel function reads `kfunc#BTF_ID`: only BTF could name it.
        """
        if src == PSEUDO_CALL:
            return f"pc{imm:+d}"
        if src == PSEUDO_KFUNC_CALL:
            return f"kfunc#{imm}"
        return _helper(imm) or f"unknown#{imm}"

    def imm64(self, index: int, src: int, dst: int, off: int, imm_lo: int, imm_hi: int) -> str:
        """What follows `rN = `: the number in hex, whatever kind of address `src` makes of it."""
        return f"{(imm_hi & _U32) << 32 | imm_lo & _U32:#x}"


class XlatedSymbols(Symbols):
    """Operands in translated instructions (prog info's xlated_prog_insns), where the kernel has rewritten them.

    name: the kernel symbol at exactly this address (kallsyms), None or "" if there is none.
    call_base: address of `__bpf_call_base`, from which helpers and kfuncs are counted; 0 if kallsyms is hidden.
    jited_ksyms: prog info's list of addresses, one per function; empty if the program is not jited.
    """

    def __init__(self, name: Callable[[int], str | None], call_base: int, jited_ksyms: Sequence[int]) -> None:
        self._name = name
        self._call_base = call_base
        self._jited_ksyms = jited_ksyms

    def call(self, index: int, src: int, off: int, imm: int) -> str:
        """`bpf_NAME#IMM`, `pc+N#FUNCTION`, `pc+N` if not jited; the address in hex where no symbol is known.

        In a call of the program's own function `off` is the distance and `imm` the index of the function.
        """
        if src == PSEUDO_CALL:
            if not self._jited_ksyms:
                return f"pc{off:+d}"
            known = 0 <= imm < len(self._jited_ksyms)
            return f"pc{off:+d}#{self._symbol(self._jited_ksyms[imm] if known else self._call_base + imm)}"
        helper = "" if src else _helper(imm)
        return helper or f"{self._symbol(self._call_base + imm)}#{imm}"

    def imm64(self, index: int, src: int, dst: int, off: int, imm_lo: int, imm_hi: int) -> str:
        """`map[id:N]`, `map[id:N][0]+OFF`, `map[idx:N]+OFF`, `subprog[+N]`, else the number in hex."""
        operand = _IMM64.get(src)
        return operand(imm_lo, imm_hi) if operand else super().imm64(index, src, dst, off, imm_lo, imm_hi)

    def _symbol(self, address: int) -> str:
        return self._name(address & _U64) or f"{address & _U64:#x}"


_IMM64: dict[int, Callable[[int, int], str]] = {
    PSEUDO_MAP_FD: lambda lo, hi: f"map[id:{lo & _U32}]",
    PSEUDO_MAP_VALUE: lambda lo, hi: f"map[id:{lo & _U32}][0]+{hi & _U32}",
    PSEUDO_MAP_IDX_VALUE: lambda lo, hi: f"map[idx:{lo & _U32}]+{hi & _U32}",
    PSEUDO_FUNC: lambda lo, hi: f"subprog[{lo:+d}]",
}


def _helper(id: int) -> str:
    return f"bpf_{HELPERS[id]}#{id}" if 0 <= id < len(HELPERS) else ""
