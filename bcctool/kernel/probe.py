"""What the kernel takes: small programs and maps are offered to it and not kept (linux/bpf.h, libbpf's probes)."""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from . import bpf, libbpf, uapi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterable, Sequence
    from typing import Any

    from .proc import KernelSymbols

_SLEEPABLE = 1 << 4  # BPF_F_SLEEPABLE, a macro in linux/bpf.h
_LICENSE = b"GPL"
_NO_FD = 0xFFFFFFFF
_SYSCALL_PREFIXES = {
    "x86_64": "x64", "i686": "ia32", "aarch64": "arm64", "armv7l": "arm", "s390x": "s390x", "riscv64": "riscv",
    "ppc64le": "powerpc", "mips64": "mips",
}  # fmt: skip


def insn(code: int, registers: int = 0, off: int = 0, imm: int = 0) -> bytes:
    """One instruction; registers: source << 4 | destination."""
    return struct.pack("=BBhi", code, registers, off, imm)


MOV, MOV_REG, SUB, JNE, JLT, JLT32, CALL, EXIT = 0xB7, 0xBF, 0x17, 0x55, 0xA5, 0xA6, 0x85, 0x95  # all about r0
_EXIT = insn(EXIT)
# Ends in an error whether the helper is there or not: nothing gets compiled, no descriptor has to be closed.
_CALL = insn(CALL) + insn(MOV_REG, registers=0x90) + _EXIT  # r9 has no value
_CALL_IMM = 4  # where the helper's number stands, in bytes
# What else a program of a type needs to be looked at.
_PROG_OPTS: dict[str, dict[str, int]] = {
    "cgroup_sock_addr": {"expected_attach_type": uapi.ATTACH_TYPES.index("cgroup_inet4_connect")},
    "lirc_mode2": {"expected_attach_type": uapi.ATTACH_TYPES.index("lirc_mode2")},
    "cgroup_sockopt": {"expected_attach_type": uapi.ATTACH_TYPES.index("cgroup_getsockopt")},
    "sk_lookup": {"expected_attach_type": uapi.ATTACH_TYPES.index("sk_lookup")},
    "syscall": {"prog_flags": _SLEEPABLE},
    "netfilter": {"expected_attach_type": uapi.ATTACH_TYPES.index("netfilter")},
}
NEED_TARGET = frozenset(("tracing", "struct_ops", "ext", "lsm"))
"""Program types whose helpers depend on what in the kernel the program is for, so that no list is true of the type."""

# Maps newer than libbpf 1.0: key size, value size, entries, flags, whether key and value need types.
_MAPS = {
    "cgrp_storage": (4, 4, 0, uapi.BPF_F_NO_PREALLOC, True),
    "arena": (0, 0, 1, uapi.BPF_F_MMAPABLE, False),
}
_MAP = (4, 4, 1, 0, False)
# BTF with one type, int.
_INT_BTF = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, 16, 16, 5) + struct.pack("<IIII", 1, 1 << 24, 4, 32 | 1 << 24)
_INT_BTF += b"\0int\0"

FEATURES = {
    "large_insn_limit": insn(MOV, imm=1) * 4096 + _EXIT,
    "bounded_loops": insn(MOV, imm=10) + insn(SUB, imm=1) + insn(JNE, off=-2) + _EXIT,
    "v2_isa_extension": insn(MOV) + insn(JLT, off=1) + insn(MOV, imm=1) + _EXIT,
    "v3_isa_extension": insn(MOV) + insn(JLT32, off=1) + insn(MOV, imm=1) + _EXIT,
    "v4_isa_extension": insn(MOV) + insn(MOV_REG, off=8) + _EXIT,  # off: from so many bits the sign is extended
}
"""Socket filters that only a verifier with the feature takes."""

_LOG_SIZE = 4096
_LOG_LEVELS = (4, 1)  # errors only, which is less to write; every step, which kernels before 5.2 need for the errors
# How the verifier says that a program may not call a helper: the first in Linux 6.1, the last in 6.12, and the second
# of numbers that are too high.
_REFUSALS = (b"unknown func ", b"invalid func ", b"program of this type cannot use helper ")


def require_libbpf() -> None:
    """Error unless there is a libbpf that can be asked."""
    libbpf.function("libbpf_probe_bpf_prog_type")


def has_syscall() -> bool:
    """Whether the kernel has bpf(2)."""
    try:
        bpf.bpf(uapi.BPF_PROG_LOAD, uapi.attr_get_id())
    except OSError as error:
        return error.errno != errno.ENOSYS
    return True


def _accepted(function: str, *args: Any) -> bool:
    """Whether a function of libbpf that makes a descriptor succeeds; it is closed at once."""
    try:
        os.close(libbpf.call(function, *args))
    except OSError:
        return False
    return True


def prog_type(name: str, ifindex: int = 0) -> bool:
    """Whether the kernel, or the driver of a network device, takes programs of a type."""
    number = uapi.PROG_TYPES.index(name)
    if not ifindex:
        known: int = libbpf.function("libbpf_probe_bpf_prog_type")(number, None)
        if known >= 0:
            return bool(known)
    return _takes(name, insn(MOV, imm=2 if ifindex else 1) + _EXIT, ifindex)  # 2: pass the packet; drivers may insist


def feature(name: str, ifindex: int = 0) -> bool:
    """Whether the verifier has one of FEATURES."""
    return _takes("socket_filter", FEATURES[name], ifindex)


