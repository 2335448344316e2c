"""Objects that are made to do harm: every verb that takes one answers in a line, in bounded time and memory."""

from __future__ import annotations

import ctypes
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from bcctool.btf import kinds
from bcctool.escapes import printable

from . import elf_writer
from .conftest import no_bpf
from .contained import call, command
from .elf_writer import EXIT, FUNC, GLOBAL, LD_IMM64, LOCAL, NOBITS, Sample, insn

BPFFS = "/sys/fs/bpf"
CLONE_NEWNS, CLONE_NEWNET, MS_REC, MS_PRIVATE = 0x20000, 0x40000000, 0x4000, 1 << 18
READING = (
    "object show", "object dump", "gen object OUT", "gen skeleton", "gen subskeleton", "gen python", "btf dump file"
)  # fmt: skip
LOADING = "prog loadall"
RELOCATED = ("gen min_core_btf",)
KERNEL_TYPES = 600 << 20  # bytes that it takes to read all types of the kernel, whatever the object
FORMAT = 95  # as bpftool: libbpf's error of its own for a broken object, modulo 256

Outcome = tuple[str, int, str]  # a verb, its exit status, its stderr
Case = Callable[[Sample], bytes | None]
CASES: dict[str, Case] = {}
FINE: set[str] = set()  # cases that nothing has to refuse
READABLE: set[str] = set()  # cases that only the loader has to refuse


def case(name: str, readable: bool = False, fine: bool = False) -> Callable[[Case], Case]:
    """A row of CASES: the function changes a Sample, and returns the file if it does more than that."""

    def add(function: Case) -> Case:
        CASES[name] = function
        if readable:
            READABLE.add(name)
        if fine:
            FINE.add(name)
        return function

    return add


# Strings and symbols


@case("a symbol's name far outside")
def _(sample: Sample) -> bytes:
    data = bytearray(sample.bytes())
    struct.pack_into("<I", data, place(data, ".symtab") + elf_writer.SYMBOL, 0xFFFFFFF0)
    return bytes(data)


@case("a string table without an end")
def _(sample: Sample) -> bytes:
    data = bytearray(sample.bytes())
    at = place(data, ".strtab") + len(sample.object.symbol_names) - 1
    data[at] = ord("x")
    return bytes(data)


@case("a name in BTF far outside")
def _(sample: Sample) -> None:
    sample.blob.add(kinds.TYPEDEF, 0x7FFFFFFF, sample.int)


@case("names with terminal escapes", fine=True)
def _(sample: Sample) -> None:
    evil = "\x1b[31m\x1b]0;title\x07\r\n"
    sample.prog_name, sample.map_name = f"prog{evil}", f"map{evil}"
    sample.license = f"GPL{evil}".encode() + b"\0"


@case("a section's name with terminal escapes", readable=True)
def _(sample: Sample) -> None:
    sample.prog_section = "\x1b[2Jraw\r\n"


@case("a symbol table of one entry and a half")
def _(sample: Sample) -> bytes:
    data = bytearray(sample.bytes())
    struct.pack_into("<Q", data, header(data, ".symtab") + 32, 36)
    return bytes(data)


# Sections


@case("overlapping sections")
def _(sample: Sample) -> bytes:
    data = bytearray(sample.bytes())
    struct.pack_into("<Q", data, header(data, "license") + 24, place(data, sample.prog_section))
    return bytes(data)


@case("a section that ends outside")
def _(sample: Sample) -> bytes:
    data = bytearray(sample.bytes())
    struct.pack_into("<Q", data, header(data, ".BTF.ext") + 32, 1 << 62)
    return bytes(data)


@case("a .bss of 4 GiB", readable=True)
def _(sample: Sample) -> None:
    sample.object.section(".bss", b"", NOBITS, 3, size=0xFFFFFFFF)


@case("a .bss of 2^60 bytes")
def _(sample: Sample) -> None:
    sample.object.section(".bss", b"", NOBITS, 3, size=1 << 60)


# Types


@case("typedefs in a circle")
def _(sample: Sample) -> None:
    first = sample.blob.next_id
    sample.blob.add(kinds.TYPEDEF, "a", first + 1)
    sample.blob.add(kinds.TYPEDEF, "b", first)
    sample.value = first


@case("a struct that holds itself")
def _(sample: Sample) -> None:
    sample.value = sample.blob.next_id
    sample.blob.struct("s", 8, ("inner", sample.value, 0))


