"""A program that sends samples through a perf event array, and what shows them."""

from __future__ import annotations

import json
from pathlib import Path

from bcctool.kernel import proc

from .conftest import BCCTOOL, Sandbox
from .live import Live

CPUS = proc.online_cpus()
LAST = CPUS[-1]
EVENTS = ("pinned", "/sys/fs/bpf/m/events")


class Sampled:
    """A sandbox with the program and its maps, and packets to run it with."""

    def __init__(self, box: Sandbox, path: Path, directory: Path) -> None:
        self.box, self.directory = box, directory
        box.bcctool("prog", "loadall", path, "/sys/fs/bpf/p", "pinmaps", "/sys/fs/bpf/m")

    def send(self, size: int, cpu: int = LAST, repeat: int = 1) -> int:
        """Run the program with a packet on a CPU; what bpf_perf_event_output answered, as an unsigned number."""
        packet = self.directory / "packet"
        packet.write_bytes(bytes([size % 256]) * size)
        run = ("prog", "run", "pinned", "/sys/fs/bpf/p/sample", "data_in", str(packet), "repeat", str(repeat))
        self.box.run("taskset", "-c", str(cpu), *BCCTOOL, *run)
        found = self.box.bcctool("-j", "map", "lookup", "pinned", "/sys/fs/bpf/m/results", "key", "0", "0", "0", "0")
        value = json.loads(found.stdout)["value"]
        return int.from_bytes(bytes(int(byte, 16) for byte in value), "little")

    def pipe(
        self,
        *words: str,
        options: tuple[str, ...] = (),
        rings: int = len(CPUS),
        out: str = "out",
        tool: tuple[str, ...] = BCCTOOL,
    ) -> Pipe:
        """An event_pipe that shows what is sent while the block runs."""
        command = (*options, "map", "event_pipe", *EVENTS, *words)
        return Pipe(self.box, self.directory / out, *command, tool=tool, rings=rings)


class Pipe(Live):
    """An event_pipe that waits for samples."""

    def __init__(self, box: Sandbox, out: Path, *words: str, tool: tuple[str, ...], rings: int) -> None:
        super().__init__(box, out, *words, tool=tool)
        self.rings = rings

    def is_ready(self) -> bool:
        mapped = Path(f"/proc/{self.process.pid}/maps").read_text()
        return mapped.count("anon_inode:[perf_event]") == self.rings and self.is_asleep()

    def records(self) -> list[dict[str, object]]:
        """What it has written as JSON, when it has ended."""
        found: list[dict[str, object]] = json.loads(self.out.read_text())
        return found
