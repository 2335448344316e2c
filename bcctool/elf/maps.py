"""Map definitions: what a map is to be created with, and BTF-defined maps in `.maps` (the macros of bpf_helpers.h)."""

from __future__ import annotations

from bisect import bisect_right

from ..btf import kinds
from .reader import STT_SECTION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from ..btf.reader import Btf, Member
    from .reader import Elf, Section

MAPS_SECTION = ".maps"
PROG_ARRAY, ARRAY_OF_MAPS, HASH_OF_MAPS = 3, 12, 13  # BPF_MAP_TYPE_*
MAPS_OF_MAPS = (ARRAY_OF_MAPS, HASH_OF_MAPS)
FD_SIZE = 4
NAME_LEN = 15  # BPF_OBJ_NAME_LEN without the NUL
POINTER_SIZE = 8
PIN_NONE, PIN_BY_NAME = 0, 1  # enum libbpf_pin_type
LINKAGE_GLOBAL = 1
MAX_MAPS, MAX_MEMBERS = 4096, 64  # far above any real object; they bound the time that a hostile one can take
NUMBERS = {  # members given with __uint, and the field of MapDef that each one sets
    "type": "type",
    "max_entries": "max_entries",
    "map_flags": "flags",
    "numa_node": "numa_node",
    "map_extra": "map_extra",
    "pinning": "pinning",
    "key_size": "key_size",
    "value_size": "value_size",
}
TYPES = {"key": ("key_size", "key_type_id"), "value": ("value_size", "value_type_id")}  # members given with __type


class MapDef:
    """A map as an object file asks for it; sizes in bytes, `type` and `flags` as in union bpf_attr.

    name: its full name, of which kernel_name makes the one that the kernel gets.
    section, section_index, section_offset: where its symbol stands, which is what relocations refer to; -1 for what
    has no place: the offset of an inner map, the section of `.kconfig`.
    inner: the inner map of a map of maps. values: (index, symbol name) of what the slots are to hold.
    key_type_id, value_type_id: 0 without BTF. contents: the first value of a global data or struct_ops map, None for
    one that starts with zeros. global_data: it is a whole section. legacy: it comes from a struct bpf_map_def.
    """

    __slots__ = (
        "contents",
        "flags",
        "global_data",
        "inner",
        "key_size",
        "key_type_id",
        "legacy",
        "map_extra",
        "max_entries",
        "name",
        "numa_node",
        "pinning",
        "section",
        "section_index",
        "section_offset",
        "type",
        "value_size",
        "value_type_id",
        "values",
    )

    def __init__(self, name: str, section: Section, section_offset: int = 0) -> None:
        self.name = name
        self.section = section.name
        self.section_index = section.index
        self.section_offset = section_offset
        self.type = self.key_size = self.value_size = self.max_entries = self.flags = 0
        self.numa_node = self.map_extra = self.key_type_id = self.value_type_id = 0
        self.pinning = PIN_NONE
        self.inner: MapDef | None = None
        self.values: list[tuple[int, str]] = []
        self.contents: memoryview | None = None
        self.global_data = self.legacy = False


def kernel_name(name: str) -> str:
    """The name that the kernel gets: its first 15 characters, `_` for those that it does not allow."""
    return "".join(c if (c.isascii() and c.isalnum()) or c in "_." else "_" for c in name[:NAME_LEN])


def btf_maps(elf: Elf, btf: Btf | None, strict: bool = True) -> list[MapDef]:
    """The maps that `.maps` defines, by offset.

    `btf` has the offsets of its variables filled in (datasec.fixed_btf). Raises Malformed for a definition that
    contradicts itself, refers outside its section or, if `strict`, has a member of an unknown name.
    """
    section = elf.section(MAPS_SECTION)
    if section is None or not section.size:
        return []
    id = btf.find(MAPS_SECTION, kinds.DATASEC) if btf else None
    if btf is None or id is None:
        elf.malformed(section, "its maps are described by BTF, which is missing: compile with clang -g")
    variables = sorted(btf.type(id).entries, key=lambda entry: entry[1])
    if len(variables) > MAX_MAPS:
        elf.malformed(section, f"{len(variables)} maps, {MAX_MAPS} are supported")
    slots = []
    end = 0
    for type_id, offset, size in variables:
        definition = _Definition(elf, btf, section, btf.name(type_id), strict)
        if offset < end or not 0 < size <= section.size - offset:
            definition.malformed(f"{size} bytes at offset {offset} of {section.size} overlap another map or the end")
        end = offset + size
        map_ = MapDef(definition.name, section, offset)
        definition.fill(map_, definition.struct_of(type_id))
        slots.append((map_, definition.values_offset))
    _fill_values(elf, section, slots)
    return [map_ for map_, _ in slots]


