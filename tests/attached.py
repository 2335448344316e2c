"""Attaches each program of an object, makes happen what it waits for, and tells how often it ran; in any kernel.

usage: python tests/attached.py OBJECT TARGET [PROGRAM...]      TARGET: what attach_target.c became
Prints a JSON object: by program an `Outcome`. Programs count their runs in global variables `hits_PROGRAM`.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypedDict

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bcctool.errors import Error  # noqa: E402  (the checkout's own package, wherever the script is started)
from bcctool.kernel import proc  # noqa: E402
from bcctool.loader.attach import attach, pins  # noqa: E402
from bcctool.loader.attach_places import Places  # noqa: E402
from bcctool.loader.load import Loaded, load  # noqa: E402
from bcctool.objects.link import Link  # noqa: E402

TIMES = 3  # that each cause makes happen what it says
BPFFS = "/sys/fs/bpf"
GRACE_S = 2.0  # the kernel detaches a little after the last reference to a link is gone


class Outcome(TypedDict, total=False):
    """Runs while attached, and once detached; the type of each link, by the name of its pin; or the error."""

    ran: int
    after: int
    links: dict[str, str]
    error: str


def call_target() -> None:
    subprocess.run([TARGET, str(TIMES)], check=True)


def system_calls() -> None:
    for _ in range(TIMES):
        os.getpgid(os.getpid())  # 0 would pass by the security hooks


def work() -> None:
    until = time.monotonic() + 0.2
    while time.monotonic() < until:
        pass


def audit_python() -> None:
    code = f"import sys\nfor _ in range({TIMES}): sys.audit('wanted')"
    subprocess.run(["/usr/bin/python3", "-c", code], check=True)


def datagrams() -> None:
    """Over lo, and past a packet socket that asks for a hash of each packet's flow."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as watching:
        watching.bind(("lo", 3))
        watching.setsockopt(263, 18, os.getpid() & 0xFFFF)  # SOL_PACKET, PACKET_FANOUT by hash
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        ):
            receiver.bind(("127.0.0.1", 0))
            sender.connect(receiver.getsockname())
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            for _ in range(TIMES):
                sender.send(b"x")
                receiver.recv(9)


@contextlib.contextmanager
def connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        peer, _ = server.accept()
        with peer:
            yield client, peer


def connections() -> None:
    for _ in range(TIMES):
        with connection():
            pass


def messages_in_map() -> None:
    with connection() as (client, peer):
        sockets = LOADED.maps["sockets"]
        sockets.update((0).to_bytes(4, sys.byteorder), client.fileno().to_bytes(4, sys.byteorder), 0)
        for _ in range(TIMES):
            with contextlib.suppress(BlockingIOError):
                client.send(b"x", socket.MSG_DONTWAIT)
            peer.sendall(b"y")
            time.sleep(0.01)
        sockets.delete((0).to_bytes(4, sys.byteorder))


def read_pins() -> None:
    for name in os.listdir(BPFFS):
        if name.startswith("on_"):
            Path(BPFFS, name).read_bytes()


CAUSES: dict[str, Callable[[], None]] = {
    "on_tp": system_calls,
    "on_raw_tp": system_calls,
    "on_tp_btf": system_calls,
    "on_uprobe_libc": system_calls,
    "on_perf_event": work,
    "on_python": audit_python,
    "on_xdp": datagrams,
    "on_tc": datagrams,
    "on_tcx_ingress": datagrams,
    "on_tc_egress": datagrams,
    "on_cgroup_egress": datagrams,
    "on_setsockopt": datagrams,
    "on_netfilter": datagrams,
    "on_flow_dissector": datagrams,
    "on_connect4": connections,
    "on_sock_create": connections,
    "on_sockops": connections,
    "on_sk_lookup": connections,
    "on_sk_msg": messages_in_map,
    "on_stream_verdict": messages_in_map,
    "on_iter_task": read_pins,
    "on_iter_map": read_pins,
    "on_iter_cgroup": read_pins,
    "on_lsm_cgroup": connections,
}


def hits(name: str) -> int:
    for map_ in LOADED.maps.values():
        if map_.name.endswith(".bss"):
            return int(map_[0][f"hits_{name}"])
    raise LookupError(name)


@contextlib.contextmanager
def own_cgroup() -> Iterator[str]:
    """The directory of a cgroup with nothing but this process."""
    top = next(proc.mounts("cgroup2"), "")
    if not top:
        yield ""
        return
    path = Path(top, f"attached-{os.getpid()}")
    before = Path("/proc/self/cgroup").read_text().rpartition("0::")[2].strip().strip("/")
    path.mkdir()
    try:
        Path(path, "cgroup.procs").write_text("0")
        yield str(path)
    finally:
        Path(top, before, "cgroup.procs").write_text("0")
        path.rmdir()


def outcome(name: str, section: str, places: Places) -> Outcome:
    """Attach one program, cause what it counts, detach it, and cause it again."""
    try:
        attached = attach(LOADED.progs[name], section, places=places, maps=LOADED.maps)
        if attached is None:
            return {}
        targets = pins(f"{BPFFS}/{name}", attached)
    except Error as error:
        return {"error": error.message}
    cause = CAUSES.get(name, system_calls if name.startswith("in_kernel") else call_target)
    for path, link in targets:
        link.pin(path)
    found: Outcome = {"links": {os.path.basename(path): link.name for path, link in targets if isinstance(link, Link)}}
    attached.close()
    before = hits(name)
    cause()
    found["ran"] = hits(name) - before
    for path, _ in targets:
        os.unlink(path)
    deadline = time.monotonic() + GRACE_S
    while True:
        before = hits(name)
        cause()
        found["after"] = hits(name) - before
        if not found["after"] or time.monotonic() > deadline:
            return found


def main(names: list[str]) -> dict[str, Any]:
    sections = {prog.name: prog.section for prog in LOADED_FROM.progs}
    with own_cgroup() as cgroup:
        places = Places(
            ifindex=socket.if_nametoindex("lo"), direction="egress", cgroup=cgroup, netns="/proc/self/ns/net",
            netfilter=(2, 1, -100), event="cpu-clock", freq=499,
        )  # fmt: skip
        found: dict[str, Any] = {}
        for name in names or list(LOADED.progs):
            places.map = LOADED.maps.get("elements" if "iter" in name else "sockets")
            found[name] = outcome(name, sections[name], places)
    variables: dict[str, Any] = next((map_[0] for map_ in LOADED.maps.values() if map_.name.endswith(".bss")), {})
    return found | {"variables": {name: value for name, value in variables.items() if not name.startswith("hits")}}


if __name__ == "__main__":
    from bcctool.elf.object import ObjectFile

    LOADED_FROM = ObjectFile(sys.argv[1])
    TARGET = sys.argv[2]
    LOADED: Loaded
    with load(LOADED_FROM) as LOADED:
        print(json.dumps(main(sys.argv[3:])))
