"""USDT probes of programs and libraries, and where their arguments are (SystemTap's notes, `.note.stapsdt`).

Spec: https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation; the operands are the assembler's.
"""

from __future__ import annotations

import re
import struct

from ..errors import Error, Malformed
from ..escapes import printable
from .native import PF_X, SHT_NOTE, NativeElf
from .reader import MACHINES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

SECTION, BASE_SECTION = ".note.stapsdt", ".stapsdt.base"
OWNER, NT_STAPSDT = b"stapsdt\0", 3
MAX_NOTES, MAX_ARGUMENTS_TEXT = 1 << 24, 1 << 12  # bytes
EM_X86_64, EM_AARCH64 = 62, 183
CONST, REGISTER, MEMORY, INDEXED = range(4)  # kinds of arguments
SIZES = (1, 2, 4, 8)

# Each register's offset in what the kernel saves at a probe (asm/ptrace.h), and the names of its parts.
_X86_64 = (
    (0, "r15"), (8, "r14"), (16, "r13"), (24, "r12"), (32, "rbp ebp bp bpl"), (40, "rbx ebx bx bl"), (48, "r11"),
    (56, "r10"), (64, "r9"), (72, "r8"), (80, "rax eax ax al"), (88, "rcx ecx cx cl"), (96, "rdx edx dx dl"),
    (104, "rsi esi si sil"), (112, "rdi edi di dil"), (128, "rip eip"), (152, "rsp esp sp spl"),
)  # fmt: skip
_NUMBER = r"[-+]?(?:0[xX][0-9a-fA-F]+|[0-9]+)"


class Probe:
    """One place of a probe: `offset` in the file, `address` as the file has it, semaphore's offset (0: none).

    arguments: as the note has them, `-4@%edi 8@16(%rbp)`.
    """

    __slots__ = ("address", "arguments", "machine", "offset", "relocated", "semaphore")

    def __init__(self, elf: NativeElf, offset: int, address: int, semaphore: int, arguments: str) -> None:
        self.offset = offset
        self.address = address
        self.semaphore = semaphore
        self.arguments = arguments
        self.machine = elf.machine
        self.relocated = elf.relocated


class Argument:
    """Where an argument is. kind: CONST, `value` is it; REGISTER; MEMORY, at `value` behind what a register points to;
    INDEXED, `scale` times another register behind that.

    size in bytes, signed; register, index: offsets in the saved registers (struct pt_regs).
    """

    __slots__ = ("index", "kind", "register", "scale", "signed", "size", "value")

    def __init__(self, size: int, kind: int, value: int = 0, register: int = 0, index: int = 0, scale: int = 1) -> None:
        self.size = abs(size)
        self.signed = size < 0
        self.kind = kind
        self.value = value
        self.register = register
        self.index = index
        self.scale = scale

    def __repr__(self) -> str:
        fields = ", ".join(f"{field}={getattr(self, field)!r}" for field in self.__slots__)
        return f"Argument({fields})"


class Architecture:
    """How a machine's operands are written: `operand` has the groups const, register, offset, base, index, scale."""

    def __init__(self, operand: str, registers: dict[str, int]) -> None:
        self.argument = re.compile(rf"\s*(?P<size>-?[0-9])\s*@\s*(?:{operand})(?=\s|$)")
        self.registers = registers


def _x86_64_registers() -> dict[str, int]:
    registers = {name: offset for offset, names in _X86_64 for name in names.split()}
    for number in range(8, 16):
        registers |= {f"r{number}{part}": registers[f"r{number}"] for part in "dwb"}
    return registers


def _aarch64_registers() -> dict[str, int]:
    numbered = {f"{letter}{number}": 8 * number for number in range(31) for letter in "xw"}
    return numbered | {"sp": 248, "wsp": 248, "pc": 256}


ARCHITECTURES = {
    EM_X86_64: Architecture(
        rf"\$(?P<const>{_NUMBER})|%(?P<register>\w+)|(?P<offset>{_NUMBER})?\s*"
        r"\(\s*%(?P<base>\w+)\s*(?:,\s*%(?P<index>\w+)\s*(?:,\s*(?P<scale>[1248])\s*)?)?\)",
        _x86_64_registers(),
    ),
    EM_AARCH64: Architecture(
        rf"(?P<const>{_NUMBER})|(?P<register>[a-z]\w*)|"
        rf"\[\s*(?P<base>[a-z]\w*)\s*(?:,\s*(?P<offset>{_NUMBER})\s*)?\](?P<index>(?!))?(?P<scale>(?!))?",
        _aarch64_registers(),
    ),
}


