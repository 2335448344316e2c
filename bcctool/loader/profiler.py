"""Counting what happens while a program runs: by programs of our own around it (fentry, fexit), or by BPF statistics.

All that is made here goes away with its descriptors: nothing gets pinned.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys

from ..errors import Error, KernelError, NotSupported
from ..kernel import bpf, libbpf, perf, proc, uapi
from ..objects.map import Map
from . import profiler_code

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Self

    from ..objects.prog import Prog

TRACING = uapi.PROG_TYPES.index("tracing")
# name → code, attach type; in the order of attaching: an end without its start counts for nothing
PROGRAMS = {
    "profile_entry": (profiler_code.entry, uapi.ATTACH_TYPES.index("trace_fentry")),
    "profile_exit": (profiler_code.exit, uapi.ATTACH_TYPES.index("trace_fexit")),
}
LOG_SIZE = 1 << 16
ENOTSUPP = 524  # the kernel's own, which no C library knows
FUNC_INFO_TYPE = 1  # the word of struct bpf_func_info with the type


class Event:
    """A counter by its name for people and its numbers in struct perf_event_attr."""

    __slots__ = ("config", "name", "type")

    def __init__(self, name: str, type: int, config: int) -> None:
        self.name = name
        self.type = type
        self.config = config


class NoFentry(Error):
    """Programs can't be put around this one, for the reason in the message."""


Reading = tuple[int, int, int]
"""What a counter went up by during all runs; nanoseconds that it was wanted, and really counted."""


class Profiler:
    """Counters that run while `target` does, from here until result(). Close it, or use it as a context manager.

    Error where a counter can't be opened, NoFentry where the kernel can't put programs around this one.
    """

    def __init__(self, target: Prog, events: Sequence[Event]) -> None:
        self.target = target
        self.maps: list[Map] = []
        self.fds: list[int] = []
        self.links: list[int] = []
        self.counters = len(events)
        try:
            func = entry_function(target)
            arrays = [self._counters(event) for event in events]
            size = profiler_code.value_size(self.counters)
            self.values = self._map("percpu_array", size, 1, "profile_values")
            for name, (code, attach_type) in PROGRAMS.items():
                insns = code(self.values.fd, [array.fd for array in arrays])
                self.fds.append(_load(target, func, name, insns, attach_type))
            for fd in self.fds:
                self.links.append(_attach(target, fd))
        except BaseException:
            self.close()
            raise

    def _map(self, type: str, value_size: int, max_entries: int, name: str) -> Map:
        self.maps.append(Map.create(type, 4, value_size, max_entries, name))
        return self.maps[-1]

    def _counters(self, event: Event) -> Map:
        """An array with one counter per CPU, which live as long as the array."""
        cpus = proc.online_cpus()
        array = self._map("perf_event_array", 4, max(cpus) + 1, "profile_events")
        for cpu in cpus:
            fd = _open(event, cpu)
            try:
                array.update(_u32(cpu), _u32(fd))
            finally:
                os.close(fd)
        return array

    def result(self) -> tuple[int, list[Reading]]:
        """End it: how many runs were complete, and a reading per event, over all CPUs."""
        self._detach()
        data = memoryview(self.values.lookup(_u32(0)) or b"").cast("Q")
        size, totals = self.values.value_stride // profiler_code.WORD, profiler_code.totals_at(self.counters)
        sums = [sum(data[word::size]) for word in range(size)]
        readings = [sums[at : at + profiler_code.READING] for at in range(totals, size, profiler_code.READING)]
        return sums[profiler_code.RUN_CNT], [(counter, enabled, running) for counter, enabled, running in readings]

    def _detach(self) -> None:
        while self.links:
            os.close(self.links.pop())

    def close(self) -> None:
        """Detach the programs; give everything back."""
        self._detach()
        while self.fds:
            os.close(self.fds.pop())
        for map_ in self.maps:
            map_.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Statistics:
    """The runs of `target` and the time they take, from here until result(), by the kernel's own count for everything.

    NotSupported before Linux 5.8.
    """

    def __init__(self, target: Prog) -> None:
        self.target = target
        self.fd = -1
        self.before = target.read_info()
        try:
            self.fd = bpf.enable_stats(uapi.BPF_STATS_RUN_TIME)
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise NotSupported("counting the runs of programs", "5.8") from None
            raise KernelError("can't enable the kernel's BPF statistics", error.errno or 0, status=255) from None

    def result(self) -> tuple[int, int]:
        """Runs, and nanoseconds that they took together."""
        now = self.target.read_info()
        return now.run_cnt - self.before.run_cnt, now.run_time_ns - self.before.run_time_ns

    def close(self) -> None:
        """Let the kernel stop counting, unless somebody else wants it to."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def entry_function(target: Prog) -> int:
    """The id of the program's own function in its BTF. NoFentry when it came without."""
    info = target.info
    types = memoryview(target.array("func_info")).cast("I") if info.btf_id and info.nr_func_info else None
    if not types:
        hint = f"program {info.id} came without func_info (clang -g makes it)"
        raise NoFentry(f"prog FD {target.fd} doesn't have valid btf: {hint}")
    return int(types[FUNC_INFO_TYPE])


def _open(event: Event, cpu: int) -> int:
    try:
        return perf.event(event.type, event.config, cpu)
    except OSError as error:
        missing = error.errno in (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP, errno.EINVAL)
        hint = ": no PMU event of this machine counts it" if missing else ""
        raise Error(f"can't open perf event {event.name} on CPU {cpu}: {error.strerror}{hint}") from None


def _load(target: Prog, func: int, name: str, insns: bytes, attach_type: int) -> int:
    """Load one of the programs: its descriptor."""
    log = ctypes.create_string_buffer(LOG_SIZE)
    opts = libbpf.opts(
        libbpf.prog_load_opts,
        expected_attach_type=attach_type,
        attach_prog_fd=target.fd,
        attach_btf_id=func,
        log_buf=ctypes.addressof(log),
        log_size=len(log),
    )
    words = (TRACING, name.encode(), b"GPL", insns, len(insns) // 8, ctypes.byref(opts))
    try:
        return libbpf.call("bpf_prog_load", *words)
    except OSError as error:
        raise _no_fentry(target, error, log.value.decode("utf-8", "replace")) from None


def _attach(target: Prog, fd: int) -> int:
    try:
        return bpf.raw_tracepoint_open(fd)
    except OSError as error:
        raise _no_fentry(target, error) from None


def _no_fentry(target: Prog, error: OSError, log: str = "") -> NoFentry:
    """What is missing: the verifier says it, or the kernel has no fentry at all and says nothing."""
    reason = "not supported" if error.errno == ENOTSUPP else error.strerror
    said = log.strip().split("\n")
    hint = said[0] if said[0] else "this kernel has no fentry for BPF programs"
    return NoFentry(f"can't attach to program {target.id}: {reason}: {hint}", detail="\n".join(said[1:]))


def _u32(value: int) -> bytes:
    return value.to_bytes(4, sys.byteorder)
