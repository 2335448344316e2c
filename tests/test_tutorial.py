"""Every command of the tutorial's chapters is run, and prints what the chapter says it prints."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import BCCTOOL, ROOT, Completed, Sandbox, run

CHAPTERS = sorted((ROOT / "tutorial").glob("[0-9]*.md"))
MARK = "@@@"
ANYTHING = "…"  # in a chapter: as a line, any lines; in a line, any text

# What is different on every run, and what stands for it.
MASKS = [
    (re.compile(pattern, re.MULTILINE), replacement)
    for pattern, replacement in (
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}", "TIME"),
        (r"\b(tag |bpf_prog_)[0-9a-f]{16}", r"\1TAG"),
        (r"0x[0-9a-f]{6,}", "ADDRESS"),
        (r"^\d+: (?=\w+  |name )", "N: "),
        (r"^\d+ +(?=cgroup_)", "N "),
        (r"\b((?:prog|map|btf)_ids?|id|pid|fd)(:?) [\d,]+", r"\1\2 N"),
        (r"  (prog|map) \d+(?=  |$)", r"  \1 N"),
        (r'"((?:prog_|btf_)?id|ifindex)": \d+', r'"\1": N'),
        (r"\bid:\d+\]", "id:N]"),
        (r"^\d+$", "N"),
        (r"\b(veth\d)\(\d+\)", r"\1(N)"),
        (r"\b(xlated|jited|memlock|size) \d+B", r"\1 NB"),
        (r"\b(value: )(?=[0 ]*[1-9a-f])[0-9a-f ]+", r"\1COUNTED"),
        (r'"(packets|bytes)": [1-9]\d*', r'"\1": COUNTED'),
    )
]


class Step:
    """A command of a chapter: `prompt` is # for what needs root, `needs` a program that has to be installed for it."""

    def __init__(self, line: int, needs: str, prompt: str, command: str) -> None:
        self.line = line
        self.needs = needs
        self.prompt = prompt
        self.command = command
        self.expected: list[str] = []


def steps(chapter: str) -> Iterator[Step]:
    """The commands of the ```console blocks, each with the lines below it up to the next."""
    step, needs, inside = None, "", False
    for number, line in enumerate(chapter.splitlines(), 1):
        if line.startswith("```"):
            if step:
                yield step
            step, inside, needs = None, line.startswith("```console"), line.partition("needs=")[2]
        elif inside and line[:2] in ("$ ", "# "):
            if step:
                yield step
            step = Step(number, needs, line[0], line[2:])
        elif inside:
            assert step, f"line {number}: output without a command"
            step.expected.append(line)


def matches(expected: list[str], shown: list[str]) -> bool:
    """Whether the lines are the chapter's, masks applied to both."""
    pattern = "".join(
        r"(?:.*\n)*?" if line == ANYTHING else re.escape(mask(line)).replace(re.escape(ANYTHING), ".*") + "\n"
        for line in expected
    )
    return re.fullmatch(pattern, "".join(mask(line) + "\n" for line in shown)) is not None


def mask(line: str) -> str:
    for pattern, replacement in MASKS:
        line = pattern.sub(replacement, line)
    return line.rstrip()


def script(chosen: list[Step]) -> str:
    """The commands as one shell script, each preceded by a mark and followed by its exit status."""
    lines = ["exec 2>&1", "set -o pipefail"]
    for number, step in enumerate(chosen):
        lines += [f"echo; echo {MARK} {number}", step.command, f'printf "\\n{MARK} status %d" $?']
    return "\n".join([*lines, "kill $(jobs -p) 2>/dev/null", "wait", "true"])


def check(chosen: list[Step], done: Completed) -> None:
    """Compare each command's output and status with the chapter; all differences in one report."""
    wrong = []
    for number, step in enumerate(chosen):
        _, found, rest = done.stdout.partition(f"\n{MARK} {number}\n")
        output, _, status = rest.partition(f"\n{MARK} status ")
        shown = output.rstrip("\n").splitlines()
        if not found:
            wrong.append(f"line {step.line}: {step.command}\nwas not reached")
        elif status.split()[0] != "0" or not matches(step.expected, shown):
            wrong.append(f"line {step.line}: {step.command}\n(status {status.split()[0]})\n" + "\n".join(shown))
    assert not wrong, "\n\n".join(wrong)


