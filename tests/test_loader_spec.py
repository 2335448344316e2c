"""Specs: calls resolved, subprograms in libbpf's order, references noted, debug info moved along."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from bcctool.elf.object import ObjectFile
from bcctool.errors import Error
from bcctool.insn.disasm import disassemble
from bcctool.insn.opcodes import PSEUDO_MAP_FD, PSEUDO_MAP_VALUE
from bcctool.loader.spec import Linker, ProgSpec, put_reference

Compile = Callable[..., Path]


def spec_of(path: Path) -> ProgSpec:
    obj = ObjectFile(str(path))
    return Linker(obj).spec(obj.progs[0])


@pytest.mark.parametrize("target", ["bpf", "bpfeb"])
def test_subprograms_follow_in_the_order_of_the_first_reference(compile_c: Compile, target: str) -> None:
    path = compile_c("prog_rich.c", "-g", target=target)
    obj = ObjectFile(str(path))
    spec = Linker(obj).spec(obj.progs[0])
    order = "<" if target == "bpf" else ">"
    starts, type_ids = zip(*struct.iter_unpack(order + "2I", spec.func_info), strict=True)
    assert obj.btf is not None
    names = [obj.btf.name(type_id) for type_id in type_ids]
    assert names == ["very_long_program_name", "visit", "weigh", "note"]
    functions = {function.name: function for function in (*obj.progs, *obj.subprogs)}
    lengths = [len(functions[name].insns) // 8 for name in names]
    assert list(starts) == [sum(lengths[:number]) for number in range(4)]
    assert spec.insn_cnt == sum(lengths)
    lines = [struct.unpack_from(order + "I", spec.line_info, at)[0] for at in range(0, len(spec.line_info), 16)]
    assert lines == sorted(lines)
    assert lines[0] == 0
    assert max(lines) < spec.insn_cnt
    targets = {
        insn.index + 1 + int(insn.text.partition("pc")[2])
        for insn in disassemble(bytes(spec.insns), byteorder=obj.byteorder)
        if insn.text.startswith("call pc")
    }
    assert targets == {starts[2], starts[3]}


def test_references_name_their_maps(compile_c: Compile) -> None:
    spec = spec_of(compile_c("prog_rich.c", "-g"))
    found = {(ref.map.name.rpartition(".")[2], ref.pseudo, ref.offset) for ref in spec.map_refs}
    assert ("counts", PSEUDO_MAP_FD, 0) in found
    assert ("keys", PSEUDO_MAP_FD, 0) in found
    assert {("data", PSEUDO_MAP_VALUE, 0), ("bss", PSEUDO_MAP_VALUE, 0)} <= found
    codes = {spec.insns[ref.index * 8] for ref in spec.map_refs}
    assert codes == {0x18}


def test_an_object_without_btf_has_no_debug_info(compile_c: Compile) -> None:
    spec = spec_of(compile_c("prog_legacy.c"))
    assert [ref.map.name for ref in spec.map_refs] == ["counter_map", "other_map"]
    assert (bytes(spec.func_info), bytes(spec.line_info)) == (b"", b"")


@pytest.mark.parametrize(("order", "registers"), [("<", 0x21), (">", 0x12)])
def test_put_reference_sets_source_and_immediate(order: str, registers: int) -> None:
    insns = bytearray(16)
    insns[9] = registers & (0x0F if order == "<" else 0xF0)
    put_reference(insns, 1, 2, -5, order)
    assert insns[9] == registers
    assert struct.unpack_from(order + "i", insns, 12) == (-5,)


@pytest.mark.parametrize("target", ["bpf", "bpfeb"])
def test_externs_are_noted_by_name_and_use(compile_c: Compile, target: str) -> None:
    obj = ObjectFile(str(compile_c("elf_externs.c", "-g", target=target)))
    spec = Linker(obj).spec(next(prog for prog in obj.progs if prog.name == "program"))
    uses = {(ref.extern.name, ref.is_call) for ref in spec.extern_refs}
    assert {("some_function", True), ("some_function", False), ("some_symbol", False)} <= uses
    places = {extern.name: extern.offset for extern in obj.externs if extern.section == ".kconfig"}
    offsets = {ref.offset for ref in spec.map_refs if ref.map.section == ".kconfig"}
    assert {places["CONFIG_HZ"], places["CONFIG_CC_VERSION_TEXT"]} <= offsets


@pytest.mark.parametrize("target", ["bpf", "bpfeb"])
def test_co_re_relocations_move_with_their_functions(compile_c: Compile, tmp_path: Path, target: str) -> None:
    source = tmp_path / "core.c"
    source.write_text(
        "struct task_struct { int flags, pid; } __attribute__((preserve_access_index));\n"
        "__attribute__((noinline)) int second(struct task_struct *task) { return task->pid; }\n"
        '__attribute__((section("raw_tp"), used)) int core(struct task_struct *task)\n'
        "{ return second(task) + task->flags; }\n"
    )
    spec = spec_of(compile_c(source, "-g", target=target))
    found = {(ref.function, ref.relo.access) for ref in spec.core_refs}
    assert found == {("core", "0:0"), ("second", "0:1")}
    assert [name for name, _ in spec.functions] == ["core", "second"]
    for ref in spec.core_refs:
        assert spec.insns[ref.index * 8] == 0x61  # a load of 32 bits


def test_a_call_to_nowhere_is_refused(compile_c: Compile) -> None:
    """The relocated call's distance points between functions."""
    path = compile_c("prog_rich.c", "-g")
    data = bytearray(path.read_bytes())
    obj = ObjectFile.from_bytes(bytes(data), "x.o")
    prog = obj.progs[0]
    section = obj.sections[prog.section_index]
    call = next(insn for insn in disassemble(bytes(prog.insns)) if insn.text.startswith("call pc"))
    struct.pack_into("<i", data, section.offset + prog.offset + call.index * 8 + 4, 0x1000)
    broken = ObjectFile.from_bytes(bytes(data), "x.o")
    with pytest.raises(Error, match=rf"x.o: section xdp, function {prog.name}, instruction {call.index}: calls offset"):
        Linker(broken).spec(broken.progs[0])
