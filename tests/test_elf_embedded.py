"""Objects inside other files: found whole, numbered, told apart from what only looks like one, in bounded time."""

from __future__ import annotations

import functools
import os
import shutil
import struct
import subprocess
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from bcctool.btf.core_spec import access_path
from bcctool.btf.validate import validate
from bcctool.commands import object_show
from bcctool.elf import embedded
from bcctool.elf.embedded import CHUNK, Source
from bcctool.elf.object import ObjectFile, embedded_btf, read_object
from bcctool.errors import Error
from bcctool.output import dumps

from .conftest import Completed
from .test_elf_object import TARGETS, Compile, built

EXECUTABLE = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack("<HHI", 2, 62, 1) + bytes(40)
HEADER = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack("<HHI", 1, 247, 1)
NOT_BPF = "an ELF for x86-64, not BPF: compile with clang -target bpf"
Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write an executable with these parts behind its header: its path."""

    def write(*parts: bytes, name: str = "host") -> str:
        path = tmp_path / name
        path.write_bytes(EXECUTABLE + b"".join(parts))
        return str(path)

    return write


def header(shoff: int, shnum: int, names: int = 1, shentsize: int = 64, ehsize: int = 64) -> bytes:
    return HEADER + struct.pack("<QQQIHHHHHH", 0, 0, shoff, 0, ehsize, 0, 0, shentsize, shnum, names)


def section(type: int, offset: int, size: int) -> bytes:
    return struct.pack("<IIQQQQIIQQ", 0, type, 0, 0, offset, size, 0, 0, 1, 0)


def spans(path: str) -> list[tuple[int, int]]:
    with Source(path) as source:
        return source.spans


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("gap", [0, 3, CHUNK - 80, CHUNK - 64, CHUNK - 1, 3 * CHUNK + 12345])
def test_the_object_of_an_executable_is_found(compile_c: Compile, write: Write, target: str, gap: int) -> None:
    data = built(compile_c, "elf_maps", target)
    path = write(bytes(gap), data, b"more \x7fELF\x02", name="tool.exe")
    assert spans(path) == [(64 + gap, len(data))]
    assert read_object(path) == data
    obj = ObjectFile(path)
    assert (obj.path, obj.name, obj.byteorder) == (path, "tool", {"bpf": "little", "bpfeb": "big"}[target])
    assert "tool.rodata" in [definition.name for definition in obj.maps]
    assert obj.btf is not None
    assert embedded_btf(path) == bytes(next(s.data for s in obj.sections if s.name == ".BTF"))


def test_one_of_several_is_named_by_its_number(compile_c: Compile, write: Write) -> None:
    maps, legacy = built(compile_c, "elf_maps"), built(compile_c, "prog_legacy")
    path = write(b"\0\0", maps, legacy, bytes(5), maps)
    assert spans(path) == [(66, len(maps)), (66 + len(maps), len(legacy)), (71 + len(maps + legacy), len(maps))]
    with pytest.raises(Error) as caught:
        ObjectFile(path)
    choice = f"name one as {path}#1, or use: bcctool object extract {path} DIR"
    assert caught.value.message == f"{path}: there are 3 BPF objects in it: {choice}"
    assert [read_object(f"{path}#{number}") for number in (1, 2, 3)] == [maps, legacy, maps]
    obj = ObjectFile(f"{path}#2")
    assert (obj.path, obj.name) == (f"{path}#2", "host")
    for number, message in ((4, "no such object, the file has 3"), (0, "No such file or directory")):
        with pytest.raises(Error) as caught:
            ObjectFile(f"{path}#{number}")
        assert caught.value.message == f"{path}#{number}: {message}"
    other = write(legacy, name="host#1")
    assert read_object(other) == legacy  # of two meanings the file of that very name


def test_names_are_safe_for_files(compile_c: Compile, write: Write) -> None:
    data = built(compile_c, "prog_legacy")
    for name, expected in (
        ("tool.exe", ["tool"]), (".hidden", ["object"]), ("a b\x1b\n\\é", ["a_b____"]), ("x" * 250, ["x" * 200]),
        ("c++filt", ["c++filt"]),
    ):  # fmt: skip
        with Source(write(data, name=name)) as source:
            assert source.names() == expected
    path = write(data, data)
    with Source(path) as source:
        assert source.names() == ["host.1", "host.2"]
    with Source(f"{path}#2") as source:
        assert [(name, offset) for name, offset, _ in source.objects()] == [("host.2", 64 + len(data))]


def test_an_object_file_is_its_own_object(compile_c: Compile, tmp_path: Path) -> None:
    data = built(compile_c, "elf_maps")
    path = tmp_path / "plain.bpf.o"
    path.write_bytes(data + b"trailing" + data)
    with Source(str(path)) as source:
        assert not source.embedded
        assert list(source.objects()) == [("plain", 0, data + b"trailing" + data)]
    assert read_object(f"{path}#1") == data + b"trailing" + data
    assert embedded_btf(str(path)) is None


def test_what_lies_inside_an_object_is_no_other_one(compile_c: Compile, write: Write) -> None:
    outer, inner = built(compile_c, "elf_maps"), built(compile_c, "prog_legacy")
    (shoff,) = struct.unpack_from("<Q", outer, 40)
    moved = outer[:40] + struct.pack("<Q", len(outer + inner)) + outer[48:] + inner + outer[shoff:]
    assert spans(write(moved, inner)) == [(64, len(moved)), (64 + len(moved), len(inner))]


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (HEADER,),
        (HEADER[:20],),
        (header(64, 0, 0), section(3, 0, 8)),
        (header(64, 2, 2), section(0, 0, 0), section(3, 0, 8)),
        (header(64, 2), section(0, 0, 0), section(1, 0, 8)),
        (header(64, 2, shentsize=40), section(0, 0, 0), section(3, 0, 8)),
        (header(64, 2, ehsize=52), section(0, 0, 0), section(3, 0, 8)),
        (header(0, 2), section(3, 0, 8)),
        (header(1 << 63, 2), section(0, 0, 0), section(3, 0, 8)),
        (header((1 << 64) - 1, 0xFFFF), section(0, 0, 0), section(3, 0, 8)),
        (header(64, 2), section(0, 0, 0), section(3, 1 << 63, 8)),
        (header(64, 2), section(0, 0, 0), section(3, 0, 1 << 63)),
        (header(64, 3), section(0, 0, 0), section(3, 0, 8), section(1, 0, 257)),
        (header(64, 3), section(0, 0, 0), section(3, 0, 8)),
    ],
)
def test_what_only_looks_like_an_object_is_none(write: Write, parts: tuple[bytes, ...]) -> None:
    path = write(*parts)
    assert spans(path) == []
    with pytest.raises(Error) as caught:
        ObjectFile(path)
    assert caught.value.message == f"{path}: {NOT_BPF}"
    with pytest.raises(Error) as caught, Source(path) as source:
        next(source.objects())
    assert caught.value.message == f"{path}: {NOT_BPF}"


def test_sections_without_contents_take_no_space(write: Write) -> None:
    sound = header(64, 4) + section(0, 99, 1 << 60) + section(3, 0, 8) + section(8, 0, 1 << 40) + section(1, 320, 5)
    assert spans(write(sound, b"tail", b"12345")) == [(64, 325)]


def test_an_object_that_is_cut_off_is_none(compile_c: Compile, write: Write) -> None:
    data = built(compile_c, "elf_maps")
    for length in (24, 63, 64, len(data) // 2, len(data) - 1):
        assert spans(write(data[:length])) == []
    assert spans(write(data)) == [(64, len(data))]


def test_a_damaged_object_is_one_line(compile_c: Compile, write: Write) -> None:
    data = bytearray(built(compile_c, "elf_maps"))
    (shoff,) = struct.unpack_from("<Q", data, 40)
    struct.pack_into("<I", data, shoff + 64 + 40, 0xFFFF)  # sh_link
    path = write(data)
    with pytest.raises(Error, match=r"^[^\n]*/host: section \[1\]: links to section \[65535\] of \d+$"):
        ObjectFile(path)


def test_a_large_executable_is_searched_but_no_large_object_or_text(compile_c: Compile, tmp_path: Path) -> None:
    data = built(compile_c, "prog_legacy")
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.write(EXECUTABLE)
        file.seek(200 << 20)
        file.write(data)
    tracemalloc.start()
    try:
        assert spans(str(path)) == [(200 << 20, len(data))]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20
    for head in (data[:64], b"text"):
        with path.open("r+b") as file:
            file.write(head)
        with pytest.raises(Error, match=f"large: {path.stat().st_size} bytes, an object file takes 67108864 at most"):
            ObjectFile(str(path))


@pytest.mark.parametrize(
    "pattern",
    [b"\x7fELF\x02", b"\x7f", HEADER, header(64, 0xFFFF), header(1 << 62, 2), header(64, 2) + bytes(10000)],
    ids=["magic", "first byte", "headers", "huge tables", "far tables", "scattered"],
)
def test_many_fakes_take_bounded_time_and_memory(write: Write, pattern: bytes) -> None:
    path = write(pattern * ((63 << 20) // len(pattern)))
    tracemalloc.start()
    started = time.process_time()
    try:
        try:
            assert spans(path) == []
        except Error as error:
            message = error.message
            assert message == f"{path}: too many ELF headers for BPF in it, 0 of them of sound objects"
        assert time.process_time() - started < 2  # traced: four times slower than without
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()
        os.unlink(path)


def test_many_objects_are_too_many(write: Write) -> None:
    small = header(64, 2) + section(0, 0, 0) + section(3, 0, 8)
    assert len(spans(write(small * embedded.MAX_OBJECTS))) == embedded.MAX_OBJECTS
    with pytest.raises(Error, match="too many ELF headers for BPF in it, 257 of them of sound objects"):
        spans(write(small * 1000))


@functools.cache
def libbpf_tools() -> list[str]:
    """The executables of Debian's libbpf-tools: objects that others have compiled."""
    if not shutil.which("dpkg"):
        return []
    listed = subprocess.run(["dpkg", "-L", "libbpf-tools"], capture_output=True, text=True, check=False).stdout
    return [path for path in listed.splitlines() if "/sbin/" in path or "/bin/" in path]