def prepare(folder: Path) -> Path:
    """Make the folder that the chapters are read in: the sources; in a `bin` that comes first in the PATH bcctool, and
    a python3 that has it as a package.
    """
    shutil.copytree(ROOT / "tutorial", folder, dirs_exist_ok=True)
    (folder / "bin").mkdir()
    interpreter, flag, c, code = BCCTOOL
    commands = {
        "bcctool": f"exec {interpreter} {flag} {c} {code!r} \"$@\"".replace("\\'", "'"),
        "python3": f"PYTHONPATH={ROOT} exec {sys.executable} \"$@\"",
    }
    for name, text in commands.items():
        (folder / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / "bin" / name).chmod(0o755)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return prepare(tmp_path)


def installed(step: Step) -> bool:
    path = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    return not step.needs or shutil.which(step.needs, path=path) is not None


def play_without_root(chosen: list[Step], folder: Path) -> None:
    """Run the commands in a folder that `prepare` has made, and check them."""
    check(chosen, run("env", f"PATH={folder}/bin:/usr/bin:/bin", "bash", "-c", script(chosen), cwd=folder, status=None))


def play(chosen: list[Step], folder: Path, sandbox: Sandbox) -> None:
    """The same as root, in namespaces of its own."""
    sandbox.run("mount", "-t", "tmpfs", "tmpfs", "/run")  # where `ip netns` keeps its names
    sandbox.run("mount", "-t", "tracefs", "tracefs", "/sys/kernel/tracing", status=None)  # there already, mostly
    environment = ("env", f"--chdir={folder}", f"PATH={folder}/bin:/usr/bin:/bin:/usr/sbin:/sbin")
    check(chosen, sandbox.run(*environment, "bash", "-c", script(chosen), status=None))


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_commands_that_read_files(path: Path, folder: Path) -> None:
    play_without_root([step for step in steps(path.read_text()) if step.prompt == "$" and installed(step)], folder)


@pytest.mark.kernel
@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter(path: Path, folder: Path, sandbox: Sandbox) -> None:
    play([step for step in steps(path.read_text()) if installed(step)], folder, sandbox)


SOURCES = sorted((ROOT / "tutorial").rglob("*.c"))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_sources_compile_without_warnings(source: Path, tmp_path: Path) -> None:
    for flags in ((), ("-g", "-DBTF")):
        command = ("clang", "-O2", "-Wall", "-Werror", "-target", "bpf", *flags, "-c", source, "-o", tmp_path / "out.o")
        run(*command)


@pytest.mark.parametrize(
    ("expected", "shown", "same"),
    [
        (["7: xdp  name counter  tag d9e19c26d3a2f4d9"], ["12: xdp  name counter  tag 00000000d3a2f4d9"], True),
        (["7: xdp  name counter"], ["7: xdp  name other"], False),
        (["   0: (b7) r1 = 0"], ["   1: (b7) r1 = 0"], False),
        (["key: 00  value: 03 00"], ["key: 00  value: 07 01"], True),
        (["key: 00  value: 03 00"], ["key: 00  value: 00 00"], False),
        (["a", "…", "z"], ["a", "b", "c", "z"], True),
        (["a", "…", "z"], ["a", "b", "c"], False),
        (["veth0(2) … id 3"], ["veth0(44) generic id 17"], True),
        ([], ["an error"], False),
    ],
)
def test_what_counts_as_the_same(expected: list[str], shown: list[str], same: bool) -> None:
    assert matches(expected, shown) is same


def test_a_command_that_fails_or_says_something_else_is_reported() -> None:
    chosen = list(steps("```console\n$ echo one\none\n$ echo two\nthree\n$ false\n```\n"))
    done = run("bash", "-c", script(chosen), status=None)
    with pytest.raises(AssertionError, match=r"(?s)^line 4: echo two.*line 6: false\s+\(status 1\)"):
        check(chosen, done)
