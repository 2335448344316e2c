"""Runs command lines of bcctool in one process, one after another and again, while tests/churn.py works.

usage: python tests/repeated.py LOG SECONDS < JSON      JSON: list of command lines; LOG: what churn.py writes
The word `@prog`, `@map`, `@btf` or `@link` stands for the id of such an object that was loaded a moment ago and may be
gone, `@number` for the number of another. Prints a JSON object: `runs`, a list of [words, status, stdout, stderr];
`descriptors`, those that the first round did not leave open; `threads`, how many are left.
"""

from __future__ import annotations

import gc
import io
import json
import os
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bcctool.cli import main  # noqa: E402  (the checkout's own package, wherever the script is started)

TAIL = 12_000  # bytes of the log: some two hundred numbers


def run(words: list[str]) -> tuple[list[str], int, str, str]:
    """What a command line does when it is run here: its words, status, stdout, stderr."""
    outer = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = io.TextIOWrapper(out := io.BytesIO()), (err := io.StringIO())
    try:
        status = main(words)
        return words, status, out.getvalue().decode(), err.getvalue()
    finally:
        sys.stdout, sys.stderr = outer


def recent(log: str) -> dict[str, str]:
    """What stands for each `@word` now."""
    with open(log, "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
        lines = file.read().decode().split("\n")[1:-1]
    random.shuffle(lines)
    found: dict[str, str] = {}
    for line in lines:
        kind, id, number = line.split()
        found |= {f"@{kind}": id, "@number": number}
    return found


def descriptors() -> set[str]:
    gc.collect()
    return set(os.listdir("/proc/self/fd"))


def repeat(lines: list[list[str]], log: str, seconds: float) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    runs = []
    known: set[str] = set()
    for turn in range(1 << 30):
        for line in lines:
            places = recent(log)
            words = [next((word.replace(key, id) for key, id in places.items() if key in word), word) for word in line]
            runs.append(run(words))
        if not turn:
            known = descriptors()
        if time.monotonic() > deadline and turn:
            break
    leaked = sorted(descriptors() - known)
    return {"runs": runs, "descriptors": leaked, "threads": threading.active_count() - 1}


if __name__ == "__main__":
    print(json.dumps(repeat(json.load(sys.stdin), sys.argv[1], float(sys.argv[2]))))
