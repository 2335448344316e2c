"""Static linking, through libbpf's linker: several objects become one, as the kernel's BTF-aware `ld -r`."""

from __future__ import annotations

import ctypes
import errno
import os

from ..elf.linkable import require_linkable
from ..elf.object import ObjectFile, read_object
from ..errors import Error, KernelError, Malformed
from ..kernel import libbpf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

INVALID, NOT_SUPPORTED = -errno.EINVAL % 256, -errno.EOPNOTSUPP % 256


class LinkError(Error):
    """An input that can't be linked: `failed to link 'PATH': REASON`."""

    def __init__(self, path: str, reason: str, status: int = INVALID) -> None:
        super().__init__(f"failed to link '{path}': {reason}", status)


def link(paths: Iterable[str]) -> bytes:
    """The object that these objects make together, in the order of the paths.

    LinkError for an input that is no sound object with BTF, and for objects that contradict each other: two definitions
    of a function or a map, other types of the same name, licenses, byte orders. Its status is bpftool's.
    """
    out = _memory_file(b"")
    try:
        with libbpf.Messages() as messages:
            linker = libbpf.function("bpf_linker__new")(_path(out), None)
            if not linker:
                raise KernelError("can't create libbpf's linker", ctypes.get_errno())
            try:
                for path in paths:
                    _add(linker, path, messages)
                if error := -libbpf.function("bpf_linker__finalize")(linker):
                    raise Error(f"failed to finalize ELF file: {_reason(messages, error)}", -error % 256)
            finally:
                libbpf.function("bpf_linker__free")(linker)
        return os.pread(out, os.fstat(out).st_size, 0)
    finally:
        os.close(out)


def _add(linker: int, path: str, messages: libbpf.Messages) -> None:
    """Give an object to the linker: the very bytes that have been checked, whatever becomes of the file."""
    data = _checked(path)
    fd = _memory_file(data)
    try:
        messages.clear()
        error = -libbpf.function("bpf_linker__add_file")(linker, _path(fd), None)
        if error:
            reason = _reason(messages, error).replace(_path(fd).decode(), path)
            raise LinkError(path, reason, -error % 256)
    finally:
        os.close(fd)


def _checked(path: str) -> bytes:
    data = b""
    try:
        data = read_object(path)
        require_linkable(ObjectFile.from_bytes(data, path))
    except KernelError as error:
        raise LinkError(path, os.strerror(error.errno), -error.errno % 256) from None
    except Error as error:
        of_another_kind = data.startswith(b"\x7fELF") and not isinstance(error, Malformed)
        reason = error.message.removeprefix(f"{path}: ")
        raise LinkError(path, reason, NOT_SUPPORTED if of_another_kind else INVALID) from None
    return data


def _reason(messages: libbpf.Messages, error: int) -> str:
    """libbpf's first complaint, which its later ones only repeat from further away; else what the errno says."""
    return messages.lines[0].removesuffix(": no error") if messages.lines else os.strerror(error)


def _memory_file(data: bytes) -> int:
    fd = os.memfd_create("object")
    with open(fd, "wb", closefd=False) as file:
        file.write(data)
    return fd


def _path(fd: int) -> bytes:
    return b"/proc/self/fd/%d" % fd
