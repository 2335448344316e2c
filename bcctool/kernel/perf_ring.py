"""What programs send to user space by bpf_perf_event_output: a ring buffer per CPU (linux/perf_event.h).

libbpf's perf_buffer would do, but when it ends it takes from the map also what others have put there meanwhile.
"""

from __future__ import annotations

import mmap
import os
import struct

from ..errors import Error
from . import perf, uapi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PERF_RECORD_LOST, PERF_RECORD_SAMPLE = 2, 9
PERF_SAMPLE_TIME, PERF_SAMPLE_RAW = 1 << 2, 1 << 10
PAGES = 16  # of a ring, beside the one that says how full it is: a power of 2
DATA_HEAD, DATA_TAIL = 1024, 1032  # offsets in that page, struct perf_event_mmap_page

_WORD = 8
_HEADER = struct.Struct("=I2xH")  # type, size
_SAMPLE = struct.Struct("=QI")  # time, size of what follows
_LOST = struct.Struct("=QQ")  # id, count
HEADER_SIZE = _HEADER.size


class Ring:
    """What bpf_perf_event_output writes on a CPU, from now on: it goes where `fd` stands in a perf_event_array.

    poll() says that `fd` can be read when there is something.
    """

    def __init__(self, cpu: int) -> None:
        """OSError where there is no such CPU, or no memory left that may be locked."""
        self.fd = perf.event(
            uapi.PERF_TYPE_SOFTWARE,
            uapi.PERF_COUNT_SW_BPF_OUTPUT,
            cpu,
            period=1,
            sample_type=PERF_SAMPLE_TIME | PERF_SAMPLE_RAW,
            wakeup_events=1,
        )
        try:
            self._memory = mmap.mmap(self.fd, (1 + PAGES) * mmap.PAGESIZE)
        except OSError:
            os.close(self.fd)
            raise
        # Each position is read and written at once: half a one would be another place.
        self._words = memoryview(self._memory).cast("Q")
        self._data = memoryview(self._memory)[mmap.PAGESIZE :]

    def read(self) -> bytes:
        """All whole records that are there, for records(); their place is free for others then."""
        size = len(self._data)
        tail, head = self._words[DATA_TAIL // _WORD], self._words[DATA_HEAD // _WORD]
        first, count = tail % size, head - tail
        data = bytes(self._data[first : first + count])
        if len(data) < count:
            data += self._data[: count - len(data)]
        self._words[DATA_TAIL // _WORD] = head
        return data

    def close(self) -> None:
        self._words.release()
        self._data.release()
        self._memory.close()
        os.close(self.fd)


def records(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Records of a ring as (PERF_RECORD_…, what follows the header). Error for one that can't be."""
    at = 0
    while at < len(data):
        if len(data) - at < _HEADER.size:
            raise Error(f"perf ring buffer: {len(data) - at} bytes are no record")
        type_, size = _HEADER.unpack_from(data, at)
        if not _HEADER.size <= size <= len(data) - at:
            raise Error(f"perf ring buffer: a record of {size} bytes, {len(data) - at} are there")
        yield type_, data[at + _HEADER.size : at + size]
        at += size


def sample(body: bytes) -> tuple[int, bytes]:
    """(nanoseconds, data) of a PERF_RECORD_SAMPLE; the kernel fills data up to 8 * N + 4 bytes."""
    if len(body) < _SAMPLE.size:
        raise Error(f"perf ring buffer: a sample of {len(body)} bytes")
    time, size = _SAMPLE.unpack_from(body)
    return time, body[_SAMPLE.size : _SAMPLE.size + size]


def lost(body: bytes) -> tuple[int, int]:
    """(id of the event, how many samples had no place) of a PERF_RECORD_LOST."""
    if len(body) < _LOST.size:
        raise Error(f"perf ring buffer: a loss of {len(body)} bytes")
    id, count = _LOST.unpack_from(body)
    return id, count
