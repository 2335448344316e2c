"""`link` against the distribution's bpftool over the same links: the same bytes, the same status.

bpftool 7.1 knows no fields of perf events, tcx, netfilter, XDP and probes of several places, and no cookies.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bcctool.kernel import proc

from ..conftest import Sandbox, no_bpf
from ..kernel.test_attach import native

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(not shutil.which("bpftool"), reason="bpftool is not installed"),
]

PINS = "/sys/fs/bpf/a/"
STYLES = ("", "-j ", "-p ", "-f ", "-jf ")
KNOWN = ("on_raw_tp", "on_tp_btf", "on_connect4", "on_sock_create", "on_sk_lookup", "on_iter_task", "on_iter_cgroup",
         "on_flow_dissector", "on_iter_map")  # fmt: skip
COMMANDS = [
    *(f"{style}link {verb} pinned {PINS}{name}" for style in STYLES for verb in ("show", "l") for name in KNOWN),
    *(
        f"{style}link {words}"
        for style in STYLES
        for words in (
            "show id 99999999", "show id x", "show name x", "show id", "show 1 2 3", "show pinned /sys/fs/bpf/none",
            f"show pinned {PINS}sockets", "pin", "pin id 1", f"pin pinned {PINS}on_tp {PINS}on_raw_tp",
            "pin id 99999999 /sys/fs/bpf/x", "pin name x /sys/fs/bpf/x", "detach id 99999999", "detach name x",
            f"detach pinned {PINS}on_tp",
        )
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory, compile_c: Callable[..., Path]) -> Iterator[Sandbox]:
    """A sandbox with links of many kinds pinned."""
    if reason := no_bpf():
        pytest.skip(reason)
    top = next(proc.mounts("cgroup2"), "")
    if not top:
        pytest.skip("no cgroup2 is mounted")
    cgroup = Path(top, f"same-links-{os.getpid()}")
    box = Sandbox()
    cgroup.mkdir()
    try:
        places = ("to", "cgroup", str(cgroup), "to", "netns", "/proc/self/ns/net")
        target = native(tmp_path_factory.mktemp("native"))
        obj = compile_c("attach_kinds.c", "-g", f'-DPROGRAM="{target}"')
        box.bcctool("prog", "loadall", obj, PINS[:-1], "pinmaps", PINS[:-1], "autoattach", *places)
        elements = ("map", "pinned", f"{PINS}elements")
        box.run("rm", f"{PINS}on_iter_map")
        box.bcctool("iter", "pin", compile_c("iter_pin.c", "-g"), f"{PINS}on_iter_map", *elements)
        yield box
    finally:
        box.close()
        cgroup.rmdir()


def without_cookies(text: str) -> str:
    return re.sub(r',\s*"cookie":\s*0', "", text)


@pytest.mark.parametrize("command", COMMANDS)
def test_same_output(box: Sandbox, command: str) -> None:
    theirs = box.run("bpftool", *command.split(), status=None)
    ours = box.bcctool(*command.split(), status=None)
    assert without_cookies(ours.stdout) == theirs.stdout
    assert (ours.stderr, ours.returncode) == (theirs.stderr, theirs.returncode)


@pytest.mark.parametrize("words", ["detach", "detach id", "detach id 1 x"])
def test_the_same_but_for_a_newline(box: Sandbox, words: str) -> None:
    command = ("link", *words.split())
    theirs, ours = box.run("bpftool", *command, status=None), box.bcctool(*command, status=None)
    assert (ours.stderr + "\n", ours.returncode) == (theirs.stderr, theirs.returncode)


@pytest.mark.parametrize("words", ["detach pinned {}on_connect4", "pin pinned {}on_tp {}"])
def test_null_when_done(box: Sandbox, words: str) -> None:
    found = []
    for tool, pin in ((box.run, "theirs"), (box.bcctool, "ours")):
        name = ("bpftool",) if tool == box.run else ()
        found.append(tool(*name, "-j", "link", *words.format(PINS, f"{PINS}{pin}").split()))
    assert found[0].stdout == found[1].stdout == "null\n"


def test_the_same_links_are_listed(box: Sandbox) -> None:
    """Ours: others on this machine come and go."""
    listed = json.loads(box.bcctool("-jf", "link").stdout)
    mine = {str(row["id"]) for row in listed if any(path.startswith(PINS) for path in row["pinned"])}

    def heads(text: str) -> list[str]:
        lines = [line for line in text.splitlines() if not line.startswith("\t") and line.partition(":")[0] in mine]
        return [re.sub(r"^(\d+): (type \d+|\w+)  ", r"\1: ", line) for line in lines]

    ours = heads(box.bcctool("link").stdout)
    assert len(ours) == len(mine) > len(KNOWN)
    assert ours == heads(box.run("bpftool", "link").stdout)
