"""insn/asm.py: what the assembler writes, the disassembler reads as what the docstrings say."""

from __future__ import annotations

import sys

import pytest

from bcctool.insn import asm
from bcctool.insn.asm import R1, R2, R10
from bcctool.insn.disasm import disassemble, operands

ONE = asm.mov(R1, 1)


@pytest.mark.parametrize(
    ("code", "texts"),
    [
        (asm.mov(R1, -7), ["r1 = -7"]),
        (asm.mov32(R2, -1), ["w2 = -1"]),
        (asm.copy(R2, R10), ["r2 = r10"]),
        (asm.add(R2, -8), ["r2 += -8"]),
        (asm.add_reg(R1, R2), ["r1 += r2"]),
        (asm.sub_reg(R1, R2), ["r1 -= r2"]),
        (asm.load(R1, R10, -16), ["r1 = *(u64 *)(r10 -16)"]),
        (asm.load32(R1, R10, -4), ["r1 = *(u32 *)(r10 -4)"]),
        (asm.store(R10, -16, R1), ["*(u64 *)(r10 -16) = r1"]),
        (asm.store_imm(R10, 8, 5), ["*(u64 *)(r10 +8) = 5"]),
        (asm.call(1), ["call bpf_map_lookup_elem#1"]),
        (asm.when_zero(R1, ONE + ONE), ["if r1 != 0x0 goto pc+2", "r1 = 1", "r1 = 1"]),
        (asm.when_set(R1, ONE), ["if r1 == 0x0 goto pc+1", "r1 = 1"]),
        (asm.when_equal(R1, R2, ONE), ["if r1 != r2 goto pc+1", "r1 = 1"]),
        (asm.end(3), ["r0 = 3", "exit"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_instructions(code: bytes, texts: list[str]) -> None:
    assert [insn.text for insn in disassemble(code, byteorder=sys.byteorder)] == texts


def test_a_map_takes_two_slots() -> None:
    code = asm.load_map(R1, 77)
    (insn,) = disassemble(code, byteorder=sys.byteorder)
    assert (insn.slots, operands(code, sys.byteorder)) == (2, (1, 1, 0, 77))


def test_a_function_takes_two_slots() -> None:
    code = asm.load_function(R1, 77)
    (insn,) = disassemble(code, byteorder=sys.byteorder)
    assert (insn.slots, operands(code, sys.byteorder)) == (2, (1, 3, 0, 77))
