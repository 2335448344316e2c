"""Native code of two machines through libLLVM, and how its text is split."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bcctool.errors import Error
from bcctool.insn import native
from bcctool.insn.native import NativeDisassembler, split_text


def need(machine: str) -> NativeDisassembler:
    try:
        return NativeDisassembler(machine)
    except Error as error:
        pytest.skip(str(error))


def disassemble(machine: str, code: str, address: int = 0x1000) -> list[tuple[int, int, str]]:
    with need(machine) as disassembler:
        return list(disassembler.disassemble(bytes.fromhex(code), address))


def test_x86_is_att_with_absolute_targets() -> None:
    assert disassemble("x86_64", "f30f1efa 4889e5 488b4708 eb05 e8fbffffff 0f84fa000000 c3", 0xFFFFFFFFC0000000) == [
        (0, 4, "\tendbr64"),
        (4, 3, "\tmovq\t%rsp, %rbp"),
        (7, 4, "\tmovq\t8(%rdi), %rax"),
        (11, 2, "\tjmp\t0xffffffffc0000012"),
        (13, 5, "\tcallq\t0xffffffffc000000d"),
        (18, 6, "\tje\t0xffffffffc0000112"),
        (24, 1, "\tretq"),
    ]


def test_arm64_with_the_extensions_that_its_jit_uses(capfd: pytest.CaptureFixture[str]) -> None:
    assert disassemble("aarch64", "3f2303d5 5f2403d5 fd7bbfa9 2000e0f8 10000014 400580d2 c0035fd6") == [
        (0, 4, "\tpaciasp"),
        (4, 4, "\tbti\tc"),
        (8, 4, "\tstp\tx29, x30, [sp, #-16]!"),
        (12, 4, "\tldaddal\tx0, x0, [x1]"),
        (16, 4, "\tb\t0x1050"),
        (20, 4, "\tmov\tx0, #42"),
        (24, 4, "\tret"),
    ]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("machine", "code", "expected"),
    [
        ("x86_64", "06 90 0f", [(0, 1, "\t.byte 0x06"), (1, 1, "\tnop"), (2, 1, "\t.byte 0x0f")]),
        (
            "aarch64",
            "ffffffff c0035fd6 1f20",
            [(0, 4, "\t.byte 0xff, 0xff, 0xff, 0xff"), (4, 4, "\tret"), (8, 2, "\t.byte 0x1f, 0x20")],
        ),
        ("x86_64", "", []),
    ],
)
def test_unknown_bytes_are_shown_and_passed_over(machine: str, code: str, expected: list[tuple[int, int, str]]) -> None:
    assert disassemble(machine, code) == expected


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_any_bytes_are_covered(machine: str) -> None:
    code = bytes((index * 197 + index // 7) & 255 for index in range(4099))
    with need(machine) as disassembler:
        offset = 0
        for at, length, text in disassembler.disassemble(code, 2**64 - 8):
            assert at == offset
            assert text.startswith("\t")
            offset += length
    assert offset == len(code)


def test_two_machines_at_once() -> None:
    with need("x86_64") as x86, need("aarch64") as arm:
        pairs = zip(x86.disassemble(b"\x90" * 8, 0), arm.disassemble(bytes.fromhex("1f2003d5") * 8, 0), strict=True)
        assert {(one[2], two[2]) for one, two in pairs} == {("\tnop", "\tnop")}


def test_a_closed_disassembler_says_so() -> None:
    disassembler = need("x86_64")
    running = disassembler.disassemble(b"\x90\x90", 0)
    next(running)
    disassembler.close()
    disassembler.close()
    with pytest.raises(ValueError, match="closed"):
        next(running)


def test_unknown_machine() -> None:
    with pytest.raises(Error, match="native code of pdp11: only of x86_64, aarch64"):
        NativeDisassembler("pdp11")


def test_no_libllvm_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "_mapped", list)
    monkeypatch.setattr(native, "_ROOTS", ("/nonexistent",))
    with pytest.raises(Error, match=r"no libLLVM found.*libllvm14.*python3-bpfcc"):
        NativeDisassembler("x86_64")


def test_a_library_that_is_not_llvm_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "_mapped", lambda: ["libc.so.6"])
    with pytest.raises(Error, match=r"no disassembler for X86: libc\.so\.6"):
        NativeDisassembler("x86_64")


def test_the_newest_library_is_tried_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    newest_first = ["libLLVM.so.19.1", "libLLVM-15.so", "libLLVM-14.0.6.so.1", "libLLVM-9.so.1", "libLLVM.so"]
    for name in (*sorted(newest_first), "libLLVMCore.a", "libclang.so.99"):
        (tmp_path / name).touch()
    monkeypatch.setattr(native, "_ROOTS", (str(tmp_path), "/nonexistent"))
    assert [Path(path).name for path in native._installed()] == newest_first


def test_where_libraries_are_looked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Debian, Fedora and LLVM's own packages; nothing that costs the import of a matcher."""
    for number, folder in enumerate((".", "riscv64-linux-gnu", "llvm-19/lib", "llvm19/lib64", "python3", "llvm-9")):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / f"libLLVM-{number}.so").touch()
    monkeypatch.setattr(native, "_ROOTS", (str(tmp_path),))
    assert [Path(path).name for path in native._installed()] == [f"libLLVM-{number}.so" for number in (3, 2, 1, 0)]


