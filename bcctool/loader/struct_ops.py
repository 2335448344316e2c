"""struct_ops maps: tables of an object's programs in the layout of the running kernel (Documentation/bpf, struct_ops).

A variable in `.struct_ops` becomes a map whose value the kernel describes: `struct bpf_struct_ops_NAME`, with the
struct itself as its member `data`. Members are matched by name.
"""

from __future__ import annotations

import contextlib
import sys

from ..btf import kinds
from ..btf.core_match import types_are_compatible
from ..btf.core_spec import essential_name
from ..elf.data_maps import F_LINK
from ..elf.maps import kernel_name
from ..elf.reader import STT_SECTION
from ..errors import Error, KernelError
from ..escapes import printable
from ..kernel import bpf, uapi
from ..objects.link import Link
from ..objects.map import Map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import NoReturn

    from ..btf.reader import Btf, Type
    from ..btf.reader import Member as BtfMember
    from ..elf.maps import MapDef
    from ..elf.object import ObjectFile
    from ..objects.prog import Prog
    from .kernel_types import KernelTypes, Source

VALUE_PREFIX = "bpf_struct_ops_"
DATA = "data"
KEY = bytes(4)
POINTER_SIZE = 8
MAX_VALUE = 1 << 20  # bytes; the kernel's own are a few hundred
R_BPF_64_ABS64 = 2


class Member:
    """A member of the struct: its place in the object's struct and in the map's value, in bytes.

    program: the name of the program that it points to, None for plain data and for pointers to nothing. index: its
    number in the kernel's struct, which is the program's attach type.
    """

    __slots__ = ("index", "kernel_offset", "kernel_size", "local_offset", "local_size", "name", "program")

    def __init__(self, name: str, local: tuple[int, int], kernel: tuple[int, int], index: int) -> None:
        self.name = name
        self.local_offset, self.local_size = local
        self.kernel_offset, self.kernel_size = kernel
        self.index = index
        self.program: str | None = None


class Plan:
    """What a struct_ops map is to be on the running kernel.

    name: the map's; struct_name: the kernel's struct. struct_id, value_type_id: of the struct and of the map's value,
    in `source`. value: its first contents, in the kernel's layout, without the programs.
    """

    def __init__(self, name: str, struct_name: str, source: Source, struct_id: int, value_type_id: int) -> None:
        self.name = name
        self.struct_name = struct_name
        self.source = source
        self.struct_id = struct_id
        self.value_type_id = value_type_id
        self.members: list[Member] = []
        self.value = bytearray()

    @property
    def programs(self) -> list[Member]:
        """The members that are programs."""
        return [member for member in self.members if member.program is not None]


def plan(obj: ObjectFile, definition: MapDef, kernel: KernelTypes) -> Plan:
    """Fit a struct_ops map of an object to the kernel's struct.

    Members that the kernel does not have may be zero. Error when the kernel has no such struct, or a member can't
    be what the object has in it.
    """
    return _Planner(obj, definition, kernel).plan()


def program_targets(plans: Iterable[Plan]) -> dict[str, tuple[int, int, Source]]:
    """(id of the kernel's struct, index of its member, where the ids are from) by name of each program in the maps.

    Error for a program that is to be two different members: the kernel takes it for one.
    """
    targets: dict[str, tuple[int, int, Source]] = {}
    places: dict[str, str] = {}
    for one in plans:
        for member in one.programs:
            assert member.program is not None
            target = one.struct_id, member.index, one.source
            place = f"{one.struct_name}.{printable(member.name)}"
            if targets.setdefault(member.program, target) != target:
                first = places[member.program]
                raise Error(f"program '{printable(member.program)}' can't be {place} as well: it is {first} already")
            places.setdefault(member.program, place)
    return targets


def create(definition: MapDef, plan: Plan, btf_fd: int, name: str = "") -> Map:
    """The map, still empty. btf_fd: the object's types in the kernel, which it wants for this type of map."""
    flags, module = definition.flags, plan.source.fd
    if module:
        flags |= uapi.BPF_F_VTYPE_BTF_OBJ_FD
    try:
        return Map.create(
            definition.type,
            len(KEY),
            len(plan.value),
            1,
            name or kernel_name(definition.name),
            flags,
            btf_fd=btf_fd,
            btf_vmlinux_value_type_id=plan.value_type_id,
            value_type_btf_obj_fd=module,
        )
    except KernelError as error:
        hint = "" if btf_fd else ": the kernel did not take the object's BTF, without which there are no such maps"
        raise Error(f"struct_ops map '{printable(plan.name)}': {error.message}{hint}") from None


