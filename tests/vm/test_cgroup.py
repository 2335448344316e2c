"""LSM programs of cgroups, whose hook is one of many: listed, also as bpftool lists them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ..conftest import Completed

pytestmark = [
    pytest.mark.vm,
    pytest.mark.skipif(not shutil.which("bpftool"), reason="bpftool is not installed"),
]

SHOW = """
top=/sys/fs/cgroup/t
mkdir -p $top/below
bcctool prog loadall "$1" /sys/fs/bpf/p || exit 1
bcctool cgroup attach $top lsm_cgroup pinned /sys/fs/bpf/p/guard_bind multi
bcctool cgroup attach $top lsm_cgroup pinned /sys/fs/bpf/p/guard_connect_with_a_long_name override
bcctool cgroup attach $top ingress pinned /sys/fs/bpf/p/in multi
for words in "cgroup show $top" "-j cgroup show $top" "cgroup show $top/below effective" "cgroup tree $top"; do
    bcctool $words >/tmp/ours
    bpftool $words >/tmp/theirs
    cmp /tmp/ours /tmp/theirs && echo "same: $words"
    cat /tmp/ours
done
bcctool -j cgroup tree $top effective
for name in bind connect_with_a_long_name; do
    bcctool cgroup detach $top lsm_cgroup pinned /sys/fs/bpf/p/guard_$name
done
bcctool -j cgroup show $top
"""
COMMANDS = ("cgroup show {}", "-j cgroup show {}", "cgroup show {}/below effective", "cgroup tree {}")


def test_lsm_programs(vm: Callable[..., Completed], compile_c: Callable[..., Path], shared: Path) -> None:
    obj = shutil.copy(compile_c("cgroup_hooks.c", "-g", "-DLSM"), shared / "hooks.o")
    lines = vm("6.12", "bash", "-c", SHOW, "bash", str(obj)).stdout.splitlines()
    assert [line for line in lines if line.startswith("same: ")] == [
        f"same: {command.format('/sys/fs/cgroup/t')}" for command in COMMANDS
    ]
    ids, rows = zip(*(line.split(maxsplit=1) for line in lines[2:5]), strict=True)
    assert rows == (
        "cgroup_inet_ingress multi           in                             ",
        "lsm_cgroup      multi           guard_bind      bpf_lsm_socket_bind",
        "lsm_cgroup      override        guard_connect_with_a_long_name bpf_lsm_socket_connect",
    )
    records = json.loads(lines[6])
    assert [str(record["id"]) for record in records] == list(ids)
    assert [*records[1]] == [
        *("id", "attach_type", "attach_flags", "name", "attach_btf_name", "attach_btf_obj_id", "attach_btf_id")
    ]
    assert [(record["attach_btf_obj_id"] > 0, record["attach_btf_id"] > 0) for record in records] == [
        (False, False), (True, True), (True, True)
    ]  # fmt: skip
    # There bpftool leaves out the names of programs that are not the LSM's, once it has shown one that is.
    top, below = (place["programs"] for place in json.loads(lines[-2]))
    assert below == top == [{key: value for key, value in row.items() if key != "attach_flags"} for row in records]
    assert [record["attach_type"] for record in json.loads(lines[-1])] == ["cgroup_inet_ingress"]
