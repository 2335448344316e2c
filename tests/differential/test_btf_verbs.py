"""`btf` beside the distribution's bpftool: listings, dumps by id, program, map and file, and what goes wrong."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Sandbox, no_bpf

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(not shutil.which("bpftool"), reason="bpftool is not installed"),
]

PROG, MAP = "prog pinned /sys/fs/bpf/p/net_xdp", "map pinned /sys/fs/bpf/m/net_counter"
STYLES = ("", "-j ", "-p ")
DUMPS = [
    f"{style}btf dump {source}"
    for style in STYLES
    for source in ("id ID", PROG, MAP, f"{MAP} key", f"{MAP} value", f"{MAP} kv", f"{MAP} all", "file OBJ format raw")
]
OTHERS = [
    "btf dump file /sys/kernel/btf/vmlinux",
    "btf dump id ID for raw",
    f"btf d {MAP} k",
    "-B /sys/kernel/btf/vmlinux btf dump file OBJ",
    "btf show id 4294967295",
    "-j btf show id 4294967295",
    "btf show id ID foo",
    "btf show id abc",
    "-j btf show foo",
    "btf show id",
    "btf show foo 5",
    "btf dump foo 3",
    "btf dump id abc",
    "btf dump id ID foo",
    "btf dump id ID format x",
    "-j btf dump id ID format x",
    "-j btf dump id ID format c",
    "btf dump id ID format ra",
    "btf dump id ID format raw foo",
    f"btf dump {MAP} foo",
    "btf dump file /nosuch",
    "-j btf dump file /nosuch",
    "btf dump map id 4294967295",
    "-j btf dump prog id 4294967295",
]


@pytest.fixture(scope="module")
def obj(compile_c: Callable[..., Path]) -> Path:
    return compile_c("net_hooks.c", "-g")


@pytest.fixture(scope="module")
def box(obj: Path) -> Iterator[Sandbox]:
    """A sandbox with the programs and maps of an object file."""
    if reason := no_bpf():
        pytest.skip(reason)
    box = Sandbox()
    box.run("bpftool", "prog", "loadall", obj, "/sys/fs/bpf/p", "pinmaps", "/sys/fs/bpf/m")
    yield box
    box.close()


@pytest.fixture(scope="module")
def words(box: Sandbox, obj: Path) -> Callable[[str], list[str]]:
    """The words of a command line, with ID and OBJ filled in."""
    id = str(json.loads(box.run("bpftool", "-j", "map", "show", *MAP.split()[1:]).stdout)["btf_id"])
    return lambda command: [{"ID": id, "OBJ": str(obj)}.get(word, word) for word in command.split()]


@pytest.mark.parametrize("command", [*DUMPS, *OTHERS])
def test_same_output_and_status(box: Sandbox, words: Callable[[str], list[str]], command: str) -> None:
    theirs = box.run("bpftool", *words(command), status=None)
    ours = box.bcctool(*words(command), status=theirs.returncode)
    assert ours.stdout == theirs.stdout
    assert ours.stderr == theirs.stderr


def in_order(record: dict[str, Any]) -> list[tuple[str, Any]]:
    """A record without what only we see (the owners) and with ids sorted: theirs come in the order of a hash."""
    items = [(key, value) for key, value in record.items() if key != "pids"]
    return [(key, sorted(value) if isinstance(value, list) else value) for key, value in items]


def test_same_listing_in_json(box: Sandbox, words: Callable[[str], list[str]]) -> None:
    ours = {record["id"]: record for record in json.loads(box.bcctool("-j", "btf", "show").stdout)}
    theirs = {record["id"]: record for record in json.loads(box.run("bpftool", "-j", "btf", "show").stdout)}
    of_others = [record for record in ours.values() if record["id"] not in theirs]
    assert all("pids" in record or not record["kernel"] for record in of_others)  # came between the two calls
    id = int(words("ID")[0])
    for number in (1, id):
        assert in_order(ours[number]) == in_order(theirs[number])
    assert len(ours[id]["prog_ids"]) == 6
    assert json.loads(box.bcctool("-p", "btf", "show", "id", str(id)).stdout) == ours[id]


@pytest.mark.parametrize("style", ["", "-p "])
def test_same_listing_of_one(box: Sandbox, words: Callable[[str], list[str]], style: str) -> None:
    command = words(f"{style}btf show id ID")

    def sorted_ids(text: str) -> str:
        return re.sub(r"\d+(,\d+)+", lambda match: ",".join(sorted(match[0].split(","), key=int)), text)

    assert box.bcctool(*command).stdout == sorted_ids(box.run("bpftool", *command).stdout)


@pytest.mark.parametrize("source", ["id ID", PROG, MAP, "file OBJ"])
def test_same_types_as_c(box: Sandbox, words: Callable[[str], list[str]], source: str) -> None:
    """bpftool 7.1 writes neither the kfuncs' part of the frame nor types in a fixed order: the types are compared."""

    def types(text: str) -> set[str]:
        return {item for item in text.split("\n\n") if re.match("typedef |struct |union |enum ", item)}

    command = words(f"btf dump {source} format c")
    ours, theirs = types(box.bcctool(*command).stdout), types(box.run("bpftool", *command).stdout)
    assert len(theirs) > 1
    assert ours == theirs


def test_a_missing_id_is_reported_once(box: Sandbox) -> None:
    """bpftool says it twice, and its JSON then has two roots."""
    command = ("btf", "dump", "id", "4294967295")
    theirs = box.run("bpftool", *command, status=254).stderr.splitlines(keepends=True)
    assert len(theirs) == 2
    assert box.bcctool(*command, status=254).stderr == theirs[0]
