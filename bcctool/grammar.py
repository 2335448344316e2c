"""The notation of the usage texts, `{ a | b }`, `[ c ]`, `D...`, `NAME := { … }`: what may follow a command's words.

It is what the verbs declare (verbs.verb) and their families add (HELP); the same text is the help, the manual and what
shells complete by.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .verbs import Family

    Node = tuple[str, Any]
    """("word", label), ("sequence" or "choice", nodes), ("optional" or "repeated", node): repeated is at least once."""

PINNED, DEVICE, BYTES = "PINNED_FILE", "DEVICE", "BYTES"
# A word by what stands before it: the usage calls these by the names that bpftool's has for them.
CONTEXT = {("pinned", "FILE"): PINNED, ("dev", "NAME"): DEVICE}
MAX_DEPTH = 16  # of definitions in definitions
MAX_WORDS = 4096

_TOKEN = re.compile(r"\.\.\.|[{}\[\]|]|[^\s{}\[\]|.]+")
_DEFINITION = re.compile(r"([A-Z][A-Z_0-9]*) := ")
_CLOSING = {"{": "}", "[": "]"}


def is_name(label: str) -> bool:
    """Whether a word of the notation stands for others, `PROG_ID`; else it is a keyword."""
    return label.isupper()


def definitions(notes: str) -> dict[str, str]:
    """The notation of each `NAME := …` of a family's notes, over one line or several, up to an empty one."""
    found: dict[str, str] = {}
    name = ""
    for line in notes.split("\n"):
        match = _DEFINITION.match(line)
        if match:
            name = match[1]
            found[name] = line[match.end() :]
        elif line and name and line[0] == " ":
            found[name] += line
        else:
            name = ""
    return found


def parse(notation: str, names: dict[str, str] | None = None, depth: int = 0) -> Node:
    """The tree of a notation. names: what definitions() found, put in the place of their names. ValueError."""
    if depth > MAX_DEPTH:
        raise ValueError(f"definitions nest too deeply: {notation}")
    tokens = _TOKEN.findall(notation)
    node = _choice(tokens, names or {}, depth)
    if tokens:
        raise ValueError(f"'{tokens[0]}' without its counterpart: {notation}")
    return node


def _choice(tokens: list[str], names: dict[str, str], depth: int) -> Node:
    alternatives = [_sequence(tokens, names, depth)]
    while tokens and tokens[0] == "|":
        tokens.pop(0)
        alternatives.append(_sequence(tokens, names, depth))
    return ("choice", alternatives) if len(alternatives) > 1 else alternatives[0]


def _sequence(tokens: list[str], names: dict[str, str], depth: int) -> Node:
    nodes: list[Node] = []
    before = ""
    while tokens and tokens[0] not in "|}]":
        token = tokens.pop(0)
        if token == "...":
            nodes[-1] = _more_of(nodes[-1])
            continue
        if token in _CLOSING:
            node = _choice(tokens, names, depth)
            if not tokens or tokens.pop(0) != _CLOSING[token]:
                raise ValueError(f"'{token}' is not closed")
            nodes.append(("optional", node) if token == "[" else node)
        else:
            label = CONTEXT.get((before, token), token)
            nodes.append(parse(names[label], names, depth + 1) if label in names else _word(label))
        before = token
    return "sequence", _in_any_order(nodes)


def _word(label: str) -> Node:
    node = ("word", label)
    return ("repeated", node) if label == BYTES else node


def _more_of(node: Node) -> Node:
    return ("optional", ("repeated", node[1])) if node[0] == "optional" else ("repeated", node)


def _in_any_order(nodes: list[Node]) -> list[Node]:
    """Optional parts that stand side by side may come in any order."""
    found: list[Node] = []
    run: list[Node] = []
    for node in [*nodes, None]:
        if node is not None and node[0] == "optional":
            run.append(node[1])
            continue
        if len(run) > 1:
            found.append(("optional", ("repeated", ("choice", run))))
        else:
            found += [("optional", part) for part in run]
        run = []
        if node is not None:
            found.append(node)
    return found


class _Reader:
    """Reads words by a tree; `expected` are the labels of what may come after the last one, in order."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = words[:MAX_WORDS]
        self.expected: dict[str, None] = {}

    def ends(self, node: Node, starts: set[int]) -> set[int]:
        """Where the node may end in the words when it begins at one of these positions."""
        kind, content = node
        if kind == "word":
            if len(self.words) in starts:
                self.expected[content] = None
            return {at + 1 for at in starts if at < len(self.words) and accepts(content, self.words[at])}
        if kind == "sequence":
            for part in content:
                starts = self.ends(part, starts) if starts else starts
            return starts
        if kind == "choice":
            return set().union(*[self.ends(part, starts) for part in content])
        if kind == "optional":
            return starts | self.ends(content, starts)
        found: set[int] = set()
        new = self.ends(content, starts)
        while new - found:
            found |= new
            new = self.ends(content, new)
        return found


def accepts(label: str, word: str) -> bool:
    """Whether a word can stand for a label: a prefix of a keyword; digits for bytes; anything for another name."""
    if label == BYTES:
        return word[:1].isdigit() or all(char in "0123456789abcdefABCDEF" for char in word)
    return is_name(label) or label.startswith(word)


def following(node: Node, words: Sequence[str]) -> list[str]:
    """The labels of what may come after the words: keywords, and names of what is no keyword."""
    reader = _Reader(words)
    reader.ends(node, {0})
    return list(reader.expected)


def complete(node: Node, words: Sequence[str]) -> bool:
    """Whether the words are all that the notation asks for."""
    return len(words) in _Reader(words).ends(node, {0})


def of_verb(family: Family, verb: str) -> Node:
    """The tree of a verb's words, by the family's definitions."""
    found = family.find(verb)
    assert found is not None
    return parse(found.grammar, definitions(family.notes))
