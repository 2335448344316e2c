"""Hundreds of command lines, most of them wrong, against the distribution's bpftool over the same objects.

Status, streams, results and the first words of messages are the same, or word_reasons.py explains the difference.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bcctool.loader import sections

from ..conftest import NOBODY, Sandbox, no_bpf
from ..forked import Done, Forked
from .word_reasons import EXPLAINED, NEWER, UNPRIVILEGED
from .word_rows import ROWS, groups
from .word_scene import Scene

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(not shutil.which("bpftool"), reason="bpftool is not installed"),
]

GROUPS = groups()
STYLES = ("", "-j")
LIBBPF = re.compile(r"^libbpf: .*\n", re.M)
# what is newer than 7.1, and what it can't find out on this kernel
OURS_ONLY = re.compile(r'\s*"orphaned": ?false,|,\s*"pids": ?\[[^]]*\]|\n\tpids .*')
# bpftool 7.1 and bcctool have other versions and features; the layout and libbpf's version have to be the same
VERSION = re.compile(r'(tool v|"version": ?")[\d.]+|features: .*|(?<="features": )\{[^}]*\}|(?<="features":)\{[^}]*\}')
NO_JSON = ("Warning: ", "Usage: ", "Program ")  # how messages begin that JSON has no place for
ERROR = re.compile(r'\{\s*"error": ?"')
TIMES = re.compile(r'(duration( \(average\))?"?: ?)\d+')
LISTINGS = ("perf s", "perf l", "perf list")  # of everybody's objects, which come and go
NOBODY_ROWS = """
prog show
prog show id 1
prog show name x
prog show pinned /sys/fs/bpf/x
prog dump xlated id 1
map show
map dump id 1
map lookup id 1 key 1
map create /sys/fs/bpf/x type hash key 4 value 4 entries 4 name a
link show
link show id 1
link detach id 1
btf show
btf dump id 1
perf show
feature probe
struct_ops show
struct_ops dump
prog load {obj} /sys/fs/bpf/x
prog run id 1 data_in /dev/null
iter pin {iter_obj} /sys/fs/bpf/x map id 1
version
help
nosuch
""".strip().splitlines()


class Outcome:
    """A Done as it is compared: status, the streams that were used, the message or notice, and the result."""

    def __init__(self, done: Done) -> None:
        self.status = done.status
        errors = LIBBPF.sub("", done.stderr).replace("bpftool", "bcctool", 1)
        self.streams = {name for name, text in (("stdout", done.stdout.strip("\n")), ("stderr", errors)) if text}
        self.message, self.result = errors, ""
        if ERROR.match(done.stdout):
            self.message = json_error(done.stdout)
        else:
            result = VERSION.sub(r"\1N", TIMES.sub(r"\1N", OURS_ONLY.sub("", done.stdout))).strip("\n")
            self.result = result.replace("bpftool", "bcctool", 1)
            if errors.startswith("Usage: "):
                self.message = " ".join(errors.split()[:3])
            elif errors.startswith("Error: "):
                self.message = errors.partition("\n")[0].removeprefix("Error: ")

    def difference(self, theirs: Outcome) -> str:
        """What is not the same, empty if nothing is."""
        if (self.status, self.streams) != (theirs.status, theirs.streams):
            return f"status {self.status} and {self.streams}, not {theirs.status} and {theirs.streams}"
        if not self.message.startswith(theirs.message):
            return f"message '{self.message}', not '{theirs.message}'"
        return "" if self.result == theirs.result else f"result\n{self.result}\nnot\n{theirs.result}"


def json_error(text: str) -> str:
    """The message of the first error; bpftool's are not escaped, and may end in a newline."""
    try:
        return str(json.loads(text)["error"])
    except ValueError:
        return re.split(r'"\n*\}', ERROR.sub("", text, count=1))[0].rstrip("\n")


