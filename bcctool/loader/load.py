"""Specs become kernel objects: BTF, then maps, then programs, then pins; what a failed load had made, it removes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

from ..elf.datasec import fixed_btf
from ..elf.externs import KCONFIG
from ..elf.maps import FD_SIZE, PROG_ARRAY
from ..elf.object import ObjectFile
from ..elf.reader import SHF_ALLOC
from ..errors import Error
from ..escapes import printable
from ..kernel import libbpf, proc, uapi
from ..objects.map import Map
from . import sections
from .externs import kconfig_contents
from .kernel_types import KernelTypes
from .maps import MapMaker, check_reuse, pin_of
from .progs import ProgLoader
from .spec import Linker
from .targets import NO_TARGET, Target, attach_target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from typing_extensions import Self

    from ..btf.reader import Btf
    from ..elf.maps import MapDef
    from ..elf.object import ProgDef
    from ..objects.handle import Handle
    from ..objects.link import Link
    from ..objects.prog import Prog
    from .sections import Section
    from .struct_ops import Plan, Registration

BTF_LOG_SIZE = 1 << 16
OPTIONAL = "?"  # before a section's name: what is in it is not loaded unless asked for
STRUCT_OPS = uapi.MAP_TYPES.index("struct_ops")


class Loaded:
    """What an object became: open handles by name. Close it, or use it as a context manager; pins outlive it.

    pinned: where the load has pinned maps, because the object says so. struct_ops: how each struct_ops map is filled,
    by its name. registered: those of them that the kernel uses until told otherwise.
    """

    def __init__(self) -> None:
        self.progs: dict[str, Prog] = {}
        self.maps: dict[str, Map] = {}
        self.struct_ops: dict[str, Plan] = {}
        self.pinned: list[str] = []
        self.registered: list[Registration] = []

    def undo(self) -> None:
        """Take away what would outlive the handles: pins of maps, and what the kernel uses."""
        while self.pinned:
            with contextlib.suppress(OSError):
                os.unlink(self.pinned.pop())
        while self.registered:
            self.registered.pop().close()

    def close(self) -> None:
        """Close all handles."""
        for handle in (*self.progs.values(), *self.maps.values()):
            handle.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class LoadOptions:
    """How to load.

    first_only: only the first program, and those that program arrays are to hold. type: the program type as a section
    name ("xdp", "kprobe"), for all programs; by default each section's name tells. reuse: maps by their name in the
    object that are to be used instead of new ones.
    kernel_btf: types to relocate against instead of the running kernel's. ifindex: of the device that programs and maps
    are for, 0 for none; bound_only: XDP programs are bound to it, but run on this machine's CPUs, and maps are not.
    attach_to: the loaded program whose functions `freplace`, `fentry` and `fexit` name. debug: takes an account of
    each step, a line (or log) at a time.
    """

    def __init__(
        self,
        *,
        first_only: bool = False,
        type: str = "",
        reuse: Mapping[str, Map] | None = None,
        kernel_btf: Btf | None = None,
        ifindex: int = 0,
        bound_only: bool = False,
        attach_to: Prog | None = None,
        debug: Callable[[str], object] | None = None,
    ) -> None:
        self.first_only = first_only
        self.type = type
        self.reuse = dict(reuse or {})
        self.kernel_btf = kernel_btf
        self.ifindex = ifindex
        self.bound_only = bound_only
        self.attach_to = attach_to
        self.debug = debug


def load(obj: ObjectFile | str, **options: Any) -> Loaded:
    """Load an object's maps and programs into the kernel.

    obj: the object, or its path. options: the fields of LoadOptions.
    Error when the object, or the kernel, does not allow it; then nothing is left behind.
    """
    obj = ObjectFile(obj) if isinstance(obj, str) else obj
    loaded = Loaded()
    try:
        with KernelTypes() as kernel:
            _Loader(obj, loaded, LoadOptions(**options), kernel).run()
    except BaseException:
        loaded.undo()
        loaded.close()
        raise
    return loaded


class _Loader:
    def __init__(self, obj: ObjectFile, loaded: Loaded, options: LoadOptions, kernel: KernelTypes) -> None:
        self.obj = obj
        self.loaded = loaded
        self.options = options
        self.kernel = kernel
        self.debug: Callable[[str], object] = options.debug or (lambda line: None)
        self.btf_fd = 0

    def run(self) -> None:
        """The steps in order."""
        obj, linker = self.obj, Linker(self.obj)
        progs = self.check()
        rows = [program_section(obj, prog, self.options.type) for prog in progs]
        definitions = [map_ for map_ in obj.maps if not map_.section.startswith(OPTIONAL)]
        self.plan_struct_ops(definitions)
        targets = self.targets(progs, rows)
        try:
            self.load_btf()
            for definition in definitions:
                self.loaded.maps[definition.name] = self.map(definition)
            loader = self.prog_loader()
            for prog, row in zip(progs, rows, strict=True):  # one spec at a time: programs share large functions
                self.loaded.progs[prog.name] = loader.load(linker.spec(prog), row, targets[prog.name])
            self.fill_values(definitions)
        finally:
            if self.btf_fd:
                os.close(self.btf_fd)

    def check(self) -> list[ProgDef]:
        """The programs to load, of an object that is sound and for this machine."""
        obj = self.obj
        if obj.byteorder != sys.byteorder:
            raise Error(f"{obj.path}: a {obj.byteorder}-endian object on a {sys.byteorder}-endian machine")
        if self.options.first_only and not obj.progs:
            raise Error(f"{obj.path}: no programs in it")
        unknown = sorted(set(self.options.reuse) - {map_.name for map_ in obj.maps})
        if unknown:
            raise Error(f"{obj.path}: no map '{unknown[0]}' in it to be replaced")
        for section in obj.sections:
            if section.flags & SHF_ALLOC and section.size:
                self.debug(f"section {section.name}: {section.size} bytes")
        if obj.btf is not None:
            from ..btf.validate import validate

            validate(obj.btf)
        progs = [prog for prog in obj.progs if not prog.section.startswith(OPTIONAL)]
        if not self.options.first_only:
            return progs
        called = {name for map_ in obj.maps if map_.type == PROG_ARRAY for _, name in map_.values}
        first = (progs or obj.progs)[0]
        return [first, *[prog for prog in obj.progs if prog.name in called and prog is not first]]

    def plan_struct_ops(self, definitions: list[MapDef]) -> None:
        """Find out what the struct_ops maps are to hold on this kernel."""
        for definition in definitions:
            if definition.type == STRUCT_OPS:
                from .struct_ops import plan

                self.loaded.struct_ops[definition.name] = plan(self.obj, definition, self.kernel)

    def targets(self, progs: list[ProgDef], rows: list[Section]) -> dict[str, Target]:
        """What each program is bound to when it is loaded."""
        found, members = {}, {}
        if self.loaded.struct_ops:
            from .struct_ops import program_targets

            members = program_targets(list(self.loaded.struct_ops.values()))
        for prog, row in zip(progs, rows, strict=True):
            where, target = f"{self.obj.path}: program '{prog.name}'", NO_TARGET
            if row.flags & sections.BTF_TARGET:
                named = prog.section if sections.lookup(prog.section) is row else self.options.type or prog.section
                target = attach_target(where, row, named, self.kernel, self.options.attach_to)
            elif row.prog_type == "struct_ops":
                if prog.name not in members:
                    raise Error(f"{where}: no struct_ops map has it as a member")
                btf_id, index, source = members[prog.name]
                target = Target(btf_id, source.fd, attach_type=index)
            found[prog.name] = target
        return found

    def load_btf(self) -> None:
        """Give the object's types to the kernel. One that refuses them gets the rest without, as with libbpf."""
        data = fixed_btf(self.obj.elf)
        if data is None or self.obj.btf is None:
            return
        if self.give_btf(data):
            return
        from .fallbacks import sanitized_btf, takes

        older = sanitized_btf(data, takes)
        if older != data and self.give_btf(older):
            self.debug("BTF: without the kinds that this kernel does not know")

    def give_btf(self, data: bytes) -> bool:
        """One try of load_btf; whether the kernel took it."""
        try:  # without a log, for which no room might be enough
            self.btf_fd = libbpf.call("bpf_btf_load", data, len(data), None)
        except OSError as error:
            self.debug(f"BTF: not loaded: {error.strerror}\n{btf_log(data) if self.options.debug else ''}")
            return False
        self.debug(f"BTF: {len(data)} bytes")
        return True

    def map(self, definition: MapDef) -> Map:
        """Take the given or pinned map, or create one."""
        name = pin_of(definition)
        pin = pin_path(proc.DEFAULT_BPFFS, name) if name else ""
        reused = self.options.reuse.get(definition.name)
        if reused is None and pin and os.path.exists(pin):
            reused = Map.from_pin(pin)
        if reused is not None:
            check_reuse(self.obj, definition, reused)
            self.debug(f"map '{definition.name}': map {reused.id} is used")
            return reused
        if definition.type == STRUCT_OPS:
            from .struct_ops import create

            return create(definition, self.loaded.struct_ops[definition.name], self.btf_fd)
        if definition.section == KCONFIG:
            definition.contents = memoryview(kconfig_contents(self.obj, self.debug))
        ifindex = 0 if self.options.bound_only else self.options.ifindex
        map_ = MapMaker(self.obj, self.btf_fd, ifindex, self.debug).make(definition)
        if pin:
            self.loaded.maps[definition.name] = map_
            proc.require_bpffs(proc.DEFAULT_BPFFS)
            map_.pin(pin)
            self.loaded.pinned.append(pin)
        return map_

    def prog_loader(self) -> ProgLoader:
        loader = ProgLoader(self.obj, self.loaded.maps, self.kernel, self.options.debug)
        loader.btf_fd = self.btf_fd
        loader.kernel_btf = self.options.kernel_btf
        loader.ifindex, loader.bound_only = self.options.ifindex, self.options.bound_only
        return loader

    def fill_values(self, definitions: list[MapDef]) -> None:
        """Put programs and inner maps into the slots that `values` initialises, programs into struct_ops maps."""
        for definition in definitions:
            map_ = self.loaded.maps[definition.name]
            if definition.name in self.loaded.struct_ops and not self.options.first_only:
                from .struct_ops import fill

                fill(map_, self.loaded.struct_ops[definition.name], self.loaded.progs)
            handles: Mapping[str, Prog | Map] = (
                self.loaded.progs if definition.type == PROG_ARRAY else self.loaded.maps
            )
            for index, name in definition.values:
                if name in handles:
                    value = handles[name].fd.to_bytes(FD_SIZE, self.obj.elf.byteorder)
                    map_.update(index.to_bytes(4, self.obj.elf.byteorder), value, 0)


