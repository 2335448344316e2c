"""`batch` beside the distribution's bpftool: how a file becomes commands, what is printed of them, and the status."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..conftest import BCCTOOL, Completed, Sandbox, no_bpf, run

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(not shutil.which("bpftool"), reason="bpftool is not installed"),
]

PIN = "/sys/fs/bpf/p"
GOOD, BAD = f"prog show pinned {PIN}", "prog show id x"
FILES = {"good": f"{GOOD}\n{GOOD}\n", "bad": f"{BAD}\n{GOOD}\n", "cut": f"{GOOD}\nprog 'show\n"}


def padded(length: int, comment: str = "") -> str:
    """A line of that many bytes with its newline."""
    return (GOOD + (comment and f" #{comment * length}") + " " * length)[: length - 1] + "\n"


# name → file; bpftool says of each what we say, to the byte.
SAME = {
    "nothing": "",
    "blank lines": "\n \n\t\n\r\n",
    "comments": "# x\n#\n  # y\n",
    "one command": f"{GOOD}\n",
    "no newline at the end": GOOD,
    "two commands": f"{GOOD}\n{GOOD}\n",
    "blanks of all kinds": GOOD.replace(" ", " \t\r ") + "\r\n",
    "a carriage return is a blank": GOOD.replace(" ", "\r") + "\n",
    "prefixes": f"p s pi {PIN}\n",
    "quotes": f"'prog' \"show\" 'pinned' '{PIN}'\n",
    "blanks in quotes": "prog show id 'a  b c'\n",
    "the other quote in quotes": "prog show id \"a'b\"\n",
    "a quote in a word is a letter": "prog show id a'b\n",
    "after the closing quote a word begins": "prog show id 'a'b\n",
    "an empty word": f"prog '' pinned {PIN}\n",
    "a quote that stays open": "prog 'show\n",
    "one that stays open later": f"{GOOD}\nprog 'show\n{GOOD}\n",
    "a comment in quotes": f"{GOOD}\nprog \"a#b\"\n",
    "a comment behind a word": f"{GOOD}#x\n{GOOD} # 'y\n",
    "continued": f"prog \\\nshow \\\npinned {PIN}\n",
    "continued in a word": f"pr\\\nog sh\\\now pinned {PIN}\n",
    "continued in quotes": "prog show id 'a\\\nb'\n",
    "continued by an empty line": f"{GOOD} \\\n\n{GOOD}\n",
    "continued by a comment": f"{GOOD} \\\n# x\n{GOOD}\n",
    "continued, with a comment": f"prog \\\nshow pinned {PIN} # x \\\n{GOOD}\n",
    "a comment is not continued": f"{GOOD} # x \\\n{GOOD}\n",
    "continued by nothing": f"{GOOD}\nprog \\\n",
    "a failure ends it": f"{GOOD}\n{BAD}\n{GOOD}\n",
    "the status is the command's": "prog detach\n",
    "no such pin": f"{GOOD}\nprog show pinned {PIN}/nosuch\n",
    "options are words": "prog show -j\n",
    "an id too many": f"{GOOD} x\n",
    "nested": f"batch file good\n{GOOD}\nbatch file good\n",
    "nested, which fails": "batch file bad\n",
    "nested, which can't be read": f"{GOOD}\nbatch file cut\n{GOOD}\n",
    "nested, not there": "batch file nosuch\n",
    "nested from the same input": f"batch file -\n{GOOD}\n{GOOD}\n",
    "batch of too little": f"{GOOD}\nbatch\n",
    "batch of a word too few": "batch file\n",
    "batch of a word too many": "batch file a b\n",
    "batch of something else": "batch fool x\n",
    "4095 words": f"{GOOD}\nprog show id" + " x" * 4092 + "\n",
    "a line of 65534 bytes": padded(65534),
    "65534 bytes and no newline": padded(65535)[:-1],
    "a comment up to 65535 bytes": padded(65535, "c"),
    "continued, 65535 bytes": "prog \\\n" + padded(65528).replace("prog ", ""),
}  # fmt: skip

# What makes usage in text, which is ours and theirs: compared in JSON.
SAME_JSON = {
    "help": f"help\n{GOOD}\nhelp x 'y z'\n",
    "help of families": "prog help\nmap help\nnet help\nbtf help\n",
    "no such object": f"{GOOD}\nfoo\n{GOOD}\n",
    "no such command": f"{GOOD}\nprog foo\n{GOOD}\n",
    "options before the object": "-j version\n",
    "form feeds are no blanks": "prog\fshow\n",
    "a space of Unicode is no blank": "prog\u00a0show x\n",
    "a line separator of Unicode ends no line": "prog show\u2028pinned x\n",
    "nor do other controls": "prog show\u0085pinned\n",
}  # fmt: skip

# name → (file, why we do something else, our status, our JSON); objects are SHOWN
SHOWN = "an object"
RAN = {"command": GOOD.split(), "output": SHOWN}
LONG = "command 0 is too long: more than 65534 bytes"
DIFFERENT: dict[str, tuple[str, str, int, list[Any]]] = {
    "too many words": (
        "x " * 4096 + "\n", "we say how many there may be", 255,
        [{"error": "too many arguments to command 0: more than 4095"}],
    ),
    "a line too long": (
        padded(65535), "we say which command", 255,
        [{"error": f"reading batch file failed: Argument list too long: {LONG}"}],
    ),
    "continued, too long": (
        "prog \\\n" + padded(65529), "we say how long it may be", 255, [{"error": LONG}],
    ),
    "a long comment": (
        padded(70000, "c"), "bpftool runs the rest of the comment", 0, [RAN],
    ),
    "a NUL byte": (
        f"{GOOD}\nprog show id 1\0 2\n", "bpftool runs what stands before it", 255,
        [RAN, {"error": "command 1 has a NUL byte: is the file a text?"}],
    ),
    "too few words": (
        f"{GOOD}\nprog dump xlated\n{GOOD}\n", "bpftool ends at once, in JSON by SIGABRT (QUIRKS 2)", 255,
        [RAN, {"command": ["prog", "dump", "xlated"], "output": None}],
    ),
    "no match": (
        f"{GOOD}\nprog show name nosuch\n", "bpftool says nothing, its JSON is none (QUIRKS 9)", 255,
        [RAN, {"command": ["prog", "show", "name", "nosuch"],
               "output": {"error": "no program with name 'nosuch'"}}],
    ),
    "an old errno at the end": (
        f"{GOOD}\nbtf dump file object.o\n", "bpftool reports it as of reading (QUIRKS 1)", 0,
        [RAN, {"command": ["btf", "dump", "file", "object.o"], "output": SHOWN}],
    ),
    "controls": (
        "prog show id '\x1b[1m\x0b'\n", "bpftool writes controls to the terminal, and raw into JSON (QUIRKS 17, 19)",
        255, [{"command": ["prog", "show", "id", "\x1b[1m\x0b"], "output": {"error": "can't parse \x1b[1m\x0b as ID"}}],
    ),
    "an error with a quote": (
        "prog show id '\"'\n", "bpftool escapes nothing in errors (QUIRKS 17)", 255,
        [{"command": ["prog", "show", "id", '"'], "output": {"error": "can't parse \" as ID"}}],
    ),
    "a backslash": (
        "prog show id \\\\\n1\\x\n", "bpftool 7.1 writes \\n for a backslash", 255,
        [{"command": ["prog", "show", "id", "\\1\\x"], "output": {"error": "can't parse \\1\\x as ID"}}],
    ),
    **{
        f"a backslash {where}": (
            f"prog show id \\{rest}", "bpftool 7.1 writes \\n for a backslash", 255,
            [{"command": ["prog", "show", "id", "\\"], "output": {"error": "can't parse \\ as ID"}}],
        )
        for where, rest in (("before a blank", " \n1\n"), ("before CR LF", "\r\n1\r\n"), ("before a comment", "#\n1\n"),
                            ("at the end", ""))
    },
    "a directory": (
        "batch file /\n", "we see that when we open it", 255,
        [{"command": ["batch", "file", "/"], "output": {"error": "Can't open file (/): Is a directory"}}],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def box(compile_c: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sandbox, Path]]:
    """A sandbox with a program, and a directory with the files that are run by others."""
    if reason := no_bpf():
        pytest.skip(reason)
    directory = tmp_path_factory.mktemp("batch")
    for name, text in FILES.items():
        (directory / name).write_text(text)
    compiled = compile_c("net_hooks.c", "-g", "-DNO_MAP")
    shutil.copy(compiled, directory / "object.o")
    box = Sandbox()
    box.run("bpftool", "prog", "load", compiled, PIN, "type", "xdp")
    yield box, directory
    box.close()


Box = tuple[Sandbox, Path]


def both(box: Box, options: tuple[str, ...], script: str) -> tuple[Completed, Completed]:
    """(theirs, ours)"""
    sandbox, directory = box
    words = (*options, "batch", "file", "-")
    enter: Any = ("sh", "-c", 'cd "$0" && exec "$@"', directory)  # nsenter goes to the root
    theirs = sandbox.run(*enter, "bpftool", *words, status=None, input=script)
    return theirs, sandbox.run(*enter, *BCCTOOL, *words, status=None, input=script)


def outcome(done: Completed) -> tuple[int, str, str]:
    """What is compared: bpftool 7.1 has no key `orphaned`."""
    stdout = re.sub(r'\n? *"orphaned": ?false,', "", done.stdout)
    return done.returncode, stdout, done.stderr


def shown(value: Any) -> Any:
    """Decoded output with SHOWN in place of what `prog show` and `btf dump` say of an object."""
    if isinstance(value, list):
        return [shown(item) for item in value]
    if isinstance(value, dict):
        return SHOWN if {"id", "types"} & {*value} else {key: shown(item) for key, item in value.items()}
    return value


@pytest.mark.parametrize("options", [(), ("-j",), ("-p",)], ids=["plain", "json", "pretty"])
@pytest.mark.parametrize("name", SAME)
def test_same(box: Box, name: str, options: tuple[str, ...]) -> None:
    theirs, ours = both(box, options, SAME[name])
    assert outcome(ours) == outcome(theirs)


@pytest.mark.parametrize("options", [("-j",), ("-p",)], ids=["json", "pretty"])
@pytest.mark.parametrize("name", SAME_JSON)
def test_same_json(box: Box, name: str, options: tuple[str, ...]) -> None:
    theirs, ours = both(box, options, SAME_JSON[name])
    theirs.stdout = theirs.stdout.replace("\x0b", "\\u000b").replace("\x85", "\\u0085")
    assert outcome(ours) == outcome(theirs)


@pytest.mark.parametrize("name", DIFFERENT)
def test_different(box: Box, name: str) -> None:
    """In one style at least bpftool's answer is another one; ours is the listed one in all."""
    script, why, status, expected = DIFFERENT[name]
    differs = False
    for options in ((), ("-j",), ("-p",)):
        theirs, ours = both(box, options, script)
        differs |= outcome(theirs) != outcome(ours)
        assert ours.returncode == status
        if options:
            assert (shown(json.loads(ours.stdout)), ours.stderr) == (expected, "")
        else:
            assert ours.stdout.endswith(f"processed {len(expected)} commands\n") == (status == 0)
            usage = ours.stderr.startswith("Usage: bcctool prog")
            assert usage or ours.stderr.count("\n") == (status != 0)
            assert usage or ours.stderr.strip("\n").isprintable()
    assert differs, f"bpftool does the same by now: not that {why}"


