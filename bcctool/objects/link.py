"""Live links: what attaches a program for as long as it is open or pinned (linux/bpf.h, struct bpf_link_info)."""

from __future__ import annotations

import ctypes

from ..kernel import bpf, uapi
from .handle import Handle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Buffers = tuple[tuple[str, str, int], ...]

MAX_PATH = 4096
NUMBER = 8  # bytes of an element

# struct in link_info → its pointers: field, field with the length, bytes of an element (1: a string)
BUFFERS: dict[str, Buffers] = {
    "raw_tracepoint": (("tp_name", "tp_name_len", 1),),
    "iter": (("target_name", "target_name_len", 1),),
    "kprobe_multi": (("addrs", "count", NUMBER), ("cookies", "count", NUMBER)),
    "uprobe_multi": (
        ("path", "path_size", 1),
        ("offsets", "count", NUMBER),
        ("ref_ctr_offsets", "count", NUMBER),
        ("cookies", "count", NUMBER),
    ),
}
# The same for the structs in link_info.perf_event.
PERF_BUFFERS: dict[str, Buffers] = {
    "uprobe": (("file_name", "name_len", 1),),
    "kprobe": (("func_name", "name_len", 1),),
    "tracepoint": (("tp_name", "name_len", 1),),
}
# enum bpf_perf_event_type → the struct of that kind
PERF_STRUCTS = {1: "uprobe", 2: "uprobe", 3: "kprobe", 4: "kprobe", 5: "tracepoint", 6: "event"}
RETURN_PROBES = (2, 4)


class Link(Handle):
    """A link."""

    KIND = bpf.LINK
    NOUN = "link"
    BY_ID = "failed to get link with ID {}"
    INFO = uapi.link_info

    @property
    def name(self) -> str:
        """Links have no name: their type, "perf_event", "raw_tracepoint", …; an unknown one as its number."""
        return uapi.LINK_TYPES[self.info.type] if self.info.type < len(uapi.LINK_TYPES) else str(self.info.type)

    def details(self) -> dict[str, Any]:
        """What the kernel tells of this type of link, by its field names: numbers, names as str, arrays as lists.

        For a perf event also `kind` (enum bpf_perf_event_type). Empty for types without any fields.
        """
        place, buffers = self._place()
        if not place or not hasattr(self.info, place[0]):
            return {}
        # Kernels before 6.9 know no cookies of kprobe_multi: some refuse to hear of the field.
        for chosen in (buffers, tuple(row for row in buffers if row[0] != "cookies")):
            try:
                info, rooms = self._asked(place, chosen)
                break
            except OSError:
                info, rooms = self.info, {}
        found = _numbers(_within(info, place))
        for field, _, size in buffers:
            room = rooms.get(field)
            if size == 1:
                found[field] = room.value.decode("utf-8", "backslashreplace") if room else ""
            else:
                found[field] = memoryview(room.raw).cast("Q").tolist() if room else [0] * found["count"]
        return found | ({"kind": self.info.perf_event.type} if place[0] == "perf_event" else {})

    def _place(self) -> tuple[tuple[str, ...], Buffers]:
        """Path to the struct of the link's type in link_info, none when there is no such; its pointers."""
        if self.name != "perf_event":
            return (self.name,), BUFFERS.get(self.name, ())
        kind = PERF_STRUCTS.get(self.info.perf_event.type)
        return (("perf_event", kind), PERF_BUFFERS.get(kind, ())) if kind else ((), ())

    def _asked(self, place: tuple[str, ...], chosen: Buffers) -> tuple[Any, dict[str, Any]]:
        """A fresh info struct, and the buffers that the kernel has filled for the chosen pointers."""
        info, known = self.INFO(), _within(self.info, place)
        asked, rooms = _within(info, place), {}
        for field, length, size in chosen:
            # A path may grow when a directory is renamed; the kernel says no length for the names of perf events.
            count = MAX_PATH if size == 1 else getattr(known, length)
            if count:
                rooms[field] = ctypes.create_string_buffer(count * size)
                setattr(asked, field, ctypes.addressof(rooms[field]))
                setattr(asked, length, count)
        bpf.fill_info(self.fd, info)
        return info, rooms

    def detach(self) -> None:
        """Detach what the link attached; it stays as long as somebody holds it. OSError if its type can't."""
        bpf.link_detach(self.fd)


def _within(info: Any, place: tuple[str, ...]) -> Any:
    for name in place:
        info = getattr(info, name)
    return info


def _numbers(part: Any) -> dict[str, Any]:
    """The fields of a struct, those of structs in it among them."""
    found: dict[str, Any] = {}
    for field, *_ in part._fields_:
        value = getattr(part, field)
        found |= {field: value} if isinstance(value, int) else _numbers(value)
    return found
