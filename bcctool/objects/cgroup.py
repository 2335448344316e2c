"""Cgroups of version 2 and the programs at their hooks (the kernel's Documentation/admin-guide/cgroup-v2.rst)."""

from __future__ import annotations

import errno
import os

from ..errors import Error, KernelError
from ..kernel import bpf, libbpf, proc, uapi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .prog import Prog

# The hooks, in the order in which they are listed.
TYPES = (
    "cgroup_inet_ingress", "cgroup_inet_egress", "cgroup_inet_sock_create", "cgroup_inet_sock_release",
    "cgroup_inet4_bind", "cgroup_inet6_bind", "cgroup_inet4_post_bind", "cgroup_inet6_post_bind",
    "cgroup_inet4_connect", "cgroup_inet6_connect", "cgroup_unix_connect",
    "cgroup_inet4_getpeername", "cgroup_inet6_getpeername", "cgroup_unix_getpeername",
    "cgroup_inet4_getsockname", "cgroup_inet6_getsockname", "cgroup_unix_getsockname",
    "cgroup_udp4_sendmsg", "cgroup_udp6_sendmsg", "cgroup_unix_sendmsg",
    "cgroup_udp4_recvmsg", "cgroup_udp6_recvmsg", "cgroup_unix_recvmsg",
    "cgroup_sock_ops", "cgroup_device", "cgroup_sysctl", "cgroup_getsockopt", "cgroup_setsockopt", "lsm_cgroup",
)  # fmt: skip

# How a program may be attached beside those of cgroups above and below (linux/bpf.h, BPF_F_ALLOW_OVERRIDE and _MULTI).
FLAGS = {"multi": 2, "override": 1}

GONE = (errno.ENOENT, errno.ENODEV)  # a cgroup that was removed while we looked
_NO_HOOK = (errno.EINVAL, errno.EOPNOTSUPP)  # one of a newer kernel, or that this one was built without


def reason(number: int) -> str:
    """Why the kernel refused, in the words of who works with cgroups."""
    return "it is no directory of cgroup v2" if number == errno.EBADF else os.strerror(number)


def open_(path: str) -> int:
    """A descriptor of a cgroup. OSError."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def attached(fd: int, path: str, effective: bool = False) -> list[tuple[str, int, int]]:
    """(hook, prog id, flags) of all programs of a cgroup; effective: also those that it inherits, with no flags.

    path: for the message of the Error, a KernelError unless it is no cgroup at all.
    """
    found = []
    number = 0
    known = False
    for type in TYPES:
        try:
            found += [(type, id, flags) for id, flags in bpf.cgroup_query(type, fd, effective)]
            known = True
        except OSError as error:
            number = error.errno or 0
            if number not in _NO_HOOK:
                break
    else:
        if known:
            return found
    what = f"can't query bpf programs attached to {path}"
    if number == errno.EBADF:
        raise Error(f"{what}: {reason(number)}")
    raise KernelError(what, number, status=255)


def change(fd: int, type: str, prog: Prog, flags: int | None) -> None:
    """Attach a program to a hook of a cgroup with these flags, or detach it (None). Error when the kernel refuses."""
    number = uapi.ATTACH_TYPES.index(type)
    try:
        if flags is None:
            libbpf.call("bpf_prog_detach2", prog.fd, fd, number)
        else:
            libbpf.call("bpf_prog_attach", prog.fd, fd, number, flags)
    except OSError as error:
        verb = "detach" if flags is None else "attach"
        raise Error(f"failed to {verb} program: {reason(error.errno or 0)}") from None


def mount_point() -> str:
    """Where cgroup v2 is mounted first. Error when it is not."""
    path = next(proc.mounts("cgroup2"), None)
    if path is None:
        raise Error("cgroup v2 isn't mounted")
    return path


def walk(root: str, failures: list[Error]) -> Iterator[str]:
    """The paths of a directory and of those below it on the same file system, each before what it contains.

    Error when the root can't be read. What vanishes meanwhile is skipped; what else can't be read goes to `failures`.
    """
    try:
        device = os.stat(root).st_dev
        os.close(os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError as error:
        raise _unreadable(root, error) from None
    waiting = [root]
    while waiting:
        path = waiting.pop()
        yield path
        try:
            below = _directories(path, device)
        except OSError as error:
            if error.errno not in GONE:
                failures.append(_unreadable(path, error))
            continue
        waiting += reversed(below)


def _directories(path: str, device: int) -> list[str]:
    """The directories in a directory, without mount points, in the kernel's order."""
    found = []
    with os.scandir(path) as entries:
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_dev == device:
                    found.append(entry.path)
            except OSError as error:
                if error.errno not in GONE:
                    raise
    return found


def _unreadable(path: str, error: OSError) -> Error:
    return KernelError(f"can't iterate over {path}", error.errno or 0, status=255)
