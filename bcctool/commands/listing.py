"""What the listings of programs, maps, links and BTF objects have in common."""

from __future__ import annotations

from ..escapes import printable
from ..kernel import proc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

Owners = dict[int, list[dict[str, "int | str"]]]
Paths = dict[int, list[str]]


def memlock(fd: int) -> dict[str, int]:
    """`bytes_memlock` of a program or map; nothing where the kernel does not tell."""
    value = proc.fdinfo(fd).get("memlock", "")
    return {"bytes_memlock": int(value)} if value.isdigit() else {}


def pinned_paths(paths: Paths | None, id: int) -> dict[str, list[str]]:
    """`pinned` of an object: present for all objects as soon as any is pinned, as in bpftool."""
    return {"pinned": paths.get(id, [])} if paths else {}


def holders(owners: Owners, id: int) -> dict[str, Any]:
    """`pids` of an object that processes hold."""
    return {"pids": owners[id]} if id in owners else {}


def pinned_text(record: dict[str, Any]) -> str:
    """`pinned PATH`, each on a line of its own."""
    return "".join(f"\n\tpinned {printable(path)}" for path in record.get("pinned", ()))


def holders_text(record: dict[str, Any]) -> str:
    """`pids comm(pid), comm(pid)` on a line of its own."""
    if "pids" not in record:
        return ""
    return "\n\tpids " + ", ".join(f"{printable(owner['comm'])}({owner['pid']})" for owner in record["pids"])


def offload(info: Any) -> dict[str, Any]:
    """`dev` of a program or map that lives on a network card, with its name if that is in our network namespace."""
    if not info.ifindex:
        return {}
    import os
    import socket

    device = {"ifindex": info.ifindex, "ns_dev": info.netns_dev, "ns_inode": info.netns_ino}
    try:
        own = os.stat("/proc/self/ns/net")
        if (own.st_dev, own.st_ino) == (info.netns_dev, info.netns_ino):
            device["ifname"] = socket.if_indextoname(info.ifindex)
    except OSError:
        pass
    return {"dev": device}


def offload_text(record: dict[str, Any]) -> str:
    """`  offloaded_to NAME`, or the numbers where the name is unknown."""
    device = record.get("dev")
    if device is None:
        return ""
    numbers = f"ifindex {device['ifindex']} ns_dev {device['ns_dev']} ns_ino {device['ns_inode']}"
    return f"  offloaded_to {printable(device['ifname']) if 'ifname' in device else numbers}"
