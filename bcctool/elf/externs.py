"""What an object leaves to others: undefined symbols, and the layout of `.kconfig` variables (bpf_helpers.h)."""

from __future__ import annotations

from ..btf import kinds
from .reader import SHN_UNDEF, STB_LOCAL, STB_WEAK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..btf.reader import Btf
    from .reader import Elf

KCONFIG, KSYMS = ".kconfig", ".ksyms"
MAX_ALIGNMENT = 8
MAX_DEPTH = 32


class Extern:
    """An undefined symbol.

    section: the BTF data section that declares it, `.kconfig`, `.ksyms` or `.maps`; empty without BTF.
    type_id: of its VAR or FUNC, 0 without BTF. weak: it may stay unresolved. offset, size: of its value in the
    `.kconfig` map, in bytes; 0 elsewhere.
    """

    __slots__ = ("name", "offset", "section", "size", "symbol", "type_id", "weak")

    def __init__(self, name: str, symbol: int, weak: bool) -> None:
        self.name = name
        self.symbol = symbol
        self.weak = weak
        self.section = ""
        self.type_id = self.offset = self.size = 0


def externs(elf: Elf, btf: Btf | None) -> list[Extern]:
    """The undefined symbols in the order of the symbol table; `btf` as it is in the file (datasec.raw_btf)."""
    declared = _declared(btf) if btf else {}
    found = []
    for symbol in elf.symbols:
        if symbol.section == SHN_UNDEF and symbol.bind != STB_LOCAL and symbol.name:
            extern = Extern(symbol.name, symbol.index, symbol.bind == STB_WEAK)
            extern.section, extern.type_id = declared.get(symbol.name, ("", 0))
            found.append(extern)
    if btf:
        _lay_out([extern for extern in found if extern.section == KCONFIG], btf)
    return found


def _declared(btf: Btf) -> dict[str, tuple[str, int]]:
    """Name of each variable or function that BTF declares in a section for externs: (section, type id)."""
    found = {}
    for section in (KCONFIG, KSYMS, ".maps"):
        id = btf.find(section, kinds.DATASEC)
        for type_id, _, _ in btf.type(id).entries if id else ():
            found[btf.name(type_id)] = section, type_id
    return found


def _lay_out(variables: list[Extern], btf: Btf) -> None:
    """Give each variable its place: the largest alignment first, then the smallest size, then by name."""
    alignments = {variable.name: _alignment(btf, variable.type_id) for variable in variables}
    for variable in variables:
        variable.size = btf.size_of(variable.type_id)
    end = 0
    for variable in sorted(variables, key=lambda v: (-alignments[v.name], v.size, v.name)):
        variable.offset = -(-end // alignments[variable.name]) * alignments[variable.name]
        end = variable.offset + variable.size


def _alignment(btf: Btf, id: int) -> int:
    """The alignment of a variable in bytes: of what its arrays hold."""
    for _ in range(MAX_DEPTH):
        type_ = btf.type(btf.resolve(id))
        if type_.kind == kinds.VAR:
            id = type_.type_id
        elif type_.kind == kinds.ARRAY:
            id = type_.entries[0]
        else:
            return max(1, min(btf.size_of(type_.id), MAX_ALIGNMENT))
    return MAX_ALIGNMENT
