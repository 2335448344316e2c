"""`map event_pipe`: samples as they come, from every CPU, however it is ended; and what stays in the map then."""

from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bcctool.kernel import uapi

from ..conftest import Sandbox, no_bpf
from ..sampled import CPUS, EVENTS, LAST, Sampled

Compile = Callable[..., Path]
WORD = [8, 7, 6, 5, 4, 3, 2, 1]
MISSING = (-errno.ENOENT) % (1 << 32)  # what the program gets where nothing is in the map
NOT_HERE = (-errno.EOPNOTSUPP) % (1 << 32)  # and where the buffer is another CPU's
PRESERVE_ELEMS = "-DFLAGS=BPF_F_PRESERVE_ELEMS"


@pytest.fixture(scope="module")
def shared(compile_c: Compile, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sampled]:
    """For tests that leave the map empty."""
    if reason := no_bpf():
        pytest.skip(reason)
    box = Sandbox()
    yield Sampled(box, compile_c("event_pipe.c", "-g"), tmp_path_factory.mktemp("event_pipe"))
    box.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_samples_until_a_signal(shared: Sampled, number: signal.Signals) -> None:
    with shared.pipe() as pipe:
        assert shared.send(16) == 0
        pipe.wait_for(lambda: pipe.out.read_text().count("\n") == 3)  # at once, not when a buffer is full
        assert pipe.end(number) == (0, "Stopping...\n")
    first, *lines = pipe.out.read_text().splitlines()
    seconds, rest = first.removeprefix("== @").split(".")
    assert int(seconds) >= 0
    assert rest[9:] == f" CPU: {LAST} index: {LAST} ====="
    assert lines == ["08 07 06 05 04 03 02 01  10 10 10 10 10 10 10 10", "10 10 10 10 10 10 10 10  00 00 00 00"]
    assert shared.send(16) == MISSING


@pytest.mark.parametrize("style", ["-j", "-p"])
def test_json_is_closed(shared: Sampled, style: str) -> None:
    with shared.pipe(options=(style,)) as pipe:
        for size, cpu in ((20, CPUS[0]), (28, LAST), (36, CPUS[0])):
            shared.send(size, cpu)
        pipe.wait_for(lambda: pipe.out.read_text().count("timestamp") == 3)
        assert pipe.end(signal.SIGINT) == (0, "Stopping...\n")
    times = [record.pop("timestamp") for record in pipe.records()]
    assert len(set(map(str, times))) == 3
    records = json.loads(pipe.out.read_text())
    for record, (size, cpu) in zip(records, ((20, CPUS[0]), (28, LAST), (36, CPUS[0])), strict=True):
        del record["timestamp"]
        assert record == {"type": 9, "cpu": cpu, "index": cpu, "data": [*WORD, *[size] * size]}


def test_nothing_is_an_empty_array(shared: Sampled) -> None:
    with shared.pipe(options=("-j",)) as pipe:
        assert pipe.end(signal.SIGINT) == (0, "Stopping...\n")
    assert pipe.out.read_text() == "[]\n"


def test_many_samples_in_order_and_how_many_are_lost(shared: Sampled) -> None:
    """More than a ring has place for, while nobody reads; then what comes next says how many that were."""
    with shared.pipe(options=("-j",)) as pipe:
        for size in (60, 68, 76):  # a ring is filled and emptied
            shared.send(size, repeat=200)
            pipe.wait_for(lambda size=size: pipe.out.read_text().count(f"[8,7,6,5,4,3,2,1,{size},") == 200)  # type: ignore[misc]
        os.kill(pipe.process.pid, signal.SIGSTOP)
        shared.send(1004, repeat=100)
        os.kill(pipe.process.pid, signal.SIGCONT)
        pipe.wait_for(lambda: f"{1004 % 256}," in pipe.out.read_text())
        shared.send(20)
        pipe.wait_for(lambda: "lost" in pipe.out.read_text())
        assert pipe.end(signal.SIGINT) == (0, "Stopping...\n")
    *most, loss, last = pipe.records()
    sizes = [len(record["data"]) - len(WORD) for record in most]  # type: ignore[arg-type]
    kept = sizes.count(1004)
    assert sizes == [60] * 200 + [68] * 200 + [76] * 200 + [1004] * kept
    assert 0 < kept < 100
    assert {**loss, "lost": {}} == {"type": 2, "cpu": LAST, "index": LAST, "lost": {}}
    assert loss["lost"]["count"] == 100 - kept  # type: ignore[index]
    assert last["data"] == [*WORD, *[20] * 20]
    times = [record["timestamp"] for record in (*most, last)]
    assert times == sorted(times)  # type: ignore[type-var]


