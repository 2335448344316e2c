"""BCC's tables (bcc.table) over any map in the kernel, with bulk access that is safe for every type of map."""

from __future__ import annotations

import ctypes

from bcc import table as bcc_table

from ..btf import kinds
from ..errors import Error
from ..kernel import uapi
from ..objects.map import PERCPU_ALIGN, Map
from .c_types import c_type, of_size
from .table_text import scan, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from ..btf.reader import Btf
    from .c_types import CType

MAX_STACK_DEPTH: int = bcc_table.StackTrace.MAX_DEPTH
BUILD_ID_SIZE = 20
EVENT_KINDS = (kinds.STRUCT, kinds.UNION, kinds.TYPEDEF)


class _Bulk:
    """What all tables are: a table of BCC's around one of our maps, which it keeps open."""

    bpf: Any
    Key: CType
    Leaf: CType

    def __init__(self, owner: Any, map: Map, map_id: int, *types: CType, **named: Any) -> None:
        super().__init__(owner, map_id, map.fd, *types, **named)  # type: ignore[call-arg]
        self.map = map
        self.ttype = map.info.type
        self.flags = map.info.map_flags
        self.max_entries = map.info.max_entries

    def _leaf(self, data: memoryview) -> Any:
        return _copy(self.Leaf, data)

    def _entries(self, batches: Iterator[tuple[memoryview, memoryview, int]]) -> Iterator[tuple[Any, Any]]:
        key_size, size = self.map.info.key_size, self.map.value_bytes
        for keys, values, n in batches:
            for at in range(n):
                key = _copy(self.Key, keys[at * key_size : (at + 1) * key_size])
                yield key, self._leaf(values[at * size : (at + 1) * size])

    def items_lookup_batch(self) -> Iterator[tuple[Any, Any]]:
        """All entries as pairs of ctypes, looked up in batches of bounded size."""
        return self._entries(self.map.batches())

    def items_lookup_and_delete_batch(self) -> Iterator[tuple[Any, Any]]:
        """The same, and each batch is gone from the map when its first pair comes."""
        return self._entries(self.map.taken_batches())

    def items_delete_batch(self, ct_keys: Any = None) -> None:
        """Delete these keys (an array of ctypes), or all entries."""
        if ct_keys is not None:
            super().items_delete_batch(ct_keys)  # type: ignore[misc]
            return
        for _ in self.map.taken_batches():
            pass

    def key_sprintf(self, key: Any) -> bytes:
        """A key as text, as BCC writes it."""
        return text(key)

    def leaf_sprintf(self, leaf: Any) -> bytes:
        """A leaf as text, as BCC writes it."""
        return text(leaf)

    def key_scanf(self, key_str: bytes) -> Any:
        """A key from its text."""
        return scan(key_str, self.Key)

    def leaf_scanf(self, leaf_str: bytes) -> Any:
        """A leaf from its text."""
        return scan(leaf_str, self.Leaf)


def _copy(kind: CType, data: memoryview) -> Any:
    """An object of a type, which may be larger than what there is."""
    return kind.from_buffer_copy(data.tobytes().ljust(ctypes.sizeof(kind), b"\0"))


class _Counted(_Bulk):
    """Tables whose entries come and go."""

    def __len__(self) -> int:
        return len(self.map)


class _PerCpu(_Bulk):
    """A value for each possible CPU: `Leaf` is an array of slots, each padded to 8 bytes as the kernel has them.

    Reading gives an array of the type itself (`sLeaf`); writing takes that, a `Leaf`, or a list of numbers.
    """

    def __init__(self, owner: Any, map: Map, map_id: int, key: CType, leaf: CType, **named: Any) -> None:
        super().__init__(owner, map, map_id, key, ctypes.c_uint64, **named)  # BCC knows aligned ones only
        self.sLeaf = leaf
        self.total_cpu = map.cpus
        self.alignment = ctypes.sizeof(leaf) % PERCPU_ALIGN
        self.Leaf = slot(leaf) * map.cpus

    def _leaf(self, data: memoryview) -> Any:
        size, stride = ctypes.sizeof(self.sLeaf), self.map.value_stride
        packed = b"".join([data[at : at + size] for at in range(0, len(data), stride)])
        return (self.sLeaf * self.total_cpu).from_buffer_copy(packed)

    def getvalue(self, key: Any) -> Any:
        """The values of a key, one per CPU. KeyError if there are none."""
        data = self.map.lookup(bytes(self._normalized(key)))
        if data is None:
            raise KeyError(key)
        return self._leaf(memoryview(data))

    def _normalized(self, key: Any) -> Any:
        normalize: Callable[[Any], Any] | None = getattr(self, "_normalize_key", None)
        return normalize(key) if normalize else key

    def __setitem__(self, key: Any, leaf: Any) -> None:
        values = [bytes(value if isinstance(value, _RAW) else self.sLeaf(value)) for value in leaf]
        if len(values) != self.total_cpu:
            raise Error(f"{len(values)} values for {self.total_cpu} CPUs")
        size, stride = ctypes.sizeof(self.sLeaf), self.map.value_stride
        data = b"".join([value[:size].ljust(stride, b"\0") for value in values])
        self.map.update(bytes(self._normalized(key)), data)


