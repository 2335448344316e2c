"""Stacks that programs collect: what bpf_get_stackid() keeps (linux/bpf.h), and maps that count by its ids.

The kernel has no type for a count by stack. What tools of BCC and libbpf have in common are the names of the members.
"""

from __future__ import annotations

import errno
import struct
import sys

from ..errors import Error
from ..escapes import printable
from ..kernel import uapi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from .map import Map

    Frame = tuple[str, int]
    """("", address), or (build id in hex, offset in the file that has it)."""

ID_SIZE = 4
BATCH = 256  # entries
COUNT_SIZES = (4, 8)
MAX_NAMED = 8  # members in an error
HASHES = ("hash", "lru_hash", "percpu_hash", "lru_percpu_hash")
USER, KERNEL, EITHER = "user", "kernel", "stack"
NO_STACK = (-1, -errno.EFAULT)
"""In place of an id: there was no stack, as in user space for a kernel thread, or it was not asked for."""
_ADDRESS = struct.Struct("=Q")
_BUILD_ID = struct.Struct("=i20sQ")
_VALID, _IP = 1, 2  # enum bpf_stack_build_id_status; 0: no more frames

# What a member is, by its name; where there are several, the first in this order counts.
STACK_IDS: dict[str, tuple[str, ...]] = {
    USER: ("user_stack_id", "user_stack", "ustack_id", "ustack", "u_stack_id", "usr_stack_id"),
    KERNEL: ("kernel_stack_id", "kern_stack_id", "kernel_stack", "kern_stack", "kstack_id", "kstack", "k_stack_id",
             "w_k_stack_id"),
    EITHER: ("stack_id", "stackid", "stack"),
}  # fmt: skip
PROCESS = ("tgid", "pid", "tid")
COMM = ("comm", "name", "task", "task_comm")
COUNT = ("count", "counts", "cnt", "hits", "samples", "delta", "total_time", "total_size", "total", "time", "value")


class Stacks:
    """The stacks in a map of type stack_trace, outermost frame first. Error for another map."""

    def __init__(self, map: Map) -> None:
        if map.type != "stack_trace":
            raise Error(f"map {map.id} is of type {map.type}: stacks are in maps of type stack_trace")
        self.map = map
        self.has_build_ids = bool(map.info.map_flags & uapi.BPF_F_STACK_BUILD_ID)

    def __iter__(self) -> Iterator[tuple[int, list[Frame]]]:
        """Id and frames of each stack."""
        size = self.map.info.value_size
        for keys, values, n, error in self.map.groups(BATCH):
            for at in range(0 if error else n):
                id = int.from_bytes(keys[at * ID_SIZE : (at + 1) * ID_SIZE], sys.byteorder)
                yield id, self.frames(bytes(values[at * size : (at + 1) * size]))

    def get(self, id: int) -> list[Frame] | None:
        """The frames of the stack with an id, None if there is none."""
        value = self.map.lookup(id.to_bytes(ID_SIZE, sys.byteorder))
        return None if value is None else self.frames(value)

    def frames(self, value: bytes) -> list[Frame]:
        """What a value holds: the kernel has the innermost frame first, and zeros after the last."""
        found: list[Frame] = []
        if self.has_build_ids:
            for status, build_id, number in _entries(_BUILD_ID, value):
                if status not in (_VALID, _IP):
                    break
                found.append((build_id.hex() if status == _VALID else "", number))
        else:
            for (address,) in _entries(_ADDRESS, value):
                if not address:
                    break
                found.append(("", address))
        return found[::-1]


class Count:
    """An entry of a map of counts. `ids`: by USER, KERNEL or EITHER, negative ones are errors of bpf_get_stackid()."""

    __slots__ = ("comm", "count", "ids", "pid")

    def __init__(self, ids: dict[str, int], count: int, pid: int | None, comm: str | None) -> None:
        self.ids = ids
        self.count = count
        self.pid = pid
        self.comm = comm


