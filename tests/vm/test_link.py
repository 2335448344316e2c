"""Links that not every kernel has: kprobes, one or several at once, trampolines, security hooks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Completed

pytestmark = pytest.mark.vm

SHOW = """
modprobe veth
bcctool prog loadall "$1" /sys/fs/bpf/l autoattach || exit 1
grep -E " (do_nanosleep|veth_open)(\\s|$)" /proc/kallsyms | sort -k3 | cut -d" " -f1
for name in probe returns several of_module entry security; do
    bcctool link show pinned /sys/fs/bpf/l/$name | sed 1d
done
echo; bcctool -j link show pinned /sys/fs/bpf/l/of_module; bcctool -j link show pinned /sys/fs/bpf/l/probe
echo 2 >/proc/sys/kernel/kptr_restrict
bcctool link show pinned /sys/fs/bpf/l/several | sed 1d
bcctool link show pinned /sys/fs/bpf/l/returns | sed 1d
bcctool -j link show pinned /sys/fs/bpf/l/several
"""


def without_ids(line: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(line)
    return {key: value for key, value in record.items() if key not in ("id", "prog_id")}


def test_kinds(vm: Callable[..., Completed], compile_c: Callable[..., Path], shared: Path) -> None:
    obj = shutil.copy(compile_c("vm_links.c", "-g"), shared / "links.o")
    done = vm("6.12", "bash", "-c", SHOW, "bash", str(obj))
    sleep, veth, *lines = done.stdout.splitlines()
    at = lines.index("")
    target = lines[9]
    assert lines[:at] == [
        f"\tkprobe {int(sleep, 16) + 5:x} do_nanosleep+0x5  ",
        f"\tkretprobe {sleep} do_nanosleep  ",
        "\tkprobe.multi  func_cnt 1  ",
        "\taddr             cookie           func [module]",
        f"\t{sleep} 0                do_nanosleep  ",
        "\tkretprobe.multi  func_cnt 1  ",
        "\taddr             cookie           func [module]",
        f"\t{veth} 0                veth_open [veth]  ",
        "\tprog_type tracing  attach_type trace_fentry  ",
        target,
        "\tprog_type lsm  attach_type lsm_mac  ",
        lines[11],
    ]
    assert target.startswith("\ttarget_obj_id 1  target_btf_id ")
    functions = [{"addr": int(veth, 16), "func": "veth_open", "module": "veth", "cookie": 0}]
    multi = {"type": "kprobe_multi", "retprobe": True, "func_cnt": 1, "missed": 0, "funcs": functions}
    assert without_ids(lines[at + 1]) == multi
    place = {"retprobe": False, "addr": int(sleep, 16) + 5, "func": "do_nanosleep", "offset": 5}
    assert without_ids(lines[at + 2]) == {"type": "perf_event", **place, "missed": 0, "cookie": 0}
    assert lines[at + 3 : at + 5] == ["\tkprobe.multi  func_cnt 1  ", "\tkretprobe do_nanosleep  "]
    assert without_ids(lines[at + 5])["funcs"] == []
