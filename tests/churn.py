"""Loads programs, maps, BTF objects and links and lets go of them, as fast as it can, until its stdin ends.

usage: python tests/churn.py LOG [CGROUP]      CGROUP: a directory in which it makes and removes cgroups
What number N loads carries N: the program `pN` moves it into r2 and uses the map `mN`, whose value it is; every other
map has a struct `sN` with a member `vN` as its type. LOG gets a line `KIND ID N` per object as soon as it is there.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import socket
import struct
import sys
from collections import deque
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bcctool.kernel import bpf, libbpf, uapi  # noqa: E402  (the checkout's own package, wherever the script is started)

ALIVE = 100  # numbers at a time
TRACEPOINTS = ("task_newtask", "task_rename", "sched_process_exec")  # of number N: that at N % 3
BPFFS = "/sys/fs/bpf"
ARRAY = uapi.MAP_TYPES.index("array")
# What number N attaches, by the first divisor of N; others attach nothing.
XDP, CGROUP, RAW_TRACEPOINT = ALIVE + 1, 8, 2  # one device has room for one XDP program
PINNED, FORKED = 3, 31
_INSN = struct.Struct("=BBhi")
INFOS = {bpf.PROG: uapi.prog_info, bpf.MAP: uapi.map_info, bpf.BTF: uapi.btf_info, bpf.LINK: uapi.link_info}


def code(number: int, map_fd: int) -> bytes:
    """r1 = map; r2 = number; r0 = 1; exit"""
    insns = ((0x18, 0x11, 0, map_fd), (0, 0, 0, 0), (0xB7, 2, 0, number), (0xB7, 0, 0, 1), (0x95, 0, 0, 0))
    return b"".join([_INSN.pack(*insn) for insn in insns])


def types(number: int) -> bytes:
    """BTF: [1] int, [2] struct sN { int vN; }"""
    strings = f"\0int\0s{number}\0v{number}\0".encode()
    member = 5 + len(f"s{number}") + 1
    words = struct.pack("=4I6I", 1, 1 << 24, 4, 1 << 24 | 32, 5, 4 << 24 | 1, 4, member, 1, 0)
    header = struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(words), len(words), len(strings))
    return header + words + strings


class Loaded:
    """What a number has in the kernel."""

    def __init__(self, number: int, log: int, cgroups: str) -> None:
        self.number = number
        self.log = log
        self.fds: list[int] = []
        self.pins: list[str] = []
        self.cgroup = f"{cgroups}/{number}" if cgroups and not number % CGROUP and number % XDP else ""
        self.kind = "xdp" if not number % XDP else "cgroup_skb" if self.cgroup else "raw_tracepoint"
        try:
            self.load()
        except BaseException:
            self.close()
            raise

    def load(self) -> None:
        number = self.number
        fields = {}
        if number % 2:
            blob = types(number)
            btf = self.own(bpf.BTF, libbpf.call("bpf_btf_load", blob, len(blob), None))
            fields = {"btf_fd": btf, "btf_key_type_id": 1, "btf_value_type_id": 2}
        opts = libbpf.opts(libbpf.map_create_opts, **fields)
        map_fd = libbpf.call("bpf_map_create", ARRAY, b"m%d" % number, 4, 4, 1, ctypes.byref(opts))
        libbpf.call("bpf_map_update_elem", map_fd, bytes(4), struct.pack("=I", number), 0)
        self.own(bpf.MAP, map_fd)
        opts = libbpf.opts(libbpf.prog_load_opts)
        prog = number, uapi.PROG_TYPES.index(self.kind), code(number, map_fd)
        name = b"p%d" % prog[0]
        fd = libbpf.call("bpf_prog_load", prog[1], name, b"GPL", prog[2], len(prog[2]) // 8, ctypes.byref(opts))
        self.own(bpf.PROG, fd)
        self.attach(fd)
        if not number % PINNED:
            for letter, pinned in (("p", fd), ("m", map_fd)):
                libbpf.call("bpf_obj_pin", pinned, f"{BPFFS}/{letter}{number}".encode())
                self.pins.append(f"{BPFFS}/{letter}{number}")

    def attach(self, prog: int) -> None:
        if self.kind == "xdp":
            with contextlib.suppress(OSError):  # a fork may still hold the link before
                self.own(bpf.LINK, bpf.link_create(prog, socket.if_nametoindex("lo"), uapi.ATTACH_TYPES.index("xdp")))
        elif self.cgroup:
            os.mkdir(self.cgroup)
            target = os.open(self.cgroup, os.O_RDONLY)
            try:
                self.own(bpf.LINK, bpf.link_create(prog, target, uapi.ATTACH_TYPES.index("cgroup_inet_egress")))
            finally:
                os.close(target)
        elif not self.number % RAW_TRACEPOINT:
            self.own(bpf.LINK, bpf.raw_tracepoint_open(prog, TRACEPOINTS[self.number % len(TRACEPOINTS)]))

    def own(self, kind: str, fd: int) -> int:
        self.fds.append(fd)
        info = INFOS[kind]()
        bpf.fill_info(fd, info)
        os.write(self.log, f"{kind} {info.id} {self.number}\n".encode())
        return fd

    def close(self) -> None:
        for path in self.pins:
            os.unlink(path)
        for fd in reversed(self.fds):
            os.close(fd)
        if self.cgroup:
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(self.cgroup)


def main(log: str, cgroups: str = "") -> None:
    alive: deque[Loaded] = deque()
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    number = 0
    try:
        while not select.select([0], [], [], 0)[0]:
            number += 1
            alive.append(Loaded(number, descriptor, cgroups))
            if len(alive) > ALIVE:
                alive.popleft().close()
            if not number % FORKED and not os.fork():
                os._exit(0)  # for a moment it held all that its parent holds
            with contextlib.suppress(ChildProcessError):
                os.waitpid(-1, os.WNOHANG)
    finally:
        for loaded in alive:
            loaded.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
