"""Listings and dumps while programs, maps, links, cgroups, processes and devices come and go as fast as they can."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bcctool.kernel import proc

from ..churn import BPFFS, TRACEPOINTS
from ..conftest import ROOT, Sandbox

SECONDS = 6
LOADED = 500  # programs at least, or it was no test
PATIENCE_S = 20.0
# One after another, in one process. Most of what `@word` means is gone soon after.
COMMANDS = """\
prog show
-j prog show
-jf prog show
map show
-jpf map show
link show
-jf link show
btf show
-j btf show
perf show
-j perf show
net show
-j net show
-j prog show id @prog
-j map show id @map
-j link show id @link
-j btf show id @btf
prog show name p@number
-j prog dump xlated id @prog
prog dump xlated name p@number
prog dump jited id @prog
map dump id @map
-j map dump id @map
-j map dump name m@number
-j map lookup id @map key 0 0 0 0
btf dump id @btf
-j btf dump map id @map
-j cgroup tree CGROUP
cgroup tree CGROUP effective
-j struct_ops show
struct_ops dump
"""
# What may be said of a single object, and of one without BTF.
GONE = re.compile(
    r"(get( map)? by id|can't get BTF object by id|failed to get link with ID)\W+\d+\)?: No such file or directory"
    r"|no (program|map) with name '[pm]\d+'|map \d+ has no BTF"
)
Ids = dict[tuple[str, int], int]
Runs = list[tuple[list[str], int, str, str]]


class Churn:
    """What tests/churn.py does in a sandbox while the block runs."""

    def __init__(self, box: Sandbox, log: Path, cgroup: str) -> None:
        self.box = box
        self.log = log
        self.cgroup = cgroup
        inside = ["nsenter", "-t", str(box.holder.pid), "-m", "-n", "--"]
        command = [sys.executable, str(ROOT / "tests" / "churn.py"), str(log), cgroup]
        self.loader = subprocess.Popen([*inside, *command], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        script = "while read -rt 0.01; [ $? -gt 128 ]; do ip link add c0 type veth peer name c1; ip link del c0; done"
        self.devices = subprocess.Popen([*inside, "bash", "-c", script], stdin=subprocess.PIPE)

    def __enter__(self) -> Churn:
        deadline = time.monotonic() + PATIENCE_S
        while not (self.log.exists() and self.log.stat().st_size > 10_000):
            if self.loader.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                pytest.fail("nothing is loaded")
            time.sleep(0.02)
        return self

    def __exit__(self, *exc: object) -> None:
        """End both by the end of their stdin: each cleans up behind itself."""
        self.devices.communicate(timeout=PATIENCE_S)
        _, failure = self.loader.communicate(timeout=PATIENCE_S)
        assert (self.loader.returncode, failure) == (0, "")

    def numbers(self) -> Ids:
        """The number that came with each object, by kind and id."""
        rows = (line.split() for line in self.log.read_text().splitlines())
        return {(kind, int(id)): int(number) for kind, id, number in rows}

    def repeated(self, lines: str, seconds: float) -> Any:
        """What tests/repeated.py finds."""
        words = [line.replace("CGROUP", self.cgroup or "/").split() for line in lines.splitlines()]
        words = [line for line in words if self.cgroup or "cgroup" not in line]
        script = ROOT / "tests" / "repeated.py"
        done = self.box.run(sys.executable, script, self.log, str(seconds), input=json.dumps(words))
        assert done.stderr == ""
        return json.loads(done.stdout)


@pytest.fixture
def churn(sandbox: Sandbox, tmp_path: Path) -> Iterator[Churn]:
    """The loader at work, with a cgroup of its own where there is cgroup v2."""
    top = next(proc.mounts("cgroup2"), "")
    cgroup = f"{top}/churn-{os.getpid()}" if top else ""
    if cgroup:
        os.mkdir(cgroup)
    try:
        with Churn(sandbox, tmp_path / "log", cgroup) as found:
            yield found
    finally:
        if cgroup:
            os.rmdir(cgroup)


def records(found: Runs, *words: str) -> Iterator[tuple[dict[str, Any], ...]]:
    """The JSON of each run of a command line, a tuple of records; the first word has the options."""
    for line, status, out, _ in found:
        if line[: len(words)] == [*words] and not status:
            value = json.loads(out)
            yield tuple(value) if isinstance(value, list) else (value,)


def test_listings_and_dumps(churn: Churn) -> None:
    found = churn.repeated(COMMANDS, SECONDS)
    numbers = churn.numbers()
    runs: Runs = found["runs"]
    gone = 0
    assert len({id for kind, id in numbers if kind == "prog"}) > LOADED
    for words, status, out, err in runs:
        message = err
        if "j" in words[0]:
            value = json.loads(out)
            message = value.get("error", "") if isinstance(value, dict) else err
        told = GONE.search(message) if any(word in words for word in ("id", "name")) else None
        assert (status, message) == (0, "") or (status and told), (words, status, out[-200:], err)
        gone += "has no BTF" not in message and bool(told)
    assert gone, "nothing was gone when it was asked for: where is the churn?"
    progs = [record for listing in records(runs, "-jf", "prog", "show") for record in listing]
    check_progs(progs, numbers)
    check_maps([record for listing in records(runs, "-jpf", "map", "show") for record in listing], numbers)
    check_links([record for listing in records(runs, "-jf", "link", "show") for record in listing], numbers)
    check_attached(runs, numbers)
    check_single(runs, numbers)
    # Nothing else is left of hundreds of commands than what the first of each had opened for good.
    assert (found["descriptors"], found["threads"]) == ([], 0)


def check_progs(progs: list[dict[str, Any]], numbers: Ids) -> None:
    """Name, map, pin and holder of each program of ours are its own."""
    seen = [(record, numbers[bpf_id]) for record in progs if (bpf_id := ("prog", record["id"])) in numbers]
    assert seen
    for record, number in seen:
        assert (record["name"], [numbers["map", id] for id in record["map_ids"]]) == (f"p{number}", [number])
        assert set(record.get("pinned", ())) <= {f"{BPFFS}/p{number}"}
        assert record.get("pids") != []
    assert any(record.get("pinned") for record, _ in seen)


def check_maps(maps: list[dict[str, Any]], numbers: Ids) -> None:
    """Name, BTF and pin of each map are its own."""
    seen = [(record, numbers[bpf_id]) for record in maps if (bpf_id := ("map", record["id"])) in numbers]
    assert seen
    for record, number in seen:
        assert record["name"] == f"m{number}"
        assert numbers.get(("btf", record.get("btf_id", 0))) == (number if number % 2 else None)
        assert set(record.get("pinned", ())) <= {f"{BPFFS}/m{number}"}
        assert record.get("pids") != []


def check_links(links: list[dict[str, Any]], numbers: Ids) -> None:
    """The program and the place of each link are its own."""
    seen = [(record, numbers[bpf_id]) for record in links if (bpf_id := ("link", record["id"])) in numbers]
    assert {record["type"] for record, _ in seen} >= {"raw_tracepoint"}
    for record, number in seen:
        # A link whose cgroup is gone has no program any more.
        assert numbers.get(("prog", record["prog_id"]), number) == number
        if record["type"] == "raw_tracepoint":
            assert record["tp_name"] == TRACEPOINTS[number % len(TRACEPOINTS)]


def check_attached(runs: Runs, numbers: Ids) -> None:
    """What perf, net, btf and cgroup say of programs and maps is true of these."""
    for record in (record for listing in records(runs, "-j", "perf", "show") for record in listing):
        if ("prog", record["prog_id"]) in numbers:
            assert record["tracepoint"] == TRACEPOINTS[numbers["prog", record["prog_id"]] % len(TRACEPOINTS)]
    for record in (record for listing in records(runs, "-j", "btf", "show") for record in listing):
        if ("btf", record["id"]) in numbers:
            assert {numbers["map", id] for id in record["map_ids"]} <= {numbers["btf", record["id"]]}
    for place in (place for listing in records(runs, "-j", "cgroup", "tree") for place in listing):
        for program in place["programs"]:
            number = numbers.get(("prog", program["id"]))
            assert number is None or program["name"] == f"p{number}"
            assert number is None or place["cgroup"].endswith(f"/{number}")


def octets(number: int) -> list[str]:
    return [f"{byte:#04x}" for byte in number.to_bytes(4, sys.byteorder)]


def is_element(out: str, number: int, json_: bool) -> bool:
    """Whether this is the dump of the map of a number; those of odd numbers have a type."""
    formatted = {"key": 0, "value": {f"v{number}": number}}
    if json_:
        (element,) = json.loads(out)
        return bool(element["value"] == octets(number) and element.get("formatted", formatted) == formatted)
    if number % 2:
        return bool(json.loads(out) == [formatted])
    return " ".join([octet[2:] for octet in octets(number)]) in out


# what a command line starts with → whether its output is that for a number
SINGLE: dict[str, Callable[[str, int], bool]] = {
    "-j prog show id": lambda out, number: json.loads(out)["name"] == f"p{number}",
    "-j map show id": lambda out, number: json.loads(out)["name"] == f"m{number}",
    "-j prog dump xlated id": lambda out, number: f'(b7) r2 = {number}"' in out,
    "prog dump jited id": lambda out, number: bool(re.match(rf"bpf_prog_\w+_p{number}:\n", out)),
    "map dump id": lambda out, number: is_element(out, number, False),
    "-j map dump id": lambda out, number: is_element(out, number, True),
    "-j map lookup id": lambda out, number: json.loads(out)["value"] == octets(number),
    "btf dump id": lambda out, number: f"'v{number}' type_id=1" in out,
}


def check_single(runs: Runs, numbers: Ids) -> None:
    """What was asked for by id and was there is that of the id."""
    counts = dict.fromkeys(SINGLE, 0)
    for words, status, out, _ in runs:
        start, _, id = " ".join(words[: words.index("id") + 2] if "id" in words else words).rpartition(" ")
        if not status and start in SINGLE:
            number = numbers[start.removeprefix("-j ").split()[0], int(id)]
            assert SINGLE[start](out, number), (words, number, out)
            counts[start] += 1
    assert all(counts.values()), counts


def test_a_process_per_command(churn: Churn) -> None:
    deadline = time.monotonic() + SECONDS / 2
    while time.monotonic() < deadline:
        for words in ("prog show", "-j map show", "-j link show", "-jf prog show", "perf show", "-j net show"):
            done = churn.box.bcctool(*words.split())
            assert done.stderr == ""
            if words.startswith("-"):
                json.loads(done.stdout)
