"""The raw dump of BTF: each kind's line and JSON object, the layouts, names that must not reach a terminal."""

from __future__ import annotations

import json

import pytest

from bcctool.btf import kinds
from bcctool.btf.raw import BATCH, rows
from bcctool.btf.reader import Btf

from .test_btf_blobs import UNKNOWN_OFFSET, Blob


def dump(btf: Btf, style: str, depth: int = 0, ids: list[int] | None = None) -> str:
    return "".join(rows(btf, style, depth, ids))


def every_kind(order: str = "<") -> Btf:
    blob = Blob(order)
    number = blob.number("int", 4, encoding=1)
    blob.number("flags", 4, encoding=8, bits=3, offset=2)
    blob.ptr(0)
    blob.array(number, 3)
    blob.struct("s", 8, ("a", number, 0), ("", number, 5 << 24 | 32), flag=True)
    blob.struct("u", 4, ("a", number, 0), kind=kinds.UNION)
    blob.enum("e", 4, ("A", 1), ("B", -1), flag=True)
    blob.enum("", 4, ("A", 0xFFFFFFFF))
    blob.add(kinds.FWD, "f")
    blob.add(kinds.FWD, "g", flag=True)
    blob.add(kinds.TYPEDEF, "t", number)
    blob.add(kinds.VOLATILE, "", number)
    blob.add(kinds.CONST, "", number)
    blob.add(kinds.RESTRICT, "", 3)
    proto = blob.proto(0, ("x", number), ("", 0))
    blob.add(kinds.FUNC, "fn", proto, vlen=2)
    blob.add(kinds.FUNC, "gn", proto, vlen=7)
    variable = blob.add(kinds.VAR, "v", number, 1)
    blob.datasec(".data", 8, (variable, 0, 4), (99, 4, 4))
    blob.add(kinds.FLOAT, "double", 8)
    blob.add(kinds.DECL_TAG, "tag", 5, 0xFFFFFFFF)
    blob.add(kinds.TYPE_TAG, "user", number)
    blob.enum64("e64", ("A", 1 << 40), ("B", -1))
    blob.enum64("", ("C", -2), flag=True)
    return blob.btf()


PLAIN = """\
[1] INT 'int' size=4 bits_offset=0 nr_bits=32 encoding=SIGNED
[2] INT 'flags' size=4 bits_offset=2 nr_bits=3 encoding=UNKN
[3] PTR '(anon)' type_id=0
[4] ARRAY '(anon)' type_id=1 index_type_id=1 nr_elems=3
[5] STRUCT 's' size=8 vlen=2
\t'a' type_id=1 bits_offset=0
\t'(anon)' type_id=1 bits_offset=32 bitfield_size=5
[6] UNION 'u' size=4 vlen=1
\t'a' type_id=1 bits_offset=0
[7] ENUM 'e' encoding=SIGNED size=4 vlen=2
\t'A' val=1
\t'B' val=-1
[8] ENUM '(anon)' encoding=UNSIGNED size=4 vlen=1
\t'A' val=4294967295
[9] FWD 'f' fwd_kind=struct
[10] FWD 'g' fwd_kind=union
[11] TYPEDEF 't' type_id=1
[12] VOLATILE '(anon)' type_id=1
[13] CONST '(anon)' type_id=1
[14] RESTRICT '(anon)' type_id=3
[15] FUNC_PROTO '(anon)' ret_type_id=0 vlen=2
\t'x' type_id=1
\t'(anon)' type_id=0
[16] FUNC 'fn' type_id=15 linkage=extern
[17] FUNC 'gn' type_id=15 linkage=(unknown)
[18] VAR 'v' type_id=1, linkage=global
[19] DATASEC '.data' size=8 vlen=2
\ttype_id=18 offset=0 size=4 (VAR 'v')
\ttype_id=99 offset=4 size=4
[20] FLOAT 'double' size=8
[21] DECL_TAG 'tag' type_id=5 component_idx=-1
[22] TYPE_TAG 'user' type_id=1
[23] ENUM64 'e64' encoding=UNSIGNED size=8 vlen=2
\t'A' val=1099511627776ULL
\t'B' val=18446744073709551615ULL
[24] ENUM64 '(anon)' encoding=SIGNED size=8 vlen=1
\t'C' val=-2LL
"""


@pytest.mark.parametrize("order", ["<", ">"])
def test_plain(order: str) -> None:
    assert dump(every_kind(order), "plain") == PLAIN


def test_json() -> None:
    types = json.loads(dump(every_kind(), "json"))["types"]
    assert len(types) == 24
    assert [list(types[id - 1].items()) for id in (4, 5, 8, 18, 19, 21, 23)] == [
        [("id", 4), ("kind", "ARRAY"), ("name", "(anon)"), ("type_id", 1), ("index_type_id", 1), ("nr_elems", 3)],
        [
            ("id", 5),
            ("kind", "STRUCT"),
            ("name", "s"),
            ("size", 8),
            ("vlen", 2),
            (
                "members",
                [
                    {"name": "a", "type_id": 1, "bits_offset": 0},
                    {"name": "(anon)", "type_id": 1, "bits_offset": 32, "bitfield_size": 5},
                ],
            ),
        ],
        [
            ("id", 8),
            ("kind", "ENUM"),
            ("name", "(anon)"),
            ("encoding", "UNSIGNED"),
            ("size", 4),
            ("vlen", 1),
            ("values", [{"name": "A", "val": 4294967295}]),
        ],
        [("id", 18), ("kind", "VAR"), ("name", "v"), ("type_id", 1), ("linkage", "global")],
        [
            ("id", 19),
            ("kind", "DATASEC"),
            ("name", ".data"),
            ("size", 8),
            ("vlen", 2),
            ("vars", [{"type_id": 18, "offset": 0, "size": 4}, {"type_id": 99, "offset": 4, "size": 4}]),
        ],
        [("id", 21), ("kind", "DECL_TAG"), ("name", "tag"), ("type_id", 5), ("component_idx", -1)],
        [
            ("id", 23),
            ("kind", "ENUM64"),
            ("name", "e64"),
            ("encoding", "UNSIGNED"),
            ("size", 8),
            ("vlen", 2),
            ("values", [{"name": "A", "val": 1 << 40}, {"name": "B", "val": (1 << 64) - 1}]),
        ],
    ]