class Counts:
    """How often stacks were seen, or for how long, by a map of a tool. Error when it is none."""

    def __init__(self, map: Map) -> None:
        if map.type not in HASHES:
            raise Error(f"map {map.id} is of type {map.type}: counts by stack are in a hash")
        self.map = map
        key, value = (codec.decode(bytes(codec.size)) for codec in map.codecs)  # zeros: what members there are
        self._ids = self._members_with_ids(key)
        self._count = self._member_with_count(value)
        members = {**_members(value), **_members(key)}
        self._pid = next((name for name in PROCESS if isinstance(members.get(name), int)), "")
        self._comm = next((name for name in COMM if isinstance(members.get(name), (str, bytes))), "")

    @property
    def has_pids(self) -> bool:
        """Whether each entry is that of a process."""
        return bool(self._pid)

    def _members_with_ids(self, key: Any) -> dict[str, str]:
        """The member of the key for each kind of id; "" stands for the key itself."""
        if isinstance(key, int) or (isinstance(key, bytes) and len(key) == ID_SIZE):
            return {EITHER: ""}
        members = _members(key)
        found = {
            kind: name
            for kind, names in STACK_IDS.items()
            for name in [next((name for name in names if isinstance(members.get(name), int)), "")]
            if name
        }
        if not found:
            raise Error(
                f"map {self.map.id} has no stack ids: its keys have {_described(members, self.map.info.key_size)}; "
                f"needed is BTF with a member such as '{STACK_IDS[USER][0]}' or '{STACK_IDS[KERNEL][0]}', or a key of "
                f"{ID_SIZE} bytes that is a stack id"
            )
        return found

    def _member_with_count(self, value: Any) -> str:
        """The member of the value that is the count; "" stands for the value itself."""
        if isinstance(value, int) or (isinstance(value, bytes) and len(value) in COUNT_SIZES):
            return ""
        members = _members(value)
        name = next((name for name in COUNT if isinstance(members.get(name), int)), None)
        if name is None:
            raise Error(
                f"map {self.map.id} has no counts: its values have {_described(members, self.map.info.value_size)}; "
                f"needed is a number of 4 or 8 bytes, or BTF with a member such as '{COUNT[0]}' or 'delta'"
            )
        return name

    def __iter__(self) -> Iterator[Count]:
        """All entries; the counts of several CPUs are added up."""
        for key, value in self.map.items():
            values = value if self.map.cpus else [value]
            counts = [each[self._count] if self._count else _number(each) for each in values]
            members = {**_members(values[counts.index(max(counts))]), **_members(key)}
            ids = {kind: _signed(members[name] if name else _number(key)) for kind, name in self._ids.items()}
            yield Count(ids, sum(counts), members.get(self._pid), _text(members.get(self._comm)))


def _entries(layout: struct.Struct, value: bytes) -> Iterator[tuple[Any, ...]]:
    return layout.iter_unpack(value[: len(value) // layout.size * layout.size])


def _members(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _described(members: Mapping[str, Any], size: int) -> str:
    """What there is, for an error; of many members the first."""
    if not members:
        return f"{size} bytes and no members"
    names = [*list(members)[:MAX_NAMED], *(["…"] if len(members) > MAX_NAMED else [])]
    return printable(f"the member{'s' if len(names) > 1 else ''} {', '.join(names)}")


def _number(value: int | bytes) -> int:
    return value if isinstance(value, int) else int.from_bytes(value, sys.byteorder)


def _signed(id: int) -> int:
    """An id as bpf_get_stackid() gave it, whatever the type of the member that it was put into."""
    low = id & 0xFFFFFFFF
    return low - (1 << 32) if low >> 31 else low


def _text(comm: str | bytes | None) -> str | None:
    """A name up to its first NUL, None where there is none."""
    return comm.partition(b"\0")[0].decode("utf-8", "backslashreplace") if isinstance(comm, bytes) else comm
