"""Imports point down, what reads files stays out of the kernel: ARCHITECTURE.md, "Principles" 1 and 7."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from bcctool.kernel.libbpf import FUNCTIONS

PACKAGE = Path(__file__).resolve().parent.parent / "bcctool"

# From the top. A module may import from its own layer and from those below.
LAYERS = (
    ("__init__", "__main__"),
    ("cli",),
    ("commands",),
    ("companion", "skeleton", "loader", "codegen", "objects"),
    ("elf", "btf", "insn"),
    ("kernel",),
    ("grammar",),
    ("cache",),
    ("verbs", "output", "columns"),
    ("errors", "escapes"),
)
RANKS = {name: rank for rank, names in enumerate(LAYERS) for name in names}
PURE = ("elf", "btf", "insn")
# What only one place may import, as the start of its dotted name.
HOMES = {"pyroute2": "kernel.netlink", "bcc": "companion", "elftools": "elf"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def dotted(path: Path) -> str:
    """btf/reader.py → btf.reader"""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imports(tree: ast.AST, module: str) -> Iterator[tuple[int, str]]:
    """(line, what) of each import below bcctool, in functions and `if TYPE_CHECKING` too; `what` as `btf.reader`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                base = module.split(".")[: -node.level]
            elif (node.module or "").partition(".")[0] == "bcctool":
                base = []
            else:
                continue
            tail = (node.module or "").removeprefix("bcctool").strip(".")
            home = [*base, *(tail.split(".") if tail else [])]
            for alias in node.names:
                yield node.lineno, ".".join([*home, alias.name])
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("bcctool."):
                    yield node.lineno, alias.name.removeprefix("bcctool.")


def rank(name: str) -> int:
    """Of a module by its first part; a name that is no module stands in the package itself (`__version__`)."""
    return RANKS.get(name.partition(".")[0], len(LAYERS))


def upward(source: str, module: str) -> list[str]:
    """The imports of a module that point up."""
    own = rank(module)
    return [f"line {line}: {what}" for line, what in imports(ast.parse(source), module) if rank(what) < own]


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_imports_point_down(path: Path) -> None:
    assert path.relative_to(PACKAGE).parts[0].removesuffix(".py") in RANKS, "a new layer? give it a place in LAYERS"
    assert not upward(path.read_text(), dotted(path))


@pytest.mark.parametrize(
    ("source", "module", "found"),
    [
        ("from ..commands import prog", "objects.map", ["line 1: commands.prog"]),
        ("def f():\n    from ...loader.load import load", "btf.c.dump", ["line 2: loader.load.load"]),
        ("import bcctool.cli", "elf.reader", ["line 1: cli"]),
        ("from bcctool import verbs", "errors", ["line 1: verbs"]),
        ("from . import kinds\nfrom ..errors import Error\nfrom .. import __version__\nimport os", "btf.raw", []),
    ],
)
def test_an_arrow_that_points_up_is_found(source: str, module: str, found: list[str]) -> None:
    assert upward(source, module) == found


def enters_the_kernel(source: str, module: str) -> bool:
    """Whether a module asks the kernel for BPF: through kernel/, or by itself.

    Facts from kernel/uapi.py are fine, and so is what of libbpf needs no kernel: its functions for BTF.
    """
    tree = ast.parse(source)
    reached = {what for _, what in imports(tree, module) if rank(what) == RANKS["kernel"]}
    if any(not what.startswith(("kernel.uapi", "kernel.libbpf")) for what in reached):
        return True
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    words = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return "syscall" in names or any(word.startswith("bpf_") and word in FUNCTIONS for word in words)


@pytest.mark.parametrize("path", [path for path in MODULES if dotted(path).partition(".")[0] in PURE], ids=dotted)
def test_what_reads_files_never_enters_the_kernel(path: Path) -> None:
    assert not enters_the_kernel(path.read_text(), dotted(path))


@pytest.mark.parametrize(
    ("source", "enters"),
    [
        ("from ..kernel import bpf", True),
        ("from ..kernel.proc import kallsyms", True),
        ("import ctypes\nctypes.CDLL(None).syscall(321)", True),
        ("from ..kernel import libbpf\nlibbpf.call('bpf_map_freeze', 3)", True),
        ("from ..kernel import libbpf\nlibbpf.function('btf_dump__new')", False),
        ("from ..kernel.uapi import HELPERS", False),
        ("import ctypes\nctypes.CDLL('libLLVM.so')", False),
    ],
)
def test_a_way_into_the_kernel_is_found(source: str, enters: bool) -> None:
    assert enters_the_kernel(source, "insn.symbols") is enters


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_libraries_are_imported_in_their_own_place_only(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        else:
            continue
        for name in names:
            home = HOMES.get(name.partition(".")[0])
            assert home is None or dotted(path).startswith(home), f"line {node.lineno}: import {name} belongs in {home}"
