"""Programs for LSM hooks of cgroups, which name the hook that they are for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ..conftest import Completed

pytestmark = pytest.mark.vm

SHOW = """
mkdir -p /tmp/cgroups && mount -t cgroup2 none /tmp/cgroups && mkdir /tmp/cgroups/one || exit 1
bcctool prog load "$1" /sys/fs/bpf/connecting || exit 1
bcctool cgroup attach /tmp/cgroups/one lsm_cgroup pinned /sys/fs/bpf/connecting || exit 1
bcctool cgroup show /tmp/cgroups/one
bcctool -j cgroup show /tmp/cgroups/one
bcctool -j cgroup tree /tmp/cgroups
bcctool -j cgroup tree /tmp/cgroups effective
bpftool -j cgroup tree /tmp/cgroups
bcctool cgroup detach /tmp/cgroups/one lsm_cgroup pinned /sys/fs/bpf/connecting
bcctool cgroup show /tmp/cgroups/one
"""


def test_the_hook_is_named(vm: Callable[..., Completed], compile_c: Callable[..., Path], shared: Path) -> None:
    obj = shutil.copy(compile_c("vm_cgroup.c", "-g"), shared / "cgroup.o")
    header, row, show, tree, effective, theirs = vm("6.12", "bash", "-c", SHOW, "bash", str(obj)).stdout.splitlines()
    (record,) = json.loads(show)
    assert header.split() == ["ID", "AttachType", "AttachFlags", "Name"]
    assert row == f"{record['id']:<8} {'lsm_cgroup':<15} {'':<15} {'connecting':<15} bpf_lsm_socket_connect"
    assert (record["attach_type"], record["attach_btf_name"]) == ("lsm_cgroup", "bpf_lsm_socket_connect")
    assert record["attach_btf_id"] > 0
    assert json.loads(tree) == [{"cgroup": "/tmp/cgroups/one", "programs": [record]}]
    assert json.loads(effective)[0]["programs"][0]["id"] == record["id"]
    assert json.loads(theirs) == json.loads(tree)
