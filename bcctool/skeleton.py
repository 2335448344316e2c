"""What the modules of `gen python` are made of: an object in memory, then in the kernel; its parts are attributes."""

from __future__ import annotations

import base64
import contextlib
import errno
import zlib

from .btf import kinds
from .elf.object import ObjectFile
from .errors import Error, KernelError
from .escapes import printable
from .kernel import bpf, uapi
from .loader import sections
from .loader.attach import attach
from .loader.load import Loaded, load
from .loader.struct_ops import Registration, start
from .objects.map import Map
from .objects.map_kinds import (
    KINDS,
    ArrayMap,
    Entries,
    FdMap,
    HashMap,
    MapOfMaps,
    OpaqueMap,
    PerCpuArrayMap,
    PerCpuHashMap,
    QueueMap,
    StorageMap,
)
from .objects.prog import name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, Literal

    from typing_extensions import Self

    from .elf.maps import MapDef
    from .elf.object import ProgDef
    from .loader.attachment import Links
    from .objects.link import Link
    from .objects.prog import Prog, TestRun

__all__ = [
    "ArrayMap", "Data", "Entries", "FdMap", "HashMap", "MapOfMaps", "Maps", "OpaqueMap", "PerCpuArrayMap",
    "PerCpuHashMap", "Program", "Programs", "QueueMap", "Skeleton", "StorageMap", "StructOpsMap", "kind_of",
]  # fmt: skip

MMAPABLE = 0x400  # BPF_F_MMAPABLE
FROZEN = (".rodata", ".kconfig")  # what programs and user space can but read, once it is loaded
KCONFIG = ".kconfig"
OPTIONAL = "?"  # before a section's name: what is in it is not loaded
STRUCT_OPS, ENOTSUPP = "struct_ops", 524
INDEXED = (ArrayMap, PerCpuArrayMap)  # their keys are numbers, whatever the object may call them
# What attach() is to be told, by the type of program.
PLACES = {
    "xdp": 'a device: attach(dev="eth0")',
    "sched_cls": 'a device: attach(dev="eth0"), for some with direction="ingress" or "egress"',
    "flow_dissector": "a network namespace: attach(netns=PATH)",
    "sk_lookup": "a network namespace: attach(netns=PATH)",
    "netfilter": "a hook: attach(netfilter=(FAMILY, HOOK, PRIORITY))",
    "perf_event": 'an event: attach(event="cpu-clock")',
    "sk_msg": "a map of sockets: attach(map=MAP)",
    "sk_skb": "a map of sockets: attach(map=MAP)",
    "tracing": "what it iterates over: attach(map=MAP)",
    "cgroup": "a cgroup: attach(cgroup=PATH)",  # all types that begin so
    "sock_ops": "a cgroup: attach(cgroup=PATH)",
}


