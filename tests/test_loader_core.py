"""CO-RE relocations in instructions: numbers, widths of loads, poison; and what the verifier's log makes of it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from bcctool.btf.reader import Btf
from bcctool.elf.object import ObjectFile
from bcctool.errors import Error
from bcctool.insn.disasm import disassemble
from bcctool.loader.core import POISON, CoreRelocations, readable_log
from bcctool.loader.kernel_types import KernelTypes
from bcctool.loader.spec import Linker, ProgSpec

Compile = Callable[..., Path]
TARGETS = ("bpf", "bpfeb")


class Relocated:
    """A program of core_local.c relocated against core_target.c."""

    def __init__(self, compile_c: Compile, function: str, target: str = "bpf") -> None:
        self.obj = ObjectFile(str(compile_c("core_local.c", "-g", target=target)))
        self.types = ObjectFile(str(compile_c("core_target.c", "-g", target=target))).btf
        self.prog = next(prog for prog in self.obj.progs if prog.name == function)
        self.spec: ProgSpec = Linker(self.obj).spec(self.prog)
        self.lines: list[str] = []
        self.insns = bytearray(self.spec.insns)

    def apply(self, types: Btf | None = None) -> dict[int, str]:
        core = CoreRelocations(self.obj, KernelTypes(), types or self.types, self.lines.append)
        return core.apply(self.spec, self.insns)

    def line(self, number: int) -> str:
        """The instruction of the number-th relocation, disassembled."""
        index = self.spec.core_refs[number].index
        insns = disassemble(bytes(self.insns), byteorder=self.obj.byteorder)
        return next(insn.line for insn in insns if insn.index == index)


@pytest.mark.parametrize("target", TARGETS)
def test_loads_get_the_targets_offset_and_width(compile_c: Compile, target: str) -> None:
    relocated = Relocated(compile_c, "fields", target)
    assert "*(u64 *)(r1 +8)" in relocated.line(1)
    poisoned = relocated.apply()
    assert [what.split(" (")[0].split()[-1] for what in poisoned.values()] == ["moved.list[2].b[1]"]  # char, but short
    assert "*(u32 *)(r1 +208)" in relocated.line(1)  # `wide`: four bytes there, unsigned, so zero-extension will do
    assert any("kernel has [" in line and "struct moved.wide" in line for line in relocated.lines)


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_not_there_is_poisoned_and_named(compile_c: Compile, target: str) -> None:
    relocated = Relocated(compile_c, "poisoned", target)
    poisoned = relocated.apply()
    assert len(poisoned) == 5
    assert all(f"unknown#{POISON}" in relocated.line(number) for number in range(5))
    assert any("<byte_off>" in what and "struct moved___old.gone" in what for what in poisoned.values())


def test_both_halves_of_a_wide_load_are_poisoned(compile_c: Compile) -> None:
    relocated = Relocated(compile_c, "missing_enum")
    (index,) = relocated.apply()
    assert relocated.insns[index * 8 : index * 8 + 8] == relocated.insns[index * 8 + 8 : index * 8 + 16]


@pytest.mark.parametrize("target", TARGETS)
def test_sixty_four_bit_numbers_fill_both_halves(compile_c: Compile, target: str) -> None:
    relocated = Relocated(compile_c, "enums", target)
    relocated.apply()
    order = "<" if target == "bpf" else ">"
    found = []
    for ref in relocated.spec.core_refs:
        assert relocated.insns[ref.index * 8] == 0x18
        low, high = (struct.unpack_from(order + "I", relocated.insns, ref.index * 8 + at)[0] for at in (4, 12))
        found.append(high << 32 | low)
    assert found == [1, 0, 70, -4 & 0xFFFFFFFFFFFFFFFF, 0, 0x3456789A, 11]  # clang 14 has no enumerators of 64 bits


def test_an_instruction_that_says_something_else_is_refused(compile_c: Compile) -> None:
    relocated = Relocated(compile_c, "fields")
    struct.pack_into("<h", relocated.insns, relocated.spec.core_refs[0].index * 8 + 2, 77)
    with pytest.raises(Error, match=r"function fields, CO-RE relocation <byte_off> .*first.*: has 77 where 0 was"):
        relocated.apply()


def test_a_relocation_of_an_instruction_without_a_number_is_refused(compile_c: Compile) -> None:
    relocated = Relocated(compile_c, "fields")
    relocated.insns[relocated.spec.core_refs[0].index * 8] = 0x95  # exit
    with pytest.raises(Error, match=r"an instruction with opcode 0x95 takes no such value"):
        relocated.apply()


def test_a_load_of_another_width_than_the_field_is_refused(compile_c: Compile) -> None:
    relocated = Relocated(compile_c, "fields")
    relocated.insns[relocated.spec.core_refs[1].index * 8] = 0x61  # u32, of a field of 8 bytes
    with pytest.raises(Error, match=r"accesses 4 bytes of a field of 8"):
        relocated.apply()


def test_the_log_says_what_a_poisoned_instruction_was_to_access() -> None:
    log = f"0: R1=ctx()\n7: (85) call unknown#{POISON}\ninvalid func unknown#{POISON}\nprocessed 8 insns"
    assert readable_log(log, {7: "<byte_off> [3] struct a.b (0:1 @ offset 4)"}).split("\n") == [
        "0: R1=ctx()",
        "7: <invalid CO-RE relocation>",
        "failed to resolve CO-RE relocation <byte_off> [3] struct a.b (0:1 @ offset 4)",
        "processed 8 insns",
    ]
    assert readable_log(log, {}).split("\n")[2] == f"invalid func unknown#{POISON}"
