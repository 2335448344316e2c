"""libbpf.so.1 by ctypes: loading, map access, pins, XDP and the BTF printer (libbpf's bpf.h and btf.h)."""

from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, Structure, c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p

from ..errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

LIBRARIES = ("libbpf.so.1", "libbcc_bpf.so.0", "libbcc.so.0")
"""Where the functions are looked for; a BCC that bundles libbpf exports its system call wrappers too."""

# function → result, arguments
FUNCTIONS: dict[str, tuple[Any, Sequence[Any]]] = {
    "bpf_map_create": (c_int, (c_int, c_char_p, c_uint32, c_uint32, c_uint32, c_void_p)),
    "bpf_map_lookup_elem": (c_int, (c_int, c_void_p, c_void_p)),
    "bpf_map_update_elem": (c_int, (c_int, c_void_p, c_void_p, c_uint64)),
    "bpf_map_delete_elem": (c_int, (c_int, c_void_p)),
    "bpf_map_get_next_key": (c_int, (c_int, c_void_p, c_void_p)),
    "bpf_map_lookup_and_delete_elem": (c_int, (c_int, c_void_p, c_void_p)),
    "bpf_map_lookup_batch": (c_int, (c_int, c_void_p, c_void_p, c_void_p, c_void_p, POINTER(c_uint32), c_void_p)),
    "bpf_map_lookup_and_delete_batch": (
        c_int, (c_int, c_void_p, c_void_p, c_void_p, c_void_p, POINTER(c_uint32), c_void_p),
    ),
    "bpf_map_update_batch": (c_int, (c_int, c_void_p, c_void_p, POINTER(c_uint32), c_void_p)),
    "bpf_map_freeze": (c_int, (c_int,)),
    "bpf_obj_pin": (c_int, (c_int, c_char_p)),
    "bpf_btf_load": (c_int, (c_char_p, c_size_t, c_void_p)),
    "bpf_prog_load": (c_int, (c_int, c_char_p, c_char_p, c_void_p, c_size_t, c_void_p)),
    "bpf_iter_create": (c_int, (c_int,)),
    "bpf_prog_attach": (c_int, (c_int, c_int, c_int, c_uint32)),
    "bpf_prog_detach": (c_int, (c_int, c_int)),
    "bpf_prog_detach2": (c_int, (c_int, c_int, c_int)),
    "bpf_xdp_attach": (c_int, (c_int, c_int, c_uint32, c_void_p)),
    "bpf_xdp_query_id": (c_int, (c_int, c_int, POINTER(c_uint32))),
    "btf__new": (c_void_p, (c_char_p, c_uint32)),
    "btf__new_split": (c_void_p, (c_char_p, c_uint32, c_void_p)),
    "btf__parse_raw": (c_void_p, (c_char_p,)),
    "btf__find_by_name_kind": (c_int, (c_void_p, c_char_p, c_uint32)),
    "btf__type_by_id": (c_void_p, (c_void_p, c_uint32)),
    "btf__name_by_offset": (c_char_p, (c_void_p, c_uint32)),
    "btf__free": (None, (c_void_p,)),
    "btf_dump__new": (c_void_p, (c_void_p, c_void_p, c_void_p, c_void_p)),
    "btf_dump__free": (None, (c_void_p,)),
    "btf_dump__dump_type": (c_int, (c_void_p, c_uint32)),
    "btf_dump__emit_type_decl": (c_int, (c_void_p, c_uint32, c_void_p)),
    "bpf_prog_test_run_opts": (c_int, (c_int, c_void_p)),
    "bpf_linker__new": (c_void_p, (c_char_p, c_void_p)),
    "bpf_linker__add_file": (c_int, (c_void_p, c_char_p, c_void_p)),
    "bpf_linker__finalize": (c_int, (c_void_p,)),
    "bpf_linker__free": (None, (c_void_p,)),
    "bpf_object__open_mem": (c_void_p, (c_char_p, c_size_t, c_void_p)),
    "bpf_object__gen_loader": (c_int, (c_void_p, c_void_p)),
    "bpf_object__load": (c_int, (c_void_p,)),
    "bpf_object__close": (None, (c_void_p,)),
    "libbpf_set_print": (c_void_p, (c_void_p,)),
    "libbpf_probe_bpf_prog_type": (c_int, (c_int, c_void_p)),
    "libbpf_probe_bpf_map_type": (c_int, (c_int, c_void_p)),
    "libbpf_major_version": (c_uint32, ()),
    "libbpf_minor_version": (c_uint32, ()),
    "libbpf_get_error": (ctypes.c_long, (c_void_p,)),
}


class map_create_opts(Structure):
    _fields_ = (
        ("sz", c_size_t),
        ("btf_fd", c_uint32),
        ("btf_key_type_id", c_uint32),
        ("btf_value_type_id", c_uint32),
        ("btf_vmlinux_value_type_id", c_uint32),
        ("inner_map_fd", c_uint32),
        ("map_flags", c_uint32),
        ("map_extra", c_uint64),
        ("numa_node", c_uint32),
        ("map_ifindex", c_uint32),
    )


