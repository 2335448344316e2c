"""Cgroups of a test's own, below the mount of cgroup v2, which all namespaces share."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bcctool.kernel import proc

GRACE_S = 5.0  # a cgroup can't be removed while a process that ended is not quite gone

# Programs of cgroup_hooks.c whose names are not made of their hooks' words.
PROGRAMS = {"cgroup_inet_ingress": "in", "cgroup_inet_egress": "out"}


@contextlib.contextmanager
def own_cgroups(*below: str) -> Iterator[Path]:
    """A new cgroup with those `below` (parents first), removed at the end with all that is in it by then."""
    mount = next(proc.mounts("cgroup2"), "")
    if not mount:
        pytest.skip("cgroup v2 is not mounted")
    top = Path(mount, f"bcctool-test-{os.getpid()}-{time.monotonic_ns()}")
    try:
        top.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made in {mount}: {error.strerror}")
    try:
        for name in below:
            Path(top, name).mkdir()
        yield top
    finally:
        _remove(top)


def _remove(top: Path) -> None:
    for directory, _, _ in os.walk(top, topdown=False):
        deadline = time.monotonic() + GRACE_S
        while True:
            try:
                os.rmdir(directory)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)


def program(hook: str) -> str:
    """The program of cgroup_hooks.c for a hook."""
    words = hook.split("_")
    if words[1] in ("inet4", "inet6", "udp4", "udp6"):
        return "_".join(words[2:]) + words[1][-1]
    if words[1] == "unix":
        return f"{words[2]}_unix"
    return PROGRAMS.get(hook) or "_".join(words[2:] if words[1] == "inet" else words[1:])
