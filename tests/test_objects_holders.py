"""Which processes are looked at: where they are many, those that the kernel names."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bcctool.kernel import bpf, proc
from bcctool.objects import holders, open_files

MANY = range(holders.MANY, 0, -1)


@pytest.mark.parametrize(
    ("pids", "answer", "expected"),
    [
        ([30, 4], {4}, [4, 30]),
        (MANY, {30, 4}, [4, 30]),
        (MANY, set(), []),
        (MANY, None, sorted(MANY)),
    ],
    ids=["few", "many", "none", "can't ask"],
)
def test_who_is_looked_at(
    pids: Sequence[int], answer: set[int] | None, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Sequence[str]] = []

    def answers(kinds: Sequence[str]) -> set[int] | None:
        asked.append(kinds)
        return answer

    monkeypatch.setattr(proc, "pids", lambda: iter(pids))
    monkeypatch.setattr(open_files, "holders", answers)
    assert holders.processes(bpf.PROG, bpf.LINK) == expected
    assert asked == ([(bpf.PROG, bpf.LINK)] if len(pids) >= holders.MANY else [])