ROOT = Path(__file__).parent.parent
ARM64_SCRIPT = """
import sys
from bcctool.insn import native
native._mapped = lambda: [sys.argv[1]]
with native.NativeDisassembler("aarch64") as disassembler:
    print(*(text for _, _, text in disassembler.disassemble(bytes.fromhex("3f2303d52000e0f8"), 0)), sep="")
"""


@pytest.mark.parametrize("path", sorted({os.path.realpath(path) for path in native._installed()}) or [""])
def test_every_installed_library_knows_arm64_without_a_murmur(path: str) -> None:
    if not path:
        pytest.skip("no libLLVM is installed")
    done = subprocess.run([sys.executable, "-c", ARM64_SCRIPT, path], capture_output=True, text=True, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("\tpaciasp\tldaddal\tx0, x0, [x1]\n", "")


def test_a_mapped_library_is_used_again() -> None:
    with need("x86_64"):
        [path] = native._mapped()
        assert "/libLLVM" in path
        assert ctypes.CDLL(path)._handle


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\tretq", ("retq", [None])),
        ("\tunimp\t", ("unimp", [None])),
        ("\tpushq\t%rbp", ("pushq", ["%rbp"])),
        ("\tmovq\t8(%rdi), %rax", ("movq", ["8(%rdi)", "%rax"])),
        ("\tleaq\t8(%rax,%rbx,4), %rcx", ("leaq", ["8(%rax,%rbx,4)", "%rcx"])),
        ("\tnopl\t(%rax,%rax)", ("nopl", ["(%rax,%rax)"])),
        ("\tmovabsq\t$-4, %rax", ("movabsq", ["$-4", "%rax"])),
        ("\tstp\tx29, x30, [sp, #-16]!", ("stp", ["x29", "x30", "[sp, #-16]!"])),
        ("\tldr\tx0, [x1, x2, lsl #3]", ("ldr", ["x0", "[x1, x2, lsl #3]"])),
        ("\tld1\t{ v0.16b, v1.16b }, [x0]", ("ld1", ["{ v0.16b, v1.16b }", "[x0]"])),
        ("\tmovk\tx0, #42, lsl #16", ("movk", ["x0", "#42", "lsl #16"])),
        ("\t.byte 0xff, 0x01", (".byte", ["0xff", "0x01"])),
        ("\todd\t), x, (", ("odd", [")", "x", "("])),
        ("", ("", [None])),
    ],
)
def test_split_text(text: str, expected: tuple[str, list[str | None]]) -> None:
    assert split_text(text) == expected
