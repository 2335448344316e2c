"""`loadall … autoattach`: programs run where their sections say, for as long as their links are pinned."""

from __future__ import annotations

import ctypes
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bcctool.elf.native import function_offset
from bcctool.errors import Error

from ..conftest import BCCTOOL, ROOT, Sandbox

Compile = Callable[..., Path]
CALLS = "import os; [os.getpgid(0) for _ in range(7)]"
NOTICE = "Program nowhere does not support autoattach, falling back to pinning\n"


EVENTS = {"on_start": 1, "on_return": 2, "on_tracepoint": 5}  # BPF_PERF_EVENT_UPROBE, URETPROBE, TRACEPOINT
KIND = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
from bcctool.objects.link import Link
print(Link.from_pin(sys.argv[1]).info.perf_event.type)
"""


def libc() -> str:
    """The path of the C library that this process uses."""
    maps = Path("/proc/self/maps").read_text().split()
    return next(path for path in maps if os.path.basename(path).startswith("libc.so"))


def hits(box: Sandbox) -> list[int]:
    return [
        element["formatted"]["value"]
        for element in json.loads(box.bcctool("-j", "map", "dump", "pinned", "/sys/fs/bpf/a/hits").stdout)
    ]


def test_programs_run_where_they_say(sandbox: Sandbox, compile_c: Compile) -> None:
    obj = compile_c("attach.c", "-g", f'-DLIBRARY="{libc()}"')
    done = sandbox.bcctool("prog", "loadall", obj, "/sys/fs/bpf/a", "pinmaps", "/sys/fs/bpf/a", "autoattach")
    assert (done.stdout, done.stderr) == ("", NOTICE)
    before = hits(sandbox)
    sandbox.run("/usr/bin/python3", "-c", CALLS)
    after = hits(sandbox)
    assert [now - then for now, then in zip(after[:3], before[:3], strict=True)] == [7, 7, 7]
    assert after[3] >= before[3] + 7
    links = {name: sandbox.bcctool("prog", "show", "pinned", f"/sys/fs/bpf/a/{name}", status=None).stderr
             for name in ("on_tracepoint", "on_start", "on_return", "on_raw", "nowhere")}  # fmt: skip
    assert links == dict.fromkeys(links, "Error: incorrect object type: link\n") | {"nowhere": ""}
    kinds = [int(sandbox.run(sys.executable, "-c", KIND, f"/sys/fs/bpf/a/{name}").stdout) for name in EVENTS]
    assert kinds == list(EVENTS.values())
    sandbox.run("rm", "/sys/fs/bpf/a/on_start")
    sandbox.run("/usr/bin/python3", "-c", CALLS)
    assert hits(sandbox)[1:3] == [after[1], after[2] + 7]


def test_no_notice_in_json(sandbox: Sandbox, compile_c: Compile) -> None:
    words = ("prog", "load", compile_c("prog_legacy.c"), "/sys/fs/bpf/p", "autoattach")
    done = sandbox.bcctool("-j", *words)
    assert (done.stdout, done.stderr) == ("null\n", "")


REFUSED = [
    ({"LIBRARY": "/nosuch.so"}, "/nosuch.so: No such file or directory"),
    ({"LIBRARY": "relative.so"}, "can't attach program 'on_start': 'relative.so:getpgid' is no path and function"),
    ({"LIBRARY": "/dev/zero"}, "/dev/zero: is not a regular file"),
    ({"LIBRARY": "/etc/passwd"}, "/etc/passwd: it is no sound ELF file"),
    ({"LIBRARY": libc(), "FUNCTION": "no_such_function"}, f"{libc()}: it has no function 'no_such_function'"),
    ({"LIBRARY": libc(), "FUNCTION": "getpgid+x"},
     "can't attach program 'on_start': 'getpgid+x' is no function and offset"),
]  # fmt: skip


@pytest.mark.parametrize(("macros", "message"), REFUSED)
def test_a_place_that_is_not_there_leaves_nothing(
    sandbox: Sandbox, compile_c: Compile, macros: dict[str, str], message: str
) -> None:
    obj = compile_c("attach.c", "-g", *[f'-D{name}="{value}"' for name, value in macros.items()])
    done = sandbox.bcctool("prog", "loadall", obj, "/sys/fs/bpf/a", "autoattach", status=255)
    assert done.stderr == f"Error: {message}\n"
    assert sandbox.run("ls", "/sys/fs/bpf").stdout.split() == ["maps.debug", "progs.debug"]


def test_offsets_are_those_of_the_code() -> None:
    """The first bytes of the function in the file are those in memory."""
    library = ctypes.CDLL(libc())
    address = ctypes.cast(library.getpgid, ctypes.c_void_p).value
    assert address
    offset = function_offset(libc(), "getpgid")
    assert Path(libc()).read_bytes()[offset : offset + 16] == ctypes.string_at(address, 16)
    with pytest.raises(Error, match="no function 'getpgid_'"):
        function_offset(libc(), "getpgid_")


def test_no_tracefs_is_mounted_with_n(sandbox: Sandbox, compile_c: Compile) -> None:
    unmount = (
        "for at in /sys/kernel/tracing /sys/kernel/debug/tracing; do while umount $at 2>/dev/null; do :; done; done; "
        '"$@"; status=$?; grep -c " tracefs " /proc/mounts; exit $status'
    )
    words = ("prog", "loadall", compile_c("attach.c", "-g"), "/sys/fs/bpf/a", "autoattach")
    done = sandbox.run("unshare", "--mount", "sh", "-c", unmount, "sh", *BCCTOOL, "-n", *words, status=255)
    assert (done.stdout, done.stderr) == ("0\n", "Error: no tracefs is mounted, and -n forbids to mount one\n")
