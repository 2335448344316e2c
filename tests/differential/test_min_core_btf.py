"""gen min_core_btf beside bpftool's, for the objects that libbpf-tools carry."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..conftest import BCCTOOL, embedding_executables, run

VMLINUX = "/sys/kernel/btf/vmlinux"
GROUPS = 8


@pytest.mark.parametrize("group", range(GROUPS))
def test_the_reduced_types_are_bpftools(tmp_path: Path, group: int) -> None:
    """The same types, byte for byte but for the order of strings, and no larger."""
    executables = embedding_executables()[group::GROUPS]
    assert executables
    objects = tmp_path / "objects"
    for executable in executables:
        run(*BCCTOOL, "object", "extract", executable, objects)
        obj = objects / f"{executable.name}.bpf.o"
        sizes, dumps = [], []
        for tool in (("bpftool",), BCCTOOL):
            out = tmp_path / "out.btf"
            run(*tool, "gen", "min_core_btf", VMLINUX, out, obj)
            sizes.append(out.stat().st_size)
            dumps.append(run("bpftool", "btf", "dump", "file", out).stdout)
        assert dumps[1] == dumps[0], executable
        assert sizes[1] <= sizes[0], executable


def test_what_is_no_object_is_refused_and_nothing_written(tmp_path: Path) -> None:
    out = tmp_path / "out.btf"
    for words in ((VMLINUX, out, "/etc/passwd"), ("/nonexistent", out, "/etc/passwd"), (VMLINUX, out)):
        done = run(*BCCTOOL, "gen", "min_core_btf", *words, status=None)
        assert done.returncode
        assert done.stderr.startswith("Error: ")
        assert not out.exists()
