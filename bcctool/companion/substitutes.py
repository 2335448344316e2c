"""For functions that newer kernels inline, where no kprobe can be: the raw tracepoint that has the same argument."""

from __future__ import annotations

import os
import struct

from ..insn import opcodes as op
from ..kernel import proc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# Function → group and name of a tracepoint at the same place, whose first argument is the function's.
# block_io_start and block_io_done came with Linux 6.5 for those who had probed these functions.
TRACEPOINTS = {
    b"blk_account_io_start": ("block", "block_io_start"),
    b"__blk_account_io_start": ("block", "block_io_start"),
    b"blk_account_io_done": ("block", "block_io_done"),
    b"__blk_account_io_done": ("block", "block_io_done"),
}
# Machine → where struct pt_regs has a function's first argument.
FIRST_ARGUMENT = {"x86_64": 112, "aarch64": 0}

_INSN = struct.Struct("=BBhi")
_LDX_DW, _MOV64_X = op.LDX | op.MEM | op.DW, op.ALU64 | op.MOV | op.X
_STORES, _JUMPS = (op.ST, op.STX), (op.JMP, op.JMP32)  # classes
_CONTEXT = 1  # the register that has it in the beginning
_SCRATCH = frozenset(range(6))  # what a call leaves nothing in


def tracepoint(function: bytes) -> str:
    """The raw tracepoint for a function that can't be probed here; empty where none is needed or there is none."""
    group, name = TRACEPOINTS.get(function, ("", ""))
    if not name or not os.path.isdir(f"{proc.tracefs()}/events/{group}/{name}"):
        return ""
    try:
        with open(f"{proc.tracefs()}/available_filter_functions", "rb") as file:
            traceable = any(line.split(maxsplit=1)[0] == function for line in file)
    except OSError:
        return ""
    return "" if traceable else name


def for_raw_tracepoint(code: bytes, offset: int) -> bytes | None:
    """A kprobe's instructions for a raw tracepoint: reading the first argument from its context instead of pt_regs.

    offset: of that argument in pt_regs. None when they read anything else of the context, or keep it elsewhere.
    """
    insns = [_INSN.unpack_from(code, at) for at in range(0, len(code), _INSN.size)]
    holders = _context_holders(insns)
    changed = bytearray(code)
    for index, (opcode, registers, off, _) in enumerate(insns):
        held = holders.get(index, frozenset())
        source, target = registers >> 4, registers & 15
        kind = opcode & op.CLASS_MASK
        if kind == op.LDX and source in held:
            if opcode != _LDX_DW or off != offset:
                return None
            _INSN.pack_into(changed, index * _INSN.size, opcode, registers, 0, 0)
        elif opcode & op.CLASS_MASK in _STORES and (
            target in held or (opcode & op.CLASS_MASK == op.STX and source in held)
        ):
            return None
    return bytes(changed)


def _context_holders(insns: list[tuple[int, int, int, int]]) -> dict[int, frozenset[int]]:
    """The registers that have the context for certain, before each instruction that can be reached."""
    found = {0: frozenset((_CONTEXT,))}
    work = [0] if insns else []
    while work:
        index = work.pop()
        after = _held_after(insns[index], found[index])
        for following in _next(insns, index):
            merged = found[following] & after if following in found else after
            if 0 <= following < len(insns) and found.get(following) != merged:
                found[following] = merged
                work.append(following)
    return found


def _held_after(insn: tuple[int, int, int, int], held: frozenset[int]) -> frozenset[int]:
    opcode, registers, _, _ = insn
    source, target = registers >> 4, registers & 15
    if opcode == _MOV64_X and source in held:
        return held | {target}
    if opcode == op.CALL:
        return held - _SCRATCH
    writes = opcode & op.CLASS_MASK not in (*_STORES, *_JUMPS)
    return held - {target} if writes else held


def _next(insns: list[tuple[int, int, int, int]], index: int) -> Iterator[int]:
    opcode, _, off, imm = insns[index]
    if opcode == op.EXIT:
        return
    if opcode in (op.GOTO, op.GOTOL):
        yield index + 1 + (off if opcode == op.GOTO else imm)
        return
    yield index + (2 if opcode == op.LD_IMM64 else 1)
    if opcode & op.CLASS_MASK in _JUMPS and opcode != op.CALL:
        yield index + 1 + off