PIECES = ("x", "yz", "a'b", "'", '"', "' '", "'#'", '"q\'"', "#", " ", "  ", "\t", "\r", "\\\n", "\\\n", "é", "", "-j")


def generated(seed: int) -> str:
    """Lines of `help` with words, quotes, comments and continued lines at random."""
    choose = random.Random(seed)
    lines = ["help " + "".join(choose.choices(PIECES, k=choose.randrange(12))) for _ in range(8)]
    return "\n".join(lines) + choose.choice(("", "\n"))


@pytest.mark.parametrize("seed", range(40))
def test_words_at_random(seed: int) -> None:
    words = ("-j", "batch", "file", "-")
    theirs = run("bpftool", *words, status=None, input=generated(seed))
    ours = run(*BCCTOOL, *words, status=None, input=generated(seed))
    assert outcome(ours) == outcome(theirs)


@pytest.mark.parametrize("options", [(), ("-j",), ("-p",)], ids=["plain", "json", "pretty"])
@pytest.mark.parametrize("words", ["", "file", "file a b", "fool a", "file /nonexistent/x"])
def test_words_of_batch(words: str, options: tuple[str, ...]) -> None:
    theirs = run("bpftool", *options, "batch", *words.split(), status=None)
    ours = run(*BCCTOOL, *options, "batch", *words.split(), status=None)
    assert outcome(ours) == outcome(theirs)
