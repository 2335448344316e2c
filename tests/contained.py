"""Runs code in a forked child with limits of memory and time: what hostile input may do there, and no more."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import resource
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from typing import Any

MEMORY = 200 << 20
SECONDS = 20  # far more than anything may take: this machine may be busy


class Crashed(Exception):
    """The child ended by a signal, in time or not, or with a traceback: its text."""


def call(function: Callable[..., Any], *args: Any, memory: int = MEMORY) -> Any:
    """The result of a function in a child, by pickle. Crashed for whatever exception or signal comes out of it.

    memory: bytes that the child may take on top of what this process has.
    """
    with tempfile.TemporaryFile() as file:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if not pid:
            _in_child(file.fileno(), function, args, memory)
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            raise Crashed(signal.Signals(os.WTERMSIG(status)).name)
        file.seek(0)
        done, result = pickle.load(file)
    if not done:
        raise Crashed(result)
    return result


def _in_child(fd: int, function: Callable[..., Any], args: tuple[Any, ...], memory: int) -> None:
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(SECONDS)
        resource.setrlimit(resource.RLIMIT_AS, (_size() + memory, resource.RLIM_INFINITY))
        outcome = True, function(*args)
    except BaseException:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        outcome = False, traceback.format_exc()
    try:
        with open(fd, "wb", closefd=False) as file:
            pickle.dump(outcome, file)
    finally:
        os._exit(0)


def _size() -> int:
    """The size of this process's memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def command(*words: str) -> tuple[int, str, str]:
    """Run a command line in this process: exit status, stdout, stderr."""
    from bcctool.cli import main

    raw, err = io.BytesIO(), io.StringIO()
    out = io.TextIOWrapper(raw)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(words)
        out.flush()
    return status, raw.getvalue().decode("utf-8", "replace"), err.getvalue()
