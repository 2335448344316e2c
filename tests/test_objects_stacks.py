"""Stacks and counts by stack: what the kernel keeps as frames, and what members of tools' maps mean; no kernel."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from bcctool.errors import Error
from bcctool.kernel import uapi
from bcctool.objects.stacks import EITHER, KERNEL, USER, Counts, Stacks

KERNEL_ADDRESS = 0xFFFFFFFF81000010
BUILD = bytes(range(20))


class Codec:
    """A codec whose bytes are always the same value; zeros in all its members, as the first call asks for."""

    def __init__(self, value: Any, size: int) -> None:
        self.value = value
        self.size = size

    def decode(self, data: bytes) -> Any:
        return data if self.value is None else self.value


class SomeMap:
    """What stacks and counts use of a Map."""

    def __init__(self, type: str = "hash", key: Any = None, value: Any = None, **more: Any) -> None:
        self.id, self.type = 5, type
        self.cpus: int = more.pop("cpus", 0)
        self.entries: list[tuple[Any, Any]] = more.pop("entries", [])
        self.info = SimpleNamespace(**{"key_size": 24, "value_size": 16, "map_flags": 0, **more})
        self.codecs = Codec(key, self.info.key_size), Codec(value, self.info.value_size)

    def items(self) -> Iterator[tuple[Any, Any]]:
        return iter(self.entries)


def counts(*words: Any, **options: Any) -> Counts:
    return Counts(SomeMap(*words, **options))  # type: ignore[arg-type]


def stacks(**options: Any) -> Stacks:
    return Stacks(SomeMap("stack_trace", **options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (struct.pack("=4Q", 3, 2, 1, 0), [("", 1), ("", 2), ("", 3)]),
        (struct.pack("=3Q", 3, 0, 1), [("", 3)]),
        (struct.pack("=2Q", KERNEL_ADDRESS, 1) + b"\1" * 7, [("", 1), ("", KERNEL_ADDRESS)]),  # cut short
        (struct.pack("=Q", 0), []),
        (b"", []),
    ],
)
def test_frames(value: bytes, found: list[tuple[str, int]]) -> None:
    assert stacks().frames(value) == found


def test_frames_with_build_ids() -> None:
    entry = struct.Struct("=i20sQ")
    value = entry.pack(1, BUILD, 0x10) + entry.pack(2, b"", 0x20) + entry.pack(0, b"", 0) + entry.pack(1, BUILD, 9)
    found = stacks(map_flags=uapi.BPF_F_STACK_BUILD_ID).frames(value + b"\1" * 31)
    assert found == [("", 0x20), (BUILD.hex(), 0x10)]


def test_stacks_are_in_maps_of_their_type() -> None:
    with pytest.raises(Error, match="map 5 is of type hash: stacks are in maps of type stack_trace"):
        Stacks(SomeMap("hash"))  # type: ignore[arg-type]


PROFILE = {"pid": 7, "user_stack_id": 3, "kernel_stack_id": -14, "name": "comm"}


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        (PROFILE, 9, ({USER: 3, KERNEL: -14}, 9, 7, "comm")),
        ({"pid": 8, "tgid": 7, "kern_stack_id": 4}, {"delta": 5, "comm": "c"}, ({KERNEL: 4}, 5, 7, "c")),
        ({"kstack": 4, "ustack": 5, "comm": b"a\0b"}, {"hits": 1, "other": 2}, ({USER: 5, KERNEL: 4}, 1, None, "a")),
        ({"stack_id": (1 << 64) - 17}, 1, ({EITHER: -17}, 1, None, None)),  # in a u64
        ({"stack_id": 0xFFFFFFF4}, 1, ({EITHER: -12}, 1, None, None)),  # in a u32
        (6, 1, ({EITHER: 6}, 1, None, None)),
        ({"pid": [1], "stack": 2, "name": 3}, 1, ({EITHER: 2}, 1, None, None)),  # other types than these have
    ],
)
def test_members_by_their_names(key: Any, value: Any, found: tuple[Any, ...]) -> None:
    (entry,) = counts("hash", key, value, entries=[(key, value)])
    assert (entry.ids, entry.count, entry.pid, entry.comm) == found


def test_a_key_without_types() -> None:
    sizes = {"key_size": 4, "value_size": 8}
    (entry,) = counts("lru_hash", entries=[(struct.pack("=i", 5), struct.pack("=Q", 1 << 40))], **sizes)
    assert (entry.ids, entry.count) == ({EITHER: 5}, 1 << 40)


def test_counts_of_cpus_are_added_and_the_comm_is_from_one_that_counted() -> None:
    values = [{"count": 0, "comm": ""}, {"count": 3, "comm": "c"}, {"count": 2, "comm": "d"}]
    (entry,) = counts("percpu_hash", 5, values[0], cpus=3, entries=[(5, values)])
    assert (entry.count, entry.comm) == (5, "c")


WANTED_ID = (
    "needed is BTF with a member such as 'user_stack_id' or 'kernel_stack_id', or a key of 4 bytes that is a stack id"
)
WANTED_COUNT = "needed is a number of 4 or 8 bytes, or BTF with a member such as 'count' or 'delta'"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: counts("array", 1, 1), "map 5 is of type array: counts by stack are in a hash"),
        (lambda: counts(), f"map 5 has no stack ids: its keys have 24 bytes and no members; {WANTED_ID}"),
        (lambda: counts("hash", {"pid": 1, "x\x1b": 2}, 1),
         f"map 5 has no stack ids: its keys have the members pid, x\\x1b; {WANTED_ID}"),
        (lambda: counts("hash", {"stack_id": [1]}, 1),
         f"map 5 has no stack ids: its keys have the member stack_id; {WANTED_ID}"),
        (lambda: counts("hash", {f"m{n}": n for n in range(99)}, 1),
         f"map 5 has no stack ids: its keys have the members m0, m1, m2, m3, m4, m5, m6, m7, …; {WANTED_ID}"),
        (lambda: counts("hash", PROFILE),
         f"map 5 has no counts: its values have 16 bytes and no members; {WANTED_COUNT}"),
        (lambda: counts("hash", PROFILE, {"comm": ""}),
         f"map 5 has no counts: its values have the member comm; {WANTED_COUNT}"),
    ],
)  # fmt: skip
def test_maps_that_are_no_counts(make: Callable[[], Counts], message: str) -> None:
    with pytest.raises(Error) as refused:
        make()
    assert (refused.value.message, refused.value.status) == (message, 255)
