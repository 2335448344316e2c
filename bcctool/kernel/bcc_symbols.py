"""Functions of processes by address, through BCC's symbol cache in libbcc_bpf (bcc_syms.h)."""

from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, Structure, c_char_p, c_int, c_ubyte, c_uint32, c_uint64, c_void_p

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

LIBRARIES = ("libbcc_bpf.so.0", "libbcc.so.0")
MAX_PID = 0x7FFFFFFF
BUILD_ID_SIZE = 20
MAX_CACHES = 32  # processes whose symbols are kept: those of a large program take megabytes
MAX_FILES = 1024  # that build ids are looked for in
VALID = 1  # enum bpf_stack_build_id_status: there is a build id and an offset


class bcc_symbol(Structure):
    _fields_ = (
        ("name", c_char_p),
        ("demangle_name", c_char_p),
        ("module", c_char_p),
        ("offset", c_uint64),
    )


class bcc_stacktrace_build_id(Structure):
    _fields_ = (
        ("status", c_uint32),
        ("build_id", c_ubyte * BUILD_ID_SIZE),
        ("offset", c_uint64),
    )


# function → result, arguments
FUNCTIONS: dict[str, tuple[Any, Sequence[Any]]] = {
    "bcc_symcache_new": (c_void_p, (c_int, c_void_p)),
    "bcc_symcache_resolve": (c_int, (c_void_p, c_uint64, POINTER(bcc_symbol))),
    "bcc_symbol_free_demangle_name": (None, (POINTER(bcc_symbol),)),
    "bcc_free_symcache": (None, (c_void_p, c_int)),
    "bcc_buildsymcache_new": (c_void_p, ()),
    "bcc_buildsymcache_add_module": (c_int, (c_void_p, c_char_p)),
    "bcc_buildsymcache_resolve": (c_int, (c_void_p, POINTER(bcc_stacktrace_build_id), POINTER(bcc_symbol))),
    "bcc_free_buildsymcache": (None, (c_void_p,)),
}


class UserSymbols:
    """The functions of processes, by addresses in them. Close it, or use it as a context manager.

    missing: no library of LIBRARIES was found; gone: processes that were asked for and are no more.
    """

    def __init__(self) -> None:
        self.missing = False
        self.gone: set[int] = set()
        self._functions: dict[str, Any] = {}
        self._caches: dict[int, int] = {}  # process → BCC's handle; who was asked for last is at the end
        self._builds: int | None = None  # BCC's handle for build ids
        self._looked_at: set[int] = set()  # processes whose files that one has
        self._files: dict[str, str] = {}  # by the path of a file where it was opened

    def __enter__(self) -> UserSymbols:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free BCC's caches."""
        while self._caches:
            self._free(next(iter(self._caches)))
        if self._builds:
            self._functions["bcc_free_buildsymcache"](self._builds)
            self._builds = None

    def at(self, pid: int, address: int) -> tuple[str, str, int]:
        """(function, path of its file, distance) of an address of a process; "" for what is not known.

        Without a function the distance is that from the start of the file; 0 where there is no file either.
        """
        cache = self._cache(pid)
        if not cache:
            return "", "", 0
        return self._found("bcc_symcache_resolve", cache, address)

    def in_file(self, pid: int, build_id: str, offset: int) -> tuple[str, str, int]:
        """(function, path, distance) of an offset in the file with a build id (in hex), if a process has that mapped.

        "", "", 0 where it has not, or nobody knows the function.
        """
        if not self._open():
            return "", "", 0
        if pid not in self._looked_at:
            self._looked_at.add(pid)
            self._add_files(pid)
        id = bytes.fromhex(build_id).ljust(BUILD_ID_SIZE, b"\0")
        where = bcc_stacktrace_build_id(VALID, (c_ubyte * BUILD_ID_SIZE).from_buffer_copy(id), offset)
        name, file, distance = self._found("bcc_buildsymcache_resolve", self._builds, ctypes.byref(where))
        return (name, self._files.get(file, file), distance) if name else ("", "", 0)

    def _add_files(self, pid: int) -> None:
        """Have BCC read the build ids of what a process runs; opened as mapped, whatever is at the path by now."""
        if self._builds is None:
            self._builds = self._functions["bcc_buildsymcache_new"]()
        try:
            with open(f"/proc/{pid}/maps", encoding="utf-8", errors="backslashreplace") as maps:
                for line in maps:
                    where, rights, _, _, inode, *path = line.rstrip("\n").split(maxsplit=5)
                    if "x" in rights and inode != "0" and len(self._files) < MAX_FILES:
                        file = f"/proc/{pid}/map_files/{where}"
                        if path and path[0] not in self._files.values():
                            self._files[file] = path[0]
                            self._functions["bcc_buildsymcache_add_module"](self._builds, file.encode())
        except OSError:
            self.gone.add(pid)

    def _found(self, function: str, *words: Any) -> tuple[str, str, int]:
        """What one of BCC's functions finds out, copied from where BCC keeps it."""
        symbol = bcc_symbol()
        known = not self._functions[function](*words, ctypes.byref(symbol))
        name = (symbol.demangle_name or symbol.name or b"") if known else b""
        found = _text(name), _text(symbol.module or b""), int(symbol.offset)
        if known:
            self._functions["bcc_symbol_free_demangle_name"](ctypes.byref(symbol))
        return found

    def _cache(self, pid: int) -> int | None:
        """BCC's handle for a process; None when there is none."""
        cache = self._caches.pop(pid, None)
        if cache is None:
            if not self._open() or pid in self.gone:
                return None
            if not os.path.exists(f"/proc/{pid}/maps"):  # BCC would make an empty cache
                self.gone.add(pid)
                return None
            cache = self._functions["bcc_symcache_new"](pid, None)
            if not cache:
                return None
            if len(self._caches) >= MAX_CACHES:
                self._free(next(iter(self._caches)))
        self._caches[pid] = cache
        return cache

    def _free(self, pid: int) -> None:
        self._functions["bcc_free_symcache"](self._caches.pop(pid), pid)

    def _open(self) -> bool:
        """Whether the library is there, with all functions."""
        if self.missing or self._functions:
            return not self.missing
        for library in LIBRARIES:
            try:
                handle = ctypes.CDLL(library)
                found = {name: getattr(handle, name) for name in FUNCTIONS}
            except (OSError, AttributeError):
                continue
            for name, function in found.items():
                function.restype, function.argtypes = FUNCTIONS[name]
            self._functions = found
            return True
        self.missing = True
        return False


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
