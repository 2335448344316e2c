"""`cgroup` beside the distribution's bpftool on the same cgroups: 7.1, which lists by the numbers of the attach types.

Most of the cgroups have programs at hooks only whose order is that of 7.8 too, so that all is compared byte for byte.
"""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bcctool.commands import cgroup
from bcctool.verbs import Args, Options

from ..cgroups import own_cgroups, program
from ..conftest import Completed, Sandbox, no_bpf

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(not shutil.which("bpftool"), reason="bpftool is not installed"),
]

PINS = "/sys/fs/bpf/p"
# cgroup: words of `attach`: the type, `:` and the program's name if that is not the type's, flags
ATTACHED = {
    "": ["ingress:in", "egress:out override", "sock_create multi", "connect4 override", "sendmsg6", "setsockopt multi"],
    "a": ["egress:out override", "sock_create multi", "bind4", "bind6 override", "recvmsg4 multi"],
    "a/b/c": ["cgroup_inet_egress:either_way_and_a_long_name", "connect6 multi", "getsockopt override"],
    "d": ["egress:either_way_and_a_long_name multi", "egress:out multi", "sock_create multi"],
    "e": [],
    "all": [
        *("sock_release", "sock_ops", "device", "bind4", "bind6", "post_bind4", "post_bind6", "connect6", "sendmsg4"),
        *("recvmsg4", "recvmsg6", "getpeername4", "getpeername6", "getsockname4", "getsockname6", "sysctl"),
        "getsockopt",
    ],
}

STYLES = ("", "-j ", "-p ")
SAME_ORDER = [
    f"{style}cgroup {words}"
    for style in STYLES
    for words in (
        "show {top}", "list {top}", "sh {top}/", "show {top}/a", "show {top}/a/b/c", "show {top}/d",
        "show {top} effective", "show {top}/a eff", "show {top}/a/b e", "show {top}/a/b/c effective",
        "show {top}/d/../e effective", "tree {top}/a", "tree {top}/a/", "t {top}/a effective", "tree {top}/d",
        "tree {top}/e", "tree {top}/d/../a effective", "tree {top}/e effective", "tree {top}/a/b/c",
    )
]  # fmt: skip
OTHER_ORDER = [
    f"{style}cgroup {words}"
    for style in STYLES
    for words in ("show {top}/all", "list {top}/all effective", "tree {top}", "tree {top} effective", "tree {top}/all")
]
# What both refuse in the same words.
SAME_ANSWER = [
    f"{style}cgroup {words}"
    for style in STYLES
    for words in (
        "show {top} foo", "show {top} effective foo", "show {top} eff eff", "show {top} effective e x",
        "tree {top} foo", "tree {top} effective effective", "tree {top}/nosuch", "tree {top}/nosuch effective",
        "attach {top} ingress id 4294967295", "attach {top} ingress foo {in}", "attach {top} ingress pinned /nosuch",
        "attach {top} ingress id x", "detach {top} ingress id 4294967295", "detach {top} ingress tag x",
    )
]  # fmt: skip
# Our message starts with theirs, or with this where we know a better reason.
SAME_START = {
    "show {top}/nosuch": "",
    "show /proc": "can't query bpf programs attached to /proc",
    "tree /proc": "can't query bpf programs attached to /proc",
    "attach": "", "detach": "", "attach {top} ingress pinned": "", "detach {top} ingress pinned": "",
    "attach {top}/nosuch ingress pinned {in}": "", "detach {top}/nosuch ingress pinned {in}": "",
    "attach {top} foo pinned {in}": "", "attach {top} cgroup_inet_ing pinned {in}": "", "attach {top} xyz id 1": "",
    "detach {top} connect5 pinned {in}": "", "attach {top}/e ingress pinned {in} foo": "",
    "attach {top}/e ingress pinned {in} multi foo": "", "attach {top}/e ingress pinned {in} multi override": "",
    "attach {top}/e bind4 pinned {in}": "", "attach {top}/a ingress pinned {in} multi": "",
    "attach {top}/a recvmsg4 pinned {recvmsg4} multi": "", "attach {top} egress pinned {out} multi": "",
    "attach /proc ingress pinned {in}": "", "detach /proc ingress pinned {in}": "",
    "detach {top}/e sysctl pinned {in}": "", "detach {top}/d egress pinned {in}": "",
}  # fmt: skip


class Place:
    """A sandbox with programs, and cgroups that have them."""

    def __init__(self, box: Sandbox, top: Path) -> None:
        self.box = box
        names = ("in", "out", "recvmsg4")
        self.fill = {"top": str(top), **{name: f"{PINS}/{name}" for name in names}}

    def words(self, command: str) -> list[str]:
        return command.format_map(self.fill).split()

    def both(self, command: str) -> tuple[Completed, Completed]:
        """Theirs, ours."""
        words = self.words(command)
        return self.box.run("bpftool", *words, status=None), self.box.bcctool(*words, status=None)


@pytest.fixture(scope="module")
def place(compile_c: Callable[..., Path]) -> Iterator[Place]:
    """What is ATTACHED, half of it by bpftool."""
    if reason := no_bpf():
        pytest.skip(reason)
    with own_cgroups("a", "a/b", "a/b/c", "d", "e", "all") as top:
        box = Sandbox()
        try:
            box.bcctool("prog", "loadall", compile_c("cgroup_hooks.c", "-g"), PINS)
            attach(box, top)
            yield Place(box, top)
        finally:
            box.close()


def tools_of(box: Sandbox) -> tuple[Callable[..., Completed], Callable[..., Completed]]:
    """Theirs, ours."""
    return functools.partial(box.run, "bpftool"), box.bcctool


