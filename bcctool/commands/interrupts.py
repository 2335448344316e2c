"""Signals that end a command: exceptions while it makes things, so that it can undo that; else what poll() sees."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from typing_extensions import Self

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Terminated(KeyboardInterrupt):
    """A signal came; `status` is what a shell shows for a command that died of it."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.status = 128 + number


class Interrupts:
    """In the block the first of the signals raises Terminated, so that it comes once: `timeout` sends it twice.

    From block() on they wait until the end of the block, and then do what they do.
    """

    def __enter__(self) -> Self:
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._handlers = {number: signal.signal(number, self._raise) for number in ENDING}
        return self

    def _raise(self, number: int, frame: Any) -> None:
        for other in ENDING:
            signal.signal(other, signal.SIG_IGN)
        raise Terminated(number)

    def block(self) -> None:
        """From here on nothing gets undone."""
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)


@contextmanager
def woken() -> Iterator[int]:
    """A descriptor to poll: it can be read once one of the signals has come, which does nothing else in the block."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    handlers = {number: signal.signal(number, lambda *_: None) for number in ENDING}
    before = signal.set_wakeup_fd(writer)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)