@case("an array of itself")
def _(sample: Sample) -> None:
    sample.value = sample.blob.array(sample.blob.next_id, 2, sample.int)


@case("a chain of 100,000 pointers")
def _(sample: Sample) -> None:
    for _number in range(100_000):
        sample.value = sample.blob.ptr(sample.value)


@case("a struct with 65,535 members that are not there")
def _(sample: Sample) -> None:
    sample.blob.add(kinds.STRUCT, "many", 8, vlen=0xFFFF)


@case("an info word with all bits of vlen")
def _(sample: Sample) -> None:
    sample.blob.add(kinds.STRUCT, "many", 8, vlen=0xFFFFFF)


@case("2^31 structs of 2^31 bytes")
def _(sample: Sample) -> None:
    big = sample.blob.struct("big", 1 << 31, ("x", sample.int, 0))
    sample.value = sample.blob.array(big, 1 << 31, sample.int)


@case("arrays of arrays, 2^31 times 60")
def _(sample: Sample) -> None:
    for _number in range(60):
        sample.value = sample.blob.array(sample.value, 1 << 31, sample.int)


# Maps


@case("a map of 4 GiB", readable=True)
def _(sample: Sample) -> None:
    sample.value = sample.blob.array(sample.int, (1 << 30) - 1, sample.int)
    sample.max_entries = 1 << 29


@case("a map's struct with 10,000 members")
def _(sample: Sample) -> None:
    sample.members = [(f"m{number}", sample.int, 0) for number in range(10_000)]


@case("a map at an offset far outside")
def _(sample: Sample) -> None:
    sample.map_offset = 1 << 40


@case("a map of an unknown type", readable=True)
def _(sample: Sample) -> None:
    sample.map_type = 0x7FFFFFFF


# Relocations and instructions


@case("a relocation far outside")
def _(sample: Sample) -> None:
    sample.object.relocations = {sample.text: [(1 << 40, 1 << 32 | 1)]}


@case("a relocation to no symbol")
def _(sample: Sample) -> None:
    sample.object.relocations = {sample.text: [(0, 0x7FFFFFFF << 32 | 1)]}


@case("a relocation in the last byte")
def _(sample: Sample) -> None:
    sample.object.relocations = {sample.text: [(len(sample.code) - 1, 1 << 32 | 1)]}


@case("a relocation in the middle of nothing that takes one", readable=True)
def _(sample: Sample) -> None:
    sample.object.relocations = {sample.text: [(16, 1 << 32 | 1)]}


@case("a call to where no function is", readable=True)
def _(sample: Sample) -> None:
    sample.code = LD_IMM64 + insn(0x85, src=1, imm=0x7FFFFFF0) + EXIT


@case("the last slot wants a second one", readable=True)
def _(sample: Sample) -> None:
    sample.code = LD_IMM64 + insn(0xB7) + EXIT + LD_IMM64[:8]


@case("a chain of 10,000 functions", readable=True)
def _(sample: Sample) -> None:
    chain(sample, 10_000)


@case("200 programs that share 20,000 instructions", readable=True, fine=True)
def _(sample: Sample) -> None:
    text = sample.object.section(".text", insn(0xB7) * 20_000 + EXIT, flags=elf_writer.ALLOC | elf_writer.EXEC)
    shared = sample.object.symbol("shared", text, 0, 8 * 20_001, FUNC)
    body = insn(0x85, src=1, imm=-1) + EXIT
    programs = sample.object.section("xdp", body * 200, flags=elf_writer.ALLOC | elf_writer.EXEC)
    for number in range(200):
        sample.object.symbol(f"p{number}", programs, 16 * number, 16, FUNC)
        sample.object.relocate(programs, 16 * number, shared, elf_writer.R_64_32)


# CO-RE


def core(sample: Sample, access: str, kind: int = 0, offset: int = 16, type_id: int = 0) -> None:
    task = sample.blob.struct("task_struct", 4, ("pid", sample.int, 0))
    sample.core.append((offset, type_id or task, access, kind))


BAD_ACCESS = {
    "a megabyte": "0" + ":0" * (1 << 19),
    "negative": "0:-1",
    "a huge number": "0:" + "9" * 5000,
    "empty": "",
    "two colons": "0::0",
    "letters": "0:zero",
    "a member that is not there": "0:1",
    "into an integer": "0:0:0:0",
    "far into an array": "4294967295:0",
    "digits of another script": "0:\u0663",
    "spaces": " 0 : 0 ",
}
for what in BAD_ACCESS:
    case(f"access: {what}", readable=True)(lambda sample, what=what: core(sample, BAD_ACCESS[what]))  # type: ignore[misc]


