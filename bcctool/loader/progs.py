"""Program specs become programs: what the kernel has goes into the instructions, then the verifier has its say."""

from __future__ import annotations

import ctypes
import mmap
import struct
from array import array
from functools import cached_property

from ..errors import Error
from ..insn.opcodes import PSEUDO_BTF_ID, PSEUDO_KFUNC_CALL
from ..kernel import libbpf
from ..kernel.kconfig import version_code
from ..kernel.uapi import ATTACH_TYPES
from ..objects.prog import MAX_KERNEL_NAME, Prog
from . import sections
from .core import CoreRelocations, readable_log
from .externs import Resolved, resolve
from .fallbacks import takes
from .spec import SLOT, put_reference
from .targets import NO_TARGET, Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from ..btf.reader import Btf
    from ..elf.object import ObjectFile
    from ..objects.map import Map
    from .kernel_types import KernelTypes
    from .sections import Section
    from .spec import ExternRef, ProgSpec

LOG_SIZE = 16 << 20  # what the kernel writes at most
LOG_TAIL = 12  # lines of it that an error shows
DEBUG_LOG_LEVEL = 1 | 2 | 4
F_SLEEPABLE, F_XDP_HAS_FRAGS, F_XDP_DEV_BOUND_ONLY = 1 << 4, 1 << 5, 1 << 6  # BPF_F_*
PROG_FLAGS = ((sections.SLEEPABLE, F_SLEEPABLE), (sections.FRAGS, F_XDP_HAS_FRAGS))
NO_KFUNC = 2002000000
"""The helper that a call of a missing weak kernel function calls: the verifier refuses it where it is reached."""


