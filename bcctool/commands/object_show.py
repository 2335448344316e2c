"""object show: all that an object file has, or each that an executable embeds, and the least kernel for it."""

from __future__ import annotations

from bisect import bisect_right

from ..btf.core_spec import RELO_KINDS, access_path
from ..btf.type_name import type_name
from ..elf.calls import Reach
from ..elf.datasec import raw_btf
from ..elf.embedded import Source
from ..elf.externs import KCONFIG
from ..elf.object import INSN_SIZE, ObjectFile
from ..elf.reader import STT_OBJECT
from ..errors import Malformed
from ..escapes import printable
from ..kernel import versions
from ..kernel.uapi import HELPERS, MAP_TYPES
from ..loader import sections
from ..objects.prog import name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from ..btf.ext import CoreRelo
    from ..btf.reader import Btf
    from ..elf.maps import MapDef
    from ..elf.object import ProgDef
    from ..elf.reader import Symbol
    from ..verbs import Args

    Record = dict[str, Any]
    Need = tuple[str | None, str]

MAX_TEXT = 1 << 23  # characters of names and types in an object's record: a hostile one repeats long ones
MAX_RELOS = 1 << 17


def run(args: Args) -> Any:
    """The record of an object; of a file with several an iterator of records."""
    source = Source(args.next("an object file"))
    with source:
        args.end()
        strict = not args.options.mapcompat
        if len(source.spans) < 2:
            return next(records(source, strict))
    return several(source.path, strict)


def several(path: str, strict: bool) -> Iterator[Record]:
    """A record per object of a file, as it is asked for."""
    with Source(path) as source:
        yield from records(source, strict)


def records(source: Source, strict: bool) -> Iterator[Record]:
    """A record per object of a file that is open."""
    for name, offset, data in source.objects():
        obj = ObjectFile.from_bytes(data, source.file, strict)
        where = {"embedded": name, "offset": offset, "size": len(data)} if source.embedded else {}
        yield {"file": source.path, **where} | describe(obj)


def describe(obj: ObjectFile) -> Record:
    """The record of an object without its file's name."""
    show = _Show(obj)
    record: Record = {"byteorder": obj.byteorder, "license": obj.license}
    if obj.version is not None:
        record["version"] = obj.version
    record |= {"btf": obj.btf.nr_types - 1 if obj.btf else 0, "least_kernel": show.least_kernel()}
    return record | {
        "programs": [show.program(prog) for prog in obj.progs],
        "subprograms": [show.function(prog) for prog in obj.subprogs],
        "maps": [map_record(definition) for definition in obj.maps],
        "globals": list(show.globals()),
        "externs": list(show.externs()),
    }


