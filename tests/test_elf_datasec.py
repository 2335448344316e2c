"""BTF made complete from ELF, and externs: the outcomes are those of libbpf's upload, seen on a running kernel."""

from __future__ import annotations

import struct

import pytest

from bcctool.btf import kinds
from bcctool.btf.reader import Btf
from bcctool.elf.datasec import fixed_btf
from bcctool.elf.object import ObjectFile
from bcctool.errors import Malformed

from .test_elf_object import TARGETS, Compile, built, opened


def datasec(btf: Btf, name: str) -> tuple[int, list[tuple[str, int, int]]]:
    """(size, [(variable, offset, size)]) of a data section."""
    id = btf.find(name, kinds.DATASEC)
    assert id is not None
    return btf.type(id).size, [(btf.name(var), offset, size) for var, offset, size in btf.type(id).entries]


@pytest.mark.parametrize("target", TARGETS)
def test_layout_comes_from_sections_and_symbols(compile_c: Compile, target: str) -> None:
    obj = opened(compile_c, "elf_maps", target)
    assert obj.btf is not None
    assert datasec(obj.btf, ".data") == (4, [("counter", 0, 4)])
    values = {symbol.name: symbol.value for symbol in obj.symbols}
    size, variables = datasec(obj.btf, ".bss")
    assert size == 40
    assert variables == sorted([("totals", values["totals"], 32), ("hidden", values["hidden"], 4)], key=lambda v: v[1])
    size, variables = datasec(obj.btf, ".maps")
    assert [(name, offset) for name, offset, _ in variables] == [(m.name, m.section_offset) for m in obj.maps[:6]]
    assert size == next(s.size for s in obj.sections if s.name == ".maps")


def test_nothing_but_data_sections_changes(compile_c: Compile) -> None:
    obj = opened(compile_c, "elf_maps")
    raw = next(s.data for s in obj.sections if s.name == ".BTF")
    fixed = fixed_btf(obj.elf)
    assert fixed is not None
    old, new = Btf(raw), Btf(fixed)
    assert (len(raw), old.nr_types) == (len(fixed), new.nr_types)
    changed = [
        id for id in range(1, old.nr_types) if old.words[old.index[id - 1] :][:3] != new.words[new.index[id - 1] :][:3]
    ]
    assert {new.kind(id) for id in changed} == {kinds.DATASEC}
    assert obj.btf is obj.btf


@pytest.mark.parametrize("target", TARGETS)
def test_kconfig_is_laid_out_by_alignment_size_and_name(compile_c: Compile, target: str) -> None:
    obj = opened(compile_c, "elf_externs", target)
    assert obj.btf is not None
    assert datasec(obj.btf, ".kconfig") == (
        37,
        [
            ("LINUX_KERNEL_VERSION", 0, 8),
            ("CONFIG_HZ", 8, 4),
            ("CONFIG_VETH", 12, 4),
            ("CONFIG_SMP", 16, 1),
            ("CONFIG_CC_VERSION_TEXT", 17, 20),
        ],
    )
    (id,) = obj.btf.ids("CONFIG_SMP", kinds.VAR)
    assert obj.btf.type(id).entries == (1,)  # global, as far as the kernel is concerned


@pytest.mark.parametrize("target", TARGETS)
def test_ksyms_become_what_the_kernel_accepts(compile_c: Compile, target: str) -> None:
    obj = opened(compile_c, "elf_externs", target)
    btf = obj.btf
    assert btf is not None
    size, variables = datasec(btf, ".ksyms")
    assert size == 16
    assert sorted(name for name, _, _ in variables) == ["dummy_ksym", "dummy_ksym", "other_symbol", "some_symbol"]
    assert [(offset, size) for _, offset, size in variables] == [(0, 4), (4, 4), (8, 4), (12, 4)]
    for name in ("dummy_ksym", "other_symbol", "some_symbol"):
        (id,) = btf.ids(name, kinds.VAR)
        assert btf.type(btf.type(id).type_id).kind == kinds.INT
    (id,) = btf.ids("other_function", kinds.FUNC)
    assert btf.type(id).entries == (1,)
    assert [name for name, _ in btf.type(btf.type(id).type_id).entries] == ["dummy_ksym", "dummy_ksym"]
    assert obj.btf_ext is not None
    assert [btf.name(id) for _, id in obj.btf_ext.funcs("tc")] == ["program"]


