"""Kprobes, which not every kernel has: BCC's execsnoop as `perf show` lists it, and our own attached by loadall."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ..conftest import Completed

pytestmark = pytest.mark.vm

# BCC compiles first, which takes a while in an emulated machine.
SNOOP = """
execsnoop-bpfcc >/dev/null 2>/tmp/errors &
for second in $(seq 120); do sleep 1; [ "$(bcctool -j perf show)" = "[]" ] || break; done
cat /tmp/errors
for words in "perf show" "-j perf show" "-p perf show"; do
    bcctool $words >/tmp/ours; bpftool $words >/tmp/theirs; cmp /tmp/ours /tmp/theirs && echo same
done
bcctool perf show
"""


def test_execsnoop_of_bcc(vm: Callable[..., Completed]) -> None:
    for tool in ("execsnoop-bpfcc", "bpftool"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    done = vm("6.1", "bash", "-c", SNOOP)
    lines = done.stdout.splitlines()
    assert lines[:3] == ["same"] * 3, done.stdout
    assert [line.split(": ", 1)[1].split("  ")[1:] for line in lines[3:]] == [
        ["kprobe", "func __x64_sys_execve", "offset 0"],
        ["kretprobe", "func __x64_sys_execve", "offset 0"],
    ]


LOAD = """
bcctool prog loadall "$1" /sys/fs/bpf/k pinmaps /sys/fs/bpf/k autoattach && ls -1 /sys/fs/bpf/k
for i in 1 2 3; do cat /dev/null; done
bcctool -j map dump pinned /sys/fs/bpf/k/hits | jq -cM '[.[].formatted.value > 2]'
rm /sys/fs/bpf/k/*
bcctool prog loadall "$2" /sys/fs/bpf/none autoattach; echo "status $?"; ls -1 -I "*.debug" /sys/fs/bpf
"""


def test_loadall_attaches_kprobes(vm: Callable[..., Completed], compile_c: Callable[..., Path], shared: Path) -> None:
    paths = []
    for name, flags in (("good", ()), ("bad", ("-DFUNCTION=\"no_such_function\"",))):
        paths.append(str(shared / f"{name}.o"))
        shutil.copy(compile_c("vm_kprobes.c", "-g", *flags), paths[-1])
    done = vm("6.1", "bash", "-c", LOAD, "bash", *paths)
    assert done.stdout.splitlines() == [
        "end",
        "hits",
        "start",
        "[true,true]",
        "Error: can't attach program 'start' to kprobe/no_such_function: "
        "the kernel has no function 'no_such_function' that can be probed",
        "status 255",
        "k",
    ]
