"""Attaching to functions of the kernel: kprobes, system calls, and many functions at once (Documentation/trace)."""

from __future__ import annotations

import ctypes
import errno
import os

from ..elf.native import WILDCARDS, compiled
from ..errors import Error
from ..kernel import perf, probe, proc
from ..verbs import parse_number
from .attachment import perf_links

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..objects.link import Link
    from .attachment import Links, Request

PMUS = "/sys/bus/event_source/devices"
RETPROBE = 1  # bit 0 of a probe's config
MULTI_RETURN = 1  # BPF_F_KPROBE_MULTI_RETURN, BPF_F_UPROBE_MULTI_RETURN
RETURNS = ("kretprobe", "kretsyscall", "uretprobe")  # how the sections begin that are about the end of a function


def kprobe(request: Request) -> Link | Links:
    """`kprobe/FUNCTION[+OFFSET]`, `kretprobe/FUNCTION`"""
    return _kprobe(request, *function_and_offset(request, request.place))


def ksyscall(request: Request) -> Link | Links:
    """`ksyscall/NAME`: the kernel's function of a system call, whatever it is called on this machine."""
    function = probe.syscall_function(proc.KernelSymbols(), request.place)
    if not function:
        raise request.error("the kernel has no such system call (or hides its symbols: are you root?)")
    return _kprobe(request, function, 0)


def _kprobe(request: Request, function: str, offset: int) -> Link | Links:
    try:
        return at_probe(request, "kprobe", [(function, offset, 0)])
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
        raise request.error(f"the kernel has no function '{function}' that can be probed") from None


def function_and_offset(request: Request, place: str) -> tuple[str, int]:
    """A function, and the offset in it, of `do_sys_open+4`. Error for a return probe with an offset."""
    name, plus, number = place.partition("+")
    offset = parse_number(number) if plus else 0
    if not name or offset is None or offset >= 1 << 63:
        raise request.error(f"'{place}' is no function and offset")
    if offset and is_return(request):
        raise request.error("a function ends where it ends: the offset has to go")
    return name, offset


def is_return(request: Request) -> bool:
    """Whether the section is about the end of a function."""
    return request.row.prefix.startswith(RETURNS)


def at_probe(
    request: Request, kind: str, places: list[tuple[str, int, int]], cookies: list[int] | None = None
) -> Link | Links:
    """Attach to probes of a kind ("kprobe" or "uprobe"), each by (function or file, offset, offset of its semaphore).

    Several make several links. Error where the kernel has no such probes, OSError where it refuses one.
    """
    try:
        with open(f"{PMUS}/{kind}/type", "rb", buffering=0) as file:
            type_ = int(file.read(16))
    except (OSError, ValueError):
        raise request.error(f"this kernel has no {kind}s (CONFIG_{kind.upper()}_EVENTS)") from None
    events: dict[str, int] = {}
    try:
        for number, (where, offset, semaphore) in enumerate(places):
            name = ctypes.create_string_buffer(os.fsencode(where))
            config = (RETPROBE if is_return(request) else 0) | semaphore << 32
            events[f"_{number}"] = perf.event(type_, config, 0, ctypes.addressof(name), offset)
    except OSError:
        for event in events.values():
            os.close(event)
        raise
    return perf_links(request, events, cookies)


def kprobe_multi(request: Request) -> Link:
    """`kprobe.multi/PATTERN`, `kretprobe.multi/PATTERN`, `kprobe.session/PATTERN`: one link for all that match."""
    session = request.row.prefix.startswith("kprobe.session")
    flags = MULTI_RETURN if is_return(request) else 0
    pattern = request.place
    if any(wildcard in pattern for wildcard in WILDCARDS):
        addresses = _addresses(request)
        array = (ctypes.c_uint64 * len(addresses))(*addresses)
        fields = {"flags": flags, "cnt": len(array), "addrs": ctypes.addressof(array)}
    else:
        name = ctypes.create_string_buffer(pattern.encode())
        array = (ctypes.c_uint64 * 1)(ctypes.addressof(name))
        fields = {"flags": flags, "cnt": 1, "syms": ctypes.addressof(array)}
    try:
        return request.link(0, "trace_kprobe_session" if session else "trace_kprobe_multi", kprobe_multi=fields)
    except OSError as error:
        if error.errno in (errno.ESRCH, errno.ENOENT):
            raise request.error(f"no function matches '{pattern}' that can be traced") from None
        if error.errno in (errno.EINVAL, errno.EOPNOTSUPP):
            since = "6.10" if session else "5.18, CONFIG_FPROBE"
            raise request.error(f"this kernel refuses it: can it do such links (since Linux {since})?") from None
        raise


def _addresses(request: Request) -> list[int]:
    """The addresses of the functions that match and can be traced, ascending. Error when there are none."""
    matches = compiled(request.place).match
    found = sorted({address for name, address in _traceable(request) if matches(name)} - {0})
    if not found:
        raise request.error(f"no function matches '{request.place}' that can be traced")
    return found


def _traceable(request: Request) -> list[tuple[str, int]]:
    """Name and address of all functions that can be traced; before Linux 6.5 those whose names are unique."""
    base = f"{proc.tracefs(request.nomount)}/available_filter_functions"
    try:
        lines = proc.read_file(f"{base}_addrs").decode("ascii", "replace").splitlines()
        return [(words[1], int(words[0], 16)) for words in map(str.split, lines) if len(words) > 1]
    except Error:
        pass
    try:
        names = {line.partition(" ")[0] for line in proc.read_file(base).decode("ascii", "replace").splitlines()}
    except Error:
        raise request.error("this kernel lists no functions that can be traced (CONFIG_FUNCTION_TRACER)") from None
    addresses: dict[str, list[int]] = {}
    for name, address in proc.KernelSymbols():
        if name in names:
            addresses.setdefault(name, []).append(address)
    return [(name, found[0]) for name, found in addresses.items() if len(found) == 1]