@pytest.mark.skipif(not libbpf_tools(), reason="libbpf-tools is not installed")
def test_every_libbpf_tool_embeds_one_object_that_can_be_read() -> None:
    assert len(libbpf_tools()) > 50
    relocations = externs = 0
    for path in libbpf_tools():
        with Source(path) as source:
            assert source.embedded
            (record,) = object_show.records(source, strict=True)
            assert source.names() == [os.path.basename(path)]
        obj = ObjectFile(path)
        assert obj.btf is not None
        assert obj.btf_ext is not None
        validate(obj.btf)
        assert obj.progs, path
        assert obj.maps, path
        assert obj.license.endswith("GPL")
        for name in {prog.section for prog in (*obj.progs, *obj.subprogs)}:
            relos = obj.btf_ext.core_relos(name)
            assert all(access_path(obj.btf, relo) for relo in relos), path
            relocations += len(relos)
        functions = record["programs"] + record["subprograms"]
        listed = [relo for function in functions for relo in function["core_relocations"]]
        assert all("path" in relo and relo["type"] for relo in listed), path
        relocations -= len(listed)  # each is shown once
        externs += len(record["externs"])
        assert all(prog["type"] and prog["helpers"] for prog in record["programs"] if prog["insns"] > 20), path
        assert set(record["least_kernel"]) == {"version", "for"}, path
        assert object_show.text(record).startswith(f"{path}: little-endian  license ")
        assert dumps(record)
    assert relocations == 0
    assert externs >= 5


@pytest.mark.skipif(not libbpf_tools(), reason="libbpf-tools is not installed")
def test_an_executable_of_others_is_shown_dumped_and_linked(bcctool: Callable[..., Completed], tmp_path: Path) -> None:
    path = next(path for path in libbpf_tools() if path.endswith("/opensnoop"))
    names = [prog.name for prog in ObjectFile(path).progs]
    shown = bcctool("object", "show", path).stdout
    assert all(f"\tprog {name}  " in shown for name in names)
    assert bcctool("object", "dump", path, "prog", names[0]).stdout.count("call bpf_get_current_pid_tgid#14") == 1
    assert bcctool("object", "cfg", path).stdout.startswith("digraph")
    assert "FUNC 'tracepoint__syscalls__sys_enter_open'" in bcctool("btf", "dump", "file", path).stdout
    bcctool("gen", "object", tmp_path / "linked.o", path)
    assert [prog.name for prog in ObjectFile(str(tmp_path / "linked.o")).progs] == names
