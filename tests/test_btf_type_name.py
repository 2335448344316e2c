"""Types as C names them: of what clang made of declarations, and of blobs that are not sound."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from bcctool.btf import kinds
from bcctool.btf.core_spec import RELO_KINDS, access_path
from bcctool.btf.ext import CoreRelo
from bcctool.btf.reader import Btf
from bcctool.btf.type_name import MAX_PARTS, type_name
from bcctool.elf.object import ObjectFile
from bcctool.errors import Malformed

from .test_elf_object import TARGETS, Compile

STRINGS = b"\0name\0"

NAMES = {
    "v0": "int", "v1": "const volatile char[16]", "v2": "int *const", "v3": "const int *", "v4": "int *[3]",
    "v5": "int (*)[3]", "v6": "int (*)(void)", "v7": "void (*(*)(const char *, int))(long)", "v8": "struct thing **",
    "v9": "union {...}", "v10": "enum {...}", "v11": "count_t", "v12": "const volatile void *volatile",
    "v13": "int (*[2])(struct thing *, ...)", "v14": "int[2][3]", "v15": "struct unknown *", "v16": "double",
}  # fmt: skip
SOURCE = """
struct thing { int a; }; struct unknown; typedef unsigned count_t;
int v0; const volatile char v1[16] = "x"; int *const v2 = 0; const int *v3; int *v4[3]; int (*v5)[3]; int (*v6)(void);
void (*(*v7)(const char *, int))(long); struct thing **v8; union { int a; long b; } v9; enum { ONE } v10; count_t v11;
const volatile void *volatile v12; int (*v13[2])(struct thing *, ...); int v14[2][3]; struct unknown *v15; double v16;
"""


def blob(*types: tuple[int, ...]) -> Btf:
    words = [word for type_ in types for word in type_]
    header = struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, 4 * len(words), 4 * len(words), len(STRINGS))
    return Btf(header + struct.pack(f"={len(words)}I", *words) + STRINGS)


@pytest.mark.parametrize("target", TARGETS)
def test_types_of_variables(compile_c: Compile, tmp_path: Path, target: str) -> None:
    source = tmp_path / "types.c"
    source.write_text(SOURCE)
    btf = ObjectFile(str(compile_c(source, "-g", target=target))).btf
    assert btf is not None
    variables = {type_.name: type_.id for type_ in btf.types() if type_.kind == kinds.VAR}
    assert {name: type_name(btf, id) for name, id in variables.items()} == NAMES
    assert type_name(btf, 0) == "void"


def test_types_without_end_are_cut_short() -> None:
    assert type_name(blob((0, kinds.PTR << 24, 1)), 1) == "... " + "*" * MAX_PARTS
    assert type_name(blob((0, kinds.CONST << 24, 1)), 1) == "..."
    proto = (0, kinds.FUNC_PROTO << 24 | 50, 0, *(0, 2) * 50)
    assert len(type_name(blob((1, kinds.TYPEDEF << 24, 2), proto, (0, kinds.PTR << 24, 2)), 3)) < 4000
    with pytest.raises(Malformed, match="no such type"):
        type_name(blob((0, kinds.PTR << 24, 99)), 1)


def test_an_access_that_makes_no_sense_has_no_path() -> None:
    pair = (1, kinds.STRUCT << 24 | 2, 8, 1, 2, 0, 1, 3, 32)
    integer = (1, kinds.INT << 24, 4, 32)
    array = (0, kinds.ARRAY << 24, 0, 2, 2, 7)
    enum = (1, kinds.ENUM << 24 | 1, 4, 1, 5)
    btf = blob(pair, integer, array, enum, integer)
    paths = {
        access: access_path(btf, CoreRelo(0, 1, access, RELO_KINDS.index("field_exists")))
        for access in (
            "0",
            "2",
            "0:0",
            "0:1:3",
            "0:2",
            "0:0:0",
            "",
            "x",
            "0:",
            "-1",
            "0:1:²",
            "0:" * 100 + "0",
            "9" * 99,
        )
    }
    assert paths == dict.fromkeys(paths, "") | {
        "0": "name", "2": "name[2]", "0:0": "name.name", "0:1:3": "name.name[3]"
    }  # fmt: skip
    assert access_path(btf, CoreRelo(0, 99, "0", 0)) == ""
    values = [access_path(btf, CoreRelo(0, id, access, RELO_KINDS.index("enumval_value"))) for id, access in (
        (1, "0"), (4, "0"), (4, "1"))]  # fmt: skip
    assert values == ["", "name.name", ""]
    assert access_path(btf, CoreRelo(0, 1, "0", RELO_KINDS.index("type_size"))) == "name"
