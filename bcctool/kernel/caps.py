"""The capabilities that the process makes use of (capabilities(7), capget(2))."""

from __future__ import annotations

import ctypes
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# name → bit (linux/capability.h)
NUMBERS = {"CAP_SYS_ADMIN": 21, "CAP_BPF": 39, "CAP_NET_ADMIN": 12, "CAP_PERFMON": 38}
_VERSION_3 = 0x20080522
_SETS = 3  # effective, permitted, inheritable: low words, then high ones


def effective(names: Iterable[str]) -> list[str]:
    """Those of some capabilities that are in effect."""
    sets = _get()
    return [name for name in names if sets[NUMBERS[name] // 32 * _SETS] >> NUMBERS[name] % 32 & 1]


def is_known(name: str) -> bool:
    """Whether the kernel has a capability: CAP_BPF and CAP_PERFMON since Linux 5.8."""
    with open("/proc/sys/kernel/cap_last_cap", "rb") as file:
        return NUMBERS[name] <= int(file.read())


class Without:
    """Inside the block some capabilities have no effect; they stay permitted, and come back after it."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = list(names)

    def __enter__(self) -> None:
        self._before = _get()
        sets = _get()
        for name in self.names:
            sets[NUMBERS[name] // 32 * _SETS] &= ~(1 << NUMBERS[name] % 32)
        _call("capset", sets)

    def __exit__(self, *_: object) -> None:
        _call("capset", self._before)


def _get() -> ctypes.Array[ctypes.c_uint32]:
    sets = (ctypes.c_uint32 * (2 * _SETS))()
    _call("capget", sets)
    return sets


def _call(name: str, sets: ctypes.Array[ctypes.c_uint32]) -> None:
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)  # the calling thread
    if getattr(ctypes.CDLL(None, use_errno=True), name)(header, sets):
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
