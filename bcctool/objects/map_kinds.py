"""Live maps by what one can do with their kind, in generics that type checkers follow (linux/bpf.h, bpf_map_type)."""

from __future__ import annotations

import sys
from typing import Any, Generic, TypeVar

from ..errors import Error
from .map import Map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

K = TypeVar("K")
V = TypeVar("V")
R = TypeVar("R")  # what is read
W = TypeVar("W")  # what can be written
M = TypeVar("M", bound="OpaqueMap")
FD_SIZE = 4


class OpaqueMap:
    """A map without entries for user space: a ring buffer, an arena, …; and what all other kinds are made of.

    live: gives the map, or raises Error while there is none.
    """

    def __init__(self, live: Callable[[], Map]) -> None:
        self._live = live

    @property
    def map(self) -> Map:
        """The map itself: its id, its info, raw access. Error while it is not in the kernel."""
        return self._live()

    @property
    def fd(self) -> int:
        """The map's descriptor, which stays the map's."""
        return self.map.fd


class Entries(OpaqueMap, Generic[K, R, W]):
    """Values by key; Python values as btf.python has them, each a copy."""

    def __getitem__(self, key: K) -> R:
        """The value of a key. KeyError if there is none."""
        value: R = self.map[key]
        return value

    def __setitem__(self, key: K, value: W) -> None:
        self.map[key] = value

    def __contains__(self, key: K) -> bool:
        return key in self.map

    def get(self, key: K) -> R | None:
        """The value of a key, None if there is none."""
        value: R | None = self.map.get(key)
        return value


class Listed(Entries[K, R, W]):
    """Entries that can be listed."""

    @staticmethod
    def _key(key: Any) -> Any:
        return key

    def __iter__(self) -> Iterator[K]:
        return self.keys()

    def __len__(self) -> int:
        """How many entries there are, which takes a walk over all of them."""
        return len(self.map)

    def __bool__(self) -> bool:
        return True

    def keys(self) -> Iterator[K]:
        """The keys, in the kernel's order."""
        return map(self._key, self.map.keys())

    def values(self) -> Iterator[R]:
        """The values, in the order of the keys."""
        return self.map.values()

    def items(self) -> Iterator[tuple[K, R]]:
        """Pairs of key and value."""
        return ((self._key(key), value) for key, value in self.map.items())


class _Indexed(Listed[int, R, W]):
    @staticmethod
    def _key(key: Any) -> Any:
        return key if isinstance(key, int) else int.from_bytes(key, sys.byteorder)


class _Hashed(Listed[K, R, W]):
    def __delitem__(self, key: K) -> None:
        """Remove an entry. KeyError if there is none."""
        del self.map[key]


class HashMap(_Hashed[K, V, V]):
    """Hashes, tries and the like."""


class ArrayMap(_Indexed[V, V]):
    """Arrays: every index below `max_entries` has a value, always."""


class PerCpuHashMap(_Hashed[K, list[V], V | list[V]]):
    """A hash with a value for each possible CPU; a single value that is assigned is that of all."""


class PerCpuArrayMap(_Indexed[list[V], V | list[V]]):
    """An array with a value for each possible CPU; a single value that is assigned is that of all."""


class StorageMap(Entries[int, V, V]):
    """What programs keep for sockets, tasks, inodes or cgroups; a key is a descriptor of one (of tasks a pidfd)."""

    def __delitem__(self, key: int) -> None:
        """Remove what is kept. KeyError if there is nothing."""
        del self.map[key]


class QueueMap(OpaqueMap, Generic[V]):
    """Queues and stacks."""

    def push(self, value: V) -> None:
        """Add a value. KernelError (E2BIG) when the map is full."""
        self.map.update(b"", self.map.codecs[1].encode(value))

    def _decoded(self, data: bytes | None) -> V | None:
        value: V | None = None if data is None else self.map.codecs[1].decode(data)
        return value

    def pop(self) -> V | None:
        """Take the next value out, None if the map is empty."""
        return self._decoded(self.map.lookup_and_delete())

    def peek(self) -> V | None:
        """The next value, which stays; None if the map is empty."""
        return self._decoded(self.map.lookup())


class FdMap(OpaqueMap, Generic[K]):
    """Maps of programs, sockets, cgroups: anything that has a descriptor can be put in, and taken out again."""

    def __setitem__(self, key: K, value: object) -> None:
        """Put in a program, a map, a socket, or a descriptor (int) of one."""
        fd = value if isinstance(value, int) else _fd_of(value)
        encoded = self.map.codecs[0].encode(key)
        self.map.update(encoded, fd.to_bytes(self.map.info.value_size, sys.byteorder))

    def __delitem__(self, key: K) -> None:
        """Empty a slot. KeyError if there is nothing in it."""
        del self.map[key]

    def __contains__(self, key: K) -> bool:
        return key in self.map


class MapOfMaps(FdMap[K], Generic[K, M]):
    """Maps in a map, each seen as the kind that `inner` makes of it."""

    def __init__(self, live: Callable[[], Map], inner: Callable[[Map], M]) -> None:
        super().__init__(live)
        self._inner = inner

    def get(self, key: K) -> M | None:
        """The map in a slot, None if there is none."""
        id = self.map.lookup(self.map.codecs[0].encode(key))
        return None if id is None else self._inner(Map.from_id(int.from_bytes(id, sys.byteorder)))

    def __getitem__(self, key: K) -> M:
        """The map in a slot. KeyError if there is none."""
        found = self.get(key)
        if found is None:
            raise KeyError(key)
        return found


def _fd_of(value: Any) -> int:
    fd = getattr(value, "fd", None)
    if fd is None and hasattr(value, "fileno"):
        fd = value.fileno()
    if not isinstance(fd, int):
        raise Error(f"{value!r} has no descriptor: give a program, a map, a socket or an int")
    return fd


# type of map → what it is for user space; all others are opaque
KINDS: dict[str, type[OpaqueMap]] = {
    "hash": HashMap,
    "lru_hash": HashMap,
    "lpm_trie": HashMap,
    "stack_trace": HashMap,
    "cgroup_storage": HashMap,
    "devmap": HashMap,
    "devmap_hash": HashMap,
    "cpumap": HashMap,
    "array": ArrayMap,
    "percpu_hash": PerCpuHashMap,
    "lru_percpu_hash": PerCpuHashMap,
    "percpu_cgroup_storage": PerCpuHashMap,
    "percpu_array": PerCpuArrayMap,
    "sk_storage": StorageMap,
    "task_storage": StorageMap,
    "inode_storage": StorageMap,
    "cgrp_storage": StorageMap,
    "queue": QueueMap,
    "stack": QueueMap,
    "prog_array": FdMap,
    "cgroup_array": FdMap,
    "sockmap": FdMap,
    "sockhash": FdMap,
    "xskmap": FdMap,
    "reuseport_sockarray": FdMap,
    "array_of_maps": MapOfMaps,
    "hash_of_maps": MapOfMaps,
}
