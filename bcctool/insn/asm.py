"""A small assembler: an instruction as its bytes, for the few programs of our own (instruction-set.rst)."""

from __future__ import annotations

import struct
import sys

from . import opcodes as op

SLOT = 8
R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 = range(11)
_DST_SHIFT, _SRC_SHIFT = (0, 4) if sys.byteorder == "little" else (4, 0)


def insn(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    """Any instruction of one slot, for this machine."""
    return struct.pack("=BBhi", code, dst << _DST_SHIFT | src << _SRC_SHIFT, off, imm)


def mov(dst: int, imm: int) -> bytes:
    """dst = imm"""
    return insn(op.ALU64 | op.MOV | op.K, dst, imm=imm)


def mov32(dst: int, imm: int) -> bytes:
    """The lower half of dst = imm, the upper one = 0"""
    return insn(op.ALU | op.MOV | op.K, dst, imm=imm)


def copy(dst: int, src: int) -> bytes:
    """dst = src"""
    return insn(op.ALU64 | op.MOV | op.X, dst, src)


def add(dst: int, imm: int) -> bytes:
    """dst += imm"""
    return insn(op.ALU64 | op.ADD | op.K, dst, imm=imm)


def add_reg(dst: int, src: int) -> bytes:
    """dst += src"""
    return insn(op.ALU64 | op.ADD | op.X, dst, src)


def sub_reg(dst: int, src: int) -> bytes:
    """dst -= src"""
    return insn(op.ALU64 | op.SUB | op.X, dst, src)


def load(dst: int, src: int, off: int) -> bytes:
    """dst = *(u64 *)(src + off)"""
    return insn(op.LDX | op.MEM | op.DW, dst, src, off)


def load32(dst: int, src: int, off: int) -> bytes:
    """dst = *(u32 *)(src + off)"""
    return insn(op.LDX | op.MEM | op.W, dst, src, off)


def store(dst: int, off: int, src: int) -> bytes:
    """*(u64 *)(dst + off) = src"""
    return insn(op.STX | op.MEM | op.DW, dst, src, off)


def store_imm(dst: int, off: int, imm: int) -> bytes:
    """*(u64 *)(dst + off) = imm"""
    return insn(op.ST | op.MEM | op.DW, dst, off=off, imm=imm)


def load_map(dst: int, fd: int) -> bytes:
    """dst = the map of a descriptor (two slots)"""
    return insn(op.LD_IMM64, dst, op.PSEUDO_MAP_FD, imm=fd) + insn(0)


def load_function(dst: int, id: int) -> bytes:
    """dst = the address of a function of the kernel's, by its id in vmlinux BTF (two slots)"""
    return insn(op.LD_IMM64, dst, op.PSEUDO_BTF_ID, imm=id) + insn(0)


def call(helper: int) -> bytes:
    """r0 = helper(r1, …, r5)"""
    return insn(op.CALL, imm=helper)


def when_zero(register: int, body: bytes) -> bytes:
    """if register == 0: body"""
    return insn(op.JMP | op.JNE | op.K, register, off=len(body) // SLOT) + body


def when_set(register: int, body: bytes) -> bytes:
    """if register != 0: body"""
    return insn(op.JMP | op.JEQ | op.K, register, off=len(body) // SLOT) + body


def when_equal(register: int, other: int, body: bytes) -> bytes:
    """if register == other: body"""
    return insn(op.JMP | op.JNE | op.X, register, other, off=len(body) // SLOT) + body


def end(value: int) -> bytes:
    """return value"""
    return mov(R0, value) + insn(op.EXIT)
