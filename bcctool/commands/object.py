"""object: what is in an object file, without the kernel and without root. An extension: bpftool has no such family."""

from __future__ import annotations

from ..errors import Error
from ..escapes import printable
from ..verbs import Args, Usage, verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from ..elf.maps import MapDef
    from ..elf.object import ObjectFile, ProgDef
    from ..insn.disasm import Insn
    from ..insn.symbols import Symbols
    from .graph import Picture
    from .prog_dump import Record

HELP = """
FILE is an object that clang -target bpf has compiled.
"""
SLOT = 8


def open_file(args: Args) -> ObjectFile:
    """Take FILE: the object in it."""
    from ..elf.object import ObjectFile

    return ObjectFile(args.next("an object file"), strict=not args.options.mapcompat)


def prog_record(prog: ProgDef) -> dict[str, Any]:
    from ..loader import sections

    kind = sections.lookup(prog.section)
    record: dict[str, Any] = {"name": prog.name, "section": prog.section}
    if kind:
        record["type"] = kind.prog_type
        if kind.attach_type:
            record["attach_type"] = kind.attach_type
    return record | {"insns": len(prog.insns) // SLOT}


def map_record(definition: MapDef) -> dict[str, Any]:
    from ..kernel.uapi import MAP_TYPES
    from ..objects.prog import name_of

    record: dict[str, Any] = {
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


def show_text(record: dict[str, Any]) -> str:
    """An object as lines: a head, then programs, subprograms and maps."""
    head = f"{printable(record['file'])}: {record['byteorder']}-endian"
    head += f"  license {printable(record['license'])}" if record["license"] else "  no license"
    head += f"  version {record['version']:#x}" if "version" in record else ""
    head += f"  btf {record['btf']} types" if record["btf"] else "  no btf"
    lines = [head]
    for prog in record["programs"]:
        attach = f"  attach_type {prog['attach_type']}" if "attach_type" in prog else ""
        kind = f"type {prog.get('type', 'unknown')}{attach}  insns {prog['insns']}"
        lines.append(f"\tprog {printable(prog['name'])}  section {printable(prog['section'])}  {kind}")
    for prog in record["subprograms"]:
        kind = f"insns {prog['insns']}"
        lines.append(f"\tsubprog {printable(prog['name'])}  section {printable(prog['section'])}  {kind}")
    lines += [f"\tmap {map_text(definition)}" for definition in record["maps"]]
    lines += [f"\textern {printable(name)}" for name in record["externs"]]
    return "\n".join(lines) + "\n"


def map_text(record: dict[str, Any]) -> str:
    sizes = f"key {record['bytes_key']}B  value {record['bytes_value']}B  max_entries {record['max_entries']}"
    text = f"{printable(record['name'])}  section {printable(record['section'])}  type {record['type']}  {sizes}"
    text += f"  flags {record['flags']:#x}  {record['definition']}"
    text += "  pinned by name" if record.get("pinning") else ""
    text += f"\n\t\tinner {map_text(record['inner'])}" if "inner" in record else ""
    return text + "".join(f"\n\t\t[{slot['index']}] = {printable(slot['name'])}" for slot in record.get("values", ()))


@verb("FILE", text=show_text, alias="list")
def show(args: Args) -> dict[str, Any]:
    """Show programs, maps, license and BTF of an object file."""
    obj = open_file(args)
    args.end()
    record: dict[str, Any] = {"file": obj.path, "byteorder": obj.byteorder, "license": obj.license}
    if obj.version is not None:
        record["version"] = obj.version
    return record | {
        "btf": obj.btf.nr_types - 1 if obj.btf else 0,
        "programs": [prog_record(prog) for prog in obj.progs],
        "subprograms": [
            {"name": prog.name, "section": prog.section, "insns": len(prog.insns) // SLOT} for prog in obj.subprogs
        ],
        "maps": [map_record(definition) for definition in obj.maps],
        "externs": [extern.name for extern in obj.externs],
    }


def object_symbols(obj: ObjectFile, function: ProgDef) -> Symbols:
    """Names for what a function's calls and 64-bit immediates refer to, from the relocations."""
    from ..elf.reader import STT_SECTION
    from ..insn.opcodes import PSEUDO_CALL
    from ..insn.symbols import Symbols

    relocations = {offset: obj.symbols[symbol] for offset, _, symbol, _ in obj.relocations(function.section_index)}
    functions = {(f.section_index, f.offset): f.name for f in (*obj.progs, *obj.subprogs)}

    class ObjectSymbols(Symbols):
        def call(self, index: int, src: int, off: int, imm: int) -> str:
            place = function.offset + index * SLOT
            symbol = relocations.get(place)
            target = place + (imm + 1) * SLOT
            name = functions.get((function.section_index, target)) if src == PSEUDO_CALL else None
            if symbol is not None and symbol.type == STT_SECTION:
                name = functions.get((symbol.section, (imm + 1) * SLOT))
            elif symbol is not None:
                name = symbol.name
            return name or super().call(index, src, off, imm)

        def imm64(self, index: int, src: int, dst: int, off: int, imm_lo: int, imm_hi: int) -> str:
            symbol = relocations.get(function.offset + index * SLOT)
            if symbol is None:
                return super().imm64(index, src, dst, off, imm_lo, imm_hi)
            return _referred(obj, symbol, imm_lo)

    return ObjectSymbols()


def _referred(obj: ObjectFile, symbol: Any, imm: int) -> str:
    """`map[NAME]`, `map[.rodata][0]+OFF`, `subprog[NAME]` or the extern's name."""
    offset = symbol.value + imm
    for function in (*obj.progs, *obj.subprogs):
        if (function.section_index, function.offset) == (symbol.section, offset):
            return f"subprog[{function.name}]"
    if not symbol.section:
        return f"extern[{symbol.name}]"
    definition = obj.map_at(symbol.section, offset)
    return f"map[{definition.section}][0]+{offset}" if definition.global_data else f"map[{definition.name}]"


def dump_text(record: dict[str, Any]) -> str:
    """A function: its section and name, then its instructions."""
    from .prog_dump import xlated_text

    head = f"{printable(record['section'])}: {printable(record['name'])}\n"
    return head + "".join(map(xlated_text, record["insns"])) + "\n"


class Words:
    """The words after FILE of `dump` and `cfg`; drawn: of a graph, which may go into a picture."""

    def __init__(self, args: Args, drawn: bool = False) -> None:
        self.name = ""
        self.flags = {"opcodes": False, "linum": False}
        self.picture: Picture | None = None
        while args:
            word = args.accept("prog", *self.flags)
            if word == "prog":
                self.name = args.next("a program's name")
            elif word:
                self.flags[word] = True
            else:
                self.picture = _picture(args) if drawn else None
                if self.picture is None:
                    raise Usage("")

    def chosen(self, obj: ObjectFile) -> list[ProgDef]:
        """The functions of that name, or all."""
        functions = sorted((*obj.progs, *obj.subprogs), key=lambda f: (f.section_index, f.offset))
        chosen = [function for function in functions if self.name in ("", function.name)]
        if not chosen:
            if not functions:
                raise Error(f"{obj.path}: no programs in it")
            raise Error(f"{obj.path}: no program '{self.name}', there are: {', '.join(f.name for f in functions)}")
        return chosen


def _picture(args: Args) -> Picture | None:
    from . import graph

    return graph.picture(args)


@verb("FILE [prog NAME] [opcodes] [linum]", text=dump_text)
def dump(args: Args) -> Any:
    """Disassemble the programs of an object file, with C source lines and the names of maps and functions."""
    obj = open_file(args)
    words = Words(args)
    return [
        {"name": function.name, "section": function.section, "insns": insn_records(obj, function, **words.flags)}
        for function in words.chosen(obj)
    ]


@verb("FILE [prog NAME] [opcodes] [linum] [{ svg | png | pdf } OUT]")
def cfg(args: Args) -> Any:
    """Show the control-flow graphs of an object file's programs, as text for Graphviz or drawn."""
    from . import graph

    if args.options.json:
        raise Error("'cfg' is not compatible with JSON output")
    obj = open_file(args)
    words = Words(args, drawn=True)
    functions = words.chosen(obj)
    if words.name:
        functions = graph.reached(obj, functions)
    return graph.of_object(obj, [(f, *listing(obj, f, **words.flags)) for f in functions], words.picture)


def insn_records(obj: ObjectFile, function: ProgDef, opcodes: bool, linum: bool) -> Iterator[Any]:
    """The records of a function's instructions, in the shape of `prog dump xlated`."""
    insns, record = listing(obj, function, opcodes, linum)
    yield from map(record, insns)


def listing(
    obj: ObjectFile, function: ProgDef, opcodes: bool, linum: bool
) -> tuple[Iterator[Insn], Callable[[Insn], Record]]:
    """A function's instructions, and what makes the record of each, asked for in their order."""
    from ..btf.proto import prototype
    from ..insn.disasm import disassemble
    from .prog_dump import Sources, insn_record

    lines, proto = [], ""
    if obj.btf and obj.btf_ext:
        low, high = function.offset, function.offset + len(function.insns)
        lines = [
            ((line.insn_off - low) // SLOT, line.file, line.line, line.line_num, line.col)
            for line in obj.btf_ext.lines(function.section)
            if low <= line.insn_off < high
        ]
        type_ids = dict(obj.btf_ext.funcs(function.section))
        proto = prototype(obj.btf, type_ids[low]) if low in type_ids else ""
    sources = Sources(lines, linum)
    symbols = object_symbols(obj, function)

    def record(insn: Insn) -> Record:
        return insn_record(insn, proto if not insn.index else "", sources, opcodes, obj.byteorder)

    return disassemble(function.insns, symbols, obj.byteorder), record
