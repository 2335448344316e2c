"""completion: the real shells complete what is in the kernel, and hostile names do nothing but be completed."""

from __future__ import annotations

import os
import pty
import select
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ..conftest import BCCTOOL, Sandbox

BASH = """
compopt() { echo "compopt $*"; }
source <(bcctool completion bash)
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_bcctool bcctool
printf '%s\\n' "${COMPREPLY[@]}"
"""
Complete = Callable[..., list[str]]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH on which `bcctool` is this tree's."""
    directory = tmp_path_factory.mktemp("bin")
    script = directory / "bcctool"
    script.write_text(f'#!/bin/sh\nexec {shlex.join(BCCTOOL)} "$@"\n')
    script.chmod(0o755)
    return f"{directory}:{os.environ['PATH']}"


@pytest.fixture
def pinned(sandbox: Sandbox) -> tuple[Sandbox, int]:
    """A sandbox with a map pinned under names that shells read in their own way; its id."""
    words = ("type", "array", "key", "4", "value", "4", "entries", "1", "name", "to_complete")
    sandbox.bcctool("map", "create", "/sys/fs/bpf/plain", *words)
    id = sandbox.bcctool("map", "show", "pinned", "/sys/fs/bpf/plain").stdout.partition(":")[0]
    for name in HOSTILE:
        sandbox.bcctool("map", "pin", "id", id, f"/sys/fs/bpf/{name}")
    return sandbox, int(id)


HOSTILE = ("a b", "$(touch evil)", "`touch evil`", ";touch evil;", "a:b:c", "'", '"', "back\\slash", "*", "new\nline")


@pytest.fixture
def bash(pinned: tuple[Sandbox, int], path: str, tmp_path: Path) -> Complete:
    if not shutil.which("bash"):
        pytest.skip("bash is not installed")

    def complete(*words: str) -> list[str]:
        done = pinned[0].run("bash", "--norc", "-c", BASH, "bash", "bcctool", *words,
                             env={"PATH": path, "HOME": str(tmp_path)}, cwd=tmp_path)  # fmt: skip
        assert done.stderr == ""
        return done.stdout.splitlines()

    return complete


@pytest.fixture
def fish(pinned: tuple[Sandbox, int], path: str, tmp_path: Path) -> Complete:
    if not shutil.which("fish"):
        pytest.skip("fish is not installed")

    def complete(line: str) -> list[str]:
        script = f"bcctool completion fish | source; complete -C {shlex.quote(line)}"
        done = pinned[0].run("fish", "--no-config", "-c", script,
                             env={"PATH": path, "HOME": str(tmp_path), "TERM": "dumb"}, cwd=tmp_path)  # fmt: skip
        assert done.stderr == ""
        return done.stdout.splitlines()

    return complete


SOURCED = "autoload -Uz compinit; compinit -D; setopt no_beep; source <(bcctool completion zsh); echo READY"
AUTOLOADED = (
    "bcctool completion zsh > ~/_bcctool; fpath+=(~); autoload -Uz compinit; compinit -D -u; setopt no_beep; echo READY"
)


def typed_in_zsh(box: Sandbox, path: str, home: Path, line: str, start: str = SOURCED) -> str:
    """What zsh writes to a terminal when a line is typed and completed: the line after it, and the lists."""
    controller, terminal = pty.openpty()
    words = ["nsenter", "-t", str(box.holder.pid), "-m", "-n", "--", "zsh", "-f", "-i"]
    env = {"PATH": path, "HOME": str(home), "TERM": "dumb", "COLUMNS": "200"}
    with subprocess.Popen(words, stdin=terminal, stdout=terminal, stderr=terminal, env=env, cwd=home,
                          start_new_session=True) as shell:  # fmt: skip
        os.close(terminal)
        os.write(controller, start.encode() + b"\n")
        read(controller, lambda text: text.count("READY") >= 2)
        os.write(controller, line.encode() + b"\t")
        text = read(controller, lambda text: False, seconds=2)
        os.write(controller, b"\t")
        text += read(controller, lambda text: False, seconds=1)
        shell.kill()
    os.close(controller)
    return text


def read(terminal: int, enough: Callable[[str], bool], seconds: float = 20) -> str:
    """What comes from a terminal until it is enough, or nothing has come for that time."""
    text, end = "", time.monotonic() + seconds
    while not enough(text) and time.monotonic() < end:
        if select.select([terminal], [], [], 0.1)[0]:
            text += os.read(terminal, 65536).decode(errors="replace")
    return text


