"""map load, copy, clear: all elements of a map at once, in batches."""

from __future__ import annotations

import contextlib
import errno
import sys

from ..errors import Error, KernelError
from ..kernel import bpf, uapi
from ..objects import map_batches
from ..objects.map import MAP_IN_MAP_TYPES, Map
from . import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..verbs import Args

BATCH = 1 << 14  # elements
ID_SIZE = 4
# Types whose values have the id of an object, where an update takes a descriptor: its kind, its place in the value.
REFERENCES = {
    "prog_array": (bpf.PROG, 0),
    **dict.fromkeys(MAP_IN_MAP_TYPES, (bpf.MAP, 0)),
    "devmap": (bpf.PROG, ID_SIZE),
    "devmap_hash": (bpf.PROG, ID_SIZE),
    "cpumap": (bpf.PROG, ID_SIZE),
}
ZEROED = ("array", "percpu_array")  # whose elements can't be deleted
POPPED = ("queue", "stack")


def load(args: Args) -> None:
    """Take MAP FILE: set what a dump has, or lines of `key … value …`."""
    from . import map_read

    with select.map_(args) as map_:
        path = args.next("a FILE, or -")
        args.end()
        with contextlib.ExitStack() as opened:
            try:
                stream = sys.stdin.buffer if path == "-" else opened.enter_context(open(path, "rb"))
            except OSError as error:
                raise Error(f"can't read {path}: {error.strerror}") from None
            for keys, values, n in map_read.elements(map_, stream, path):
                put(map_, keys, values, n)


def copy(args: Args) -> None:
    """Take MAP MAP: set what the first has in the second."""
    with select.map_(args, uapi.BPF_F_RDONLY) as source, select.map_(args) as target:
        args.end()
        ours, others = ((map_.info.key_size, map_.info.value_size, map_.cpus) for map_ in (target, source))
        if ours != others:
            raise Error(
                f"map {target.id} has keys of {ours[0]} bytes and {_values(ours)}, "
                f"map {source.id} keys of {others[0]} and {_values(others)}"
            )
        if source.id == target.id:
            raise Error(f"map {source.id} can't be copied to itself")
        if REFERENCES.get(source.type) != REFERENCES.get(target.type):
            raise Error(f"what a {source.type} has in it does not fit into a {target.type}")
        for keys, values, n in source.batches(BATCH):
            put(target, keys, values, n)


def _values(sizes: tuple[int, int, int]) -> str:
    return f"values of {sizes[1]}" + (" for each CPU" if sizes[2] else "")


def put(map_: Map, keys: bytes | bytearray | memoryview, values: bytes | bytearray | memoryview, n: int) -> None:
    """Set n elements as they were read. KernelError when the kernel refuses one, or an object of theirs is gone."""
    if map_.type not in REFERENCES:
        map_batches.update(map_, keys, values, n)
        return
    kind, offset = REFERENCES[map_.type]
    key_size, size = map_.info.key_size, map_.info.value_size
    for at in range(n):
        value = bytearray(values[at * size : (at + 1) * size])
        with _descriptor(kind, int.from_bytes(value[offset : offset + ID_SIZE], sys.byteorder)) as fd:
            if fd is not None and len(value) >= offset + ID_SIZE:
                value[offset : offset + ID_SIZE] = fd.to_bytes(ID_SIZE, sys.byteorder)
            map_.update(bytes(keys[at * key_size : (at + 1) * key_size]), bytes(value))


@contextlib.contextmanager
def _descriptor(kind: str, id: int) -> Iterator[int | None]:
    """A descriptor of the object with an id, None for id 0."""
    from ..objects.prog import Prog

    if not id:
        yield None
        return
    with (Prog if kind == bpf.PROG else Map).from_id(id) as handle:
        yield handle.fd


def clear(args: Args) -> None:
    """Take MAP: delete its elements; those of arrays become zero."""
    with select.map_(args) as map_:
        args.end()
        if map_.type in POPPED:
            while map_.lookup_and_delete() is not None:
                pass
        elif map_.type in ZEROED:
            for keys, values, n in map_.batches(BATCH):
                map_batches.update(map_, keys, bytes(len(values)), n)
        else:
            _delete_all(map_)


def _delete_all(map_: Map) -> None:
    try:
        for _ in map_.taken_batches(BATCH):
            pass
        return
    except KernelError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
    size = map_.info.key_size
    for keys, _, n, _ in map_.groups(BATCH):
        for at in range(n):
            try:
                map_.delete(bytes(keys[at * size : (at + 1) * size]))
            except KernelError as error:
                if error.errno != errno.ENOENT:  # else it was free, or is gone
                    raise
