"""BTF dumps and map values beside the installed bpftool's, on the kernel's BTF, compiled objects and live maps.

Where bpftool is known to be wrong its output is mended first, so that everything else has to be equal.
"""

from __future__ import annotations

import ctypes
import os
import random
import re
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bcctool.btf import kinds
from bcctool.btf.c import FOOTER, HEADER, c_header
from bcctool.btf.raw import rows
from bcctool.btf.reader import Btf
from bcctool.btf.values import Row
from bcctool.kernel import libbpf

from ..test_btf_blobs import Blob, section
from ..test_btf_raw import every_kind

pytestmark = pytest.mark.skipif(not shutil.which("bpftool"), reason="bpftool is not installed")

VMLINUX = Path("/sys/kernel/btf/vmlinux")
SOURCES = ("btf_values.c", "btf_sections.c")
FLAGS = {"plain": (), "json": ("-j",), "pretty": ("-p",)}
BPF_MAP_TYPE_ARRAY = 2

Compile = Callable[..., Path]


def bpftool(*words: object, style: str = "plain") -> str:
    command = ["bpftool", *FLAGS[style], *map(str, words)]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    return done.stdout.decode(errors="surrogateescape")


def mended_enums(text: str) -> str:
    """bpftool's JSON sign-extends enumerators from 2^31 on to 64 bits."""

    def value(match: re.Match[str]) -> str:
        number = int(match[2])
        return f"{match[1]}{number & 0xFFFFFFFF if number >> 31 == 0x1FFFFFFFF else number}"

    def enum(match: re.Match[str]) -> str:
        return re.sub(r'("val": ?)(\d+)', value, match[0])

    return re.sub(r'"kind": ?"ENUM",[^]]*', enum, text)


def mended_pointers(text: str) -> str:
    """bpftool before 7.2 has no quotes around pointers in plain text."""
    return re.sub('"pointer": .*', lambda line: re.sub(r"\(nil\)|0x[0-9a-f]+", r'"\g<0>"', line[0]), text)


@pytest.fixture(params=["vmlinux", *SOURCES, "every kind"])
def file(request: pytest.FixtureRequest, compile_c: Compile, tmp_path: Path) -> Path:
    """A file of BTF as it is."""
    if request.param == "vmlinux":
        if not VMLINUX.exists():
            pytest.skip("the kernel has no BTF of its own")
        return VMLINUX
    path: Path = tmp_path / "btf"
    if request.param in SOURCES:
        path.write_bytes(section(compile_c(request.param, "-g"), ".BTF"))
    else:
        data = every_kind().data
        assert isinstance(data, bytes)
        path.write_bytes(data)
    return path


@pytest.mark.parametrize("style", FLAGS)
def test_raw_dump(file: Path, style: str) -> None:
    ours = "".join(rows(Btf(file.read_bytes()), style)) + ("" if style == "plain" else "\n")
    theirs = bpftool("btf", "dump", "file", file, style=style)
    assert ours == (theirs if style == "plain" else mended_enums(theirs))


@pytest.mark.parametrize("file", ["vmlinux", *SOURCES], indirect=True)  # `every kind` has what is no C
def test_c_dump_in_order_of_ids(file: Path) -> None:
    """bpftool 7.1 does not sort; its frame is older, and it has no mode attribute for small enums."""
    theirs = bpftool("btf", "dump", "file", file, "format", "c")
    theirs = theirs.split("#endif\n\n", 1)[1].removesuffix(FOOTER)
    text = c_header(Btf(file.read_bytes()), sort=False, trusted=file == VMLINUX).decode()
    ours = text.removeprefix(HEADER).partition("\n/* BPF kfuncs */")[0]
    assert re.sub(r" __attribute__\(\(mode\(\w+\)\)\)", "", ours) == without_type_tags(theirs)


def without_type_tags(text: str) -> str:
    """Attributes that bpftool 7.1 takes for type tags."""
    return re.sub(r'btf_type_tag\("(address_space\(\d\))"\)', r"\1", text)


class LiveMap:
    """An array map with these values, its key an unsigned int, its types those of a blob."""

    def __init__(self, data: bytes, key_id: int, value_id: int, values: list[bytes]) -> None:
        fd = libbpf.call("bpf_btf_load", data, len(data), None)
        opts = libbpf.opts(libbpf.map_create_opts, btf_fd=fd, btf_key_type_id=key_id, btf_value_type_id=value_id)
        self.fd = libbpf.call(
            "bpf_map_create", BPF_MAP_TYPE_ARRAY, b"values", 4, len(values[0]), len(values), ctypes.byref(opts)
        )
        os.close(fd)
        for key, value in enumerate(values):
            libbpf.call("bpf_map_update_elem", self.fd, struct.pack("=I", key), value, 0)
        info = Path(f"/proc/self/fdinfo/{self.fd}").read_text()
        self.id = int(info.partition("map_id:")[2].split()[0])


@pytest.fixture
def live_map() -> Iterator[Callable[..., LiveMap]]:
    maps: list[LiveMap] = []

    def make(data: bytes, key_id: int, value_id: int, values: list[bytes]) -> LiveMap:
        maps.append(LiveMap(data, key_id, value_id, values))
        return maps[-1]

    yield make
    for made in maps:
        os.close(made.fd)


def same_dump(found: LiveMap, btf: Btf, value_id: int, values: list[bytes]) -> None:
    plain, compact = Row(btf, value_id, "plain", 2), Row(btf, value_id, "json")
    ours = "\n    },{".join(
        [f'\n        "key": {key},\n        "value": {plain.render(value)}' for key, value in enumerate(values)]
    )
    assert f"[{{{ours}\n    }}\n]\n" == mended_pointers(bpftool("map", "dump", "id", found.id))
    theirs = bpftool("map", "dump", "id", found.id, style="json")
    for key, value in enumerate(values):
        assert f'"formatted":{{"key":{key},"value":{compact.render(value)}}}' in theirs
    pretty = Row(btf, value_id, "pretty", 3).render(values[-1])
    assert f'"value": {pretty}\n        }}\n    }}\n]\n' in bpftool("map", "dump", "id", found.id, style="pretty")


