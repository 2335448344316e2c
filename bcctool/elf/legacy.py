"""Maps defined before BTF: an array of struct bpf_map_def in the section `maps` or in `maps/NAME`."""

from __future__ import annotations

import struct

from .maps import MAX_MAPS, MapDef
from .reader import STT_NOTYPE, STT_OBJECT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .reader import Elf, Section

FIELDS = "IIIII"  # type, key_size, value_size, max_entries, map_flags; what follows differs between projects
FIELDS_SIZE = 20


def legacy_maps(elf: Elf, strict: bool = True) -> list[MapDef]:
    """The maps of all such sections, by section and offset.

    A definition takes the section's size divided by the number of its map symbols. Raises Malformed when that is not
    possible or, if `strict`, when the bytes after the five fields that all projects share are not zero.
    """
    maps: list[MapDef] = []
    for section in elf.sections:
        if section.data and (section.name == "maps" or section.name.startswith("maps/")):
            maps += _section_maps(elf, section, strict)
    return maps


def _section_maps(elf: Elf, section: Section, strict: bool) -> list[MapDef]:
    kinds = (STT_NOTYPE, STT_OBJECT)
    symbols = [symbol for symbol in elf.symbols if symbol.section == section.index and symbol.type in kinds]
    if not 0 < len(symbols) <= MAX_MAPS:
        elf.malformed(section, f"{len(symbols)} map symbols, 1 to {MAX_MAPS} are supported")
    entry_size, rest = divmod(section.size, len(symbols))
    if rest or entry_size < FIELDS_SIZE:
        elf.malformed(section, f"{section.size} bytes for {len(symbols)} definitions, each takes {FIELDS_SIZE} or more")
    maps = []
    offsets = set()
    for symbol in sorted(symbols, key=lambda symbol: symbol.value):
        if symbol.value + entry_size > section.size or symbol.value in offsets:
            elf.malformed(section, f"map '{symbol.name}' at offset {symbol.value} overlaps another one or the end")
        offsets.add(symbol.value)
        map_ = MapDef(symbol.name, section, symbol.value)
        map_.legacy = True
        fields = struct.unpack_from(elf.order + FIELDS, section.data, symbol.value)
        map_.type, map_.key_size, map_.value_size, map_.max_entries, map_.flags = fields
        if strict and any(section.data[symbol.value + FIELDS_SIZE : symbol.value + entry_size]):
            reason = "bytes after map_flags are not zero; --mapcompat accepts them"
            elf.malformed(section, f"map '{map_.name}': {entry_size - FIELDS_SIZE} {reason}")
        maps.append(map_)
    return maps
