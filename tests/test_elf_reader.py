"""The ELF reader on files that are damaged, truncated or hostile: one line of Error, in bounded time and memory."""

from __future__ import annotations

import random
import re
import struct
import time
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bcctool.elf.object import ObjectFile
from bcctool.elf.reader import Elf
from bcctool.errors import Error, Malformed
from bcctool.escapes import printable

from .test_elf_object import TARGETS, Compile, built

SHDR = {"name": (0, "I"), "type": (4, "I"), "flags": (8, "Q"), "offset": (24, "Q"), "size": (32, "Q")}
SHDR |= {"link": (40, "I"), "info": (44, "I"), "entsize": (56, "Q")}
EHDR = {"type": (16, "H"), "machine": (18, "H"), "shoff": (40, "Q"), "shentsize": (58, "H"), "shnum": (60, "H")}
EHDR |= {"shstrndx": (62, "H"), "class": (4, "B"), "data": (5, "B")}


def real(compile_c: Compile, target: str = "bpf") -> bytes:
    return built(compile_c, "elf_maps", target)


def explored(data: bytes) -> ObjectFile:
    """The object after everything in it was looked at."""
    obj = ObjectFile.from_bytes(data, "x.o")
    for symbol in obj.symbols:
        assert isinstance(symbol.name, str)
    print(obj.license, obj.version, obj.progs, obj.subprogs, obj.externs)
    if obj.btf:
        for type_ in obj.btf.types():
            assert type_.id
    for prog in obj.progs:
        if obj.btf_ext:
            obj.btf_ext.funcs(prog.section)
            obj.btf_ext.lines(prog.section)
    for m in obj.maps:
        assert m.contents is None or len(m.contents) == m.value_size
    for section in obj.sections:
        obj.relocations(section.index)
    return obj


def with_header(data: bytes, /, **fields: int) -> bytes:
    out = bytearray(data)
    for name, value in fields.items():
        offset, kind = EHDR[name]
        struct.pack_into("<" + kind, out, offset, value)
    return bytes(out)


def with_section(data: bytes, section: str, /, **fields: int) -> bytes:
    """A little-endian object with fields of a section header overwritten."""
    out = bytearray(data)
    (table,) = struct.unpack_from("<Q", data, 40)
    index = next(s.index for s in Elf(data, "x.o").sections if s.name == section)
    for field, value in fields.items():
        offset, kind = SHDR[field]
        struct.pack_into("<" + kind, out, table + 64 * index + offset, value)
    return bytes(out)


def complaint(data: bytes) -> str:
    """The message of the Error that the object meets with, empty for one that can be read; nothing else comes out."""
    try:
        explored(data)
    except Error as error:
        text = error.message
    else:
        return ""
    assert text.startswith("x.o: ")
    assert printable(text) == text  # which also makes it one line
    assert len(text) < 300
    return text


def made(strings: bytes, symbols: bytes = b"", sections: int = 4, bss: int = 0) -> bytes:
    """A BPF object with a string table, a symbol table and a .bss section, and empty sections after them."""
    names = b"\0.strtab\0.symtab\0.bss\0"
    at = 64
    headers = [
        struct.pack("<IIQQQQIIQQ", *(0,) * 10),
        struct.pack("<IIQQQQIIQQ", 1, 3, 0, 0, at, len(names) + len(strings), 0, 0, 1, 0),
        struct.pack("<IIQQQQIIQQ", 9, 2, 0, 0, at + len(names) + len(strings), len(symbols), 1, 1, 8, 24),
        struct.pack("<IIQQQQIIQQ", 17, 8, 3, 0, at, bss, 0, 0, 8, 0),
    ]
    headers += [struct.pack("<IIQQQQIIQQ", 1, 1, 0, 0, at, 0, 0, 0, 1, 0)] * (sections - 4)
    shoff = at + len(names) + len(strings) + len(symbols)
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header = ident + struct.pack("<HHIQQQIHHHHHH", 1, 247, 1, 0, 0, shoff, 0, 64, 0, 0, 64, sections, 1)
    return header + names + strings + symbols + b"".join(headers)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("debug", [True, False])
def test_sections_symbols_relocations(compile_c: Compile, target: str, debug: bool) -> None:
    elf = Elf(built(compile_c, "elf_maps", target, debug), "x.o")
    sections = {s.name: s for s in elf.sections}
    assert [s.index for s in elf.sections] == list(range(len(elf.sections)))
    assert bytes(sections["license"].data) == b"Dual BSD/GPL\0"
    assert (sections[".bss"].type, sections[".bss"].size, len(sections[".bss"].data)) == (8, 40, 0)
    symbols = {s.name: s for s in elf.symbols}
    assert (symbols["counter"].size, symbols["counter"].type, symbols["counter"].bind) == (4, 1, 1)
    assert elf.sections[symbols["counter"].section].name == ".data"
    named = [(kind, elf.symbols[index].name) for _, kind, index, _ in elf.relocations(sections["xdp"].index)]
    assert (1, "counter") in named
    assert elf.relocations(sections["license"].index) == []