def attach(box: Sandbox, top: Path) -> None:
    tools = [*tools_of(box)]
    for name, rows in ATTACHED.items():
        for row in rows:
            type_, *flags = row.split()
            hook, _, prog = type_.partition(":")
            tools[0]("cgroup", "attach", top / name, hook, "pinned", f"{PINS}/{prog or hook}", *flags)
            tools.reverse()


@pytest.mark.parametrize("command", SAME_ORDER)
def test_same_listing(place: Place, command: str) -> None:
    theirs, ours = place.both(command)
    assert (ours.stdout, ours.stderr, ours.returncode) == (theirs.stdout, "", 0)
    assert theirs.returncode == 0


@pytest.mark.parametrize("command", OTHER_ORDER)
def test_same_lines_in_another_order(place: Place, command: str) -> None:
    """In JSON the same records, with their keys in the same order."""
    theirs, ours = place.both(command)
    if command.startswith("cgroup"):
        blocks = [sorted(done.stdout.splitlines(keepends=True)) for done in (theirs, ours)]
    else:
        blocks = [by_id(json.loads(done.stdout)) for done in (theirs, ours)]
    assert blocks[0] == blocks[1]
    assert (len(theirs.stdout), theirs.stdout != ours.stdout) == (len(ours.stdout), True)
    assert (ours.stderr, ours.returncode, theirs.returncode) == ("", 0, 0)


def by_id(records: list[dict[str, Any]]) -> list[Any]:
    """Records as lists of keys and values, those of programs sorted by id; cgroups stay in their order."""
    if records and "programs" in records[0]:
        return [[*record, record["cgroup"], by_id(record["programs"])] for record in records]
    return sorted([*record.items()] for record in records)


@pytest.mark.parametrize("words", ["show {top}/e", "list {top}/a/b"])
def test_nothing_attached(place: Place, words: str) -> None:
    """Nothing as text; in JSON their line is empty, ours an empty array."""
    for style, expected in (("", ("", "")), ("-j ", ("\n", "[]\n")), ("-p ", ("\n", "[]\n"))):
        theirs, ours = place.both(f"{style}cgroup {words}")
        assert (theirs.stdout, ours.stdout) == expected
        assert (theirs.returncode, ours.returncode, theirs.stderr, ours.stderr) == (0, 0, "", "")


@pytest.mark.parametrize("command", SAME_ANSWER)
def test_same_answer(place: Place, command: str) -> None:
    theirs, ours = place.both(command)
    assert (ours.stdout, ours.stderr) == (theirs.stdout, theirs.stderr)
    assert (ours.returncode, theirs.returncode) == (255, 255)


@pytest.mark.parametrize("words", SAME_START)
@pytest.mark.parametrize("style", ["", "-j "])
def test_same_start_of_the_answer(place: Place, words: str, style: str) -> None:
    theirs, ours = place.both(f"{style}cgroup {words}")
    assert (ours.returncode, theirs.returncode) == (255, 255)
    start = SAME_START[words].format_map(place.fill) or message(theirs)
    assert message(ours).startswith(start)
    assert message(theirs).startswith(start)
    assert ours.stdout.startswith("[") == theirs.stdout.startswith("[")


def message(done: Completed) -> str:
    """The error that a command ended with, on the one stream or the other."""
    if done.stderr:
        assert done.stderr.startswith("Error: ")
        return done.stderr.removeprefix("Error: ")[:-1]
    answer = json.loads(done.stdout)
    return str((answer[-1] if isinstance(answer, list) else answer)["error"])


WORDS = ("i", "eg", "s", "se", "set", "sock_r", "sock_o", "d", "b", "bind6", "c", "connect6", "p", "post_bind6", "r",
         "recvmsg6", "sendmsg6", "g", "getp", "getpeername6", "getsockn", "getsockname6", "sy")  # fmt: skip


def test_same_prefixes(place: Place) -> None:
    """What we detach by a prefix, bpftool has attached by it; each hook takes its own programs only."""
    hooks = {word: cgroup.attach_type(Args([word], Options())) for word in WORDS}
    assert sorted(hooks.values()) == sorted(cgroup.TRADITIONAL_NAMES.values())
    with own_cgroups() as top:
        places = [f"{top} {word} pinned {PINS}/{program(hook)}" for word, hook in hooks.items()]
        done = place.box.run("bpftool", "batch", "file", "-", input="".join(f"cgroup attach {p}\n" for p in places))
        assert done.stdout == f"processed {len(WORDS)} commands\n"
        records = json.loads(place.box.run("bpftool", "-j", "cgroup", "show", top).stdout)
        assert sorted(record["attach_type"] for record in records) == sorted(hooks.values())
        place.box.bcctool("batch", "file", "-", input="".join(f"cgroup detach {p}\n" for p in places))
        assert place.box.run("bpftool", "-j", "cgroup", "show", top).stdout == "\n"


def test_both_change_the_same(place: Place) -> None:
    words = place.words("{top}/e device pinned " + f"{PINS}/device")
    theirs, ours = tools_of(place.box)
    for attach, detach in ((theirs, ours), (ours, theirs)):
        assert attach("-j", "cgroup", "attach", *words).stdout == "null\n"
        assert '"attach_type":"cgroup_device"' in place.box.run("bpftool", "-j", "cgroup", "show", words[0]).stdout
        assert detach("-j", "cgroup", "detach", *words).stdout == "null\n"
        assert place.box.run("bpftool", "cgroup", "show", words[0]).stdout == ""
