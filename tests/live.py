"""Commands that run until a signal ends them, inside of a sandbox, and what they have written so far."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from typing_extensions import Self

from bcctool.kernel import proc

from .conftest import BCCTOOL, Sandbox

PATIENCE_S = 20.0


class Live:
    """A command that runs while the block does; its stdout is the file `out`."""

    def __init__(self, box: Sandbox, out: Path, *words: str, tool: tuple[str, ...] = BCCTOOL) -> None:
        self.out = out
        command = ["nsenter", "-t", str(box.holder.pid), "-m", "-n", "--", *tool, *words]
        with out.open("wb") as stdout:
            self.process = subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True)

    def is_ready(self) -> bool:
        """Whether what happens from now on is written."""
        return True

    def __enter__(self) -> Self:
        try:
            self.wait_for(self.is_ready)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def open_files(self) -> list[str]:
        return [path for _, path in proc.descriptors(self.process.pid)]

    def is_asleep(self) -> bool:
        """Whether the process waits for something."""
        return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"

    def wait_for(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert self.process.poll() is None
            assert time.monotonic() < deadline, f"nothing for {PATIENCE_S} s"
            time.sleep(0.02)

    def end(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        """Send a signal; (status, stderr)."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, errors