def fill(map: Map, plan: Plan, progs: Mapping[str, Prog]) -> None:
    """Put the programs into the value that `register` hands over. Error when one is not loaded."""
    if map.info.value_size != len(plan.value):
        raise Error(
            f"struct_ops map '{printable(plan.name)}': map {map.id} has values of {map.info.value_size} bytes, "
            f"struct {plan.struct_name} takes {len(plan.value)}"
        )
    for member in plan.programs:
        assert member.program is not None
        if member.program not in progs:
            raise Error(
                f"struct_ops map '{printable(plan.name)}': member '{printable(member.name)}': "
                f"program '{printable(member.program)}' is not loaded"
            )
        fd = progs[member.program].fd.to_bytes(POINTER_SIZE, sys.byteorder)
        plan.value[member.kernel_offset : member.kernel_offset + POINTER_SIZE] = fd


def register(map: Map, plan: Plan) -> None:
    """Give the kernel the value. It is in use from now on, unless the map wants a link (BPF_F_LINK), until deleted."""
    try:
        map.update(KEY, bytes(plan.value))
    except KernelError as error:
        what = f"struct_ops map '{printable(plan.name)}': struct {plan.struct_name} is refused"
        raise KernelError(what, error.errno, 255) from None


class Registration:
    """A table of programs that the kernel uses until close()."""

    def __init__(self, map_: Map) -> None:
        self._map: Map | None = map_

    def close(self) -> None:
        """Take the table away from the kernel."""
        if self._map is not None:
            map_, self._map = self._map, None
            with contextlib.suppress(Error):
                map_.delete(KEY)


def start(map: Map, plan: Plan) -> Registration | Link:
    """Hand a filled table over to the kernel: by a link if the map wants one. KernelError when it is refused."""
    register(map, plan)
    if not map.info.map_flags & F_LINK:
        return Registration(map)
    try:
        return Link(bpf.link_create(map.fd, 0, uapi.ATTACH_TYPES.index("struct_ops")))
    except OSError as error:
        raise KernelError(f"can't attach struct_ops map '{printable(plan.name)}'", error.errno or 0, 255) from None