@case("CO-RE in a call", readable=True)
def _(sample: Sample) -> None:
    sample.code = LD_IMM64 + insn(0x85, imm=5) + EXIT
    core(sample, "0:0")


@case("CO-RE in the middle of an instruction", readable=True)
def _(sample: Sample) -> None:
    core(sample, "0:0", offset=13)


@case("CO-RE far outside", readable=True, fine=True)
def _(sample: Sample) -> None:
    core(sample, "0:0", offset=0x7FFFFFF8)


@case("CO-RE of an unknown kind", readable=True)
def _(sample: Sample) -> None:
    core(sample, "0:0", kind=99)


@case("CO-RE of no type", readable=True)
def _(sample: Sample) -> None:
    core(sample, "0:0", type_id=0x7FFFFFFF)


@case("CO-RE of an unknown enumerator", readable=True)
def _(sample: Sample) -> None:
    core(sample, "77", kind=11, type_id=sample.blob.enum("pid_type", 4, ("PIDTYPE_PID", 0)))


@case("CO-RE of 3000 flavors", readable=True, fine=True)
def _(sample: Sample) -> None:
    sample.code = LD_IMM64 + insn(0xB7) * 3000 + EXIT
    for number in range(3000):
        flavor = sample.blob.struct(f"task_struct___{number}", 4, ("pid", sample.int, 0))
        sample.core.append((16 + 8 * number, flavor, "0:0", 0))


@case("CO-RE 20,000 times in one instruction", readable=True, fine=True)
def _(sample: Sample) -> None:
    for _number in range(20_000):
        sample.core.append((16, sample.int, "0", 8))


@case("records that say they are 4 GiB")
def _(sample: Sample) -> bytes:
    core(sample, "0:0")
    data = bytearray(sample.bytes())
    struct.pack_into("<I", data, place(data, ".BTF.ext") + 32, 0xFFFFFFFC)
    return bytes(data)


# Externs and struct_ops


def extern(sample: Sample, name: str, type_id: int, section: str) -> None:
    variable = sample.blob.add(kinds.VAR, name, type_id, 2)
    sample.blob.datasec(section, 0, (variable, 0, 0))
    sample.object.symbol(name, 0, type=elf_writer.NOTYPE)
    sample.code = LD_IMM64 + LD_IMM64 + insn(0xB7) + EXIT
    sample.object.relocate(sample.text, 16, len(sample.object.symbols) - 1)


@case("kconfig of 4 GiB", readable=True)
def _(sample: Sample) -> None:
    char = sample.blob.number("char", 1, 1)
    extern(sample, "CONFIG_LSM", sample.blob.array(char, 0xFFFFFFFF, sample.int), ".kconfig")


@case("an unknown kind of kconfig", readable=True)
def _(sample: Sample) -> None:
    extern(sample, "CONFIG_HZ", sample.blob.struct("s", 4, ("x", sample.int, 0)), ".kconfig")


@case("a kernel symbol that nobody has", readable=True)
def _(sample: Sample) -> None:
    extern(sample, "no_such\x1b[31m", sample.int, ".ksyms")


@case("an extern without BTF", readable=True)
def _(sample: Sample) -> None:
    sample.object.symbol("CONFIG_HZ", 0, type=elf_writer.NOTYPE)
    sample.code = LD_IMM64 + LD_IMM64 + insn(0xB7) + EXIT
    sample.object.relocate(sample.text, 16, len(sample.object.symbols) - 1)


@case("struct_ops with relocations to nowhere", readable=True)
def _(sample: Sample) -> None:
    ops(sample, [(1 << 20, 1)])


@case("struct_ops that hold no function", readable=True)
def _(sample: Sample) -> None:
    ops(sample, [(8, 1)])


def ops(sample: Sample, relocations: list[tuple[int, int]]) -> None:
    proto = sample.blob.ptr(sample.blob.proto(0))
    struct_id = sample.blob.struct("tcp_congestion_ops", 16, ("ssthresh", proto, 0), ("flags", sample.int, 64))
    variable = sample.blob.add(kinds.VAR, "ops", struct_id, 1)
    sample.blob.datasec(".struct_ops", 0, (variable, 0, 16))
    section = sample.object.section(".struct_ops", bytes(16), flags=3)
    sample.object.symbol("ops", section, 0, 16)
    for offset, symbol in relocations:
        sample.object.relocate(section, offset, symbol, elf_writer.R_64_ABS64)


