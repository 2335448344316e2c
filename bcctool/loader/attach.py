"""Attaching programs to what their sections name (`tp/sched/sched_switch`), by links that can be pinned.

Section names as the kernel's Documentation/bpf/libbpf/program_types.rst has them; a row each says what attaches them.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from ..btf import kinds
from ..errors import KernelError
from ..kernel import bpf, perf, proc, uapi
from ..objects.link import Link
from . import attach_kprobes, attach_places, attach_uprobes, sections
from .attach_places import Places
from .attach_usdt import usdt
from .attachment import Links, Request, perf_links

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..objects.handle import Handle
    from ..objects.map import Map
    from ..objects.prog import Prog

    Attacher = Callable[[Request], Link | Links | None]

CGROUP_DESCENDANTS = 2  # BPF_CGROUP_ITER_DESCENDANTS_PRE
MAP_ITERATORS = ("bpf_map_elem", "bpf_sk_storage_map", "sockmap")
ITER_INFO_SIZE = 16  # of union bpf_iter_link_info
SLEEPABLE = ".s"


def attach(
    prog: Prog,
    section: str,
    nomount: bool = False,
    places: Places | None = None,
    maps: Mapping[str, Map] | None = None,
) -> Link | Links | None:
    """What attaches a program as its section says; None when the section names no place and none was given.

    nomount: don't mount tracefs where it is missing. places: for programs whose sections name none. maps: those of the
    program's object, by name, which USDT probes fill. Error when there is no such place, or the kernel refuses.
    """
    name = section.removeprefix("?")
    row = sections.lookup(name)
    if row is None:
        return None
    request = Request(prog, name, row, places or Places(), maps or {}, nomount)
    how = BY_NAME.get(row.prefix.removesuffix(SLEEPABLE))
    if how is None:
        how = BY_PROG_TYPE.get(row.prog_type)
    elif not request.place:
        return None
    try:
        return how(request) if how else None
    except OSError as error:
        raise KernelError(request.failed, error.errno or 0, 255) from None


def pins(path: str, attached: Handle | Links) -> list[tuple[str, Handle]]:
    """Where to pin what, for the path of one pin: several links have their own behind its name (`NAME_cpu0`).

    Error where the kernel has no links for what attaches the program.
    """
    return attached.pins(path) if isinstance(attached, Links) else [(path, attached)]


def _raw_tracepoint(request: Request) -> Link:
    try:
        return Link(bpf.raw_tracepoint_open(request.prog.fd, request.place))
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
        raise request.error("there is no raw tracepoint of this name") from None


def _tracepoint(request: Request) -> Link | Links:
    category, slash, name = request.place.partition("/")
    if not slash or "/" in name or ".." in (category, name):
        raise request.error("it has to be tracepoint/CATEGORY/NAME")
    path = f"{proc.tracefs(request.nomount)}/events/{request.place}/id"
    try:
        with open(path, "rb", buffering=0) as file:
            id = int(file.read(16))
    except (OSError, ValueError):
        raise request.error(f"there is no tracepoint {request.place}") from None
    return perf_links(request, {"": perf.event(uapi.PERF_TYPE_TRACEPOINT, id, 0)})


def _loaded_for(request: Request) -> Link:
    """`fentry/FUNCTION`, `tp_btf/NAME`, `lsm/HOOK`, …: what the program was loaded for."""
    return Link(bpf.raw_tracepoint_open(request.prog.fd))


def _freplace(request: Request) -> Link:
    """`freplace/FUNCTION`: in the program that it was loaded for, or in another with a function of the same type."""
    other, function = request.places.take("prog"), request.places.take("function")
    if other is None or not function:
        return _loaded_for(request)
    types = other.types()
    id = types.find(function, kinds.FUNC) if types else None
    if id is None:
        raise request.error(f"program {other.id} has no function '{function}' (or no BTF that says so)")
    return Link(bpf.link_create(request.prog.fd, other.fd, 0, target_btf_id=id))


def _iterator(request: Request) -> Link | None:
    """`iter/KIND`: over all that there are, or over those of the map, cgroup or process that is given."""
    kind, fd = request.place, -1
    # union bpf_iter_link_info: a map's fd; a cgroup's order, fd and id; a task's tid, pid, pid_fd
    if kind in MAP_ITERATORS:
        map_ = request.places.take("map")
        if map_ is None:
            return None
        info = struct.pack("=I", map_.fd)
    elif kind == "cgroup":
        path = request.places.take("cgroup")
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) if path else -1
        info = struct.pack("=IIQ", CGROUP_DESCENDANTS, max(fd, 0), 0)
    elif kind.startswith("task") and (pid := request.places.take("pid")):
        info = struct.pack("=III", 0, pid, 0)
    else:
        return request.link(0)
    buffer = ctypes.create_string_buffer(info, ITER_INFO_SIZE)
    try:
        return request.link(0, iter_info=ctypes.addressof(buffer), iter_info_len=len(buffer))
    finally:
        if fd >= 0:
            os.close(fd)


# section without its place → what attaches programs that it names a place for
BY_NAME: dict[str, Attacher] = {
    "kprobe": attach_kprobes.kprobe,
    "kretprobe": attach_kprobes.kprobe,
    "ksyscall": attach_kprobes.ksyscall,
    "kretsyscall": attach_kprobes.ksyscall,
    "kprobe.multi": attach_kprobes.kprobe_multi,
    "kretprobe.multi": attach_kprobes.kprobe_multi,
    "kprobe.session": attach_kprobes.kprobe_multi,
    "uprobe": attach_uprobes.uprobe,
    "uretprobe": attach_uprobes.uprobe,
    "uprobe.multi": attach_uprobes.uprobe_multi,
    "uretprobe.multi": attach_uprobes.uprobe_multi,
    "uprobe.session": attach_uprobes.uprobe_multi,
    "usdt": usdt,
    "tracepoint": _tracepoint,
    "tp": _tracepoint,
    "raw_tracepoint": _raw_tracepoint,
    "raw_tracepoint.w": _raw_tracepoint,
    "raw_tp": _raw_tracepoint,
    "raw_tp.w": _raw_tracepoint,
    "tp_btf": _loaded_for,
    "fentry": _loaded_for,
    "fexit": _loaded_for,
    "fmod_ret": _loaded_for,
    "lsm": _loaded_for,
    "lsm_cgroup": attach_places.cgroup,
    "freplace": _freplace,
    "iter": _iterator,
}
# program type → what attaches its programs to a place that the user gives
BY_PROG_TYPE: dict[str, Attacher] = {
    "xdp": attach_places.device,
    "sched_cls": attach_places.device,
    "cgroup_device": attach_places.cgroup,
    "cgroup_skb": attach_places.cgroup,
    "cgroup_sock": attach_places.cgroup,
    "cgroup_sock_addr": attach_places.cgroup,
    "cgroup_sockopt": attach_places.cgroup,
    "cgroup_sysctl": attach_places.cgroup,
    "sock_ops": attach_places.cgroup,
    "flow_dissector": attach_places.netns,
    "sk_lookup": attach_places.netns,
    "netfilter": attach_places.netfilter,
    "sk_msg": attach_places.sockmap,
    "sk_skb": attach_places.sockmap,
    "perf_event": attach_places.perf_event,
}