class _Planner:
    def __init__(self, obj: ObjectFile, definition: MapDef, kernel: KernelTypes) -> None:
        if obj.btf is None or definition.contents is None:
            raise Error(f"{obj.path}: struct_ops map '{printable(definition.name)}': needs BTF: compile with clang -g")
        self.obj = obj
        self.definition = definition
        self.kernel = kernel
        self.btf: Btf = obj.btf
        self.contents = definition.contents

    def plan(self) -> Plan:
        local = self.btf.type(self.definition.value_type_id)
        if local.kind != kinds.STRUCT or local.size > len(self.contents):
            self.fail("is no struct, or larger than its contents")
        found, offset = self.find(essential_name(local.name))
        members = {member.name: (index, member) for index, member in self.named(found.source.types, found.struct_id)}
        programs = self.programs(local.size)
        for _, mine in self.named(self.btf, local.id):
            at, size = self.local_place(mine)
            if at + size > local.size:
                self.fail(f"member '{mine.name}' lies outside the struct")
            data, program = self.contents[at : at + size], programs.pop(at, None)
            if mine.name not in members:
                if program or any(data):
                    self.fail(f"member '{mine.name}' is set, but the kernel's struct {found.struct_name} has none")
                continue
            index, theirs = members[mine.name]
            member = self.member(found, mine, theirs, index, program)
            member.kernel_offset += offset
            found.members.append(member)
            if program is None:
                found.value[member.kernel_offset : member.kernel_offset + size] = data
        if programs:
            self.fail(f"offset {min(programs)} refers to '{next(iter(programs.values()))}', but is no member")
        return found

    def find(self, name: str) -> tuple[Plan, int]:
        """The kernel's struct, and where in the map's value it begins."""
        value_name = VALUE_PREFIX + name
        value = self.kernel.find(value_name, kinds.STRUCT)
        if not name or value is None:
            self.fail(f"the running kernel has no struct_ops '{name}' (no struct {value_name} in its BTF)")
        source, id = value
        types = source.types
        type_ = types.type(id)
        data = next((member for member in type_.entries if member.name == DATA), None)
        struct_id = types.resolve(data.type_id) if data else 0
        if data is None or types.kind(struct_id) != kinds.STRUCT or types.name(struct_id) != name:
            self.fail(f"the kernel's struct {value_name} has no struct {name} in it")
        if type_.size > MAX_VALUE:
            self.fail(f"the kernel's struct {value_name} has {type_.size} bytes, {MAX_VALUE} are supported")
        found = Plan(self.definition.name, printable(name), source, struct_id, id)
        found.value = bytearray(type_.size)
        return found, data.bit_offset // 8

    def named(self, btf: Btf, id: int) -> list[tuple[int, BtfMember]]:
        """The members of a struct with their numbers."""
        return [(index, member) for index, member in enumerate(btf.type(id).entries) if member.name]

    def local_place(self, member: BtfMember) -> tuple[int, int]:
        """Offset and size of a member in the object's struct, in bytes."""
        if member.bitfield_size or member.bit_offset % 8:
            self.fail(f"member '{member.name}' is a bitfield, which is not supported")
        return member.bit_offset // 8, self.btf.size_of(member.type_id)

    def member(self, found: Plan, mine: BtfMember, theirs: BtfMember, index: int, program: str | None) -> Member:
        """A member that both structs have, if they agree on what it is."""
        types = found.source.types
        where = f"member '{mine.name}'"
        if theirs.bitfield_size or theirs.bit_offset % 8:
            self.fail(f"{where} is a bitfield in the kernel, which is not supported")
        local, target = self.btf.type(self.btf.resolve(mine.type_id)), types.type(types.resolve(theirs.type_id))
        if local.kind != target.kind:
            self.fail(f"{where} is {_noun(local)} here, but {_noun(target)} in the kernel")
        place, kernel_size = self.local_place(mine), types.size_of(target.id)
        if place[1] != kernel_size:
            self.fail(f"{where} has {place[1]} bytes here, but {kernel_size} in the kernel")
        member = Member(mine.name, place, (theirs.bit_offset // 8, kernel_size), index)
        member.program = program
        if local.kind == kinds.PTR:
            self.check_pointer(where, target, types, place[0], program)
        elif program is not None:
            self.fail(f"{where} refers to '{program}', but is {_noun(local)}")
        elif local.kind == kinds.ARRAY and not types_are_compatible(self.btf, local.id, types, target.id):
            self.fail(f"{where} is an array of another type than in the kernel")
        return member

    def check_pointer(self, where: str, target: Type, types: Btf, at: int, program: str | None) -> None:
        """A pointer leads to a program, where the kernel calls one, or nowhere."""
        if program is None:
            if any(self.contents[at : at + POINTER_SIZE]):
                self.fail(f"{where} is a pointer with a value, which can't be passed on to the kernel")
        elif types.kind(types.resolve(target.type_id)) != kinds.FUNC_PROTO:
            self.fail(f"{where} refers to program '{program}', but is no function in the kernel")

    def programs(self, size: int) -> dict[int, str]:
        """Name of the program by the offset in the struct that refers to it."""
        start = self.definition.section_offset
        by_place = {(prog.section_index, prog.offset): prog.name for prog in self.obj.progs}
        found = {}
        for offset, type_, index, addend in self.obj.relocations(self.definition.section_index):
            at = offset - start
            if not 0 <= at < size:
                continue
            if type_ != R_BPF_64_ABS64 or at + POINTER_SIZE > size:
                self.fail(f"offset {at} has a relocation of type {type_}, which is no pointer")
            symbol = self.obj.symbols[index]
            in_place = int.from_bytes(self.contents[at : at + POINTER_SIZE], self.obj.elf.byteorder)
            target = (in_place or addend) + (0 if symbol.type == STT_SECTION else symbol.value)
            if (symbol.section, target) not in by_place:
                self.fail(f"offset {at} refers to '{symbol.name}', which is no program (a static function?)")
            found[at] = by_place[symbol.section, target]
        return found

    def fail(self, reason: str) -> NoReturn:
        raise Error(f"{self.obj.path}: struct_ops map '{printable(self.definition.name)}': {printable(reason)}")


def _noun(type_: Type) -> str:
    return f"{kinds.KINDS[type_.kind].name} {type_.name}".strip()
