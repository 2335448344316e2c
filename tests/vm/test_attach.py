"""Attaching to functions of the kernel, where it has kprobes, fentry and LSM: one of each kind attaches and counts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ..conftest import Completed

pytestmark = pytest.mark.vm
TIMES = 3  # as in attached.py
# program → type of its link, how often it has run; None: as often as anybody's doing makes it
KINDS: dict[str, tuple[str, int | None]] = {
    "in_kernel_kprobe": ("perf_event", TIMES),
    "in_kernel_kretprobe": ("perf_event", TIMES),
    "in_kernel_offset": ("perf_event", TIMES),
    "in_kernel_ksyscall": ("perf_event", TIMES),
    "in_kernel_kretsyscall": ("perf_event", TIMES),
    "in_kernel_multi": ("kprobe_multi", TIMES),
    "in_kernel_multi_glob": ("kprobe_multi", TIMES),
    "in_kernel_return_glob": ("kprobe_multi", TIMES),
    "in_kernel_session": ("kprobe_multi", None),
    "in_kernel_fentry": ("tracing", TIMES),
    "in_kernel_fexit": ("tracing", TIMES),
    "in_kernel_fmod_ret": ("tracing", TIMES),
    "in_kernel_lsm": ("tracing", TIMES),
    "on_lsm_cgroup": ("cgroup", TIMES),
}
FAILURES = {
    "missing_kprobe": "kprobe/no_such_function: the kernel has no function 'no_such_function' that can be probed",
    "missing_ksyscall": "ksyscall/no_such_call: the kernel has no such system call"
    " (or hides its symbols: are you root?)",
    "missing_multi": "kprobe.multi/no_such_function: no function matches 'no_such_function' that can be traced",
    "missing_glob": "kprobe.multi/no_such_function*: no function matches 'no_such_function*' that can be traced",
    "missing_end": "kretprobe/__x64_sys_getpgid+4: a function ends where it ends: the offset has to go",
}
REPLACE = """
import sys
from bcctool.errors import Error
from bcctool.loader.attach import attach
from bcctool.loader.attach_places import Places
from bcctool.loader.load import load
with load(sys.argv[1]) as target:
    prog = target.progs["target"]
    run = lambda: prog.test_run(bytes(64)).retval
    with load(sys.argv[2], attach_to=prog) as loaded:
        values = [run()]
        for places in (None, Places(prog=prog, function="other")):
            with attach(loaded.progs["replacement"], "freplace/verdict", places=places):
                values.append(run())
        print(*values, run())
        try:
            attach(loaded.progs["replacement"], "freplace/verdict", places=Places(prog=prog, function="none"))
        except Error as error:
            print(error.message.replace(str(prog.id), "N"))
"""
GUEST = 'ip link set lo up; python tests/attached.py "$1" /bin/true; python -c "$2" "$3" "$4"'


def test_one_of_each_kind(vm: Callable[..., Completed], compile_c: Callable[..., Path], shared: Path) -> None:
    objects = {
        "kernel": compile_c("attach_kernel.c", "-g"),
        "target": compile_c("attach_freplace.c", "-g", "-DTARGET"),
        "replacement": compile_c("attach_freplace.c", "-g"),
    }
    paths = [str(shutil.copy(path, shared / f"{name}.o")) for name, path in objects.items()]
    done = vm("6.12", "--arch", "amd64", "bash", "-c", GUEST, "bash", paths[0], REPLACE, *paths[1:])
    first, *replaced = done.stdout.splitlines()
    found = json.loads(first)
    assert found.pop("variables") == {}
    for name, message in FAILURES.items():
        program = f"can't attach program '{name}' to "
        assert found.pop(name) == {"error": program + message}
    assert {name: outcome.get("links") for name, outcome in found.items()} == {
        name: {name: kind} for name, (kind, _) in KINDS.items()
    }
    runs = {name: outcome["ran"] for name, outcome in found.items()}
    assert runs.pop("in_kernel_session") >= 2 * TIMES
    assert runs == {name: count for name, (_, count) in KINDS.items() if count}
    assert {outcome["after"] for outcome in found.values()} == {0}
    # `verdict` passes (2), and `other` answers ten times as much (3): each in turn is replaced by what says 7.
    reason = "program N has no function 'none' (or no BTF that says so)"
    assert replaced == ["32 37 72 32", f"can't attach program 'replacement' to freplace/verdict: {reason}"]
