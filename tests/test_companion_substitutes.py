"""Kprobes' instructions for a raw tracepoint: which reads are changed, and which programs are left alone."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from bcctool.companion import substitutes
from bcctool.kernel import proc

DI = 112  # of struct pt_regs on x86-64


def insn(opcode: int, target: int = 0, source: int = 0, off: int = 0, imm: int = 0) -> bytes:
    return struct.pack("=BBhi", opcode, source << 4 | target, off, imm)


def load(target: int, source: int, off: int) -> bytes:
    return insn(0x79, target, source, off)


def move(target: int, source: int) -> bytes:
    return insn(0xBF, target, source)


EXIT, ZERO = insn(0x95), insn(0xB7)
CALL = insn(0x85, imm=5)
STORE = insn(0x7B, 10, 1, -8)  # *(u64 *)(r10 - 8) = r1


def jump_if_zero(register: int, off: int) -> bytes:
    return insn(0x15, register, off=off)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (load(2, 1, DI) + ZERO + EXIT, load(2, 1, 0) + ZERO + EXIT),
        # by a copy, after a call
        (
            move(6, 1) + CALL + load(1, 6, DI) + load(1, 1, DI) + ZERO + EXIT,
            move(6, 1) + CALL + load(1, 6, 0) + load(1, 1, DI) + ZERO + EXIT,
        ),
        # what is stored is the argument, not the context
        (load(1, 1, DI) + STORE + ZERO + EXIT, load(1, 1, 0) + STORE + ZERO + EXIT),
        # only where each way leads here with the context in the register
        (
            jump_if_zero(2, 1) + load(1, 1, DI) + load(3, 1, DI) + EXIT,
            jump_if_zero(2, 1) + load(1, 1, 0) + load(3, 1, DI) + EXIT,
        ),
        # a wide instruction takes two places
        (
            insn(0x18, 2, imm=1) + insn(0) + load(3, 1, DI) + EXIT,
            insn(0x18, 2, imm=1) + insn(0) + load(3, 1, 0) + EXIT,
        ),
        # back to what has been seen
        (load(3, 1, DI) + insn(0x05, off=-2), load(3, 1, 0) + insn(0x05, off=-2)),
        (load(3, 1, DI + 8) + ZERO + EXIT, None),  # the second argument
        (insn(0x61, 3, 1, DI) + ZERO + EXIT, None),  # half of the first
        (STORE + ZERO + EXIT, None),  # the context itself is kept somewhere
        (insn(0x7A, 1, 0, DI) + ZERO + EXIT, None),  # or written
        (move(6, 1) + insn(0x7B, 6, 0, DI) + ZERO + EXIT, None),
    ],
)  # fmt: skip
def test_reads_of_the_argument(code: bytes, expected: bytes | None) -> None:
    assert substitutes.for_raw_tracepoint(code, DI) == expected


def test_code_that_ends_anywhere_is_left_as_it_is() -> None:
    for code in (b"", insn(0x05, off=100), insn(0x18), jump_if_zero(1, 0x7FFF), insn(0x05, off=-100)):
        assert substitutes.for_raw_tracepoint(code, DI) == code


@pytest.mark.parametrize(
    ("functions", "events", "expected"),
    [
        ("vfs_read\n", ["block_io_done"], "block_io_done"),
        ("vfs_read\nblk_account_io_done\n", ["block_io_done"], ""),  # it can be probed
        ("vfs_read\n", [], ""),
        (None, ["block_io_done"], ""),
    ],
)
def test_when_a_tracepoint_is_used(
    functions: str | None, events: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for event in events:
        (tmp_path / "events" / "block" / event).mkdir(parents=True)
    if functions is not None:
        (tmp_path / "available_filter_functions").write_text(functions)
    monkeypatch.setattr(proc, "tracefs", lambda: str(tmp_path))
    assert substitutes.tracepoint(b"blk_account_io_done") == expected
    assert substitutes.tracepoint(b"vfs_read") == ""
