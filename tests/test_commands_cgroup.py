"""cgroup: what becomes of programs that vanish, over a kernel in memory."""

from __future__ import annotations

import pytest

from bcctool.commands import cgroup
from bcctool.errors import Error
from bcctool.kernel import bpf
from bcctool.objects import cgroup as hooks

from .fake_kernel import FakeKernel, fake_kernel  # noqa: F401  (a fixture)


def test_programs_that_vanish_are_skipped(fake_kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    found = [("cgroup_device", 7, 2), ("cgroup_device", 8, 2), ("cgroup_sysctl", 9, 0x42)]
    monkeypatch.setattr(hooks, "attached", lambda fd, path, effective: found)
    fake_kernel.add(bpf.PROG, 7, name=b"seven")
    fake_kernel.add(bpf.PROG, 9, name=b"n\x1b")
    records = cgroup.rows("/c", False, cgroup.Progs(), 0)
    assert [(row["id"], row["attach_flags"]) for row in records] == [(7, "multi"), (9, "unknown(42)")]
    assert cgroup.text(records[1]).split()[:4] == ["9", "cgroup_sysctl", "unknown(42)", "n\\x1b"]


def test_other_failures_are_errors(fake_kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    def refuse(kind: object, id: int, flags: int = 0) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(bpf, "fd_by_id", refuse)
    with pytest.raises(Error, match="Operation not permitted"):
        cgroup.prog_fields(7)
