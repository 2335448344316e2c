"""perf_event_open(2): counters, one per event and CPU (linux/perf_event.h)."""

from __future__ import annotations

import ctypes
import os
import struct

_SYSCALL_NUMBERS = {
    "x86_64": 298, "aarch64": 241, "riscv64": 241, "s390x": 331, "ppc64le": 319, "loongarch64": 241, "armv7l": 364,
}  # fmt: skip
_number = _SYSCALL_NUMBERS.get(os.uname().machine, 241)
_syscall = ctypes.CDLL(None, use_errno=True).syscall
_syscall.restype = ctypes.c_long

ATTR = struct.Struct("=IIQ40xQQ")
"""The fields of struct perf_event_attr that are set here: type, size, config, config1, config2."""
_FLAG_FD_CLOEXEC = 8
_EVERY_TASK, _NO_GROUP = -1, -1


def event(type: int, config: int, cpu: int, config1: int = 0, config2: int = 0) -> int:
    """A descriptor of a counter that counts from now on, for whatever runs on a CPU. OSError where there is no such."""
    attr = ATTR.pack(type, ATTR.size, config, config1, config2)
    flags = ctypes.c_ulong(_FLAG_FD_CLOEXEC)
    fd: int = _syscall(ctypes.c_long(_number), attr, _EVERY_TASK, cpu, _NO_GROUP, flags)
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return fd
