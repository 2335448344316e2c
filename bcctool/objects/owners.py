"""Who holds an object: the processes with a descriptor of it, from /proc/PID/fdinfo."""

from __future__ import annotations

import os

from ..kernel import bpf, proc
from .handle import LINKS
from .holders import processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

_ID_FIELDS = {bpf.PROG: "prog_id", bpf.MAP: "map_id", bpf.LINK: "link_id", bpf.BTF: "btf_id"}


def owners(kind: str) -> dict[int, list[dict[str, int | str]]]:
    """{id: [{"pid": N, "comm": S}, ...]} for all objects of a kind that somebody holds, by ascending pid.

    This process is left out.
    """
    found: dict[int, dict[int, str]] = {}
    own = os.getpid()
    for pid in processes(kind):
        if pid != own:
            for _, id in held_ids(pid, (kind,), proc.descriptors(pid)):
                found.setdefault(id, {})[pid] = ""
    comms: dict[int, str] = {}
    for holders in found.values():
        for pid in holders:
            holders[pid] = comms[pid] = comms.get(pid) or proc.comm(pid)
    named: dict[int, list[dict[str, int | str]]] = {
        id: [{"pid": pid, "comm": comm} for pid, comm in holders.items() if comm] for id, holders in found.items()
    }
    return {id: holders for id, holders in named.items() if holders}  # a process without a name has ended meanwhile


def held_ids(pid: int, kinds: Collection[str], descriptors: Iterable[tuple[str, str]]) -> Iterator[tuple[str, int]]:
    """(kind, id) for each descriptor, of these of a process, of an object of these kinds."""
    for fd, target in descriptors:
        kind = LINKS.get(target)
        if kind is not None and kind in kinds:
            id = proc.fdinfo(fd, pid).get(_ID_FIELDS[kind], "")
            if id.isdigit():
                yield kind, int(id)
