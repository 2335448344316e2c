"""-t: the tables say what -j says, of real objects; other verbs and -j are as without it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ..conftest import BCCTOOL, Sandbox

PINS = "/sys/fs/bpf/p"


@pytest.fixture
def box(sandbox: Sandbox, compile_c: Callable[..., Path]) -> Sandbox:
    """Programs and a map pinned; XDP and tcx on a device."""
    sandbox.bcctool("prog", "loadall", compile_c("net_hooks.c", "-g"), PINS, "pinmaps", "/sys/fs/bpf/m")
    sandbox.run("ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1")
    sandbox.bcctool("net", "attach", "xdp", "pinned", f"{PINS}/net_xdp", "dev", "v0")
    sandbox.bcctool("net", "attach", "tcx_ingress", "pinned", f"{PINS}/net_tc", "dev", "v0")
    return sandbox


def rows(box: Sandbox, *words: str) -> list[list[str]]:
    """The cells of a table, header first; those of these objects have no blanks in them."""
    done = box.bcctool(*words)
    assert done.stderr == ""
    return [line.split() for line in done.stdout.splitlines()]


def test_programs(box: Sandbox) -> None:
    (header, cells) = rows(box, "-t", "prog", "show", "pinned", f"{PINS}/net_xdp")
    record = json.loads(box.bcctool("-j", "prog", "show", "pinned", f"{PINS}/net_xdp").stdout)
    assert header == ["ID", "TYPE", "NAME", "TAG", "AGE", "XLATED", "JITED", "MEMLOCK", "MAPS"]
    shown = dict(zip(header, cells, strict=True))
    del shown["AGE"]
    assert shown == {
        "ID": str(record["id"]), "TYPE": "xdp", "NAME": "net_xdp", "TAG": record["tag"],
        "XLATED": f"{record['bytes_xlated']}B", "JITED": f"{record['bytes_jited']}B", "MEMLOCK": "4K",
        "MAPS": str(record["map_ids"][0]),
    }  # fmt: skip
    listed = [row for row in rows(box, "--table", "prog")[1:] if row[0] == str(record["id"])]
    assert [row[:4] for row in listed] == [cells[:4]]
    assert rows(box, "-tf", "prog", "show", "pinned", f"{PINS}/net_xdp")[1][-1] == f"{PINS}/net_xdp"


def test_maps_and_types(box: Sandbox) -> None:
    record = json.loads(box.bcctool("-j", "map", "show", "pinned", "/sys/fs/bpf/m/net_counter").stdout)
    header, cells = rows(box, "-t", "map", "show", "pinned", "/sys/fs/bpf/m/net_counter")
    assert dict(zip(header, cells, strict=True)) == {
        "ID": str(record["id"]), "TYPE": "array", "NAME": "net_counter", "KEY": "4B", "VALUE": "8B", "ENTRIES": "1",
        "MEMLOCK": f"{record['bytes_memlock']}B",
    }  # fmt: skip
    header, cells = rows(box, "-t", "btf", "show", "id", str(record["btf_id"]))
    assert header == ["ID", "NAME", "SIZE", "PROGS", "MAPS"]
    assert (cells[0], cells[1], cells[-1]) == (str(record["btf_id"]), "<anon>", str(record["id"]))


def test_devices(box: Sandbox) -> None:
    ids = {
        name: str(json.loads(box.bcctool("-j", "prog", "show", "pinned", f"{PINS}/{name}").stdout)["id"])
        for name in ("net_xdp", "net_tc")
    }
    index = box.run("cat", "/sys/class/net/v0/ifindex", status=None).stdout.strip()
    index = index or box.run("sh", "-c", "ip -o link show v0 | cut -d: -f1").stdout.strip()
    assert rows(box, "-t", "net", "show", "dev", "v0")[:3] == [
        ["HOOK", "DEVICE", "WHERE", "PROG", "NAME"],
        ["xdp", f"v0({index})", "driver", ids["net_xdp"]],
        ["tc", f"v0({index})", "tcx/ingress", ids["net_tc"], "net_tc"],
    ]


def test_verbs_without_a_table_and_json_are_the_same(box: Sandbox) -> None:
    pinned = ("pinned", f"{PINS}/net_xdp")
    for words in (("prog", "dump", "xlated", *pinned), ("-j", "prog", "show", *pinned), ("version",)):
        assert box.bcctool("-t", *words).stdout == box.bcctool(*words).stdout


def test_errors_are_the_same(box: Sandbox) -> None:
    for words in (("prog", "show", "id", "99999999"), ("map", "show", "x"), ("cgroup", "show", "/none")):
        with_, without = box.bcctool("-t", *words, status=None), box.bcctool(*words, status=None)
        assert (with_.returncode, with_.stdout, with_.stderr) == (without.returncode, "", without.stderr)


@pytest.mark.parametrize(("no_color", "expected"), [("", True), ("1", False)])
def test_the_header_is_bold_on_a_terminal(box: Sandbox, no_color: str, expected: bool) -> None:
    controller, terminal = pty.openpty()
    words = [*BCCTOOL, "-t", "map", "show", "pinned", "/sys/fs/bpf/m/net_counter"]
    enter = ["nsenter", "-t", str(box.holder.pid), "-m", "-n", "--"]
    env = os.environ | {"TERM": "xterm", "NO_COLOR": no_color}
    subprocess.run([*enter, *words], stdout=terminal, env=env, check=True)
    os.close(terminal)
    text = os.read(controller, 4096).decode()
    os.close(controller)
    assert ("\x1b[1m" in text, text.count("\x1b")) == ((True, 2) if expected else (False, 0))