def probes(path: str, provider: str, name: str) -> list[Probe]:
    """Each place of a probe in a file, in the order of the notes. Error when it has no such probe."""
    with NativeElf(path) as elf:
        found: dict[int, Probe] = {}
        for provider_, name_, location, semaphore, arguments in _notes(elf):
            if (provider_, name_) == (provider, name):
                probe = _probe(elf, location, semaphore, arguments)
                found.setdefault(probe.offset, probe)
    if not found:
        wanted = printable(f"{provider}:{name}")
        raise Error(f"{elf.where}: it has no USDT probe {wanted} (`readelf -n` lists them)")
    return list(found.values())


def _probe(elf: NativeElf, location: int, semaphore: int, arguments: str) -> Probe:
    offset = elf.offset(location, PF_X)
    if offset is None:
        elf.malformed(SECTION, f"a probe at {location:#x}, where there is no code")
    semaphore_offset = elf.offset(semaphore) if semaphore else 0
    if semaphore_offset is None:
        elf.malformed(SECTION, f"a semaphore at {semaphore:#x}, where there is no data")
    return Probe(elf, offset, location, semaphore_offset, arguments)


def _notes(elf: NativeElf) -> Iterator[tuple[str, str, int, int, str]]:
    """(provider, name, address, address of the semaphore or 0, arguments) of each note."""
    section = elf.section(SECTION)
    if section is None or section.type != SHT_NOTE:
        return
    data = elf.data(section, MAX_NOTES)
    base_section = elf.section(BASE_SECTION)
    at = 0
    while at + 12 <= len(data):
        name_size, size, type_ = struct.unpack_from(elf.order + "3I", data, at)
        name_at = at + 12
        start = name_at + (name_size + 3 & ~3)
        at = start + (size + 3 & ~3)
        if start + size > len(data):
            elf.malformed(SECTION, "a note reaches past its end")
        if type_ == NT_STAPSDT and data[name_at : name_at + name_size] == OWNER:
            yield _note(elf, data[start : start + size], base_section.address if base_section else 0)


def _note(elf: NativeElf, data: bytes, base_address: int) -> tuple[str, str, int, int, str]:
    layout = elf.layout.word
    texts = data[3 * layout.size :].split(b"\0", 3)
    if len(data) < 3 * layout.size or len(texts) != 4 or len(texts[2]) > MAX_ARGUMENTS_TEXT:
        elf.malformed(SECTION, "a note that is no probe's")
    location, base, semaphore = (layout.unpack_from(data, number * layout.size)[0] for number in range(3))
    # prelink(8) moves a library and its sections, not what the notes say.
    moved = base_address - base if base_address else 0
    provider, name, arguments = [text.decode("utf-8", "backslashreplace") for text in texts[:3]]
    return provider, name, location + moved, semaphore + moved if semaphore else 0, arguments


def arguments(machine: int, text: str) -> list[Argument]:
    """Where the arguments are; machine: the ELF file's e_machine. Error for what can't be said to a program."""
    architecture = ARCHITECTURES.get(machine)
    if architecture is None:
        raise Error(f"the arguments of USDT probes of {MACHINES.get(machine, f'machine {machine}')} can't be read")
    found: list[Argument] = []
    at = 0
    while text[at:].strip():
        match = architecture.argument.match(text, at)
        argument = _argument(match, architecture.registers) if match else None
        if match is None or argument is None:
            what = printable(text[at:].split()[0])
            raise Malformed("USDT probe", f"argument {len(found) + 1}", f"'{what}' is no place that a program can read")
        found.append(argument)
        at = match.end()
    return found


def _argument(match: re.Match[str], registers: dict[str, int]) -> Argument | None:
    """None for a size or register that there is not, and for a number that has no room in 64 bits."""
    size = int(match["size"])
    names = [name for name in (match["register"], match["base"], match["index"]) if name]
    number = match["const"] or match["offset"] or "0"
    value = int(number, 16 if "x" in number.lower() else 10)
    if abs(size) not in SIZES or any(name not in registers for name in names) or not -(1 << 63) <= value < 1 << 64:
        return None
    places = [registers[name] for name in names]
    if match["const"]:
        return Argument(size, CONST, value)
    if match["register"]:
        return Argument(size, REGISTER, 0, places[0])
    if match["index"]:
        return Argument(size, INDEXED, value, places[0], places[1], int(match["scale"] or 1))
    return Argument(size, MEMORY, value, places[0])
