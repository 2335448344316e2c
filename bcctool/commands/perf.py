"""perf: which processes have programs at tracepoints, kprobes and uprobes, by the descriptors that hold them there."""

from __future__ import annotations

import errno
import os

from ..errors import KernelError
from ..escapes import printable
from ..kernel import bpf, proc, uapi
from ..objects.holders import PERF_EVENT, processes
from ..verbs import Args, verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

HINT = "HINT: non root or kernel doesn't support TASK_FD_QUERY"
ENOTSUPP = 524  # the kernel's answer for a descriptor of any other kind
# What /proc/PID/fd shows for the descriptors that the kernel answers for: perf events, and raw tracepoints, which are
# links since Linux 5.8. The links of perf events are not among them, but who holds one holds the event too.
LINK_TARGETS = ("anon_inode:bpf_link", "anon_inode:bpf-link")
TARGETS = frozenset(("anon_inode:[perf_event]", "anon_inode:bpf-raw-tracepoint", *LINK_TARGETS))


def require_support() -> None:
    """Error unless the kernel answers questions about descriptors."""
    fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        bpf.task_fd_query(os.getpid(), fd)
    except OSError as error:
        if error.errno != ENOTSUPP:
            failure = KernelError("perf_query_support", error.errno or errno.EINVAL, status=255)
            failure.detail = HINT
            raise failure from None
    finally:
        os.close(fd)


def rows() -> Iterator[dict[str, Any]]:
    """One record per descriptor with a program; what closes or exits meanwhile is skipped."""
    for pid in processes(bpf.LINK, PERF_EVENT):
        for fd, target in proc.descriptors(pid):
            if target in TARGETS:
                try:
                    yield describe(pid, int(fd), *bpf.task_fd_query(pid, int(fd)))
                except OSError:
                    continue


def describe(pid: int, fd: int, prog_id: int, type: int, offset: int, address: int, name: bytes) -> dict[str, Any]:
    """A record, out of what BPF_TASK_FD_QUERY says of a descriptor."""
    word = uapi.TASK_FD_TYPES[type] if type < len(uapi.TASK_FD_TYPES) else ""
    record: dict[str, Any] = {"pid": pid, "fd": fd, "prog_id": prog_id, "fd_type": word or type}
    place = name.decode("utf-8", "backslashreplace")
    if word.endswith("tracepoint"):
        record["tracepoint"] = place
    elif word.startswith("u"):
        record |= {"filename": place, "offset": offset}
    elif word and place:
        record |= {"func": place, "offset": offset}
    elif word:
        record["addr"] = address
    return record


def text(record: dict[str, Any]) -> str:
    """A program as `perf show` prints it."""
    words = [f"pid {record['pid']}", f"fd {record['fd']}: prog_id {record['prog_id']}", str(record["fd_type"])]
    if "tracepoint" in record:
        words.append(printable(record["tracepoint"]))
    for key in ("func", "filename", "offset", "addr"):
        if key in record:
            words.append(f"{key} {printable(str(record[key]))}")
    return "  ".join(words) + "\n"


def place(record: dict[str, Any]) -> str:
    """What the program is attached to."""
    name = next((str(record[key]) for key in ("tracepoint", "filename", "func") if key in record), "")
    offset = f"+{record['offset']:#x}" if record.get("offset") else ""
    return f"{name}{offset}" if name else f"{record['addr']:#x}" if "addr" in record else ""


COLUMNS = (
    ("PID", "pid", "number"), ("FD", "fd", "number"), ("PROG", "prog_id", "number"), ("TYPE", "fd_type", "text"),
    ("PLACE", place, "text"),
)  # fmt: skip


@verb(text=text, alias="list", columns=COLUMNS)
def show(args: Args) -> Iterator[dict[str, Any]]:
    """Show programs at tracepoints, kprobes and uprobes."""
    args.end()
    require_support()
    return rows()
