"""Control-flow graphs of loaded programs and of object files, by the commands that show and draw them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bcctool.commands.graph import short
from bcctool.insn.cfg import EXIT_BLOCK, functions
from bcctool.insn.disasm import disassemble
from bcctool.loader.load import load

from ..conftest import BCCTOOL, PROGRAMS, Sandbox, run
from ..test_insn_cfg import invariants, reachable

Compile = Callable[..., Path]

OBJECTS = [
    ("prog_legacy.c",), ("prog_types.c", "-g"), ("prog_rich.c", "-g"), ("prog_rich.c", "-g", "-mcpu=v3"),
    ("net_hooks.c", "-g"), ("map_values.c", "-g"), ("cfg_shapes.c", "-g"), ("cfg_shapes.c", "-g", "-mcpu=v3"),
]  # fmt: skip
MAGIC = {"svg": b"<?xml", "png": b"\x89PNG\r\n\x1a\n", "pdf": b"%PDF-"}
SHAPES = ("calls", "visit", "halve", "shrink")
needs_dot = pytest.mark.skipif(not shutil.which("dot"), reason="dot is not installed")


@pytest.mark.parametrize("source", OBJECTS, ids=" ".join)
def test_the_entry_reaches_all_that_the_verifier_kept(compile_c: Compile, source: tuple[str, ...]) -> None:
    with load(str(compile_c(*source))) as loaded:
        assert loaded.progs
        for prog in loaded.progs.values():
            raw = prog.arrays("xlated_prog_insns", "func_info")
            insns = list(disassemble(raw["xlated_prog_insns"]))
            size = prog.info.func_info_rec_size or 8
            starts = [
                int.from_bytes(raw["func_info"][at : at + 4], "little") for at in range(0, len(raw["func_info"]), size)
            ]
            found = functions(insns, starts=starts or None, xlated=True)
            invariants(found, insns)
            assert not starts or [function.start for function in found] == starts
            for function in found:
                assert reachable(function) == {0, EXIT_BLOCK, *(block.number for block in function.blocks)}


@pytest.fixture
def shapes(sandbox: Sandbox, compile_c: Compile) -> Iterator[Callable[..., str]]:
    """Run `prog dump xlated` of a program with subprograms: `shapes("visual")`, its output."""
    with load(str(compile_c("cfg_shapes.c", "-g"))) as loaded:
        id = str(loaded.progs["calls"].id)

        def dump(*words: str | os.PathLike[str]) -> str:
            return sandbox.bcctool("prog", "dump", "xlated", "id", id, *words).stdout

        yield dump


def listing(graph: str) -> list[str]:
    """The lines of a graph's blocks as the plain dump has them."""
    lines = re.findall(r"^(?:\tfn_\w+ \[shape=record,style=filled,label=\"\{| \| )?(.*)\\l\\$", graph, re.MULTILINE)
    return [re.sub(r"\\([^ ])", r"\1", line).replace("&amp;", "&") for line in lines]


def test_all_that_the_plain_dump_shows_is_in_the_graph(shapes: Callable[..., str]) -> None:
    """Source lines too, in every function; only where a prototype stands is the mark of a comment before it."""
    graph = shapes("visual")
    assert re.findall(r'label="(\w+) \(\)"', graph) == ["calls", "visit", "halve", "shrink"]
    assert [re.sub(r"^; (.*\):)$", r"\1", line) for line in listing(graph)] == shapes().splitlines()


def test_source_lines_stand_in_their_functions(shapes: Callable[..., str]) -> None:
    clusters = shapes("visual").split("subgraph ")[1:]
    for cluster, line in zip(
        clusters, ("halve(sum) + shrink", "*sum += number", "if (number \\& 1)", "halve(number) : "), strict=True
    ):
        assert [line in other for other in clusters] == [other is cluster for other in clusters], line


def test_opcodes_and_places(shapes: Callable[..., str]) -> None:
    lines = listing(shapes("visual", "opcodes", "linum"))
    raw = [line.replace("\\ ", " ").strip() for line in lines if line.startswith("\\ ")]
    assert raw == [line.strip() for line in shapes("opcodes").splitlines() if line.startswith("       ")]
    places = [line for line in lines if line.startswith("; [")]
    assert f"; [{short(str(PROGRAMS / 'cfg_shapes.c'))} line:11 col:16]" in places
    wanted = re.findall(r" \[file:.* line_num:(\d+) line_col:(\d+)\]$", shapes("linum"), re.MULTILINE)
    assert [re.findall(r"(?:line|col):(\d+)", place) for place in places] == [list(pair) for pair in wanted]
    after = [lines[number + 1] for number, line in enumerate(lines) if line in places]
    assert all(line.startswith("; ") for line in after)


@needs_dot
def test_piped_into_dot(shapes: Callable[..., str], tmp_path: Path) -> None:
    """As the walkthrough does."""
    (tmp_path / "cfg.dot").write_text(shapes("visual"))
    done = run("dot", "-Tpng", "-o", tmp_path / "cfg.png", tmp_path / "cfg.dot")
    assert done.stderr == ""
    assert (tmp_path / "cfg.png").read_bytes().startswith(MAGIC["png"])


