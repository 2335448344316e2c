"""grammar.py: what may come next by the notation of usage texts, and that every verb's can be read."""

from __future__ import annotations

import random

import pytest

from bcctool import cli, grammar
from bcctool.grammar import PINNED, complete, definitions, following, is_name, parse
from bcctool.verbs import Family, Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bcctool.grammar import Node

FAMILIES = [cli.load_family(name) for name in cli.OBJECTS if name not in cli.COMMANDS]
VERBS = [(family, verb) for family in FAMILIES for verb in family.verbs]
NAMES = [f"{family.name} {verb.name}" for family, verb in VERBS]


@pytest.mark.parametrize(
    ("notation", "words", "expected"),
    [
        ("", "", []),
        ("", "x", []),
        ("a b", "", ["a"]),
        ("a b", "a", ["b"]),
        ("alpha beta", "al", ["beta"]),
        ("a b", "x", []),
        ("a b", "a b", []),
        ("a [b] c", "a", ["b", "c"]),
        ("{ a | b } c", "", ["a", "b"]),
        ("{a|b} c", "b", ["c"]),
        ("FILE [x]", "anything", ["x"]),
        ("[x] [y FILE]", "", ["x", "y"]),
        ("[x] [y FILE]", "y f", ["x", "y"]),  # in any order
        ("[x] [y FILE]", "y", ["FILE"]),
        ("a...", "a a", ["a"]),
        ("a... b", "", ["a"]),
        ("[a]... b", "a a", ["a", "b"]),
        ("pinned FILE", "pinned", [PINNED]),
        ("{ id ID | pinned FILE }", "pinned", [PINNED]),
        ("key BYTES [value BYTES]", "key 1 0x2 ff", ["BYTES", "value"]),
        ("key BYTES [value BYTES]", "key 1 value", ["BYTES"]),
    ],
)
def test_following(notation: str, words: str, expected: list[str]) -> None:
    assert following(parse(notation), words.split()) == expected


def test_definitions() -> None:
    notes = """
A := { x | y |
       z }
B := { A | FILE }

Some more words about A
and about nothing.
C := { c }
"""
    assert definitions(notes) == {"A": "{ x | y |       z }", "B": "{ A | FILE }", "C": "{ c }"}
    assert following(parse("B c", definitions(notes)), []) == ["x", "y", "z", "FILE"]


@pytest.mark.parametrize("notation", ["{ a", "a }", "[ a }", "a ]", "{ a | b ]"])
def test_what_is_no_notation(notation: str) -> None:
    with pytest.raises(ValueError, match=r"closed|counterpart"):
        parse(notation)


def test_definitions_in_a_circle() -> None:
    with pytest.raises(ValueError, match="too deeply"):
        parse("A", {"A": "[ B ]", "B": "{ A | x }"})


def test_many_words_take_no_long_time() -> None:
    node = parse("[[a...]...]... b")
    assert following(node, ["a"] * 3000) == ["a", "b"]


@pytest.mark.parametrize(("family", "verb"), VERBS, ids=NAMES)
def test_names_are_defined_or_known(family: Family, verb: Verb) -> None:
    """A name that is neither defined nor a candidate's source stands for what only the user knows."""
    found: set[str] = set()

    def collect(node: Node) -> None:
        kind, content = node
        if kind == "word":
            found.add(content)
        else:
            for part in content if kind in ("sequence", "choice") else [content]:
                collect(part)

    collect(grammar.of_verb(family, verb.name))
    known_to_the_user = {
        "ARGUMENTS", "BYTES", "FILE", "FLAGS", "IDX", "KEY_SIZE", "M", "MAX_ENTRIES", "N", "NAME", "OBJECT_NAME",
        "PREFIX", "PRIORITY", "ROOT_ID", "SECONDS", "VALUE_SIZE",
    }  # fmt: skip
    from bcctool.commands.completion import PLACES, SOURCES

    assert not {name for name in found if is_name(name)} - known_to_the_user - set(PLACES) - set(SOURCES)
    assert not {name for name in found if is_name(name)} & set(definitions(family.notes))


def walk(node: Node, chance: random.Random) -> list[str]:
    """Words that the notation allows."""
    kind, content = node
    if kind == "word":
        return ["7"] if is_name(content) else [content]
    if kind == "sequence":
        return [word for part in content for word in walk(part, chance)]
    if kind == "choice":
        return walk(chance.choice(content), chance)
    if kind == "optional":
        return walk(content, chance) if chance.random() < 0.6 else []
    return [word for _ in range(chance.randint(1, 3)) for word in walk(content, chance)]


@pytest.mark.parametrize(("family", "verb"), VERBS, ids=NAMES)
def test_words_by_the_grammar_are_accepted_one_by_one(family: Family, verb: Verb) -> None:
    node = grammar.of_verb(family, verb.name)
    chance = random.Random(verb.name)
    for _ in range(30):
        words = walk(node, chance)
        assert complete(node, words)
        for at, word in enumerate(words):
            labels = following(node, words[:at])
            assert any(grammar.accepts(label, word) for label in labels)
            assert word in labels or any(is_name(label) for label in labels)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_help_is_the_same_declaration(family: Family) -> None:
    text = " ".join(family.help(family.name).split())
    for verb in family.verbs:
        name = f"{{ {verb.name} | {verb.alias} }}" if verb.alias else verb.name
        assert f"{name} {' '.join(verb.grammar.split())}".strip() in text
    for name, notation in definitions(family.notes).items():
        assert f"{name} := {' '.join(notation.split())}" in text
