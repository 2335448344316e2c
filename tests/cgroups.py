"""Cgroups of a test's own, and programs for their hooks in a sandbox."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bcctool.kernel import proc

from .conftest import Sandbox, no_bpf

PROGS = "/sys/fs/bpf/progs"
DEVICE = f"{PROGS}/a_device_with_a_long_name"


@contextmanager
def cgroups(compile_c: Callable[..., Path]) -> Iterator[tuple[Sandbox, str]]:
    """A sandbox with cgroup.c's programs pinned in PROGS, and a cgroup with `inside`, `inside/deep` and `beside`."""
    if reason := no_bpf():
        pytest.skip(reason)
    top = next(proc.mounts("cgroup2"), "")
    if not top:
        pytest.skip("no cgroup2 is mounted")
    path = Path(top, f"cgroup-{os.getpid()}")
    below = (path, path / "inside", path / "inside" / "deep", path / "beside")
    for each in below:
        each.mkdir()
    box = Sandbox()
    try:
        box.bcctool("prog", "loadall", compile_c("cgroup.c", "-g"), PROGS)
        yield box, str(path)
    finally:
        box.close()
        for each in reversed(below):
            if each.exists():
                each.rmdir()
