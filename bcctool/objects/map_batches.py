"""Walks over all entries of a map in bulk: BPF_MAP_LOOKUP_BATCH, or key by key for types that don't have it."""

from __future__ import annotations

import ctypes
import errno

from ..errors import KernelError
from ..kernel import libbpf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .map import Map

    Group = tuple[memoryview, memoryview, int, int]
    """Keys, values, how many of them; or one key, no value and the errno of its lookup."""

ENOTSUPP = 524  # the kernel's own, which no C library knows
NO_BATCHES = (errno.EINVAL, errno.EOPNOTSUPP, ENOTSUPP)
BATCH_BYTES = 1 << 20
MIN_CURSOR = 64  # bytes: 4 for hash tables, the key itself for arrays and tries
SLACK = 1 << 16  # entries of types whose max_entries says nothing


class _Buffers:
    """Room for the keys and values of a batch, used again for all batches."""

    def __init__(self, map: Map, count: int) -> None:
        key_size, value_size = map.info.key_size, map.value_bytes
        self.count = count
        self.keys = ctypes.create_string_buffer(max(count * key_size, 1))
        self.values = ctypes.create_string_buffer(max(count * value_size, 1))
        self.key_view = memoryview(self.keys).cast("B")
        self.value_view = memoryview(self.values).cast("B")
        self.key_size = key_size
        self.value_size = value_size

    def group(self, n: int) -> Group:
        """The first n entries."""
        return self.key_view[: n * self.key_size], self.value_view[: n * self.value_size], n, 0


def groups(map: Map, count: int) -> Iterator[Group]:
    """All entries, in groups of about `count`, less when entries are large.

    The views are valid until the next group. The walk ends even if the map keeps changing: after twice as many entries
    as the map can hold. KernelError when entries of this type can't be walked.
    """
    entry_size = map.info.key_size + map.value_bytes
    count = max(1, min(count, map.info.max_entries or count, BATCH_BYTES // max(entry_size, 1)))
    buffers = _Buffers(map, count)
    try:
        yield from _batched(map, buffers)
    except NotImplementedError:
        yield from _one_by_one(map, buffers)


def _limit(map: Map) -> int:
    return 2 * int(map.info.max_entries) + SLACK


def _batched(map: Map, buffers: _Buffers) -> Iterator[Group]:
    """Whole batches. NotImplementedError, before the first one, when the type has none."""
    lookup_batch = libbpf.function("bpf_map_lookup_batch")
    cursor_size = max(MIN_CURSOR, map.info.key_size)
    position, following = (ctypes.create_string_buffer(cursor_size) for _ in range(2))
    n = ctypes.c_uint32()
    started, left = False, _limit(map)
    while left > 0:
        n.value = buffers.count
        before = position if started else None
        error = -lookup_batch(map.fd, before, following, buffers.keys, buffers.values, ctypes.byref(n), None)
        if error == errno.ENOSPC:  # a hash bucket with more entries than we have room for
            buffers = _Buffers(map, buffers.count * 2)
            continue
        if error in NO_BATCHES and not started:
            raise NotImplementedError
        if error not in (0, errno.ENOENT):
            raise KernelError("can't look up a batch", error)
        if n.value:
            yield buffers.group(n.value)
        if error:
            return
        position, following = following, position
        started = True
        left -= n.value


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
            yield buffers.group(at)
            at = 0
        if unreadable:
            yield memoryview(previous.raw[:key_size]), memoryview(b""), 1, unreadable
    if at:
        yield buffers.group(at)
    if error not in (0, errno.ENOENT):
        raise KernelError("can't get next key", error)
