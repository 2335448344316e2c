"""Maps that an object has without defining them: global data, `.kconfig` and struct_ops (libbpf's conventions)."""

from __future__ import annotations

from ..btf import kinds
from .externs import KCONFIG
from .maps import NAME_LEN, MapDef, kernel_name
from .reader import SHT_NOBITS, SHT_PROGBITS, Section

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..btf.reader import Btf
    from .externs import Extern
    from .reader import Elf

ARRAY, STRUCT_OPS = 2, 26  # BPF_MAP_TYPE_*
F_RDONLY_PROG, F_MMAPABLE, F_LINK = 0x80, 0x400, 0x2000  # BPF_F_*
KEY_SIZE = 4
MAX_VALUE_SIZE = 0xFFFFFFFF
MIN_SUFFIX_LEN = 7  # room that libbpf keeps for the section's name, so that an object's maps share their prefix
# Section name: flags of its map, and the type of ELF section. With a dot and more behind it, it is a map of its own.
DATA_SECTIONS = {
    ".data": (F_MMAPABLE, SHT_PROGBITS),
    ".rodata": (F_MMAPABLE | F_RDONLY_PROG, SHT_PROGBITS),
    ".bss": (F_MMAPABLE, SHT_NOBITS),
}
STRUCT_OPS_SECTIONS = {".struct_ops": 0, ".struct_ops.link": F_LINK}  # a leading "?" says: not loaded by default
ARENA, ARENA_SECTION = 33, ".addr_space.1"  # BPF_MAP_TYPE_ARENA, and the variables that live in its memory
NO_SECTION = -1


def data_maps(elf: Elf, btf: Btf | None, object_name: str) -> list[MapDef]:
    """The maps of global variables, in the order of their sections. Empty sections have none."""
    maps = []
    for section in elf.sections:
        base = "." + section.name.split(".")[1] if section.name.startswith(".") else ""
        flags, type_ = DATA_SECTIONS.get(base, (0, 0))
        if section.type != type_ or not section.size:
            continue
        map_ = _array(elf, btf, section, section.size, flags)
        map_.name = _map_name(object_name, section.name) if section.name == base else section.name
        map_.contents = section.data if section.type == SHT_PROGBITS else None
        maps.append(map_)
    return maps


def kconfig_map(elf: Elf, btf: Btf | None, externs: list[Extern], object_name: str) -> list[MapDef]:
    """The map of the kernel's configuration, if any `.kconfig` variable is used; the loader fills in the values."""
    variables = [extern for extern in externs if extern.section == KCONFIG]
    if not variables:
        return []
    section = Section(NO_SECTION, (0,) * 10)
    section.name = KCONFIG
    size = max(extern.offset + extern.size for extern in variables)
    map_ = _array(elf, btf, section, size, F_MMAPABLE | F_RDONLY_PROG)
    map_.name = _map_name(object_name, KCONFIG)
    return [map_]


def fill_arena(elf: Elf, maps: list[MapDef]) -> None:
    """Give the arena among these maps its first contents: the variables of address space 1."""
    section = elf.section(ARENA_SECTION)
    if section is None or not section.size:
        return
    arenas = [map_ for map_ in maps if map_.type == ARENA]
    if len(arenas) != 1:
        elf.malformed(section, f"its variables need a map of type arena to live in, there are {len(arenas)}")
    arenas[0].contents = section.data


def struct_ops_maps(elf: Elf, btf: Btf | None) -> list[MapDef]:
    """A map for each variable in `.struct_ops` and its siblings; `value_size` is that of the object's own struct."""
    maps = []
    for section in elf.sections:
        flags = STRUCT_OPS_SECTIONS.get(section.name.removeprefix("?"))
        if flags is None or not section.data:
            continue
        id = btf.find(section.name, kinds.DATASEC) if btf else None
        if btf is None or id is None:
            elf.malformed(section, "needs BTF: compile with clang -g")
        for type_id, offset, size in btf.type(id).entries:
            map_ = MapDef(btf.name(type_id), section, offset)
            map_.type, map_.key_size, map_.value_size, map_.max_entries = STRUCT_OPS, KEY_SIZE, size, 1
            map_.flags = flags
            map_.value_type_id = btf.resolve(btf.type(type_id).type_id)
            map_.contents = section.data[offset : offset + size]
            maps.append(map_)
    return maps


def _array(elf: Elf, btf: Btf | None, section: Section, size: int, flags: int) -> MapDef:
    if size > MAX_VALUE_SIZE:
        elf.malformed(section, f"{size} bytes, a map's value takes {MAX_VALUE_SIZE} at most")
    map_ = MapDef("", section)
    map_.global_data = True
    map_.type, map_.key_size, map_.value_size, map_.max_entries, map_.flags = ARRAY, KEY_SIZE, size, 1, flags
    map_.value_type_id = (btf.find(section.name, kinds.DATASEC) if btf else None) or 0
    return map_


def _map_name(object_name: str, section: str) -> str:
    """As much of the object's name as leaves room for the section's."""
    return kernel_name(object_name[: NAME_LEN - max(MIN_SUFFIX_LEN, len(section))] + section)
