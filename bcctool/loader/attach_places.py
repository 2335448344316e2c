"""Attaching where no section's name can say: to devices, cgroups, network namespaces, maps, events (linux/bpf.h)."""

from __future__ import annotations

import errno
import os

from ..errors import KernelError
from ..escapes import printable
from ..kernel import perf, proc, uapi
from ..kernel.versions import attach_type_since
from .attachment import perf_links

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..objects.link import Link
    from ..objects.map import Map
    from ..objects.prog import Prog
    from .attachment import Links, Request

DIRECTIONS = ("ingress", "egress")
TC = ("tc", "classifier")  # sections whose programs go either way
FROM_MAPS = ("xdp_devmap", "xdp_cpumap")  # such programs run from the entries of maps
NETFILTER_HOOKS = {"prerouting": 0, "input": 1, "forward": 2, "output": 3, "postrouting": 4}
NETFILTER_FAMILIES = {"ip": 2, "ip6": 10}
_HARDWARE, _SOFTWARE = uapi.PERF_TYPE_HARDWARE, uapi.PERF_TYPE_SOFTWARE
EVENTS = {
    "cpu-clock": (_SOFTWARE, uapi.PERF_COUNT_SW_CPU_CLOCK),
    "task-clock": (_SOFTWARE, uapi.PERF_COUNT_SW_TASK_CLOCK),
    "page-faults": (_SOFTWARE, uapi.PERF_COUNT_SW_PAGE_FAULTS),
    "minor-faults": (_SOFTWARE, uapi.PERF_COUNT_SW_PAGE_FAULTS_MIN),
    "major-faults": (_SOFTWARE, uapi.PERF_COUNT_SW_PAGE_FAULTS_MAJ),
    "context-switches": (_SOFTWARE, uapi.PERF_COUNT_SW_CONTEXT_SWITCHES),
    "cgroup-switches": (_SOFTWARE, uapi.PERF_COUNT_SW_CGROUP_SWITCHES),
    "cpu-migrations": (_SOFTWARE, uapi.PERF_COUNT_SW_CPU_MIGRATIONS),
    "alignment-faults": (_SOFTWARE, uapi.PERF_COUNT_SW_ALIGNMENT_FAULTS),
    "emulation-faults": (_SOFTWARE, uapi.PERF_COUNT_SW_EMULATION_FAULTS),
    "cycles": (_HARDWARE, uapi.PERF_COUNT_HW_CPU_CYCLES),
    "instructions": (_HARDWARE, uapi.PERF_COUNT_HW_INSTRUCTIONS),
    "cache-references": (_HARDWARE, uapi.PERF_COUNT_HW_CACHE_REFERENCES),
    "cache-misses": (_HARDWARE, uapi.PERF_COUNT_HW_CACHE_MISSES),
    "branches": (_HARDWARE, uapi.PERF_COUNT_HW_BRANCH_INSTRUCTIONS),
    "branch-misses": (_HARDWARE, uapi.PERF_COUNT_HW_BRANCH_MISSES),
    "bus-cycles": (_HARDWARE, uapi.PERF_COUNT_HW_BUS_CYCLES),
    "ref-cycles": (_HARDWARE, uapi.PERF_COUNT_HW_REF_CPU_CYCLES),
    "stalled-cycles-frontend": (_HARDWARE, uapi.PERF_COUNT_HW_STALLED_CYCLES_FRONTEND),
    "stalled-cycles-backend": (_HARDWARE, uapi.PERF_COUNT_HW_STALLED_CYCLES_BACKEND),
}
"""What perf(1) calls the kernel's events: type, config."""
DEFAULT_FREQ = 99  # samples a second: no multiple of what timers do


