"""Control-flow graphs in Graphviz' language, laid out as bpftool's (graphviz.org/doc/info: lang, shapes, attrs)."""

from __future__ import annotations

import re

from ..escapes import printable
from .cfg import ENTRY_BLOCK, EXIT_BLOCK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .cfg import Function
    from .disasm import Insn

    Lines = Callable[[Insn], Iterable[str]]

INDENT = "\\ " * 4  # blanks that a record shows: it drops plain ones at the beginning of a line
_LINE_END = "\\l\\\n"
_RECORD = {ord(char): f"\\{char}" for char in '\\"{}<>|'}
_EDGE = 'style="solid,bold", color=black, weight=10, constraint=true'
_NO_EDGE = 'style="invis", constraint=true'


def escape(text: str) -> str:
    """Any text for a label in quotes, of a record or a cluster; on one line."""
    text = printable(text).translate(_RECORD)
    # What reads as an HTML entity would be one in spite of a backslash: `p = &sum;` as `p = ∑`.
    return re.sub(r"&(#?\w+;)?", lambda match: f"&amp;{match[1]}" if match[1] else "\\&", text)


def graph(functions: Iterable[tuple[str, Function, Lines]]) -> Iterator[str]:
    """The text of a graph with a cluster per (name, function, lines), in pieces.

    name: "" for `func_N`. lines: what a block shows of an instruction, escaped; asked for once each, in order.
    """
    yield 'digraph "DOT graph for eBPF program" {\n'
    for number, (name, function, lines) in enumerate(functions):
        yield f'subgraph "cluster_{number}" {{\n\tstyle="dashed";\n\tcolor="black";\n'
        yield f'\tlabel="{escape(name) or f"func_{number}"} ()";\n'
        yield from _nodes(f"fn_{number}_bb_", function, lines)
        yield from _edges(f"fn_{number}_bb_", function)
        yield "}\n"
    yield "}\n"


def _nodes(prefix: str, function: Function, lines: Lines) -> Iterator[str]:
    yield f'\t{prefix}{ENTRY_BLOCK} [shape=Mdiamond,style=filled,label="ENTRY"];\n\n'
    for block in function.blocks:
        rows = ("".join(line + _LINE_END for line in lines(insn)) for insn in block.insns)
        yield f'\t{prefix}{block.number} [shape=record,style=filled,label="{{{" | ".join(rows)}}}"];\n\n'
    yield f'\t{prefix}{EXIT_BLOCK} [shape=Mdiamond,style=filled,label="EXIT"];\n\n'


def _edges(prefix: str, function: Function) -> Iterator[str]:
    for source, target in function.edges():
        yield f"\t{prefix}{source}:s -> {prefix}{target}:n [{_EDGE}];\n"
    yield f"\t{prefix}{ENTRY_BLOCK}:s -> {prefix}{EXIT_BLOCK}:n [{_NO_EDGE}];\n"
