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


@pytest.mark.parametrize("module", FORBIDDEN)
def test_a_slow_import_is_noticed(module: str) -> None:
    assert module in imported(f"import {module}")


def test_importing_the_library_imports_no_part_of_it() -> None:
    assert {name for name in imported("import bcctool") if name.startswith("bcctool")} == {"bcctool"}
