"""BCC's tools by `bcc run` where kprobes are, without headers of the kernel; and BPF over objects with kprobes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ..conftest import ROOT, Completed

pytestmark = pytest.mark.vm

# Each compiles first, which takes a while here. What the shell starts in the background ignores SIGINT.
RUN = """
test ! -e /lib/modules/$(uname -r)/build && echo "no headers"
ip link set lo up
run() {  # TRIGGER TOOL...
    trigger=$1; shift
    env --default-signal=INT bcctool bcc run "$@" >/tmp/out 2>/tmp/err & pid=$!
    for second in $(seq 180); do
        sleep 1
        kill -0 $pid 2>/dev/null || break
        [ "$(bcctool -j perf show)" != "[]" ] || [ -n "$(bcctool link show)" ] && break
    done
    sleep 4; eval "$trigger"; sleep 2
    kill -INT $pid
    for second in $(seq 20); do kill -0 $pid 2>/dev/null || break; sleep 1; done
    kill -9 $pid 2>/dev/null
    echo "== $*"; cat /tmp/out /tmp/err
}
run 'uname -n >/dev/null' execsnoop
run 'cat /etc/hostname >/dev/null' opensnoop
modprobe loop; dd if=/dev/zero of=/tmp/img bs=1M count=4 2>/dev/null; losetup /dev/loop0 /tmp/img
run 'dd if=/dev/loop0 of=/dev/null bs=4k count=16 iflag=direct 2>/dev/null' biolatency
run 'bash -c "echo >/dev/tcp/127.0.0.1/1" 2>/dev/null' tcpconnect
run 'cat /etc/hostname >/dev/null' funccount vfs_read
"""


def test_tools_without_headers(vm: Callable[..., Completed]) -> None:
    if not shutil.which("execsnoop-bpfcc", path="/usr/sbin:/usr/bin"):
        pytest.skip("bpfcc-tools is not installed")
    done = vm("6.12", "bash", "-c", RUN)
    first, *parts = done.stdout.split("== ")
    assert first == "no headers\n"
    outputs = {part.partition("\n")[0].split()[0]: part for part in parts}
    assert "/usr/bin/uname -n" in outputs["execsnoop"]
    assert "/etc/hostname" in outputs["opensnoop"]
    counts = [line.split(":")[1].split()[0] for line in outputs["biolatency"].splitlines() if " -> " in line]
    assert sum(map(int, counts)) >= 16, outputs["biolatency"]
    assert "127.0.0.1        127.0.0.1        1" in outputs["tcpconnect"]
    (row,) = [line for line in outputs["funccount"].splitlines() if line.startswith("vfs_read")]
    assert int(row.split()[1]) > 0
    assert all("Traceback" not in part for part in parts)


OBJECT = """
import sys
from bcctool import BPF
b = BPF(obj=sys.argv[1])
b.attach_kprobe(event=b.get_syscall_fnname("execve"), fn_name="start")
b.attach_kretprobe(event=b.get_syscall_fnname("execve"), fn_name="end")
import subprocess
for _ in range(3): subprocess.run("true")
print([value.value >= 3 for value in b["hits"].values()], b.num_open_kprobes())
b.cleanup()
print(subprocess.run((".venv/bin/bcctool", "-j", "perf", "show"), capture_output=True, text=True).stdout)
"""


def test_kprobes_of_an_object(vm: Callable[..., Completed], compile_c: Callable[..., Path], shared: Path) -> None:
    path = shutil.copy(compile_c("vm_kprobes.c", "-g"), shared / "good.o")
    script = shared / "script.py"
    script.write_text(OBJECT)
    done = vm("6.12", "bash", "-c", 'cd "$1" && .venv/bin/python "$2" "$3"', "bash", str(ROOT), str(script), str(path))
    assert done.stdout == "[True, True] 2\n[]\n\n"
