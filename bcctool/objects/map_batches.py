"""Walks over all entries of a map in bulk: BPF_MAP_LOOKUP_BATCH, or key by key for types that don't have it."""

from __future__ import annotations

import ctypes
import errno

from ..errors import KernelError
from ..kernel import libbpf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .map import Map

    Group = tuple[memoryview, memoryview, int, int]
    """Keys, values, how many of them; or one key, no value and the errno of its lookup."""

ENOTSUPP = 524  # the kernel's own, which no C library knows
NO_BATCHES = (errno.EINVAL, errno.EOPNOTSUPP, ENOTSUPP)
LOOKUP = 1 << 14  # entries of a system call: enough work for a thread of its own to be worth the hand-over
LOOKUP_BYTES = 1 << 20
MIN_CURSOR = 64  # bytes: 4 for hash tables, the key itself for arrays and tries
SLACK = 1 << 16  # entries of types whose max_entries says nothing


class _Buffers:
    """Room for `count` keys and values; `n` are filled in."""

    def __init__(self, map: Map, count: int) -> None:
        key_size, value_size = map.info.key_size, map.value_bytes
        self.count = count
        self.n = 0
        self.keys = ctypes.create_string_buffer(max(count * key_size, 1))
        self.values = ctypes.create_string_buffer(max(count * value_size, 1))
        self.key_view = memoryview(self.keys).cast("B")
        self.value_view = memoryview(self.values).cast("B")
        self.key_size = key_size
        self.value_size = value_size

    def groups(self, count: int) -> Iterator[Group]:
        """What is filled in, in groups of `count`."""
        for start in range(0, self.n, count):
            end = min(start + count, self.n)
            keys = self.key_view[start * self.key_size : end * self.key_size]
            yield keys, self.value_view[start * self.value_size : end * self.value_size], end - start, 0