class Skeleton:
    """An object file: first in memory only, from load() on in the kernel, until close() or the end of a `with` block.

    name: of the object, after which the maps of global variables are called. text: the file's bytes, compressed
    (zlib) and in base 85. A skeleton is loaded once; make another one to start again.
    """

    def __init__(self, name: str, text: str) -> None:
        try:
            data = zlib.decompress(base64.b85decode("".join(text.split())))
        except (ValueError, zlib.error):
            raise Error(f"{name}: the object in this module is damaged: generate the module again") from None
        self._obj = ObjectFile.from_bytes(data, name, strict=False)
        self._loaded: Loaded | None = None
        self._closed = False
        self._open = contextlib.ExitStack()  # what is to be closed, the last first

    def load(self, **options: Any) -> Self:
        """Bring maps and programs into the kernel; nothing is attached yet. For use as `with app.load():`.

        options: as of bcctool.load(). Error when the object, or the kernel, does not allow it (`detail` has the end of
        the verifier's log); then nothing is left behind, and it may be tried again.
        """
        if self._loaded or self._closed:
            raise Error(f"{self._obj.path}: loaded before: a skeleton is loaded once, make another one")
        with contextlib.ExitStack() as undo:
            loaded = undo.enter_context(load(self._obj, **options))
            for definition in self._obj.maps:
                map_ = loaded.maps.get(definition.name)
                if map_ is not None and map_.type != STRUCT_OPS:
                    _use_types(self._obj, map_, definition)
            self._open.callback(undo.pop_all().close)
        self._loaded = loaded
        return self

    @property
    def loaded(self) -> Loaded:
        """Programs and maps in the kernel, under the object's own names. Error while there are none."""
        if self._loaded is None:
            how = "it was closed" if self._closed else "use `with app.load():`"
            raise Error(f"{self._obj.path} is not loaded: {how}")
        return self._loaded

    def attach(self) -> None:
        """Attach every program whose section says to what, and all struct_ops maps: all of them, or none."""
        by_name = {prog.name: prog.section for prog in self._obj.progs}
        with contextlib.ExitStack() as undo:
            for name, prog in self.loaded.progs.items():
                attached = attach(prog, by_name[name], maps=self.loaded.maps)
                if attached is not None:
                    undo.callback(attached.close)
            for name, plan in self.loaded.struct_ops.items():
                undo.callback(start(self.loaded.maps[name], plan).close)
            self._open.callback(undo.pop_all().close)

    def close(self) -> None:
        """Detach and remove everything; what was pinned stays."""
        self._closed, self._loaded = True, None
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _use_types(obj: ObjectFile, map_: Map, definition: MapDef) -> None:
    """Have keys and values be of the types that the object says, also where the kernel keeps none."""
    btf, key_id = obj.btf, definition.key_type_id
    if kind_of(definition) in INDEXED and btf and btf.kind(btf.resolve(key_id)) != kinds.INT:
        key_id = 0
    map_.use_types(btf, key_id, definition.value_type_id)


class _Parts:
    """Attributes that stand for parts of an object: those that a subclass annotates.

    names: what the object calls them, where Python could not.
    """

    _attributes: dict[str, str]

    def __init_subclass__(cls, names: Mapping[str, str] | None = None) -> None:
        cls._attributes = {name: (names or {}).get(name, name) for name in cls.__annotations__}

    def __setattr__(self, name: str, value: object) -> None:
        known = "is a part of the object, which is not replaced" if name in self._attributes else "is not there"
        raise AttributeError(f"{type(self).__name__}.{name} {known}")

    def __delattr__(self, name: str) -> None:
        self.__setattr__(name, None)


class Maps(_Parts):
    """The maps that the object defines."""

    def __init__(self, app: Skeleton) -> None:
        definitions = {map_.name: map_ for map_ in app._obj.maps if not map_.global_data}
        for attribute, name in self._attributes.items():
            self.__dict__[attribute] = _view(app, definitions[name])

    def __iter__(self) -> Iterator[OpaqueMap]:
        return iter([self.__dict__[name] for name in self._attributes])


class Programs(_Parts):
    """The object's programs."""

    def __init__(self, app: Skeleton) -> None:
        definitions = {prog.name: prog for prog in app._obj.progs}
        for attribute, name in self._attributes.items():
            self.__dict__[attribute] = Program(app, definitions[name])

    def __iter__(self) -> Iterator[Program]:
        return iter([self.__dict__[name] for name in self._attributes])


def kind_of(definition: MapDef) -> type[OpaqueMap]:
    """What a map is in Python: the class, without its types."""
    type_ = name_of(uapi.MAP_TYPES, definition.type)
    if type_ == STRUCT_OPS:
        return StructOpsMap
    kind = KINDS.get(type_, OpaqueMap)
    return FdMap if kind is MapOfMaps and definition.inner is None else kind


def _view(app: Skeleton, definition: MapDef) -> OpaqueMap:
    kind, inner = kind_of(definition), definition.inner

    def live() -> Map:
        found = app.loaded.maps.get(definition.name)
        if found is None:
            raise Error(f"map '{printable(definition.name)}' is not loaded: it is optional ({definition.section})")
        return found

    def seen(map_: Map) -> OpaqueMap:
        assert inner is not None
        _use_types(app._obj, map_, inner)
        return kind_of(inner)(lambda: map_)

    if issubclass(kind, StructOpsMap):
        return kind(live, app, definition.name)
    return MapOfMaps(live, seen) if kind is MapOfMaps else kind(live)


