"""`bcc run` and BPF(text=…) where no headers of the kernel are: Debian's tools of BCC, and scripts, as they are."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bcctool.companion import headers

from ..conftest import BCCTOOL, ROOT, Completed, Sandbox

SECONDS = "3"
PATIENCE_S = 60
# Debian's tools that need no kprobes: words, what is seen of it when it runs.
TOOLS = (
    ("argdist -C t:sched:sched_switch()", "COUNT"),
    ("bitesize", "Tracing block I/O"),
    ("biopattern", "%RND"),
    ("cpuunclaimed", "Sampling run queues"),
    ("exitsnoop", "EXIT_CODE"),
    ("funccount t:sched:*", "Tracing"),
    ("funclatency c:getpid", "Tracing 1 functions"),
    ("gethostlatency", "LATms"),
    ("hardirqs", "Tracing hard irq"),
    ("llcstat", "Failed to attach"),  # no PMU here: it compiles, loads, and is refused by the kernel
    ("memleak -a -p {pid}", "Attaching to pid"),
    ("netqtop -n lo", "QueueID"),
    ("runqlat", "Tracing run queue latency"),
    ("runqlen", "Sampling run queue length"),
    ("runqslower", "Tracing run queue latency"),
    ("softirqs", "Tracing soft irq"),
    ("stackcount t:sched:sched_switch", "Tracing 1 functions"),
    ("syscount", "Tracing syscalls"),
    ("tcplife", "LPORT"),
    ("tcpretrans", "Tracing retransmits"),
    ("tcpstates", "OLDSTATE"),
    ("trace t:sched:sched_process_exec", "FUNC"),
    ("wakeuptime", "Tracing blocked time"),
)


@pytest.fixture(scope="module")
def box() -> Sandbox:  # type: ignore[misc]
    """A sandbox for all tools, with a tracefs."""
    if not shutil.which("execsnoop-bpfcc", path=f"{os.environ['PATH']}:/usr/sbin"):
        pytest.skip("bpfcc-tools is not installed")
    made = Sandbox()
    made.mount_tracefs()
    yield made
    made.close()


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Without headers of the user's, and with a cache of the tests' own."""
    variables = {**os.environ, "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache")), "PYTHONUNBUFFERED": "1"}
    variables.pop(headers.SOURCE, None)
    return variables


@pytest.fixture
def tool(box: Sandbox, environment: dict[str, str]) -> Callable[..., Completed]:
    """Run a tool for some seconds: `tool("execsnoop", "-x")`; nothing is asserted."""

    def run(*words: str, seconds: str = SECONDS) -> Completed:
        interrupted = ("timeout", "-s", "INT", "-k", "5", seconds)
        return box.run(*interrupted, *BCCTOOL, "bcc", "run", *words, status=None, env=environment)

    return run


@pytest.mark.parametrize(("words", "expected"), TOOLS, ids=[words.split()[0] for words, _ in TOOLS])
def test_tools_of_debian(box: Sandbox, environment: dict[str, str], tmp_path: Path, words: str, expected: str) -> None:
    out = tmp_path / "out"
    inside = ("nsenter", "-t", str(box.holder.pid), "-m", "-n", "--")
    command = (*inside, *BCCTOOL, "bcc", "run", *words.format(pid=os.getpid()).split())
    with out.open("w") as file:
        tool = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment)
        try:
            end = time.monotonic() + PATIENCE_S
            while expected not in out.read_text() and tool.poll() is None and time.monotonic() < end:
                time.sleep(0.1)
            tool.send_signal(signal.SIGINT)
            tool.wait(timeout=PATIENCE_S)
        finally:
            tool.kill()
            tool.wait()
    assert expected in out.read_text(), out.read_text()


def test_what_a_tool_counts(tool: Callable[..., Completed]) -> None:
    busy = subprocess.Popen((sys.executable, "-c", "import os\nwhile True: os.getpgid(0)"))
    try:
        done = tool("syscount", "-p", str(busy.pid), "-d", "1", seconds="20")
    finally:
        busy.kill()
        busy.wait()
    counts = [int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("getpgid")]
    assert sum(counts) > 1000, done.stdout + done.stderr