def test_one_cpu_at_an_index(shared: Sampled) -> None:
    with shared.pipe("cpu", str(LAST), "index", str(LAST), options=("-j",), rings=1) as pipe:
        shared.send(20, LAST)
        if len(CPUS) > 1:
            assert shared.send(28, CPUS[0]) == MISSING
        assert pipe.end() == (0, "Stopping...\n")
    assert [record["data"] for record in pipe.records()] == [[*WORD, *[20] * 20]]


@pytest.mark.skipif(len(CPUS) == 1, reason="there is one CPU only")
def test_a_cpu_at_an_index_of_another(shared: Sampled) -> None:
    with shared.pipe("index", str(CPUS[0]), "cpu", str(LAST), options=("-j",), rings=1) as pipe:
        assert shared.send(20, LAST) == MISSING
        assert shared.send(20, CPUS[0]) == NOT_HERE
        assert pipe.end() == (0, "Stopping...\n")
    assert pipe.out.read_text() == "[]\n"


def test_who_came_later_keeps_its_place(shared: Sampled) -> None:
    with shared.pipe() as first, shared.pipe(options=("-j",), out="later") as second:
        assert first.end() == (0, "Stopping...\n")
        assert shared.send(20) == 0
        assert second.end() == (0, "Stopping...\n")
    assert len(second.records()) == 1
    assert first.out.read_text() == ""


def test_a_map_that_keeps_what_is_put_in(sandbox: Sandbox, compile_c: Compile, tmp_path: Path) -> None:
    assert uapi.BPF_F_PRESERVE_ELEMS == 1 << 11
    sampled = Sampled(sandbox, compile_c("event_pipe.c", "-g", PRESERVE_ELEMS), tmp_path)
    with sampled.pipe() as pipe:
        assert sampled.send(20) == 0
        pipe.end()
    assert sampled.send(20) == MISSING


@pytest.mark.parametrize("words", [(), ("cpu", "0", "index", "0")])
def test_not_for_other_maps(shared: Sampled, words: tuple[str, ...]) -> None:
    done = shared.box.bcctool("map", "event_pipe", "pinned", "/sys/fs/bpf/m/results", *words, status=255)
    assert (done.stdout, done.stderr) == ("", "Error: map is not a perf event array\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("cpu 9999 index 0", "can't make a perf buffer on CPU 9999: Invalid argument"),
        ("cpu 0 index 9999", "can't put the perf buffer of CPU 0 at index 9999 of map ID: Argument list too long"),
        ("cpu 0", "cpu and index must be specified together"),
        ("junk", "what is 'junk'?"),
    ],
)
def test_refusals(shared: Sampled, words: str, message: str) -> None:
    shown = shared.box.bcctool("-j", "map", "show", *EVENTS).stdout
    message = message.replace("ID", str(json.loads(shown)["id"])) if "map ID" in message else message
    done = shared.box.bcctool("map", "event_pipe", *EVENTS, *words.split(), status=255)
    assert (done.stdout, done.stderr) == ("", f"Error: {message}\n")
    done = shared.box.bcctool("-j", "map", "event_pipe", *EVENTS, *words.split(), status=255)
    assert (json.loads(done.stdout), done.stderr) == ({"error": message}, "")


def test_no_map(shared: Sampled) -> None:
    done = shared.box.bcctool("map", "event_pipe", status=255)
    assert done.stderr == "Error: expected 'id', 'name' or 'pinned', got: nothing\n"
