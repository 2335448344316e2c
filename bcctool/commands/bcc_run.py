"""bcc run: a BCC tool, as if the headers of the running kernel were installed."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys

from ..companion import TRACEBACK
from ..errors import Error
from ..kernel import proc
from ..verbs import Args

SHIM = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "companion", "shim")
DIRECTORIES = ("/usr/sbin", "/usr/share/bcc/tools")  # besides PATH: Debian's, BCC's own
SUFFIX = "-bpfcc"  # which Debian gives them


def run(args: Args) -> None:
    """Become the tool, with BCC's package replaced by one that has our BPF. Error when there is no such tool."""
    if args.options.batch:
        raise Error("a tool can't run in a batch: it would end it")
    path = find(args.next("a TOOL"))
    if os.geteuid() == 0:
        proc.tracefs(args.options.nomount)
        proc.debugfs(args.options.nomount)
    command = [path, *args.words]
    if not os.access(path, os.X_OK):
        command.insert(0, sys.executable)
    paths = (SHIM, os.environ.get("PYTHONPATH", ""))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    if args.options.debug:
        environment[TRACEBACK] = "1"
    sys.stdout.flush()
    try:
        os.execve(command[0], command, environment)
    except OSError as error:
        raise Error(f"can't start {command[0]}: {error.strerror}") from None


def find(word: str) -> str:
    """The path of a tool, by its name with or without Debian's suffix, or as a path to a script."""
    if "/" in word:
        places = [word]
    else:
        path = os.pathsep.join([os.environ.get("PATH", os.defpath), *DIRECTORIES])
        places = [found for name in (word + SUFFIX, word) if (found := shutil.which(name, path=path))]
        places += [f"{word}.py"] if os.path.isfile(f"{word}.py") else [word] if os.path.isfile(word) else []
    scripts = [place for place in places if _is_script(place)]
    if scripts:
        return scripts[0]
    if places:
        raise Error(f"{places[0]} is no script: `bcc run` starts the Python tools of BCC")
    raise Error(f"no BCC tool '{word}': looked for {word}{SUFFIX} and {word} in PATH and {', '.join(DIRECTORIES)}")


def names() -> list[str]:
    """The tools that are installed, by their names without suffix."""
    found: set[str] = set()
    for directory in DIRECTORIES:
        with contextlib.suppress(OSError):
            all_ = directory.endswith("/bcc/tools")
            found.update(name.removesuffix(SUFFIX) for name in os.listdir(directory) if all_ or name.endswith(SUFFIX))
    return sorted(found)


def _is_script(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(2) == b"#!" or path.endswith(".py")
    except OSError as error:
        raise Error(f"can't read {path}: {error.strerror}") from None
