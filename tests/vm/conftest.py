"""Fixtures for the tests that boot other kernels."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..conftest import ROOT, Completed

VM = ROOT / "scripts" / "vm"
CACHE = ROOT / ".cache" / "vm"
TIMEOUT_S = 900  # the first boot of a kernel fetches it


@pytest.fixture(scope="session")
def vm() -> Callable[..., Completed]:
    """Run a command in another kernel: `vm("6.12", "--arch", "arm64", "uname", "-r")`; nothing is asserted."""
    if os.geteuid() or not shutil.which("dpkg"):
        pytest.skip("scripts/vm needs root, and Debian's dpkg and apt")

    def call(*words: str) -> Completed:
        return subprocess.run([VM, *words], capture_output=True, text=True, timeout=TIMEOUT_S)

    return call


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that guests see too."""
    folder = CACHE / f"test-{os.getpid()}"
    folder.mkdir(parents=True)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def counter(compile_c: Callable[..., Path], shared: Path) -> str:
    """The tutorial's program with BTF, where a guest finds it too."""
    return str(shutil.copy(compile_c(ROOT / "tutorial" / "counter.c", "-g", "-DBTF"), shared / "counter.o"))