class StructOpsMap(OpaqueMap):
    """A table of programs for the kernel to call."""

    def __init__(self, live: Callable[[], Map], app: Skeleton, name: str) -> None:
        super().__init__(live)
        self._app = app
        self._name = name

    def attach(self) -> Registration | Link:
        """Hand the table over to the kernel, until what this returns, or the skeleton, is closed."""
        attached = start(self.map, self._app.loaded.struct_ops[self._name])
        self._app._open.callback(attached.close)
        return attached


class Program:
    """A program; name and section as in the object."""

    def __init__(self, app: Skeleton, definition: ProgDef) -> None:
        self._app = app
        self.name = definition.name
        self.section = definition.section

    @property
    def prog(self) -> Prog:
        """The program in the kernel: its id, its info, its code. Error while it is not there."""
        found = self._app.loaded.progs.get(self.name)
        if found is None:
            raise Error(f"program '{printable(self.name)}' is not loaded: it is optional ({printable(self.section)})")
        return found

    @property
    def fd(self) -> int:
        """The program's descriptor, which stays the program's."""
        return self.prog.fd

    def attach(
        self,
        *,
        dev: str | None = None,
        direction: Literal["ingress", "egress"] | None = None,
        cgroup: str | None = None,
        netns: str | None = None,
        netfilter: tuple[int, int, int] | None = None,
        event: str | tuple[int, int] | None = None,
        freq: int | None = None,
        period: int | None = None,
        map: OpaqueMap | Map | None = None,
        pid: int | None = None,
    ) -> Link | Links:
        """Attach the program to what its section names, or to a place that is given; what this returns detaches it.

        dev: a network device; direction: for tc programs that go either way. cgroup, netns: paths. netfilter: protocol
        family, hook, priority. event: a perf event by name ("cpu-clock") or as (type, config), with a sample `freq`
        times a second or every `period` counts. map: of sockets, or to iterate over. pid: the one process for
        iterators over tasks. Error when the kernel refuses, or the program takes no such place.
        """
        from .loader.attach_places import Places

        given = {
            "ifindex": None if dev is None else _ifindex(dev),
            "direction": direction, "cgroup": cgroup, "netns": netns, "netfilter": netfilter, "event": event,
            "freq": freq, "period": period, "map": map.map if isinstance(map, OpaqueMap) else map, "pid": pid,
        }  # fmt: skip
        places = Places(**{name: value for name, value in given.items() if value is not None})
        attached = attach(self.prog, self.section, places=places, maps=self._app.loaded.maps)
        if attached is None:
            raise Error(f"can't attach program '{printable(self.name)}' ({printable(self.section)}): {self._needed()}")
        if places.unused:
            attached.close()
            word = places.unused[0].replace("ifindex", "dev")
            raise Error(f"can't attach program '{printable(self.name)}': {printable(self.section)} takes no {word}")
        self._app._open.callback(attached.close)
        return attached

    def _needed(self) -> str:
        row = sections.lookup(self.section)
        type_ = "cgroup" if row and row.prog_type.startswith("cgroup") else row.prog_type if row else ""
        needed = PLACES.get(type_)
        return f"it needs {needed}" if needed else "there is no way to attach programs of this section"

    def run(self, data: bytes = b"", ctx: bytes = b"", *, repeat: int = 1) -> TestRun:
        """Run the program once, or `repeat` times, on this data and context, without attaching it.

        What it gives has `retval`, `data` and `ctx` as they are afterwards, and the mean `duration_ns`.
        """
        try:
            return self.prog.test_run(data, ctx, repeat=repeat)
        except KernelError as error:
            if error.errno not in (ENOTSUPP, errno.EOPNOTSUPP):
                raise
            reason = f"this kernel can't test-run programs of type {self.prog.type}"
            raise Error(f"can't run program '{printable(self.name)}': {reason}") from None


def _ifindex(dev: str) -> int:
    import socket

    try:
        return socket.if_nametoindex(dev)
    except (OSError, ValueError):
        raise Error(f"there is no network device '{printable(dev)}' in this network namespace") from None


