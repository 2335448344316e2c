"""Loader programs (`-L`): libbpf turns an object into a BPF program that creates its maps and loads its programs.

What it takes and leaves in its context is in libbpf's skel_internal.h.
"""

from __future__ import annotations

import ctypes
import os
import struct

from ..elf.linkable import require_linkable
from ..errors import Error, KernelError
from ..escapes import printable
from ..kernel import libbpf, uapi
from ..objects.map import Map
from ..objects.prog import Prog
from .spec import Linker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..elf.object import ObjectFile

STRUCT_OPS = uapi.MAP_TYPES.index("struct_ops")
LICENSE = b"Dual BSD/GPL"
SYSCALL_PROG, SLEEPABLE = 31, 1 << 4  # BPF_PROG_TYPE_SYSCALL, BPF_F_SLEEPABLE
CONTEXT = struct.Struct("=IIIIQ")  # sz, flags, log_level, log_size, log_buf
MAP_DESC = struct.Struct("=iIQ")  # map_fd, max_entries, initial_value
PROG_DESC = struct.Struct("=i")
LOG_SIZE = 1 << 20
LOG_LEVEL = 1 | 2 | 4


class _OpenOpts(ctypes.Structure):
    """The head of struct bpf_object_open_opts."""

    _fields_ = (("sz", ctypes.c_size_t), ("object_name", ctypes.c_char_p))


class _GenLoaderOpts(ctypes.Structure):
    """struct gen_loader_opts."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("data", ctypes.c_void_p),
        ("insns", ctypes.c_void_p),
        ("data_sz", ctypes.c_uint32),
        ("insns_sz", ctypes.c_uint32),
    )


class LoaderProgram:
    """insns: the program's instructions; data: what it keeps in its map; both as libbpf wrote them."""

    def __init__(self, insns: bytes, data: bytes) -> None:
        self.insns = insns
        self.data = data


def generate(obj: ObjectFile, name: str = "") -> LoaderProgram:
    """The loader program of an object, which calls maps of global data after `name` (the object's own).

    Error for an object that libbpf does not take, with its reason.
    """
    require_linkable(obj)
    tables = [map_.name for map_ in obj.maps if map_.type == STRUCT_OPS]
    if tables:  # libbpf 1.1 crashes
        what = f"map '{printable(tables[0])}': a loader program can't make struct_ops maps"
        raise Error(f"{obj.path}: {what}: load it without --use-loader")
    linker = Linker(obj)
    for prog in obj.progs:
        linker.spec(prog)
    data = bytes(obj.elf.data)
    opts = libbpf.opts(_OpenOpts, object_name=(name or obj.name).encode())
    with libbpf.Messages() as messages:
        handle = libbpf.function("bpf_object__open_mem")(data, len(data), ctypes.byref(opts))
        if not handle:
            raise _failed(obj, "open", ctypes.get_errno(), messages)
        try:
            made = libbpf.opts(_GenLoaderOpts)
            for name, words in (("bpf_object__gen_loader", (ctypes.byref(made),)), ("bpf_object__load", ())):
                result = libbpf.function(name)(handle, *words)
                if result < 0:
                    raise _failed(obj, "make a loader program of", -result, messages)
            return LoaderProgram(ctypes.string_at(made.insns, made.insns_sz), ctypes.string_at(made.data, made.data_sz))
        finally:
            libbpf.function("bpf_object__close")(handle)


def _failed(obj: ObjectFile, what: str, errno: int, messages: libbpf.Messages) -> Error:
    reason = messages.lines[0].removesuffix(": no error") if messages.lines else os.strerror(errno)
    return Error(f"{obj.path}: libbpf can't {what} it: {reason}", -errno % 256)


def run(obj: ObjectFile, debug: bool = False) -> tuple[LoaderProgram, str]:
    """Load an object by its loader program; what it makes ends with it. (the program, the log if `debug`).

    Error when the kernel refuses the loader, or the loader one of its steps; its status is 256 - errno.
    """
    program = generate(obj)
    log = ctypes.create_string_buffer(LOG_SIZE if debug else 1)
    descs = MAP_DESC.size * len(obj.maps) + PROG_DESC.size * len(obj.progs)
    words = (LOG_LEVEL, len(log), ctypes.addressof(log)) if debug else (0, 0, 0)
    context = CONTEXT.pack(CONTEXT.size + descs, 0, *words) + bytes(descs)
    with Map.create("array", 4, len(program.data), 1, "__loader.map") as map_:
        map_.update(bytes(4), program.data, 0)
        with _load(obj, program, map_) as loader:
            try:
                result = loader.test_run(ctx=context)
            except KernelError as error:
                raise KernelError(f"{obj.path}: failed to execute loader prog", error.errno) from None
    _close(result.ctx, len(obj.maps), len(obj.progs))
    errno = -(result.retval - (result.retval >> 31 << 32))
    if errno > 0:
        hint = "" if debug else ": -d shows the verifier's log"
        raise Error(f"{obj.path}: failed to execute loader prog: {os.strerror(errno)}{hint}", -errno % 256)
    return program, log.value.decode("utf-8", "replace")


def _load(obj: ObjectFile, program: LoaderProgram, map_: Map) -> Prog:
    fds = (ctypes.c_int * 1)(map_.fd)
    opts = libbpf.opts(libbpf.prog_load_opts, prog_flags=SLEEPABLE, fd_array=ctypes.addressof(fds))
    code = ctypes.create_string_buffer(program.insns, len(program.insns))
    try:
        count = len(program.insns) // 8
        return Prog(
            libbpf.call("bpf_prog_load", SYSCALL_PROG, b"__loader.prog", LICENSE, code, count, ctypes.byref(opts))
        )
    except OSError as error:
        raise KernelError(f"{obj.path}: failed to load loader prog", error.errno or 0) from None


def _close(context: bytes, nr_maps: int, nr_progs: int) -> None:
    """Close the descriptors that the loader left in its context."""
    maps_end = CONTEXT.size + nr_maps * MAP_DESC.size
    fds = [fd for fd, _, _ in MAP_DESC.iter_unpack(context[CONTEXT.size : maps_end])]
    fds += [fd for (fd,) in PROG_DESC.iter_unpack(context[maps_end : maps_end + nr_progs * PROG_DESC.size])]
    for fd in fds:
        if fd > 0:
            os.close(fd)
