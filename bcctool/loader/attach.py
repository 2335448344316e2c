"""Attaching programs to what their sections name (`tp/sched/sched_switch`), by links that can be pinned."""

from __future__ import annotations

import ctypes
import os
from functools import partial

from ..errors import Error, KernelError
from ..kernel import bpf, perf, proc, uapi
from ..objects.link import Link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..objects.prog import Prog

PROBES = "/sys/bus/event_source/devices"
PERF_EVENT = uapi.ATTACH_TYPES.index("perf_event")
_RETPROBE = 1  # bit 0 of a probe's config


def attach(prog: Prog, section: str, nomount: bool = False) -> Link | None:
    """The link that attaches a program as its section says; None when the section names no place to attach to.

    nomount: don't mount tracefs where it is missing. Error when there is no such place, or the kernel refuses.
    """
    prefix, _, target = section.partition("/")
    how = ATTACHING.get(prefix)
    if how is None or not target:
        return None
    try:
        return Link(how(prog, target, nomount))
    except OSError as error:
        raise KernelError(f"can't attach program '{prog.full_name}' to {section}", error.errno or 0, 255) from None


def _raw_tracepoint(prog: Prog, name: str, nomount: bool) -> int:
    return bpf.raw_tracepoint_open(prog.fd, name)


def _tracepoint(prog: Prog, name: str, nomount: bool) -> int:
    path = f"{proc.tracefs(nomount)}/events/{name}/id"
    try:
        with open(path, "rb", buffering=0) as file:
            id = int(file.read(16))
    except (OSError, ValueError):
        raise Error(f"can't attach program '{prog.full_name}': there is no tracepoint {name}") from None
    return _perf_link(prog, uapi.PERF_TYPE_TRACEPOINT, id)


def _kprobe(config: int, prog: Prog, place: str, nomount: bool) -> int:
    return _probe(prog, "kprobe", config, *_function(prog, place))


def _uprobe(config: int, prog: Prog, place: str, nomount: bool) -> int:
    return _probe(prog, "uprobe", config, *_place_in_file(prog, place))


def _function(prog: Prog, place: str) -> tuple[str, int]:
    """A function, and the offset in it, of `do_sys_open+4`."""
    name, plus, offset = place.partition("+")
    if plus and not offset.isdigit():
        raise Error(f"can't attach program '{prog.full_name}': '{place}' is no function and offset")
    return name, int(offset or 0)


def _place_in_file(prog: Prog, place: str) -> tuple[str, int]:
    """A file, and the offset in it, of `/path/of/library:function+4`."""
    path, colon, function = place.rpartition(":")
    if not colon or not path.startswith("/"):
        raise Error(f"can't attach program '{prog.full_name}': '{place}' is no path and function")
    from ..elf.native import function_offset

    name, offset = _function(prog, function)
    return path, function_offset(path, name) + offset


def _probe(prog: Prog, kind: str, config: int, where: str, offset: int) -> int:
    """kind: "kprobe" or "uprobe"; where: the function's name, or the file's."""
    try:
        with open(f"{PROBES}/{kind}/type", "rb", buffering=0) as file:
            type_ = int(file.read(16))
    except OSError:
        raise Error(f"can't attach program '{prog.full_name}': this kernel has no {kind}s") from None
    name = ctypes.create_string_buffer(os.fsencode(where))
    return _perf_link(prog, type_, config, ctypes.addressof(name), offset)


def _perf_link(prog: Prog, type_: int, config: int, config1: int = 0, config2: int = 0) -> int:
    """A link over a perf event, which lives as long as the link."""
    event = perf.event(type_, config, 0, config1, config2)
    try:
        return bpf.link_create(prog.fd, event, PERF_EVENT)
    finally:
        os.close(event)


# first part of a section's name → what makes a link of a program and the rest of the name
ATTACHING: dict[str, Callable[[Prog, str, bool], int]] = {
    "raw_tracepoint": _raw_tracepoint,
    "raw_tp": _raw_tracepoint,
    "tracepoint": _tracepoint,
    "tp": _tracepoint,
    "kprobe": partial(_kprobe, 0),
    "kretprobe": partial(_kprobe, _RETPROBE),
    "uprobe": partial(_uprobe, 0),
    "uretprobe": partial(_uprobe, _RETPROBE),
}
