"""Who holds an object: processes that come and go while /proc is read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bcctool.kernel import bpf, proc
from bcctool.objects.owners import owners

FDS = {101: {"3": "5", "4": "6"}, 102: {"3": "6"}, 103: {}}  # pid → descriptor → id of a program


@pytest.fixture(autouse=True)
def processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """101 ends after its descriptors were read, 103 before."""

    def descriptors(pid: int) -> Iterator[tuple[str, str]]:
        return iter([(fd, "anon_inode:bpf-prog") for fd in FDS[pid]])

    monkeypatch.setattr(proc, "pids", lambda: iter(FDS))
    monkeypatch.setattr(proc, "descriptors", descriptors)
    monkeypatch.setattr(proc, "fdinfo", lambda fd, pid: {"prog_id": FDS[pid][fd]})
    monkeypatch.setattr(proc, "comm", lambda pid: "" if pid == 101 else f"p{pid}")


def test_who_ended_meanwhile_holds_nothing() -> None:
    """Program 5 has no holder left: no empty list, which would print as `pids` with nothing behind it."""
    assert owners(bpf.PROG) == {6: [{"pid": 102, "comm": "p102"}]}
