"""Functions of programs and libraries: names, versions, patterns, and files that are not what they say."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from bcctool.elf.native import PF_X, NativeElf, compiled, function_offset, function_offsets
from bcctool.errors import Error

from .conftest import PROGRAMS, run

LIBRARY = """
int one(void) { return 1; }
int many_a(void) { return 2; }
int many_b(void) { return 3; }
int many_(void) { return 4; }
static int hidden(void) { return 5; }
int (*keep)(void) = hidden;
int old_open(void) { return 6; }
int new_open(void) { return 7; }
__asm__(".symver old_open,versioned@V1");
__asm__(".symver new_open,versioned@@V2");
int data = 8;
"""
SECOND = "static int hidden(void) { return 9; }\nint (*keep_too)(void) = hidden;\n"
VERSIONS = "V1 { global: one; many_*; local: old_open; new_open; };\nV2 { global: data; } V1;\n"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A shared library with versions, and two static functions of one name."""
    if not shutil.which("gcc"):
        pytest.skip("gcc is not installed")
    folder = tmp_path_factory.mktemp("library")
    for name, text in (("one.c", LIBRARY), ("two.c", SECOND), ("versions", VERSIONS)):
        (folder / name).write_text(text)
    flags = ("-shared", "-fPIC", "-O1", f"-Wl,--version-script={folder}/versions")
    run("gcc", *flags, folder / "one.c", folder / "two.c", "-o", folder / "ours.so")
    return str(folder / "ours.so")


def symbols(path: str) -> dict[str, int]:
    """The functions that readelf shows, by name (with its version), and where in the file they are."""
    segments = [
        line.split() for line in run("readelf", "-lW", path).stdout.splitlines() if line.strip().startswith("LOAD")
    ]
    found = {}
    for line in run("readelf", "-sW", path).stdout.splitlines():
        words = line.split()
        if len(words) > 7 and words[3] == "FUNC" and words[6] != "UND":
            address = int(words[1], 16)
            for _, offset, start, _, size, *_ in segments:
                if int(start, 16) <= address < int(start, 16) + int(size, 16):
                    found[words[7]] = address - int(start, 16) + int(offset, 16)
    return found


def test_names_and_versions(library: str) -> None:
    known = symbols(library)
    assert known["versioned@V1"] != known["versioned@@V2"]
    for name, wanted in (
        ("one", "one@@V1"),
        ("one@V1", "one@@V1"),
        ("one@@V1", "one@@V1"),
        ("versioned", "versioned@@V2"),
        ("versioned@V1", "versioned@V1"),
        ("versioned@V2", "versioned@@V2"),
        ("versioned@@V2", "versioned@@V2"),
        ("old_open", "old_open"),
    ):
        assert function_offset(library, name) == known[wanted], name


@pytest.mark.parametrize("name", ["versioned@@V1", "one@V2", "one@", "data", "on", "", "o*e", "many_c"])
def test_names_that_are_not_there(library: str, name: str) -> None:
    with pytest.raises(Error, match=r"ours\.so: it has no function"):
        function_offset(library, name)


def test_a_name_that_two_functions_have(library: str) -> None:
    with pytest.raises(Error, match=r"it has 2 functions 'hidden': give an offset in the file \(PATH:0xN\)"):
        function_offset(library, "hidden")


def test_patterns(library: str) -> None:
    known = symbols(library)
    assert function_offsets(library, "many_?") == sorted({known["many_a@@V1"], known["many_b@@V1"]})
    assert function_offsets(library, "many_*") == sorted({known[f"many_{end}@@V1"] for end in ("", "a", "b")})
    assert len(function_offsets(library, "hidden*")) == 2
    assert function_offsets(library, "one") == [known["one@@V1"]]
    with pytest.raises(Error, match=r"no function matches 'many_\?\?'"):
        function_offsets(library, "many_??")


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [("a*", "a", True), ("a?", "a", False), ("[ab]", "a", False), ("a.c*", "abc", False), ("*[x*", "a[xb", True)],
)
def test_what_a_pattern_is(pattern: str, name: str, matches: bool) -> None:
    assert bool(compiled(pattern).match(name)) is matches


def test_a_pattern_that_goes_on_and_on() -> None:
    assert not compiled("*a" * 1000 + "b").match("a" * 4000)


