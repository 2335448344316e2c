"""Which processes are worth a look at their descriptors: all of them, or, where they are many, those the kernel names.

For the links in /proc/PID/fd alone the kernel takes twice as long as open_files.py takes for all. What it names is
still looked up in /proc, so that both ways tell the same.
"""

from __future__ import annotations

from ..kernel import bpf, proc

PERF_EVENT = "perf event"
RELEASE = {
    bpf.PROG: "bpf_prog_release", bpf.MAP: "bpf_map_release", bpf.BTF: "btf_release", bpf.LINK: "bpf_link_release",
    PERF_EVENT: "perf_release",
}  # fmt: skip
"""What the kernel calls when the last descriptor of an open file is closed: it tells the kinds of files apart."""
MANY = 400  # processes, kernel threads among them


def processes(*kinds: str) -> list[int]:
    """The processes that may have a descriptor of one of these kinds (of RELEASE), ascending."""
    pids = sorted(proc.pids())
    if len(pids) < MANY:
        return pids
    from . import open_files

    found = open_files.holders(kinds)
    return pids if found is None else sorted(found)
