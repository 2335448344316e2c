"""The symbols that native code is shown under are those that the kernel shows, without reading its list."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bcctool.commands import prog_dump
from bcctool.kernel import libbpf, proc
from bcctool.loader.load import load
from bcctool.objects.prog import Prog

OBJECTS = [
    ("subprograms.c", "-g"), ("exceptions.c", "-g"), ("cfg_shapes.c", "-g"), ("prog_rich.c", "-g"), ("prog_legacy.c",),
]  # fmt: skip
SOCKET_FILTER = 1
MOV, EXIT = bytes.fromhex("b7 00 00 00 00 00 00 00"), bytes.fromhex("95 00 00 00 00 00 00 00")
CALL_NEXT_BUT_ONE = bytes.fromhex("85 10 00 00 01 00 00 00")


def symbols(prog: Prog) -> list[tuple[str, int]]:
    """(symbol, address) of a program's functions, as `prog dump jited` shows them."""
    raw = prog.arrays("jited_prog_insns", "jited_ksyms", "jited_func_lens", "func_info", "prog_tags")
    return [(function.name, function.address) for function in prog_dump._functions(prog, prog.types(), raw)]


@pytest.mark.parametrize("source", OBJECTS, ids=" ".join)
def test_symbols_are_those_of_the_kernel(compile_c: Callable[..., Path], source: tuple[str, ...]) -> None:
    with load(str(compile_c(*source))) as loaded:
        listed = proc.KernelSymbols()
        found = [row for prog in loaded.progs.values() for row in symbols(prog)]
        if not found or not listed.name(found[0][1]):
            pytest.skip("the kernel shows no native code, or no symbols of programs")
        assert found == [(listed.name(address), address) for _, address in found]


@pytest.mark.parametrize("name", [b"", b"fifteen_letters"])
def test_symbols_without_btf(name: bytes) -> None:
    """Two functions, of which the kernel knows no name but that of the program, if it has one."""
    code = CALL_NEXT_BUT_ONE + EXIT + MOV + EXIT
    listed = proc.KernelSymbols()
    with Prog(libbpf.call("bpf_prog_load", SOCKET_FILTER, name, b"GPL", code, len(code) // 8, None)) as prog:
        found = symbols(prog)
        if not found or not listed.name(found[0][1]):
            pytest.skip("the kernel shows no native code, or no symbols of programs")
        assert found == [(listed.name(address), address) for _, address in found]
        assert len(found) == 2


@pytest.mark.parametrize("setting", [{"net/core/bpf_jit_kallsyms": 0}, {"net/core/bpf_jit_harden": 1}], ids=str)
def test_what_the_kernel_is_told_to_hide_is_an_address(
    compile_c: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, setting: dict[str, int]
) -> None:
    monkeypatch.setattr(proc, "sysctl", lambda name: setting.get(name, -1))
    with load(str(compile_c("cfg_shapes.c", "-g"))) as loaded:
        found = symbols(loaded.progs["calls"])
    assert [name for name, _ in found] == [f"0x{address:x}" for _, address in found]
    assert len(found) > 1
