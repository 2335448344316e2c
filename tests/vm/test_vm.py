"""scripts/vm: what runs in the guest, and what comes back from it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ..conftest import ROOT, Completed

pytestmark = pytest.mark.vm
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
LOST = ROOT / "written-in-the-guest"
REPORT = 'uname -m; uname -r; pwd; touch "$1"; ls "$1"; bcctool version | head -n 1; printf "<%s>" "$@"; exit 7'
ODD_WORDS = ("two words", "it's", '"$HOME"', "", "a,b;c&d\\")


@pytest.mark.parametrize("arch", MACHINES)
@pytest.mark.parametrize("release", ["6.1", "6.12"])
def test_a_command_runs_in_the_checkout(vm: Callable[..., Completed], release: str, arch: str) -> None:
    done = vm(release, "--arch", arch, "sh", "-c", REPORT, "sh", str(LOST), *ODD_WORDS)
    lines = done.stdout.split("\n")
    assert lines[0] == MACHINES[arch], done.stdout
    assert lines[1].startswith(f"{release}.")
    assert lines[2:4] == [str(ROOT), str(LOST)]
    assert lines[4].startswith("bcctool v")
    assert lines[5:] == ["".join(f"<{word}>" for word in (str(LOST), *ODD_WORDS))]
    assert not LOST.exists(), "what a guest writes stays there"
    assert done.returncode == 7


def test_61_is_the_default(vm: Callable[..., Completed]) -> None:
    done = vm("uname", "-r")
    assert (done.returncode, done.stdout[:4]) == (0, "6.1.")


def test_a_guest_that_ends_without_a_result(vm: Callable[..., Completed]) -> None:
    done = vm("sh", "-c", "/run/busybox poweroff -f; sleep 60")
    assert (done.returncode, done.stderr) == (125, "vm: the guest ended without a result\n")


def test_no_command_boots_nothing(vm: Callable[..., Completed], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VM_TIMEOUT", "1")
    done = vm("6.12")
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("words", [("--arch",), ("--arch", "m68k", "true"), ("6.1", "--arch", "")])
def test_an_architecture_that_is_not_there(vm: Callable[..., Completed], words: tuple[str, ...]) -> None:
    done = vm(*words)
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr.startswith("vm: no architecture '")
