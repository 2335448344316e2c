"""object: what is in an object file, without the kernel and without root. An extension: bpftool has no such family."""

from __future__ import annotations

from bisect import bisect_left
from functools import lru_cache

from ..errors import Error
from ..escapes import printable
from ..verbs import Args, Usage, later, verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from ..btf.ext import LineInfo
    from ..elf.object import ObjectFile, ProgDef
    from ..elf.reader import Symbol
    from ..insn.disasm import Insn
    from ..insn.symbols import Symbols
    from .graph import Picture
    from .prog_dump import Record

HELP = """
FILE is an object that clang -target bpf has compiled, or an executable that embeds one, as libbpf's skeletons make
them; FILE#N is the Nth object of an executable with several.
"""
SLOT = 8


def open_file(args: Args) -> ObjectFile:
    """Take FILE: the object in it."""
    from ..elf.object import ObjectFile

    return ObjectFile(args.next("an object file"), strict=not args.options.mapcompat)


@verb("FILE", text=later("object_show.text"), alias="list")
def show(args: Args) -> Any:
    """Show programs, maps, variables, license and least kernel of an object file, or of those in an executable."""
    from . import object_show

    return object_show.run(args)


def extracted_text(record: dict[str, Any]) -> str:
    """A file that was written: its path and size."""
    return f"{printable(record['file'])}  {record['bytes']}B\n"


@verb("FILE DIR", text=extracted_text)
def extract(args: Args) -> list[dict[str, Any]]:
    """Write the object files that an executable embeds into a directory."""
    import os

    from ..elf.embedded import Source
    from .files import write_new

    with Source(args.next("an executable, or an object file")) as source:
        directory = args.next("a directory")
        args.end()
        files = [(os.path.join(directory, f"{name}.bpf.o"), data) for name, _, data in source.objects()]
    write_new(directory, files)
    return [{"file": path, "bytes": len(data)} for path, data in files]


class Index:
    """What is looked up for each function of an object: by place, (section, offset); lines by section."""

    def __init__(self, obj: ObjectFile) -> None:
        self.obj = obj
        self.functions = {(f.section_index, f.offset): f.name for f in (*obj.progs, *obj.subprogs)}
        self._symbols: dict[int, dict[int, Symbol]] = {}
        self._lines: dict[str, tuple[list[int], list[LineInfo]]] = {}
        self._protos: dict[str, dict[int, int]] = {}

    def symbols(self, section: int) -> dict[int, Symbol]:
        """The symbol that each relocated offset of a section refers to."""
        if section not in self._symbols:
            rows = self.obj.relocations(section)
            self._symbols[section] = {offset: self.obj.symbols[symbol] for offset, _, symbol, _ in rows}
        return self._symbols[section]

    def lines(self, function: ProgDef) -> list[LineInfo]:
        """A function's source lines."""
        ext, section = self.obj.btf_ext, function.section
        if ext is None:
            return []
        if section not in self._lines:
            lines = sorted(ext.lines(section), key=lambda line: line.insn_off)
            self._lines[section] = [line.insn_off for line in lines], lines
        offsets, lines = self._lines[section]
        end = function.offset + len(function.insns)
        return lines[bisect_left(offsets, function.offset) : bisect_left(offsets, end)]

    def type_id(self, function: ProgDef) -> int | None:
        """A function's type."""
        ext, section = self.obj.btf_ext, function.section
        if ext is not None and section not in self._protos:
            self._protos[section] = dict(ext.funcs(section))
        return self._protos.get(section, {}).get(function.offset)


_index = lru_cache(maxsize=1)(Index)


def object_symbols(obj: ObjectFile, function: ProgDef) -> Symbols:
    """Names for what a function's calls and 64-bit immediates refer to, from the relocations."""
    from ..elf.reader import STT_SECTION
    from ..insn.opcodes import PSEUDO_CALL
    from ..insn.symbols import Symbols

    relocations, functions = _index(obj).symbols(function.section_index), _index(obj).functions

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
    if (symbol.section, offset) in _index(obj).functions:
        return f"subprog[{_index(obj).functions[symbol.section, offset]}]"
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
        lines = [
            ((line.insn_off - function.offset) // SLOT, line.file, line.line, line.line_num, line.col)
            for line in _index(obj).lines(function)
        ]
        type_id = _index(obj).type_id(function)
        proto = prototype(obj.btf, type_id) if type_id is not None else ""
    sources = Sources(lines, linum)
    symbols = object_symbols(obj, function)

    def record(insn: Insn) -> Record:
        return insn_record(insn, proto if not insn.index else "", sources, opcodes, obj.byteorder)

    return disassemble(function.insns, symbols, obj.byteorder), record
