"""A program that runs a known number of times while `prog profile` looks; as a script, in the kernel of scripts/vm.

usage: python tests/profiled.py OBJECT RUNS METRICS...      METRICS: as one word, such as "cycles instructions"
Prints a JSON array with one `Outcome` per METRICS.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, TypedDict

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bcctool.kernel import bpf, proc  # noqa: E402  (the checkout's own package, wherever the script is started)
from bcctool.loader.load import load  # noqa: E402
from bcctool.objects.handle import LINKS  # noqa: E402
from bcctool.objects.prog import Prog  # noqa: E402

PACKET = bytes(64)
READY_S = 60.0  # an emulated machine starts Python slowly
KINDS = (bpf.PROG, bpf.MAP, bpf.LINK)


class Outcome(TypedDict):
    """How `prog profile` ended; left: how many programs, maps and links there were more than before."""

    status: int
    stdout: str
    stderr: str
    left: int


def profile(prog: Prog, runs: int, *words: str, ends: int = signal.SIGINT, options: str = "-j") -> Outcome:
    """Profile a program, have it run as often as said once that has begun, and send the signal."""
    before = objects()
    command = [sys.executable, "-m", "bcctool", *options.split(), "prog", "profile", "id", str(prog.id), *words]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + READY_S
        while not measuring(process.pid) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        if process.poll() is None:
            run_everywhere(prog, runs)
            process.send_signal(ends)
        stdout, stderr = process.communicate(timeout=READY_S)
    deadline = time.monotonic() + 2
    while objects() > before and time.monotonic() < deadline:  # the kernel takes its time to free them
        time.sleep(0.02)
    return {"status": process.returncode, "stdout": stdout, "stderr": stderr, "left": len(objects() - before)}


def run_everywhere(prog: Prog, runs: int) -> None:
    """Run a program so many times in all, some of them on each CPU."""
    cpus = os.sched_getaffinity(0)
    try:
        for number, cpu in enumerate(sorted(cpus)):
            os.sched_setaffinity(0, {cpu})
            prog.test_run(PACKET, repeat=(runs + number) // len(cpus))
    finally:
        os.sched_setaffinity(0, cpus)


def measuring(pid: int) -> bool:
    """Whether a process has both its programs attached, or the statistics switched on."""
    links = [link for _, link in proc.descriptors(pid)]
    return [LINKS.get(link) for link in links].count(bpf.LINK) == 2 or "anon_inode:bpf-stats" in links


def objects() -> set[tuple[str, int]]:
    return {(kind, id) for kind in KINDS for id in bpf.ids(kind)}


def main(path: str, runs: str, *choices: str) -> list[Any]:
    with load(path, type="xdp") as loaded:
        (prog,) = loaded.progs.values()
        return [profile(prog, int(runs), *choice.split()) for choice in choices]


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