class Data:
    """The global variables of a section, as attributes: Python values as btf.python has them, each a copy.

    Before the load they are the first values of the variables; then they are the variables themselves, which programs
    see change, and which change when programs run. Those in `.rodata` are constant from then on.
    """

    _section: str
    _attributes: dict[str, str]

    def __init_subclass__(cls, section: str, names: Mapping[str, str] | None = None) -> None:
        """section: its name; names: what the object calls variables that Python could not call so."""
        cls._section = section
        cls._attributes = {name: (names or {}).get(name, name) for name in cls.__annotations__}

    def __init__(self, app: Skeleton) -> None:
        self.__dict__["_memory"] = _Memory(app, self._section)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._attributes]

    if not TYPE_CHECKING:  # which would take every name for a variable's

        def __getattr__(self, name: str) -> Any:
            return self._memory.read(self._variable(name))

        def __setattr__(self, name: str, value: Any) -> None:
            self._memory.write(self._variable(name), value)

    def _variable(self, name: str) -> str:
        if name not in self._attributes:
            message = f"no variable '{name}' in {self._section}, there are: {', '.join(self._attributes)}"
            raise AttributeError(message, name=name, obj=self)
        return self._attributes[name]


class _Memory:
    """The bytes of a section: at first the file's, then those of its map."""

    def __init__(self, app: Skeleton, section: str) -> None:
        obj = app._obj
        self.app = app
        self.section = section
        self.definition = next(map_ for map_ in obj.maps if map_.global_data and map_.section == section)
        assert obj.btf is not None
        self.btf = obj.btf
        entries = self.btf.type(self.definition.value_type_id).entries
        self.variables = {self.btf.name(id): (self.btf.type(id).type_id, offset) for id, offset, _ in entries}
        self.shared: Any = None

    def read(self, name: str) -> Any:
        """The value of a variable."""
        from .btf.python import decode

        type_id, offset = self.variables[name]
        size = self.btf.size_of(type_id)
        if self.app._loaded is None and not self.app._closed:
            self.require_known(name)
            contents = self.definition.contents
            data = bytes(size) if contents is None else bytes(contents[offset : offset + size])
        else:
            data = bytes(self.memory()[offset : offset + size])
        return decode(self.btf, type_id, data)

    def write(self, name: str, value: Any) -> None:
        """Give a variable a value. Error when it is not one of the variable's type, or the variable is constant."""
        from .btf.python import encode

        type_id, offset = self.variables[name]
        data = encode(self.btf, type_id, value, f"{self.section}: {name}")
        if self.app._loaded is None and not self.app._closed:
            self.require_known(name)
            contents = self.definition.contents
            if contents is None or contents.readonly:
                size = self.definition.value_size
                self.definition.contents = contents = memoryview(bytearray(contents or size))
            contents[offset : offset + len(data)] = data
            return
        memory = self.memory()
        if self.section.startswith(FROZEN):
            raise Error(f"{self.section}: {name} is constant once the program is loaded: set it before")
        memory[offset : offset + len(data)] = data
        if self.shared is None:
            map_ = self.map()
            map_.update(bytes(map_.info.key_size), bytes(memory))

    def require_known(self, name: str) -> None:
        """Error for what the kernel is asked about when it is loaded."""
        if self.section == KCONFIG:
            raise Error(f"{self.section}: {name} is the kernel's, and known when the object is loaded")

    def map(self) -> Map:
        """The section's map. Error while there is none."""
        return self.app.loaded.maps[self.definition.name]

    def memory(self) -> Any:
        """The bytes of the map: its memory or, on kernels before 5.5, a copy."""
        map_ = self.map()
        if not map_.info.map_flags & MMAPABLE:
            return bytearray(map_.lookup(bytes(map_.info.key_size)) or b"")
        if self.shared is None:
            writable = not self.section.startswith(FROZEN)
            try:
                self.shared = bpf.map_memory(map_.fd, map_.info.value_size, writable)
            except OSError as error:
                raise KernelError(f"can't map {self.section} into memory", error.errno or 0) from None
            self.app._open.callback(self.shared.close)
        return self.shared