def test_the_bytes_are_those_of_the_function(library: str) -> None:
    code = Path(library).read_bytes()[function_offset(library, "many_b") :][:16]
    assert b"\xb8\x03\x00\x00\x00" in code or b"\x60\x00\x80\x52" in code  # return 3, on x86-64 or arm64


def test_a_stripped_library_has_its_dynamic_symbols(library: str, tmp_path: Path) -> None:
    stripped = str(tmp_path / "stripped.so")
    run("strip", "-o", stripped, library)
    assert function_offset(stripped, "one") == function_offset(library, "one")
    with pytest.raises(Error, match="no function 'hidden'"):
        function_offset(stripped, "hidden")


def test_a_32_bit_library(tmp_path: Path) -> None:
    source, obj, out = (str(tmp_path / name) for name in ("one.c", "one.o", "one.so"))
    Path(source).write_text("int one(void) { return 1; }\nint two(void) { return 2; }\n")
    compiler, linker = ["clang", "-m32", "-O1", "-c", source, "-o", obj], ["ld", "-m", "elf_i386", "-shared", obj]
    for command in (compiler, [*linker, "-o", out]):
        if not shutil.which(command[0]) or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip(f"no 32-bit {command[0]} here")
    with NativeElf(out) as elf:
        assert (elf.wide, elf.machine, elf.relocated) == (False, 3, True)
        assert elf.function_offset("two") == symbols(out)["two"]
        assert elf.offset(0xFFFFFFF0, PF_X) is None


NOT_ELF = [
    (b"", "not an ELF file"),
    (b"#!/bin/sh\n", "not an ELF file"),
    (b"\x7fELF\x02\x01", "header: neither 32 nor 64 bits, or no byte order"),
    (b"\x7fELF\x02\x07" + bytes(100), "header: neither 32 nor 64 bits, or no byte order"),
    (b"\x7fELF\x02\x01" + bytes(20), "header: is cut off"),
]


@pytest.mark.parametrize(("data", "reason"), NOT_ELF)
def test_files_that_are_no_programs(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "x\x1b"
    path.write_bytes(data)
    with pytest.raises(Error) as caught:
        function_offset(str(path), "main")
    assert caught.value.message == f"{tmp_path}/x\\x1b: {reason}"


def test_files_that_are_none(tmp_path: Path) -> None:
    for path, reason in (("/nosuch", "No such file or directory"), (tmp_path, "is not a regular file")):
        with pytest.raises(Error, match=reason):
            function_offset(str(path), "main")


def damaged(data: bytes, seed: int) -> bytes:
    """A file cut off, or with a few bytes changed, mostly in its tables."""
    rng = random.Random(seed)
    if seed % 4 == 0:
        return data[: rng.randrange(len(data))]
    out = bytearray(data)
    tables = (0, 64), (64, 64 + 56 * 12), (int.from_bytes(data[40:48], "little"), len(data))
    for _ in range(rng.randrange(1, 8)):
        start, end = rng.choice(tables)
        at = rng.randrange(start, end)
        out[at : at + 4] = rng.choice((b"\xff" * 4, bytes(4), rng.randbytes(4)))
    return bytes(out)


def test_damage_is_an_error_or_no_matter(library: str, tmp_path: Path) -> None:
    data, path = Path(library).read_bytes(), tmp_path / "damaged.so"
    said = set()
    for seed in range(400):
        path.write_bytes(damaged(data, seed))
        for look in (lambda: function_offset(str(path), "versioned@V1"), lambda: function_offsets(str(path), "m*")):
            try:
                look()
            except Error as error:
                said.add(error.message.partition(": ")[2].partition(":")[0])
    assert {"section headers", "header"} <= said


def test_the_target_of_the_attach_tests_is_read(tmp_path: Path) -> None:
    if not shutil.which("gcc"):
        pytest.skip("gcc is not installed")
    for flags, relocated in ((("-pie",), True), (("-no-pie",), False)):
        path = str(tmp_path / "target")
        run("gcc", "-O2", *flags, PROGRAMS / "attach_target.c", "-o", path)
        with NativeElf(path) as elf:
            assert elf.relocated is relocated
            assert elf.function_offset("many_1") == symbols(path)["many_1"]
