"""bpf(2) itself: ids, handles, info and queries, for which no library is needed (linux/bpf.h)."""

from __future__ import annotations

import ctypes
import errno
import os

from ..errors import KernelError, NotSupported
from . import uapi

TYPE_CHECKING = False
if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterator
    from typing import Any

_SYSCALL_NUMBERS = {
    "x86_64": 321, "aarch64": 280, "riscv64": 280, "s390x": 351, "ppc64le": 361, "loongarch64": 280, "armv7l": 386,
}  # fmt: skip
_number = ctypes.c_long(_SYSCALL_NUMBERS.get(os.uname().machine, 280))
_syscall = ctypes.CDLL(None, use_errno=True).syscall
_syscall.restype = ctypes.c_long

# kind of object → (next id, fd by id)
PROG, MAP, BTF, LINK = "prog", "map", "btf", "link"
_BY_ID = {
    PROG: (uapi.BPF_PROG_GET_NEXT_ID, uapi.BPF_PROG_GET_FD_BY_ID),
    MAP: (uapi.BPF_MAP_GET_NEXT_ID, uapi.BPF_MAP_GET_FD_BY_ID),
    BTF: (uapi.BPF_BTF_GET_NEXT_ID, uapi.BPF_BTF_GET_FD_BY_ID),
    LINK: (uapi.BPF_LINK_GET_NEXT_ID, uapi.BPF_LINK_GET_FD_BY_ID),
}
_MAP_FIXED_NOREPLACE = 0x100000
_FD_TYPE_NAMES = 4096  # a uprobe's is a path
_STREAM_PART = 1 << 16
_QUERY_PROGS = 64  # more than a hook of a network device may have, and a hook of a cgroup without those it inherits
_LSM_CGROUP = uapi.ATTACH_TYPES.index("lsm_cgroup")
_QUERY_EFFECTIVE = 1  # BPF_F_QUERY_EFFECTIVE


def bpf(cmd: int, attr: ctypes.Structure) -> int:
    """One bpf(2) call: its result, or OSError."""
    result: int = _syscall(_number, cmd, ctypes.byref(attr), ctypes.sizeof(attr))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def ids(kind: str) -> Iterator[int]:
    """The ids of all loaded objects of a kind, ascending. OSError (EPERM) when the kernel won't tell."""
    attr = uapi.attr_get_id()
    command = _BY_ID[kind][0]
    while True:
        try:
            bpf(command, attr)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return
            raise
        yield attr.next_id
        attr.start_id = attr.next_id


def fd_by_id(kind: str, id: int, flags: int = 0) -> int:
    """A new file descriptor for an object; flags: BPF_F_RDONLY for maps."""
    return bpf(_BY_ID[kind][1], uapi.attr_get_id(start_id=id, open_flags=flags))


def obj_get(path: str, flags: int = 0) -> int:
    """A new file descriptor for a pinned object."""
    name = ctypes.create_string_buffer(os.fsencode(path))
    return bpf(uapi.BPF_OBJ_GET, uapi.attr_obj(pathname=ctypes.addressof(name), file_flags=flags))


def fill_info(fd: int, info: ctypes.Structure | ctypes.Array[ctypes.c_char]) -> None:
    """Fill an info struct of the fd's kind; pass a zeroed one: kernels since 6.18 leave alone what they don't set."""
    bpf(uapi.BPF_OBJ_GET_INFO_BY_FD, uapi.attr_info(fd, ctypes.sizeof(info), ctypes.addressof(info)))


def task_fd_query(pid: int, fd: int) -> tuple[int, int, int, int, bytes]:
    """(prog id, fd type, probe offset, probe address, name) of a perf event that runs a program."""
    name = ctypes.create_string_buffer(_FD_TYPE_NAMES)
    attr = uapi.attr_task_fd_query(pid=pid, fd=fd, buf=ctypes.addressof(name), buf_len=len(name))
    bpf(uapi.BPF_TASK_FD_QUERY, attr)
    return attr.prog_id, attr.fd_type, attr.probe_offset, attr.probe_addr, name.value


def stream_parts(fd: int, stream: int) -> Iterator[bytes]:
    """What a program has written to its stream, 1 or 2, and nobody read yet. NotSupported before Linux 6.17."""
    buffer = ctypes.create_string_buffer(_STREAM_PART)
    attr = uapi.attr_prog_stream_read(
        stream_buf=ctypes.addressof(buffer), stream_buf_len=len(buffer), stream_id=stream, prog_fd=fd
    )
    while True:
        try:
            size = bpf(uapi.BPF_PROG_STREAM_READ_BY_FD, attr)
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise NotSupported("reading a program's streams", "6.17") from None
            raise KernelError("can't read the program's stream", error.errno or 0, status=255) from None
        if not size:
            return
        yield buffer.raw[:size]


def map_create(
    type: int, name: str, sizes: tuple[int, int, int], opts: ctypes.Structure, value_type_btf_obj_fd: int
) -> int:
    """A new map whose value a module describes; sizes: of key and value, number of entries; opts: libbpf's."""
    attr = uapi.attr_map_create(type, *sizes, map_name=name.encode(), value_type_btf_obj_fd=value_type_btf_obj_fd)
    for field, *_ in opts._fields_:
        if field != "sz":
            setattr(attr, field, getattr(opts, field))
    return bpf(uapi.BPF_MAP_CREATE, attr)


