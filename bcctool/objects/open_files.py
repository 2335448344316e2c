"""Who has certain files open, by a BPF iterator over all open files (Documentation/bpf/bpf_iterators.rst) of our own.

It compares what a file's release() is with functions of the kernel, by their BTF. Nothing is left when it has run.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from ..btf import kinds as btf_kinds
from ..errors import Error
from ..insn import asm
from ..insn.asm import R1, R2, R3, R6, R7, R8, R9, R10
from ..kernel import bpf, libbpf, perf, uapi
from .btf import VMLINUX
from .holders import PERF_EVENT, RELEASE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Self

_FIRST_PID_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO
_TRACING, _TRACE_ITER = uapi.PROG_TYPES.index("tracing"), uapi.ATTACH_TYPES.index("trace_iter")
_SEQ_WRITE = uapi.HELPERS.index("seq_write")
_SOFTWARE, _DUMMY = 1, 9  # PERF_TYPE_SOFTWARE, PERF_COUNT_SW_DUMMY
_META, _TASK, _FILE = 0, 8, 24  # the arguments of bpf_iter_task_file(), from the context on
_SEQ = 0  # in struct bpf_iter_meta
_RECORD = struct.Struct("=QQ")  # process, number of the kind
_NUMBER = 8  # where in the record
_BUFFER = 1 << 16
_MEMBER = struct.Struct("=III")  # struct btf_member: name, type, offset in bits and, for bit fields, above it a size
_OFFSET_BITS = 24


def holders(kinds: Sequence[str]) -> set[int] | None:
    """The processes with a descriptor of one of these kinds (of RELEASE). None where the kernel can't be asked.

    That is before Linux 5.8, without BTF or rights, in a pid namespace (the program does not know its numbers), and
    where the answer is wrong, as two of the kernel's functions may share a name: we hold one of each kind and must be
    in it.
    """
    fds: list[int] = []
    own = os.getpid()
    try:
        if os.readlink("/proc/self/ns/pid") != _FIRST_PID_NAMESPACE or os.readlink("/proc/self") != str(own):
            return None
        found = _run([RELEASE[kind] for kind in kinds if _open_any(kind, fds)], fds)
    except (OSError, Error):
        return None
    finally:
        for fd in reversed(fds):
            os.close(fd)
    return set().union(*found) if all(own in pids for pids in found) else None


def _open_any(kind: str, fds: list[int]) -> bool:
    """Open any object of a kind; False where there is none. OSError where we may not."""
    if kind == PERF_EVENT:
        fds.append(perf.event(_SOFTWARE, _DUMMY, 0))
        return True
    for id in bpf.ids(kind):
        try:
            fds.append(bpf.fd_by_id(kind, id))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EAGAIN):  # gone, or a link in the making
                raise
        else:
            return True
    return False


def _run(functions: Sequence[str], fds: list[int]) -> list[set[int]]:
    """By function the processes with a file that it releases; what gets opened for it goes to fds. OSError, Error."""
    target, code = _program(functions)
    opts = libbpf.opts(libbpf.prog_load_opts, expected_attach_type=_TRACE_ITER, attach_btf_id=target)
    words = (_TRACING, b"open_files", b"GPL", code, len(code) // asm.SLOT, ctypes.byref(opts))
    fds.append(libbpf.call("bpf_prog_load", *words))
    fds.append(bpf.link_create(fds[-1], 0, _TRACE_ITER))
    fds.append(libbpf.call("bpf_iter_create", fds[-1]))
    found: list[set[int]] = [set() for _ in functions]
    while True:
        try:
            data = os.read(fds[-1], _BUFFER)
        except BlockingIOError:  # a million files of which none was told of: the kernel wants to be asked again
            continue
        if not data:
            return found
        for pid, number in _RECORD.iter_unpack(data):
            found[number].add(pid)


def _program(functions: Sequence[str]) -> tuple[int, bytes]:
    """What the program is bound to, as its id in the kernel's BTF, and its instructions."""
    with _KernelTypes() as types:
        target = types.id("bpf_iter_task_file", btf_kinds.FUNC)
        ids = [types.id(name, btf_kinds.FUNC) for name in functions]
        tgid = types.offset("task_struct", "tgid")
        operations, release = types.offset("file", "f_op"), types.offset("file_operations", "release")
    size = _RECORD.size
    body = asm.load(R9, R7, operations) + asm.load(R9, R9, release)
    for number, id in enumerate(ids):
        tell = asm.load32(R1, R8, tgid) + asm.store(R10, -size, R1) + asm.store_imm(R10, -size + _NUMBER, number)
        tell += asm.load(R1, R6, _META) + asm.load(R1, R1, _SEQ) + asm.copy(R2, R10) + asm.add(R2, -size)
        tell += asm.mov(R3, size) + asm.call(_SEQ_WRITE)
        body += asm.load_function(R1, id) + asm.when_equal(R9, R1, tell)
    body = asm.load(R7, R6, _FILE) + asm.when_set(R7, body)
    return target, asm.copy(R6, R1) + asm.load(R8, R6, _TASK) + asm.when_set(R8, body) + asm.end(0)


class _KernelTypes:
    """The kernel's types by libbpf, which takes a fifth of the time of our reader to find as few as are needed here."""

    def __init__(self) -> None:
        with libbpf.Messages():
            self._handle = libbpf.function("btf__parse_raw")(VMLINUX.encode())
            if libbpf.function("libbpf_get_error")(self._handle):
                raise Error(f"libbpf can't read {VMLINUX}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        libbpf.function("btf__free")(self._handle)

    def id(self, name: str, kind: int) -> int:
        """The id of a type. OSError if there is none."""
        return libbpf.call("btf__find_by_name_kind", self._handle, name.encode(), kind)

    def offset(self, name: str, member: str) -> int:
        """Where in a struct a member is, in bytes. OSError, Error if there is none."""
        at = libbpf.function("btf__type_by_id")(self._handle, self.id(name, btf_kinds.STRUCT))
        _, info, _ = _MEMBER.unpack(ctypes.string_at(at, _MEMBER.size))
        members = ctypes.string_at(at + _MEMBER.size, (info & 0xFFFF) * _MEMBER.size)
        for name_offset, _, bits in _MEMBER.iter_unpack(members):
            if libbpf.function("btf__name_by_offset")(self._handle, name_offset) == member.encode():
                return int(bits & (1 << _OFFSET_BITS) - 1) // 8
        raise Error(f"the kernel's struct {name} has no member {member}")
