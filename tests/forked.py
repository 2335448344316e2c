"""Many command lines in a sandbox, fast: a process that has bcctool imported forks for each of them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from subprocess import PIPE

from typing_extensions import Self

from .conftest import ROOT, Sandbox

TIMEOUT_S = 30
# Reads JSON, line by line: the words of bcctool, or "!" and another command; answers with [status, stdout, stderr].
SERVER = f"""
import json, os, signal, subprocess, sys, tempfile, traceback
sys.path.insert(0, {str(ROOT)!r})
from importlib import import_module
from bcctool.cli import COMMANDS, OBJECTS, main
for name in OBJECTS:
    if name not in COMMANDS:
        import_module("bcctool.commands." + name)
answers = os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_RDWR), 1)
def ours(words, out, err):
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        signal.alarm({TIMEOUT_S})
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        status = main(words)
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(status)
for line in iter(sys.stdin.readline, ""):
    words = json.loads(line)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        if words[:1] == ["!"]:
            status = subprocess.call(words[1:], stdin=subprocess.DEVNULL, stdout=out, stderr=err, timeout={TIMEOUT_S})
        else:
            status = ours(words, out, err)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode("utf-8", "backslashreplace"))
    answers.write(json.dumps([status, *texts]) + "\\n")
    answers.flush()
"""


class Done:
    """What a command line came to."""

    def __init__(self, status: int, stdout: str, stderr: str) -> None:
        self.status = status
        self.stdout = stdout
        self.stderr = stderr

    def __repr__(self) -> str:
        return f"status {self.status}\n{self.stdout}--- stderr\n{self.stderr}"


class Forked:
    """Runs command lines one after another inside of a sandbox, as `prefix` (words such as `setpriv`) has it."""

    def __init__(self, box: Sandbox, *prefix: str) -> None:
        command = ["nsenter", "-t", str(box.holder.pid), "-m", "-n", "--", *prefix, sys.executable, "-I", "-c", SERVER]
        self.process = subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True)

    def bcctool(self, words: Sequence[str]) -> Done:
        """Run bcctool."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(list(words)) + "\n")
        self.process.stdin.flush()
        return Done(*json.loads(self.process.stdout.readline()))

    def run(self, words: Sequence[str]) -> Done:
        """Run another command."""
        return self.bcctool(["!", *words])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