class _Definition:
    """The reading of one `struct { __uint(type, …); … } name SEC(".maps")`."""

    def __init__(self, elf: Elf, btf: Btf, section: Section, name: str, strict: bool) -> None:
        self.elf = elf
        self.btf = btf
        self.section = section
        self.name = name
        self.strict = strict
        self.values_offset = 0  # of the member `values` in the struct, 0 without one

    def malformed(self, reason: str) -> NoReturn:
        self.elf.malformed(self.section, f"map '{self.name}': {reason}")

    def struct_of(self, var_id: int) -> int:
        var = self.btf.type(var_id)
        if var.kind != kinds.VAR:
            self.malformed("is not a variable")
        if var.entries[0] != LINKAGE_GLOBAL:
            self.malformed("is static or extern; link the object with its definition, and do not make maps static")
        return self.btf.resolve(var.type_id)

    def fill(self, map_: MapDef, struct_id: int) -> None:
        """Set the fields of a map from the members of its struct."""
        struct = self.btf.type(struct_id)
        if struct.kind != kinds.STRUCT:
            self.malformed("is not a struct")
        if struct.vlen > MAX_MEMBERS:
            self.malformed(f"{struct.vlen} members, {MAX_MEMBERS} are supported")
        seen = set()
        for member in struct.entries:
            if member.name in seen:
                self.malformed(f"two members {member.name}")
            seen.add(member.name)
            if member.name in NUMBERS:
                self._set(map_, NUMBERS[member.name], self._number(member))
            elif member.name in TYPES:
                self._set_type(map_, member)
            elif member.name == "values":
                self._set_values(map_, member)
            elif self.strict:
                self.malformed(f"unknown member {member.name}; --mapcompat ignores it")
        if not map_.type:
            self.malformed("has no member type")
        if map_.pinning not in (PIN_NONE, PIN_BY_NAME):
            self.malformed(f"pinning {map_.pinning} is neither LIBBPF_PIN_NONE nor LIBBPF_PIN_BY_NAME")

    def _set(self, map_: MapDef, field: str, number: int) -> None:
        if field.endswith("_size") and getattr(map_, field) not in (0, number):
            self.malformed(f"{field} is both {getattr(map_, field)} and {number}")
        setattr(map_, field, number)

    def _pointed(self, member: Member) -> int:
        """The type that a member points to: all macros encode what they say as a pointer."""
        type_ = self.btf.type(self.btf.resolve(member.type_id))
        if type_.kind != kinds.PTR:
            self.malformed(f"member {member.name} is not a pointer: use the macros of bpf_helpers.h")
        return type_.type_id

    def _number(self, member: Member) -> int:
        """The value of __uint(name, value), or of __ulong(name, value), whose value is an enumerator's."""
        type_ = self.btf.type(self.btf.resolve(member.type_id))
        if type_.kind in (kinds.ENUM, kinds.ENUM64) and len(type_.entries) == 1:
            return int(type_.entries[0][1]) & 0xFFFFFFFFFFFFFFFF
        array = self.btf.type(self.btf.resolve(self._pointed(member)))
        if array.kind != kinds.ARRAY:
            self.malformed(f"member {member.name} does not point to an array: use __uint")
        return int(array.entries[2])

    def _set_type(self, map_: MapDef, member: Member) -> None:
        size_field, id_field = TYPES[member.name]
        id = self._pointed(member)
        setattr(map_, id_field, id)
        self._set(map_, size_field, self.btf.size_of(id))

    def _set_values(self, map_: MapDef, member: Member) -> None:
        """What __array(values, …) says: the inner map of a map of maps, or the functions of a program array."""
        array = self.btf.type(self.btf.resolve(member.type_id))
        if map_.section_offset < 0:
            self.malformed("an inner map cannot have values of its own")
        if array.kind != kinds.ARRAY or array.entries[2]:
            self.malformed("member values is not an array without size: use __array")
        pointer = self.btf.type(self.btf.resolve(array.entries[0]))
        target = self.btf.resolve(pointer.type_id) if pointer.kind == kinds.PTR else 0
        wanted = {PROG_ARRAY: kinds.FUNC_PROTO, **dict.fromkeys(MAPS_OF_MAPS, kinds.STRUCT)}.get(map_.type)
        if wanted is None:
            self.malformed("values need a type before them, of a map of maps or of a program array")
        if self.btf.kind(target) != wanted:
            self.malformed("values are pointers to something else than this type of map holds")
        self._set(map_, "value_size", FD_SIZE)
        self.values_offset = member.bit_offset // 8
        if wanted == kinds.STRUCT:
            map_.inner = MapDef(f"{map_.name}.inner", self.section, -1)
            self.fill(map_.inner, target)
            if map_.inner.pinning or map_.inner.type in MAPS_OF_MAPS:
                self.malformed("an inner map can neither be pinned nor hold maps")


def _fill_values(elf: Elf, section: Section, slots: list[tuple[MapDef, int]]) -> None:
    """Note which symbols the initialisers of `values` name; slots: each map with the offset of `values` in it.

    Such an initialiser is a relocation of a pointer. What is static it refers to by section and the number in place.
    """
    starts = [map_.section_offset for map_, _ in slots]
    names = {(symbol.section, symbol.value): symbol.name for symbol in elf.symbols if symbol.type != STT_SECTION}
    for offset, _, index, addend in elf.relocations(section.index):
        map_, values_offset = slots[max(0, bisect_right(starts, offset) - 1)]
        slot, rest = divmod(offset - map_.section_offset - values_offset, POINTER_SIZE)
        if not values_offset or slot < 0 or rest:
            elf.malformed(section, f"map '{map_.name}': the relocation at offset {offset} is not of one of its values")
        symbol = elf.symbols[index]
        name = symbol.name
        if symbol.type == STT_SECTION:
            place = section.data[offset : offset + POINTER_SIZE]
            name = names.get((symbol.section, addend or int.from_bytes(place, elf.byteorder)), "")
        if not name:
            elf.malformed(section, f"map '{map_.name}': the value {slot} refers to nothing with a name")
        map_.values.append((slot, name))
