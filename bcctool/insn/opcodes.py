"""The encodings of eBPF instructions and how each reads, one row per form.

Encodings: Documentation/bpf/standardization/instruction-set.rst and linux/bpf.h, whose names are kept without `BPF_`.
Texts: those of the kernel's verifier log.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# The three low bits of an opcode: the instruction class.
LD, LDX, ST, STX, ALU, JMP, JMP32, ALU64 = range(8)
CLASS_MASK = 0x07

# ALU and jump classes: source operand, operation.
K, X = 0x00, 0x08
ADD, SUB, MUL, DIV, OR, AND, LSH, RSH, NEG, MOD, XOR, MOV, ARSH, END = range(0x00, 0xE0, 0x10)
JA, JEQ, JGT, JGE, JSET, JNE, JSGT, JSGE, CALL_OP, EXIT_OP, JLT, JLE, JSLT, JSLE, JCOND = range(0x00, 0xF0, 0x10)

# Load and store classes: size, mode. NOSPEC is a mode of ST that only the kernel itself writes.
W, H, B, DW = 0x00, 0x08, 0x10, 0x18
IMM, ABS, IND, MEM, MEMSX, ATOMIC = 0x00, 0x20, 0x40, 0x60, 0x80, 0xC0
NOSPEC = 0xC0

# `imm` of an ATOMIC.
FETCH = 0x01
XCHG, CMPXCHG = 0xE0 | FETCH, 0xF0 | FETCH
LOAD_ACQ, STORE_REL = 0x100, 0x110

# Whole opcodes that programs which read instructions look for.
LD_IMM64 = LD | IMM | DW
CALL = JMP | CALL_OP
EXIT = JMP | EXIT_OP
GOTO = JMP | JA
GOTOL = JMP32 | JA
GOTOX = JMP | JA | X
MAY_GOTO = JMP | JCOND

# `src_reg` of LD_IMM64, and of CALL.
PSEUDO_MAP_FD, PSEUDO_MAP_VALUE, PSEUDO_BTF_ID, PSEUDO_FUNC, PSEUDO_MAP_IDX, PSEUDO_MAP_IDX_VALUE = range(1, 7)
PSEUDO_CALL, PSEUDO_KFUNC_CALL = 1, 2

_BITS = ((W, 32), (H, 16), (B, 8), (DW, 64))
_REGISTERS = ((ALU, "w"), (ALU64, "r"))
_ALU = (
    (ADD, "+="), (SUB, "-="), (MUL, "*="), (DIV, "/="), (OR, "|="), (AND, "&="), (LSH, "<<="), (RSH, ">>="),
    (MOD, "%="), (XOR, "^="), (MOV, "="), (ARSH, "s>>="),
)  # fmt: skip
_ALU_SIGNED = ((DIV, "s/="), (MOD, "s%="))
_CONDITIONS = (
    (JEQ, "=="), (JGT, ">"), (JGE, ">="), (JSET, "&"), (JNE, "!="), (JSGT, "s>"), (JSGE, "s>="), (JLT, "<"),
    (JLE, "<="), (JSLT, "s<"), (JSLE, "s<="),
)  # fmt: skip
_ATOMIC = ((ADD, "+=", "add"), (OR, "|=", "or"), (AND, "&=", "and"), (XOR, "^=", "xor"))


class Form:
    """One form of an instruction: it applies to `code`, and where `field` is named only if that field is `value`.

    `text` is a str.format template over the instruction's fields: dst, src, off (s16), imm (s32), hex (imm as u32), and
    its two halves high and low. What an operand means outside the instruction follows it: see symbols.py.
    """

    __slots__ = ("code", "field", "text", "value")

    def __init__(self, code: int, text: str, field: str = "", value: int = 0) -> None:
        self.code = code
        self.text = text
        self.field = field
        self.value = value


def _alu() -> Iterator[Form]:
    for cls, r in _REGISTERS:
        for op, sign in _ALU:
            yield Form(cls | op | K, f"{r}{{dst}} {sign} {{imm}}")
            yield Form(cls | op | X, f"{r}{{dst}} {sign} {r}{{src}}")
        for op, sign in _ALU_SIGNED:
            yield Form(cls | op | K, f"{r}{{dst}} {sign} {{imm}}", "off", 1)
            yield Form(cls | op | X, f"{r}{{dst}} {sign} {r}{{src}}", "off", 1)
        for bits in (8, 16, 32):
            yield Form(cls | MOV | X, f"{r}{{dst}} = (s{bits}){r}{{src}}", "off", bits)
        for source in (K, X):
            yield Form(cls | NEG | source, f"{r}{{dst}} = -{r}{{dst}}")
    yield Form(ALU64 | MOV | X, "r{dst} = addr_space_cast(r{src}, {high}, {low})", "off", 1)
    yield Form(ALU64 | MOV | X, "r{dst} = &(void __percpu *)(r{src})", "off", -1)
    yield Form(ALU | END | K, "r{dst} = le{imm} r{dst}")
    yield Form(ALU | END | X, "r{dst} = be{imm} r{dst}")
    yield Form(ALU64 | END | K, "r{dst} = bswap{imm} r{dst}")


def _jumps() -> Iterator[Form]:
    for cls, r in ((JMP32, "w"), (JMP, "r")):
        for op, sign in _CONDITIONS:
            yield Form(cls | op | K, f"if {r}{{dst}} {sign} {{hex:#x}} goto pc{{off:+d}}")
            yield Form(cls | op | X, f"if {r}{{dst}} {sign} {r}{{src}} goto pc{{off:+d}}")
    yield Form(GOTO, "goto pc{off:+d}")
    yield Form(GOTOL, "gotol pc{imm:+d}")
    yield Form(GOTOX, "gotox r{dst}")
    yield Form(MAY_GOTO, "may_goto pc{off:+d}", "src", 0)
    yield Form(CALL, "call ")
    yield Form(EXIT, "exit")


def _memory() -> Iterator[Form]:
    for size, bits in _BITS:
        yield Form(LDX | MEM | size, f"r{{dst}} = *(u{bits} *)(r{{src}} {{off:+d}})")
        if size != DW:
            yield Form(LDX | MEMSX | size, f"r{{dst}} = *(s{bits} *)(r{{src}} {{off:+d}})")
        yield Form(ST | MEM | size, f"*(u{bits} *)(r{{dst}} {{off:+d}}) = {{imm}}")
        yield Form(STX | MEM | size, f"*(u{bits} *)(r{{dst}} {{off:+d}}) = r{{src}}")
        yield Form(ST | NOSPEC | size, "nospec")
        yield Form(LD | ABS | size, f"r0 = *(u{bits} *)skb[{{imm}}]")
        yield Form(LD | IND | size, f"r0 = *(u{bits} *)skb[r{{src}} + {{imm}}]")
    yield Form(LD_IMM64, "r{dst} = ")


def _atomics() -> Iterator[Form]:
    for size, bits in _BITS:
        code = STX | ATOMIC | size
        atomic = "atomic64" if size == DW else "atomic"
        at = f"(u{bits} *)(r{{dst}} {{off:+d}})"
        for op, sign, name in _ATOMIC:
            yield Form(code, f"lock *{at} {sign} r{{src}}", "imm", op)
            yield Form(code, f"r{{src}} = {atomic}_fetch_{name}({at}, r{{src}})", "imm", op | FETCH)
        yield Form(code, f"r{{src}} = {atomic}_xchg({at}, r{{src}})", "imm", XCHG)
        yield Form(code, f"r0 = {atomic}_cmpxchg({at}, r0, r{{src}})", "imm", CMPXCHG)
        yield Form(code, f"r{{dst}} = load_acquire((u{bits} *)(r{{src}} {{off:+d}}))", "imm", LOAD_ACQ)
        yield Form(code, f"store_release({at}, r{{src}})", "imm", STORE_REL)


FORMS = (*_alu(), *_jumps(), *_memory(), *_atomics())

# What stands in place of an instruction that has no form, by the first row whose mask and value fit its opcode: the
# kernel's marks, and ours where it would print `(null)` or an operation that doesn't exist.
UNKNOWN = (
    (CLASS_MASK, LD, "BUG_ld_{:02x}"),
    (CLASS_MASK, LDX, "BUG_ldx_{:02x}"),
    (CLASS_MASK, ST, "BUG_st_{:02x}"),
    (CLASS_MASK, STX, "BUG_{:02x}"),
    (0xFF, ALU64 | END | X, "BUG_alu64_{:02x}"),
    (0x00, 0x00, "unknown opcode {:#04x}"),
)
