"""map: what maps there are, their elements, and changing them."""

from __future__ import annotations

import os

from ..errors import GENERIC, Error, KernelError
from ..kernel import bpf, proc, uapi
from ..objects.map import Map
from ..objects.owners import owners
from ..output import Rendered
from ..verbs import ARGUMENT_ERROR, Args, Usage, later, verb
from . import map_show, select
from .listing import Owners, Paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

HELP = """
MAP := { id MAP_ID | pinned FILE | name MAP_NAME }
DATA := { [hex] BYTES }
PROG := { id PROG_ID | pinned FILE | tag PROG_TAG | name PROG_NAME }
VALUE := { DATA | MAP | PROG }
UPDATE_FLAGS := { any | exist | noexist }
TYPE := { hash | array | prog_array | perf_event_array | percpu_hash |
          percpu_array | stack_trace | cgroup_array | lru_hash |
          lru_percpu_hash | lpm_trie | array_of_maps | hash_of_maps |
          devmap | devmap_hash | sockmap | cpumap | xskmap | sockhash |
          cgroup_storage | reuseport_sockarray | percpu_cgroup_storage |
          queue | stack | sk_storage | struct_ops | ringbuf | inode_storage |
          task_storage | bloom_filter | user_ringbuf | cgrp_storage | arena }
"""
OPTIONS = "fn"
NOT_FOUND = 254  # -ENOENT
SELECTOR = 2  # words


COLUMNS = (
    ("ID", "id", "number"), ("TYPE", "type", "text"), ("NAME", "name", "text"), ("FLAGS", "flags", "flags"),
    ("KEY", "bytes_key", "size"), ("VALUE", "bytes_value", "size"), ("ENTRIES", "max_entries", "number"),
    ("MEMLOCK", "bytes_memlock", "size"), ("HELD BY", "pids", "pids"), ("PINNED", "pinned", "list"),
)  # fmt: skip


@verb("[MAP]", text=map_show.text, alias="list", columns=COLUMNS)
def show(args: Args) -> Any:
    """Show loaded maps."""
    if len(args) not in (0, SELECTOR):
        raise Error(f"what is '{args.peek()}'?")
    selected = select.maps(args, uapi.BPF_F_RDONLY) if args else None
    from ..objects.pins import pins

    paths = pins(bpf.MAP) if args.options.bpffs else None
    held = owners(bpf.MAP)
    if selected is not None and len(selected) == 1:
        with selected[0] as map_:
            return map_show.describe(map_, paths, held)
    return rows(selected if selected is not None else Map.all(uapi.BPF_F_RDONLY), paths, held)


def rows(maps: Iterable[Map], paths: Paths | None, held: Owners) -> Iterator[dict[str, Any]]:
    """One record per map, each closed when it is described."""
    for map_ in maps:
        with map_:
            yield map_show.describe(map_, paths, held)


@verb("MAP [{ stacks [pid PID] [counts MAP] | symbols }]", text=later("map_stacks.text"))
def dump(args: Args) -> Any:
    """Show all elements, or stack traces as folded stacks."""
    word = args.words[SELECTOR] if len(args) > SELECTOR else ""
    for keyword in ("stacks", "symbols"):
        if word and keyword.startswith(word):
            return later(f"map_{keyword}.run")(args)
    if len(args) != SELECTOR:
        raise Usage("")
    from .map_dump import Dump

    return Dump(select.maps(args, uapi.BPF_F_RDONLY))


@verb("MAP [key DATA] [value VALUE] [UPDATE_FLAGS]")
def update(args: Args) -> None:
    """Set the value of a key."""
    change(args)


def change(args: Args) -> None:
    """What update and push do."""
    from .map_words import Entry

    with _selected(args) as map_:
        entry = Entry(args, map_, with_value=True)
        try:
            map_.update(entry.needed_key(map_), entry.needed_value(map_), entry.flags)
        finally:
            entry.close()


@verb("MAP [key DATA]")
def lookup(args: Args) -> Rendered:
    """Show the value of a key."""
    return find(args)


def find(args: Args) -> Rendered:
    """What lookup and peek do."""
    from .map_format import hex_lines
    from .map_words import Entry

    with _selected(args, uapi.BPF_F_RDONLY) as map_:
        key = Entry(args, map_).needed_key(map_)
        value = map_.lookup(key)
        if value is None:
            return _nothing(f"key:\n{hex_lines(key)}\n\nNot found\n")
        return _element(map_, key, value, args)


def _nothing(text: str) -> Rendered:
    """The answer when there is no such entry: null in JSON."""
    return Rendered(lambda style, _: [text if style == "plain" else "null"], NOT_FOUND)


