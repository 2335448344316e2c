"""The word cursor and the tables of verbs: bpftool's grammar."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from bcctool.errors import Error
from bcctool.verbs import Args, Family, Options, Usage, Verb, one_of, parse_number, verb


def args(*words: str) -> Args:
    return Args(words, Options(), "pin")


NO_NUMBERS = ("", "09", "-1", "+-7", "1_0", "0b1", "0o7", "7 ", "0x", "0x_1", "f", "\u0667", "7" * 5000)


@pytest.mark.parametrize(
    ("word", "value"),
    [("0", 0), ("10", 10), ("0x1F", 31), ("0X1f", 31), ("010", 8), ("00", 0), ("+7", 7), (" \t7", 7)]
    + [(word, None) for word in NO_NUMBERS],
)
def test_numbers_are_read_as_strtoul_does(word: str, value: int | None) -> None:
    assert parse_number(word) == value


def test_a_keyword_may_be_cut_to_any_prefix_of_it() -> None:
    cursor = args("pin", "", "idx", "rest")
    assert cursor.accept("id", "pinned") == "pinned"
    assert cursor.accept("id", "pinned") == "id"
    assert cursor.accept("id") is None
    assert cursor.next() == "idx"
    assert len(cursor) == 1


def test_what_was_expected_is_said() -> None:
    with pytest.raises(Error, match=r"expected 'id', 'name' or 'pinned', got: 'x'\?"):
        args("x").expect("id", "name", "pinned")
    with pytest.raises(Error, match="expected 'id', got: nothing"):
        args().expect("id")
    with pytest.raises(Error, match="can't parse abc as ID"):
        args("abc").number("ID")
    with pytest.raises(Error, match="expected a file"):
        args().next("a file")
    with pytest.raises(Usage):
        args().next()
    with pytest.raises(Error, match="expected no more arguments, got: 'junk'"):
        args("junk").end()


def test_too_few_words_have_bpftool_s_status() -> None:
    with pytest.raises(Error, match="'pin' needs at least 3 arguments, 2 found") as raised:
        args("id", "1").require(3)
    assert raised.value.status == 234
    args("id", "1", "/x").require(3)


def test_one_of() -> None:
    assert one_of(["a"]) == "'a'"
    assert one_of(["a", "b", "c"]) == "'a', 'b' or 'c'"


def test_a_family_finds_its_verbs_in_order() -> None:
    @verb("[X]", text=str, alias="list")
    def show(args: Args) -> None:
        """Show things."""

    @verb("X")
    def stop(args: Args) -> None:
        """Stop a thing."""

    family = Family("thing", SimpleNamespace(show=show, stop=stop, HELP="X := { id N }\n", other=1))
    found = [family.find(word) for word in ("", "s", "st", "l", "shown")]
    assert [verb and verb.name for verb in found] == ["show", "show", "stop", "show", None]
    assert isinstance(stop, Verb)
    assert stop.summary == "Stop a thing."
    assert family.help("th") == (
        "Usage: bcctool th { show | list } [X]\n       bcctool th stop X\n       bcctool th help\n\n"
        "       X := { id N }\n       OPTIONS := { {-j|--json} [{-p|--pretty}] | {-d|--debug} }\n"
    )
