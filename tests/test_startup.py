"""Start fast: what a listing imports. The modules are looked at, not the clock (ARCHITECTURE.md, "Principles" 10)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

FORBIDDEN = (
    # of the standard library, each 2 to 15 ms
    "argparse", "ast", "dataclasses", "enum", "functools", "inspect", "json", "pathlib", "re", "shutil",
    "subprocess", "tempfile", "typing",
    # of others, 30 to 120 ms
    "bcc", "elftools", "graphviz", "pyroute2", "tabulate",
)  # fmt: skip
MODULES_AFTER = """
import sys
before = set(sys.modules)
sys.path[:] = {path!r}
{code}
print(*(set(sys.modules) - before), file=sys.stderr)
"""
RUN = "from bcctool.cli import main\nstatus = main({words!r})\nprint('status', status, file=sys.stderr)"


def imported(code: str) -> set[str]:
    """The modules that a fresh interpreter imports while it runs `code`, those of its own start left out.

    Without the start of site-packages: files there may have things imported at once, which would hide them.
    """
    script = MODULES_AFTER.format(path=[str(ROOT), *sys.path], code=code)
    words = [sys.executable, "-I", "-S", "-c", script]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    return set(done.stderr.splitlines()[-1].split())


# Without the right to use BPF a listing ends in an error, and what is imported up to there still counts.
@pytest.mark.parametrize("options", ["", "-j", "-p"])
@pytest.mark.parametrize("family", ["prog", "map", "link", "btf"])
def test_a_listing_imports_nothing_slow(family: str, options: str) -> None:
    words = [*options.split(), family, "show"]
    modules = imported(RUN.format(words=words))
    assert f"bcctool.commands.{family}" in modules
    assert not modules & set(FORBIDDEN)


@pytest.mark.parametrize("options", ["", "-j", "-p"])
def test_a_tree_of_cgroups_imports_nothing_slow(options: str) -> None:
    modules = imported(RUN.format(words=[*options.split(), "cgroup", "tree"]))
    assert "bcctool.objects.cgroup" in modules
    assert not modules & set(FORBIDDEN)


def test_a_listing_imports_its_own_family_only() -> None:
    families = {"prog", "map", "net", "perf", "feature", "btf", "object"}
    modules = imported(RUN.format(words=["prog", "show"]))
    assert {name for name in families if f"bcctool.commands.{name}" in modules} == {"prog"}


def test_what_many_processes_need_is_imported_for_them_only() -> None:
    look = "from bcctool.kernel import proc\nproc.pids = lambda: iter(range({count}))\n"
    look += "from bcctool.objects.holders import processes\nprocesses('prog')"
    assert "bcctool.objects.open_files" not in imported(look.format(count=20))
    modules = imported(look.format(count=2000))
    assert "bcctool.objects.open_files" in modules
    assert not modules & set(FORBIDDEN)


@pytest.mark.parametrize("module", FORBIDDEN)
def test_a_slow_import_is_noticed(module: str) -> None:
    assert module in imported(f"import {module}")


# One of each family, and of each that can fail or load; without rights they end in an error, after the imports.
PLAIN = (
    "prog show", "prog load /nowhere.o /sys/fs/bpf/none", "prog dump xlated id 1", "prog dump jited id 1", "map show",
    "map dump id 1", "link show", "cgroup tree", "perf show", "net show", "feature probe", "btf show",
    "btf dump file /nowhere", "gen skeleton /nowhere.o", "struct_ops show", "iter pin /nowhere.o /nowhere",
    "token show", "object show /nowhere.o", "bcc list", "version", "help", "completion bash",
)  # fmt: skip


@pytest.mark.parametrize("words", PLAIN)
def test_plain_commands_do_not_import_bcc(words: str) -> None:
    modules = imported(RUN.format(words=words.split()))
    assert not [name for name in modules if name.partition(".")[0] == "bcc"]
    assert not [name for name in modules if name.startswith("bcctool.companion")]


def test_what_needs_bcc_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "none.c"
    path.write_text("int none;\n")
    modules = imported(RUN.format(words=["prog", "loadall", str(path), "/sys/fs/bpf/none"]))
    assert {"bcc", "bcctool.companion.source"} <= modules


def test_importing_the_library_imports_no_part_of_it() -> None:
    assert {name for name in imported("import bcctool") if name.startswith("bcctool")} == {"bcctool"}
