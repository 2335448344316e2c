"""Live maps: raw access by key, creation, and a dict of Python values (linux/bpf.h, Documentation/bpf/maps.rst)."""

from __future__ import annotations

import ctypes
import errno

from ..errors import Error, KernelError
from ..kernel import bpf, libbpf, proc, uapi
from .handle import Handle
from .prog import name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from typing_extensions import Self

    from ..btf.reader import Btf as Reader
    from .map_batches import Group
    from .map_codec import Codec

DEFAULT_BATCH = 4096  # entries
PERCPU_ALIGN = 8  # the values of the CPUs start at multiples of it
PERCPU_TYPES = frozenset(("percpu_hash", "percpu_array", "lru_percpu_hash", "percpu_cgroup_storage"))
MAP_IN_MAP_TYPES = frozenset(("array_of_maps", "hash_of_maps"))
_METADATA_PREFIX = "bpf_metadata_"
_MAX_METADATA_SIZE = 1 << 20


class Map(Handle):
    """A map in the kernel.

    lookup(), update() and so on take and give raw bytes; as a dict, `m[key]`, it has Python values, by BTF.
    Without BTF these are bytes too, and an int is accepted where they have 1, 2, 4 or 8 bytes. The value of a per-CPU
    map is a list, one value per possible CPU; a single value that is assigned is that of all CPUs.
    """

    KIND = bpf.MAP
    NOUN = "map"
    BY_ID = "get map by id ({})"
    INFO = uapi.map_info

    def __init__(self, fd: int, info: uapi.map_info | None = None) -> None:
        super().__init__(fd, info)
        self._codecs: tuple[Codec, Codec] | None = None

    @classmethod
    def create(
        cls,
        type: str | int,
        key_size: int,
        value_size: int,
        max_entries: int,
        name: str = "",
        flags: int = 0,
        *,
        inner_map_fd: int = 0,
        ifindex: int = 0,
        btf_fd: int = 0,
        btf_key_type_id: int = 0,
        btf_value_type_id: int = 0,
        btf_vmlinux_value_type_id: int = 0,
        value_type_btf_obj_fd: int = 0,
        map_extra: int = 0,
        numa_node: int = 0,
    ) -> Self:
        """A new map; sizes in bytes, type by name or number, the rest as in bpf_attr. KernelError when refused."""
        if isinstance(type, str):
            if type not in uapi.MAP_TYPES:
                raise Error(f"unrecognized map type: {type}")
            type = uapi.MAP_TYPES.index(type)
        opts = libbpf.opts(
            libbpf.map_create_opts,
            btf_fd=btf_fd,
            btf_key_type_id=btf_key_type_id,
            btf_value_type_id=btf_value_type_id,
            btf_vmlinux_value_type_id=btf_vmlinux_value_type_id,
            inner_map_fd=inner_map_fd,
            map_flags=flags,
            map_extra=map_extra,
            numa_node=numa_node,
            map_ifindex=ifindex,
        )
        sizes = (key_size, value_size, max_entries)
        try:
            if value_type_btf_obj_fd:  # libbpf 1.1 has no word for it
                return cls(bpf.map_create(type, name, sizes, opts, value_type_btf_obj_fd))
            fd = libbpf.call("bpf_map_create", type, name.encode() or None, *sizes, ctypes.byref(opts))
        except OSError as error:
            raise KernelError("map create failed", error.errno or 0, status=255) from None
        return cls(fd)

    @property
    def type(self) -> str:
        """"hash", "percpu_array", …; a type that is newer than this program as its number."""
        return name_of(uapi.MAP_TYPES, self.info.type)

    @property
    def cpus(self) -> int:
        """Over how many CPUs each value is spread; 0 for maps that are not per CPU."""
        return proc.possible_cpus() if self.type in PERCPU_TYPES else 0

    @property
    def value_stride(self) -> int:
        """Bytes from the value of one CPU to that of the next; the size of a value in all other maps."""
        size: int = self.info.value_size
        return -(-size // PERCPU_ALIGN) * PERCPU_ALIGN if self.type in PERCPU_TYPES else size

    @property
    def value_bytes(self) -> int:
        """Bytes of what a lookup gives: the values of all CPUs."""
        return self.value_stride * (self.cpus or 1)

    def _checked_key(self, key: bytes | None) -> bytes | None:
        """A key as the system calls take it: None for maps without keys."""
        size = self.info.key_size
        if len(key or b"") != size:
            raise Error(f"key expected {size} bytes got {len(key or b'')}")
        return key or None

    def _access(self, function: str, what: str, key: bytes, *args: object, empty: bool = False) -> bool:
        """Call libbpf; whether there is such an entry, where `empty` says that there may be none."""
        try:
            libbpf.call(function, self.fd, self._checked_key(key), *args)
        except OSError as error:
            if empty and error.errno == errno.ENOENT:
                return False
            raise KernelError(what, error.errno or 0) from None
        return True

    def lookup(self, key: bytes = b"") -> bytes | None:
        """The value (`value_bytes` long) of a key, None where there is none; of a queue or stack what comes next."""
        value = ctypes.create_string_buffer(self.value_bytes)
        return value.raw if self._access("bpf_map_lookup_elem", "lookup failed", key, value, empty=True) else None

    def lookup_and_delete(self, key: bytes = b"") -> bytes | None:
        """The value of a key, which is gone then; None where there is none."""
        value = ctypes.create_string_buffer(self.value_bytes)
        found = self._access("bpf_map_lookup_and_delete_elem", "pop failed", key, value, empty=True)
        return value.raw if found else None

    def update(self, key: bytes, value: bytes, flags: int = uapi.BPF_ANY) -> None:
        """Set the value (`value_bytes` long) of a key; flags BPF_ANY, BPF_NOEXIST or BPF_EXIST."""
        if len(value) != self.value_bytes:
            raise Error(f"value expected {self.value_bytes} bytes got {len(value)}")
        self._access("bpf_map_update_elem", "update failed", key, value, flags)

    def delete(self, key: bytes) -> None:
        """Remove an entry. KernelError (ENOENT) where there is none."""
        self._access("bpf_map_delete_elem", "delete failed", key)

    def next_key(self, key: bytes | None = None) -> bytes | None:
        """The key after this one, the first without one or after one that is not there; None at the end."""
        following = ctypes.create_string_buffer(self.info.key_size)
        try:
            libbpf.call("bpf_map_get_next_key", self.fd, None if key is None else self._checked_key(key), following)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise KernelError("can't get next key", error.errno or 0) from None
        return following.raw

    def freeze(self) -> None:
        """Forbid user space to change the map from now on."""
        try:
            libbpf.call("bpf_map_freeze", self.fd)
        except OSError as error:
            raise KernelError("failed to freeze map", error.errno or 0, status=255) from None

    def groups(self, count: int = DEFAULT_BATCH) -> Iterator[Group]:
        """All entries as (keys, values, n, errno), see map_batches; unreadable ones are groups of their own."""
        from .map_batches import groups

        return groups(self, count)

    def batches(self, count: int = DEFAULT_BATCH) -> Iterator[tuple[memoryview, memoryview, int]]:
        """All readable entries as (keys, values, n): n keys and values side by side, at most about `count` of them.

        The views are valid until the next batch. A map that changes meanwhile may show an entry twice or not at all.
        """
        for keys, values, n, error in self.groups(count):
            if not error:
                yield keys, values, n

    def taken_batches(self, count: int = DEFAULT_BATCH) -> Iterator[tuple[memoryview, memoryview, int]]:
        """Like batches(), of entries that are gone from the map then. KernelError for types without that."""
        from .map_batches import taken

        return taken(self, count)

    def types(self) -> Reader | None:
        """The types that came with the map, None without BTF."""
        if not self.info.btf_id:
            return None
        from .btf import Btf

        with Btf.from_id(self.info.btf_id) as btf:
            return btf.reader()

    def value_type(self, types: Reader | None) -> tuple[Reader | None, int]:
        """(BTF, type id) of the values: the kernel's own for struct_ops maps, else the map's; id 0 if there is none."""
        if self.info.btf_vmlinux_value_type_id:
            from .btf import kernel_types

            return kernel_types(self.info.btf_vmlinux_id), self.info.btf_vmlinux_value_type_id
        return types, self.info.btf_value_type_id

    @property
    def codecs(self) -> tuple[Codec, Codec]:
        """What makes bytes of Python keys and values, and back."""
        if self._codecs is None:
            from .map_codec import Codec

            types = self.types()
            key = Codec("key", self.info.key_size, types, self.info.btf_key_type_id)
            self._codecs = key, Codec("value", self.info.value_size, *self.value_type(types))
        return self._codecs

    def use_types(self, types: Reader | None, key_type_id: int, value_type_id: int) -> None:
        """Take these types for keys and values instead of those that the kernel keeps; without any they are bytes."""
        from .map_codec import Codec

        key = Codec("key", self.info.key_size, types, key_type_id)
        self._codecs = key, Codec("value", self.info.value_size, types, value_type_id)

    def _decode_value(self, data: bytes) -> Any:
        codec, stride = self.codecs[1], self.value_stride
        if not self.cpus:
            return codec.decode(data)
        return [codec.decode(data[at : at + codec.size]) for at in range(0, len(data), stride)]

    def _encode_value(self, value: Any) -> bytes:
        encode, cpus = self.codecs[1].encode, self.cpus
        if not cpus:
            return encode(value)
        values = value if isinstance(value, list) else [value] * cpus
        if len(values) != cpus:
            raise Error(f"{len(values)} values for {cpus} CPUs")
        return b"".join([encode(item).ljust(self.value_stride, b"\0") for item in values])

    def __getitem__(self, key: Any) -> Any:
        """The value of a key. KeyError if there is none."""
        data = self.lookup(self.codecs[0].encode(key))
        if data is None:
            raise KeyError(key)
        return self._decode_value(data)

    def get(self, key: Any, default: Any = None) -> Any:
        """The value of a key, or the default."""
        data = self.lookup(self.codecs[0].encode(key))
        return default if data is None else self._decode_value(data)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.update(self.codecs[0].encode(key), self._encode_value(value))

    def __delitem__(self, key: Any) -> None:
        try:
            self.delete(self.codecs[0].encode(key))
        except KernelError as error:
            if error.errno == errno.ENOENT:
                raise KeyError(key) from None
            raise

    def __contains__(self, key: Any) -> bool:
        return self.lookup(self.codecs[0].encode(key)) is not None

    def __len__(self) -> int:
        """How many entries there are, which takes a walk over all of them."""
        return sum(n for _, _, n in self.batches())

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Any]:
        return self.keys()

    def keys(self) -> Iterator[Any]:
        """The keys, in the kernel's order."""
        codec = self.codecs[0]
        for keys, _, n in self.batches():
            yield from map(codec.decode, _pieces(keys, codec.size, n))

    def values(self) -> Iterator[Any]:
        """The values, in the order of the keys."""
        for _, values, n in self.batches():
            yield from map(self._decode_value, _pieces(values, self.value_bytes, n))

    def items(self) -> Iterator[tuple[Any, Any]]:
        """Pairs of key and value."""
        codec = self.codecs[0]
        for keys, values, n in self.batches():
            decoded = map(codec.decode, _pieces(keys, codec.size, n))
            yield from zip(decoded, map(self._decode_value, _pieces(values, self.value_bytes, n)), strict=True)

    @classmethod
    def metadata(cls, map_ids: Iterable[int]) -> dict[str, Any]:
        """The values of variables `bpf_metadata_*` in the .rodata maps among these, by name without that prefix."""
        found: dict[str, Any] = {}
        for id in map_ids:
            try:
                map_ = cls(bpf.fd_by_id(bpf.MAP, id, uapi.BPF_F_RDONLY))
            except OSError:
                continue  # it went away
            with map_:
                if map_.type == "array" and map_.info.name.endswith(b".rodata") and map_.info.btf_id:
                    found |= map_._metadata()
        return found

    def _metadata(self) -> dict[str, Any]:
        from ..btf.kinds import DATASEC
        from .map_codec import Codec

        types, id = self.types(), self.info.btf_value_type_id
        if types is None or types.kind(id) != DATASEC or self.info.value_size > _MAX_METADATA_SIZE:
            return {}
        variables = [(types.type(type_id), offset, size) for type_id, offset, size in types.type(id).entries]
        wanted = [variable for variable in variables if variable[0].name.startswith(_METADATA_PREFIX)]
        data = self.lookup(bytes(self.info.key_size)) if wanted else None
        if data is None:
            return {}
        return {
            variable.name.removeprefix(_METADATA_PREFIX): Codec(variable.name, size, types, variable.type_id).decode(
                data[offset : offset + size]
            )
            for variable, offset, size in wanted
        }


def _pieces(view: memoryview, size: int, n: int) -> Iterator[bytes]:
    data = view.tobytes()
    return (data[at * size : at * size + size] for at in range(n))
