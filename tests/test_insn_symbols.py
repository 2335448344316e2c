"""Operands of calls and 64-bit immediates, without and with the kernel's addresses."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcctool.insn.disasm import disassemble
from bcctool.insn.symbols import Symbols, XlatedSymbols

BASE = 0xFFFFFFFF814CA810
KALLSYMS = {
    BASE: "__bpf_call_base",
    BASE + 269488: "bpf_ktime_get_ns",
    BASE - 61360: "bpf_trace_printk",
    0xFFFFFFFFC0025E7C: "bpf_prog_3305d03346d4130d_sub",
}
JITED = [0xFFFFFFFFC0025000, 0xFFFFFFFFC0025E7C, 0xFFFFFFFFC0026000]


def text(symbols: Symbols, code: int, src: int, off: int, imm: int, high: int = 0) -> str:
    raw = struct.pack("<BBhi", code, src << 4 | 1, off, imm)
    if code == 0x18:
        raw += struct.pack("<BBhi", 0, 0, 0, high)
    [insn] = disassemble(raw, symbols)
    return insn.text


@pytest.mark.parametrize(
    ("src", "off", "imm", "expected"),
    [
        (0, 0, 1, "call bpf_map_lookup_elem#1"),
        (0, 0, 0, "call bpf_unspec#0"),
        (0, 0, 211, "call bpf_cgrp_storage_delete#211"),
        (0, 0, 1_000_000, "call unknown#1000000"),
        (0, 0, -1, "call unknown#-1"),
        (1, 0, 62, "call pc+62"),
        (1, 7, -3, "call pc-3"),
        (2, 0, 38425, "call kfunc#38425"),
        (9, 0, 6, "call bpf_trace_printk#6"),
    ],
)
def test_calls_without_context(src: int, off: int, imm: int, expected: str) -> None:
    assert text(Symbols(), 0x85, src, off, imm) == expected


@pytest.mark.parametrize("src", range(16))
def test_immediates_without_context_are_numbers(src: int) -> None:
    assert text(Symbols(), 0x18, src, 0, 5, 7) == "r1 = 0x700000005"
    assert text(Symbols(), 0x18, src, 0, -1, -1) == "r1 = 0xffffffffffffffff"


@pytest.mark.parametrize(
    ("src", "off", "imm", "expected"),
    [
        (0, 0, 269488, "call bpf_ktime_get_ns#269488"),
        (0, 0, -61360, "call bpf_trace_printk#-61360"),
        (0, 0, 330864, "call 0xffffffff8151b480#330864"),
        (0, 0, 12, "call bpf_tail_call#12"),
        (2, 0, 269488, "call bpf_ktime_get_ns#269488"),
        (2, 0, 12, "call 0xffffffff814ca81c#12"),
        (1, 95, 1, "call pc+95#bpf_prog_3305d03346d4130d_sub"),
        (1, -4, 2, "call pc-4#0xffffffffc0026000"),
        (1, 3, 3, "call pc+3#0xffffffff814ca813"),
        (1, 3, -1, "call pc+3#0xffffffff814ca80f"),
    ],
)
def test_calls_in_a_loaded_program(src: int, off: int, imm: int, expected: str) -> None:
    assert text(XlatedSymbols(KALLSYMS.get, BASE, JITED), 0x85, src, off, imm) == expected


def test_calls_in_a_program_that_is_not_jited() -> None:
    assert text(XlatedSymbols(KALLSYMS.get, BASE, []), 0x85, 1, 2, 1) == "call pc+2"


@pytest.mark.parametrize(
    ("src", "imm", "expected"),
    [
        (0, 0, "call bpf_unspec#0"),
        (0, 330864, "call 0x50c70#330864"),
        (0, -61360, "call 0xffffffffffff1050#-61360"),
        (2, 0, "call 0x0#0"),
        (1, 1, "call pc+9#0x0"),
    ],
)
def test_calls_when_the_kernel_hides_its_addresses(src: int, imm: int, expected: str) -> None:
    assert text(XlatedSymbols(lambda address: None, 0, [0, 0]), 0x85, src, 9, imm) == expected


@pytest.mark.parametrize(
    ("src", "imm", "high", "expected"),
    [
        (0, -2, 1, "r1 = 0x1fffffffe"),
        (1, 117, 0, "r1 = map[id:117]"),
        (1, -1, 9, "r1 = map[id:4294967295]"),
        (2, 123, 8, "r1 = map[id:123][0]+8"),
        (2, 123, -1, "r1 = map[id:123][0]+4294967295"),
        (3, 16, 0, "r1 = 0x10"),
        (4, 65, 0, "r1 = subprog[+65]"),
        (4, -7, 0, "r1 = subprog[-7]"),
        (5, 1, 0, "r1 = 0x1"),
        (6, 3, 16, "r1 = map[idx:3]+16"),
    ],
)
def test_immediates_in_a_loaded_program(src: int, imm: int, high: int, expected: str) -> None:
    assert text(XlatedSymbols(KALLSYMS.get, BASE, JITED), 0x18, src, 0, imm, high) == expected


def test_a_subclass_sees_the_fields_of_the_instruction() -> None:
    class Spy(Symbols):
        def call(self, *fields: int) -> str:
            return f"call{fields}"

        def imm64(self, *fields: int) -> str:
            return f"imm64{fields}"

    code = struct.pack("<BBhiBBhiBBhi", 0x18, 0x23, 4, -5, 0, 0, 0, -6, 0x85, 0x17, 8, -9)
    assert [insn.text for insn in disassemble(code, Spy())] == [
        "r3 = imm64(0, 2, 3, 4, -5, -6)",
        "call call(2, 1, 8, -9)",
    ]


@given(
    src=st.integers(0, 15),
    off=st.integers(-(2**15), 2**15 - 1),
    imm=st.integers(-(2**31), 2**31 - 1),
    base=st.sampled_from([0, BASE, 2**64 - 1]),
    jited=st.lists(st.integers(0, 2**64 - 1), max_size=3),
)
def test_no_operand_raises(src: int, off: int, imm: int, base: int, jited: list[int]) -> None:
    symbols = XlatedSymbols(lambda address: "" if 0 <= address < 2**64 else "outside", base, jited)
    for operand in (symbols.call(0, src, off, imm), symbols.imm64(0, src, 0, off, imm, imm)):
        assert operand
        assert "outside" not in operand