def test_bash_completes_words_ids_and_names(bash: Complete, pinned: tuple[Sandbox, int]) -> None:
    id = str(pinned[1])
    assert bash("ma") == ["map"]
    assert bash("map", "dum") == ["dump"]
    assert bash("m", "d", "i") == ["id"]
    assert bash("-j", "map", "--pretty", "dump", "na") == ["name"]
    assert id in bash("map", "dump", "id", "")
    assert bash("map", "dump", "id", id) == [id]
    assert bash("map", "dump", "name", "to_com") == ["to_complete"]
    assert bash("map", "dump", "id", id, "") == ["stacks", "symbols"]
    assert str(os.getpid()) in bash("map", "dump", "id", id, "stacks", "pid", "")
    assert bash("map", "show", "id", id, "") == [""]
    assert bash("net", "show", "dev", "l") == ["lo"]
    assert bash("bcc", "run", "execsn") == (["execsnoop"] if Path("/usr/sbin/execsnoop-bpfcc").exists() else [""])
    assert "--json" in bash("map", "--js")
    assert "compopt -o default" in bash("btf", "dump", "file", "/x")
    assert "compopt -o dirnames" in bash("cgroup", "show", "/sys/")
    assert bash("no_such_object", "") == [""]


def test_bash_quotes_pins(bash: Complete, pinned: tuple[Sandbox, int], tmp_path: Path) -> None:
    """What bash puts into the line is read by bash as the path, and nothing else happens."""
    offered = [line for line in bash("map", "show", "pinned", "/sys/fs/bpf/") if not line.startswith("compopt")]
    words = pinned[0].run("bash", "-c", "printf '%s\\n' " + " ".join(offered)).stdout.splitlines()
    assert sorted(words) == sorted(f"/sys/fs/bpf/{name}" for name in ("plain", *HOSTILE) if "\n" not in name)
    assert not (tmp_path / "evil").exists()


def test_bash_knows_where_colons_split(bash: Complete) -> None:
    words = ("map", "show", "pinned", "/sys/fs/bpf/a")
    assert [line for line in bash(*words, ":", "b") if "compopt" not in line] == ["b:c"]
    assert [line for line in bash(*words, ":") if "compopt" not in line] == ["b:c"]


def test_fish_completes_and_describes(fish: Complete, pinned: tuple[Sandbox, int], tmp_path: Path) -> None:
    id = str(pinned[1])
    assert fish("bcctool ma") == ["map"]
    assert fish("bcctool map dump name to_com") == [f"to_complete\tarray {id}"]
    assert f"{id}\tto_complete" in fish("bcctool map dump id ")
    assert "--json" in fish("bcctool map show --js")
    offered = {line.partition("\t")[0] for line in fish("bcctool map show pinned /sys/fs/bpf/")}
    assert "/sys/fs/bpf/plain" in offered
    assert "/sys/fs/bpf/a:b:c" in {line.replace("\\", "") for line in offered}
    assert not (tmp_path / "evil").exists()


def test_zsh_completes_and_describes(pinned: tuple[Sandbox, int], path: str, tmp_path: Path) -> None:
    if not shutil.which("zsh"):
        pytest.skip("zsh is not installed")
    box, id = pinned
    assert "map dump name to_complete" in typed_in_zsh(box, path, tmp_path, "bcctool map dump name to_com")
    assert "map dump name to_complete" in typed_in_zsh(box, path, tmp_path, "bcctool map dump name to_com", AUTOLOADED)
    listed = typed_in_zsh(box, path, tmp_path, "bcctool map show pinned /sys/fs/bpf/")
    assert f"/sys/fs/bpf/a b  map {id}" in listed
    assert "/sys/fs/bpf/$(touch evil)" in listed
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_scripts_are_the_shells(shell: str, bcctool: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    script = bcctool("completion", shell).stdout
    assert subprocess.run([shell, "-n"], input=script, text=True, capture_output=True).stderr == ""


def test_other_shells(bcctool: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    assert bcctool("completion", "csh", status=255).stderr == (
        "Error: no completion for 'csh': bash, zsh and fish are known\n"
    )
    assert bcctool("completion", status=255).stderr == "Error: expected one of bash, zsh, fish\n"
