"""bcc list: what processes have in the kernel, by their descriptors; no BTF and no program of ours is needed for it."""

from __future__ import annotations

import os
import sys

from ..errors import Error
from ..escapes import printable
from ..kernel import bpf, proc
from ..objects.link import Link
from ..objects.map import Map
from ..objects.owners import held_ids
from ..objects.prog import Prog
from ..verbs import Args
from . import link_show, perf
from .prog_header import type_field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    Record = dict[str, Any]
    Places = dict[int, list[str]]

MAX_WORDS = 64  # of a command line


def run(args: Args) -> Iterator[Record]:
    """Take [pid PID]: a record for each process that has anything. Error when we may not look, or there is no PID."""
    wanted = None
    if args:
        args.expect("pid")
        wanted = args.number("PID")
        args.end()
        if not os.path.exists(f"/proc/{wanted}"):
            raise Error(f"no process {wanted}")
        if proc.is_hidden(wanted):
            raise Error(f"can't see the descriptors of process {wanted}: CAP_SYS_PTRACE is needed")
    next(Prog.ids(), None)  # an Error for those who may not ask the kernel
    return records(sorted(proc.pids()) if wanted is None else [wanted])


def records(pids: Iterable[int]) -> Iterator[Record]:
    """What each of these processes has; this one, those without anything, and those that end meanwhile are left out."""
    links, hidden = Links(), 0
    for pid in pids:
        if pid == os.getpid():
            continue
        record = process(pid, links)
        if record:
            yield record
        else:
            hidden += proc.is_hidden(pid)
    if hidden:
        sys.stderr.write(f"Warning: the descriptors of {hidden} processes can't be seen without CAP_SYS_PTRACE\n")


class Links:
    """All links of the kernel, read once: the place where each is, and for each program the places of its links."""

    def __init__(self) -> None:
        self.records: dict[int, Record] = {}
        self.places: Places = {}
        for link in Link.all():
            try:
                record = link_show.describe(link, None, {})
            except (Error, OSError):
                continue  # it is gone
            kind = "" if record["type"] == "perf_event" else record["type"]  # its place says what it is
            text = f"{kind} {link_show.place(record)}".strip()
            self.records[link.id] = {"id": link.id, "type": record["type"], "prog_id": link.info.prog_id, "place": text}
            self.places.setdefault(link.info.prog_id, []).append(text)


def process(pid: int, links: Links) -> Record | None:
    """The record of a process, None when it has nothing or is gone."""
    held: dict[str, set[int]] = {bpf.PROG: set(), bpf.MAP: set(), bpf.LINK: set()}
    descriptors = list(proc.descriptors(pid))
    for kind, id in held_ids(pid, held, descriptors):
        held[kind].add(id)
    events = list(perf_events(pid, descriptors))
    if not events and not any(held.values()):
        return None
    attached: Places = {}
    for event in events:
        attached.setdefault(event["prog_id"], []).append(f"{event['fd_type']} {perf.place(event)}")
    own_links = [links.records[id] for id in sorted(held[bpf.LINK]) if id in links.records]
    progs = held[bpf.PROG] | {row["prog_id"] for row in (*events, *own_links) if row["prog_id"]}
    comm = proc.comm(pid)
    if not comm:
        return None
    return {
        "pid": pid,
        "comm": comm,
        "cmdline": proc.cmdline(pid)[:MAX_WORDS],
        "progs": list(rows(Prog, progs, (links.places, attached))),
        "maps": list(rows(Map, held[bpf.MAP], ())),
        "links": own_links,
        "perf_events": events,
    }


def perf_events(pid: int, descriptors: Iterable[tuple[str, str]]) -> Iterator[Record]:
    """The perf events with programs among the descriptors of a process, as `perf show` has them."""
    for fd, target in descriptors:
        if target in perf.TARGETS and target not in perf.LINK_TARGETS:
            try:
                record = perf.describe(pid, int(fd), *bpf.task_fd_query(pid, int(fd)))
            except OSError:
                continue
            record.pop("pid")
            yield record


def rows(kind: type[Prog] | type[Map], ids: Iterable[int], places: Iterable[Places]) -> Iterator[Record]:
    """The records of programs or maps; those that are gone are left out."""
    for id in sorted(ids):
        try:
            handle = kind.from_id(id)
        except Error:
            continue
        with handle:
            record: Record = {"id": id, "type": type_field(handle.type)}
            name = handle.full_name if isinstance(handle, Prog) else handle.name
            record |= {"name": name} if name else {}
            if isinstance(handle, Prog):
                record["attached"] = list(dict.fromkeys(place for known in places for place in known.get(id, ())))
            else:
                info = handle.info
                record |= {"bytes_key": info.key_size, "bytes_value": info.value_size, "max_entries": info.max_entries}
            yield record


def text(record: Record) -> str:
    """A process, and below it a line for each thing that it has."""
    lines = [f"{record['pid']}: {printable(record['comm'])}  {printable(' '.join(record['cmdline']))}".rstrip()]
    for row in record["progs"]:
        lines.append(f"prog {_named(row)}" + "".join(f"  {printable(place)}" for place in row["attached"]))
    for row in record["maps"]:
        sizes = f"key {row['bytes_key']}B  value {row['bytes_value']}B  max_entries {row['max_entries']}"
        lines.append(f"map {_named(row)}  {sizes}")
    lines += [f"link {row['id']}: prog {row['prog_id']}  {printable(row['place'])}" for row in record["links"]]
    for row in record["perf_events"]:
        lines.append(f"perf_event fd {row['fd']}: prog {row['prog_id']}  {row['fd_type']} {printable(perf.place(row))}")
    return "\n\t".join(lines) + "\n"


def _named(row: Record) -> str:
    type_ = row["type"]
    name = f"  name {printable(row['name'])}" if "name" in row else ""
    return f"{row['id']}: {type_ if isinstance(type_, str) else f'type {type_}'}{name}"


def table_rows(record: Record) -> Iterator[Record]:
    """The same as rows of a table: one for each thing."""
    who = {"pid": record["pid"], "comm": record["comm"]}
    for row in record["progs"]:
        yield who | row | {"kind": "prog", "places": row["attached"]}
    for row in record["maps"]:
        yield who | row | {"kind": "map"}
    for row in record["links"]:
        yield who | {"kind": "link", "id": row["id"], "type": row["type"], "places": [row["place"]]}
    for row in record["perf_events"]:
        yield who | {"kind": "perf_event", "id": row["fd"], "type": row["fd_type"], "places": [perf.place(row)]}
