"""Maps as objects, over a kernel in memory: walks, raw access, Python values, and what can go wrong."""

from __future__ import annotations

import ctypes
import errno
import struct
import threading
from collections.abc import Callable
from typing import Any

import pytest

from bcctool.errors import Error, KernelError
from bcctool.kernel import bpf, libbpf, proc, uapi
from bcctool.objects import map_batches
from bcctool.objects.map import Map
from bcctool.objects.map_codec import Codec

from .fake_kernel import FakeKernel, fake_kernel  # noqa: F401  (a fixture)

KEY, VALUE = 4, 8
TYPE = uapi.MAP_TYPES.index


class Entries:
    """libbpf's map functions over a dict; `unreadable` keys by errno, `bucket` entries that come in one piece."""

    def __init__(self, key_size: int, value_size: int) -> None:
        self.sizes = key_size, value_size
        self.of: dict[bytes, bytes] = {}
        self.unreadable: dict[bytes, int] = {}
        self.batch_error = 0  # of the call after `good_batches`
        self.good_batches = 0
        self.bucket = 1
        self.endless = False
        self.calls = 0

    def function(self, name: str) -> Callable[..., int]:
        found: Callable[..., int] = getattr(self, name.removeprefix("bpf_map_"))
        return found

    def lookup_elem(self, fd: int, key: Any, value: Any) -> int:
        data = self.key(key)
        if data in self.unreadable:
            return -self.unreadable[data]
        if data not in self.of:
            return -errno.ENOENT
        ctypes.memmove(value, self.of[data], self.sizes[1])
        return 0

    def update_elem(self, fd: int, key: Any, value: Any, flags: int) -> int:
        data = self.key(key)
        if flags == uapi.BPF_NOEXIST and data in self.of:
            return -errno.EEXIST
        self.of[data] = bytes(value)
        return 0

    def delete_elem(self, fd: int, key: Any) -> int:
        return 0 if self.of.pop(self.key(key), None) is not None else -errno.ENOENT

    def get_next_key(self, fd: int, key: Any, following: Any) -> int:
        keys = list(self.of)
        at = keys.index(self.key(key)) + 1 if key is not None and self.key(key) in self.of else 0
        if self.endless:
            at %= len(keys)
        if at == len(keys):
            return -errno.ENOENT
        ctypes.memmove(following, keys[at], self.sizes[0])
        return 0

    def lookup_batch(self, fd: int, before: Any, after: Any, keys: Any, values: Any, count: Any, opts: Any) -> int:
        self.calls += 1
        if self.batch_error and self.calls > self.good_batches:
            return -self.batch_error
        room = count._obj.value
        start = 0 if before is None else struct.unpack("I", before.raw[:4])[0]
        n = min(room // self.bucket * self.bucket, len(self.of) - start)
        if not n and start < len(self.of):
            count._obj.value = 0
            return -errno.ENOSPC
        part = list(self.of.items())[start : start + n]
        ctypes.memmove(keys, b"".join(key for key, _ in part), n * self.sizes[0])
        ctypes.memmove(values, b"".join(value for _, value in part), n * self.sizes[1])
        at_end = start + n == len(self.of)
        ctypes.memmove(after, struct.pack("I", 0 if self.endless and at_end else start + n), 4)
        count._obj.value = n
        return -errno.ENOENT if at_end and not self.endless else 0

    def key(self, key: Any) -> bytes:
        return ctypes.string_at(key, self.sizes[0]) if isinstance(key, int) else bytes(key)[: self.sizes[0]]


@pytest.fixture
def entries(fake_kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> Entries:  # noqa: F811
    """100 entries of a hash with the id 1; of a per-CPU hash for two CPUs with the id 2."""
    sizes = {"key_size": KEY, "value_size": VALUE, "max_entries": 100}
    fake_kernel.add(bpf.MAP, 1, type=TYPE("hash"), name=b"h", **sizes)
    fake_kernel.add(bpf.MAP, 2, type=TYPE("percpu_hash"), **sizes | {"value_size": 3})
    found = Entries(KEY, VALUE)
    found.of = {struct.pack("I", at): struct.pack("Q", at * at) for at in range(100)}
    monkeypatch.setattr(libbpf, "function", found.function)
    monkeypatch.setattr(map_batches, "LOOKUP", 10)
    monkeypatch.setattr(proc, "possible_cpus", lambda: 2)
    return found


def walked(map_: Map, count: int = 7) -> tuple[bytes, bytes, list[tuple[int, int]]]:
    """All keys and values that a walk gave, and (n, errno) of its groups."""
    keys, values, groups = b"", b"", []
    for some_keys, some_values, n, error in map_.groups(count):
        keys += some_keys
        values += some_values
        groups.append((n, error))
    return keys, values, groups


@pytest.mark.parametrize("batch_error", [0, errno.EINVAL, errno.EOPNOTSUPP, map_batches.ENOTSUPP])
@pytest.mark.parametrize("count", [1, 7, 100, 1000])
def test_a_walk_gives_every_entry_once(entries: Entries, batch_error: int, count: int) -> None:
    entries.batch_error = batch_error
    with Map.from_id(1) as map_:
        keys, values, groups = walked(map_, count)
    assert keys == b"".join(entries.of)
    assert values == b"".join(entries.of.values())
    assert all(n <= count and not error for n, error in groups)


def test_a_bucket_that_is_larger_than_a_batch(entries: Entries) -> None:
    entries.bucket = 50
    with Map.from_id(1) as map_:
        assert walked(map_)[0] == b"".join(entries.of)


def test_unreadable_entries_are_groups_in_their_place(entries: Entries) -> None:
    entries.batch_error = errno.EINVAL
    entries.unreadable = {struct.pack("I", 10): errno.ENOENT, struct.pack("I", 11): errno.EOPNOTSUPP}
    with Map.from_id(1) as map_:
        keys, values, groups = walked(map_, 1000)
        assert groups == [(10, 0), (1, errno.ENOENT), (1, errno.EOPNOTSUPP), (88, 0)]
        assert keys == b"".join(entries.of)
        assert len(values) == 98 * VALUE
        assert sum(n for _, _, n in map_.batches()) == 98


@pytest.mark.parametrize("batch_error", [0, errno.EINVAL])
def test_a_map_that_never_ends_is_left(entries: Entries, monkeypatch: pytest.MonkeyPatch, batch_error: int) -> None:
    monkeypatch.setattr(map_batches, "SLACK", 50)
    entries.endless, entries.batch_error = True, batch_error
    with Map.from_id(1) as map_:
        assert 250 <= sum(n for n, _ in walked(map_)[2]) <= 350


def test_a_walk_that_fails_half_way(entries: Entries) -> None:
    entries.batch_error, entries.good_batches = errno.EPERM, 2
    with Map.from_id(1) as map_, pytest.raises(KernelError, match="Operation not permitted"):
        walked(map_)


def test_a_walk_that_is_left_early(entries: Entries) -> None:
    before = threading.active_count()
    with Map.from_id(1) as map_:
        walk = map_.groups(7)
        assert [next(walk)[2] for _ in range(3)] == [7, 3, 7]
        assert threading.active_count() == before + 1
        del walk
        assert threading.active_count() == before


def test_it_is_a_dict(entries: Entries) -> None:
    with Map.from_id(1) as map_:
        assert map_[3] == map_[struct.pack("I", 3)] == map_.get(3) == struct.pack("Q", 9)
        map_[3] = 5
        map_[500] = bytes(VALUE)
        assert map_[3] == struct.pack("Q", 5)
        assert len(map_) == 101
        assert 500 in map_
        del map_[500]
        assert 500 not in map_
        assert map_.get(500) is None
        assert map_.get(500, 1) == 1
        assert list(map_) == list(map_.keys()) == list(entries.of)
        assert list(map_.values()) == list(entries.of.values())
        assert list(map_.items()) == list(entries.of.items())
        with pytest.raises(KeyError):
            map_[500]
        with pytest.raises(KeyError):
            del map_[500]


def test_an_empty_map_is_still_true(entries: Entries) -> None:
    entries.of.clear()
    with Map.from_id(1) as map_:
        assert map_
        assert len(map_) == 0


def test_values_per_cpu_are_lists(entries: Entries) -> None:
    entries.sizes = KEY, 16
    entries.of = {bytes(KEY): b"abc\0\0\0\0\0def\0\0\0\0\0"}
    with Map.from_id(2) as map_:
        assert map_[0] == [b"abc", b"def"]
        assert list(map_.items()) == [(bytes(KEY), [b"abc", b"def"])]
        map_[0] = b"xyz"
        assert map_[0] == [b"xyz", b"xyz"]
        map_[0] = [b"123", b"456"]
        assert map_[0] == [b"123", b"456"]
        with pytest.raises(Error, match="3 values for 2 CPUs"):
            map_[0] = [b"123"] * 3


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda m: m.lookup(b"123"), "key expected 4 bytes got 3"),
        (lambda m: m.update(b"12345", bytes(8)), "key expected 4 bytes got 5"),
        (lambda m: m.update(b"1234", bytes(7)), "value expected 8 bytes got 7"),
        (lambda m: m.delete(b""), "key expected 4 bytes got 0"),
        (lambda m: m.next_key(b"1"), "key expected 4 bytes got 1"),
        (lambda m: m[1 << 32], "key 4294967296 does not fit into 4 bytes"),
        (lambda m: m["a"], "a key of 4 bytes can't be made of str without BTF"),
        (lambda m: m.__setitem__(1, None), "a value of 8 bytes can't be made of NoneType without BTF"),
        (lambda m: m.__setitem__(1, b"abc"), "value expected 8 bytes got 3"),
        (lambda m: m.update(bytes(4), bytes(8), uapi.BPF_NOEXIST), "update failed: File exists"),
        (lambda m: m.delete(b"1234"), "delete failed: No such file or directory"),
    ],
)
def test_what_can_t_be_done_is_one_line(entries: Entries, act: Callable[[Map], object], message: str) -> None:
    with Map.from_id(1) as map_, pytest.raises(Error) as caught:
        act(map_)
    assert caught.value.message == message


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_integers_of_the_machine(size: int) -> None:
    codec = Codec("key", size, None, 0)
    code = {1: "b", 2: "h", 4: "i", 8: "q"}[size]
    for value in (0, 1, -1, 100, -(1 << size * 8 - 1)):
        assert codec.encode(value) == struct.pack(f"={code}", value)
    assert codec.encode((1 << size * 8) - 1) == b"\xff" * size
    with pytest.raises(Error, match="does not fit"):
        codec.encode(1 << size * 8)


def test_an_unknown_type_is_refused_before_the_kernel_is_asked() -> None:
    with pytest.raises(Error, match="unrecognized map type: hsah"):
        Map.create("hsah", 4, 4, 1)


@pytest.mark.parametrize(("text", "count"), [("0\n", 1), ("0-3\n", 4), ("0-1,4-7,9\n", 7)])
def test_possible_cpus(monkeypatch: pytest.MonkeyPatch, text: str, count: int) -> None:
    monkeypatch.setattr(proc, "_cpu_counts", [])
    monkeypatch.setattr(proc, "read_file", lambda path: text.encode())
    assert proc.possible_cpus() == count
    assert proc.possible_cpus() == count
