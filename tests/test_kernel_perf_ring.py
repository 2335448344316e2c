"""Records of perf ring buffers taken apart, whole and damaged; their numbers beside the kernel's own."""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path

import pytest

from bcctool.btf import kinds
from bcctool.btf.reader import Btf
from bcctool.errors import Error
from bcctool.kernel import perf, perf_ring

VMLINUX = Path("/sys/kernel/btf/vmlinux")
SIZE = perf_ring.PAGES * mmap.PAGESIZE


def record(type: int, body: bytes) -> bytes:
    return struct.pack("=IHH", type, 0, 8 + len(body)) + body


def raw_sample(time: int, data: bytes) -> bytes:
    return record(perf_ring.PERF_RECORD_SAMPLE, struct.pack("=QI", time, len(data)) + data)


def test_records_one_after_another() -> None:
    data = raw_sample(5, b"abcd") + record(perf_ring.PERF_RECORD_LOST, struct.pack("=QQ", 7, 3)) + record(77, b"")
    (first, body), (second, loss), third = perf_ring.records(data)
    assert (first, *perf_ring.sample(body)) == (9, 5, b"abcd")
    assert (second, *perf_ring.lost(loss)) == (2, 7, 3)
    assert third == (77, b"")
    assert list(perf_ring.records(b"")) == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x09\0\0\0", "4 bytes are no record"),
        (struct.pack("=IHH", 9, 0, 0), "a record of 0 bytes, 8 are there"),
        (raw_sample(5, b"abcd")[:-1], "a record of 24 bytes, 23 are there"),
    ],
)
def test_what_is_no_record(data: bytes, message: str) -> None:
    with pytest.raises(Error, match=f"^perf ring buffer: {message}$"):
        list(perf_ring.records(data))


def test_what_is_no_sample() -> None:
    with pytest.raises(Error, match="a sample of 11 bytes"):
        perf_ring.sample(bytes(11))
    with pytest.raises(Error, match="a loss of 8 bytes"):
        perf_ring.lost(bytes(8))
    assert perf_ring.sample(struct.pack("=QI", 5, 100) + b"abcd") == (5, b"abcd")


@pytest.fixture
def ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[perf_ring.Ring, mmap.mmap]:
    """A ring over a file, and the file's memory, for a test that writes as the kernel does."""
    file = os.open(tmp_path / "ring", os.O_RDWR | os.O_CREAT)
    os.truncate(file, mmap.PAGESIZE + SIZE)
    memory = mmap.mmap(file, mmap.PAGESIZE + SIZE)
    monkeypatch.setattr(perf, "event", lambda *_, **__: file)
    return perf_ring.Ring(0), memory


def put(memory: mmap.mmap, head: int, data: bytes) -> int:
    """Write at a position as the kernel does; the next one."""
    for at, byte in enumerate(data, head):
        memory[mmap.PAGESIZE + at % SIZE] = byte
    memory[perf_ring.DATA_HEAD : perf_ring.DATA_HEAD + 8] = (head + len(data)).to_bytes(8, "little")
    return head + len(data)


def test_a_ring_goes_round(ring: tuple[perf_ring.Ring, mmap.mmap]) -> None:
    reader, memory = ring
    head = 0
    for count in (1, 3000, 2000, SIZE // 8, 5, SIZE // 8):
        written = b"".join([number.to_bytes(8, "little") for number in range(count)])
        head = put(memory, head, written)
        assert reader.read() == written
        assert memory[perf_ring.DATA_TAIL : perf_ring.DATA_TAIL + 8] == head.to_bytes(8, "little")
    assert reader.read() == b""
    reader.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reader.fd)


def test_a_ring_that_can_t_be_mapped_leaves_no_descriptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = os.open(tmp_path / "ring", os.O_WRONLY | os.O_CREAT)
    os.truncate(file, mmap.PAGESIZE + SIZE)
    monkeypatch.setattr(perf, "event", lambda *_, **__: file)
    with pytest.raises(PermissionError):
        perf_ring.Ring(0)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file)


@pytest.mark.skipif(not VMLINUX.exists(), reason="this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)")
def test_numbers_are_the_kernels() -> None:
    btf = Btf(VMLINUX.read_bytes())
    for enum, names in (
        ("perf_event_type", ("PERF_RECORD_LOST", "PERF_RECORD_SAMPLE")),
        ("perf_event_sample_format", ("PERF_SAMPLE_TIME", "PERF_SAMPLE_RAW")),
    ):
        found = btf.find(enum, kinds.ENUM)
        assert found is not None
        values = dict(btf.type(found).entries)
        assert {name: values[name] for name in names} == {name: getattr(perf_ring, name) for name in names}
    page = btf.find("perf_event_mmap_page", kinds.STRUCT)
    assert page is not None
    offsets = {member.name: member.bit_offset // 8 for member in btf.type(page).entries}
    assert (offsets["data_head"], offsets["data_tail"]) == (perf_ring.DATA_HEAD, perf_ring.DATA_TAIL)
