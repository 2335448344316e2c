"""Our instruction texts beside the kernel's own: what the verifier writes into its log."""

from __future__ import annotations

import ctypes
import os
import random
import re
import struct

import pytest

from bcctool.errors import Error
from bcctool.insn.disasm import disassemble
from bcctool.insn.opcodes import (
    ALU64,
    CALL,
    CLASS_MASK,
    DW,
    EXIT,
    FORMS,
    GOTO,
    GOTOL,
    JMP,
    JMP32,
    LD,
    LD_IMM64,
    LDX,
    MOV,
    NOSPEC,
    ST,
    STX,
    B,
    Form,
    H,
    W,
)
from bcctool.kernel import libbpf

pytestmark = pytest.mark.kernel

SOCKET_FILTER = 1
LOG_SIZE = 1 << 20


def insn(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    return struct.pack("=BBhi", code, src << 4 | dst, off, imm)


# Every register readable but r10 the frame, which has 16 bytes written.
PROLOGUE = b"".join(insn(ALU64 | MOV, register, imm=5) for register in range(10)) + b"".join(
    insn(0x7B, 10, 1, off) for off in (-8, -16)
)
EPILOGUE = insn(ALU64 | MOV) + insn(EXIT)
START = len(PROLOGUE) // 8


def verify(code: bytes) -> tuple[dict[int, str], str]:
    """The lines that the verifier's log shows for each slot of a program, and all of the log.

    An instruction appears as it is verified, and since 6.16 in a table of live registers before that: so it does not
    matter whether the verifier accepts it.
    """
    log = ctypes.create_string_buffer(LOG_SIZE)
    options = libbpf.opts(
        libbpf.prog_load_opts, attempts=1, log_level=2, log_size=LOG_SIZE, log_buf=ctypes.addressof(log)
    )
    try:
        load = libbpf.function("bpf_prog_load")
    except Error as error:
        pytest.skip(str(error))
    fd = load(SOCKET_FILTER, b"insn", b"GPL", code, len(code) // 8, ctypes.byref(options))
    if fd >= 0:
        os.close(fd)
    text = log.value.decode()
    lines = re.findall(r"^ *(\d+): (?:[.0-9]{10} )?(\([0-9a-f]{2}\) .*?|BUG_\w+)\s*(?:;.*)?$", text, re.MULTILINE)
    return {int(index): line for index, line in lines}, text


def example(form: Form) -> bytes:
    """An instruction of this form that stands up to the checks which come before the log shows it."""
    fields = {"dst": 10 if form.code & CLASS_MASK in (ST, STX) else 1, "src": 2, "off": 0, "imm": 24}
    if "{off:+d})" in form.text or "store" in form.text:
        fields["off"] = -8
    if form.code & CLASS_MASK == LDX:
        fields.update(src=10, imm=0)
    if form.code in (GOTO, GOTOL, EXIT, CALL) or form.code & CLASS_MASK == LD:
        fields.update(dst=0, src=0, imm={CALL: 5, GOTOL: 0}.get(form.code, 8))
    if form.field:
        fields[form.field] = form.value
    if form.code == LD_IMM64:
        return insn(form.code, 1, imm=-7) + insn(0, imm=9)
    return insn(form.code, fields["dst"], fields["src"], fields["off"], fields["imm"])


# What the kernel refuses before its log shows it: encodings that no program may have, NOSPEC which only it writes.
REFUSED = {0x8C, 0x8F, 0x38, 0x58, 0x0D} | {ST | NOSPEC | size for size in (W, H, B, DW)}
# How many forms Linux 5.12 has, the first whose log shows atomics.
OLD_FORMS = 130


def test_every_form_reads_as_in_the_verifier_log() -> None:
    ours, theirs = [], []
    for form in FORMS:
        code = example(form)
        lines, log = verify(PROLOGUE + code + (b"" if form.code == EXIT else EPILOGUE))
        if START in lines:
            ours += [one.line for one in disassemble(code)]
            theirs.append(lines[START])
        else:
            assert re.search("unknown opcode|reserved field", log), (form.text, log)
    assert theirs == ours
    assert len(theirs) > OLD_FORMS


@pytest.mark.parametrize("seed", range(4))
def test_any_fields_read_as_in_the_verifier_log(seed: int) -> None:
    rng = random.Random(seed)
    program = PROLOGUE + b"".join(random_insn(rng) for _ in range(300)) + EPILOGUE
    lines, log = verify(program)
    if "Live regs before insn" not in log:
        pytest.skip("this kernel's log has no table of all instructions (since 6.16)")
    ours = {one.index: one.line for one in disassemble(program)}
    assert len(ours) == len(program) // 8
    assert lines == ours


def random_insn(rng: random.Random) -> bytes:
    """Straight-line code with fields that the kernel looks at only after it has printed them."""
    form = rng.choice(
        [form for form in FORMS if form.code not in REFUSED and form.code & CLASS_MASK not in (LD, JMP, JMP32)]
    )
    imm = rng.choice([0, 1, -1, 16, 0x7FFFFFFF, -0x80000000, rng.randrange(-(2**31), 2**31)])
    off = rng.choice([0, -1, 1, 8, 32, 2**15 - 1, -(2**15), rng.randrange(-(2**15), 2**15)])
    fields = {"dst": rng.randrange(11), "src": rng.randrange(11), "off": off, "imm": imm}
    if form.code & CLASS_MASK == LDX:
        fields["imm"] = 0
    if form.field and rng.random() < 0.9:
        fields[form.field] = form.value
    return insn(form.code, fields["dst"], fields["src"], fields["off"], fields["imm"])


@pytest.mark.parametrize(
    ("code", "line"),
    [
        (insn(0x15, 1, off=-1, imm=-3), "(15) if r1 == 0xfffffffd goto pc-1"),
        (insn(0x1E, 1, 2, 1), "(1e) if w1 == w2 goto pc+1"),
        (insn(0xE5, off=1), "(e5) may_goto pc+1"),
        (insn(0x06, imm=0), "(06) gotol pc+0"),
        (insn(0x85, imm=12), "(85) call bpf_tail_call#12"),
        (insn(0x85, imm=9999), "(85) call unknown#9999"),
        (insn(0x85, src=1, imm=2), "(85) call pc+2"),
        (insn(0xDB, 10, 2, -8, 7), "BUG_db"),
        (insn(0x18, 1, imm=-1) + insn(0, imm=7), "(18) r1 = 0x7ffffffff"),
    ],
)
def test_jumps_calls_and_marks(code: bytes, line: str) -> None:
    assert [one.line for one in disassemble(code)] == [line]
    lines, log = verify(PROLOGUE + code + EPILOGUE + (EPILOGUE if "call pc" in line else b""))
    if START not in lines and re.search("unknown opcode|reserved field", log):
        pytest.skip(f"this kernel has no {line}")
    assert lines[START] == line