def test_the_words_of_a_tool_are_its_own(tool: Callable[..., Completed]) -> None:
    done = tool("execsnoop", "-h")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: execsnoop-bpfcc [-h] [-T]")
    assert tool("execsnoop", "--no-such").returncode == 2


@pytest.mark.skipif(os.path.exists("/sys/bus/event_source/devices/kprobe"), reason="the kernel has kprobes")
def test_kernels_without_kprobes_say_so(tool: Callable[..., Completed]) -> None:
    done = tool("execsnoop", seconds="20")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("execsnoop-bpfcc: Failed to attach BPF program b'syscall__execve' to kprobe")
    assert last.endswith("this kernel has no kprobes")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (
            ("no-such-tool",),
            "Error: no BCC tool 'no-such-tool': looked for no-such-tool-bpfcc and no-such-tool in PATH",
        ),
        (("/usr/bin/env",), "Error: /usr/bin/env is no script: `bcc run` starts the Python tools of BCC"),
        (("./nowhere.py",), "Error: can't read ./nowhere.py: No such file or directory"),
        ((), "Error: expected a TOOL"),
    ],
)
def test_tools_that_are_none(tool: Callable[..., Completed], words: tuple[str, ...], error: str) -> None:
    done = tool(*words)
    assert done.returncode == 255
    assert done.stderr.startswith(error)
    assert done.stderr.count("\n") == 1


def test_what_tools_read_is_mounted_for_them(sandbox: Sandbox, environment: dict[str, str]) -> None:
    if not shutil.which("execsnoop-bpfcc", path=f"{os.environ['PATH']}:/usr/sbin"):
        pytest.skip("bpfcc-tools is not installed")
    unmount = "for at in /sys/kernel/tracing /sys/kernel/debug; do while umount -l $at 2>/dev/null; do :; done; done"
    sandbox.run("sh", "-c", unmount)
    done = sandbox.bcctool("-n", "bcc", "run", "execsnoop", "-h", status=255, env=environment)
    assert done.stderr == "Error: no tracefs is mounted, and -n forbids to mount one\n"
    sandbox.bcctool("bcc", "run", "execsnoop", "-h", env=environment)
    assert "tracefs /sys/kernel/tracing" in sandbox.run("cat", "/proc/mounts").stdout


def test_no_tool_in_a_batch(box: Sandbox) -> None:
    done = box.bcctool("batch", "file", "-", input="bcc run execsnoop\n", status=255)
    assert done.stderr == "Error: a tool can't run in a batch: it would end it\n"


HELLO = """
import os
from bcc import BPF
b = BPF(text='''
#include <linux/sched.h>
#include <net/inet_sock.h>
struct data { u32 pid; char comm[TASK_COMM_LEN]; u32 tgid; };
BPF_HASH(seen, u32, struct data);
BPF_PERCPU_ARRAY(odd, u32, 1);
TRACEPOINT_PROBE(syscalls, sys_enter_getpgid) {
    struct task_struct *task = (struct task_struct *)bpf_get_current_task();
    struct data data = {.pid = bpf_get_current_pid_tgid() >> 32, .tgid = task->tgid};
    bpf_get_current_comm(&data.comm, sizeof(data.comm));
    seen.update(&data.pid, &data);
    return 0;
}
''')
os.getpgid(0)
((key, value),) = b["seen"].items_lookup_batch()
same = key.value == value.pid == value.tgid == os.getpid()
print(type(b).__module__, same and len(b["odd"][0]) > 0, value.comm.decode())
"""


def test_a_script_of_ones_own(tool: Callable[..., Completed], tmp_path: Path) -> None:
    path = tmp_path / "hello.py"
    path.write_text(HELLO)
    done = tool(str(path), seconds="30")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("bcctool.companion.bpf True ")


def test_sources_without_headers(box: Sandbox, environment: dict[str, str]) -> None:
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n" + HELLO.replace(
        "from bcc import", "from bcctool import"
    )
    done = box.run(sys.executable, "-c", script, env=environment)
    assert done.stdout == "bcctool.companion.bpf True python\n"


