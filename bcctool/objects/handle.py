"""Live kernel objects: what programs, maps and BTF objects have in common (find, open, info, pin, close)."""

from __future__ import annotations

import errno
import os

from ..errors import Error, KernelError
from ..kernel import bpf, libbpf, proc

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
    from collections.abc import Callable, Iterator
    from typing import Any, ClassVar

    from typing_extensions import Self

LINKS = {"anon_inode:bpf-prog": bpf.PROG, "anon_inode:bpf-map": bpf.MAP, "anon_inode:bpf_link": bpf.LINK}
"""What /proc/PID/fd shows for a descriptor of a kind."""
LINKS |= {"anon_inode:btf": bpf.BTF, "anon_inode:bpf-link": bpf.LINK}


class Handle:
    """An open object: owns `fd` until close(), the end of a `with` block or its last reference.

    `info` is the kernel's struct at the time of opening, under the kernel's field names.
    """

    KIND: ClassVar[str]
    NOUN: ClassVar[str]  # in "can't get next NOUN"
    BY_ID: ClassVar[str]  # the message for an id that can't be opened
    INFO: ClassVar[type[ctypes.Structure]]

    def __init__(self, fd: int, info: Any = None) -> None:
        """Take over `fd`; OSError when the kernel does not tell its info."""
        self.fd = fd
        try:
            self.info: Any = self.read_info() if info is None else info
        except OSError:
            self.close()
            raise

    def read_info(self, **fields: int) -> Any:
        """A fresh info struct from the kernel; `fields` are set before the call (buffers to fill)."""
        info = self.INFO(**fields)
        bpf.fill_info(self.fd, info)
        return info

    @property
    def id(self) -> int:
        return int(self.info.id)

    @property
    def name(self) -> str:
        """The name that the kernel keeps, at most 15 bytes."""
        name: bytes = self.info.name
        return name.decode("utf-8", "backslashreplace")

    @classmethod
    def ids(cls) -> Iterator[int]:
        """The ids of all objects of this kind at this moment. Error when the kernel won't tell (not root).

        All at once: who is slower than another process loads objects would never be at the end of them.
        """
        try:
            yield from list(bpf.ids(cls.KIND))
        except OSError as error:
            raise KernelError(f"can't get next {cls.NOUN}", error.errno or 0, status=255) from None

    @classmethod
    def all(cls, flags: int = 0) -> Iterator[Self]:
        """Every object of this kind, opened one by one; who is done with one early may close it.

        flags: how to open (BPF_F_RDONLY for maps). Objects that vanish meanwhile are skipped, and links in the making.
        """
        for id in cls.ids():
            try:
                yield cls(bpf.fd_by_id(cls.KIND, id, flags))
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.EAGAIN):
                    raise KernelError(f"can't get {cls.NOUN} by id ({id})", error.errno or 0, status=255) from None

    @classmethod
    def matching(cls, wanted: Callable[[Self], bool], flags: int = 0) -> list[Self]:
        """The objects for which `wanted` says yes, all others closed."""
        found = []
        for handle in cls.all(flags):
            if wanted(handle):
                found.append(handle)
            else:
                handle.close()
        return found

    @classmethod
    def from_id(cls, id: int, flags: int = 0) -> Self:
        """The object with this id. KernelError (ENOENT) when there is none."""
        try:
            return cls(bpf.fd_by_id(cls.KIND, id, flags))
        except OSError as error:
            raise KernelError(cls.BY_ID.format(id), error.errno or 0, status=255) from None

    @classmethod
    def from_pin(cls, path: str, flags: int = 0) -> Self:
        """The object pinned at a path on a bpffs. Error when nothing, or another kind of object, is there."""
        try:
            fd = bpf.obj_get(path, flags)
        except OSError as error:
            if error.errno == errno.EINVAL and flags:  # no link can be opened like that
                cls.from_pin(path).close()  # says which kind it is
            reason = os.strerror(error.errno or 0)
            if error.errno in (errno.EACCES, errno.EPERM) and not is_in_bpffs(path):
                reason = "directory not in bpf file system (bpffs)"
            raise Error(f"bpf obj get ({path}): {reason}") from None
        kind = kind_of(fd)
        if kind != cls.KIND:
            os.close(fd)
            raise Error(f"incorrect object type: {kind or 'unknown'}")
        return cls(fd)

    def pin(self, path: str) -> None:
        """Pin at a new path on a bpffs. KernelError with the errno of the call."""
        try:
            libbpf.call("bpf_obj_pin", self.fd, os.fsencode(path))
        except OSError as error:
            raise KernelError(f"can't pin the object ({path})", error.errno or 0) from None

    def close(self) -> None:
        """Close the descriptor; the kernel keeps an object that something else refers to."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "fd", -1) >= 0:
            self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} id={self.id} name={self.name!r}>"


def is_in_bpffs(path: str) -> bool:
    """Whether the directory of a path lies on a bpf file system, as far as we may know."""
    try:
        return proc.is_bpffs(os.path.dirname(path) or ".")
    except OSError:
        return False


def kind_of(fd: int) -> str:
    """The kind of bpf object behind a descriptor of ours, empty for anything else."""
    return LINKS.get(os.readlink(f"/proc/self/fd/{fd}"), "")
