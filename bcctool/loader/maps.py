"""Map definitions become maps: sizes as the kernel wants them, types where it takes them, contents, freezing."""

from __future__ import annotations

import mmap

from ..elf.data_maps import F_MMAPABLE, F_RDONLY_PROG
from ..elf.maps import PIN_BY_NAME, kernel_name
from ..errors import Error, KernelError
from ..kernel import bpf, proc, uapi
from ..objects.map import Map
from ..objects.prog import name_of
from .fallbacks import takes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..elf.maps import MapDef
    from ..elf.object import ObjectFile

PERF_EVENT_ARRAY = uapi.MAP_TYPES.index("perf_event_array")
RING_BUFFERS = (uapi.MAP_TYPES.index("ringbuf"), uapi.MAP_TYPES.index("user_ringbuf"))
ARENA = uapi.MAP_TYPES.index("arena")
FROZEN = (".rodata", ".kconfig")
MAX_ENTRIES = 0xFFFFFFFF
# Flags of global data that older kernels do without, and the feature to be asked for.
DATA_FLAGS = ((F_MMAPABLE, "mmapable"), (F_RDONLY_PROG, "rdonly_prog"))


class MapMaker:
    """Makes the maps of one object.

    btf_fd: the object's types in the kernel, 0 without. ifindex: the device that maps are offloaded to, 0 for none.
    """

    def __init__(self, obj: ObjectFile, btf_fd: int, ifindex: int, debug: Callable[[str], object]) -> None:
        self.obj = obj
        self.btf_fd = btf_fd
        self.ifindex = ifindex
        self.debug = debug

    def make(self, definition: MapDef) -> Map:
        """A new map, with the contents of global data. Error when the kernel refuses."""
        map_ = self._with_inner(definition)
        try:
            if definition.type == ARENA:
                self._fill_arena(map_, definition)
            elif definition.global_data:
                self._fill(map_, definition)
        except BaseException:
            map_.close()
            raise
        self.debug(f"map '{definition.name}': {map_.type}, id {map_.id}")
        return map_

    def _with_inner(self, definition: MapDef) -> Map:
        if definition.inner is None:
            return self._create(definition, None)
        with self._create(definition.inner, None) as inner:
            return self._create(definition, inner)

    def _fill(self, map_: Map, definition: MapDef) -> None:
        if definition.contents is not None:
            map_.update(bytes(definition.key_size), bytes(definition.contents), 0)
        if definition.section.startswith(FROZEN):
            try:
                map_.freeze()
            except KernelError:
                if takes("map_freeze"):
                    raise

    def _fill_arena(self, map_: Map, definition: MapDef) -> None:
        """Map an arena, which settles its address, as programs want it; put its variables in."""
        size = definition.max_entries * mmap.PAGESIZE
        contents = bytes(definition.contents or b"")
        if len(contents) > size:
            what = f"{len(contents)} bytes of variables do not fit into {size}"
            raise Error(f"{self.obj.path}: map '{definition.name}': {what}: raise its max_entries, which counts pages")
        try:
            bpf.fill_arena(map_.fd, definition.map_extra, size, contents)
        except OSError as error:
            where = f"{self.obj.path}: map '{definition.name}'"
            raise KernelError(f"{where}: can't map it at {definition.map_extra:#x}", error.errno or 0, 255) from None

    def _create(self, definition: MapDef, inner: Map | None) -> Map:
        """A new map; without its types where the kernel does not take them for this type of map."""
        fields: dict[str, Any] = {
            "type": definition.type,
            "key_size": definition.key_size,
            "value_size": definition.value_size,
            "max_entries": max_entries(definition),
            "name": kernel_name(definition.name),
            "flags": definition.flags,
            "inner_map_fd": inner.fd if inner else 0,
            "map_extra": definition.map_extra,
            "numa_node": definition.numa_node,
            "ifindex": 0 if definition.type == PERF_EVENT_ARRAY else self.ifindex,
        }
        types: dict[str, Any] = {
            "btf_fd": self.btf_fd,
            "btf_key_type_id": definition.key_type_id,
            "btf_value_type_id": definition.value_type_id,
        }
        try:
            if self.btf_fd and (definition.key_type_id or definition.value_type_id):
                try:
                    return Map.create(**fields, **types)
                except KernelError as error:
                    self.debug(f"map '{definition.name}': created without its types: {error.message}")
            return Map.create(**fields)
        except KernelError as error:
            refused = sum(flag for flag, feature in DATA_FLAGS if definition.flags & flag and not takes(feature))
            if definition.global_data and refused:
                return Map.create(**fields | {"flags": definition.flags & ~refused})
            raise Error(f"{self.obj.path}: map '{definition.name}': {error.message}") from None


def max_entries(definition: MapDef) -> int:
    """As the definition says; one for each CPU where a perf event array says nothing, for ring buffers whole pages."""
    wanted = definition.max_entries
    if definition.type == PERF_EVENT_ARRAY and not wanted:
        return proc.possible_cpus()
    if definition.type in RING_BUFFERS and wanted:
        size = mmap.PAGESIZE
        while size < wanted:
            size *= 2
        return size if size <= MAX_ENTRIES else wanted
    return wanted


def pin_of(definition: MapDef) -> str:
    """The name under which a map is pinned, empty for one that isn't."""
    return definition.name if definition.pinning == PIN_BY_NAME else ""


def check_reuse(obj: ObjectFile, definition: MapDef, map_: Map) -> None:
    """Error unless the map is what the object would have created."""
    problem = f"{obj.path}: map {map_.id} can't be used as '{definition.name}'"
    wanted_type = name_of(uapi.MAP_TYPES, definition.type)
    if map_.type != wanted_type:
        raise Error(f"{problem}: its type is {map_.type}, not {wanted_type}")
    for field, wanted in (
        ("key_size", definition.key_size),
        ("value_size", definition.value_size),
        ("max_entries", max_entries(definition)),
    ):
        found = getattr(map_.info, field)
        if found != wanted and not (field == "max_entries" and not wanted):
            raise Error(f"{problem}: its {field} is {found}, not {wanted}")
