"""Who holds an object: the processes with a descriptor of it, from /proc/PID/fdinfo (no iterator program needed)."""

from __future__ import annotations

import os

from ..kernel import bpf, proc
from .handle import LINKS

_ID_FIELDS = {bpf.PROG: "prog_id", bpf.MAP: "map_id", bpf.LINK: "link_id", bpf.BTF: "btf_id"}


def owners(kind: str) -> dict[int, list[dict[str, int | str]]]:
    """{id: [{"pid": N, "comm": S}, ...]} for all objects of a kind that somebody holds, by ascending pid.

    This process is left out.
    """
    found: dict[int, dict[int, str]] = {}
    targets = {target for target, its_kind in LINKS.items() if its_kind == kind}
    own = os.getpid()
    for pid in sorted(proc.pids()):
        if pid == own:
            continue
        for fd, target in proc.descriptors(pid):
            if target in targets:
                id = proc.fdinfo(fd, pid).get(_ID_FIELDS[kind], "")
                if id.isdigit():
                    found.setdefault(int(id), {})[pid] = ""
    comms: dict[int, str] = {}
    for holders in found.values():
        for pid in holders:
            holders[pid] = comms[pid] = comms.get(pid) or proc.comm(pid)
    named: dict[int, list[dict[str, int | str]]] = {
        id: [{"pid": pid, "comm": comm} for pid, comm in holders.items() if comm] for id, holders in found.items()
    }
    return {id: holders for id, holders in named.items() if holders}  # a process without a name has ended meanwhile
