"""The two programs of `prog profile`, as bytes: one reads counters where a program starts, one where it ends.

Both share the one value of a per-CPU array, u64 words:

    run_cnt     complete runs
    started     whether `before` is of the run that goes on
    before      a reading per counter, from the start of that run
    totals      a reading per counter, the sum over all complete runs

A reading is struct bpf_perf_event_value (linux/bpf.h): counter, enabled, running. A run during which another one
interrupts on the same CPU, or a counter can't be read, counts for nothing.
"""

from __future__ import annotations

from ..insn import asm
from ..insn.asm import R0, R1, R2, R3, R4, R6, R7, R10
from ..kernel import uapi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

WORD = 8
READING = 3  # words
RUN_CNT, STARTED, BEFORE = range(3)
KEY = -WORD  # from the frame pointer, and below it the readings at the end of a run
CURRENT_CPU = -1  # BPF_F_CURRENT_CPU, as the 32 bits that it is
_MAP_LOOKUP_ELEM = uapi.HELPERS.index("map_lookup_elem")
_PERF_EVENT_READ_VALUE = uapi.HELPERS.index("perf_event_read_value")


def totals_at(counters: int) -> int:
    """The first word of the totals."""
    return BEFORE + counters * READING


def value_size(counters: int) -> int:
    """Bytes of the array's value."""
    return (totals_at(counters) + counters * READING) * WORD


def entry(values_fd: int, event_fds: Sequence[int]) -> bytes:
    """What runs before the program: the readings go to `before`."""
    body = asm.store_imm(R6, STARTED * WORD, 1)
    for number in reversed(range(len(event_fds))):
        body = _read(event_fds[number], R6, (BEFORE + number * READING) * WORD) + asm.when_zero(R0, body)
    return _with_value(values_fd, asm.store_imm(R6, STARTED * WORD, 0) + body)


def exit(values_fd: int, event_fds: Sequence[int]) -> bytes:
    """What runs after the program: what the counters went up by is added to the totals."""
    counters = len(event_fds)
    body = asm.load(R1, R6, RUN_CNT * WORD) + asm.add(R1, 1) + asm.store(R6, RUN_CNT * WORD, R1)
    for word in range(counters * READING):
        total = (totals_at(counters) + word) * WORD
        body += asm.load(R1, R10, _after(counters) + word * WORD) + asm.load(R2, R6, (BEFORE + word) * WORD)
        body += asm.sub_reg(R1, R2) + asm.load(R2, R6, total) + asm.add_reg(R2, R1) + asm.store(R6, total, R2)
    for number in reversed(range(counters)):
        at = _after(counters) + number * READING * WORD
        body = _read(event_fds[number], R10, at) + asm.when_zero(R0, body)
    started = asm.load(R7, R6, STARTED * WORD)
    return _with_value(values_fd, started + asm.when_set(R7, asm.store_imm(R6, STARTED * WORD, 0) + body))


def _after(counters: int) -> int:
    """Where on the stack the readings at the end start."""
    return KEY - counters * READING * WORD


def _with_value(values_fd: int, body: bytes) -> bytes:
    """A program: the body with the array's value in r6."""
    key = asm.store_imm(R10, KEY, 0) + asm.copy(R2, R10) + asm.add(R2, KEY)
    found = asm.load_map(R1, values_fd) + asm.call(_MAP_LOOKUP_ELEM)
    return key + found + asm.when_set(R0, asm.copy(R6, R0) + body) + asm.end(0)


def _read(events_fd: int, base: int, off: int) -> bytes:
    """A counter of this CPU to base + off; r0 is 0 when that worked."""
    to = asm.copy(R3, base) + asm.add(R3, off)
    which = asm.load_map(R1, events_fd) + asm.mov32(R2, CURRENT_CPU)
    return which + to + asm.mov(R4, READING * WORD) + asm.call(_PERF_EVENT_READ_VALUE)
