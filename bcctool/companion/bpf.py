"""bcc.BPF, extended: over prebuilt objects, pins and ids, and from C on machines without kernel headers."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import errno
import fcntl
import json
import os
import socket
import sys

import bcc
from bcc.libbcc import lib

from ..elf.object import ObjectFile
from ..errors import Error
from ..escapes import printable
from ..insn.disasm import disassemble
from ..kernel import bpf, libbpf, uapi
from ..loader import attach as attaching
from ..loader.load import attach_all, load
from ..loader.spec import Linker
from ..objects.handle import kind_of
from ..objects.map import Map
from ..objects.prog import Prog
from . import headers, substitutes, tables
from .c_types import c_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from typing_extensions import Self

    from ..btf.reader import Btf
    from ..loader.load import Loaded

if not hasattr(bcc, "BPF"):
    raise ImportError(f"{bcc.__file__} is not BCC, but another project of that name: install python3-bpfcc")

_BCC = bcc.BPF  # under `bcc run` that name becomes ours
_EMPTY = ("kprobe_fds", "uprobe_fds", "tracepoint_fds", "raw_tracepoint_fds", "kfunc_entry_fds", "kfunc_exit_fds",
          "lsm_fds", "perf_buffers", "open_perf_events", "funcs", "tables")  # fmt: skip


class BPF(bcc.BPF):  # type: ignore[misc]
    """BCC's BPF, and more ways to make one.

    BPF(text=…), BPF(src_file=…): as ever, also where no headers of the kernel are installed.
    BPF(obj=…): an object that clang made (a path, or an ObjectFile); its programs are loaded, those named as BCC names
    them (`kprobe__…`) attached. type: of its programs, as a section name, where their sections tell none.
    BPF.from_pinned(path), BPF.from_id(id): what is in the kernel already.
    Over these three all of BCC's methods work; keys and leaves of tables come from BTF. Error for what can't be had.
    """

    def __init__(
        self,
        src_file: bytes | str = b"",
        hdr_file: bytes | str = b"",
        text: bytes | str | None = None,
        debug: int = 0,
        cflags: Sequence[str] = (),
        *args: Any,
        obj: ObjectFile | str | os.PathLike[str] | None = None,
        type: str = "",
        **options: Any,
    ) -> None:
        self._start()
        if obj is not None:
            if src_file or text:
                raise Error("BPF() takes an object, or a source, not both")
            self._empty(debug)
            atexit.register(self.cleanup)
            self._load(obj if isinstance(obj, ObjectFile) else ObjectFile(os.fspath(obj)), type)
            return
        source = text or b""
        if src_file:
            with open(self._find_file(_bytes(src_file)), "rb") as file:
                source = file.read()
        source = source.decode("utf-8", "replace") if isinstance(source, bytes) else source
        with headers.prepared(source) as flags:
            super().__init__(src_file, hdr_file, text, debug, [*cflags, *flags], *args, **options)

    def _start(self) -> None:
        """What we keep beside BCC's own."""
        self._obj: ObjectFile | None = None
        self._loaded: Loaded | None = None
        self._types: Btf | None = None
        self._maps: dict[bytes, Map] = {}
        self._links: list[Any] = []
        self._xdp: dict[bytes, int] = {}

    def _empty(self, debug: int = 0) -> None:
        """The attributes that BCC gives a module, for none."""
        for name in _EMPTY:
            setattr(self, name, {})
        self.debug = debug
        self.module = self.tracefile = self._ringbuf_manager = None

    def _load(self, obj: ObjectFile, type: str) -> None:
        self._obj, self._types = obj, obj.btf
        self._loaded = load(obj, type=type)
        for name, prog in self._loaded.progs.items():
            self._adopt(prog, name)
        self._maps = {name.encode(): map_ for name, map_ in self._loaded.maps.items()}
        try:
            self._attach_by_name()
        except BaseException:
            self.cleanup()
            raise

    def _adopt(self, prog: Prog, name: str) -> None:
        """Make a program one of our functions, with a descriptor of its own."""
        self.funcs[name.encode()] = BPF.Function(self, name.encode(), _duplicate(prog.fd))

    @classmethod
    def _over(cls, progs: Iterable[tuple[str, Prog]], maps: Iterable[tuple[str, Map]]) -> Self:
        """One over programs and maps that are in the kernel; it closes the maps."""
        made = cls.__new__(cls)
        made._start()
        made._empty()
        for name, prog in progs:
            made._adopt(prog, name)
            made._types = made._types or prog.types()
        if made.funcs:
            atexit.register(made.cleanup)
        made._maps = {name.encode(): map_ for name, map_ in maps}
        return made

    @classmethod
    def from_pinned(cls, path: str | os.PathLike[str]) -> Self:
        """One over a pinned program with its maps, a pinned map, or all that a directory of a bpffs has in it.

        In a directory maps and programs are called as their pins are; one program or map by its own name.
        Error when there is nothing such.
        """
        path = os.fspath(path)
        if not os.path.isdir(path):
            return cls._over_pin(path)
        progs, maps = [], []
        try:
            names = sorted(os.listdir(path))
        except OSError as error:
            raise Error(f"{path}: {error.strerror}") from None
        for name in names:
            kind = _pinned_kind(f"{path}/{name}")
            if kind == bpf.PROG:
                progs.append((name, Prog.from_pin(f"{path}/{name}")))
            elif kind == bpf.MAP:
                maps.append((name, Map.from_pin(f"{path}/{name}")))
        if not progs and not maps:
            raise Error(f"{path}: no program or map is pinned in this directory")
        return cls._over(progs, maps)

    @classmethod
    def _over_pin(cls, path: str) -> Self:
        if _pinned_kind(path) == bpf.MAP:
            map_ = Map.from_pin(path)
            return cls._over((), [(map_.name, map_)])
        with Prog.from_pin(path) as prog:  # or an Error that says what else it is
            return cls._over_prog(prog)

    @classmethod
    def from_id(cls, id: int) -> Self:
        """One over a program in the kernel, and the maps that it uses. KernelError for an id that no program has."""
        with Prog.from_id(id) as prog:
            return cls._over_prog(prog)

    @classmethod
    def _over_prog(cls, prog: Prog) -> Self:
        maps = [Map.from_id(id) for id in prog.map_ids]
        return cls._over([(prog.full_name, prog)], [(map_.name, map_) for map_ in maps])

    def attach(self) -> None:
        """Attach the programs of an object as their sections say, and its struct_ops, until cleanup().

        Programs whose sections name no place stay as they are. Error if one can't be attached.
        """
        if self._obj is None or self._loaded is None:
            raise Error("attach() needs an object: BPF(obj=…)")
        for definition in self._obj.progs:
            prog = self._loaded.progs.get(definition.name)
            link = attaching.attach(prog, definition.section, maps=self._loaded.maps) if prog else None
            if link is not None:
                self._links.append(link)
        self._links += [link for _, link in attach_all(self._loaded)]

    def _attach_by_name(self) -> None:
        for name, function in list(self.funcs.items()):
            prefix, how = next((row for row in _BY_NAME.items() if name.startswith(row[0])), (b"", None))
            if how is not None and _prog_type(function.fd) == how[0]:
                how[1](self, name, name[len(prefix) :])

    def load_func(self, func_name: bytes | str, prog_type: int, device: Any = None, attach_type: int = -1) -> Any:
        """A function of a source, loaded as a type; of anything else one that is loaded. Error if it is of another."""
        if self.module is not None:
            return super().load_func(func_name, prog_type, device, attach_type)
        function = self.funcs.get(_bytes(func_name))
        if function is None:
            known = b", ".join(sorted(self.funcs)).decode("utf-8", "replace") or "none"
            raise Error(f"no program {printable(_bytes(func_name).decode('utf-8', 'replace'))!r}: there are {known}")
        loaded = _prog_type(function.fd)
        if loaded != prog_type:
            kinds = [
                uapi.PROG_TYPES[type] if type < len(uapi.PROG_TYPES) else str(type) for type in (loaded, prog_type)
            ]
            raise Error(f"program {function.name.decode()!r} was loaded as {kinds[0]}, not as {kinds[1]}")
        return function

    @staticmethod
    def get_kprobe_functions(event_re: bytes) -> list[bytes]:
        """The functions of the kernel that match and can be probed. Error where none can be."""
        if not any(map(os.path.exists, _KPROBES)):
            raise Error("this kernel has no kprobes")
        found: list[bytes] = _BCC.get_kprobe_functions(event_re)
        return found

    def attach_kprobe(
        self, event: bytes | str = b"", event_off: int = 0, fn_name: bytes | str = b"", event_re: bytes | str = b""
    ) -> Self:
        """Run a function at a function of the kernel; where that was inlined, at the tracepoint that came for it."""
        tracepoint = substitutes.tracepoint(_bytes(event)) if event and not event_off else ""
        if tracepoint and self._attach_instead(tracepoint, _bytes(fn_name)):
            return self
        try:
            super().attach_kprobe(event, event_off, fn_name, event_re)
        except Exception as error:  # BCC has no other
            if isinstance(error, Error) or any(map(os.path.exists, _KPROBES)):
                raise
            raise Error(f"{error}: this kernel has no kprobes") from None
        return self

    def _attach_instead(self, tracepoint: str, fn_name: bytes) -> bool:
        """Attach a kprobe's function to a raw tracepoint; whether it can be."""
        offset = substitutes.FIRST_ARGUMENT.get(os.uname().machine)
        code = substitutes.for_raw_tracepoint(self.dump_func(fn_name), offset) if offset is not None else None
        if code is None or self.module is None:
            return False
        license, type_ = lib.bpf_module_license(self.module), self.RAW_TRACEPOINT
        try:
            fd = libbpf.call("bpf_prog_load", type_, fn_name[:15], license, code, len(code) // 8, None)
        except OSError:
            return False
        try:
            link = lib.bpf_attach_raw_tracepoint(fd, tracepoint.encode())
        finally:
            os.close(fd)
        if link >= 0:
            self.raw_tracepoint_fds[tracepoint.encode() + b" " + fn_name] = link
        return bool(link >= 0)

    def load_funcs(self, prog_type: int = _BCC.KPROBE) -> list[Any]:
        """All functions of a source, loaded as a type; of anything else those that are of this type."""
        if self.module is not None:
            functions: list[Any] = super().load_funcs(prog_type)
            return functions
        return [function for function in self.funcs.values() if _prog_type(function.fd) == prog_type]

    def dump_func(self, func_name: bytes | str) -> bytes:
        """The instructions of a function: as they are in the source or the object, else as the kernel has them."""
        name = _bytes(func_name)
        if self.module is not None:
            code: bytes = super().dump_func(name)
            return code
        if self._obj is not None:
            for definition in self._obj.progs:
                if definition.name.encode() == name:
                    return bytes(Linker(self._obj).spec(definition).insns)
        if name not in self.funcs:
            raise Error(f"no program {printable(name.decode('utf-8', 'replace'))!r}")
        with Prog(_duplicate(self.funcs[name].fd)) as prog:
            return prog.array("xlated_prog_insns")

    def disassemble_func(self, func_name: bytes | str) -> str:
        """The instructions of a function as text, each line with its number."""
        code = disassemble(self.dump_func(func_name), byteorder=sys.byteorder)
        return "".join(f"{insn.index:4}: {insn.line}\n" for insn in code)

    def get_table(
        self,
        name: bytes | str,
        keytype: Any = None,
        leaftype: Any = None,
        reducer: Callable[[Any, Any], Any] | None = None,
    ) -> Any:
        """The table of a map, as BCC has them. KeyError for a name that no map has."""
        name = _bytes(name)
        if self.module is None:
            if name not in self._maps:
                raise KeyError(name.decode("utf-8", "replace"))
            return tables.make(self, self._maps[name], keytype, leaftype, name, reducer, types=self._types)
        fd = lib.bpf_table_fd(self.module, name)
        if fd < 0:
            raise KeyError(name.decode("utf-8", "replace"))
        map_ = Map(_duplicate(fd))
        key = keytype or self._described(lib.bpf_table_key_desc, name, map_.info.key_size)
        leaf = leaftype or self._described(lib.bpf_table_leaf_desc, name, map_.info.value_size)
        return tables.make(self, map_, key, leaf, name, reducer, lib.bpf_table_id(self.module, name))

    def _described(self, describe: Callable[[Any, bytes], bytes | None], name: bytes, size: int) -> Any:
        """The type of a table's keys or leaves, which its source told; None without one of the size that they have."""
        described = describe(self.module, name)
        made = self._decode_table_type(json.loads(described)) if described else None
        return made if made is not None and ctypes.sizeof(made) == size else None

    def decode_table(self, table_name: bytes | str, sizeinfo: bool = False) -> str:
        """How keys and leaves of a table are laid out, as text."""
        from bcc.disassembler import decode_map

        table = self[table_name]
        text: str = decode_map(table_name, table, table.ttype, sizeinfo=sizeinfo)
        return text

    def c_type(self, name: str) -> Any:
        """A type of the programs, by its name in C without `struct`, as a ctypes class. KeyError if there is none."""
        id = self._types.find(name) if self._types is not None else None
        if self._types is None or id is None:
            raise KeyError(name)
        return c_type(self._types, id)

    @staticmethod
    def attach_xdp(dev: bytes | str, fn: Any, flags: int = 0) -> None:
        """Attach a program to a device, until remove_xdp() or cleanup()."""
        _BCC.attach_xdp(dev, fn, flags)
        if isinstance(getattr(fn, "bpf", None), BPF):
            fn.bpf._xdp[_bytes(dev)] = flags

    def _remove_xdp(self) -> None:
        """Take our programs off the devices where they are still attached."""
        ours = {_prog_id(function.fd) for function in self.funcs.values()}
        for dev, flags in self._xdp.items():
            attached = ctypes.c_uint32()
            with contextlib.suppress(OSError, Error):
                index = socket.if_nametoindex(os.fsdecode(dev))
                libbpf.call("bpf_xdp_query_id", index, flags & _XDP_MODES, ctypes.byref(attached))
                if attached.value in ours:
                    libbpf.call("bpf_xdp_attach", index, -1, flags & _XDP_MODES, None)
        self._xdp.clear()

    def cleanup(self) -> None:
        """Detach and close everything."""
        self._remove_xdp()
        while self._links:
            self._links.pop().close()
        while self._loaded is not None and self._loaded.registered:
            self._loaded.registered.pop().close()
        super().cleanup()  # which empties maps of perf events
        for map_ in self._maps.values():
            map_.close()
        if self._loaded is not None:
            self._loaded.close()


def _attach_kprobe(b: BPF, name: bytes, rest: bytes) -> None:
    b.attach_kprobe(event=b.fix_syscall_fnname(rest), fn_name=name)


def _attach_kretprobe(b: BPF, name: bytes, rest: bytes) -> None:
    b.attach_kretprobe(event=b.fix_syscall_fnname(rest), fn_name=name)


# Prefix of a function's name → the type that it then is of, what attaches it: BCC's convention.
_BY_NAME: dict[bytes, tuple[int, Callable[[BPF, bytes, bytes], object]]] = {
    b"kprobe__": (BPF.KPROBE, _attach_kprobe),
    b"kretprobe__": (BPF.KPROBE, _attach_kretprobe),
    b"tracepoint__": (
        BPF.TRACEPOINT,
        lambda b, name, rest: b.attach_tracepoint(tp=rest.replace(b"__", b":", 1), fn_name=name),
    ),
    b"raw_tracepoint__": (BPF.RAW_TRACEPOINT, lambda b, name, rest: b.attach_raw_tracepoint(tp=rest, fn_name=name)),
    b"kfunc__": (BPF.TRACING, lambda b, name, rest: b.attach_kfunc(fn_name=name)),
    b"kretfunc__": (BPF.TRACING, lambda b, name, rest: b.attach_kretfunc(fn_name=name)),
    b"lsm__": (BPF.LSM, lambda b, name, rest: b.attach_lsm(fn_name=name)),
}
# Where a kernel shows that it has kprobes, before 4.17 in tracefs only.
_KPROBES = ("/sys/bus/event_source/devices/kprobe", "/sys/kernel/tracing/kprobe_events",
            "/sys/kernel/debug/tracing/kprobe_events")  # fmt: skip
_XDP_MODES = BPF.XDP_FLAGS_SKB_MODE | BPF.XDP_FLAGS_DRV_MODE | BPF.XDP_FLAGS_HW_MODE


# What obj_get answers for directories and files that are no pins: a bpffs itself has some (maps.debug).
_NO_PIN = (errno.EINVAL, errno.EISDIR, errno.ENOENT, errno.EACCES)


def table(map: Map | int | str | os.PathLike[str], keytype: Any = None, leaftype: Any = None) -> Any:
    """A table of BCC's over any map in the kernel: an open one, its id, or the path of its pin.

    keytype, leaftype: ctypes, by default those of its BTF. `table.bpf` polls its perf or ring buffers.
    """
    if isinstance(map, int):
        map = Map.from_id(map)
    elif not isinstance(map, Map):
        map = Map.from_pin(os.fspath(map))
    owner = BPF._over((), [(map.name, map)])
    return owner.get_table(map.name, keytype, leaftype)


def _bytes(name: bytes | str) -> bytes:
    return name if isinstance(name, bytes) else name.encode()


def _duplicate(fd: int) -> int:
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)


def _prog_info(fd: int) -> uapi.prog_info:
    info = uapi.prog_info()
    bpf.fill_info(fd, info)
    return info


def _prog_type(fd: int) -> int:
    return int(_prog_info(fd).type)


def _prog_id(fd: int) -> int:
    return int(_prog_info(fd).id)


def _pinned_kind(path: str) -> str:
    """The kind of object that is pinned at a path, empty for what is no pin. Error when there is nothing."""
    if not os.path.lexists(path):
        raise Error(f"bpf obj get ({path}): {os.strerror(errno.ENOENT)}")
    try:
        fd = bpf.obj_get(path)
    except OSError as error:
        if error.errno in _NO_PIN:
            return ""
        raise Error(f"bpf obj get ({path}): {error.strerror}") from None
    try:
        return kind_of(fd)
    finally:
        os.close(fd)
