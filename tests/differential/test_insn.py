"""Our instruction texts beside llvm-objdump (object files), bpftool (loaded programs) and objdump (native code)."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from bcctool.errors import Error
from bcctool.insn.disasm import Insn, disassemble, opcodes_line, opcodes_record
from bcctool.insn.native import NativeDisassembler, split_text
from bcctool.insn.symbols import XlatedSymbols
from bcctool.kernel import bpf, uapi

CompileC = Callable[..., Path]


def need(tool: str) -> str:
    return shutil.which(tool) or pytest.skip(f"{tool} is not installed")


# llvm-objdump writes the same language in another spelling. In order:
SPELLINGS = (
    (r" <[^ ]+>$", ""),  # the label of a branch target
    (r"\bgoto \+?(-?\d+)$", lambda m: f"goto pc{int(m[1]):+d}"),
    (r"^(if \S+ \S+) (-?\d+) goto", lambda m: f"{m[1]} {int(m[2]) & 0xFFFFFFFF:#x} goto"),
    (r"(r\d+) ([+-]) (\d+)", r"\1 \2\3"),
    (r" = (-?\d+) ll$", lambda m: f" = {int(m[1]) & 2**64 - 1:#x}"),
    (r"^w(\d+ = (\*|atomic|xchg|cmpxchg))", r"r\1"),  # beside memory the kernel names all registers r
    (r"(\*\)\(.*|xchg.*)\bw(\d+)(\)?)$", r"\1r\2\3"),
    (r"= atomic_fetch_(\w+)\(\(u64 ", r"= atomic64_fetch_\1((u64 "),
    (r"= xchg_64\((.*), (r\d+)\)", r"= atomic64_xchg((u64 *)(\1), \2)"),
    (r"= cmpxchg_64\((.*), r0, (r\d+)\)", r"= atomic64_cmpxchg((u64 *)(\1), r0, \2)"),
    (r"= xchg32_32\((.*), (r\d+)\)", r"= atomic_xchg((u32 *)(\1), \2)"),
    (r"= cmpxchg32_32\((.*), w0, (r\d+)\)", r"= atomic_cmpxchg((u32 *)(\1), r0, \2)"),
)


def objdump(path: Path) -> list[tuple[int, str]]:
    """llvm-objdump's (slot, text) of every instruction in the file, sections one after another, respelled."""
    command = [need("llvm-objdump"), "-d", "--no-show-raw-insn", "--mattr=+alu32", str(path)]
    out = subprocess.run(command, capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    found = []
    for line in out.stdout.splitlines():
        if match := re.match(r" +(\d+):\s+(.*)", line):
            text = match[2].strip()
            for pattern, replacement in SPELLINGS:
                text = re.sub(pattern, replacement, text)
            found.append((int(match[1]), text))
    return found


def ours(path: Path) -> list[tuple[int, str]]:
    found = []
    with path.open("rb") as file:
        elf = ELFFile(file)
        byteorder = "little" if elf.little_endian else "big"
        for section in elf.iter_sections():
            if section["sh_flags"] & 4 and section["sh_size"]:  # SHF_EXECINSTR
                for insn in disassemble(section.data(), byteorder=byteorder):
                    text = re.sub(r"^call \S+#", "call ", insn.text)
                    found.append((insn.index, re.sub(r"^call pc\+?", "call ", text)))
    return found


@pytest.mark.parametrize("target", ["bpfel", "bpfeb"])
@pytest.mark.parametrize("flags", [["-mcpu=v1"], ["-mcpu=v2"], ["-mcpu=v3"], ["-mcpu=v3", "-DATOMICS"]], ids=" ".join)
def test_object_files_read_as_in_llvm_objdump(compile_c: CompileC, flags: list[str], target: str) -> None:
    path = compile_c("insn_mix.c", "-g", *flags, target=target)
    texts = ours(path)
    assert texts == objdump(path)
    assert len(texts) > 150


class LoadedObject:
    """An object file that libbpf has loaded: its one program's fd, its info, translated and native code."""

    def __init__(self, path: Path) -> None:
        try:
            self._libbpf = ctypes.CDLL("libbpf.so.1")
        except OSError:
            pytest.skip("libbpf.so.1 is not installed")
        pointer = ctypes.c_void_p
        for name, arguments in (("open", [ctypes.c_char_p]), ("next_program", [pointer, pointer])):
            function = getattr(self._libbpf, f"bpf_object__{name}")
            function.restype, function.argtypes = pointer, arguments
        self._libbpf.bpf_object__load.argtypes = self._libbpf.bpf_object__close.argtypes = [pointer]
        self._libbpf.bpf_program__fd.argtypes = [pointer]
        self._object = self._libbpf.bpf_object__open(os.fsencode(path))
        status = self._libbpf.bpf_object__load(self._object)
        if status:
            self.close()
            pytest.skip(f"this kernel does not take {path.name}: {os.strerror(-status)}")
        self.fd = self._libbpf.bpf_program__fd(self._libbpf.bpf_object__next_program(self._object, None))
        sizes = uapi.prog_info()
        bpf.fill_info(self.fd, sizes)
        self.id = sizes.id
        xlated = ctypes.create_string_buffer(sizes.xlated_prog_len)
        jited = ctypes.create_string_buffer(sizes.jited_prog_len)
        ksyms = (ctypes.c_uint64 * sizes.nr_jited_ksyms)()
        lens = (ctypes.c_uint32 * sizes.nr_jited_func_lens)()
        info = uapi.prog_info(
            xlated_prog_len=len(xlated), xlated_prog_insns=ctypes.addressof(xlated),
            jited_prog_len=len(jited), jited_prog_insns=ctypes.addressof(jited),
            nr_jited_ksyms=len(ksyms), jited_ksyms=ctypes.addressof(ksyms),
            nr_jited_func_lens=len(lens), jited_func_lens=ctypes.addressof(lens),
        )  # fmt: skip
        bpf.fill_info(self.fd, info)
        self.xlated, self.jited = xlated.raw, jited.raw
        self.ksyms, self.func_lens = list(ksyms), list(lens)

    def close(self) -> None:
        self._libbpf.bpf_object__close(self._object)


@pytest.fixture
def loaded(compile_c: CompileC) -> Iterator[LoadedObject]:
    path = compile_c("insn_calls.c", "-g", "-mcpu=v3")
    with contextlib.closing(LoadedObject(path)) as program:
        yield program


def symbols(program: LoadedObject) -> XlatedSymbols:
    names: dict[int, str] = {}
    for line in Path("/proc/kallsyms").read_text().splitlines():
        address, _, name, *_ = line.split()
        names.setdefault(int(address, 16), name)
    names.pop(0, None)
    base = next((address for address, name in names.items() if name == "__bpf_call_base"), 0)
    return XlatedSymbols(names.get, base, program.ksyms)


def dump(program: LoadedObject, *words: str) -> str:
    command = [need("bpftool"), *words[:-1], "prog", "dump", "xlated", "id", str(program.id), words[-1]]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


# bpftool 7.1 prints these as their older relatives, without the sign or the address space.
NEWER = re.compile(r"&\(void __percpu|\(s(8|16|32)\)|s[/%]=|addr_space_cast")


def comparable(insns: list[Insn]) -> list[Insn]:
    return [insn for insn in insns if not NEWER.search(insn.text)]


@pytest.mark.kernel
def test_a_loaded_program_reads_as_in_bpftool(loaded: LoadedObject) -> None:
    insns = list(disassemble(loaded.xlated, symbols(loaded)))
    lines = dump(loaded, "opcodes").splitlines()
    theirs = {
        int(match[1]): (match[2], following)
        for line, following in itertools.pairwise(lines)
        if (match := re.match(r" *(\d+): (.*)", line))
    }
    assert list(theirs) == [insn.index for insn in insns]
    assert [(insn.line, opcodes_line(insn.raw)) for insn in comparable(insns)] == [
        theirs[insn.index] for insn in comparable(insns)
    ]
    text = "\n".join(insn.text for insn in insns)
    for operand in (
        "map[id:",
        "[0]+",
        "subprog[+",
        "call pc+",
        "#bpf_prog_",
        "call bpf_trace_printk#",
        "call bpf_tail_call#12",
    ):
        assert operand in text


@pytest.mark.kernel
def test_the_json_of_a_loaded_program_is_bpftools(loaded: LoadedObject) -> None:
    insns = list(disassemble(loaded.xlated, symbols(loaded)))
    theirs = json.loads(dump(loaded, "-j", "opcodes"))
    for insn, record in zip(insns, theirs, strict=True):
        assert json.dumps(record["opcodes"]) == json.dumps(opcodes_record(insn.raw))
        if insn in comparable(insns):
            assert record["disasm"] == insn.line


@pytest.mark.kernel
def test_native_code_is_divided_as_in_objdump(loaded: LoadedObject, tmp_path: Path) -> None:
    if platform.machine() != "x86_64":
        pytest.skip("compares x86-64 code")
    if not loaded.jited:
        pytest.skip("the kernel has not jited the program")
    try:
        disassembler = NativeDisassembler("x86_64")
    except Error as error:
        pytest.skip(str(error))
    with disassembler:
        start = 0
        for address, size in zip(loaded.ksyms, loaded.func_lens, strict=True):
            code = loaded.jited[start : start + size]
            start += size
            insns = list(disassembler.disassemble(code, address))
            # LLVM counts a lock prefix as an instruction.
            neighbours = itertools.pairwise([(0, 0, ""), *insns])
            starts = [offset for (_, _, before), (offset, _, _) in neighbours if before != "\tlock"]
            assert starts == instruction_starts(code, tmp_path)
            assert all(text.startswith("\t") and split_text(text)[0] for _, _, text in insns)
            assert b"".join(code[offset : offset + length] for offset, length, _ in insns) == code


def instruction_starts(code: bytes, directory: Path) -> list[int]:
    """The offsets of x86-64 instructions as GNU objdump finds them."""
    path = directory / "code.bin"
    path.write_bytes(code)
    command = [need("objdump"), "-D", "-b", "binary", "-m", "i386:x86-64", "--insn-width=16", str(path)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [int(match[1], 16) for line in out.splitlines() if (match := re.match(r" *([0-9a-f]+):\t", line))]