class ProgLoader:
    """Loads the programs of one object, whose maps are there already.

    btf_fd: the object's types in the kernel, 0 without. kernel_btf: types for CO-RE other than the running kernel's.
    ifindex: of the device that programs are for, 0 for none; bound_only: they run on this machine's CPU all the same.
    """

    def __init__(
        self, obj: ObjectFile, maps: Mapping[str, Map], kernel: KernelTypes, debug: Callable[[str], object] | None
    ) -> None:
        self.obj = obj
        self.maps = maps
        self.kernel = kernel
        self.verbose = debug is not None
        self.debug = debug or _silent
        self.order = "<" if obj.byteorder == "little" else ">"
        self.btf_fd = self.ifindex = 0
        self.bound_only = False
        self.kernel_btf: Btf | None = None
        self.fd_array = array("i", [0])  # of the modules whose functions are called, from 1 on

    @cached_property
    def core(self) -> CoreRelocations:
        """What relocates against the kernel's types."""
        return CoreRelocations(self.obj, self.kernel, self.kernel_btf, self.debug)

    @cached_property
    def externs(self) -> dict[int, Resolved]:
        """What the object's undefined symbols are on this kernel, by symbol index."""
        return resolve(self.obj, self.kernel)

    @cached_property
    def log(self) -> mmap.mmap:
        """Room for the verifier's log, which takes memory only as far as it is written."""
        return mmap.mmap(-1, LOG_SIZE)

    def load(self, spec: ProgSpec, kind: Section, target: Target = NO_TARGET) -> Prog:
        """One program. Error with the end of the verifier's log when the kernel does not take it."""
        insns = bytearray(spec.insns)
        poisoned = self.core.apply(spec, insns)
        self.put_maps(spec, insns)
        for ref in spec.extern_refs:
            self.put_extern(spec, insns, ref)
        self.log[:1] = b"\0"
        opts = self.options(spec, kind, target)
        name, license = spec.name.encode()[:MAX_KERNEL_NAME], self.obj.license.encode()
        code = (ctypes.c_char * len(insns)).from_buffer(insns)
        try:
            fd = libbpf.call(
                "bpf_prog_load", kind.prog_type_number, name, license, code, spec.insn_cnt, ctypes.byref(opts)
            )
        except OSError as error:
            raise self.refused(spec, error, readable_log(self.log_text(), poisoned)) from None
        prog = Prog(fd)
        self.debug(f"program '{spec.name}': {spec.insn_cnt} instructions, id {prog.id}")
        if self.verbose:
            self.debug(self.log_text())
        return prog

    def put_maps(self, spec: ProgSpec, insns: bytearray) -> None:
        """Put the maps' descriptors in, and the offsets of what is in them."""
        for ref in spec.map_refs:
            put_reference(insns, ref.index, ref.pseudo, self.maps[ref.map.name].fd, self.order)
            struct.pack_into(self.order + "I", insns, (ref.index + 1) * SLOT + 4, ref.offset)
            self.debug(f"program '{spec.name}': instruction {ref.index} refers to map '{ref.map.name}'")

    def put_extern(self, spec: ProgSpec, insns: bytearray, ref: ExternRef) -> None:
        """Put what belongs to the kernel in: a function to be called, or the address of something."""
        found = self.externs.get(ref.extern.symbol)
        if found is None or ref.is_call != (found.kind == "function" and ref.is_call):
            what = "no function" if found else "declared nowhere that a loader knows (__ksym, __kconfig)"
            raise Error(f"{self.obj.path}: program '{spec.name}' uses '{ref.extern.name}', which is {what}")
        src, low, high = 0, found.address & 0xFFFFFFFF, found.address >> 32
        fd = found.source.fd if found.source else 0
        if ref.is_call:
            src, low = (PSEUDO_KFUNC_CALL, found.btf_id) if found.found else (0, NO_KFUNC + ref.extern.symbol)
            struct.pack_into(self.order + "h", insns, ref.index * SLOT + 2, self.fd_index(fd) if found.found else 0)
        elif found.kind != "address" and found.found:
            src, low, high = PSEUDO_BTF_ID, found.btf_id, fd
        put_reference(insns, ref.index, src, low - (low >> 31 << 32), self.order)
        if not ref.is_call:
            struct.pack_into(self.order + "I", insns, (ref.index + 1) * SLOT + 4, high)
        state = f"type [{found.btf_id}]" if found.btf_id else f"{found.address:#x}" if found.found else "missing"
        self.debug(f"program '{spec.name}': instruction {ref.index} refers to the kernel's {ref.extern.name}: {state}")

    def fd_index(self, fd: int) -> int:
        """The place of a module's BTF object among those given with the program; 0 stands for vmlinux."""
        if fd and fd not in self.fd_array:
            self.fd_array.append(fd)
        return self.fd_array.index(fd)

    def options(self, spec: ProgSpec, kind: Section, target: Target) -> ctypes.Structure:
        """The options of bpf_prog_load()."""
        fields: dict[str, Any] = {
            "log_buf": ctypes.addressof(ctypes.c_char.from_buffer(self.log)),
            "log_size": LOG_SIZE,
            "log_level": DEBUG_LOG_LEVEL if self.verbose else 0,
            "expected_attach_type": attach_type(kind) if target.attach_type is None else target.attach_type,
            "attach_btf_id": target.btf_id,
            "kern_version": self.obj.version or version_code(),
            "prog_flags": sum(value for flag, value in PROG_FLAGS if kind.flags & flag),
            "prog_ifindex": self.ifindex,
        }
        if self.bound_only and kind.prog_type == "xdp":
            fields["prog_flags"] |= F_XDP_DEV_BOUND_ONLY
        if target.prog_fd:
            fields["attach_prog_fd"] = target.prog_fd
        elif target.btf_fd:
            fields["attach_btf_obj_fd"] = target.btf_fd
        if len(self.fd_array) > 1:
            fields["fd_array"] = self.fd_array.buffer_info()[0]
        if self.btf_fd and spec.func_info:
            fields |= {
                "prog_btf_fd": self.btf_fd,
                "func_info": bytes(spec.func_info),
                "func_info_rec_size": spec.func_info_rec_size,
                "func_info_cnt": len(spec.func_info) // spec.func_info_rec_size,
                "line_info": bytes(spec.line_info),
                "line_info_rec_size": spec.line_info_rec_size,
                "line_info_cnt": len(spec.line_info) // spec.line_info_rec_size,
            }
        return libbpf.opts(libbpf.prog_load_opts, **fields)

    def log_text(self) -> str:
        end = self.log.find(b"\0")
        return self.log[: max(0, end)].decode("utf-8", "replace")

    def refused(self, spec: ProgSpec, error: OSError, log: str) -> Error:
        """The error for a program that the kernel did not take, with the end of the verifier's log."""
        lines = log.rstrip("\n").split("\n") if log else []
        tail = lines[-LOG_TAIL:]
        if len(tail) < len(lines):
            tail.insert(0, f"... ({len(lines) - len(tail)} lines of the verifier's log left out, -d shows all)")
        message = f"{self.obj.path}: can't load program '{spec.name}' (section {spec.section}): {error.strerror}"
        return Error(message, detail="\n".join(tail))


def attach_type(kind: Section) -> int:
    """The number of a section's attach type; USDT probes are attached by one link for all places where there is one."""
    if kind.prefix.startswith("usdt") and takes("uprobe_multi"):
        return ATTACH_TYPES.index("trace_uprobe_multi")
    return kind.attach_type_number


def _silent(line: str) -> None:
    pass
