"""Object files as a whole: what a compiled program turns out to contain, in both byte orders, with BTF and without."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from bcctool.elf.object import ObjectFile
from bcctool.errors import Error

PROGRAMS = Path(__file__).parent / "programs"
TARGETS = ("bpf", "bpfeb")
Compile = Callable[..., Path]  # the fixture compile_c


def built(compile_c: Compile, name: str, target: str = "bpf", debug: bool = True, *defines: str) -> bytes:
    """The object file that clang makes of programs/NAME.c."""
    flags = [*(["-g"] if debug else []), *(f"-D{define}" for define in defines)]
    return compile_c(f"{name}.c", *flags, target=target).read_bytes()


def opened(compile_c: Compile, name: str, target: str = "bpf", debug: bool = True, *defines: str) -> ObjectFile:
    return ObjectFile.from_bytes(built(compile_c, name, target, debug, *defines), f"/some/where/{name}.bpf.o")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("debug", [True, False])
def test_programs_license_and_version(compile_c: Compile, target: str, debug: bool) -> None:
    obj = opened(compile_c, "elf_maps", target, debug)
    assert obj.name == "elf_maps"
    assert obj.byteorder == {"bpf": "little", "bpfeb": "big"}[target]
    assert obj.license == "Dual BSD/GPL"
    assert obj.version == 0x060100
    assert sorted((p.name, p.section) for p in obj.progs) == [("filter", "?tc"), ("first", "xdp"), ("tail", "xdp")]
    assert [(p.name, p.section) for p in obj.subprogs] == [("add", ".text")]
    places = [(p.section_index, p.offset) for p in obj.progs]
    assert places == sorted(places)
    xdp = [p for p in obj.progs if p.section == "xdp"]
    assert xdp[1].offset == len(xdp[0].insns)
    section = obj.sections[xdp[0].section_index]
    assert bytes(section.data) == bytes(xdp[0].insns) + bytes(xdp[1].insns)
    assert all(p.insns[-8] == 0x95 for p in obj.progs + obj.subprogs)  # exit


def test_btf_is_there_when_compiled_with_debug_information(compile_c: Compile) -> None:
    assert opened(compile_c, "elf_maps", "bpf", False).btf is None
    assert opened(compile_c, "elf_maps", "bpf", False).btf_ext is None
    obj = opened(compile_c, "elf_maps")
    assert obj.btf is not None
    assert obj.btf_ext is not None
    assert obj.btf_ext.funcs("xdp") == [(p.offset, obj.btf.find(p.name, 12)) for p in obj.progs if p.section == "xdp"]
    assert {line.file for line in obj.btf_ext.lines("xdp")} == {str(PROGRAMS / "elf_maps.c")}


def test_static_function_beside_a_program_is_a_subprogram(compile_c: Compile) -> None:
    obj = opened(compile_c, "elf_legacy", "bpf", True, "EXTRA=0")
    assert [p.name for p in obj.progs] == ["program"]
    assert [(p.name, p.section) for p in obj.subprogs] == [("helper", "socket")]


def test_object_without_license_or_version(compile_c: Compile) -> None:
    data = built(compile_c, "elf_legacy", "bpf", True, "EXTRA=0").replace(b"license\0", b"nothing\0")
    obj = ObjectFile.from_bytes(data, "x.o")
    assert obj.license == ""
    assert obj.version is None


def test_version_of_a_wrong_size_is_refused(compile_c: Compile) -> None:
    data = built(compile_c, "elf_legacy", "bpf", True, "EXTRA=0").replace(b"license\0", b"version\0")
    obj = ObjectFile.from_bytes(data, "x.o")
    (section,) = (s for s in obj.sections if s.name == "version")
    section.data = section.data[:3]
    with pytest.raises(Error, match=r"^x\.o: section version: 3 bytes, a kernel version takes 4$"):
        print(obj.version)


@pytest.mark.parametrize("target", TARGETS)
def test_relocations_lead_to_maps(compile_c: Compile, target: str) -> None:
    obj = opened(compile_c, "elf_maps", target)
    found = set()
    for prog in obj.progs:
        for _, kind, index, _ in obj.relocations(prog.section_index):
            symbol = obj.symbols[index]
            section = obj.sections[symbol.section]
            if kind == 1 and not section.flags & 4:  # R_BPF_64_64, not to code
                found.add(obj.map_at(symbol.section, symbol.value).name)
    data = {"elf_maps.rodata", "elf_maps.data", "elf_maps.bss", ".data.custom", ".rodata.a_very_long_name"}
    assert found == {"counts", "outer", "jumps"} | data


def test_map_at_knows_offsets(compile_c: Compile) -> None:
    obj = opened(compile_c, "elf_maps")
    (counts,) = (m for m in obj.maps if m.name == "counts")
    assert obj.map_at(counts.section_index, counts.section_offset) is counts
    (bss,) = (m for m in obj.maps if m.section == ".bss")
    assert obj.map_at(bss.section_index, bss.value_size - 1) is bss
    for section, offset in ((counts.section_index, counts.section_offset + 4), (obj.progs[0].section_index, 0), (0, 0)):
        with pytest.raises(Error, match=f"there is no map at offset {offset}"):
            obj.map_at(section, offset)
    with pytest.raises(Error, match=r"section \[9999\]: there is no map"):
        obj.map_at(9999, 0)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing.o", "missing.o: No such file or directory"),
        ("missing/there.o", "missing/there.o: No such file or directory"),
        ("directory", "directory: is a directory, not an object file"),
        ("fifo", "fifo: is not a regular file"),
        ("huge", "huge: 17179869184 bytes, an object file takes 67108864 at most"),
        ("text.c/x.o", "text.c/x.o: Not a directory"),
        ("text.c", "text.c: not an ELF file"),
        ("empty", "empty: not an ELF file"),
        ("a\0b", "a\\x00b: not a file name: it has a NUL character"),
        ("\x1b[2Jnot", "\\x1b[2Jnot: No such file or directory"),
        ("/proc/self/mem", "/proc/self/mem: "),
    ],
)
def test_files_that_are_no_objects(path: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("directory").mkdir()
    os.mkfifo("fifo")
    with open("huge", "wb") as file:
        file.truncate(1 << 34)
    Path("text.c").write_text("int main;\n")
    Path("empty").touch()
    with pytest.raises(Error) as caught:
        ObjectFile(path)
    assert caught.value.message.startswith(message)
    assert "\n" not in caught.value.message


def test_path_is_read(compile_c: Compile, tmp_path: Path) -> None:
    path = tmp_path / "two.dots.o"
    path.write_bytes(built(compile_c, "elf_maps"))
    obj = ObjectFile(str(path))
    assert (obj.path, obj.name) == (str(path), "two")


def test_function_outside_its_section_is_refused(compile_c: Compile) -> None:
    data = bytearray(built(compile_c, "elf_maps"))
    elf = ObjectFile.from_bytes(bytes(data), "x.o").elf
    (symbol,) = (s for s in elf.symbols if s.name == "first")
    table = next(s for s in elf.sections if s.type == 2)
    for size, message in ((1 << 40, "reaches past the end"), (12, "not made of whole instructions")):
        struct.pack_into("<Q", data, table.offset + symbol.index * 24 + 16, size)
        with pytest.raises(Error, match=rf"x\.o: section xdp: function first .*{message}"):
            print(ObjectFile.from_bytes(bytes(data), "x.o").progs)