def prog_query(attach_type: str, target: int, links: bool = False) -> list[tuple[int, int, int, int]]:
    """(prog id, its flags, link id, its flags) of all programs at a hook, in the order in which they run.

    target: a descriptor (network namespace, cgroup) or an ifindex; links: ask for all four, which only the hooks of
    network devices answer, else just the ids. OSError: EINVAL for a hook that the kernel does not have.
    """
    attr = uapi.attr_query(target_fd=target, attach_type=uapi.ATTACH_TYPES.index(attach_type))
    fields = ("prog_ids", "prog_attach_flags", "link_ids", "link_attach_flags") if links else ("prog_ids",)
    rows = _query(attr, fields)
    rows += [[0] * attr.count] * (4 - len(rows))
    return list(zip(*rows, strict=True))


def _query(attr: uapi.attr_query, fields: tuple[str, ...]) -> list[list[int]]:
    """What BPF_PROG_QUERY fills these arrays with."""
    count = _QUERY_PROGS
    while True:
        arrays = [(ctypes.c_uint32 * count)() for _ in fields]
        for field, array in zip(fields, arrays, strict=True):
            setattr(attr, field, ctypes.addressof(array))
        attr.count = count
        try:
            bpf(uapi.BPF_PROG_QUERY, attr)
        except OSError as error:
            if error.errno != errno.ENOSPC or attr.count <= count:
                raise
            count = attr.count
            continue
        return [array[: attr.count] for array in arrays]


class CgroupQuery:
    """Asks for the programs at the hooks of cgroups: one for many questions, as its buffers are used again.

    effective: what runs for events in a cgroup, inherited or its own, of which the kernel tells no flags.
    """

    def __init__(self, effective: bool = False) -> None:
        self._effective = effective
        self._attr = uapi.attr_query(query_flags=_QUERY_EFFECTIVE if effective else 0)
        self._make_room(_QUERY_PROGS)

    def progs(self, fd: int, hook: int) -> list[tuple[int, int]]:
        """(id, flags it is attached with) of all programs at a hook, an attach type, in the order in which they run.

        OSError: EINVAL for a hook that the kernel does not have, EBADF when the descriptor is of no cgroup, ENOENT
        when the cgroup was removed.
        """
        attr = self._attr
        # The LSM's is many hooks in one, each with flags of its own.
        own_flags = hook == _LSM_CGROUP and not self._effective
        attr.prog_attach_flags = ctypes.addressof(self._flags) if own_flags else 0
        attr.target_fd, attr.attach_type, attr.attach_flags, attr.count = fd, hook, 0, len(self._ids)
        try:
            bpf(uapi.BPF_PROG_QUERY, attr)
        except OSError as error:
            if error.errno != errno.ENOSPC or attr.count <= len(self._ids):
                raise
            self._make_room(attr.count)
            return self.progs(fd, hook)
        count = attr.count
        if not count:
            return []
        flags = self._flags[:count] if own_flags else [attr.attach_flags] * count
        return list(zip(self._ids[:count], flags, strict=True))

    def _make_room(self, count: int) -> None:
        self._ids, self._flags = (ctypes.c_uint32 * count)(), (ctypes.c_uint32 * count)()
        self._attr.prog_ids = ctypes.addressof(self._ids)


def raw_tracepoint_open(prog_fd: int, name: str = "") -> int:
    """Attach a program to a raw tracepoint, or a tracing program to what it was loaded for: the link's descriptor."""
    buffer = ctypes.create_string_buffer(name.encode())
    attr = uapi.attr_raw_tracepoint(name=ctypes.addressof(buffer) if name else 0, prog_fd=prog_fd)
    return bpf(uapi.BPF_RAW_TRACEPOINT_OPEN, attr)


def link_create(prog_fd: int, target_fd: int, attach_type: int, **fields: Any) -> int:
    """Attach a program, or a struct_ops map, to a target of the attach type's kind: the link's descriptor.

    target_fd: a descriptor or an ifindex. fields: others of attr_link_create; a dict for those of a struct in it
    (`netfilter={"pf": 2}`).
    """
    attr = uapi.attr_link_create(prog_fd=prog_fd, target_fd=target_fd, attach_type=attach_type)
    for name, value in fields.items():
        if isinstance(value, dict):
            for inner, number in value.items():
                setattr(getattr(attr, name), inner, number)
        else:
            setattr(attr, name, value)
    return bpf(uapi.BPF_LINK_CREATE, attr)


def link_detach(fd: int) -> None:
    """Detach what a link attached, for all who hold it. OSError (EOPNOTSUPP) for types that can't be detached so."""
    bpf(uapi.BPF_LINK_DETACH, uapi.attr_link_detach(link_fd=fd))


def enable_stats(type: int) -> int:
    """Have the kernel count and time the runs of all programs for as long as the descriptor lives (since Linux 5.8)."""
    return bpf(uapi.BPF_ENABLE_STATS, uapi.attr_enable_stats(type=type))


def map_memory(fd: int, size: int, writable: bool) -> mmap.mmap:
    """The value of an array of one element (BPF_F_MMAPABLE) as this process's memory. OSError when it is refused."""
    import mmap

    return mmap.mmap(fd, size, prot=mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0))


def fill_arena(fd: int, address: int, size: int, contents: bytes) -> None:
    """Map an arena into this process, at the address that it was made for if any, write to its start, and unmap it.

    OSError when the place is taken. The pages that were written stay.
    """
    import mmap

    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (*(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int), ctypes.c_long)
    flags = mmap.MAP_SHARED | (_MAP_FIXED_NOREPLACE if address else 0)
    place = libc.mmap(address, size, mmap.PROT_READ | mmap.PROT_WRITE, flags, fd, 0)
    if place in (None, ctypes.c_void_p(-1).value):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    ctypes.memmove(place, contents, len(contents))
    libc.munmap(ctypes.c_void_p(place), ctypes.c_size_t(size))
