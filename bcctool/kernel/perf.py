"""perf_event_open(2): counters and samples, one descriptor per event and CPU (linux/perf_event.h)."""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct

_SYSCALL_NUMBERS = {
    "x86_64": 298, "aarch64": 241, "riscv64": 241, "s390x": 331, "ppc64le": 319, "loongarch64": 241, "armv7l": 364,
}  # fmt: skip
_number = _SYSCALL_NUMBERS.get(os.uname().machine, 241)
_syscall = ctypes.CDLL(None, use_errno=True).syscall
_syscall.restype = ctypes.c_long

ATTR = struct.Struct("=IIQQQ8xQI4xQQ")
"""What is set here of perf_event_attr: type, size, config, sample_period, sample_type, flags, wakeup_events, config1,
config2."""
_FREQ = 1 << 10  # of the flags: what is in sample_period is a frequency
_SET_BPF = 0x40042408  # PERF_EVENT_IOC_SET_BPF
_FLAG_FD_CLOEXEC = 8
_EVERY_TASK, _NO_GROUP = -1, -1


def event(
    type: int,
    config: int,
    cpu: int,
    config1: int = 0,
    config2: int = 0,
    *,
    period: int = 0,
    freq: int = 0,
    sample_type: int = 0,
    wakeup_events: int = 0,
) -> int:
    """A descriptor of a counter that counts from now on, for whatever runs on a CPU. OSError where there is no such.

    period: take a sample each time it has gone up by so much; freq: so many samples a second. sample_type: what is in a
    sample (PERF_SAMPLE_*); wakeup_events: after how many of them who polls the descriptor is woken.
    """
    flags = _FREQ if freq else 0
    attr = ATTR.pack(type, ATTR.size, config, freq or period, sample_type, flags, wakeup_events, config1, config2)
    fd: int = _syscall(ctypes.c_long(_number), attr, _EVERY_TASK, cpu, _NO_GROUP, ctypes.c_ulong(_FLAG_FD_CLOEXEC))
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return fd


def set_program(event: int, prog_fd: int) -> None:
    """Have a program run at an event for as long as its descriptor lives: what was before links. OSError if refused."""
    fcntl.ioctl(event, _SET_BPF, prog_fd)