def groups(map: Map, count: int) -> Iterator[Group]:
    """All entries, in groups of `count`, less when entries are large.

    The views are valid until the next group. The walk ends even if the map keeps changing: after twice as many entries
    as the map can hold. KernelError when entries of this type can't be walked.
    """
    room = max(1, LOOKUP_BYTES // max(map.info.key_size + map.value_bytes, 1))
    count = min(count, room)
    buffers = _Buffers(map, min(room, max(count, LOOKUP), map.info.max_entries or count))
    lookups = _Lookups(map, "bpf_map_lookup_batch")
    try:
        buffers = lookups.fill(buffers)
    except NotImplementedError:
        yield from _one_by_one(map, _Buffers(map, min(count, buffers.count)))
        return
    yield from buffers.groups(count)
    if not lookups.ended:
        for filled in _ahead(lookups, (buffers, _Buffers(map, buffers.count))):
            yield from filled.groups(count)


def taken(map: Map, count: int) -> Iterator[tuple[memoryview, memoryview, int]]:
    """All entries as (keys, values, n), about `count` at a time, which are gone from the map then: hash tables only.

    No batch is taken before the one before it was used. KernelError when entries of this type can't be taken.
    """
    buffers = _Buffers(map, min(max(1, LOOKUP_BYTES // max(map.info.key_size + map.value_bytes, 1)), count))
    lookups = _Lookups(map, "bpf_map_lookup_and_delete_batch")
    while not lookups.ended:
        try:
            buffers = lookups.fill(buffers)
        except NotImplementedError:
            raise KernelError(f"can't take batches out of a map of type {map.type}", errno.EOPNOTSUPP) from None
        for keys, values, n, _ in buffers.groups(count):
            yield keys, values, n


def _limit(map: Map) -> int:
    return 2 * int(map.info.max_entries) + SLACK


class _Lookups:
    """A walk in batches by a function of libbpf; `ended` after the last one."""

    def __init__(self, map: Map, function: str) -> None:
        self.map = map
        self.function = libbpf.function(function)
        cursor_size = max(MIN_CURSOR, map.info.key_size)
        self.position, self.following = (ctypes.create_string_buffer(cursor_size) for _ in range(2))
        self.left = _limit(map)
        self.started = self.ended = False

    def fill(self, buffers: _Buffers) -> _Buffers:
        """Get the next batch, into larger buffers if it needs them.

        NotImplementedError, for the first batch only, when the type has none.
        """
        n = ctypes.c_uint32()
        while True:
            n.value = buffers.count
            before = self.position if self.started else None
            room = buffers.keys, buffers.values, ctypes.byref(n)
            error = -self.function(self.map.fd, before, self.following, *room, None)
            if error != errno.ENOSPC:
                break
            buffers = _Buffers(self.map, buffers.count * 2)  # for a hash bucket of more entries than there was room for
        if error in NO_BATCHES and not self.started:
            raise NotImplementedError
        if error not in (0, errno.ENOENT):
            raise KernelError("can't look up a batch", error)
        self.position, self.following = self.following, self.position
        self.started = True
        self.left -= n.value
        self.ended = bool(error) or self.left <= 0
        buffers.n = n.value
        return buffers


def _ahead(lookups: _Lookups, free_buffers: Iterable[_Buffers]) -> Iterator[_Buffers]:
    """The rest of a walk, each batch looked up by a thread while the one before is being used."""
    from queue import SimpleQueue
    from threading import Thread

    free: SimpleQueue[_Buffers | None] = SimpleQueue()
    filled: SimpleQueue[_Buffers | BaseException | None] = SimpleQueue()

    def look_up() -> None:
        try:
            while not lookups.ended and (buffers := free.get()):
                filled.put(lookups.fill(buffers))
            filled.put(None)
        except BaseException as error:
            filled.put(error)

    for buffers in free_buffers:
        free.put(buffers)
    thread = Thread(target=look_up, daemon=True)
    thread.start()
    try:
        while (batch := filled.get()) is not None:
            if isinstance(batch, BaseException):
                raise batch
            yield batch
            free.put(batch)
    finally:
        free.put(None)
        thread.join()


def _one_by_one(map: Map, buffers: _Buffers) -> Iterator[Group]:
    """Groups made of single lookups."""
    next_key = libbpf.function("bpf_map_get_next_key")
    lookup = libbpf.function("bpf_map_lookup_elem")
    keys, values = ctypes.addressof(buffers.keys), ctypes.addressof(buffers.values)
    key_size, value_size = buffers.key_size, buffers.value_size
    previous = ctypes.create_string_buffer(max(key_size, 1))
    at = 0
    for step in range(_limit(map)):
        key = keys + at * key_size
        error = -next_key(map.fd, previous if step else None, key)
        if error:
            break
        ctypes.memmove(previous, key, key_size)
        unreadable = -lookup(map.fd, key, values + at * value_size)
        at += not unreadable
        if at and (unreadable or at == buffers.count):
            buffers.n, at = at, 0
            yield from buffers.groups(buffers.count)
        if unreadable:
            yield memoryview(previous.raw[:key_size]), memoryview(b""), 1, unreadable
    buffers.n = at
    yield from buffers.groups(buffers.count)
    if error not in (0, errno.ENOENT):
        raise KernelError("can't get next key", error)


def update(map: Map, keys: bytes | bytearray | memoryview, values: bytes | bytearray | memoryview, n: int) -> None:
    """Set n entries, whose keys and values lie side by side; one by one where the type has no batches of updates.

    KernelError for the first that the kernel does not take.
    """
    key_size, value_size = map.info.key_size, map.value_bytes
    key_buffer = (ctypes.c_char * max(1, len(keys))).from_buffer_copy(bytes(keys) or b"\0")
    value_buffer = (ctypes.c_char * max(1, len(values))).from_buffer_copy(bytes(values) or b"\0")
    done = ctypes.c_uint32(n)
    error = -libbpf.function("bpf_map_update_batch")(map.fd, key_buffer, value_buffer, ctypes.byref(done), None)
    if not error:
        return
    start = done.value if error not in NO_BATCHES and done.value < n else 0  # it says how far it came, or nothing
    update_one = libbpf.function("bpf_map_update_elem")
    key_at, value_at = ctypes.addressof(key_buffer), ctypes.addressof(value_buffer)
    for at in range(start, n):
        key = key_at + at * key_size if key_size else None
        error = -update_one(map.fd, key, value_at + at * value_size, 0)
        if error:
            raise KernelError("update failed", error)
