"""The programs of `prog profile`, run by an interpreter of the instructions that they use, on counters of our own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from bcctool.insn import opcodes as op
from bcctool.insn.disasm import SLOT, operands
from bcctool.kernel.uapi import HELPERS
from bcctool.loader import profiler_code

VALUES_FD, EVENT_FDS = 100, (101, 102)
VALUE, FRAME = 1 << 32, 2 << 32
U64 = (1 << 64) - 1

Reading = tuple[int, int, int]
Code = Callable[[int, tuple[int, ...]], bytes]


class Machine:
    """One CPU: its value in the per-CPU array, and counters that give `readings` one after another (None: an error)."""

    def __init__(self) -> None:
        self.memory: dict[int, int] = {VALUE + at: 0 for at in range(0, profiler_code.value_size(2), 8)}
        self.readings: Iterator[Reading | None] = iter(())
        self.asked: list[int] = []

    def words(self) -> list[int]:
        return [self.memory[at] for at in sorted(self.memory) if VALUE <= at < FRAME - 4096]

    def run(self, code: Code, *readings: Reading | None) -> None:
        """Run a program to its end."""
        self.readings = iter(readings)
        insns = code(VALUES_FD, EVENT_FDS)
        regs = {10: FRAME}
        at = 0
        while insns[at] != op.EXIT:
            at += self.step(insns[at : at + 2 * SLOT], regs) * SLOT
        assert regs[0] == 0

    def step(self, raw: bytes, regs: dict[int, int]) -> int:
        """One instruction: how many slots to go on."""
        dst, src, off, imm = operands(raw, sys.byteorder)
        code = raw[0]
        if code in (op.ALU64 | op.MOV | op.K, op.LD_IMM64):
            regs[dst] = imm & U64
        elif code == op.ALU | op.MOV | op.K:
            regs[dst] = imm & 0xFFFFFFFF
        elif code == op.ALU64 | op.MOV | op.X:
            regs[dst] = regs[src]
        elif code & ~op.X == op.ALU64 | op.ADD:
            regs[dst] = regs[dst] + (regs[src] if code & op.X else imm) & U64
        elif code == op.ALU64 | op.SUB | op.X:
            regs[dst] = regs[dst] - regs[src] & U64
        elif code == op.LDX | op.MEM | op.DW:
            regs[dst] = self.memory[regs[src] + off]
        elif code in (op.ST | op.MEM | op.DW, op.STX | op.MEM | op.DW):
            self.memory[regs[dst] + off] = regs[src] if code & 7 == op.STX else imm
        elif code in (op.JMP | op.JEQ | op.K, op.JMP | op.JNE | op.K):
            return 1 + off * ((regs[dst] == imm) == (code & 0xF0 == op.JEQ))
        else:
            assert code == op.CALL
            self.call(HELPERS[imm], regs)
        return 2 if code == op.LD_IMM64 else 1

    def call(self, helper: str, regs: dict[int, int]) -> None:
        args = [regs.pop(number, 0) for number in range(1, 6)]
        if helper == "map_lookup_elem":
            assert args[0] == VALUES_FD
            assert self.memory[args[1]] == 0
            regs[0] = VALUE
            return
        assert helper == "perf_event_read_value"
        assert (args[1], args[3]) == (0xFFFFFFFF, 24)
        self.asked.append(args[0])
        reading = next(self.readings)
        regs[0] = 0 if reading else -2 & U64
        for number, word in enumerate(reading or (0, 0, 0)):
            self.memory[args[2] + 8 * number] = word


def totals(machine: Machine) -> list[int]:
    return machine.words()[profiler_code.totals_at(2) :]


def test_complete_runs_add_up() -> None:
    machine = Machine()
    for start in (1000, 5000):
        machine.run(profiler_code.entry, (start, 10, 10), (7, 10, 10))
        machine.run(profiler_code.exit, (start + 123, 15, 12), (7, 15, 15))
    assert machine.asked == [*EVENT_FDS] * 4
    assert machine.words()[profiler_code.RUN_CNT] == 2
    assert totals(machine) == [246, 10, 4, 0, 10, 10]


def test_an_end_without_its_start_counts_for_nothing() -> None:
    machine = Machine()
    machine.run(profiler_code.exit)
    machine.run(profiler_code.entry, (1, 1, 1), (1, 1, 1))
    machine.run(profiler_code.exit, (2, 2, 2), (2, 2, 2))
    machine.run(profiler_code.exit)
    assert machine.words()[profiler_code.RUN_CNT] == 1
    assert totals(machine) == [1] * 6


def test_a_counter_that_cannot_be_read_spoils_the_run() -> None:
    machine = Machine()
    machine.run(profiler_code.entry, (1, 1, 1), None)
    machine.run(profiler_code.exit, (2, 2, 2), (2, 2, 2))
    machine.run(profiler_code.entry, (1, 1, 1), (1, 1, 1))
    machine.run(profiler_code.exit, (2, 2, 2), None)
    machine.run(profiler_code.exit, (2, 2, 2), (2, 2, 2))
    assert machine.words()[profiler_code.RUN_CNT] == 0
    assert totals(machine) == [0] * 6


def test_the_stack_is_not_exceeded() -> None:
    insns = profiler_code.exit(3, (4, 5, 6, 7))
    offsets = [operands(insns[at : at + SLOT], sys.byteorder) for at in range(0, len(insns), SLOT)]
    assert min(off for _, src, off, _ in offsets if src == 10) >= -512