@pytest.mark.kernel
def test_values_of_a_compiled_type(compile_c: Compile, live_map: Callable[..., LiveMap]) -> None:
    data = section(compile_c("btf_values.c", "-g"), ".BTF")
    btf = Btf(data)
    key_id, value_id = btf.find("unsigned int"), btf.find("everything")
    assert key_id is not None
    assert value_id is not None
    offsets = {member.name: member.bit_offset // 8 for member in btf.type(value_id).entries}
    size = btf.size_of(value_id)
    choose = random.Random(1)
    values = [bytearray(size)]
    for _ in range(30):
        values.append(bytearray(choose.choice((0, 1, 4, 65, 122, 255, 254, 251)) for _ in range(size)))
        values[-1][offsets["byte"]] &= 0x7F  # bpftool sign-extends unsigned enums of one and two bytes
    values[0][offsets["text"] : offsets["text"] + 6] = b'a "b"\0'
    raw = [bytes(value) for value in values]
    same_dump(live_map(data, key_id, value_id, raw), btf, value_id, raw)


def unsigned_enum64(blob: Blob) -> list[bytes]:
    blob.enum64("e", ("A", 1), ("B", 1 << 32), ("C", -1))
    return [struct.pack("<Q", value) for value in (1, 1 << 32, 7, (1 << 64) - 1, (1 << 63) - 1)]


def signed_enum64(blob: Blob) -> list[bytes]:
    blob.enum64("e", ("A", 1), ("C", -1), flag=True)
    return [struct.pack("<q", value) for value in (1, -1, -2)]


def signed_enums(blob: Blob) -> list[bytes]:
    enum = blob.enum("e", 2, ("A", 1), ("B", -3), flag=True)
    other = blob.enum("f", 1, ("C", 1), ("D", -3), flag=True)
    blob.struct("s", 4, ("e", enum, 0), ("f", other, 16))
    return [struct.pack("<hbx", value, value) for value in (1, -3, -4, 5)]


def unsigned_enum(blob: Blob) -> list[bytes]:
    blob.enum("e", 4, ("A", 1), ("B", 0x80000000))
    return [struct.pack("<I", value) for value in (1, 0x80000000, 0xFFFFFFFF, 5)]


def characters(blob: Blob) -> list[bytes]:
    char = blob.number("char", 1, 2)
    blob.struct("s", 5, ("one", char, 0), ("four", blob.array(char, 4), 8))
    return [b"aabc\0", b"\0abcd", b"\xc8a\x01\0\0", b"~\0\0\0\0"]


def old_bitfields(blob: Blob) -> list[bytes]:
    odd = blob.number("odd", 4, 1, bits=5)
    blob.struct("s", 8, ("a", odd, 0), ("b", odd, 5), ("c", 1, 32))
    return [struct.pack("<II", first, second) for first, second in ((0, 0), (0xFFFFFFFF, 1), (0x12345, 7))]


def full_bitfields(blob: Blob) -> list[bytes]:
    blob.struct("s", 8, ("a", 1, 32 << 24), ("b", 1, 31 << 24 | 33), flag=True)
    return [struct.pack("<II", 0xFFFFFFFF, 0xFFFFFFFE)]


def empty_things(blob: Blob) -> list[bytes]:
    empty = blob.struct("empty", 0)
    blob.struct("s", 4, ("a", 1, 0), ("two", blob.array(empty, 2), 32), ("none", blob.array(1, 0), 32))
    return [b"abcd"]


def pointers(blob: Blob) -> list[bytes]:
    blob.struct("s", 24, ("pointer", blob.array(blob.ptr(0), 3), 0))
    return [struct.pack("<QQQ", 0, 0xFFFF888000000000, (1 << 64) - 1)]


@pytest.mark.kernel
@pytest.mark.parametrize(
    "build",
    [
        unsigned_enum64,
        signed_enum64,
        signed_enums,
        unsigned_enum,
        characters,
        old_bitfields,
        full_bitfields,
        empty_things,
        pointers,
    ],
)
def test_values_of_types_that_clang_does_not_make(
    build: Callable[[Blob], list[bytes]], live_map: Callable[..., LiveMap]
) -> None:
    blob = Blob()
    key_id = blob.number("unsigned int", 4)
    values = build(blob)
    btf, value_id = blob.btf(), blob.next_id - 1
    same_dump(live_map(blob.bytes(), key_id, value_id, values), btf, value_id, values)


@pytest.mark.kernel
def test_section(live_map: Callable[..., LiveMap]) -> None:
    """The map of a data section has no key type and one value."""
    blob = Blob()
    number = blob.number("int", 4, 1)
    label = blob.array(blob.number("char", 1, 1), 8)
    counter, name = blob.add(kinds.VAR, "counter", number, 1), blob.add(kinds.VAR, "label", label, 1)
    id = blob.datasec(".data", 12, (counter, 0, 4), (name, 4, 8))
    data = struct.pack("<i8s", -7, b"ready")
    found, btf = live_map(blob.bytes(), 0, id, [data]), blob.btf()
    plain = Row(btf, id, "plain", 2).render(data)
    assert bpftool("map", "dump", "id", found.id) == f'[{{\n        "value": {plain}\n    }}\n]\n'
    formatted = f'"formatted":{{"value":{Row(btf, id, "json").render(data)}}}'
    assert formatted in bpftool("map", "dump", "id", found.id, style="json")
