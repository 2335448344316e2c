"""prog profile on this machine's kernel: counters where it has them, statistics where not, errors that say which."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bcctool.kernel import uapi
from bcctool.loader.load import load
from bcctool.loader.profiler import Event, NoFentry, Profiler
from bcctool.objects.prog import Prog

from ..conftest import ROOT
from ..profiled import profile

RUNS = 1234
PAGE_FAULTS = Event("page_faults", uapi.PERF_TYPE_SOFTWARE, uapi.PERF_COUNT_SW_PAGE_FAULTS)


@pytest.fixture
def prog(compile_c: Callable[..., Path]) -> Iterator[Prog]:
    with load(str(compile_c(ROOT / "tutorial" / "counter.c", "-g", "-DBTF")), type="xdp") as loaded:
        yield loaded.progs["counter"]


@pytest.fixture
def without_btf(compile_c: Callable[..., Path]) -> Iterator[Prog]:
    with load(str(compile_c("prog_legacy.c")), first_only=True, type="xdp") as loaded:
        yield next(iter(loaded.progs.values()))


def has_fentry(prog: Prog) -> bool:
    try:
        Profiler(prog, [PAGE_FAULTS]).close()
    except NoFentry:
        return False
    return True


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_time_is_measured_on_every_kernel(prog: Prog, end: int) -> None:
    done = profile(prog, RUNS, "task_clock", ends=end)
    assert (done["status"], done["stderr"], done["left"]) == (0, "", 0)
    (record,) = json.loads(done["stdout"])
    assert (record["metric"], record["run_cnt"]) == ("task_clock", RUNS)
    assert 0 < record["value"] == record["running"] == record["enabled"] or has_fentry(prog)


def test_time_is_measured_without_btf(without_btf: Prog) -> None:
    done = profile(without_btf, RUNS, "task_clock", "cpu_clock", options="-p")
    assert (done["status"], done["stderr"], done["left"]) == (0, "", 0)
    assert [(record["metric"], record["run_cnt"]) for record in json.loads(done["stdout"])] == [
        ("task_clock", RUNS),
        ("cpu_clock", RUNS),
    ]


def test_text(prog: Prog) -> None:
    done = profile(prog, RUNS, "task_clock", options="")
    lines = done["stdout"].split("\n")
    assert lines[0] == lines[3] == ""
    assert lines[1] == f"{RUNS:18} run_cnt             "
    assert re.fullmatch(r" *\d+ task_clock          # +\d+\.\d\d ns per run {20}", lines[2])


def test_it_ends_by_itself(prog: Prog, bcctool: Callable[..., object]) -> None:
    bcctool("prog", "profile", "id", str(prog.id), "duration", "0", "task_clock", status=0)


def test_what_is_missing_without_btf(without_btf: Prog) -> None:
    done = profile(without_btf, 1, "task_clock", "cycles", options="")
    assert (done["status"], done["stdout"], done["left"]) == (255, "", 0)
    reason = rf"program {without_btf.id} came without func_info \(clang -g makes it\)"
    assert re.fullmatch(
        rf"Error: prog FD \d+ doesn't have valid btf: {reason}; task_clock can be measured without\n", done["stderr"]
    )


def test_what_is_missing_without_fentry(prog: Prog) -> None:
    if has_fentry(prog):
        pytest.skip("this kernel has fentry for BPF programs")
    done = profile(prog, 1, "page_faults", options="")
    assert (done["status"], done["stdout"], done["left"]) == (255, "", 0)
    assert done["stderr"] == (
        f"Error: can't attach to program {prog.id}: Operation not permitted: this kernel has no fentry for BPF"
        " programs; task_clock can be measured without\n"
    )


def test_what_is_missing_without_a_pmu(prog: Prog) -> None:
    if any(path.name.startswith(("cpu", "armv8_pmu")) for path in Path("/sys/bus/event_source/devices").iterdir()):
        pytest.skip("this machine has a PMU")
    done = profile(prog, 1, "instructions", options="")
    assert (done["status"], done["stdout"], done["left"]) == (255, "", 0)
    assert done["stderr"] == (
        "Error: can't open perf event instructions on CPU 0: No such file or directory:"
        " no PMU event of this machine counts it\n"
    )
