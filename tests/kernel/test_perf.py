"""perf on a real kernel: a program is shown for as long as a process holds it at its probe."""

from __future__ import annotations

import json
import subprocess
import sys

from ..conftest import ROOT, Sandbox

HOLD = f"""
import ctypes, sys
sys.path.insert(0, {str(ROOT)!r})
from bcctool.kernel import bpf, libbpf, uapi
RAW_TRACEPOINT, RETURN_0 = 17, bytes.fromhex("b700000000000000 9500000000000000")
prog = libbpf.call("bpf_prog_load", RAW_TRACEPOINT, b"raw", b"GPL", RETURN_0, 2, None)
name = ctypes.create_string_buffer(b"sched_switch")
link = bpf.bpf(uapi.BPF_RAW_TRACEPOINT_OPEN, uapi.attr_raw_tracepoint(name=ctypes.addressof(name), prog_fd=prog))
print(link, flush=True)
sys.stdin.read()
"""


def test_a_raw_tracepoint_comes_and_goes(sandbox: Sandbox) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        fd = int(holder.stdout.readline())
        (record,) = [row for row in json.loads(sandbox.bcctool("-j", "perf").stdout) if row["pid"] == holder.pid]
        prog_id = record["prog_id"]
        assert record == {
            "pid": holder.pid,
            "fd": fd,
            "prog_id": prog_id,
            "fd_type": "raw_tracepoint",
            "tracepoint": "sched_switch",
        }
        line = f"pid {holder.pid}  fd {fd}: prog_id {prog_id}  raw_tracepoint  sched_switch"
        assert line in sandbox.bcctool("perf", "show").stdout.splitlines()
        assert json.loads(sandbox.bcctool("-j", "prog", "show", "id", str(prog_id)).stdout)["name"] == "raw"
    assert all(row["pid"] != holder.pid for row in json.loads(sandbox.bcctool("-j", "perf").stdout))
