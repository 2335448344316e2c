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
HOOKS = (
    "cgroup_inet_ingress", "cgroup_inet_egress", "cgroup_inet_sock_create", "cgroup_inet_sock_release",
    "cgroup_inet4_bind", "cgroup_inet6_bind", "cgroup_inet4_post_bind", "cgroup_inet6_post_bind",
    "cgroup_inet4_connect", "cgroup_inet6_connect", "cgroup_unix_connect",
    "cgroup_inet4_getpeername", "cgroup_inet6_getpeername", "cgroup_unix_getpeername",
    "cgroup_inet4_getsockname", "cgroup_inet6_getsockname", "cgroup_unix_getsockname",
    "cgroup_udp4_sendmsg", "cgroup_udp6_sendmsg", "cgroup_unix_sendmsg",
    "cgroup_udp4_recvmsg", "cgroup_udp6_recvmsg", "cgroup_unix_recvmsg",
    "cgroup_sock_ops", "cgroup_device", "cgroup_sysctl", "cgroup_getsockopt", "cgroup_setsockopt", "lsm_cgroup",
)  # fmt: skip

# How a program may be attached beside those of cgroups above and below (linux/bpf.h, BPF_F_ALLOW_MULTI and _OVERRIDE).
FLAGS = {"multi": 2, "override": 1}

GONE = (errno.ENOENT, errno.ENODEV)  # a cgroup that was removed while we looked
_NO_HOOK = (errno.EINVAL, errno.EOPNOTSUPP)  # one of a newer kernel, or that this one was built without
_NO_CGROUP = "it is no directory of cgroup v2"


class Query:
    """Asks many cgroups for the programs at their hooks, and forgets hooks that the kernel does not have."""

    def __init__(self, effective: bool = False) -> None:
        self._progs = bpf.CgroupQuery(effective).progs
        self._hooks = [(name, uapi.ATTACH_TYPES.index(name)) for name in HOOKS]

    def progs(self, fd: int, path: str) -> list[tuple[str, int, int]]:
        """(hook, program's id, flags) of all programs of a cgroup; the path is for the message of the Error."""
        found = []
        missing = set()
        number = 0
        for name, hook in self._hooks:
            try:
                rows = self._progs(fd, hook)
            except OSError as error:
                number = error.errno or 0
                if number not in _NO_HOOK:
                    raise _query_error(path, number) from None
                missing.add(name)
                continue
            if rows:
                found += [(name, id, flags) for id, flags in rows]
        if missing:
            if len(missing) == len(self._hooks):
                raise _query_error(path, number)
            self._hooks = [row for row in self._hooks if row[0] not in missing]
        return found


def _query_error(path: str, number: int) -> Error:
    what = f"can't query bpf programs attached to {path}"
    return Error(f"{what}: {_NO_CGROUP}") if number == errno.EBADF else KernelError(what, number, status=255)


def opened(path: str, flags: int = 0) -> int:
    """A descriptor of what may be a cgroup; flags: O_DIRECTORY. KernelError."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    except (OSError, ValueError) as error:
        raise _failure("can't open cgroup", path, error) from None


def _failure(what: str, path: str, error: Exception) -> KernelError:
    number = error.errno if isinstance(error, OSError) else errno.EINVAL  # a ValueError: a NUL in the path
    return KernelError(f"{what} {path}", number or 0, status=255)


def attach(fd: int, path: str, hook: str, prog: Prog, flags: int) -> None:
    """Attach a program to a hook of a cgroup. Error with the likely reason when the kernel refuses."""
    try:
        libbpf.call("bpf_prog_attach", prog.fd, fd, uapi.ATTACH_TYPES.index(hook), flags)
    except OSError as error:
        number = error.errno or 0
        reason = _NO_CGROUP if number == errno.EBADF else os.strerror(number)
        if number == errno.EINVAL and flags == sum(FLAGS.values()):
            reason += ": multi and override exclude each other"
        elif number == errno.EINVAL:
            reason += f": {prog.type} programs may not fit {hook}, or this one is there already"
        elif number == errno.EPERM:
            reason += ": programs in this cgroup, or above it, may have been attached with other flags"
        raise Error(f"failed to attach program to {path}: {reason}") from None


def detach(fd: int, path: str, hook: str, prog: Prog) -> None:
    """Detach a program from a hook of a cgroup. Error when the kernel refuses."""
    try:
        libbpf.call("bpf_prog_detach2", prog.fd, fd, uapi.ATTACH_TYPES.index(hook))
    except OSError as error:
        number = error.errno or 0
        reasons = {errno.EBADF: _NO_CGROUP, errno.ENOENT: f"it is not attached to {hook} there"}
        reason = reasons.get(number) or os.strerror(number)
        raise Error(f"failed to detach program from {path}: {reason}") from None


def mount_point() -> str:
    """Where cgroup v2 is mounted first. Error when it is not."""
    path = next(proc.mounts("cgroup2"), None)
    if path is None:
        raise Error("cgroup v2 isn't mounted (mount -t cgroup2 none DIRECTORY)")
    return path


def walk(root: str, failures: list[Error]) -> Iterator[tuple[str, int]]:
    """(path, descriptor) of a directory and of those below it on the same file system, each before what it contains.

    The next step closes the descriptor. What vanishes meanwhile is skipped; what else can't be read goes to `failures`.
    KernelError when there is no root.
    """
    try:
        device = os.stat(root).st_dev
    except (OSError, ValueError) as error:
        raise _failure("can't iterate over", root, error) from None
    waiting = [root]
    while waiting:
        path = waiting.pop()
        try:
            fd = opened(path, os.O_DIRECTORY)
        except KernelError as error:
            note(error, failures)
            continue
        below: list[str] = []
        try:
            yield path, fd
            below = _directories(fd, device)
        except OSError as error:
            note(_failure("can't iterate over", path, error), failures)
        finally:
            os.close(fd)
        waiting += [os.path.join(path, name) for name in reversed(below)]


def note(error: Error, failures: list[Error]) -> None:
    """Keep an error that is no cgroup's vanishing."""
    if not (isinstance(error, KernelError) and error.errno in GONE):
        failures.append(error)


def _directories(fd: int, device: int) -> list[str]:
    """The names of the directories in a directory, without mount points, in the kernel's order."""
    found = []
    with os.scandir(fd) as entries:
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_dev == device:
                    found.append(entry.name)
            except OSError as error:
                if error.errno not in GONE:
                    raise
    return found
