"""prog profile without a kernel: the words, the numbers that become lines, and how it ends."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from bcctool.btf import kinds
from bcctool.btf.reader import Btf
from bcctool.commands import prog, prog_profile
from bcctool.commands.prog_profile import METRICS, Metric, Request, records, text
from bcctool.errors import Error
from bcctool.kernel import perf
from bcctool.output import dumps
from bcctool.verbs import Args, Options

VMLINUX = Path("/sys/kernel/btf/vmlinux")
BY_NAME = {metric.name: metric for metric in METRICS}


def request(words: str) -> Request:
    return Request(Args(words.split(), Options(), "profile"))


def names(words: str) -> list[str]:
    return [metric.name for metric in request(words).metrics]


def shown(metrics: str, run_cnt: int, *readings: tuple[int, int, int]) -> str:
    chosen: list[Metric] = [BY_NAME[name] for name in metrics.split()]
    return "".join(map(text, records(chosen, run_cnt, readings)))


@pytest.mark.parametrize(
    ("words", "duration", "metrics"),
    [
        ("cycles", None, ["cycles"]),
        ("duration 5 cycles", 5, ["cycles"]),
        ("d 0x10 dtlb_misses", 16, ["dtlb_misses"]),
        ("dtlb", None, ["dtlb_misses"]),
        ("instructions c cyc", None, ["cycles", "instructions"]),
        ("l l1 ll it", None, ["l1d_loads", "llc_misses", "itlb_misses"]),
        ("t cpu p co", None, ["task_clock", "cpu_clock", "page_faults", "context_switches"]),
    ],
)
def test_words(words: str, duration: int | None, metrics: list[str]) -> None:
    assert (request(words).duration, names(words)) == (duration, metrics)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("cycles X", "unknown metric X"),
        ("cycless", "unknown metric cycless"),
        ("cycles instr l1d llc itlb", "too many (5) metrics, please specify no more than 4 metrics at a time"),
        ("cycles instr l1d llc itlb dtlb",
         "too many (6) metrics, please specify no more than 4 metrics at a time"),
        ("duration soon cycles", "can't parse soon as duration"),
        ("duration", "expected duration"),
        ("duration 5", "expected a metric: " + ", ".join(BY_NAME)),
    ],
)  # fmt: skip
def test_bad_words(words: str, message: str) -> None:
    with pytest.raises(Error) as caught:
        request(words)
    assert (caught.value.message, caught.value.status) == (message, 255)


def test_too_few_words() -> None:
    with pytest.raises(Error) as caught:
        prog_profile.run(Args(["id", "1"], Options(), "profile"))
    assert caught.value.status == 234


def test_text() -> None:
    assert shown("cycles instructions llc_misses", 51397, (40176203, 100, 83), (42518139, 0, 0), (123, 8, 1)) == (
        "\n"
        "             51397 run_cnt             \n"
        "          40176203 cycles                                                       (83.00%)\n"
        "          42518139 instructions        #     1.06 insns per cycle               \n"
        "               123 llc_misses          #     2.89 LLC misses per million insns  (12.50%)\n"
    )


def test_a_ratio_needs_its_base() -> None:
    lines = shown("instructions llc_misses", 1, (5, 1, 1), (1, 1, 1)).split("\n")
    assert lines[2] == "                 5 instructions        " + " " * 41
    assert "200000.00 LLC misses per million insns" in lines[3]
    assert "#" not in shown("cycles instructions", 1, (0, 1, 1), (5, 1, 1))
    assert "#" not in shown("task_clock", 0, (0, 0, 0))
    assert "#    12.50 ns per run" in shown("task_clock", 2, (25, 0, 0))


def test_json() -> None:
    found = records([BY_NAME["cycles"], BY_NAME["task_clock"]], 3, [(1 << 63, 5, 4), (6, 7, 8)])
    assert dumps(found) == (
        '[{"metric":"cycles","run_cnt":3,"value":9223372036854775808,"enabled":5,"running":4},'
        '{"metric":"task_clock","run_cnt":3,"value":6,"enabled":7,"running":8}]'
    )


def test_a_duration_ends_and_a_signal_ends_earlier() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, prog_profile.ENDS)
    try:
        started = time.monotonic()
        prog_profile.wait(0)
        for end in prog_profile.ENDS:
            threading.Timer(0.01, os.kill, (os.getpid(), end)).start()
            prog_profile.wait(60)
        threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGINT)).start()
        prog_profile.wait(None)
        assert time.monotonic() - started < 30
        assert not signal.sigpending()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_events_are_those_of_perf() -> None:
    assert [(metric.type, metric.config) for metric in METRICS[:6]] == [
        (0, 0), (0, 1), (3, 0x00000), (3, 0x10002), (3, 0x10004), (3, 0x10003),
    ]  # fmt: skip
    assert [(metric.type, metric.config) for metric in METRICS[6:]] == [(1, 1), (1, 0), (1, 2), (1, 3)]


@pytest.mark.skipif(not VMLINUX.exists(), reason="this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)")
def test_attr_is_the_kernels() -> None:
    btf = Btf(VMLINUX.read_bytes())
    attr = btf.find("perf_event_attr", kinds.STRUCT)
    assert attr is not None
    places: dict[str, tuple[int, int]] = {}
    for member in btf.type(attr).entries:
        inner = btf.type(btf.resolve(member.type_id))
        for field in inner.entries if not member.name else [member]:
            places[field.name] = (member.bit_offset // 8, btf.size_of(field.type_id))
    # The flags are bits of one word, whose first is `disabled`.
    fields = {
        "type": 4, "size": 4, "config": 8, "sample_period": 8, "sample_type": 8, "disabled": 8, "wakeup_events": 4,
        "config1": 8, "config2": 8,
    }  # fmt: skip
    packed = perf.ATTR.pack(*range(1, 1 + len(fields)))
    for value, (name, size) in enumerate(fields.items(), 1):
        at = places[name][0]
        assert int.from_bytes(packed[at : at + size], sys.byteorder) == value, name


def test_the_help_lists_the_metrics() -> None:
    listed = prog.HELP.partition("METRIC := {")[2].partition("}")[0]
    assert listed.replace("|", " ").split() == list(BY_NAME)
