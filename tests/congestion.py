"""Congestion controls of programs, under names of a test's own: all of the machine sees those that are registered."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bcctool.loader.kernel_types import KernelTypes

from .conftest import Sandbox

AVAILABLE = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")
LINKS = "/sys/fs/bpf/links"
_numbers = itertools.count()

Compile = Callable[..., Path]


class Controls:
    """An object with the congestion control `table`, and `linked` that needs a link, in a sandbox."""

    def __init__(self, box: Sandbox, compile_c: Compile, *, table: bool = True, linked: bool = False) -> None:
        with KernelTypes() as kernel:
            if kernel.find("bpf_struct_ops_tcp_congestion_ops", 4) is None:
                pytest.skip("this kernel takes no congestion control from BPF")
        self.box = box
        suffix = f"{os.getpid()}_{next(_numbers)}"
        self.table, self.linked = f"t{suffix}", f"l{suffix}"
        flags = [f"-DTABLE={self.table}"] * table + [f"-DLINKED={self.linked}"] * linked
        self.obj = compile_c("struct_ops_verbs.c", "-g", *flags)

    def close(self) -> None:
        """Take back whatever is registered."""
        self.box.run("rm", "-rf", LINKS)
        self.box.bcctool("struct_ops", "unregister", "name", self.table, status=None)
        assert gone(self.table)
        assert gone(self.linked)

    def __enter__(self) -> Controls:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def id(self, name: str) -> int:
        """The id of the only map of a name."""
        records = json.loads(self.box.bcctool("-j", "struct_ops", "show", "name", name).stdout)
        assert len(records) == 1
        return int(records[0]["id"])


def available() -> list[str]:
    """The congestion controls of this machine."""
    return AVAILABLE.read_text().split()


def gone(name: str) -> bool:
    """Whether a congestion control goes; the kernel takes a moment."""
    for _ in range(400):  # RCU may take its time on a busy machine
        if name not in available():
            return True
        time.sleep(0.05)
    return False