def chain(sample: Sample, length: int) -> None:
    """Functions in .text of which each calls the next; the program calls the first."""
    call_next = insn(0x85, src=1, imm=1) + EXIT
    text = sample.object.section(".text", call_next * (length - 1) + insn(0xB7) + EXIT, flags=6)
    for number in range(length):
        sample.object.symbol(f"f{number}", text, 16 * number, 16, FUNC, LOCAL if number else GLOBAL)
    sample.code = LD_IMM64 + insn(0x85, src=1, imm=-1) + EXIT
    sample.object.relocate(sample.text, 16, len(sample.object.symbols) - length, elf_writer.R_64_32)


def header(data: bytes | bytearray, name: str) -> int:
    """Where the header of a section stands."""
    (table,) = struct.unpack_from("<Q", data, 40)
    count, strings = struct.unpack_from("<HH", data, 60)
    (names,) = struct.unpack_from("<Q", data, table + 64 * strings + 24)
    for at in range(table, table + 64 * count, 64):
        (offset,) = struct.unpack_from("<I", data, at)
        if data[names + offset :].startswith(name.encode() + b"\0"):
            return at
    raise LookupError(name)


def place(data: bytes | bytearray, name: str) -> int:
    """Where the contents of a section begin."""
    return int(struct.unpack_from("<Q", data, header(data, name) + 24)[0])


def made(name: str) -> bytes:
    sample = Sample()
    return CASES[name](sample) or sample.bytes()


def outcomes(path: str, verbs: tuple[str, ...]) -> list[Outcome]:
    """What the verbs answer, each in this process."""
    results = []
    for verb in verbs:
        words = [f"{path}.{word}" if word == "OUT" else word for word in verb.split()]
        words += ["/sys/kernel/btf/vmlinux", f"{path}.btf"] if verb in RELOCATED else []
        status, _, err = command(*words, path, *([f"{BPFFS}/progs"] if verb == LOADING else []))
        results.append((verb, status, err))
    return results


def in_own_bpffs(path: str, verbs: tuple[str, ...]) -> list[Outcome]:
    libc = ctypes.CDLL(None, use_errno=True)
    assert not libc.unshare(CLONE_NEWNS | CLONE_NEWNET)
    assert not libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    assert not libc.mount(b"bpf", BPFFS.encode(), b"bpf", 0, None)
    results = outcomes(path, verbs)
    shutil.rmtree(f"{BPFFS}/progs", ignore_errors=True)  # the kernel takes its time to do so after our end
    return results


def require_answers(results: list[Outcome], most_lines: int) -> None:
    for verb, status, err in results:
        lines = err.splitlines()
        assert status in (0, FORMAT, *range(129, 256)), (verb, status, err)
        assert bool(status) == any(line.startswith("Error: ") for line in lines), (verb, err)
        assert len(lines) <= most_lines, (verb, err)
        for line in lines:
            assert printable(line) == line
            assert len(line) < 500 or not line.startswith("Error: "), (verb, line)  # the verifier has long lines


@pytest.mark.parametrize("name", CASES)
def test_reading(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.o"
    path.write_bytes(made(name))
    results = call(outcomes, str(path), READING)
    require_answers(results, 2)
    assert name in READABLE or name in FINE or any(status for _, status, _ in results)


@pytest.mark.kernel
@pytest.mark.parametrize("name", CASES)
def test_loading(name: str, tmp_path: Path) -> None:
    if reason := no_bpf():
        pytest.skip(reason)
    path = tmp_path / "x.o"
    path.write_bytes(made(name))
    results = call(in_own_bpffs, str(path), RELOCATED, memory=KERNEL_TYPES)
    results += call(in_own_bpffs, str(path), (LOADING,))
    require_answers(results, 20)
    assert name in FINE or results[-1][1]


def test_the_sample_is_sound(tmp_path: Path) -> None:
    path = tmp_path / "x.o"
    path.write_bytes(Sample().bytes())
    assert [(status, err) for _, status, err in call(outcomes, str(path), READING)] == [(0, "")] * len(READING)
    if not no_bpf():
        assert call(in_own_bpffs, str(path), (LOADING,)) == [(LOADING, 0, "")]
    assert not os.path.exists(f"{BPFFS}/progs")