def test_pretty() -> None:
    blob = Blob()
    number = blob.number("int", 4, 1)
    blob.struct("s", 4, ("a", number, 3 << 24), flag=True)
    blob.enum("none", 4)
    assert (
        dump(blob.btf(), "pretty")
        == """\
{
    "types": [{
            "id": 1,
            "kind": "INT",
            "name": "int",
            "size": 4,
            "bits_offset": 0,
            "nr_bits": 32,
            "encoding": "SIGNED"
        },{
            "id": 2,
            "kind": "STRUCT",
            "name": "s",
            "size": 4,
            "vlen": 1,
            "members": [{
                    "name": "a",
                    "type_id": 1,
                    "bits_offset": 0,
                    "bitfield_size": 3
                }
            ]
        },{
            "id": 3,
            "kind": "ENUM",
            "name": "none",
            "encoding": "UNSIGNED",
            "size": 4,
            "vlen": 0,
            "values": []
        }
    ]
}"""
    )


def test_depth_indents_all_lines() -> None:
    btf = every_kind()
    flat = dump(btf, "pretty").splitlines()
    deep = dump(btf, "pretty", depth=2).splitlines()
    assert deep[1:] == [" " * 8 + line for line in flat[1:]]


def test_no_types() -> None:
    assert [dump(Blob().btf(), style) for style in ("plain", "json", "pretty")] == [
        "",
        '{"types":[]}',
        '{\n    "types": []\n}',
    ]


def test_selected_ids() -> None:
    assert dump(every_kind(), "plain", ids=[11, 0, 5]) == (
        "[11] TYPEDEF 't' type_id=1\n"
        "[0] UNKNOWN '(anon)'\n"
        "[5] STRUCT 's' size=8 vlen=2\n\t'a' type_id=1 bits_offset=0\n"
        "\t'(anon)' type_id=1 bits_offset=32 bitfield_size=5\n"
    )
    assert dump(every_kind(), "json", ids=[0]) == '{"types":[{"id":0,"kind":"UNKNOWN","name":"(anon)"}]}'


def test_split_blob_prints_its_own_types_and_the_bases_names() -> None:
    base = Blob()
    variable = base.add(kinds.VAR, "v", base.number("int"), 0)
    own = Blob(first_id=3, first_string=len(base.strings))
    own.datasec(".bss", 4, (variable, 0, 4))
    own.add(kinds.TYPEDEF, 1, 1)
    assert dump(own.btf(base.btf()), "plain") == (
        "[3] DATASEC '.bss' size=4 vlen=1\n\ttype_id=2 offset=0 size=4 (VAR 'v')\n[4] TYPEDEF 'int' type_id=1\n"
    )


def test_many_types_come_in_batches() -> None:
    blob = Blob()
    for number in range(2 * BATCH + 5):
        blob.add(kinds.TYPEDEF, f"t{number}", number)
    pieces = list(rows(blob.btf(), "plain"))
    lines = "".join(pieces).splitlines()
    assert len(pieces) > 3
    assert lines == [f"[{number + 1}] TYPEDEF 't{number}' type_id={number}" for number in range(2 * BATCH + 5)]
    assert len(json.loads(dump(blob.btf(), "json"))["types"]) == 2 * BATCH + 5


@pytest.mark.parametrize("ids", [None, [1, 2]])
def test_harmful_names_are_escaped(ids: list[int] | None) -> None:
    blob = Blob()
    blob.number('a\x1b[2J\n"b\\%s')
    blob.add(kinds.INT, b"\xff\xc2\x9bx", 4, 32)
    plain = dump(blob.btf(), "plain", ids=ids).splitlines()
    assert plain[0].startswith("[1] INT 'a\\x1b[2J\\n\"b\\%s' size=4")
    assert plain[1].startswith("[2] INT '\\xff\\x9bx' size=4")
    text = dump(blob.btf(), "json", ids=ids)
    assert [type_["name"] for type_ in json.loads(text)["types"]] == ['a\x1b[2J\n"b\\%s', "\\xff\x9bx"]
    assert "\x1b" not in text
    assert "\x9b" not in text


@pytest.mark.parametrize("ids", [None, [1]])
def test_name_out_of_range(ids: list[int] | None) -> None:
    blob = Blob()
    blob.struct("s", 4, ("a", 0, 0))
    blob.words[3] = UNKNOWN_OFFSET
    assert dump(blob.btf(), "plain", ids=ids).splitlines()[1] == "\t'(invalid)' type_id=0 bits_offset=0"
