"""Specs become kernel objects: BTF, then maps, then programs, then pins; what a failed load had made, it removes."""

from __future__ import annotations

import contextlib
import ctypes
import os

from ..elf.datasec import fixed_btf
from ..elf.maps import FD_SIZE, PIN_BY_NAME, PROG_ARRAY, kernel_name
from ..elf.object import ObjectFile
from ..errors import Error, KernelError
from ..escapes import printable
from ..kernel import libbpf, proc, uapi
from ..objects.map import Map
from ..objects.prog import MAX_KERNEL_NAME, Prog, name_of
from . import sections
from .spec import SLOT, ProgSpec, prog_spec, put_reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from typing_extensions import Self

    from ..elf.maps import MapDef
    from ..elf.object import ProgDef
    from ..objects.handle import Handle
    from .sections import Section

LOG_SIZE = 16 << 20  # what the kernel writes at most
LOG_TAIL = 12  # lines of it that an error shows
DEBUG_LOG_LEVEL = 1 | 2 | 4
PROG_FLAGS = ((sections.SLEEPABLE, 1 << 4), (sections.FRAGS, 1 << 5))  # BPF_F_SLEEPABLE, BPF_F_XDP_HAS_FRAGS
RODATA = ".rodata"
LATER = (".kconfig",)
OPTIONAL = "?"  # before a section's name: its programs are not loaded unless asked for
STRUCT_OPS = uapi.MAP_TYPES.index("struct_ops")
PERF_EVENT_ARRAY = uapi.MAP_TYPES.index("perf_event_array")


class Loaded:
    """What an object became: open handles by name. Close it, or use it as a context manager; pins outlive it.

    pinned: where the load has pinned maps, because the object says so.
    """

    def __init__(self) -> None:
        self.progs: dict[str, Prog] = {}
        self.maps: dict[str, Map] = {}
        self.pinned: list[str] = []

    def unpin(self) -> None:
        """Take away what the load has pinned."""
        while self.pinned:
            with contextlib.suppress(OSError):
                os.unlink(self.pinned.pop())

    def close(self) -> None:
        """Close all handles."""
        for handle in (*self.progs.values(), *self.maps.values()):
            handle.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def load(
    obj: ObjectFile | str,
    *,
    first_only: bool = False,
    type: str = "",
    reuse: Mapping[str, Map] | None = None,
    debug: Callable[[str], object] | None = None,
) -> Loaded:
    """Load an object's maps and programs into the kernel.

    obj: the object, or its path. first_only: load only the first program. type: the program type as a section name
    ("xdp", "kprobe"), for all programs; by default each section's name tells. reuse: maps by their name in the object
    that are to be used instead of new ones. debug: takes an account of each step, a line (or log) at a time.
    Error when the object, or the kernel, does not allow it; then nothing is left behind.
    """
    obj = ObjectFile(obj) if isinstance(obj, str) else obj
    loaded = Loaded()
    try:
        _Loader(obj, loaded, debug or _silent).run(first_only, type, dict(reuse or {}))
    except BaseException:
        loaded.unpin()
        loaded.close()
        raise
    return loaded


def _silent(line: str) -> None:
    pass


