"""USDT probes: notes as a compiler makes them, where the arguments are, and notes that can't be right."""

from __future__ import annotations

import random
import re
import shutil
import struct
import sys
from pathlib import Path

import pytest

from bcctool.elf.usdt import CONST, EM_AARCH64, EM_X86_64, INDEXED, MEMORY, REGISTER, Argument, arguments, probes
from bcctool.errors import Error, Malformed
from bcctool.loader.attach_usdt import packed

from .conftest import PROGRAMS, run

PYTHON = "/usr/bin/python3"


@pytest.fixture(scope="module", params=["-pie", "-no-pie"])
def target(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> str:
    if not shutil.which("gcc") or not shutil.which("readelf"):
        pytest.skip("gcc or readelf is not installed")
    path = tmp_path_factory.mktemp("target") / "target"
    run("gcc", "-O2", request.param, PROGRAMS / "attach_target.c", "-o", path)
    return str(path)


def notes(path: str) -> list[tuple[str, str, int, int, str]]:
    """(provider, name, address, semaphore, arguments) of each probe, as readelf shows them."""
    text = run("readelf", "-nW", path).stdout
    pattern = r"Provider: (.*)\n\s+Name: (.*)\n\s+Location: (\S+), Base: \S+, Semaphore: (\S+)\n\s+Arguments: ?(.*)"
    return [
        (provider, name, int(location, 16), int(semaphore, 16), found.strip())
        for provider, name, location, semaphore, found in re.findall(pattern, text)
    ]


def test_notes_are_those_of_readelf(target: str) -> None:
    known = notes(target)
    assert len(known) == 6
    check_notes(target, known)


def test_notes_of_python_are_those_of_readelf() -> None:
    known = notes(PYTHON)
    if not known:
        pytest.skip(f"{PYTHON} has no probes")
    check_notes(PYTHON, known)


def check_notes(path: str, known: list[tuple[str, str, int, int, str]]) -> None:
    for provider, name in {note[:2] for note in known}:
        found = [(provider, name, probe.address, probe.arguments) for probe in probes(path, provider, name)]
        assert found == [(*note[:3], note[4]) for note in known if note[:2] == (provider, name)]


def test_offsets_are_those_of_the_code(target: str) -> None:
    data = Path(target).read_bytes()
    for name, count in (("twice", 2), ("arguments", 1), ("watched", 1)):
        found = probes(target, "ours", name)
        assert len(found) == count
        assert {data[probe.offset] for probe in found} == {0x90}  # the probe is a nop of one byte
    assert [probe.semaphore for probe in probes(target, "ours", "twice")] == [0, 0]


def test_a_semaphore_is_where_its_variable_is(target: str) -> None:
    variable = next(line for line in run("nm", target).stdout.splitlines() if line.endswith(" watched"))
    section = next(line for line in run("readelf", "-SW", target).stdout.splitlines() if " .probes " in line)
    start, offset = (int(word, 16) for word in section.partition("PROGBITS")[2].split()[:2])
    (probe,) = probes(target, "ours", "watched")
    assert probe.semaphore == int(variable.split()[0], 16) - start + offset


def moved(path: str, by: int) -> bytes:
    """The file as if its section `.stapsdt.base` had another address: all else in it has moved along, not the notes."""
    data = bytearray(Path(path).read_bytes())
    sections = run("readelf", "-SW", path).stdout
    number = int(re.search(r"\[ *(\d+)\] \.stapsdt\.base", sections)[1])  # type: ignore[index]
    at = int.from_bytes(data[40:48], "little") + 64 * number + 16
    struct.pack_into("<Q", data, at, struct.unpack_from("<Q", data, at)[0] + by)
    return bytes(data)


def test_a_library_that_was_moved(target: str, tmp_path: Path) -> None:
    path = tmp_path / "moved"
    path.write_bytes(moved(target, -4))
    (before,), (after,) = probes(target, "ours", "watched"), probes(str(path), "ours", "watched")
    for field in ("address", "offset", "semaphore"):
        assert getattr(after, field) == getattr(before, field) - 4
    path.write_bytes(moved(target, 1 << 40))
    with pytest.raises(Malformed, match=r"\.note\.stapsdt: a probe at 0x[0-9a-f]+, where there is no code"):
        probes(str(path), "ours", "twice")


@pytest.mark.parametrize(("provider", "name"), [("ours", "none"), ("theirs", "twice"), ("", ""), ("ours", "twic")])
def test_a_probe_that_is_not_there(target: str, provider: str, name: str) -> None:
    with pytest.raises(Error, match=rf"target: it has no USDT probe {provider}:{name} \(`readelf -n` lists them\)"):
        probes(target, provider, name)


Row = tuple[str, int, int, int, int, int, int]  # text, size, kind, value, register, index, scale
X86_64: list[Row] = [
    ("-4@%edi", -4, REGISTER, 0, 112, 0, 1),
    ("8@%r15", 8, REGISTER, 0, 0, 0, 1),
    ("1@%r8b", 1, REGISTER, 0, 72, 0, 1),
    ("2@%sp", 2, REGISTER, 0, 152, 0, 1),
    ("4@$5", 4, CONST, 5, 0, 0, 1),
    ("-1@$-3", -1, CONST, -3, 0, 0, 1),
    ("8@$0x10", 8, CONST, 16, 0, 0, 1),
    ("8@-16(%rbp)", 8, MEMORY, -16, 32, 0, 1),
    ("8@(%rax)", 8, MEMORY, 0, 80, 0, 1),
    ("2@8(%rax,%rcx,4)", 2, INDEXED, 8, 80, 88, 4),
    ("1@(%r9, %r10)", 1, INDEXED, 0, 64, 56, 1),
]
AARCH64: list[Row] = [
    ("-4@x3", -4, REGISTER, 0, 24, 0, 1),
    ("4@w30", 4, REGISTER, 0, 240, 0, 1),
    ("8@sp", 8, REGISTER, 0, 248, 0, 1),
    ("4@5", 4, CONST, 5, 0, 0, 1),
    ("8@[x0]", 8, MEMORY, 0, 0, 0, 1),
    ("-4@[sp, 60]", -4, MEMORY, 60, 248, 0, 1),
    ("8@[x1,-8]", 8, MEMORY, -8, 8, 0, 1),
]


@pytest.mark.parametrize(("machine", "rows"), [(EM_X86_64, X86_64), (EM_AARCH64, AARCH64)])
def test_where_arguments_are(machine: int, rows: list[Row]) -> None:
    found = arguments(machine, "  ".join(row[0] for row in rows) + " ")
    assert [
        (argument.size if not argument.signed else -argument.size, argument.kind, argument.value, argument.register,
         argument.index, argument.scale)
        for argument in found
    ] == [row[1:] for row in rows]  # fmt: skip
    assert arguments(machine, "") == []


@pytest.mark.parametrize(
    ("machine", "text", "number", "what"),
    [
        (EM_X86_64, "8@%rax 8@foo(%rip)", 2, "8@foo(%rip)"),
        (EM_X86_64, "8f@%xmm0", 1, "8f@%xmm0"),
        (EM_X86_64, "8@%xmm0", 1, "8@%xmm0"),
        (EM_X86_64, "3@%rax", 1, "3@%rax"),
        (EM_X86_64, "8@%rax8@%rbx", 1, "8@%rax8@%rbx"),
        (EM_X86_64, "8@(%rax)8@%rbx", 1, "8@(%rax)8@%rbx"),
        (EM_X86_64, "4@$5x", 1, "4@$5x"),
        (EM_X86_64, "8@(,%rax,8)", 1, "8@(,%rax,8)"),
        (EM_X86_64, "8@(%rax,%rbx,3)", 1, "8@(%rax,%rbx,3)"),
        (EM_X86_64, "8@$99999999999999999999", 1, "8@$99999999999999999999"),
        (EM_X86_64, "%rax", 1, "%rax"),
        (EM_X86_64, "8@\x1b[m", 1, "8@\\x1b[m"),
        (EM_AARCH64, "-1@[x0, x1]", 1, "-1@[x0,"),
        (EM_AARCH64, "8@x31", 1, "8@x31"),
        (EM_AARCH64, "8@%rax", 1, "8@%rax"),
    ],
)
def test_arguments_that_no_program_can_read(machine: int, text: str, number: int, what: str) -> None:
    with pytest.raises(Malformed) as caught:
        arguments(machine, text)
    assert caught.value.message == f"USDT probe: argument {number}: '{what}' is no place that a program can read"


def test_arguments_of_other_machines() -> None:
    with pytest.raises(Error, match="the arguments of USDT probes of RISC-V can't be read"):
        arguments(243, "8@a0")


@pytest.mark.skipif(sys.byteorder != "little", reason="bytes as a little-endian machine has them")
@pytest.mark.parametrize(
    ("argument", "value", "word", "register", "signed", "shift"),
    [
        (Argument(-4, REGISTER, 0, 112), 0, 1, 112, 1, 32),
        (Argument(8, MEMORY, -16, 32), 2**64 - 16, 2, 32, 0, 0),
        (Argument(1, CONST, 300), 300, 0, 0, 0, 56),
        (Argument(2, INDEXED, 8, 80, 88, 4), 8, 3 | 88 << 8 | 2 << 20, 80, 0, 48),
    ],
)
def test_arguments_as_the_header_has_them(
    argument: Argument, value: int, word: int, register: int, signed: int, shift: int
) -> None:
    assert packed(argument) == struct.pack("<QIhBB", value, word, register, signed, shift)


def test_damage_is_an_error_or_no_matter(target: str, tmp_path: Path) -> None:
    data = bytearray(Path(target).read_bytes())
    section = next(line for line in run("readelf", "-SW", target).stdout.splitlines() if " .note.stapsdt " in line)
    offset, size = (int(word, 16) for word in section.partition("NOTE")[2].split()[1:3])
    path, said = tmp_path / "damaged", set()
    for seed in range(400):
        rng, out = random.Random(seed), bytearray(data)
        for _ in range(rng.randrange(1, 6)):
            at = offset + rng.randrange(size)
            out[at : at + 4] = rng.choice((b"\xff" * 4, bytes(4), rng.randbytes(4)))
        path.write_bytes(out)
        try:
            for probe in probes(str(path), "ours", "arguments"):
                arguments(probe.machine, probe.arguments)
        except Error as error:
            said.add(error.message.split(": ", 1)[1])
    for reason in ("a note reaches past its end", "a note that is no probe's", "is no place that a program can read"):
        assert any(reason in message for message in said), reason
