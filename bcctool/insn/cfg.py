"""Control-flow graphs: instructions → functions → basic blocks and the edges between them.

Any bytes make a graph: whatever leads to no instruction of its function (past the end, into another function, into the
second slot of a 64-bit load) leaves it, through EXIT. A `gotox` has no edges: where it may go stands in a map.
"""

from __future__ import annotations

from .disasm import SLOT, operands
from .opcodes import (
    CALL,
    EXIT,
    GOTO,
    GOTOL,
    GOTOX,
    JEQ,
    JGE,
    JGT,
    JLE,
    JLT,
    JMP,
    JMP32,
    JNE,
    JSET,
    JSGE,
    JSGT,
    JSLE,
    JSLT,
    LD_IMM64,
    MAY_GOTO,
    PSEUDO_CALL,
    PSEUDO_FUNC,
    K,
    X,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .disasm import Insn

# The numbers of the blocks that every function has; those with instructions follow.
ENTRY_BLOCK, EXIT_BLOCK, FIRST_BLOCK = range(3)

# Where an instruction's target stands (operands' off or imm), or that it leaves the function, or may go anywhere.
_OFF, _IMM, _LEAVES, _ANYWHERE = range(4)
_CONDITIONS = (JEQ, JGT, JGE, JSET, JNE, JSGT, JSGE, JLT, JLE, JSLT, JSLE)
# Opcode of what ends a block → whether the next instruction may follow, and the target. Calls come back: not here.
_ENDS = {cls | op | source: (True, _OFF) for cls in (JMP, JMP32) for op in _CONDITIONS for source in (K, X)} | {
    MAY_GOTO: (True, _OFF),
    GOTO: (False, _OFF),
    GOTOL: (False, _IMM),
    GOTOX: (False, _ANYWHERE),
    EXIT: (False, _LEAVES),
}
_NOWHERE = -1  # no instruction's index


class Block:
    """Instructions that run one after another. next: numbers of the blocks that may follow, fall-through first."""

    __slots__ = ("insns", "next", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.insns: list[Insn] = []
        self.next: list[int] = []


class Function:
    """A function's blocks, by instructions; `start` is the slot at which it begins."""

    __slots__ = ("blocks", "start")

    def __init__(self, start: int, blocks: list[Block]) -> None:
        self.start = start
        self.blocks = blocks

    def edges(self) -> Iterator[tuple[int, int]]:
        """(from, to) by block numbers, ENTRY_BLOCK and EXIT_BLOCK among them; twice where two ways lead there."""
        yield ENTRY_BLOCK, FIRST_BLOCK
        for block in self.blocks:
            for number in block.next:
                yield block.number, number


def functions(
    insns: Sequence[Insn], byteorder: str = "little", starts: Iterable[int] | None = None, xlated: bool = False
) -> list[Function]:
    """The functions of a program, each with its graph; all instructions are in exactly one block.

    starts: slots at which functions begin (func_info); None: at the program's own calls and function addresses.
    xlated: the kernel has translated the code; the distance of a call is in `off` then, not in `imm`.
    """
    if not insns:
        return []
    if starts is None:
        starts = _referred(insns, byteorder, xlated)
    firsts = {insns[0].index, *starts}
    parts: list[list[Insn]] = []
    for position, insn in enumerate(insns):
        if insn.index in firsts or not position:
            parts.append([])
        parts[-1].append(insn)
    return [Function(part[0].index, _blocks(part, byteorder)) for part in parts]


def _referred(insns: Sequence[Insn], byteorder: str, xlated: bool) -> Iterator[int]:
    """Where the functions begin that a program calls or takes the address of."""
    for insn in insns:
        if insn.code not in (CALL, LD_IMM64):
            continue
        _, src, off, imm = operands(insn.raw, byteorder)
        if insn.code == CALL and src == PSEUDO_CALL:
            yield insn.index + 1 + (off if xlated else imm)
        elif insn.code == LD_IMM64 and src == PSEUDO_FUNC:
            yield insn.index + 1 + imm


def _flow(insn: Insn, byteorder: str) -> tuple[bool, list[int]] | None:
    """Of what ends a block: whether it may fall through, and its targets. None for all else."""
    end = _ENDS.get(insn.code)
    if end is None or len(insn.raw) < SLOT:
        return None
    falls, target = end
    if target == _ANYWHERE:
        return falls, []
    if target == _LEAVES:
        return falls, [_NOWHERE]
    _, _, off, imm = operands(insn.raw, byteorder)
    return falls, [insn.index + 1 + (off if target == _OFF else imm)]


def _blocks(insns: Sequence[Insn], byteorder: str) -> list[Block]:
    """A function's blocks: a new one begins at each target, and after each end."""
    flows = {insn.index: flow for insn in insns if (flow := _flow(insn, byteorder))}
    leaders = {insns[0].index}
    for index, (_, targets) in flows.items():
        leaders.update((index + 1, *targets))
    blocks: list[Block] = []
    numbers: dict[int, int] = {}
    for insn in insns:
        if insn.index in leaders:
            numbers[insn.index] = FIRST_BLOCK + len(blocks)
            blocks.append(Block(numbers[insn.index]))
        blocks[-1].insns.append(insn)
    for block in blocks:
        last = block.insns[-1]
        falls, targets = flows.get(last.index, (True, []))
        ways = [last.index + last.slots, *targets] if falls else targets
        block.next = [numbers.get(way, EXIT_BLOCK) for way in ways]
    return blocks