class _Loader:
    def __init__(self, obj: ObjectFile, loaded: Loaded, debug: Callable[[str], object]) -> None:
        self.obj = obj
        self.loaded = loaded
        self.debug = debug
        self.btf_fd = 0

    def run(self, first_only: bool, type: str, reuse: dict[str, Map]) -> None:
        """The steps in order."""
        obj = self.obj
        if obj.byteorder != _native_byteorder():
            raise Error(f"{obj.path}: a {obj.byteorder}-endian object on a {_native_byteorder()}-endian machine")
        if not obj.progs:
            raise Error(f"{obj.path}: no programs in it")
        progs = obj.progs[:1] if first_only else [prog for prog in obj.progs if not prog.section.startswith(OPTIONAL)]
        kinds = [program_section(obj, prog, type) for prog in progs]
        specs = [prog_spec(obj, prog) for prog in progs]
        for definition in obj.maps:
            if definition.section in LATER or definition.type == STRUCT_OPS:
                raise Error(f"{obj.path}: section {definition.section}: not supported yet by this version of bcctool")
        unknown = sorted(set(reuse) - {map_.name for map_ in obj.maps})
        if unknown:
            raise Error(f"{obj.path}: no map '{unknown[0]}' in it to be replaced")
        try:
            self.load_btf()
            for definition in obj.maps:
                self.make_map(definition, reuse.get(definition.name))
            for spec, kind in zip(specs, kinds, strict=True):
                self.load_prog(spec, kind)
            self.fill_values()
        finally:
            if self.btf_fd:
                os.close(self.btf_fd)

    def load_btf(self) -> None:
        """Give the object's types to the kernel. One that refuses them gets the rest without, as with libbpf."""
        data = fixed_btf(self.obj.elf)
        if data is None or self.obj.btf is None:
            return
        from ..btf.validate import validate

        validate(self.obj.btf)
        log = ctypes.create_string_buffer(LOG_SIZE)
        opts = libbpf.opts(libbpf.btf_load_opts, log_buf=ctypes.addressof(log), log_size=len(log), log_level=1)
        try:
            self.btf_fd = libbpf.call("bpf_btf_load", data, len(data), ctypes.byref(opts))
            self.debug(f"BTF: {len(data)} bytes, {self.obj.btf.nr_types} types")
        except OSError as error:
            self.debug(f"BTF: not loaded: {error.strerror}\n{_text(log)}")

    def make_map(self, definition: MapDef, reused: Map | None) -> None:
        """Create a map, or take the given or pinned one; fill and freeze global data."""
        pin = pin_path(proc.DEFAULT_BPFFS, definition.name) if definition.pinning == PIN_BY_NAME else ""
        if reused is None and pin and os.path.exists(pin):
            reused = Map.from_pin(pin)
        if reused is not None:
            _check_reuse(self.obj, definition, reused)
            self.loaded.maps[definition.name] = reused
            self.debug(f"map '{definition.name}': map {reused.id} is used")
            return
        with_types = bool(self.btf_fd)
        inner = self.create(definition.inner, None) if definition.inner else None
        try:
            map_ = self.create(definition, inner, with_types)
        finally:
            if inner:
                inner.close()
        self.loaded.maps[definition.name] = map_
        self.debug(f"map '{definition.name}': {map_.type}, id {map_.id}")
        if definition.global_data:
            if definition.contents is not None:
                map_.update(bytes(definition.key_size), bytes(definition.contents), 0)
            if definition.section.startswith(RODATA):
                map_.freeze()
        if pin:
            proc.require_bpffs(proc.DEFAULT_BPFFS)
            map_.pin(pin)
            self.loaded.pinned.append(pin)

    def create(self, definition: MapDef, inner: Map | None, with_types: bool = False) -> Map:
        """A new map; without its types where the kernel does not take them for this type of map."""
        max_entries = definition.max_entries
        if definition.type == PERF_EVENT_ARRAY and not max_entries:
            max_entries = proc.possible_cpus()
        fields: dict[str, Any] = {
            "type": definition.type,
            "key_size": definition.key_size,
            "value_size": definition.value_size,
            "max_entries": max_entries,
            "name": kernel_name(definition.name),
            "flags": definition.flags,
            "inner_map_fd": inner.fd if inner else 0,
            "map_extra": definition.map_extra,
            "numa_node": definition.numa_node,
        }
        types: dict[str, Any] = {
            "btf_fd": self.btf_fd,
            "btf_key_type_id": definition.key_type_id,
            "btf_value_type_id": definition.value_type_id,
        }
        try:
            if with_types and (definition.key_type_id or definition.value_type_id):
                try:
                    return Map.create(**fields, **types)
                except KernelError as error:
                    self.debug(f"map '{definition.name}': created without its types: {error.message}")
            return Map.create(**fields)
        except KernelError as error:
            raise Error(f"{self.obj.path}: map '{definition.name}': {error.message}") from None

    def load_prog(self, spec: ProgSpec, kind: Section) -> None:
        """Put the maps into the instructions and give the program to the verifier."""
        order = "<" if self.obj.byteorder == "little" else ">"
        insns = bytearray(spec.insns)
        for ref in spec.map_refs:
            put_reference(insns, ref.index, ref.pseudo, self.loaded.maps[ref.map.name].fd, order)
            insns[(ref.index + 1) * SLOT + 4 : (ref.index + 2) * SLOT] = ref.offset.to_bytes(4, self.obj.elf.byteorder)
            self.debug(f"program '{spec.name}': instruction {ref.index} refers to map '{ref.map.name}'")
        log = ctypes.create_string_buffer(LOG_SIZE)
        fields: dict[str, Any] = {"log_buf": ctypes.addressof(log), "log_size": len(log)}
        if self.debug is not _silent:
            fields["log_level"] = DEBUG_LOG_LEVEL
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
        opts = libbpf.opts(
            libbpf.prog_load_opts,
            expected_attach_type=kind.attach_type_number,
            kern_version=self.obj.version or 0,
            prog_flags=sum(value for flag, value in PROG_FLAGS if kind.flags & flag),
            **fields,
        )
        name, license = spec.name.encode()[:MAX_KERNEL_NAME], self.obj.license.encode()
        code = (ctypes.c_char * len(insns)).from_buffer(insns)
        try:
            fd = libbpf.call(
                "bpf_prog_load", kind.prog_type_number, name, license, code, spec.insn_cnt, ctypes.byref(opts)
            )
        except OSError as error:
            raise _refused(self.obj, spec, error, _text(log)) from None
        self.loaded.progs[spec.name] = Prog(fd)
        self.debug(f"program '{spec.name}': {spec.insn_cnt} instructions, id {self.loaded.progs[spec.name].id}")
        self.debug(_text(log))

    def fill_values(self) -> None:
        """Put programs and inner maps into the slots that `values` initialises."""
        for definition in self.obj.maps:
            handles: Mapping[str, Prog | Map] = (
                self.loaded.progs if definition.type == PROG_ARRAY else self.loaded.maps
            )
            for index, name in definition.values:
                if name in handles:
                    value = handles[name].fd.to_bytes(FD_SIZE, self.obj.elf.byteorder)
                    self.loaded.maps[definition.name].update(index.to_bytes(4, self.obj.elf.byteorder), value, 0)