@pytest.mark.parametrize("target", TARGETS)
def test_truncation_anywhere(compile_c: Compile, target: str) -> None:
    data = real(compile_c, target)
    for size in range(0, len(data), 64):
        assert complaint(data[:size]), f"nothing noticed at {size} of {len(data)} bytes"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"machine": 62}, "x.o: an ELF for x86-64, not BPF: compile with clang -target bpf"),
        ({"machine": 183}, "x.o: an ELF for AArch64, not BPF: compile with clang -target bpf"),
        ({"machine": 4711}, "x.o: an ELF for machine 4711, not BPF: compile with clang -target bpf"),
        ({"class": 1}, "x.o: a 32-bit ELF: BPF objects are 64-bit, compile with clang -target bpf"),
        ({"data": 3}, "x.o: header: unknown byte order 3"),
        ({"type": 2}, "x.o: is an executable, not an object file: compile with clang -c"),
        ({"type": 77}, "x.o: has ELF type 77, not an object file: compile with clang -c"),
        ({"shoff": 0}, "x.o: header: there are no sections"),
        ({"shoff": 1 << 63}, "x.o: header: "),
        ({"shnum": 60000}, "x.o: header: the section headers lie outside the file: is it truncated?"),
        ({"shentsize": 40}, "x.o: header: section headers of 40 bytes, not 64"),
        ({"shstrndx": 500}, "x.o: header: "),
        ({"shstrndx": 2}, "x.o: header: names in section [2], which is no string table"),
        ({"shstrndx": 0}, "x.o: header: names in section [0], which is no string table"),
    ],
)
def test_header(compile_c: Compile, fields: dict[str, int], expected: str) -> None:
    assert complaint(with_header(real(compile_c), **fields)).startswith(expected)


@pytest.mark.parametrize(
    ("name", "fields", "expected"),
    [
        (
            "xdp",
            {"size": 1 << 32},
            r"section \[\d+\]: 4294967296 bytes at offset \d+ of \d+ bytes: is the file truncated\?",
        ),
        ("xdp", {"offset": (1 << 64) - 8}, r"section \[\d+\]: \d+ bytes at offset 18446744073709551608 "),
        ("xdp", {"offset": 64}, r"section \S+: overlaps section \S+"),
        ("xdp", {"name": 1 << 30}, r"string table: the name of entry \d+, at offset 1073741824, has no end"),
        ("xdp", {"link": 9999}, r"section \[\d+\]: links to section \[9999\] of \d+"),
        (".relxdp", {"info": 9999}, r"section \[\d+\]: relocates section \[9999\] of \d+"),
        (".relxdp", {"entsize": 0}, r"section \.relxdp: \d+ bytes in entries of 0, not 16"),
        (".relxdp", {"link": 1}, r"section \.relxdp: links to section \[1\], which is no symbol table"),
        (".relxdp", {"info": 0}, r"section \.relxdp: offset \d+ lies outside section \[0\] of 0 bytes"),
        (".relxdp", {"type": 4}, r"section \.relxdp: \d+ bytes in entries of 16, not 24"),
        (".symtab", {"entsize": 16}, r"section \.symtab: \d+ bytes in entries of 16, not 24"),
        (".symtab", {"link": 2}, r"section \.symtab: names in section \[2\], which is no string table"),
        (".symtab", {"type": 1}, r"BTF has a variable \w+, but there is no symbol for it"),
        (".relxdp", {"type": 2}, r"section \.symtab: a second symbol table"),
        (".bss", {"size": 1 << 32}, r"\.bss: 4294967296 bytes, a map's value takes 4294967295 at most"),
        (".maps", {"size": 8}, r"section \.maps: BTF puts .* outside of 8 bytes"),
        (".BTF", {"size": 4}, r"x\.o: \.BTF: header: 4 bytes, a header takes 24"),
        (".BTF.ext", {"size": 4}, r"x\.o: \.BTF\.ext: header: not BTF\.ext: wrong magic or too short"),
    ],
)
def test_section_headers(compile_c: Compile, name: str, fields: dict[str, int], expected: str) -> None:
    text = complaint(with_section(real(compile_c), name, **fields))
    assert re.search(expected, text), text