class prog_load_opts(Structure):
    _fields_ = (
        ("sz", c_size_t),
        ("attempts", c_int),
        ("expected_attach_type", c_int),
        ("prog_btf_fd", c_uint32),
        ("prog_flags", c_uint32),
        ("prog_ifindex", c_uint32),
        ("kern_version", c_uint32),
        ("attach_btf_id", c_uint32),
        ("attach_prog_fd", c_uint32),
        ("attach_btf_obj_fd", c_uint32),
        ("fd_array", c_void_p),
        ("func_info", c_char_p),
        ("func_info_cnt", c_uint32),
        ("func_info_rec_size", c_uint32),
        ("line_info", c_char_p),
        ("line_info_cnt", c_uint32),
        ("line_info_rec_size", c_uint32),
        ("log_level", c_uint32),
        ("log_size", c_uint32),
        ("log_buf", c_void_p),
    )


class btf_load_opts(Structure):
    _fields_ = (
        ("sz", c_size_t),
        ("log_buf", c_void_p),
        ("log_level", c_uint32),
        ("log_size", c_uint32),
    )


class test_run_opts(Structure):
    _fields_ = (
        ("sz", c_size_t),
        ("data_in", c_char_p),
        ("data_out", c_void_p),
        ("data_size_in", c_uint32),
        ("data_size_out", c_uint32),
        ("ctx_in", c_void_p),
        ("ctx_out", c_void_p),
        ("ctx_size_in", c_uint32),
        ("ctx_size_out", c_uint32),
        ("retval", c_uint32),
        ("repeat", c_int),
        ("duration", c_uint32),
        ("flags", c_uint32),
        ("cpu", c_uint32),
        ("batch_size", c_uint32),
    )


class xdp_attach_opts(Structure):
    _fields_ = (
        ("sz", c_size_t),
        ("old_prog_fd", c_int),
    )


_functions: dict[str, Any] = {}
_handles: list[ctypes.CDLL] = []


def function(name: str) -> Any:
    """A row of FUNCTIONS as a ctypes function, from the first library that has it. Error when none does."""
    found = _functions.get(name)
    if found is None:
        if not _handles:
            _handles.extend(_open())
        symbol = next((getattr(handle, name) for handle in _handles if hasattr(handle, name)), None)
        if symbol is None:
            raise Error(f"no libbpf with {name}() found (looked for {', '.join(LIBRARIES)}): install libbpf1")
        symbol.restype, symbol.argtypes = FUNCTIONS[name]
        found = _functions[name] = symbol
    return found


def _open() -> list[ctypes.CDLL]:
    """The first library that is there: all of a process's calls should meet the same libbpf."""
    for name in LIBRARIES:
        try:
            return [ctypes.CDLL(name, use_errno=True)]
        except OSError:
            continue
    raise Error(f"no libbpf found (looked for {', '.join(LIBRARIES)}): install libbpf1")


def call(name: str, *args: Any) -> int:
    """A function that returns a negative errno on failure: its result, or OSError."""
    result: int = function(name)(*args)
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return result


def opts(struct: type[Structure], **fields: Any) -> Structure:
    """An options struct with its size filled in."""
    return struct(sz=ctypes.sizeof(struct), **fields)


class Messages:
    """Collects in `lines` what libbpf complains about while the block runs, instead of printing it on stderr."""

    WARN = 0  # enum libbpf_print_level
    LENGTH = 1024

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._callback = ctypes.CFUNCTYPE(c_int, c_int, c_void_p, c_void_p)(self._take)
        self._vsnprintf = ctypes.CDLL(None).vsnprintf
        self._vsnprintf.argtypes = (c_char_p, c_size_t, c_void_p, c_void_p)

    def _take(self, level: int, format: int, arguments: int) -> int:
        if level == self.WARN:
            text = ctypes.create_string_buffer(self.LENGTH)
            self._vsnprintf(text, self.LENGTH, format, arguments)  # a va_list is passed on as a pointer
            self.lines += text.value.decode("utf-8", "backslashreplace").removeprefix("libbpf: ").splitlines()
        return 0

    def clear(self) -> None:
        """Forget what there was."""
        self.lines.clear()

    def __enter__(self) -> Messages:
        self._before = function("libbpf_set_print")(ctypes.cast(self._callback, c_void_p))
        return self

    def __exit__(self, *_: object) -> None:
        function("libbpf_set_print")(self._before)


def version() -> str:
    """The library's version as bpftool prints it, "1.1"; empty when only BCC's copy is there."""
    try:
        return f"{function('libbpf_major_version')()}.{function('libbpf_minor_version')()}"
    except Error:
        return ""