def program_section(obj: ObjectFile, prog: ProgDef, type: str) -> Section:
    """The row of the program's section name, or of the type that the user asked for."""
    found = sections.by_type_name(type) if type else sections.lookup(prog.section)
    where = f"{obj.path}: program '{prog.name}'"
    if found is None:
        if type:
            raise Error(f"unknown program type '{type}'")
        raise Error(f"{where}: section '{prog.section}' tells no program type: give `type TYPE`")
    if found.flags & sections.BTF_TARGET:
        raise Error(f"{where}: type '{found.prefix}' attaches by BTF id, which is not supported yet")
    return found


def pin_path(directory: str, name: str) -> str:
    """The path of a pin by a name from an object. Error for a name that would lead out of the directory."""
    if "/" in name or name in ("", ".", ".."):
        raise Error(f"'{printable(name)}' is no name for a pin in {directory}")
    return f"{directory}/{name}"


def pin_all(targets: Iterable[tuple[str, Handle]]) -> None:
    """Pin handles at paths: all of them, or none when one fails."""
    done: list[str] = []
    try:
        for path, handle in targets:
            handle.pin(path)
            done.append(path)
    except BaseException:
        for path in done:
            os.unlink(path)
        raise


def _check_reuse(obj: ObjectFile, definition: MapDef, map_: Map) -> None:
    """Error unless the map is what the object would have created."""
    problem = f"{obj.path}: map {map_.id} can't be used as '{definition.name}'"
    wanted_type = name_of(uapi.MAP_TYPES, definition.type)
    if map_.type != wanted_type:
        raise Error(f"{problem}: its type is {map_.type}, not {wanted_type}")
    for field, wanted in (
        ("key_size", definition.key_size),
        ("value_size", definition.value_size),
        ("max_entries", definition.max_entries),
    ):
        found = getattr(map_.info, field)
        if found != wanted and not (field == "max_entries" and not wanted):
            raise Error(f"{problem}: its {field} is {found}, not {wanted}")


def _refused(obj: ObjectFile, spec: ProgSpec, error: OSError, log: str) -> Error:
    """The error for a program that the kernel did not take, with the end of the verifier's log."""
    lines = log.rstrip("\n").split("\n") if log else []
    tail = lines[-LOG_TAIL:]
    if len(tail) < len(lines):
        tail.insert(0, f"... ({len(lines) - len(tail)} lines of the verifier's log left out, -d shows all)")
    message = f"{obj.path}: can't load program '{spec.name}' (section {spec.section}): {error.strerror}"
    return Error(message, detail="\n".join(tail))


def _text(log: ctypes.Array[ctypes.c_char]) -> str:
    value: bytes = log.value
    return value.decode("utf-8", "replace")


def _native_byteorder() -> str:
    import sys

    return sys.byteorder