class _Show:
    """What the record of an object is made from."""

    def __init__(self, obj: ObjectFile) -> None:
        self.obj = obj
        self.left = MAX_TEXT
        self.reach = Reach(obj)
        self.reached = {prog: self.reach.functions(prog) for prog in obj.progs}
        self.relos = self._relos()

    def short(self, text: str) -> str:
        """A name or a type; Malformed when all of them are more than anyone could read."""
        self.left -= len(text)
        if self.left < 0:
            raise Malformed(self.obj.elf.where, "names", f"more than {MAX_TEXT} characters in all")
        return text

    def _relos(self) -> dict[ProgDef, list[CoreRelo]]:
        """The relocations in each function."""
        found: dict[ProgDef, list[CoreRelo]] = {}
        by_section: dict[str, list[ProgDef]] = {}
        for function in sorted((*self.obj.progs, *self.obj.subprogs), key=lambda f: (f.section_index, f.offset)):
            by_section.setdefault(function.section, []).append(function)
        total = 0
        for name, members in by_section.items():
            starts = [function.offset for function in members]
            relos = self.obj.btf_ext.core_relos(name) if self.obj.btf_ext else []
            total += len(relos)
            if total > MAX_RELOS:
                raise Malformed(self.obj.elf.where, ".BTF.ext", f"more than {MAX_RELOS} CO-RE relocations")
            for relo in relos:
                at = bisect_right(starts, relo.insn_off) - 1
                if at >= 0 and relo.insn_off < starts[at] + len(members[at].insns):
                    found.setdefault(members[at], []).append(relo)
        return found

    def function(self, function: ProgDef) -> Record:
        """The record of a subprogram."""
        relos = [self.relo(relo, function.offset) for relo in self.relos.get(function, ())]
        return {
            "name": function.name,
            "section": function.section,
            "insns": len(function.insns) // INSN_SIZE,
            "core_relocations": relos,
        }

    def program(self, prog: ProgDef) -> Record:
        """The record of a program; what it calls counts as its own, but for instructions and relocations."""
        record: Record = {"name": prog.name, "section": prog.section}
        kind = sections.lookup(prog.section)
        if kind:
            record["type"] = kind.prog_type
            if kind.attach_type:
                record["attach_type"] = kind.attach_type
        reached = self.reached[prog]
        record |= {
            "insns": len(prog.insns) // INSN_SIZE,
            "subprograms": [function.name for function in reached[1:]],
            "helpers": [helper_name(id) for id in self.reach.helpers(reached)],
            "kfuncs": [self.short(name) for name in self.reach.kfuncs(reached)],
        }
        return record | {"core_relocations": self.function(prog)["core_relocations"]}

    def relo(self, relo: CoreRelo, start: int) -> Record:
        """The record of a CO-RE relocation; `insn` counts slots from the function's start."""
        assert self.obj.btf is not None
        record: Record = {
            "insn": (relo.insn_off - start) // INSN_SIZE,
            "kind": name_of(RELO_KINDS, relo.kind),
            "type": self.type(self.obj.btf, relo.type_id),
            "access": self.short(relo.access),
        }
        path = access_path(self.obj.btf, relo)
        return record | ({"path": self.short(path)} if path else {})

    def type(self, btf: Btf, id: int) -> str:
        """A type in C; empty if there is none of this id."""
        try:
            return self.short(type_name(btf, id)) if id else ""
        except Malformed:
            return ""

    def globals(self) -> Iterator[Record]:
        """The variables in data sections, by section and offset; without BTF those that have symbols."""
        btf = self.obj.btf
        symbols: dict[int, list[Symbol]] = {}
        for symbol in sorted(self.obj.symbols, key=lambda symbol: symbol.value):
            if symbol.type == STT_OBJECT:
                symbols.setdefault(symbol.section, []).append(symbol)
        for definition in self.obj.maps:
            if not definition.global_data or definition.section == KCONFIG:
                continue
            where = {"section": definition.section}
            if btf and definition.value_type_id:
                for id, offset, size in btf.type(definition.value_type_id).entries:
                    name = {"name": self.short(btf.name(id))}
                    yield name | where | {"type": self.type(btf, id), "offset": offset, "size": size}
                continue
            for symbol in symbols.get(definition.section_index, ()):
                yield {"name": symbol.name} | where | {"offset": symbol.value, "size": symbol.size}

    def externs(self) -> Iterator[Record]:
        """What the object leaves to the kernel, or to another object."""
        externs = self.obj.externs
        btf = raw_btf(self.obj.elf) if externs else None  # the fixed one has ints for the kernel's variables
        for extern in externs:
            record: Record = {"name": extern.name}
            if extern.section:
                record["section"] = extern.section
            if btf and extern.type_id:
                record["type"] = self.type(btf, extern.type_id)
            yield record | {"weak": extern.weak}

    def least_kernel(self) -> Record:
        """The first release that has all that the object uses, what it is for, and what is too new to be known."""
        needs = list(dict.fromkeys((*self._program_needs(), *map_needs(self.obj.maps))))
        known = [release for release, _ in needs if release is not None]
        record: Record = {}
        if known:
            last = max(known, key=versions.order)
            record = {"version": last, "for": [what for release, what in needs if release == last]}
        unknown = [what for release, what in needs if release is None]
        return record | ({"unknown": unknown} if unknown else {})

    def _program_needs(self) -> Iterator[Need]:
        weak = {extern.name for extern in self.obj.externs if extern.weak}
        for prog, reached in self.reached.items():
            kind = sections.lookup(prog.section)
            if kind:
                yield from section_needs(kind)
            if len(reached) > 1:
                yield versions.BPF_CALLS, "calls between functions"
            for id in self.reach.helpers(reached):
                yield versions.helper_since(id), f"helper {helper_name(id)}"
            if any(name not in weak for name in self.reach.kfuncs(reached)):
                yield versions.KFUNCS, "calls of kernel functions"


def helper_name(id: int) -> str:
    """`bpf_NAME`, or `unknown#ID` of one that is too new."""
    return f"bpf_{HELPERS[id]}" if 0 < id < len(HELPERS) else f"unknown#{id}"


def section_needs(kind: sections.Section) -> Iterator[Need]:
    """What a program's section name asks of the kernel."""
    yield versions.prog_type_since(kind.prog_type_number), f"program type {kind.prog_type}"
    if kind.attach_type and kind.attach_type not in versions.OPTIONAL_ATTACH_TYPES:
        yield versions.attach_type_since(kind.attach_type_number), f"attach type {kind.attach_type}"
    if kind.flags & sections.SLEEPABLE:
        yield versions.SLEEPABLE, "programs that sleep"
    if kind.flags & sections.FRAGS:
        yield versions.FRAGS, "XDP fragments"