_RAW = (bytes, ctypes.Structure, ctypes.Union, ctypes.Array, ctypes._SimpleCData)


def slot(leaf: CType) -> CType:
    """A type with room behind it up to the next multiple of 8 bytes."""
    missing = -ctypes.sizeof(leaf) % PERCPU_ALIGN
    if not missing:
        return leaf
    if issubclass(leaf, (ctypes.Structure, ctypes.Union)):
        fields = [("padded", leaf), ("padding", ctypes.c_uint8 * missing)]
        return type(leaf.__name__, (ctypes.Structure,), {"_anonymous_": ["padded"], "_pack_": 1, "_fields_": fields})
    wide = {ctypes.c_uint32: ctypes.c_uint64, ctypes.c_int32: ctypes.c_int64}.get(leaf)  # BCC's own
    fields = [("value", leaf), ("padding", ctypes.c_uint8 * missing)]
    return wide or type("slot", (ctypes.Structure,), {"_pack_": 1, "_fields_": fields})


class _Events(_Bulk):
    """A table that carries data from the kernel; `event_type` is the ctypes class of it, None if nobody tells."""

    event_type: CType | None = None

    def event(self, data: Any) -> Any:
        """The data of a callback as its type. Error if that is not known."""
        if self.bpf.module is not None:
            return super().event(data)  # type: ignore[misc]
        if self.event_type is None:
            raise Error(
                f"map {self.map.id}: no type of its data is known: give one to get_table(..., leaftype=TYPE), or in C "
                "let the map have it as its `value`, or a struct be called like the map, without the s"
            )
        pointer: Any = ctypes.cast(data, ctypes.POINTER(self.event_type))
        return pointer.contents


class _Queue(_Bulk):
    """Values without keys."""

    def _entries(self, batches: object) -> Iterator[tuple[Any, Any]]:
        raise Error(f"map {self.map.id}: a {self.map.type} has no keys")


def _classes() -> dict[str, Any]:
    """The class for each type of map: BCC's, with one of the above before it."""
    rows: tuple[tuple[type, str, tuple[str, ...]], ...] = (
        (_Counted, "HashTable", ("hash", "sockhash", "devmap_hash")),
        (_Counted, "LruHash", ("lru_hash",)),
        (_Counted, "LpmTrie", ("lpm_trie",)),
        (_Bulk, "Array", ("array",)),
        (_Bulk, "ProgArray", ("prog_array",)),
        (_Bulk, "CgroupArray", ("cgroup_array",)),
        (_Counted, "StackTrace", ("stack_trace",)),
        (_Bulk, "DevMap", ("devmap", "sockmap")),
        (_Bulk, "CpuMap", ("cpumap",)),
        (_Bulk, "XskMap", ("xskmap",)),
        (_Bulk, "MapInMapArray", ("array_of_maps",)),
        (_Counted, "MapInMapHash", ("hash_of_maps",)),
        (_PerCpu, "PerCpuHash", ("percpu_hash",)),
        (_PerCpu, "LruPerCpuHash", ("lru_percpu_hash",)),
        (_PerCpu, "PerCpuArray", ("percpu_array",)),
        (_Events, "PerfEventArray", ("perf_event_array",)),
        (_Events, "RingBuf", ("ringbuf",)),
        (_Queue, "QueueStack", ("queue", "stack")),
    )
    found: dict[str, Any] = {}
    for ours, name, types in rows:
        made = type(name, (ours, getattr(bcc_table, name)), {})
        found.update(dict.fromkeys(types, made))
    return found


