"""Attaching to functions of programs and libraries, one or many at once (Documentation/trace/uprobetracer.rst)."""

from __future__ import annotations

import ctypes
import errno
import os
import sysconfig

from ..elf.native import NativeElf
from ..verbs import parse_number
from .attach_kprobes import MULTI_RETURN, at_probe, function_and_offset, is_return

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..objects.link import Link
    from .attachment import Links, Request

ELF_MAGIC = b"\x7fELF"


def uprobe(request: Request) -> Link | Links:
    """`uprobe/FILE:FUNCTION[+OFFSET]`, `uretprobe/FILE:FUNCTION`; FUNCTION may be an offset in the file, 0xN."""
    path, function = path_and_name(request)
    name, offset = function_and_offset(request, function)
    start = parse_number(name)
    if start is None:
        with request.reading(), NativeElf(path) as elf:
            start = elf.function_offset(name)
    try:
        return at_probe(request, "uprobe", [(path, start + offset, 0)])
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise request.error(f"there is no instruction at {start + offset:#x} in {path}") from None


def uprobe_multi(request: Request) -> Link:
    """`uprobe.multi/FILE:PATTERN`, `uretprobe.multi/…`, `uprobe.session/…`: one link for all functions that match."""
    path, pattern = path_and_name(request)
    with request.reading(), NativeElf(path) as elf:
        offsets = elf.function_offsets(pattern)
    session = request.row.prefix.startswith("uprobe.session")
    try:
        return multi_link(request, path, offsets, attach_type=f"trace_uprobe_{'session' if session else 'multi'}")
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise
        since = "6.13" if session else "6.6"
        raise request.error(f"this kernel refuses it: can it do such links (since Linux {since})?") from None


def multi_link(
    request: Request,
    path: str,
    offsets: list[int],
    semaphores: list[int] | None = None,
    cookies: list[int] | None = None,
    attach_type: str = "trace_uprobe_multi",
) -> Link:
    """One link for many offsets in a file, with the offset of a semaphore and a cookie for each. OSError if refused."""
    name = ctypes.create_string_buffer(os.fsencode(path))
    fields = {
        "path": ctypes.addressof(name),
        "cnt": len(offsets),
        "flags": MULTI_RETURN if is_return(request) else 0,
    }
    arrays = []  # alive until the kernel has read them
    for field, values in (("offsets", offsets), ("ref_ctr_offsets", semaphores), ("cookies", cookies)):
        if values and any(values):
            arrays.append((ctypes.c_uint64 * len(values))(*values))
            fields[field] = ctypes.addressof(arrays[-1])
    return request.link(0, attach_type, uprobe_multi=fields)


def path_and_name(request: Request) -> tuple[str, str]:
    """The file, and what follows the colon, of `libc.so.6:malloc`. Error when there is no such file."""
    file, colon, name = request.place.partition(":")
    if not file or not colon or not name:
        raise request.error(f"'{request.place}' is no file and function: it has to be FILE:FUNCTION")
    return find_file(request, file), name


def find_file(request: Request, name: str) -> str:
    """The path of a program or library; one without a slash is searched for.

    A library (`libc.so.6`) where the dynamic linker looks, a program on PATH; `libc` may be any version of it.
    """
    if "/" in name:
        return os.path.abspath(name)
    for path in _candidates(name):
        if os.path.isfile(path) and _is_elf(path):  # /lib has texts for the linker among the libraries
            return path
    raise request.error(f"there is no program or library '{name}': give its path")


def _candidates(name: str) -> Iterator[str]:
    libraries = [*_environment("LD_LIBRARY_PATH"), *_library_directories()]
    if ".so" in name:
        yield from (os.path.join(directory, name) for directory in libraries)
        return
    yield from (os.path.join(directory, name) for directory in [*_environment("PATH"), "/usr/bin", "/usr/sbin"])
    for directory in libraries if name.startswith("lib") else ():
        try:
            found = [entry for entry in os.listdir(directory) if entry.startswith(f"{name}.so")]
        except OSError:
            continue
        yield from (os.path.join(directory, entry) for entry in sorted(found, key=len))


def _environment(name: str) -> list[str]:
    return [directory for directory in os.environ.get(name, "").split(":") if directory]


def _library_directories() -> list[str]:
    multiarch = sysconfig.get_config_var("MULTIARCH") or f"{os.uname().machine}-linux-gnu"
    return [f"{top}/{part}" for top in ("/lib", "/usr/lib") for part in (multiarch, "")] + ["/lib64", "/usr/lib64"]


def _is_elf(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(4) == ELF_MAGIC
    except OSError:
        return False
