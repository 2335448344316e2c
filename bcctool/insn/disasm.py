"""eBPF instructions as the kernel's verifier log writes them (opcodes.py holds the texts, symbols.py the operands)."""

from __future__ import annotations

import struct

from .opcodes import CALL, FORMS, LD_IMM64, UNKNOWN
from .symbols import Symbols

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Formatter = Callable[[int, int, int, int, int], str]

SLOT = 8

_FIELDS = ("dst", "src", "off", "imm", "hex")
_UNPACK = {"little": struct.Struct("<BBhi").iter_unpack, "big": struct.Struct(">BBhi").iter_unpack}
# The byte that holds both registers → (dst, src): the nibbles change places with the byte order.
_REGISTERS = {
    "little": tuple((byte & 15, byte >> 4) for byte in range(256)),
    "big": tuple((byte >> 4, byte & 15) for byte in range(256)),
}


class Insn:
    """One instruction: `index` and `slots` (1 or 2) count 8-byte slots; `code` is the opcode byte.

    `line` is `(b7) r0 = 0`, or a bare `BUG_db`, `unknown opcode 0xe4`, `truncated instruction ...`.
    """

    __slots__ = ("_program", "code", "index", "line", "slots")

    def __init__(self, index: int, slots: int, code: int, line: str, program: bytes | memoryview) -> None:
        self.index = index
        self.slots = slots
        self.code = code
        self.line = line
        self._program = program

    @property
    def text(self) -> str:
        """`line` without the opcode in parentheses: `r0 = 0`."""
        return self.line[5:] if self.line[0] == "(" else self.line

    @property
    def raw(self) -> bytes:
        """The instruction's 8 or 16 bytes; fewer where the buffer ends inside it."""
        return bytes(self._program[self.index * SLOT : (self.index + self.slots) * SLOT])


def disassemble(code: bytes | memoryview, symbols: Symbols | None = None, byteorder: str = "little") -> Iterator[Insn]:
    """Every instruction in `code`, which may be of any length and content; together they cover it exactly.

    symbols: what calls and 64-bit immediates refer to (default: the plain Symbols()). byteorder: "little" or "big".
    """
    symbols = symbols or Symbols()
    registers = _REGISTERS[byteorder]
    formatters = _FORMATTERS
    whole = len(code) // SLOT
    slots = enumerate(_UNPACK[byteorder](memoryview(code)[: whole * SLOT]))
    for index, (op, regs, off, imm) in slots:
        dst, src = registers[regs]
        line = formatters[op](dst, src, off, imm, imm & 0xFFFFFFFF)
        size = 1
        if op == CALL:
            line += symbols.call(index, src, off, imm)
        elif op == LD_IMM64:
            second = next(slots, None)
            if second is None:
                line = _truncated(SLOT, 2 * SLOT)
            else:
                size = 2
                line += symbols.imm64(index, src, dst, off, imm, second[1][3])
        yield Insn(index, size, op, line, code)
    if len(code) % SLOT:
        yield Insn(whole, 1, code[whole * SLOT], _truncated(len(code) % SLOT, SLOT), code)


def operands(raw: bytes, byteorder: str = "little") -> tuple[int, int, int, int]:
    """(dst, src, off, imm) of an instruction's first 8 bytes; zeros of a truncated one."""
    if len(raw) < SLOT:
        return 0, 0, 0, 0
    ((_, regs, off, imm),) = _UNPACK[byteorder](raw[:SLOT])
    return *_REGISTERS[byteorder][regs], off, imm


def opcodes_line(raw: bytes) -> str:
    """The line under an instruction that shows its bytes: seven blanks, then `bf 16 00 00 00 00 00 00`."""
    return f"       {raw.hex(' ')}"


def opcodes_record(raw: bytes, byteorder: str = "little") -> dict[str, str | list[str]]:
    """An instruction's 8 or 16 bytes as bpftool's JSON: code, src_reg, dst_reg, off (2 bytes), imm (4 or 12).

    Of a truncated instruction, `raw` not empty, only the bytes that are there.
    """
    dst, src = _REGISTERS[byteorder][raw[1] if len(raw) > 1 else 0]
    octets = [f"0x{byte:02x}" for byte in raw]
    return {"code": octets[0], "src_reg": f"{src:#x}", "dst_reg": f"{dst:#x}", "off": octets[2:4], "imm": octets[4:]}


def _truncated(have: int, need: int) -> str:
    return f"truncated instruction ({have} of {need} bytes)"


def _formatters() -> list[Formatter]:
    """One formatter per opcode, of (dst, src, off, imm, imm as u32), from the rows of opcodes.py."""
    plain = [_constant(_unknown(code)) for code in range(256)]
    special: dict[int, tuple[str, dict[int, Formatter]]] = {}
    for form in FORMS:
        formatter = _compile(f"({form.code:02x}) {form.text}")
        if form.field:
            special.setdefault(form.code, (form.field, {}))[1][form.value] = formatter
        else:
            plain[form.code] = formatter
    for code, (field, variants) in special.items():
        plain[code] = _choose(_FIELDS.index(field), variants, plain[code])
    return plain


def _compile(template: str) -> Formatter:
    """A template's own `format`, its fields numbered: the fastest call there is for such a text."""
    if "{high}" in template:
        return lambda dst, src, off, imm, hex: template.format(dst=dst, src=src, high=hex >> 16, low=hex & 0xFFFF)
    for position, field in enumerate(_FIELDS):
        template = template.replace("{" + field, "{" + str(position))
    return template.format


def _choose(position: int, variants: dict[int, Formatter], default: Formatter) -> Formatter:
    find = variants.get

    def choose(*fields: int) -> str:
        return find(fields[position], default)(*fields)

    return choose


def _constant(line: str) -> Formatter:
    return lambda dst, src, off, imm, hex: line


def _unknown(code: int) -> str:
    return next(text.format(code) for mask, value, text in UNKNOWN if code & mask == value)


_FORMATTERS = _formatters()
