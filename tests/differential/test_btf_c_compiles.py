"""`btf dump … format c` of every object that we have compiles as C for BPF, in both orders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bcctool.btf.c import c_header
from bcctool.elf.object import ObjectFile

from ..conftest import PROGRAMS, embedding_executables, run

Compile = Callable[..., Path]
FLAGS = {"skeleton_names": ("-DPART=1", "-DNAME=one"), "elf_legacy": ("-DEXTRA=0",)}


def check(path: str, directory: Path) -> None:
    btf = ObjectFile(path).btf
    assert btf is not None
    for sort in (True, False):
        header = directory / f"{sort}.h"
        header.write_bytes(c_header(btf, sort=sort))
        run("clang", "-target", "bpf", "-fsyntax-only", "-x", "c", header)


@pytest.mark.parametrize("compiler", ["clang", "clang-19"])
@pytest.mark.parametrize("source", sorted(path.stem for path in PROGRAMS.glob("*.c")))
def test_our_programs(compile_c: Compile, tmp_path: Path, source: str, compiler: str) -> None:
    try:
        path = compile_c(f"{source}.c", "-g", *FLAGS.get(source, ()), compiler=compiler)
    except AssertionError:
        pytest.skip(f"{source}.c is no BPF program, or none for {compiler}")
    check(str(path), tmp_path)


def test_the_objects_that_libbpf_tools_carry(tmp_path: Path) -> None:
    paths = embedding_executables()
    assert len(paths) > 40
    for path in paths:
        check(str(path), tmp_path)