class Places:
    """Where to attach programs whose sections don't say; each kind of program takes what it can use.

    ifindex: of a network device, direction: "ingress" or "egress" for tc programs that go either way, xdp_flags:
    XDP_FLAGS_*_MODE. cgroup, netns: paths. netfilter: protocol family (2: IPv4, 10: IPv6), hook, priority. event: a
    name of EVENTS or (type, config), with a sample every `period` counts or `freq` times a second. map: for sockmap
    programs, and for iterators over a map's elements. pid: the one process for iterators over tasks. prog, function:
    where `freplace` goes, if not where it was loaded for.
    """

    def __init__(self, **given: Any) -> None:
        self.ifindex = self.xdp_flags = self.pid = self.period = self.freq = 0
        self.direction = self.cgroup = self.netns = self.function = ""
        self.netfilter: tuple[int, int, int] | None = None
        self.event: str | tuple[int, int] = ""
        self.map: Map | None = None
        self.prog: Prog | None = None
        self._free: set[str] = set()
        for name, value in given.items():
            if name not in vars(self):
                raise TypeError(f"no place {name!r}")
            setattr(self, name, value)
            self._free.add(name)

    def take(self, name: str) -> Any:
        """A place for a program, as it was given; any number of programs may have it."""
        self._free.discard(name)
        return getattr(self, name)

    @property
    def unused(self) -> list[str]:
        """Places that were given, and that no program took so far."""
        return sorted(self._free)


def device(request: Request) -> Link | None:
    """XDP, tcx and netkit programs: `ifindex`."""
    places, attach_type = request.places, request.row.attach_type
    if not places.ifindex or attach_type in FROM_MAPS:
        return None
    if request.row.prefix in TC:
        if not places.direction:
            raise request.error("its section does not say which way: give `to dev NAME ingress` or `egress`")
        attach_type = f"tcx_{places.take('direction')}"
    flags = places.take("xdp_flags") if attach_type == "xdp" else 0
    return _linked(request, places.take("ifindex"), attach_type, flags=flags)


def cgroup(request: Request) -> Link | None:
    """Programs of cgroups: `cgroup`."""
    path = request.places.take("cgroup")
    if not path:
        return None
    if not request.row.attach_type:
        raise request.error("its section does not say which way: name it cgroup_skb/ingress or cgroup_skb/egress")
    return _at_path(request, path, os.O_DIRECTORY)


def netns(request: Request) -> Link | None:
    """Flow dissectors and socket lookups: `netns`."""
    path = request.places.take("netns")
    return _at_path(request, path, 0) if path else None


def netfilter(request: Request) -> Link | None:
    """Netfilter programs: `netfilter`, in the network namespace of this process."""
    where = request.places.take("netfilter")
    if where is None:
        return None
    pf, hook, priority = where
    return _linked(request, 0, "", netfilter={"pf": pf, "hooknum": hook, "priority": priority})


def sockmap(request: Request) -> Link | None:
    """Programs of socket maps (sk_skb, sk_msg): `map`."""
    map_ = request.places.take("map")
    if map_ is None:
        return None
    if not request.row.attach_type:
        raise request.error("its section does not say for what: sk_skb/stream_parser, stream_verdict or verdict")
    return _linked(request, map_.fd, "")


def perf_event(request: Request) -> Link | Links | None:
    """Programs of perf events: `event`, on each CPU that runs. Links that are pinned as NAME_cpuN."""
    name = request.places.take("event")
    if not name:
        return None
    type_, config = EVENTS[name] if isinstance(name, str) else name
    period = request.places.take("period")
    freq = request.places.take("freq") or (0 if period else DEFAULT_FREQ)
    events: dict[str, int] = {}
    try:
        for cpu in proc.online_cpus():
            events[f"_cpu{cpu}"] = perf.event(type_, config, cpu, period=period, freq=freq)
    except OSError as error:
        for event in events.values():
            os.close(event)
        if error.errno not in (errno.ENOENT, errno.EOPNOTSUPP):
            raise
        raise request.error(f"this machine does not count {name}") from None
    return perf_links(request, events)


def _at_path(request: Request, path: str, flags: int) -> Link:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    except OSError as error:
        raise KernelError(f"{request.failed}: {printable(path)}", error.errno or 0, 255) from None
    try:
        return _linked(request, fd, "")
    finally:
        os.close(fd)


def _linked(request: Request, target: int, attach_type: str, **fields: Any) -> Link:
    """A link, or an error that says what the numbers of the kernel mean here."""
    try:
        return request.link(target, attach_type, **fields)
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise request.error("something else is attached there, which has to go first") from None
        if error.errno != errno.EINVAL:
            raise
        release = attach_type_since(uapi.ATTACH_TYPES.index(attach_type or request.row.attach_type))
        hint = f"can it do such links (the hook: since Linux {release})?"
        raise request.error(f"the kernel refuses it there: {hint}") from None