def _takes(type: str, insns: bytes, ifindex: int) -> bool:
    opts = libbpf.opts(libbpf.prog_load_opts, prog_ifindex=ifindex, **_PROG_OPTS.get(type, {}))
    number = uapi.PROG_TYPES.index(type)
    return _accepted("bpf_prog_load", number, None, _LICENSE, insns, len(insns) // 8, ctypes.byref(opts))


def map_type(name: str, ifindex: int = 0) -> bool:
    """Whether the kernel, or the driver of a network device, makes maps of a type."""
    number = uapi.MAP_TYPES.index(name)
    if not ifindex:
        known: int = libbpf.function("libbpf_probe_bpf_map_type")(number, None)
        if known >= 0:
            return bool(known)
    key_size, value_size, entries, flags, typed = _MAPS.get(name, _MAP)
    opts = libbpf.opts(libbpf.map_create_opts, map_flags=flags, map_ifindex=ifindex)
    try:
        if typed:
            opts.btf_fd = libbpf.call("bpf_btf_load", _INT_BTF, len(_INT_BTF), None)
            opts.btf_key_type_id = opts.btf_value_type_id = 1
        return _accepted("bpf_map_create", number, None, key_size, value_size, entries, ctypes.byref(opts))
    except OSError:
        return False
    finally:
        if opts.btf_fd:
            os.close(opts.btf_fd)


def perf_cookie() -> bool:
    """Whether links of perf events carry a cookie: then the kernel looks at the event before it says no."""
    code = insn(MOV) + _EXIT
    try:
        prog = libbpf.call("bpf_prog_load", uapi.PROG_TYPES.index("tracepoint"), None, _LICENSE, code, 2, None)
    except OSError:
        return False
    try:
        os.close(bpf.link_create(prog, _NO_FD, uapi.ATTACH_TYPES.index("perf_event")))
    except OSError as error:
        return error.errno == errno.EBADF
    finally:
        os.close(prog)
    return True


def syscall_wrapper(symbols: KernelSymbols) -> bool:
    """Whether system calls are functions of the architecture's own (`__x64_sys_bpf`) that take the registers."""
    prefix = _SYSCALL_PREFIXES.get(os.uname().machine)
    return bool(prefix and symbols.addresses(f"__{prefix}_sys_bpf"))


def syscall_function(symbols: KernelSymbols, name: str) -> str:
    """The kernel's function of a system call, the outermost that there is; empty without any."""
    prefix = _SYSCALL_PREFIXES.get(os.uname().machine)
    for function in ([f"__{prefix}_sys_{name}"] if prefix else []) + [f"__se_sys_{name}", f"sys_{name}"]:
        if symbols.addresses(function):
            return function
    return ""


def helpers(type: str, without: Collection[str] = (), ifindex: int = 0) -> list[str]:
    """The helpers that programs of a type may call: those of uapi.HELPERS but the ones in `without`.

    This takes a load for each, and thousands for all types, so the loads share their buffers.
    """
    numbers = [number for number, name in enumerate(uapi.HELPERS) if number and name not in without]
    for level in _LOG_LEVELS:
        found = _callable(type, numbers, ifindex, level)
        if found:
            break
    return [uapi.HELPERS[number] for number in found]


def _callable(type: str, numbers: Iterable[int], ifindex: int, log_level: int) -> list[int]:
    """The helpers, of these, whose call is not what the verifier complains about."""
    first, second, third = _REFUSALS
    insns = ctypes.create_string_buffer(_CALL, len(_CALL))
    imm = ctypes.c_int32.from_buffer(insns, _CALL_IMM)
    log = ctypes.create_string_buffer(_LOG_SIZE)
    opts = libbpf.opts(libbpf.prog_load_opts, prog_ifindex=ifindex, **_PROG_OPTS.get(type, {}))
    opts.log_level, opts.log_size, opts.log_buf = log_level, _LOG_SIZE, ctypes.addressof(log)
    load = libbpf.function("bpf_prog_load")
    args = uapi.PROG_TYPES.index(type), None, _LICENSE, insns, len(_CALL) // 8, ctypes.addressof(opts)
    found = []
    for number in numbers:
        imm.value = number
        log[0] = b"\0"
        load(*args)
        said = log.value
        if said and first not in said and second not in said and third not in said:
            found.append(number)
    return found


def helpers_of(
    types: Sequence[str], without: Collection[str] = (), ifindex: int = 0
) -> Generator[tuple[str, list[str]], None, None]:
    """(type, helpers) for each type in turn. A second process asks about every other one: it takes a third less time.

    (A second thread gains nothing: the loads are too short for the interpreter lock to be passed on in between.)
    """
    reader, writer = os.pipe()
    try:
        child = os.fork() if len(types) > 1 else -1
    except OSError:
        child = -1  # no process is to be had: all is asked here
    if not child:
        try:
            os.close(reader)
            for type in types[1::2]:
                os.write(writer, " ".join(helpers(type, without, ifindex)).encode() + b"\n")
        finally:
            os._exit(0)
    os.close(writer)
    try:
        with open(reader, "rb") as answers:
            for number, type in enumerate(types):
                answer = answers.readline() if number % 2 else b""
                # No line: the process is gone before its time.
                yield type, answer.decode().split() if answer[-1:] == b"\n" else helpers(type, without, ifindex)
    finally:
        if child > 0:
            os.waitpid(child, 0)
