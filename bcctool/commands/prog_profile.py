"""prog profile: what happens while a program runs, by hardware counters, the kernel's own, or its BPF statistics."""

from __future__ import annotations

import signal

from ..errors import Error
from ..kernel import uapi
from ..loader.profiler import Event, NoFentry, Profiler, Statistics
from ..verbs import Args
from . import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from ..loader.profiler import Reading
    from ..objects.prog import Prog

MAX_METRICS = 4
RUN_CNT = "run_cnt"
ENDS = (signal.SIGINT, signal.SIGTERM)
NO_RATIO = " " * 41


class Metric(Event):
    """An event and the ratio that its line ends in: so many `unit` = value * factor / base, if base was measured too.

    timed: it is the time that the program takes, which BPF statistics tell as well.
    """

    __slots__ = ("base", "factor", "timed", "unit")

    def __init__(
        self, name: str, type: int, config: int, base: str = "", factor: int = 1, unit: str = "", timed: bool = False
    ) -> None:
        super().__init__(name, type, config)
        self.base = base
        self.factor = factor
        self.unit = unit
        self.timed = timed


def _reads(cache: int, result: int) -> int:
    """The `config` of an event of a cache."""
    return cache | uapi.PERF_COUNT_HW_CACHE_OP_READ << 8 | result << 16


_HARDWARE, _SOFTWARE, _CACHE = uapi.PERF_TYPE_HARDWARE, uapi.PERF_TYPE_SOFTWARE, uapi.PERF_TYPE_HW_CACHE
_ACCESS, _MISS = uapi.PERF_COUNT_HW_CACHE_RESULT_ACCESS, uapi.PERF_COUNT_HW_CACHE_RESULT_MISS
_PER_MILLION = ("instructions", 1_000_000)
# In the order in which prefixes are tried and lines printed: bpftool's, then ours.
METRICS = (
    Metric("cycles", _HARDWARE, uapi.PERF_COUNT_HW_CPU_CYCLES),
    Metric("instructions", _HARDWARE, uapi.PERF_COUNT_HW_INSTRUCTIONS, "cycles", 1, "insns per cycle"),
    Metric("l1d_loads", _CACHE, _reads(uapi.PERF_COUNT_HW_CACHE_L1D, _ACCESS)),
    Metric("llc_misses", _CACHE, _reads(uapi.PERF_COUNT_HW_CACHE_LL, _MISS), *_PER_MILLION,
           "LLC misses per million insns"),
    Metric("itlb_misses", _CACHE, _reads(uapi.PERF_COUNT_HW_CACHE_ITLB, _MISS)),
    Metric("dtlb_misses", _CACHE, _reads(uapi.PERF_COUNT_HW_CACHE_DTLB, _MISS)),
    Metric("task_clock", _SOFTWARE, uapi.PERF_COUNT_SW_TASK_CLOCK, RUN_CNT, 1, "ns per run", timed=True),
    Metric("cpu_clock", _SOFTWARE, uapi.PERF_COUNT_SW_CPU_CLOCK, RUN_CNT, 1, "ns per run", timed=True),
    Metric("page_faults", _SOFTWARE, uapi.PERF_COUNT_SW_PAGE_FAULTS),
    Metric("context_switches", _SOFTWARE, uapi.PERF_COUNT_SW_CONTEXT_SWITCHES),
)  # fmt: skip


class Record(dict[str, "Any"]):
    """The JSON of a metric, and what only its text needs: the line that comes first, and the ratio."""

    first = False
    ratio: tuple[float, str] | None = None


def records(metrics: Sequence[Metric], run_cnt: int, readings: Sequence[Reading]) -> list[Record]:
    """What was measured, metric by metric."""
    values = {metric.name: value for metric, (value, _, _) in zip(metrics, readings, strict=True)} | {RUN_CNT: run_cnt}
    found: list[Record] = []
    for metric, (value, enabled, running) in zip(metrics, readings, strict=True):
        record = Record(metric=metric.name, run_cnt=run_cnt, value=value, enabled=enabled, running=running)
        record.first = not found
        base = values.get(metric.base, 0)
        if base:
            record.ratio = (value * metric.factor / base, metric.unit)
        found.append(record)
    return found


def text(record: Record) -> str:
    """A line as `prog profile` prints it, the first one after that with the number of runs."""
    head = f"\n{record['run_cnt']:18} {RUN_CNT:20}\n" if record.first else ""
    ratio = f"# {record.ratio[0]:8.2f} {record.ratio[1]:30}" if record.ratio else NO_RATIO
    enabled, running = record["enabled"], record["running"]
    share = f"({100 * running / enabled:4.2f}%)" if running < enabled else ""
    return f"{head}{record['value']:18} {record['metric']:20}{ratio}{share}\n"


class Request:
    """The words after PROG; duration: seconds, None until a signal."""

    def __init__(self, args: Args) -> None:
        self.duration = args.number("duration") if args.accept("duration") else None
        chosen = []
        while args:
            word = args.next()
            metric = next((metric for metric in METRICS if metric.name.startswith(word)), None)
            if metric is None:
                raise Error(f"unknown metric {word}")
            chosen.append(metric)
        self.metrics = [metric for metric in METRICS if metric in chosen]
        if not chosen:
            raise Error(f"expected a metric: {', '.join([metric.name for metric in METRICS])}")
        if len(self.metrics) > MAX_METRICS:
            too_many = f"too many ({len(self.metrics)}) metrics"
            raise Error(f"{too_many}, please specify no more than {MAX_METRICS} metrics at a time")


def run(args: Args) -> Iterator[Record]:
    """Measure until the duration is over, or SIGINT or SIGTERM comes."""
    args.require(3)
    with select.prog(args) as prog:
        request = Request(args)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
        try:
            run_cnt, readings = measure(prog, request)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return iter(records(request.metrics, run_cnt, readings))


def measure(prog: Prog, request: Request) -> tuple[int, list[Reading]]:
    """Runs and readings; where only time is asked for, statistics do instead of programs that the kernel can't have."""
    try:
        with Profiler(prog, request.metrics) as profiler:
            wait(request.duration)
            return profiler.result()
    except NoFentry as error:
        if not all(metric.timed for metric in request.metrics):
            hint = "task_clock can be measured without"
            raise Error(f"{error.message}; {hint}", error.status, error.detail) from None
    with Statistics(prog) as statistics:
        wait(request.duration)
        runs, ns = statistics.result()
    return runs, [(ns, ns, ns)] * len(request.metrics)


def wait(duration: int | None) -> None:
    """Wait for the end: a signal (they are blocked), or so many seconds."""
    if duration is None:
        signal.sigwait(ENDS)
    else:
        signal.sigtimedwait(ENDS, duration)
