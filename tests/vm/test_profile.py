"""prog profile in kernels with fentry: with a PMU that counts (arm64, emulated), and without one."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from ..conftest import Completed
from ..profiled import Outcome

pytestmark = pytest.mark.vm
RUNS = 1234
NO_PMU_EVENT = (
    "can't open perf event {} on CPU 0: No such file or directory: no PMU event of this machine counts it"
)
ARM64, X86_64 = ("6.12", "--arch", "arm64"), ("6.1", "--arch", "amd64")


@pytest.fixture
def outcomes(vm: Callable[..., Completed], counter: str) -> Callable[..., list[Outcome]]:
    """Profile in a guest, once for each choice of metrics."""

    def call(guest: tuple[str, ...], *choices: str) -> list[Outcome]:
        done = vm(*guest, "python", "tests/profiled.py", counter, str(RUNS), *choices)
        assert done.returncode == 0, done.stdout + done.stderr
        found: list[Outcome] = json.loads(done.stdout)
        assert [outcome["left"] for outcome in found] == [0] * len(choices)
        return found

    return call


def test_hardware_counters(outcomes: Callable[..., list[Outcome]]) -> None:
    counted, refused = outcomes(ARM64, "instructions context_switches cycles task_clock", "cycles l1d_loads")
    assert (counted["status"], counted["stderr"]) == (0, "")
    records = json.loads(counted["stdout"])
    assert [record["metric"] for record in records] == ["cycles", "instructions", "task_clock", "context_switches"]
    assert [record["run_cnt"] for record in records] == [RUNS] * 4
    cycles, instructions, task_clock, context_switches = [record["value"] for record in records]
    # Virtual time goes by the instructions: two cycles and two nanoseconds for each.
    assert cycles == pytest.approx(2 * instructions, rel=0.01)
    assert cycles == pytest.approx(task_clock, rel=0.1)
    assert instructions > 10 * RUNS
    assert context_switches == 0
    for record in records[:2]:
        assert 0 < record["running"] <= record["enabled"]
    assert refused["status"] == 255
    assert json.loads(refused["stdout"]) == {"error": NO_PMU_EVENT.format("l1d_loads")}


def test_without_a_pmu(outcomes: Callable[..., list[Outcome]]) -> None:
    refused, counted = outcomes(X86_64, "cycles", "page_faults task_clock cpu_clock")
    assert refused["status"] == 255
    assert json.loads(refused["stdout"]) == {"error": NO_PMU_EVENT.format("cycles")}
    assert counted["status"] == 0
    records = json.loads(counted["stdout"])
    assert [(record["metric"], record["run_cnt"]) for record in records] == [
        ("task_clock", RUNS),
        ("cpu_clock", RUNS),
        ("page_faults", RUNS),
    ]
    assert records[0]["value"] > RUNS
    assert records[1]["value"] > RUNS
    assert records[2]["value"] == 0
