"""scripts/bench: its rows are sound, its verdicts and its table follow from what was measured. Nothing is measured."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import ROOT


@pytest.fixture(scope="module")
def bench() -> Any:
    loader = importlib.machinery.SourceFileLoader("bench", str(ROOT / "scripts" / "bench"))
    spec = importlib.util.spec_from_loader("bench", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    loader.exec_module(module)
    sys.path[:] = path
    return module


def row(bench: Any, **fields: Any) -> Any:
    return bench.Row("map dump pinned /sys/fs/bpf/m_1000", lambda: iter([None]), 7, fields.pop("limit", 0.5), **fields)


def found(bench: Any, row: Any, ms: float = 30, value: float = 0.4, peaks: tuple[int, int] = (40 * 1024, 0)) -> Any:
    return bench.Result(row, ms, 60, (value - 0.1, value, value + 0.1), peaks)


def test_labels_are_unique(bench: Any) -> None:
    labels = [row.label for row in bench.ROWS]
    assert sorted(set(labels)) == sorted(labels)


def test_what_a_row_is_compared_with_runs_before_it(bench: Any) -> None:
    fixtures = list(dict.fromkeys(row.fixture for row in bench.ROWS))
    before = {row.label: fixtures.index(row.fixture) for row in bench.ROWS}
    compared = [row for row in bench.ROWS if row.than]
    assert compared
    assert not [row.label for row in compared if before[row.than] >= before[row.label]]


def test_rows_of_a_family_grow(bench: Any) -> None:
    sizes: dict[str, list[int]] = {}
    for each in bench.ROWS:
        if each.size:
            sizes.setdefault(each.family, []).append(each.size)
    assert all(len(of) > 1 and of == sorted(of) for of in sizes.values())
    assert sizes["map dump hash_"] == [10_000, 100_000, 1_000_000]


def test_every_row_runs_at_least_seven_pairs(bench: Any) -> None:
    assert not [row.label for row in bench.ROWS if row.pairs < 7]


@pytest.mark.parametrize(
    ("value", "peak_mb", "limit", "within"),
    [
        (0.5, 60, 0.5, True),
        (0.51, 60, 0.5, False),
        (0.1, 61, 0.5, False),
        (9.0, 10, None, True),
        (9.0, 61, None, False),
    ],
)
def test_a_row_has_a_limit_for_time_and_one_for_memory(
    bench: Any, value: float, peak_mb: int, limit: float | None, within: bool
) -> None:
    result = found(bench, row(bench, limit=limit), value=value, peaks=(peak_mb * 1024, 0))
    assert result.within() is within
    assert ("OVER" in result.cells()[4]) is not within


def test_growth_is_that_since_the_next_smaller_row(bench: Any) -> None:
    small, middle, large = (
        bench.Row(f"map dump pinned /sys/fs/bpf/m_{size}", row, 7, None, size=size) for size in (1000, 2000, 4000)
    )
    known = {each.label: found(bench, each, ms=ms) for each, ms in ((small, 10), (middle, 20))}
    assert bench.growth(found(bench, large, ms=60), known) == "20.00 / 0.00 µs"
    assert bench.growth(known[small.label], {}) == ""


def test_the_table_replaces_what_is_below_its_mark(bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "performance.md"
    page.write_text(f"# Title\n\n{bench.MARK}\n| old |\n")
    monkeypatch.setattr(bench, "PAGE", str(page))
    monkeypatch.setattr(bench, "machine", lambda: "A machine.\n")
    result = found(bench, row(bench))
    bench.write_table({result.row.label: result})
    text = page.read_text()
    assert text.startswith(f"# Title\n\n{bench.MARK}\nA machine.\n\n| ")
    assert "| `map dump m_1000` | 30 | 60 | 0.40 x (0.30 to 0.50) | ≤ 0.5 |" in text
    assert "old" not in text
    assert [line.count("|") for line in text.splitlines() if line.startswith("|")] == [9, 9, 9]


def test_a_page_without_the_mark_is_left_alone(bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "performance.md"
    page.write_text("# Title\n")
    monkeypatch.setattr(bench, "PAGE", str(page))
    with pytest.raises(SystemExit, match="has no line"):
        bench.write_table({})
    assert page.read_text() == "# Title\n"


@pytest.mark.parametrize(
    ("words", "message"), [(["nosuchrow"], "no such row; there are:"), (["--table", "prog"], "one of all rows")]
)
def test_words_that_are_wrong_are_answered(words: list[str], message: str) -> None:
    done = subprocess.run([ROOT / "scripts" / "bench", *words], capture_output=True, text=True)
    assert done.returncode == 1
    assert message in done.stderr


def test_what_a_failing_fixture_says_reaches_the_row(bench: Any) -> None:
    def lacking() -> Any:
        raise bench.Cannot("no such thing")
        yield

    with pytest.raises(bench.Cannot, match="no such thing"), bench.made(lacking):
        raise AssertionError("it was not made")


def test_a_fixture_takes_away_what_it_made(bench: Any, tmp_path: Path) -> None:
    def thing() -> Any:
        (tmp_path / "thing").touch()
        yield
        (tmp_path / "thing").unlink()

    def interrupted() -> None:
        with bench.made(thing):
            assert (tmp_path / "thing").exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not (tmp_path / "thing").exists()
