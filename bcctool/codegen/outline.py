"""What generated C says of an object: its maps and programs under the names that C has for them, and its variables."""

from __future__ import annotations

import errno

from ..btf import kinds
from ..btf.c_layout import round_up
from ..btf.declare import Declarations
from ..btf.validate import validate
from ..elf.datasec import LINKAGE_STATIC
from ..elf.externs import KCONFIG, KSYMS
from ..elf.object import ObjectFile
from ..errors import Error
from ..escapes import printable
from .names import Scope, identifier, literal, map_identifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..btf.reader import Btf
    from ..elf.maps import MapDef

STRUCT_OPS, ARENA = 26, 33  # BPF_MAP_TYPE_*
MMAPABLE = 0x400  # BPF_F_MMAPABLE
ARENA_SECTION, ARENA_DATA = ".addr_space.1", "arena"
MAX_GAP_ALIGNMENT = 4
MAX_VARIABLES = 1 << 14
UNSUPPORTED = -errno.EOPNOTSUPP % 256


class Variable:
    """A global variable: `name` as the object has it, `identifier` for C; offset and size in bytes."""

    __slots__ = ("identifier", "name", "offset", "size", "type_id")

    def __init__(self, name: str, identifier: str, type_id: int, offset: int, size: int) -> None:
        self.name = name
        self.identifier = identifier
        self.type_id = type_id
        self.offset = offset
        self.size = size


class Data:
    """The variables of a section that a program shares by mmap, in the order of their offsets.

    identifier: of the struct's member. qualified: const and volatile are shown, as those of `.kconfig` are not to be
    written to.
    """

    __slots__ = ("identifier", "qualified", "variables", "where")

    def __init__(self, identifier: str, where: str, qualified: bool, variables: list[Variable]) -> None:
        self.identifier = identifier
        self.where = where
        self.qualified = qualified
        self.variables = variables

    def gaps(self, declarations: Declarations) -> list[tuple[int, Variable]]:
        """(bytes that are missing in front of it, variable). C's own alignment is not counted on beyond 4 bytes."""
        rows, end = [], 0
        for variable in self.variables:
            if variable.offset < end:
                raise Error(f"{self.where}: variable '{variable.name}' overlaps the one before it")
            alignment = min(MAX_GAP_ALIGNMENT, declarations.layout.alignment(variable.type_id))
            fits = round_up(end, alignment) == variable.offset
            rows.append((0 if fits else variable.offset - end, variable))
            end = variable.offset + variable.size
        return rows


class MapName:
    """A map: the name that libbpf finds it by, its identifier, and what is to be mapped into memory, if anything."""

    __slots__ = ("data", "definition", "identifier", "name")

    def __init__(self, definition: MapDef, name: str, identifier: str, data: Data | None) -> None:
        self.definition = definition
        self.name = name
        self.identifier = identifier
        self.data = data


class Outline:
    """An object under the name that its C has.

    map_prefix: the name that libbpf will know the object by, and call its global data maps after.
    Raises Error and Malformed for an unsound object, and when anything has a name that C could not have.
    """

    def __init__(self, obj: ObjectFile, name: str, map_prefix: str) -> None:
        obj = _renamed(obj, map_prefix)
        self.name = name
        self.where = printable(obj.path)
        _require_openable(obj, self.where)
        if obj.btf is not None:
            validate(obj.btf)
        self.btf = obj.btf
        scope = Scope(f"{self.where}: maps")
        self._variables = 0
        self.maps = [self._map(obj, definition, scope) for definition in obj.maps]
        scope = Scope(f"{self.where}: programs")
        self.progs = [scope.add(identifier(prog.name, "program", self.where)) for prog in obj.progs]

    @property
    def data(self) -> list[Data]:
        """What is mapped into memory, by map."""
        return [map_.data for map_ in self.maps if map_.data]

    @property
    def struct_ops(self) -> list[MapName]:
        """The maps that are tables of functions."""
        return [map_ for map_ in self.maps if map_.definition.type == STRUCT_OPS]

    def _map(self, obj: ObjectFile, definition: MapDef, scope: Scope) -> MapName:
        name = scope.add(map_identifier(definition, self.where))
        data = None
        if definition.global_data and definition.flags & MMAPABLE:
            data = self._data(definition.section, name)
        elif definition.type == ARENA and obj.elf.section(ARENA_SECTION) is not None:
            data = self._data(ARENA_SECTION, ARENA_DATA)
        return MapName(definition, literal(definition.name, "map", self.where), name, data)

    def _data(self, section: str, name: str) -> Data | None:
        if self.btf is None:
            return None
        where = f"{self.where}: section {printable(section)}"
        id = self.btf.find(section, kinds.DATASEC)
        self._variables += self.btf.type(id).vlen if id else 0
        if self._variables > MAX_VARIABLES:
            raise Error(f"{self.where}: more than {MAX_VARIABLES} variables")
        variables = _variables(self.btf, id, where) if id else []
        return Data(name, where, section == KCONFIG, variables)


def _renamed(obj: ObjectFile, name: str) -> ObjectFile:
    """The object anew: the maps of this one are called after the name that it has."""
    renamed = ObjectFile.from_bytes(bytes(obj.elf.data), obj.path, obj.strict)
    renamed.name = name
    return renamed


def _require_openable(obj: ObjectFile, where: str) -> None:
    """Error for what libbpf, which is to open the object, knows no longer or not without what is in other objects."""
    for extern in obj.externs:
        if extern.section not in (KCONFIG, KSYMS):
            reason = f"'{printable(extern.name)}' is not defined in it: link it with the object that has it"
            raise Error(f"{where}: {reason}", UNSUPPORTED)
    for definition in obj.maps:
        if definition.legacy:
            reason = f"map '{printable(definition.name)}' is a legacy definition, which libbpf has not read since 1.0"
            raise Error(f"{where}: {reason}", UNSUPPORTED)


def _variables(btf: Btf, id: int, where: str) -> list[Variable]:
    scope, found = Scope(where), []
    for type_id, offset, _ in btf.type(id).entries:
        var = btf.type(type_id)
        if var.kind != kinds.VAR or var.entries[0] == LINKAGE_STATIC:
            continue
        name = literal(var.name, "variable", where)
        in_c = scope.add(identifier(name.replace(".", "_"), "variable", where))
        found.append(Variable(name, in_c, var.type_id, offset, btf.size_of(var.type_id)))
    return found