def test_symbols_out_of_range() -> None:
    symbol = struct.pack("<IBBHQQ", 1, 0x11, 0, 77, 0, 0)
    assert complaint(made(b"", symbol)) == "x.o: section .symtab: symbol [0] is in section [77] of 4"
    symbol = struct.pack("<IBBHQQ", 500, 0x11, 0, 1, 0, 0)
    assert complaint(made(b"", symbol)) == "x.o: string table: the name of entry 0, at offset 500, has no end"
    symbol = struct.pack("<IBBHQQ", 22, 0x11, 0, 1, 0, 0)
    assert complaint(made(b"x" * 10, symbol)) == "x.o: string table: the name of entry 0, at offset 22, has no end"


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ("MAX_SECTIONS", r"header: \d+ sections, 3 are supported"),
        ("MAX_SYMBOLS", r"section \.symtab: \d+ symbols, 3 are supported"),
        ("MAX_RELOCATIONS", r"section \.rel\S*: \d+ relocations, 3 are supported"),
        ("MAX_NAMES", "string table: more than 3 bytes of names"),
        ("MAX_NAME", r"string table: the name of entry \d+, at offset \d+, has no end"),
    ],
)
def test_limits(compile_c: Compile, limit: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = real(compile_c)
    monkeypatch.setattr(f"bcctool.elf.reader.{limit}", 3)
    assert re.search(message, complaint(data))


def test_relocation_of_a_symbol_that_is_not_there(compile_c: Compile) -> None:
    data = bytearray(real(compile_c))
    (section,) = (s for s in Elf(bytes(data), "x.o").sections if s.name == ".relxdp")
    struct.pack_into("<I", data, section.offset + 12, 0xFFFFFF)
    assert "symbol [16777215] of " in complaint(bytes(data))


def test_names_that_would_control_a_terminal() -> None:
    name = b"\x1b[2J\xff\n\xe2\x80\xaeevil"
    symbol = struct.pack("<IBBHQQ", 22, 0x11, 0, 77, 0, 0)
    elf = Elf(made(name + b"\0", symbol.replace(b"\x4d\0", b"\x01\0")), "x.o")
    assert elf.symbols[0].name == "\x1b[2J\\xff\n\u202eevil"
    with pytest.raises(Malformed) as caught:
        elf.malformed(elf.symbols[0].name, elf.symbols[0].name)
    assert caught.value.message == "x.o: \\x1b[2J\\xff\\n\\u202eevil: \\x1b[2J\\xff\\n\\u202eevil"
    with pytest.raises(Error) as error:
        Elf(b"", "\x1b]0;title\x07\udc80")
    assert error.value.message == "\\x1b]0;title\\x07\\udc80: not an ELF file"


def test_two_sections_of_one_name(compile_c: Compile) -> None:
    data = real(compile_c).replace(b"\0.BTF.ext\0", b"\0.BTF\0ext\0").replace(b".rel.BTF.ext\0", b".rel.BTF\0ext\0")
    assert "a second section of this name" in complaint(data)
    obj = Elf(made(b"", sections=8), "x.o")
    assert [s.name for s in obj.sections] == ["", ".strtab", ".symtab", ".bss", *[".strtab"] * 4]


@pytest.mark.parametrize(
    "make",
    [
        lambda data: with_section(data, ".symtab", size=1 << 32),
        lambda data: with_section(data, ".bss", size=(1 << 32) - 1),
        lambda data: with_section(data, ".rodata", type=8, size=1 << 63),
        lambda data: with_header(data, shnum=0),
        lambda _: made(b"n" * 4000 + b"\0", struct.pack("<IBBHQQ", 22, 0x11, 0, 1, 0, 0) * 100_000),
        lambda _: made(b"n" * 5_000_000 + b"\0", struct.pack("<IBBHQQ", 22, 0x11, 0, 1, 0, 0) * 100_000),
        lambda _: made(b"", struct.pack("<IBBHQQ", 1, 0x11, 0, 1, 0, 0) * 131_072),
        lambda _: made(b"", struct.pack("<IBBHQQ", 1, 0x11, 0, 1, 0, 0) * 131_073),
        lambda _: made(b"", sections=65_000),
        lambda _: b"\x7fELF" + b"\xff" * 10_000_000,
    ],
)
def test_hostile_files_take_little_time_and_memory(compile_c: Compile, make: Callable[[bytes], bytes]) -> None:
    data = make(real(compile_c))
    start = time.process_time()
    complaint(data)
    assert time.process_time() - start < 1
    tracemalloc.start()
    try:
        complaint(data)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 200e6


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 1 << 32), st.sampled_from(TARGETS), st.integers(1, 8))
def test_flipped_bytes(compile_c: Compile, seed: int, target: str, count: int) -> None:
    chance = random.Random(seed)
    data = bytearray(real(compile_c, target))
    # Half of the flips go where the structure is: the header and the section headers at the end.
    for _ in range(count):
        at = chance.choice([chance.randrange(len(data)), chance.randrange(64), len(data) - 1 - chance.randrange(2600)])
        data[at] = chance.randrange(256)
    complaint(bytes(data))  # an object that is still valid is as good as an error


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 1 << 32), st.sampled_from([".BTF", ".BTF.ext", ".symtab", ".strtab", ".relxdp", ".rel.maps"]))
def test_flipped_bytes_of_tables(compile_c: Compile, seed: int, name: str) -> None:
    chance = random.Random(seed)
    data = bytearray(built(compile_c, "elf_externs") if name == ".BTF" else real(compile_c))
    (section,) = (s for s in Elf(bytes(data), "x.o").sections if s.name == name)
    for _ in range(chance.randrange(1, 6)):
        data[section.offset + chance.randrange(section.size)] = chance.choice([0, 1, 0xFF, chance.randrange(256)])
    complaint(bytes(data))  # an object that is still valid is as good as an error