def test_externs(compile_c: Compile) -> None:
    obj = opened(compile_c, "elf_externs")
    assert obj.btf is not None
    rows = {e.name: (e.section, e.weak, e.offset, e.size) for e in obj.externs}
    assert rows == {
        "CONFIG_HZ": (".kconfig", False, 8, 4),
        "CONFIG_SMP": (".kconfig", False, 16, 1),
        "CONFIG_VETH": (".kconfig", True, 12, 4),
        "CONFIG_CC_VERSION_TEXT": (".kconfig", True, 17, 20),
        "LINUX_KERNEL_VERSION": (".kconfig", False, 0, 8),
        "some_symbol": (".ksyms", True, 0, 0),
        "other_symbol": (".ksyms", True, 0, 0),
        "some_function": (".ksyms", True, 0, 0),
        "other_function": (".ksyms", True, 0, 0),
    }
    assert all(obj.btf.name(e.type_id) == e.name == obj.symbols[e.symbol].name for e in obj.externs)


def test_externs_without_btf_have_a_name_only(compile_c: Compile) -> None:
    found = opened(compile_c, "elf_externs", "bpf", False).externs
    assert {(e.section, e.type_id, e.size) for e in found} == {("", 0, 0)}
    assert len(found) == 9


def test_object_without_btf(compile_c: Compile) -> None:
    assert fixed_btf(opened(compile_c, "elf_legacy", "bpf", False, "EXTRA=0").elf) is None


def retyped(compile_c: Compile, name: str, kind: int, info: int, third: int | None) -> ObjectFile:
    """The object with the head of one named BTF type overwritten."""
    data = bytearray(built(compile_c, "elf_externs"))
    (section,) = (s for s in ObjectFile.from_bytes(bytes(data), "x.o").sections if s.name == ".BTF")
    btf = Btf(section.data)
    (id,) = btf.ids(name, kind)
    at = section.offset + 24 + 4 * btf.index[id - 1] + 4
    struct.pack_into("<I", data, at, info)
    if third is not None:
        struct.pack_into("<I", data, at + 4, third)
    return ObjectFile.from_bytes(bytes(data), "x.o")


@pytest.mark.parametrize(
    ("name", "kind", "info", "third", "message"),
    [
        ("CONFIG_HZ", kinds.VAR, kinds.DECL_TAG << 24, None, r"type \[\d+\] DECL_TAG: has no size"),
        ("calls", kinds.VAR, kinds.DECL_TAG << 24, None, r"\.bss has type \[\d+\], which is no variable"),
        (
            "some_symbol",
            kinds.VAR,
            kinds.DECL_TAG << 24,
            None,
            r"\.ksyms has type \[\d+\], neither a variable nor a fu",
        ),
        ("some_function", kinds.FUNC, kinds.FUNC << 24, 1, r"type \[\d+\] is a function without a prototype"),
        ("calls", kinds.VAR, kinds.VAR << 24, 0xFFFFFF, r"no such type"),
    ],
)
def test_btf_that_contradicts_itself(
    compile_c: Compile, name: str, kind: int, info: int, third: int | None, message: str
) -> None:
    obj = retyped(compile_c, name, kind, info, third)
    with pytest.raises(Malformed, match=message) as caught:
        print(obj.btf and obj.btf.size_of(next(obj.btf.ids("calls"))), obj.maps)
    assert caught.value.message.startswith("x.o: ")


def test_variable_without_a_symbol(compile_c: Compile) -> None:
    data = built(compile_c, "elf_externs")
    at = data.rindex(b"\0calls\0")  # in the string table of the symbols, which comes last
    obj = ObjectFile.from_bytes(data[:at] + b"\0sllac\0" + data[at + 7 :], "x.o")
    with pytest.raises(
        Malformed, match=r"^x\.o: section \.bss: BTF has a variable calls, but there is no symbol for it$"
    ):
        print(obj.btf)


def test_section_described_twice(compile_c: Compile) -> None:
    obj = opened(compile_c, "elf_maps")
    (section,) = (s for s in obj.sections if s.name == ".BTF")
    section.data = memoryview(bytes(section.data).replace(b"\0version\0", b"\0license\0"))
    with pytest.raises(Malformed, match=r"section \.BTF: describes the section license twice"):
        print(obj.btf)


def test_btf_of_the_other_byte_order(compile_c: Compile) -> None:
    obj = opened(compile_c, "elf_legacy", "bpf", True, "EXTRA=0")
    other = opened(compile_c, "elf_legacy", "bpfeb", True, "EXTRA=0")
    (mine,), (theirs,) = ([s for s in o.sections if s.name == ".BTF"] for o in (obj, other))
    mine.data = theirs.data
    with pytest.raises(Malformed, match="big-endian in a little-endian file"):
        print(obj.btf)
