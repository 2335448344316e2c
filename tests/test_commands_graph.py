"""`object cfg`: graphs of what is in an object file, without the kernel; and what commands/graph.py makes of words."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bcctool.commands.graph import of_xlated, reached, short
from bcctool.commands.prog_dump import Sources, insn_record
from bcctool.elf.object import ObjectFile
from bcctool.insn.disasm import disassemble

from .conftest import BCCTOOL, NOBODY, Completed, run
from .test_insn_cfg import END, MOV

Compile = Callable[..., Path]
Run = Callable[..., Completed]

MAGIC = {"svg": b"<?xml", "png": b"\x89PNG\r\n\x1a\n", "pdf": b"%PDF-"}
needs_dot = pytest.mark.skipif(not shutil.which("dot"), reason="dot is not installed")


def names(graph: str) -> list[str]:
    return re.findall(r'\tlabel="(.*) \(\)"', graph)


@pytest.mark.parametrize("target", ["bpf", "bpfeb"])
def test_all_functions_of_an_object(bcctool: Run, compile_c: Compile, target: str) -> None:
    path = compile_c("cfg_shapes.c", "-g", "-mcpu=v3", target=target)
    graph = bcctool("object", "cfg", path).stdout
    assert names(graph) == ["visit", "halve", "shrink", "loop", "ladder", "calls"]
    loop = graph.split("subgraph ")[4]
    assert re.findall(r"(\d+):s -> fn_3_bb_(\d+):n .*solid", loop) == [
        ("0", "2"), ("2", "3"), ("3", "4"), ("3", "5"), ("4", "5"), ("4", "3"), ("5", "1"),
    ]  # fmt: skip
    assert '"{; int loop(struct __sk_buff * skb):\\l\\\n; SEC(\\"socket\\") int loop' in loop


@pytest.mark.parametrize("target", ["bpf", "bpfeb"])
def test_a_graph_has_the_lines_of_the_dump(bcctool: Run, compile_c: Compile, target: str) -> None:
    path = compile_c("prog_rich.c", "-g", target=target)
    wanted = re.findall(r"^ *\d+: .*", bcctool("object", "dump", path).stdout, re.MULTILINE)
    graph = bcctool("object", "cfg", path).stdout
    lines = re.findall(r"^(?:\t.*?\{| \| )? *(\d+: .*)\\l\\$", graph, re.MULTILINE)
    assert [re.sub(r"\\(.)", r"\1", line) for line in lines] == [line.strip() for line in wanted]
    assert "(85) call weigh\\l" in graph
    assert "= subprog[visit]\\l" in graph


def test_of_one_program_what_it_calls_in_libbpfs_order(bcctool: Run, compile_c: Compile) -> None:
    path = compile_c("cfg_shapes.c", "-g")
    assert names(bcctool("object", "cfg", path, "prog", "calls").stdout) == ["calls", "visit", "halve", "shrink"]
    assert names(bcctool("object", "cfg", path, "pr", "shrink").stdout) == ["shrink", "halve"]
    assert names(bcctool("object", "cfg", path, "prog", "loop").stdout) == ["loop"]


@pytest.mark.parametrize("target", ["bpf", "bpfeb"])
def test_calls_by_distance_by_section_and_by_symbol(compile_c: Compile, target: str) -> None:
    for source in ("insn_mix.c", "insn_calls.c", "prog_rich.c", "elf_legacy.c"):
        obj = ObjectFile(str(compile_c(source, "-DEXTRA=0", target=target)))
        called = {function.name for prog in obj.progs for function in reached(obj, [prog])}
        assert called == {function.name for function in (*obj.progs, *obj.subprogs)}, source


def test_opcodes_and_places(bcctool: Run, compile_c: Compile) -> None:
    graph = bcctool("object", "cfg", compile_c("insn_calls.c", "-g"), "linum", "opcodes").stdout
    assert set(names(graph)) == {"calls", "count", "each", "turn"}
    assert "; bpf_rcu_read_lock();\\l\\\n" in graph
    assert re.search(r" line:\d+ col:2\]\\l\\\n; bpf_rcu_read_lock\(\);", graph)
    assert "call bpf_rcu_read_lock\\l\\\n\\ \\ \\ \\ 85 10" in graph
    graph = bcctool("object", "cfg", compile_c("insn_mix.c"), "linum", "opcodes").stdout
    assert "; " not in graph.replace(" ;", "")
    assert set(names(graph)) >= {"mix", "mix32", "compare"}


@needs_dot
@pytest.mark.parametrize("format", MAGIC)
@pytest.mark.parametrize("target", ["bpf", "bpfeb"])
def test_a_picture(bcctool: Run, compile_c: Compile, tmp_path: Path, format: str, target: str) -> None:
    path = tmp_path / "x"
    path.write_text("what was there before, " * 10000)
    done = bcctool("object", "cfg", compile_c("cfg_shapes.c", "-g", target=target), format, path, "prog", "ladder")
    assert (done.stdout, done.stderr) == ("", "")
    assert path.read_bytes().startswith(MAGIC[format])
    assert b"what was there" not in path.read_bytes()


def test_without_root_or_bpf(compile_c: Compile) -> None:
    assert run(*NOBODY, *BCCTOOL, "object", "cfg", compile_c("prog_legacy.c")).stdout.startswith("digraph ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("OBJ", "prog", "nosuch"), "OBJ: no program 'nosuch', there are: counter"),
        (("OBJ", "prog"), "expected a program's name"),
        (("OBJ", "svg"), "expected file path"),
        (("/etc/passwd", "svg", "OUT"), "/etc/passwd: not an ELF file"),
        ((), "expected an object file"),
    ],
)
def test_bad_words_are_one_line(
    bcctool: Run, compile_c: Compile, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    places = {"OBJ": str(compile_c("prog_legacy.c")), "OUT": str(tmp_path / "x")}
    done = bcctool("object", "cfg", *(places.get(word, word) for word in words), status=255)
    assert done.stdout == ""
    assert done.stderr.startswith(f"Error: {message.replace('OBJ', places['OBJ'])}")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_an_unknown_word_and_json(bcctool: Run, compile_c: Compile) -> None:
    path = compile_c("prog_legacy.c")
    assert "bcctool object cfg FILE" in bcctool("object", "cfg", path, "gif", "x", status=255).stderr
    done = bcctool("-j", "object", "cfg", path, status=255)
    assert done.stdout == '{"error":"\'cfg\' is not compatible with JSON output"}\n'


@needs_dot
def test_where_a_picture_can_not_be_written(bcctool: Run, compile_c: Compile) -> None:
    for path, reason in (("/nosuch/x", "No such file or directory"), ("/", "Is a directory")):
        done = bcctool("object", "cfg", compile_c("prog_legacy.c"), "svg", path, status=255)
        assert (done.stdout, done.stderr) == ("", f"Error: can't write {path}: {reason}\n")


def test_without_dot_one_line_names_its_package(compile_c: Compile, tmp_path: Path) -> None:
    path = tmp_path / "x.svg"
    environment = {**os.environ, "PATH": str(tmp_path)}
    words = (*BCCTOOL, "object", "cfg", compile_c("prog_legacy.c"))
    done = run(*words, "svg", path, status=255, env=environment)
    assert done.stderr == f"Error: can't draw {path}: 'dot' is not installed, it is in the package graphviz\n"
    assert done.stdout == ""
    assert run(*words, env=environment).stdout.startswith("digraph "), "text needs no dot"
    assert not list(tmp_path.iterdir())


def test_a_dot_that_fails_is_one_line(compile_c: Compile, tmp_path: Path) -> None:
    dot = tmp_path / "dot"
    dot.write_text("#!/bin/sh\necho half a picture\necho it went wrong >&2\nexit 3\n")
    dot.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    path = tmp_path / "x.svg"
    done = run(*BCCTOOL, "object", "cfg", compile_c("prog_legacy.c"), "svg", path, status=255, env=environment)
    assert (done.stdout, done.stderr) == ("", f"Error: can't draw {path}: dot: it went wrong\n")
    assert not path.exists()


def test_without_the_python_package(compile_c: Compile, tmp_path: Path) -> None:
    code = "import sys; sys.modules['graphviz'] = None; from bcctool.cli import main; sys.exit(main(sys.argv[1:]))"
    words = ("object", "cfg", str(compile_c("prog_legacy.c")), "svg", str(tmp_path / "x"))
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 255
    assert done.stderr == "Error: the Python package graphviz is not installed: install python3-graphviz\n"
    assert not list(tmp_path.iterdir())


def test_failures_beside_successes(bcctool: Run, compile_c: Compile, tmp_path: Path) -> None:
    """In one batch: it ends at what fails, what came before stays."""
    good, bad = compile_c("prog_legacy.c"), tmp_path / "bad.o"
    bad.write_bytes(good.read_bytes()[:300])
    picture = f"object cfg {good} svg {tmp_path}/good.svg" if shutil.which("dot") else f"object cfg {good}"
    batch = f"object cfg {good}\n{picture}\nobject cfg {bad} svg {tmp_path}/bad.svg\nobject cfg {good}\n"
    done = bcctool("batch", "file", "-", status=None, input=batch)
    assert done.returncode
    assert done.stdout.count("digraph ") == (1 if shutil.which("dot") else 2)
    assert done.stderr.startswith(f"Error: {bad}: ")
    assert not (tmp_path / "bad.svg").exists()
    assert (tmp_path / "good.svg").exists() == bool(shutil.which("dot"))


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("", ""),
        ("counter.c", "counter.c"),
        ("/" + "x" * 31, "/" + "x" * 31),
        ("/home-of/someone/programs/counter.c", ".../someone/programs/counter.c"),
        ("/a/" + "x" * 31, ".../" + "x" * 31),
        ("/a/" + "x" * 40, ".../" + "x" * 40),
        ("a/b/" + "x" * 40, ".../" + "x" * 40),
        ("/" + "x" * 40, "/" + "x" * 40),
        ("x" * 40, "x" * 40),
        ("/a/directory/of/a/long/name/and/more/", ".../of/a/long/name/and/more/"),
    ],
)
def test_a_long_path_is_cut_at_a_directory(path: str, wanted: str) -> None:
    assert short(path) == wanted


def test_func_info_says_where_functions_begin() -> None:
    """Whatever the distance of a call says: translated code has it in 16 bits."""
    insns = list(disassemble(MOV + END + MOV + END))
    shown = of_xlated(insns, {0: "one", 2: "two"}, lambda insn: insn_record(insn, "", Sources([], False), False), None)
    assert shown
    assert names("".join(shown.chunks("plain", 0))) == ["one", "two"]
