"""What links tell of themselves: names, paths and arrays in buffers, of kernels of several ages."""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Any

import pytest

from bcctool.kernel import bpf, uapi
from bcctool.objects.link import Link

TYPE = uapi.LINK_TYPES.index


class Kernel:
    """Answers for one link: its info, and what it writes to pointers; `unknown`: pointers that it refuses."""

    def __init__(self, type_: str, place: tuple[str, ...], numbers: dict[str, int], buffers: dict[str, bytes]) -> None:
        self.place, self.buffers = place, buffers
        self.unknown: tuple[str, ...] = ()
        self.source = uapi.link_info(type=TYPE(type_), id=1)
        for name, value in numbers.items():
            if name == "kind":
                self.source.perf_event.type = value
            else:
                setattr(self.part(self.source), name, value)

    def part(self, info: Any) -> Any:
        for name in self.place:
            info = getattr(info, name)
        return info

    def fill_info(self, fd: int, info: Any) -> None:
        asked = {name: getattr(self.part(info), name) for name in self.buffers}
        if any(asked[name] for name in self.unknown):
            raise OSError(errno.E2BIG, "")
        ctypes.memmove(ctypes.addressof(info), ctypes.addressof(self.source), ctypes.sizeof(info))
        for name, address in asked.items():
            if address:
                ctypes.memmove(address, self.buffers[name], len(self.buffers[name]))


def details(monkeypatch: pytest.MonkeyPatch, kernel: Kernel) -> dict[str, Any]:
    monkeypatch.setattr(bpf, "fill_info", kernel.fill_info)
    with Link(os.open(os.devnull, os.O_RDONLY)) as link:
        return link.details()


def u64(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(8, "little") for number in numbers)


def probes(**numbers: int) -> Kernel:
    buffers = {"addrs": u64(5, 9), "cookies": u64(1, 2)}
    return Kernel("kprobe_multi", ("kprobe_multi",), {"count": 2, **numbers}, buffers)


def test_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    found = details(monkeypatch, probes(missed=3, flags=1))
    assert found == {"addrs": [5, 9], "cookies": [1, 2], "count": 2, "missed": 3, "flags": 1}


def test_a_kernel_that_knows_no_cookies(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = probes()
    kernel.unknown = ("cookies",)
    found = details(monkeypatch, kernel)
    assert (found["addrs"], found["cookies"]) == ([5, 9], [0, 0])


def test_a_kernel_that_fills_no_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = probes()
    kernel.unknown = ("cookies", "addrs")
    found = details(monkeypatch, kernel)
    assert (found["addrs"], found["cookies"], found["count"]) == ([0, 0], [0, 0], 2)
    name = Kernel("raw_tracepoint", ("raw_tracepoint",), {}, {"tp_name": b"x"})
    name.unknown = ("tp_name",)
    assert details(monkeypatch, name) == {"tp_name": "", "tp_name_len": 0, "cookie": 0}


def test_no_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Linux 6.6 links of kprobe_multi said nothing."""
    found = details(monkeypatch, probes(count=0))
    assert (found["addrs"], found["cookies"], found["count"]) == ([], [], 0)


def test_names(monkeypatch: pytest.MonkeyPatch) -> None:
    long = b"/" + b"d" * 4000
    kernel = Kernel("uprobe_multi", ("uprobe_multi",), {"path_size": 5, "count": 1, "pid": 9},
                    {"path": long, "offsets": u64(2**63)})  # fmt: skip
    found = details(monkeypatch, kernel)
    assert (found["path"], found["offsets"], found["pid"]) == (long.decode(), [2**63], 9)
    kernel = Kernel("iter", ("iter",), {}, {"target_name": b"task\xff"})
    kernel.source.iter.task.tid = 4
    found = details(monkeypatch, kernel)
    assert (found["target_name"], found["tid"], found["pid"], found["map_id"]) == ("task\\xff", 4, 0, 0)


@pytest.mark.parametrize(
    ("kind", "struct", "field"),
    [(1, "uprobe", "file_name"), (2, "uprobe", "file_name"), (3, "kprobe", "func_name"), (5, "tracepoint", "tp_name")],
)
def test_perf_events(monkeypatch: pytest.MonkeyPatch, kind: int, struct: str, field: str) -> None:
    kernel = Kernel("perf_event", ("perf_event", struct), {"kind": kind, "cookie": 8}, {field: b"name"})
    found = details(monkeypatch, kernel)
    assert (found[field], found["cookie"], found["kind"]) == ("name", 8, kind)


def test_counted_events_keep_their_type(monkeypatch: pytest.MonkeyPatch) -> None:
    found = details(monkeypatch, Kernel("perf_event", ("perf_event", "event"), {"kind": 6, "type": 1, "config": 2}, {}))
    assert found == {"kind": 6, "type": 1, "config": 2, "cookie": 0}


@pytest.mark.parametrize("kind", [0, 77])
def test_perf_events_without_fields(monkeypatch: pytest.MonkeyPatch, kind: int) -> None:
    assert details(monkeypatch, Kernel("perf_event", ("perf_event", "event"), {"kind": kind}, {})) == {}


def test_types_that_are_newer_than_we_are(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel("raw_tracepoint", ("raw_tracepoint",), {}, {})
    kernel.source.type = 200
    assert details(monkeypatch, kernel) == {}
