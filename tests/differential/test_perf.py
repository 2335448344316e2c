"""`perf show` beside the distribution's bpftool, while tools of libbpf-tools have programs at probes of each kind."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator

import pytest

from ..conftest import Sandbox, no_bpf

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(not shutil.which("bpftool"), reason="bpftool is not installed"),
]

TOOLS = {"execsnoop": "tracepoint", "runqlat": "raw_tracepoint", "gethostlatency": "uprobe"}
START_S = 20


def records(box: Sandbox, pid: int) -> list[dict[str, object]]:
    """What bpftool finds in a process."""
    return [record for record in json.loads(box.run("bpftool", "-j", "perf", "show").stdout) if record["pid"] == pid]


@pytest.fixture(params=TOOLS)
def tool(request: pytest.FixtureRequest, sandbox: Sandbox) -> Iterator[tuple[Sandbox, int, str]]:
    """(sandbox, pid, type of its probes) of a running tool."""
    path = shutil.which(request.param, path="/usr/sbin:/usr/bin")
    if path is None or (reason := no_bpf()):
        pytest.skip(reason if path else f"{request.param} of libbpf-tools is not installed")
    sandbox.mount_tracefs()
    enter = ("nsenter", "-t", str(sandbox.holder.pid), "-m", "-n", "--")
    with subprocess.Popen([*enter, path], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + START_S
        try:
            while len(records(sandbox, process.pid)) < 2:
                if process.poll() is not None:
                    pytest.skip(f"{request.param} does not run on this kernel: {process.communicate()[1]}")
                assert time.monotonic() < deadline, f"{request.param} attaches no programs"
                time.sleep(0.1)
            yield sandbox, process.pid, TOOLS[request.param]
        finally:
            process.kill()


def test_same_output(tool: tuple[Sandbox, int, str]) -> None:
    box, pid, type = tool
    theirs = records(box, pid)
    assert type in [record["fd_type"] for record in theirs]
    ours = [record for record in json.loads(box.bcctool("-j", "perf").stdout) if record["pid"] == pid]
    assert [[*record.items()] for record in ours] == [[*record.items()] for record in theirs]
    lines = [line for line in box.run("bpftool", "perf", "list").stdout.splitlines() if line.startswith(f"pid {pid} ")]
    assert len(lines) == len(ours)
    found = box.bcctool("perf", "list").stdout.splitlines()
    assert [line for line in found if line.startswith(f"pid {pid} ")] == lines
    pretty = box.bcctool("-p", "pe", "sh").stdout
    assert pretty.startswith('[{\n        "pid": ')
    assert [record for record in json.loads(pretty) if record["pid"] == pid] == ours


@pytest.mark.parametrize("command", ["perf show", "-j perf show", "-p perf show"])
def test_nothing_attached_in_the_same_words(sandbox: Sandbox, command: str) -> None:
    """Others may be tracing: what is left after their lines is the frame."""
    if reason := no_bpf():
        pytest.skip(reason)
    theirs = sandbox.run("bpftool", *command.split()).stdout
    if json.loads(sandbox.run("bpftool", "-j", "perf").stdout):
        pytest.skip("somebody is tracing on this machine")
    assert sandbox.bcctool(*command.split()).stdout == theirs
