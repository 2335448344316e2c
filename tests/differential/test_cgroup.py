"""`cgroup` beside the distribution's bpftool, which lists hooks in another order: by their numbers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..cgroups import DEVICE, PROGS, cgroups
from ..conftest import Sandbox

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(not shutil.which("bpftool"), reason="bpftool is not installed"),
]

Place = tuple[Sandbox, str]


@pytest.fixture(scope="module")
def place(compile_c: Callable[..., Path]) -> Iterator[Place]:
    """Programs of each kind of flags; each cgroup has its own in the order of both tools."""
    with cgroups(compile_c) as (box, path):
        for below, words in (
            ("", f"ingress pinned {PROGS}/incoming multi"),
            ("", f"ingress pinned {PROGS}/incoming_too multi"),
            ("", f"connect4 pinned {PROGS}/connecting"),
            ("/beside", f"connect6 pinned {PROGS}/connecting_too"),
            ("/inside/deep", f"device pinned {DEVICE} override"),
        ):
            box.bcctool("cgroup", "attach", path + below, *words.split())
        yield box, path


COMMANDS = [
    f"{style}cgroup {words}"
    for style in ("", "-j ", "-p ")
    for words in (
        "show {}", "list {}", "s {}", "show {}/inside/deep", "show {} effective", "show {} eff", "tree {}", "t {}",
        "tree {}/inside", "tree {}/inside/deep", "tree {} effective",
    )
]  # fmt: skip
WRONG = ("show", "tree /none", "show {} x", "show {} effective x", "show {} effective effective", "tree {} x",
         "tree {} effective e", "attach {}", "attach {} nothing id 1", "attach {} dev pinned " + DEVICE + " x",
         "attach {} device id 99999999", "attach {} device name none x",
         "attach {} device junk 1", "detach {}", "detach {} nothing id 1",
         "detach {} device id 99999999")  # fmt: skip
# bpftool gives no reason, or one that is no help.
SHORT = ("show /none", "show /tmp", "tree /tmp", "attach /none device id 1",
         "attach {} device pinned " + DEVICE + " multi override", "detach {} device pinned " + DEVICE,
         "attach {} ingress pinned " + DEVICE)  # fmt: skip


def order(text: str) -> str:
    """The rows of `effective`, where a cgroup has rows of several hooks, by attach type."""
    if text.startswith("["):
        found = json.loads(text)
        for rows in (found, *(row["programs"] for row in found if "programs" in row)):
            rows.sort(key=lambda row: str(row.get("attach_type")))
        return json.dumps(found)
    return "".join(sorted(text.splitlines(keepends=True)))


@pytest.mark.parametrize("command", COMMANDS)
def test_same_output(place: Place, command: str) -> None:
    box, path = place
    words = command.format(path).split()
    theirs, ours = box.run("bpftool", *words, status=None), box.bcctool(*words, status=None)
    change = order if " e" in command else str
    assert change(ours.stdout) == change(theirs.stdout)
    assert (ours.stderr, ours.returncode) == (theirs.stderr, theirs.returncode)


@pytest.mark.parametrize("style", ["", "-j "])
@pytest.mark.parametrize("command", WRONG)
def test_same_errors(place: Place, command: str, style: str) -> None:
    box, path = place
    words = f"{style}cgroup {command}".format(path).split()
    theirs, ours = box.run("bpftool", *words, status=255), box.bcctool(*words, status=255)
    if command == "attach {} device name none x":  # nothing was said about a name without a match
        assert theirs.stderr == ""
        assert "no program with name 'none'" in ours.stdout + ours.stderr
        return
    assert (ours.stderr, ours.stdout) == (theirs.stderr, theirs.stdout)


@pytest.mark.parametrize("command", SHORT)
def test_same_start_of_errors(place: Place, command: str) -> None:
    box, path = place
    words = f"cgroup {command}".format(path).split()
    theirs, ours = box.run("bpftool", *words, status=255), box.bcctool(*words, status=255)
    start = theirs.stderr.rstrip("\n").removesuffix(": Bad file descriptor")
    assert ours.stderr.startswith(start)
    assert len(ours.stderr) > len(theirs.stderr)


def test_nothing_attached_is_an_array(place: Place) -> None:
    box, path = place
    assert box.run("bpftool", "-j", "cgroup", "show", f"{path}/inside").stdout == "\n"
    assert box.bcctool("-j", "cgroup", "show", f"{path}/inside").stdout == "[]\n"
