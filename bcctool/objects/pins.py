"""Pinned objects: what lies on the mounted bpf file systems."""

from __future__ import annotations

import ctypes
import os

from ..kernel import bpf, proc, uapi
from .handle import kind_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_INFO: dict[str, type[ctypes.Structure]] = {
    bpf.PROG: uapi.prog_info,
    bpf.MAP: uapi.map_info,
    bpf.LINK: uapi.link_info,
}


def pins(kind: str) -> dict[int, list[str]]:
    """Paths by object id of everything of one kind that is pinned on any mounted bpffs."""
    found: dict[int, list[str]] = {}
    for mount in dict.fromkeys(proc.mounts("bpf")):
        for path in _files(mount):
            id = _pinned_id(path, kind)
            if id is not None:
                found.setdefault(id, []).append(path)
    return found


def _files(top: str) -> Iterator[str]:
    for directory, _, names in os.walk(top):
        for name in names:
            yield os.path.join(directory, name)


def _pinned_id(path: str, kind: str) -> int | None:
    try:
        fd = bpf.obj_get(path)
    except OSError:
        return None
    try:
        if kind_of(fd) != kind:
            return None
        info = _INFO[kind]()
        bpf.fill_info(fd, info)
        return int(info.id)
    except OSError:
        return None
    finally:
        os.close(fd)
