"""The sources of tests/programs about features, from every compiler here, in both byte orders: all of it reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bcctool.btf.validate import validate
from bcctool.commands.object import insn_records
from bcctool.elf.object import ObjectFile, ProgDef
from bcctool.elf.reader import STT_FUNC
from bcctool.insn.opcodes import LD_IMM64

from .conftest import COMPILERS, GCC

Compile = Callable[..., Path]
SOURCES = (
    "core_fields.c", "core_types.c", "core_enums.c", "externs.c", "subprograms.c", "exceptions.c", "data_sections.c",
    "map_attributes.c", "map_arena.c", "struct_ops.c", "optional_progs.c", "section_names.c", "section_names_new.c",
)  # fmt: skip
TARGETS = ("bpf", "bpfeb")
NOT_BY_GCC = {  # version 12
    "core_types.c": "built-in functions",
    "core_enums.c": "built-in functions",
    "map_attributes.c": "it calls a helper twice",
    "map_arena.c": "enums of 64 bits, address spaces",
}

# CO-RE relocation kinds (linux/bpf.h) that a source has to have
FIELDS, TYPES, ENUMS = {0, 1, 2, 3, 4, 5}, {6, 7, 8, 9}, {10, 11}
OFFSET, MATCHES = 0, 12
KINDS = {"core_fields.c": FIELDS, "core_types.c": TYPES, "core_enums.c": ENUMS}


@pytest.fixture(params=[(compiler, target) for compiler in COMPILERS for target in TARGETS], ids="-".join)
def build(request: pytest.FixtureRequest, compile_c: Compile) -> Callable[[str], ObjectFile]:
    """Compile a source with one of the compilers for one byte order."""
    compiler, target = request.param

    def call(source: str) -> ObjectFile:
        if compiler == GCC and source in NOT_BY_GCC:
            pytest.skip(f"{compiler}: {NOT_BY_GCC[source]}")
        return ObjectFile(str(compile_c(source, "-g", target=target, compiler=compiler)))

    return call


@pytest.mark.parametrize("source", SOURCES)
def test_all_of_it_reads(build: Callable[[str], ObjectFile], source: str) -> None:
    obj = build(source)
    assert obj.license == "GPL"
    assert obj.btf is not None
    validate(obj.btf)
    assert obj.btf_ext is not None
    functions = [*obj.progs, *obj.subprogs]
    for function in functions:
        for offset, _, symbol, _ in obj.relocations(function.section_index):
            assert offset < obj.sections[function.section_index].size
            assert obj.symbols[symbol].section < len(obj.sections)
        records = insn_records(obj, function, opcodes=True, linum=True)
        assert len(list(records)) == len(function.insns) // 8 - wide(function)
    names = {symbol.name for symbol in obj.symbols if symbol.type == STT_FUNC}
    assert names == {function.name for function in functions}
    assert all(obj.btf.kind(map_.value_type_id) for map_ in obj.maps if map_.value_type_id)


@pytest.mark.parametrize("source", KINDS)
def test_each_kind_of_relocation_is_in_it(build: Callable[[str], ObjectFile], source: str) -> None:
    obj = build(source)
    assert obj.btf_ext is not None
    assert obj.btf is not None
    relocations = [relo for section in obj.btf_ext.sections() for relo in obj.btf_ext.core_relos(section)]
    assert all(relo.type_id < obj.btf.nr_types for relo in relocations)
    assert all(relo.access.replace(":", "").isdigit() for relo in relocations)
    found = {relo.kind for relo in relocations}
    if compiled_by_gcc(obj):  # whose version 12 knows of offsets of fields only
        assert found <= {OFFSET}
    else:
        assert found - {MATCHES} - FIELDS == KINDS[source] - FIELDS
        assert found >= KINDS[source]


def wide(function: ProgDef) -> int:
    """How many instructions take two slots."""
    codes, at, count = function.insns[::8], 0, 0
    while at < len(codes):
        count += codes[at] == LD_IMM64
        at += 1 + (codes[at] == LD_IMM64)
    return count


def compiled_by_gcc(obj: ObjectFile) -> bool:
    """Whether there are no function records."""
    return obj.btf_ext is not None and not any(obj.btf_ext.funcs(prog.section) for prog in obj.progs)