def map_needs(definitions: Iterable[MapDef]) -> Iterator[Need]:
    """What maps ask of the kernel."""
    for definition in definitions:
        yield versions.map_type_since(definition.type), f"map type {name_of(MAP_TYPES, definition.type)}"
        if definition.global_data:
            yield versions.GLOBAL_DATA, "global variables"
        if definition.inner:
            yield from map_needs([definition.inner])


def map_record(definition: MapDef) -> Record:
    """The record of a map."""
    record: Record = {
        "name": definition.name,
        "section": definition.section,
        "type": name_of(MAP_TYPES, definition.type),
        "bytes_key": definition.key_size,
        "bytes_value": definition.value_size,
        "max_entries": definition.max_entries,
        "flags": definition.flags,
        "definition": "legacy" if definition.legacy else "data" if definition.global_data else "btf",
    }
    for field in ("map_extra", "numa_node", "pinning"):
        if getattr(definition, field):
            record[field] = getattr(definition, field)
    if definition.inner:
        record["inner"] = map_record(definition.inner)
    if definition.values:
        record["values"] = [{"index": index, "name": name} for index, name in definition.values]
    return record


def text(record: Record) -> str:
    """An object as lines: a head, what it needs, then programs, subprograms, maps, variables, externs."""
    lines = [head_text(record)]
    least = record["least_kernel"]
    if "version" in least:
        lines.append(f"\tleast kernel {least['version']}  for {', '.join(least['for'])}")
    if "unknown" in least:
        lines.append(f"\tnot known  {', '.join(least['unknown'])}")
    relos = {function["name"]: len(function["core_relocations"]) for function in record["subprograms"]}
    for prog in record["programs"]:
        lines += program_lines(prog, relos)
    for prog in record["subprograms"]:
        lines.append(
            f"\tsubprog {printable(prog['name'])}  section {printable(prog['section'])}  insns {prog['insns']}"
        )
    lines += [f"\tmap {map_text(definition)}" for definition in record["maps"]]
    for variable in record["globals"]:
        type_ = f"  type {printable(variable['type'])}" if "type" in variable else ""
        where = f"section {printable(variable['section'])}  size {variable['size']}B"
        lines.append(f"\tglobal {printable(variable['name'])}  {where}{type_}")
    for extern in record["externs"]:
        fields = "".join(f"  {key} {printable(extern[key])}" for key in ("section", "type") if key in extern)
        lines.append(f"\textern {printable(extern['name'])}{fields}{'  weak' if extern['weak'] else ''}")
    return "\n".join(lines) + "\n"


def head_text(record: Record) -> str:
    """`FILE: little-endian  license GPL  btf N types`, and where it is embedded."""
    head = f"{printable(record['file'])}: {record['byteorder']}-endian"
    head += f"  license {printable(record['license'])}" if record["license"] else "  no license"
    head += f"  version {record['version']:#x}" if "version" in record else ""
    head += f"  btf {record['btf']} types" if record["btf"] else "  no btf"
    if "embedded" in record:
        head += f"  embedded {record['embedded']}  offset {record['offset']}  size {record['size']}B"
    return head


def program_lines(prog: Record, relos: dict[str, int]) -> Iterator[str]:
    """A program, and below it what it calls. relos: how many CO-RE relocations each subprogram has."""
    kind = f"type {prog.get('type', 'unknown')}"
    kind += f"  attach_type {prog['attach_type']}" if "attach_type" in prog else ""
    count = len(prog["core_relocations"]) + sum([relos.get(name, 0) for name in prog["subprograms"]])
    kind += f"  insns {prog['insns']}" + (f"  core_relocations {count}" if count else "")
    yield f"\tprog {printable(prog['name'])}  section {printable(prog['section'])}  {kind}"
    for what, names in (("subprogs", prog["subprograms"]), ("helpers", prog["helpers"]), ("kfuncs", prog["kfuncs"])):
        if names:
            yield f"\t\t{what} {printable(', '.join(names))}"


def map_text(record: Record) -> str:
    """A map without its leading tab, inner map and values below it."""
    sizes = f"key {record['bytes_key']}B  value {record['bytes_value']}B  max_entries {record['max_entries']}"
    text = f"{printable(record['name'])}  section {printable(record['section'])}  type {record['type']}  {sizes}"
    text += f"  flags {record['flags']:#x}  {record['definition']}"
    text += "  pinned by name" if record.get("pinning") else ""
    text += f"\n\t\tinner {map_text(record['inner'])}" if "inner" in record else ""
    return text + "".join(f"\n\t\t[{slot['index']}] = {printable(slot['name'])}" for slot in record.get("values", ()))