CLASSES = _classes()


def make(
    owner: Any,
    map: Map,
    key: CType | None = None,
    leaf: CType | None = None,
    name: bytes = b"",
    reducer: Callable[[Any, Any], Any] | None = None,
    map_id: int | None = None,
    types: Btf | None = None,
) -> Any:
    """A table of BCC's over a map.

    owner: the bcc.BPF that perf and ring buffers are to belong to. key, leaf: ctypes, those of the map's BTF by
    default; the leaf of a perf or ring buffer is the type of its data. name: the map's in its source. reducer: of the
    values of all CPUs to one. map_id: BCC's number of the map, for one of its own modules. types: where the type of a
    buffer's data is looked for.
    Error for maps that BCC has no table for, and for types that are smaller than the map's.
    """
    if map.type not in CLASSES:
        raise Error(f"map {map.id}: BCC has no table for maps of type {map.type}")
    kind = CLASSES[map.type]
    event, leaf = (leaf, None) if issubclass(kind, _Events) else (None, leaf)
    own_key, own_leaf = declared(map)
    key, leaf = key or own_key, leaf or own_leaf
    _check(map, "leaf", leaf, map.info.value_size)
    named: dict[str, Any] = {"name": name}
    if issubclass(kind, _PerCpu):
        named["reducer"] = reducer
    if issubclass(kind, _Queue):
        return kind(owner, map, map_id or map.id, leaf)
    _check(map, "key", key, map.info.key_size)
    made = kind(owner, map, map.id if map_id is None else map_id, key, leaf, **named)
    if isinstance(made, _Events):
        made.event_type = event or event_type(types, name.decode("utf-8", "replace"))
    return made


def declared(map: Map) -> tuple[CType, CType]:
    """The types of a map's keys and values, by its BTF, or plain ones of their size."""
    if map.type == "stack_trace":
        return ctypes.c_int, _stack(map)
    types, info = map.types(), map.info
    found = []
    for size, id in ((info.key_size, info.btf_key_type_id), (info.value_size, info.btf_value_type_id)):
        made = c_type(types, id) if types and id else None
        found.append(made if made and ctypes.sizeof(made) == size else of_size(size))
    if map.type == "lpm_trie" and not info.btf_key_type_id:
        data = ctypes.c_uint8 * (info.key_size - ctypes.sizeof(ctypes.c_uint32))
        found[0] = type("lpm_key", (ctypes.Structure,), {"_fields_": [("prefixlen", ctypes.c_uint32), ("data", data)]})
    return found[0], found[1]


def _stack(map: Map) -> CType:
    """What bcc.table.StackTrace walks: addresses, or build ids with offsets, as many as it asks for or the map has."""
    if map.info.map_flags & uapi.BPF_F_STACK_BUILD_ID:
        frame: CType = _BuildIdFrame
        names = "trace"
    else:
        frame, names = ctypes.c_uint64, "ip"
    depth = max(MAX_STACK_DEPTH, map.info.value_size // ctypes.sizeof(frame))
    return type("stack", (ctypes.Structure,), {"_fields_": [(names, frame * depth)]})


class _Place(ctypes.Union):
    _fields_ = (("offset", ctypes.c_uint64), ("ip", ctypes.c_uint64))


class _BuildIdFrame(ctypes.Structure):
    _anonymous_ = ("place",)
    _fields_ = (("status", ctypes.c_int32), ("build_id", ctypes.c_ubyte * BUILD_ID_SIZE), ("place", _Place))


def _check(map: Map, what: str, type_: CType, size: int) -> None:
    """Error for a type that the kernel would write, or read, beyond the end of."""
    if ctypes.sizeof(type_) < size:
        raise Error(f"map {map.id}: a {what} type of {ctypes.sizeof(type_)} bytes, the map's has {size}")


def event_type(types: Btf | None, name: str) -> CType | None:
    """The type of a buffer's data by convention: a struct or typedef called like the map, without the s, or `event`."""
    if types is None:
        return None
    for wanted in (name, name.removesuffix("s"), "event"):
        for kind in EVENT_KINDS:
            id = types.find(wanted, kind) if wanted else None
            if id is not None:
                return c_type(types, id)
    return None
