"""The ELF reader against readelf on the same files, and the order and names of maps against bpftool's skeletons."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bcctool.elf.object import ObjectFile

SECTION_TYPES = {0: "NULL", 1: "PROGBITS", 2: "SYMTAB", 3: "STRTAB", 4: "RELA", 8: "NOBITS", 9: "REL"}
SYMBOL_TYPES = ("NOTYPE", "OBJECT", "FUNC", "SECTION", "FILE")
BINDS = ("LOCAL", "GLOBAL", "WEAK")
VISIBILITIES = ("DEFAULT", "INTERNAL", "HIDDEN", "PROTECTED")
SPECIAL = {0: "UND", 0xFFF1: "ABS", 0xFFF2: "COM"}


Compile = Callable[..., Path]  # the fixture compile_c


@pytest.fixture(params=["bpf", "bpfeb"])
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["-g", "-g0"])
def debug(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["elf_maps", "elf_legacy", "elf_externs"])
def path(compile_c: Compile, request: pytest.FixtureRequest, target: str, debug: str) -> Path:
    """A compiled program."""
    return compile_c(f"{request.param}.c", debug, "-DEXTRA=0", target=target)


def readelf(option: str, path: Path) -> list[str]:
    if not shutil.which("readelf"):
        pytest.skip("needs readelf (binutils)")
    return subprocess.run(["readelf", option, path], capture_output=True, text=True, check=True).stdout.splitlines()


def test_sections(path: Path) -> None:
    pattern = re.compile(
        r"\s*\[ *(\d+)\] (\S*)\s+(\S+)\s+[0-9a-f]{16} ([0-9a-f]+) ([0-9a-f]+) ([0-9a-f]+) (.{3}) +(\d+) +(\d+)"
    )
    theirs = [match.groups() for line in readelf("-SW", path) if (match := pattern.match(line))]
    ours = ObjectFile(str(path)).sections
    assert len(theirs) == len(ours) > 5
    for (index, name, type_, offset, size, entsize, flags, link, info), section in zip(theirs, ours, strict=True):
        assert (int(index), name) == (section.index, section.name)
        assert type_ == SECTION_TYPES.get(section.type, type_)
        assert (int(offset, 16), int(size, 16), int(entsize, 16)) == (section.offset, section.size, section.entsize)
        assert (int(link), int(info)) == (section.link, section.info)
        assert ("X" in flags, "A" in flags, "W" in flags) == tuple(bool(section.flags & bit) for bit in (4, 2, 1))


def test_symbols(path: Path) -> None:
    lines = [line.split(None, 7) for line in readelf("-sW", path) if re.match(r" *\d+: [0-9a-f]{16} ", line)]
    obj = ObjectFile(str(path))
    assert len(lines) == len(obj.symbols) > 5
    for line, symbol in zip(lines, obj.symbols, strict=True):
        index, value, size, type_, bind, visibility, section, *name = line
        assert (int(index[:-1]), int(value, 16), int(size, 0)) == (symbol.index, symbol.value, symbol.size)
        assert (type_, bind, visibility) == (
            SYMBOL_TYPES[symbol.type],
            BINDS[symbol.bind],
            VISIBILITIES[symbol.visibility],
        )
        assert section == SPECIAL.get(symbol.section, str(symbol.section))
        if type_ != "SECTION":  # readelf prints the section's name then
            assert "".join(name) == symbol.name


def test_relocations(path: Path) -> None:
    theirs: dict[str, list[tuple[int, int, int]]] = {}
    for line in readelf("-rW", path):
        if match := re.match(r"Relocation section '\.rela?(.*)' at", line):
            rows = theirs.setdefault(match[1], [])
        elif match := re.match(r"([0-9a-f]{16})  ([0-9a-f]{8})([0-9a-f]{8}) ", line):
            rows.append((int(match[1], 16), int(match[3], 16), int(match[2], 16)))
    obj = ObjectFile(str(path))
    ours = {s.name: [row[:3] for row in obj.relocations(s.index)] for s in obj.sections if obj.relocations(s.index)}
    assert ours == theirs
    assert ours


@pytest.mark.parametrize("name", ["elf_maps", "elf_externs"])
def test_maps_and_programs_in_the_order_of_bpftool(compile_c: Compile, name: str) -> None:
    if not shutil.which("bpftool"):
        pytest.skip("needs bpftool")
    path = compile_c(f"{name}.c", "-g", "-DNO_STRUCT_OPS_LINK")
    skeleton = subprocess.run(["bpftool", "gen", "skeleton", path], capture_output=True, text=True, check=True).stdout
    obj = ObjectFile(str(path))
    for table, names in (("maps", [m.name for m in obj.maps]), ("progs", [p.name for p in obj.progs])):
        assert names == re.findall(rf's->{table}\[\d+\]\.name = "([^"]*)"', skeleton)
