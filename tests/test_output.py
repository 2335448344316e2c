"""The renderers: JSON in both layouts, escapes, errors in the middle of an array."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcctool.errors import Error
from bcctool.escapes import printable, quote
from bcctool.output import Encoded, Output, Rendered, dumps, render

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def rendered(result: Any, style: str, text: Any = None) -> tuple[str, int]:
    stream = io.BytesIO()
    out = Output(style, stream)
    status = render(result, text, out)
    out.flush()
    return stream.getvalue().decode(), status


@given(JSON_VALUES)
def test_both_layouts_are_json_of_the_value(value: Any) -> None:
    assert json.loads(dumps(value)) == value
    assert json.loads(dumps(value, pretty=True)) == value


def test_pretty_layout_of_bpftool() -> None:
    value = [{"id": 1, "ids": [1, 2], "none": [], "inner": {"a": True}}, {}]
    assert dumps(value, pretty=True) == (
        '[{\n        "id": 1,\n        "ids": [1,2\n        ],\n        "none": [],\n'
        '        "inner": {\n            "a": true\n        }\n    },{}\n]'
    )
    assert dumps([[0, 1], [2]], pretty=True) == "[[0,1\n    ],[2\n    ]\n]"


def test_compact_layout_has_no_blanks() -> None:
    assert dumps({"a": [1, None, False], "b": "x"}) == '{"a":[1,null,false],"b":"x"}'


@pytest.mark.parametrize(
    ("text", "json_text"),
    [
        ('a"b\\', '"a\\"b\\\\"'),
        ("\t\n\r\f\b", '"\\t\\n\\r\\f\\b"'), ("\x1b[31m", '"\\u001b[31m"'),
        ("\x85", '"\\u0085"'),
    ],
)
def test_quote_escapes(text: str, json_text: str) -> None:
    assert quote(text) == json_text
    assert json.loads(json_text) == text


def test_printable_shows_terminal_escapes() -> None:
    assert printable("plain é") == "plain é"
    assert printable("\x1b[2J\x9b") == "\\x1b[2J\\x9b"


def test_none_is_null_in_json_and_nothing_in_text() -> None:
    assert rendered(None, "json") == ("null", 0)
    assert rendered(None, "plain") == ("", 0)


def test_records_in_each_style() -> None:
    records = [{"id": 1}, {"id": 2}]
    assert rendered(iter(records), "json") == ('[{"id":1},{"id":2}]', 0)
    assert rendered(iter(records), "pretty") == ('[{\n        "id": 1\n    },{\n        "id": 2\n    }\n]', 0)
    assert rendered(iter(records), "plain", lambda record: f"{record['id']}\n") == ("1\n2\n", 0)
    assert rendered(iter([]), "pretty") == ("[]", 0)


def test_an_error_in_the_middle_closes_the_array() -> None:
    def records() -> Iterator[dict[str, int]]:
        yield {"id": 1}
        raise Error("gone", 254)

    assert rendered(records(), "json") == ('[{"id":1},{"error":"gone"}]', 254)
    with pytest.raises(Error):
        rendered(records(), "plain", str)


def test_rendered_writes_itself() -> None:
    assert rendered(Rendered(lambda style, depth: [style, str(depth)]), "pretty") == ("pretty0", 0)


def test_invalid_unicode_is_replaced() -> None:
    assert json.loads(rendered({"a": "\udcff"}, "json")[0]) == {"a": "?"}


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Encoded]:
    """An encoded chunk of 300,000 bytes, with what is no part of it behind."""
    (tmp_path / "kept").write_bytes(b"0123456789" * 30_000 + b"trailer")
    fd = os.open(tmp_path / "kept", os.O_RDONLY)
    yield Encoded(fd, 300_000)
    os.close(fd)


@pytest.mark.parametrize("mode", ["wb", "ab"])
def test_encoded_chunks_go_to_files(mode: str, kept: Encoded, tmp_path: Path) -> None:
    """Also to one that is appended to, for which the kernel has no sendfile."""
    with open(tmp_path / "out", mode) as stream:
        out = Output("plain", stream)
        render(Rendered(lambda style, depth: ["before ", kept, " after"]), None, out)
        out.flush()
    data = (tmp_path / "out").read_bytes()
    assert data == b"before " + b"0123456789" * 30_000 + b" after"
    assert out.written == len(data)


def test_encoded_chunks_go_into_memory(kept: Encoded) -> None:
    stream = io.BytesIO()
    out = Output("plain", stream)
    out.write("before ")
    out.send(kept)
    assert stream.getvalue() == b"before " + b"0123456789" * 30_000


def test_encoded_chunks_for_nobody(kept: Encoded) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as stream, pytest.raises(BrokenPipeError):
        Output("plain", stream).send(kept)