def btf_log(data: bytes) -> str:
    """The end of what the kernel says about types that it does not take."""
    log = ctypes.create_string_buffer(BTF_LOG_SIZE)
    opts = libbpf.opts(libbpf.btf_load_opts, log_buf=ctypes.addressof(log), log_size=len(log), log_level=1)
    with contextlib.suppress(OSError):
        os.close(libbpf.call("bpf_btf_load", data, len(data), ctypes.byref(opts)))
    return log.value.decode("utf-8", "replace")


def attach_all(loaded: Loaded) -> list[tuple[str, Link]]:
    """Hand all struct_ops maps over to the kernel; the links, by map, of those that are in use as long as a link is.

    The others are in use until their element is deleted, or `undo` is called. Error when the kernel refuses.
    """
    from .struct_ops import Registration, start

    links = []
    for name, plan in loaded.struct_ops.items():
        started = start(loaded.maps[name], plan)
        if isinstance(started, Registration):
            loaded.registered.append(started)
        else:
            links.append((name, started))
    return links


def program_section(obj: ObjectFile, prog: ProgDef, type: str) -> Section:
    """The row of the program's section name, or of the type that the user asked for."""
    found = sections.by_type_name(type) if type else sections.lookup(prog.section)
    if found is None:
        if type:
            raise Error(f"unknown program type '{type}'")
        where = f"{obj.path}: program '{prog.name}'"
        raise Error(f"{where}: section '{prog.section}' tells no program type: give `type TYPE`")
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
