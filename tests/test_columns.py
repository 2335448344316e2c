"""Tables: units, lists that are long, names that are hostile, columns without anything, and colour."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from bcctool import cli, columns
from bcctool.columns import age, duration, listed, render, size
from bcctool.errors import Error
from bcctool.output import Output
from bcctool.verbs import Args, Family, Options, Verb

COLUMNS = (("ID", "id", "number"), ("NAME", "name", "text"), ("SIZE", "bytes", "size"), ("MAPS", "maps", "list"))
VERBS = [
    (family, verb)
    for family in [cli.load_family(name) for name in cli.OBJECTS if name not in cli.COMMANDS]
    for verb in family.verbs
    if verb.columns
]


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0B"), (999, "999B"), (1023, "1023B"), (1024, "1K"), (1536, "1.5K"), (10_240, "10K"), (1_048_575, "1M"),
     (5_557_452, "5.3M"), (1 << 40, "1T"), (1 << 70, "1024E")],
)  # fmt: skip
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59, "59s"), (60, "1m"), (7199, "1h"), (7200, "2h"), (200_000, "2d"), (-5, "0s")]
)
def test_ages(monkeypatch: pytest.MonkeyPatch, seconds: int, text: str) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_000_000.9)
    assert age(1_000_000 - seconds) == text


@pytest.mark.parametrize(
    ("nanoseconds", "text"), [(0, "0ns"), (999, "999ns"), (1500, "1.5us"), (12_345_678, "12.35ms"), (3 * 10**9, "3s")]
)
def test_durations(nanoseconds: int, text: str) -> None:
    assert duration(nanoseconds) == text


def test_long_lists_are_cut() -> None:
    assert listed([1, 2, 3, 4]) == "1,2,3,4"
    assert listed(list(range(10))) == "0,1,2,3,+6"
    assert listed(["a\x1b", "b"]) == "a\\x1b,b"


def test_columns_are_aligned_and_empty_ones_are_left_out() -> None:
    records = [{"id": 7, "name": "seven"}, {"id": 1234, "name": "x\n\x1b[2J", "bytes": 2048}]
    assert render(records, COLUMNS) == (
        "  ID  NAME        SIZE\n"
        "   7  seven\n"
        "1234  x\\n\\x1b[2J    2K\n"
    )  # fmt: skip


def test_numbers_stay_as_they_are() -> None:
    """A name or tag may look like a number."""
    records = [{"id": 1, "name": "1e5"}, {"id": 2, "name": "0012"}]
    assert [line.split() for line in render(records, COLUMNS).splitlines()[1:]] == [["1", "1e5"], ["2", "0012"]]


def test_nothing_is_nothing() -> None:
    assert render([], COLUMNS) == ""


def test_only_the_header_is_bold() -> None:
    first, second = render([{"id": 1}], COLUMNS, bold=True).splitlines()
    assert (first, second) == ("\x1b[1mID\x1b[0m", " 1")


@pytest.mark.parametrize(
    ("terminal", "environment", "expected"),
    [(True, {"TERM": "xterm"}, True), (False, {"TERM": "xterm"}, False), (True, {"TERM": "dumb"}, False),
     (True, {}, False), (True, {"TERM": "xterm", "NO_COLOR": "1"}, False),
     (True, {"TERM": "xterm", "NO_COLOR": ""}, True)],
)  # fmt: skip
def test_colour(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, environment: dict[str, str], expected: bool
) -> None:
    monkeypatch.setattr(os, "environ", environment)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    assert columns.coloured() == expected


def test_rows_before_an_error_are_shown() -> None:
    def show(args: Args) -> Iterator[dict[str, Any]]:
        """Show one, and fail."""
        yield {"id": 7, "name": "seven"}
        raise Error("the second is gone", 254)

    options, stream = Options(), io.BytesIO()
    options.table = True
    session = cli.Session(options, Output(options.style, stream))
    with pytest.raises(Error, match="the second is gone"):
        session.run(Verb(show, "", None, "", COLUMNS, None), Args([], options, "show"))
    session.out.flush()
    assert stream.getvalue() == b"ID  NAME\n 7  seven\n"


@pytest.mark.parametrize(("family", "verb"), VERBS, ids=[f"{family.name} {verb.name}" for family, verb in VERBS])
def test_declarations(family: Family, verb: Verb) -> None:
    headers: list[str] = [header for header, _, _ in verb.columns]
    forms: list[Any] = [form for _, _, form in verb.columns]
    assert len(set(headers)) == len(headers)
    assert all(header.isupper() for header in headers)
    assert set(forms) <= set(columns.FORMATS)
    assert verb.name in ("show", "tree", "list")