def _element(map_: Map, key: bytes, value: bytes, args: Args) -> Rendered:
    """One element, as in a dump."""
    from .map_format import ElementFormat, Types

    types = Types(map_) if map_.info.btf_id else None

    def chunks(style: str, depth: int) -> Iterator[str]:
        format_ = ElementFormat(map_, style, depth, types)
        yield format_.elements(key, value, 1)
        if style == "plain" and types:
            yield "\n"

    return Rendered(chunks)


def getnext_text(record: dict[str, Any]) -> str:
    """The keys in hex."""
    from .map_format import hex_lines

    key, following = (
        None if bytes_ is None else hex_lines(bytes([int(byte, 16) for byte in bytes_])) for bytes_ in record.values()
    )
    return ("key: None\n" if key is None else f"key:\n{key}\n") + f"next key:\n{following}\n"


@verb("MAP [key DATA]", text=getnext_text)
def getnext(args: Args) -> dict[str, Any]:
    """Show the key after a key, or the first."""
    from .map_words import Entry

    with _selected(args, uapi.BPF_F_RDONLY) as map_:
        key = Entry(args, map_).key
        following = map_.next_key(key)
        if following is None:
            raise KernelError("can't get next key", 256 - NOT_FOUND)
        return {"key": None if key is None else _hex_bytes(key), "next_key": _hex_bytes(following)}


def _hex_bytes(data: bytes) -> list[str]:
    return [f"{byte:#04x}" for byte in data]


@verb("MAP key DATA")
def delete(args: Args) -> None:
    """Remove an entry."""
    from .map_words import Entry

    with _selected(args) as map_:
        key = Entry(args, map_).key
        if key is None:
            raise Error("did not find key")
        map_.delete(key)


@verb("MAP FILE")
def pin(args: Args) -> None:
    """Give a map a name in a bpf file system."""
    args.require(SELECTOR + 1, ARGUMENT_ERROR)
    with select.map_(args) as map_:
        path = args.next("file path")
        args.end()
        proc.require_bpffs(os.path.dirname(path) or ".", args.options.nomount)
        map_.pin(path)


@verb("MAP [cpu N index M]")
def event_pipe(args: Args) -> Rendered:
    """Show what programs send through a perf event array, until interrupted."""
    from . import map_event_pipe

    return map_event_pipe.run(args)


@verb("MAP")
def peek(args: Args) -> Rendered:
    """Show what a queue or stack gives next."""
    return find(args)


@verb("MAP value VALUE", alias="enqueue")
def push(args: Args) -> None:
    """Put a value into a queue or stack."""
    change(args)


@verb("MAP", alias="dequeue")
def pop(args: Args) -> Rendered:
    """Take a value out of a queue or stack."""
    with _selected(args) as map_:
        if map_.info.key_size:
            raise Error(f"'{args.verb}' takes from queues and stacks; map {map_.id} is of type {map_.type}")
        value = map_.lookup_and_delete()
        if value is None:
            if args.options.style == "plain":
                raise Error("empty map", NOT_FOUND)
            return _nothing("")
        return _element(map_, b"", value, args)


@verb("MAP")
def freeze(args: Args) -> None:
    """Forbid user space to change a map from now on."""
    args.require(SELECTOR, GENERIC)
    with select.map_(args) as map_:
        if args:
            raise Error(f"what is '{args.peek()}'?")
        map_.freeze()


@verb(
    "FILE type TYPE key KEY_SIZE value VALUE_SIZE entries MAX_ENTRIES name NAME "
    "[flags FLAGS] [inner_map MAP] [{ offload_dev | dev } DEVICE]"
)
def create(args: Args) -> None:
    """Make a map and pin it."""
    from .map_create import create as run

    run(args)


@verb("MAP FILE")
def load(args: Args) -> None:
    """Set what a dump of a map has, or lines of `key DATA value VALUE`; `-` reads standard input."""
    later("map_load.load")(_required(args, SELECTOR + 1))


@verb("MAP MAP")
def copy(args: Args) -> None:
    """Set what the first map has in the second."""
    later("map_load.copy")(_required(args, 2 * SELECTOR))


@verb("MAP")
def clear(args: Args) -> None:
    """Delete all elements; those of arrays become zero."""
    later("map_load.clear")(_required(args, SELECTOR))


def _required(args: Args, count: int) -> Args:
    """The words, if there are as many; the family's usage otherwise."""
    if len(args) < count:
        raise Usage("")
    return args


def _selected(args: Args, flags: int = 0) -> Map:
    """Take a MAP selector that has to match one map; the family's usage for fewer words than that."""
    if len(args) < SELECTOR:
        raise Usage("")
    return select.map_(args, flags)
