"""DOT text: its layout, and that any name and any line comes out of Graphviz as it went in."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bcctool.escapes import printable
from bcctool.insn.cfg import functions
from bcctool.insn.disasm import Insn, disassemble
from bcctool.insn.dot import INDENT, escape, graph

TEXT = "{http://www.w3.org/2000/svg}text"
LOOP = bytes.fromhex("b700000000000000 0700000001000000 a500feff05000000 9500000000000000")
needs_dot = pytest.mark.skipif(not shutil.which("dot"), reason="dot is not installed")


def plain(insn: Insn) -> Iterator[str]:
    yield escape(f"{insn.index:4d}: {insn.line}")


def drawn(name: str, lines: Callable[[Insn], list[str]]) -> list[str]:
    """The texts in the picture of a function of one instruction, by lines, blanks joined."""
    found = functions(list(disassemble(bytes([0x95, *bytes(7)]))))
    text = "".join(graph((name, function, lines) for function in found))
    done = subprocess.run(["dot", "-Tsvg"], input=text.encode(), capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    texts = (node.text or "" for node in ElementTree.fromstring(done.stdout).iter(TEXT))
    return [" ".join(text.split()) for text in texts]


def test_layout() -> None:
    """Written from what bpftool 7.1 prints."""
    (function,) = functions(list(disassemble(LOOP)))
    edge = '[style="solid,bold", color=black, weight=10, constraint=true];'
    assert "".join(graph([("", function, plain), ("né", function, plain)])).split('subgraph "cluster_1"')[0] == (
        'digraph "DOT graph for eBPF program" {\n'
        'subgraph "cluster_0" {\n\tstyle="dashed";\n\tcolor="black";\n\tlabel="func_0 ()";\n'
        '\tfn_0_bb_0 [shape=Mdiamond,style=filled,label="ENTRY"];\n\n'
        '\tfn_0_bb_2 [shape=record,style=filled,label="{   0: (b7) r0 = 0\\l\\\n}"];\n\n'
        '\tfn_0_bb_3 [shape=record,style=filled,label="{   1: (07) r0 += 1\\l\\\n'
        ' |    2: (a5) if r0 \\< 0x5 goto pc-2\\l\\\n}"];\n\n'
        '\tfn_0_bb_4 [shape=record,style=filled,label="{   3: (95) exit\\l\\\n}"];\n\n'
        '\tfn_0_bb_1 [shape=Mdiamond,style=filled,label="EXIT"];\n\n'
        f"\tfn_0_bb_0:s -> fn_0_bb_2:n {edge}\n\tfn_0_bb_2:s -> fn_0_bb_3:n {edge}\n"
        f"\tfn_0_bb_3:s -> fn_0_bb_4:n {edge}\n\tfn_0_bb_3:s -> fn_0_bb_3:n {edge}\n"
        f"\tfn_0_bb_4:s -> fn_0_bb_1:n {edge}\n"
        '\tfn_0_bb_0:s -> fn_0_bb_1:n [style="invis", constraint=true];\n}\n'
    )


def test_each_instruction_is_asked_for_once_and_in_order() -> None:
    asked: list[int] = []

    def lines(insn: Insn) -> list[str]:
        asked.append(insn.index)
        return ["first", f"{INDENT}second"]

    (function,) = functions(list(disassemble(LOOP)))
    text = "".join(graph([("", function, lines)]))
    assert asked == [0, 1, 2, 3]
    assert '"{first\\l\\\n\\ \\ \\ \\ second\\l\\\n | first' in text


NASTY = [
    'printk("a\\n%d\\"", x ? "|" : "<b>");',
    "p = &sum; q = &amp;&lt;&#65; r &= 1 && s; &",
    "} ] [ { \\ \\\\ \\N \\l \\G end\\",
    "a\x1b[2J\x00\u202eb\ud800 é 漢",
    '"];}',
]


@needs_dot
@pytest.mark.parametrize("text", NASTY)
def test_a_nasty_text_is_drawn_as_it_is(text: str) -> None:
    assert drawn(text, lambda insn: [escape(text), "next"]) == [
        f"{printable(text)} ()", "ENTRY", printable(text), "next", "EXIT",
    ]  # fmt: skip


any_line = st.text(st.one_of(st.sampled_from('\\"{}<>|&;# lnrNG'), st.characters()), max_size=40)


@needs_dot
@settings(max_examples=25, deadline=None)
@given(st.lists(any_line, min_size=5, max_size=20))
def test_any_text_is_drawn_as_it_is(texts: list[str]) -> None:
    wanted = [" ".join(f"x{printable(text)}x".split()) for text in texts]
    assert drawn("f", lambda insn: [escape(f"x{text}x") for text in texts])[2:-1] == wanted
    assert all("\n" not in escape(text) for text in texts)