@pytest.fixture(scope="module")
def scene(compile_c: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    if reason := no_bpf():
        pytest.skip(reason)
    box = Sandbox()
    try:
        yield Scene(box, compile_c, tmp_path_factory.mktemp("words"))
    finally:
        box.close()


@pytest.fixture(scope="module")
def forked(scene: Scene) -> Iterator[Forked]:
    with Forked(scene.box) as process:
        yield process


def problems(scene: Scene, forked: Forked, row: str, known: dict[str, tuple[int, str]]) -> Iterator[str]:
    """What is wrong about a row, in text and JSON: another answer than bpftool's, and than the one that is `known`."""
    differences = []
    for style in STYLES:
        theirs, ours = scene.both(forked, row, style)
        found, wanted = Outcome(ours), Outcome(theirs)
        if row in LISTINGS:
            found.result, found.streams = wanted.result, wanted.streams
        difference = found.difference(wanted)
        differences.append(difference)
        if difference and row in known:
            if wrong := as_known(scene, style, found, *known[row]):
                yield f"{style} {row}: {wrong}\n{ours}"
        elif difference:
            yield f"{style} {row}: {difference}\n{theirs}\n--- ours\n{ours}"
        if "Traceback" in ours.stderr or (style and not is_json(ours.stdout)):
            yield f"{style} {row}: no JSON, or a crash\n{ours}"
    if row in known and not any(differences):
        yield f"{row}: explained, but the same"


def as_known(scene: Scene, style: str, found: Outcome, status: int, message: str) -> str:
    """What is not as the tables say, empty if nothing is."""
    if style and message.startswith(NO_JSON):
        message = ""
    if found.status != status:
        return f"status {found.status}, not {status}"
    return "" if found.message.startswith(scene.named(message)) else f"message '{found.message}', not '{message}'"


def is_json(text: str) -> bool:
    """Whether it is one document and the newline after it, or that alone: some verbs write no null."""
    try:
        json.loads(text.strip("\n") or "null")
    except ValueError:
        return False
    return text.endswith("\n")


@pytest.mark.parametrize("group", GROUPS)
def test_same_answers(scene: Scene, forked: Forked, group: str) -> None:
    found = [problem for row in GROUPS[group] for problem in problems(scene, forked, row, EXPLAINED)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("style", STYLES)
def test_what_7_1_does_not_know(scene: Scene, forked: Forked, style: str) -> None:
    for row, known in NEWER.items():
        ours = scene.ours(forked, row, style)
        wrong = as_known(scene, style, Outcome(ours), *known) or (style and not is_json(ours.stdout) and "no JSON")
        assert not wrong, f"{style} {row}: {wrong}\n{ours}"
        assert ours.status == 0 or not LIBBPF.sub("", ours.stdout if not style else ours.stderr)


def test_every_explanation_is_of_a_row() -> None:
    assert set(EXPLAINED) <= set(ROWS)
    assert set(UNPRIVILEGED) <= set(NOBODY_ROWS)
    assert len(ROWS) == len(set(ROWS))


@pytest.fixture(scope="module")
def nobody(scene: Scene) -> Iterator[Forked]:
    if not shutil.which(NOBODY[0]):
        pytest.skip("setpriv is not installed")
    with Forked(scene.box, *NOBODY) as process:
        yield process


def test_same_answers_to_nobody(scene: Scene, nobody: Forked) -> None:
    found = [problem for row in NOBODY_ROWS for problem in problems(scene, nobody, row, UNPRIVILEGED)]
    assert not found, "\n".join(found)


FAMILIES = ("help", "prog", "map", "link", "cgroup", "perf", "net", "feature", "btf", "gen", "struct_ops", "iter")
# what 7.8 has beyond the 7.1 that we can ask
NEWER_WORDS = {
    "prog": "stdout stderr offload_dev xdpmeta_dev pinmaps autoattach kernel_btf",
    "map": "offload_dev dev inner_map arena cgrp_storage",
    "btf": "root_id unsorted",
    "help": "token --base-btf --mapcompat --nomount --use-loader",
}
NOT_OURS = {"-l", "--legacy"}  # it is for `prog loadall` with us
NOT_OF = {"net": {"devname"}}  # NAME


def keywords(text: str) -> set[str]:
    """The words of a usage that are to be typed as they are: the rest is in capitals."""
    grammar = text.partition("\n\nNote:")[0]
    return set(re.findall(r"(?<![\w-])(?:--?[A-Za-z][a-z-]*|[a-z][a-z0-9_/]*)(?![\w-])", grammar)) - {
        "bpftool",
        "bcctool",
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_the_help_has_every_keyword(forked: Forked, family: str) -> None:
    words = [family] if family == "help" else [family, "help"]
    theirs = keywords(forked.run(["bpftool", *words]).stderr) | set(NEWER_WORDS.get(family, "").split())
    ours = keywords(forked.bcctool(words).stderr)
    assert len(theirs) > 2
    assert theirs - ours <= (NOT_OURS if family not in ("prog", "help") else set()) | NOT_OF.get(family, set())


def test_every_type_in_the_help_is_one(forked: Forked) -> None:
    listed = forked.bcctool(["prog", "help"]).stderr.partition("TYPE := { socket")[2].partition("}")[0]
    types = ["socket", *re.findall(r"[a-z][\w/]*", listed)]
    assert len(types) > 40
    assert all(sections.by_type_name(type_) for type_ in types)