@needs_dot
@pytest.mark.parametrize("format", MAGIC)
def test_a_picture(shapes: Callable[..., str], tmp_path: Path, format: str) -> None:
    path = tmp_path / f"cfg.{format}"
    assert shapes("opcodes", "visual", format, path, "linum") == ""
    assert path.read_bytes().startswith(MAGIC[format])
    if format == "svg":
        text = path.read_text()
        assert all(f">{name} ()<" in text for name in SHAPES)
        assert "&lt;even&gt; {&amp;amp;} \\n */" in text
        assert "line:11" in text


FAILURES = [
    (("file", "OUT", "visual"), "'file' is not compatible with 'opcodes', 'visual', or 'linum'"),
    (("visual", "svg"), "expected file path"),
    (("visual", "svg", "/nosuch/x.svg"), "can't write /nosuch/x.svg: No such file or directory"),
    (("visual", "png", "/"), "can't write /: Is a directory"),
]


@pytest.mark.parametrize(("words", "message"), FAILURES)
def test_failures_are_one_line(
    sandbox: Sandbox, compile_c: Compile, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    if "svg" in words or "png" in words:
        shutil.which("dot") or pytest.skip("dot is not installed")
    out = tmp_path / "out"
    with load(str(compile_c("prog_legacy.c"))) as loaded:
        id = str(loaded.progs["counter"].id)
        given = [str(out) if word == "OUT" else word for word in words]
        done = sandbox.bcctool("prog", "dump", "xlated", "id", id, *given, status=255)
    assert (done.stdout, done.stderr) == ("", f"Error: {message}\n")
    assert not out.exists()


def test_no_graph_in_json(sandbox: Sandbox, compile_c: Compile, tmp_path: Path) -> None:
    message = "is not compatible with JSON output"
    with load(str(compile_c("prog_legacy.c"))) as loaded:
        words = ("prog", "dump", "xlated", "id", str(loaded.progs["counter"].id), "visual")
        for more in ((), ("svg", tmp_path / "x")):
            done = sandbox.bcctool("-j", *words, *more, status=255)
            assert done.stdout == f'{{"error":"\'visual\' {message}"}}\n'
    assert not list(tmp_path.iterdir())


def test_native_code_ignores_visual(sandbox: Sandbox, compile_c: Compile, tmp_path: Path) -> None:
    with load(str(compile_c("prog_legacy.c"))) as loaded:
        prog = loaded.progs["counter"]
        if not prog.info.jited_prog_len:
            pytest.skip("the kernel has not jited the program")
        words = ("prog", "dump", "jited", "id", str(prog.id))
        assert sandbox.bcctool(*words, "visual").stdout == sandbox.bcctool(*words).stdout != ""
        done = sandbox.bcctool(*words, "visual", "svg", tmp_path / "x", status=255)
        assert done.stderr == "Error: only translated instructions can be drawn: dump 'xlated'\n"


@contextlib.contextmanager
def small_disk(box: Sandbox, path: Path) -> Iterator[Path]:
    """A file system of 4 KB in the sandbox."""
    box.run("mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", path)
    yield path
    box.run("umount", path)


@needs_dot
def test_a_full_disk_leaves_no_half_picture(sandbox: Sandbox, compile_c: Compile, tmp_path: Path) -> None:
    with small_disk(sandbox, tmp_path) as disk:
        done = sandbox.bcctool("object", "cfg", compile_c("prog_rich.c", "-g"), "svg", disk / "x.svg", status=255)
        assert done.stderr == f"Error: can't write {disk}/x.svg: No space left on device\n"
        assert sandbox.run("ls", disk).stdout == ""


def test_without_dot_one_line_names_its_package(compile_c: Compile, tmp_path: Path) -> None:
    path = tmp_path / "cfg.svg"
    environment = {**os.environ, "PATH": str(tmp_path)}
    wanted = f"Error: can't draw {path}: 'dot' is not installed, it is in the package graphviz\n"
    with load(str(compile_c("prog_legacy.c"))) as loaded:
        words = ("prog", "dump", "xlated", "id", str(loaded.progs["counter"].id), "visual")
        done = run(*BCCTOOL, *words, "svg", path, status=255, env=environment)
        assert (done.stdout, done.stderr) == ("", wanted)
        assert run(*BCCTOOL, *words, env=environment).stdout.startswith("digraph"), "text needs no dot"
    assert not list(tmp_path.iterdir())


def test_several_programs(sandbox: Sandbox, compile_c: Compile) -> None:
    path = str(compile_c("prog_legacy.c"))
    with load(path) as one, load(path):
        tag = one.progs["counter"].tag
        done = sandbox.bcctool("prog", "dump", "xlated", "tag", tag, "visual", status=255)
        assert done.stderr == "Error: several programs matched\n"
