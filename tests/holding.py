"""A process that holds one object of each kind, opened by a thread: prints their ids, ends with its stdin.

Three other threads share its descriptors, one has a copy of them for itself, which is not in /proc/PID/fd.
"""

from __future__ import annotations

import ctypes
import sys
import threading

from bcctool.kernel import bpf, libbpf, uapi
from bcctool.objects.btf import Btf
from bcctool.objects.link import Link
from bcctool.objects.map import Map
from bcctool.objects.prog import Prog

RAW_TRACEPOINT = uapi.PROG_TYPES.index("raw_tracepoint")
RETURN_0 = bytes.fromhex("b700000000000000 9500000000000000")
CLONE_FILES = 0x400
held: list[Link | Prog | Map | Btf] = []


def hold() -> None:
    prog = libbpf.call("bpf_prog_load", RAW_TRACEPOINT, b"held", b"GPL", RETURN_0, 2, None)
    link = bpf.raw_tracepoint_open(prog, "sched_process_exec")
    held.extend((Prog(prog), Link(link), Map.create("array", 4, 8, 1, name="held"), next(Btf.all())))


opener = threading.Thread(target=hold)
opener.start()
opener.join()
copied, stop = threading.Event(), threading.Event()


def copy() -> None:
    if ctypes.CDLL(None).unshare(CLONE_FILES):
        sys.exit("no descriptors for a thread of its own")
    copied.set()
    stop.wait()


for target in (copy, stop.wait, stop.wait, stop.wait):
    threading.Thread(target=target, daemon=True).start()
copied.wait()
print(*(object.id for object in held), flush=True)
sys.stdin.read()
stop.set()