PACKETS = """
import sys
from bcctool import BPF
from bcctool.companion import headers
headers.BTF_FILE = "/nowhere"
with open(sys.argv[1], "w") as file:
    file.write('''
#include <uapi/linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
BPF_ARRAY(seen, u64, 1);
int count(struct xdp_md *ctx) {
    void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
    struct iphdr *ip = data + sizeof(struct ethhdr);
    if ((void *)(ip + 1) <= end && ip->protocol == 1)
        seen.increment(0);
    return XDP_PASS;
}
''')
b = BPF(src_file=sys.argv[1])
b.attach_xdp("lo", b.load_func("count", BPF.XDP), BPF.XDP_FLAGS_SKB_MODE)
import socket
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
raw.sendto(bytes((8, 0, 0xF7, 0xFF, 0, 0, 0, 0)), ("127.0.0.1", 0))
print(b["seen"][0].value > 0, headers.tree())
"""


def test_kernels_without_btf_look_at_packets(box: Sandbox, environment: dict[str, str], tmp_path: Path) -> None:
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{PACKETS}"
    own_cache = environment | {"XDG_CACHE_HOME": str(tmp_path)}
    done = box.run(sys.executable, "-c", script, tmp_path / "packets.c", env=own_cache, status=None)
    assert done.stdout.startswith("True "), done.stderr
    assert "vmlinux.h" not in "".join(names for _, _, files in os.walk(done.stdout.split()[1]) for names in files)
    assert "xdp" not in box.run("ip", "link", "show", "lo").stdout


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("from bcc import BPF\nBPF(text='int f( { return 0; }')\n", "bad.py: Failed to compile BPF module <text>\n"),
        ("from bcc import BPF\nraise ValueError('mine')\n", "ValueError: mine\n"),
        ("import bcc\nraise Exception('a\\x1b[31m')\n", "bad.py: a\\x1b[31m\n"),
    ],
)
def test_errors_of_scripts(tool: Callable[..., Completed], tmp_path: Path, body: str, error: str) -> None:
    path = tmp_path / "bad.py"
    path.write_text(body)
    done = tool(str(path), seconds="30")
    assert done.returncode == 1
    assert done.stderr.endswith(error)
    assert ("Traceback" in done.stderr) == ("ValueError" in error)
    if "compile" in error:
        assert "/virtual/main.c:1:" in done.stderr


def test_debug_shows_where(box: Sandbox, environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text("import bcc\nraise Exception('mine')\n")
    done = box.run(*BCCTOOL, "-d", "bcc", "run", str(path), status=1, env=environment)
    assert "Traceback" in done.stderr


TO_DEVICES = """
from bcc import BPF
b = BPF(text="int pass(struct xdp_md *ctx) { return XDP_PASS; }")
b.attach_xdp("lo", b.load_func("pass", BPF.XDP), BPF.XDP_FLAGS_SKB_MODE)
b.remove_xdp("lo", BPF.XDP_FLAGS_SKB_MODE)
try: print(len(BPF.get_kprobe_functions(b"vfs_read")))
except Exception as error: print(error)
b = BPF(text="int probe(void *ctx) { return 0; }")
try: print(b.attach_kprobe(event_re=b"vfs_read", fn_name="probe") and "attached")
except Exception as error: print(error)
"""


def test_what_goes_by_the_name_of_bccs_own_class(tool: Callable[..., Completed], tmp_path: Path) -> None:
    path = tmp_path / "devices.py"
    path.write_text(TO_DEVICES)
    done = tool(str(path), seconds="30")
    assert (done.returncode, done.stderr) == (0, "")
    kprobes = os.path.exists("/sys/bus/event_source/devices/kprobe")
    assert done.stdout == ("1\nattached\n" if kprobes else "this kernel has no kprobes\n" * 2)


def test_the_path_of_a_tool_is_left_alone(tool: Callable[..., Completed], tmp_path: Path) -> None:
    """What it needs of bcctool hides nothing that the tool imports."""
    path = tmp_path / "path.py"
    path.write_text(
        f"#!/usr/bin/python3\nimport bcc, sys\nprint({str(ROOT)!r} in sys.path, any('shim' in p for p in sys.path))\n"
    )
    path.chmod(0o755)
    assert tool(str(path)).stdout == "False False\n"
