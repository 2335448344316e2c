"""The .BTF.ext section: what clang writes, and what no compiler should."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from bcctool.btf.ext import BtfExt
from bcctool.btf.reader import Btf
from bcctool.errors import Malformed

from .test_btf_blobs import Blob, section

STRINGS = ("", "xdp", "a.c", "return 0;", "0:1")


def offset(text: str) -> int:
    return (b"\0" + b"\0".join(string.encode() for string in STRINGS[1:])).find(text.encode()) if text else 0


def strings() -> Btf:
    blob = Blob()
    for text in STRINGS[1:]:
        blob.name(text)
    return blob.btf()


def area(order: str, rec_size: int, *records: tuple[int, ...], name: str = "xdp", count: int | None = None) -> bytes:
    data = struct.pack(order + "3I", rec_size, offset(name), len(records) if count is None else count)
    for record in records:
        data += struct.pack(f"{order}{len(record)}I", *record).ljust(rec_size, b"\0")
    return data


def ext(order: str, *areas: bytes, header_len: int = 32) -> bytes:
    places, at = [], 0
    for data in areas:
        places += [at, len(data)]
        at += len(data)
    header = struct.pack(order + "HBBI", 0xEB9F, 1, 0, header_len) + struct.pack(f"{order}{len(places)}I", *places)
    return header.ljust(header_len, b"\0") + b"".join(areas)


@pytest.mark.parametrize("order", ["<", ">"])
def test_records(order: str) -> None:
    funcs = area(order, 8, (0, 5), (16, 6))
    lines = area(order, 20, (8, offset("a.c"), offset("return 0;"), 7 << 10 | 3))
    relos = area(order, 16, (24, 9, offset("0:1"), 2))
    found = BtfExt(ext(order, funcs, lines, relos), strings())
    assert found.funcs("xdp") == [(0, 5), (16, 6)]
    (line,) = found.lines("xdp")
    assert (line.insn_off, line.file, line.line, line.line_num, line.col) == (8, "a.c", "return 0;", 7, 3)
    (relo,) = found.core_relos("xdp")
    assert (relo.insn_off, relo.type_id, relo.access, relo.kind) == (24, 9, "0:1", 2)
    assert (found.func_info_rec_size, found.line_info_rec_size) == (8, 20)
    assert found.raw_funcs("xdp") == funcs[12:]
    assert found.raw_lines("xdp") == lines[12:]
    assert found.sections() == ["xdp"]
    assert (found.funcs("tc"), found.lines("tc"), found.raw_funcs("tc")) == ([], [], b"")


def test_header_before_core_relocations() -> None:
    found = BtfExt(ext("<", area("<", 8, (0, 5)), b"", header_len=24), strings())
    assert (found.funcs("xdp"), found.core_relos("xdp")) == ([(0, 5)], [])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "wrong magic"),
        (ext("<")[:16], "wrong magic or too short"),
        (ext("<", header_len=24).replace(b"\x01\x00", b"\x02\x00", 1), "version 2"),
        (struct.pack("<HBBI", 0xEB9F, 1, 0, 99).ljust(40, b"\0"), "header length 99"),
        (ext("<", area("<", 8, (0, 5)))[:-4], "func_info"),
        (ext("<", area("<", 8, (0, 5), count=2)), "2 records of 8 bytes"),
        (ext("<", area("<", 8, count=0)), "0 records"),
        (ext("<", area("<", 8, (0, 5), count=1 << 31)), "records of 8 bytes"),
        (ext("<", area("<", 4, (0,))), "record size 4"),
        (ext("<", area("<", 8, (0, 5)) + bytes(4)), "cut off"),
        (ext("<", b"", area("<", 8, (0, 5))), "line_info: record size 8"),
    ],
)
def test_malformed(data: bytes, reason: str) -> None:
    with pytest.raises(Malformed, match=reason):
        BtfExt(data, strings())


def test_section_name_out_of_range() -> None:
    data = area("<", 8, (0, 5)).replace(struct.pack("<I", offset("xdp")), struct.pack("<I", 999), 1)
    with pytest.raises(Malformed, match="string offset 999"):
        BtfExt(ext("<", data), strings())


@pytest.mark.parametrize("target", ["bpf", "bpfeb"])
def test_compiled_object(compile_c: Callable[..., Path], target: str) -> None:
    path = compile_c("btf_sections.c", "-g", "-DCORE", target=target)
    btf = Btf(section(path, ".BTF"))
    found = BtfExt(section(path, ".BTF.ext"), btf)
    ((insn_off, type_id),) = found.funcs("xdp")
    assert (insn_off, btf.name(type_id)) == (0, "count")
    first = found.lines("xdp")[0]
    assert first.file.endswith("btf_sections.c")
    assert first.line.strip()
    assert [relo.access for relo in found.core_relos("xdp")] == ["0:1"]


def test_relocations_without_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    relos = area("<", 16, *[(8 * number, 1, offset("0:1"), 0) for number in range(5)])
    data = ext("<", b"", b"", relos)
    monkeypatch.setattr("bcctool.btf.ext.MAX_RELOS", 5)
    found = BtfExt(data, strings()).core_relos("xdp")
    assert [(relo.insn_off, relo.access) for relo in found] == [(8 * number, "0:1") for number in range(5)]
    assert found[0].access is found[4].access
    monkeypatch.setattr("bcctool.btf.ext.MAX_ACCESS", 2)
    with pytest.raises(Malformed, match="core_relo: an access string of 3 characters"):
        BtfExt(data, strings()).core_relos("xdp")
    monkeypatch.setattr("bcctool.btf.ext.MAX_RELOS", 4)
    with pytest.raises(Malformed, match="core_relo: more than 4 records for section xdp"):
        BtfExt(data, strings()).core_relos("xdp")
