"""The objects that libbpf-tools carry, on a kernel with kprobes and fentry: bpftool's verdict on each is ours."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ..conftest import Completed, embedding_executables

pytestmark = pytest.mark.vm
SCRIPT = """
for path in "$@"; do
    for tool in bpftool bcctool; do
        $tool prog loadall "$path" /sys/fs/bpf/x >/tmp/$tool 2>&1; status=$?
        echo "$tool $path $status $(ls /sys/fs/bpf/x 2>/dev/null | tr '\\n' ' ')"
        rm -rf /sys/fs/bpf/x
    done
    grep -q Error /tmp/bcctool && head -1 /tmp/bcctool
done
"""


@pytest.mark.parametrize("release", ["6.12"])
def test_each_object_loads_where_bpftool_loads_it(
    vm: Callable[..., Completed], bcctool: Callable[..., Completed], shared: Path, release: str
) -> None:
    if not shutil.which("bpftool"):
        pytest.skip("bpftool is not installed")
    for path in embedding_executables():
        bcctool("object", "extract", path, shared)
    objects = sorted(map(str, shared.glob("*.bpf.o")))
    assert len(objects) > 40
    done = vm(release, "bash", "-c", SCRIPT, "bash", *objects)
    rows = [line.split(" ", 2) for line in done.stdout.splitlines() if line.startswith(("bpftool ", "bcctool "))]
    theirs, ours = ({path: rest for tool, path, rest in rows if tool == name} for name in ("bpftool", "bcctool"))
    assert len(theirs) == len(objects), done.stdout + done.stderr
    assert ours == theirs, done.stdout
    assert sum(rest.startswith("0 ") for rest in ours.values()) >= 40
