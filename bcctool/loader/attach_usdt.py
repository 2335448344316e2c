"""Attaching to USDT probes: uprobes at their places, and maps that say where the arguments are (bpf/usdt.bpf.h).

The object brings the maps: `__bpf_usdt_specs`, an array of what is known about a place, and
`__bpf_usdt_ip_to_spec_id`, which finds the entry by address on kernels whose uprobes carry no cookie.
"""

from __future__ import annotations

import errno
import struct
import sys

from ..elf.usdt import CONST, INDEXED, MEMORY, REGISTER, Argument, Probe, arguments, probes
from ..errors import Error
from ..kernel import probe as kernel_probe
from .attach_kprobes import at_probe
from .attach_uprobes import find_file, multi_link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..objects.link import Link
    from ..objects.map import Map
    from .attachment import Links, Request

SPECS, IP_TO_ID = "__bpf_usdt_specs", "__bpf_usdt_ip_to_spec_id"
MAX_ARGUMENTS = 12
# struct __bpf_usdt_arg_spec: val_off, arg_type, reg_off, arg_signed, arg_bitshift. Since libbpf 1.6 arg_type has but
# the lowest byte of its word: behind it 12 bits are reg_off of an index register, and 4 the bits of its scale.
ARGUMENT = struct.Struct("=QIh?b")
SPEC = struct.Struct(f"={MAX_ARGUMENTS * ARGUMENT.size}sQh6x")  # struct __bpf_usdt_spec: args, usdt_cookie, arg_cnt
ARG_TYPES = {CONST: 0, REGISTER: 1, MEMORY: 2, INDEXED: 3}
MAX_SEMAPHORE = 1 << 32  # the bits that a perf event's config has for it


def usdt(request: Request) -> Link | Links:
    """`usdt/FILE:PROVIDER:NAME`: at each place of the probe; several make several links where one can't have many."""
    parts = request.place.rsplit(":", 2)
    if len(parts) != 3 or not all(parts):
        raise request.error(f"'{request.place}' is no FILE:PROVIDER:NAME")
    path = find_file(request, parts[0])
    with request.reading():
        found = probes(path, *parts[1:])
        specs = [_spec(probe) for probe in found]
    if any(probe.semaphore >= MAX_SEMAPHORE for probe in found):
        raise request.error("its semaphore lies too far behind in the file")
    ids = _remember(request, specs)
    if not kernel_probe.perf_cookie():
        _find_by_address(request, found, ids)
    offsets, semaphores = [probe.offset for probe in found], [probe.semaphore for probe in found]
    try:
        return multi_link(request, path, offsets, semaphores, ids)
    except OSError as error:  # the kernel can't, or the program was not loaded for it
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise
    places = [(path, offset, semaphore) for offset, semaphore in zip(offsets, semaphores, strict=True)]
    return at_probe(request, "uprobe", places, ids)


def _spec(probe: Probe) -> bytes:
    found = arguments(probe.machine, probe.arguments)
    if len(found) > MAX_ARGUMENTS:
        raise Error(f"the probe has {len(found)} arguments, {MAX_ARGUMENTS} are supported")
    return SPEC.pack(b"".join(map(packed, found)), 0, len(found))


def packed(argument: Argument) -> bytes:
    """An argument as struct __bpf_usdt_arg_spec."""
    type_ = ARG_TYPES[argument.kind] | argument.index << 8 | (argument.scale.bit_length() - 1) << 20
    shift = 64 - 8 * argument.size
    return ARGUMENT.pack(argument.value & (1 << 64) - 1, type_, argument.register, argument.signed, shift)


def _map(request: Request, name: str, value_size: int) -> Map:
    map_ = request.maps.get(name)
    if map_ is None:
        raise request.error(f"its object has no map {name}: does it include bpf/usdt.bpf.h?")
    if map_.info.value_size != value_size:
        raise request.error(f"the values of {name} have {map_.info.value_size} bytes, not {value_size}")
    return map_


def _remember(request: Request, specs: list[bytes]) -> list[int]:
    """The index of each spec in the map: of an equal one that is there already, else of a free entry, now taken.

    Nobody but the map knows what is taken, so that links of other processes over a map they share keep theirs. Where
    there are no arguments the spec looks like a free entry: it is the last one of these, which is taken last.
    """
    map_ = _map(request, SPECS, SPEC.size)
    empty = bytes(SPEC.size)
    entries: list[bytes] = []
    for _, values, n in map_.batches():
        entries += [bytes(values[at : at + SPEC.size]) for at in range(0, n * SPEC.size, SPEC.size)]
    ids = []
    for spec in specs:
        if spec not in entries and empty in entries:
            index = entries.index(empty)
            map_.update(index.to_bytes(4, sys.byteorder), spec, 0)
            entries[index] = spec
        if spec not in entries:
            raise request.error(f"no room in {SPECS} for more than {len(entries)} places: raise BPF_USDT_MAX_SPEC_CNT")
        ids.append(len(entries) - 1 - entries[::-1].index(spec))
    return ids


def _find_by_address(request: Request, found: list[Probe], ids: list[int]) -> None:
    map_ = _map(request, IP_TO_ID, 4)
    for probe, id in zip(found, ids, strict=True):
        if probe.relocated:
            raise request.error("this kernel tells probes of libraries not apart (cookies: since Linux 5.15)")
        map_.update(probe.address.to_bytes(8, sys.byteorder), id.to_bytes(4, sys.byteorder), 0)
