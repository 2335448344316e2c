"""map event_pipe: what programs send by bpf_perf_event_output, as it comes, until a signal ends it."""

from __future__ import annotations

import select as polling
import struct
import sys
from contextlib import ExitStack, closing, suppress
from functools import partial

from ..errors import GENERIC, Error, KernelError
from ..kernel import perf_ring, proc, uapi
from ..kernel.perf_ring import PERF_RECORD_LOST, PERF_RECORD_SAMPLE, Ring
from ..output import Rendered, dumps, newline
from . import select
from .interrupts import woken
from .map_format import hex_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..objects.map import Map
    from ..verbs import Args

    Places = list[tuple[int, int]]
    """(CPU, index in the map)"""

MAX_INT = 0x7FFFFFFF
PAIR = 2  # a keyword and its number
_U32 = struct.Struct("=I")


def run(args: Args) -> Rendered:
    """Take MAP [cpu N index M]."""
    map_ = select.map_(args)
    try:
        if map_.type != "perf_event_array":
            raise Error("map is not a perf event array")
        places = take_places(args) or [(cpu, cpu) for cpu in proc.online_cpus() if cpu < map_.info.max_entries]
    except Error:
        map_.close()
        raise
    return Rendered(partial(chunks, map_, places), live=True)


def take_places(args: Args) -> Places:
    """What `cpu N index M` says, in either order; nothing without words."""
    given: dict[str, int] = {}
    while args:
        keyword = args.accept("cpu", "index") if len(args) >= PAIR else None
        if keyword is None:
            raise Error(f"what is '{args.peek()}'?")
        given[keyword] = args.number("CPU ID" if keyword == "cpu" else "index", MAX_INT)
    if len(given) == 1:
        raise Error("cpu and index must be specified together")
    return [(given["cpu"], given["index"])] if given else []


def chunks(map_: Map, places: Places, style: str, depth: int) -> Iterator[str]:
    """The records that come until a signal; in JSON an array of objects, closed then. It closes the map."""
    pretty, separator = style == "pretty", "["
    with map_:
        for found in batches(map_, places):
            if style == "plain":
                yield "".join(map(text, found))
                continue
            yield separator + ",".join([dumps(record, pretty, depth + 1) for record in found])
            separator = ","
    if style != "plain":
        yield newline(pretty, depth) + "]" if separator == "," else "[]"


def batches(map_: Map, places: Places) -> Iterator[list[dict[str, Any]]]:
    """Records of one CPU each, in their order, as they come. A signal that ends commands ends them."""
    with woken() as ending, ExitStack() as stack:
        rings = []
        for cpu, index in places:
            ring = stack.enter_context(closing(ring_at(map_, cpu, index)))
            stack.callback(withdraw, map_, index)
            rings.append((cpu, index, ring))
        poll = polling.poll()
        for fd in (ending, *(ring.fd for _, _, ring in rings)):
            poll.register(fd, polling.POLLIN)
        ended = False
        while not ended:
            ended = wait(poll, ending)
            for cpu, index, ring in rings:
                if data := ring.read():
                    yield [describe(cpu, index, type_, body) for type_, body in perf_ring.records(data)]
        sys.stderr.write("Stopping...\n")


def wait(poll: polling.poll, ending: int) -> bool:
    """Wait until some descriptor can be read; whether it is this one."""
    found = poll.poll()
    for fd, events in found:
        if not events & polling.POLLIN:  # a CPU that is gone says so for ever
            poll.unregister(fd)
    return any(fd == ending for fd, _ in found)


def ring_at(map_: Map, cpu: int, index: int) -> Ring:
    """A ring that has what programs send to an index of the map on a CPU. KernelError when the kernel refuses."""
    try:
        ring = Ring(cpu)
    except OSError as error:
        raise KernelError(f"can't make a perf buffer on CPU {cpu}", error.errno or 0, GENERIC) from None
    try:
        map_.update(_U32.pack(index), _U32.pack(ring.fd))
    except KernelError as error:
        ring.close()
        what = f"can't put the perf buffer of CPU {cpu} at index {index} of map {map_.id}"
        raise KernelError(what, error.errno, GENERIC) from None
    return ring


def withdraw(map_: Map, index: int) -> None:
    """Take a ring out of the map, where the kernel doesn't.

    Most maps lose what a descriptor of theirs has put in when that is closed, and only that: what somebody else has put
    in its place meanwhile stays.
    """
    if map_.info.map_flags & uapi.BPF_F_PRESERVE_ELEMS:
        with suppress(KernelError):  # somebody else has
            map_.delete(_U32.pack(index))


def describe(cpu: int, index: int, type_: int, body: bytes) -> dict[str, Any]:
    """A record of a ring in the shape of the JSON output; `data` are the bytes of a sample."""
    record: dict[str, Any] = {"type": type_, "cpu": cpu, "index": index}
    if type_ == PERF_RECORD_SAMPLE:
        record["timestamp"], record["data"] = perf_ring.sample(body)
    elif type_ == PERF_RECORD_LOST:
        id, count = perf_ring.lost(body)
        record["lost"] = {"id": id, "count": count}
    else:
        record["size"] = perf_ring.HEADER_SIZE + len(body)
    return record


def text(record: dict[str, Any]) -> str:
    """A record as plain text."""
    if "data" in record:
        seconds, nanoseconds = divmod(record["timestamp"], 10**9)
        where = f"CPU: {record['cpu']} index: {record['index']}"
        return f"== @{seconds}.{nanoseconds:09} {where} =====\n{hex_lines(record['data'])}\n"
    if "lost" in record:
        return f"lost {record['lost']['count']} events\n"
    return f"unknown event type={record['type']} size={record['size']}\n"
