"""prog dump: a program's translated instructions and its native code, with prototypes and C source lines."""

from __future__ import annotations

import os
import struct

from ..errors import Error
from ..escapes import printable
from ..kernel import proc
from ..objects.prog import Prog
from ..verbs import Args, Usage
from .prog_header import header, header_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..btf.reader import Btf
    from ..insn.disasm import Insn
    from ..output import Rendered
    from .graph import Picture

_FUNC_INFO = struct.Struct("=II")
_LINE_INFO = struct.Struct("=IIII")
SUBPROGRAM = "F"  # the kernel's name for functions without BTF, but the first
_NOTHING = "no instructions returned: is kernel.kptr_restrict set?"


class Options:
    """The words after PROG."""

    def __init__(self, args: Args) -> None:
        self.file = ""
        self.opcodes = self.visual = self.linum = False
        self.picture: Picture | None = None
        while args:
            word = args.accept("file", "opcodes", "visual", "linum")
            if word is None:
                raise Usage("")
            if word == "file":
                self.file = args.next("file path")
            else:
                setattr(self, word, True)
            if word == "visual":
                from . import graph

                self.picture = graph.picture(args) or self.picture
        if self.file and (self.opcodes or self.visual or self.linum):
            raise Error("'file' is not compatible with 'opcodes', 'visual', or 'linum'")
        if self.visual and args.options.json:
            raise Error("'visual' is not compatible with JSON output")


class Record(dict[str, "Any"]):
    """The JSON of an instruction, function or program, and what only its text needs.

    index: the slot of an instruction, the offset of a native one, the number of a program. raw, native: an
    instruction's bytes, or the text of a native one.
    """

    index = 0
    raw = b""
    native = ""


class Sources:
    """Source lines by instruction; `lines` holds (place, file, line, line number, column), places ascending."""

    def __init__(self, lines: list[tuple[int, str, str, int, int]], linum: bool) -> None:
        self.lines = lines
        self.linum = linum
        self.next = 0

    def at(self, place: int) -> dict[str, Any]:
        """The fields of a record at or before this place that has not been shown yet."""
        found = None
        while self.next < len(self.lines) and self.lines[self.next][0] <= place:
            found = self.lines[self.next]
            self.next += 1
        if found is None:
            return {}
        _, file, line, number, column = found
        fields: dict[str, Any] = {"src": line.lstrip()}
        if self.linum:
            fields["file"] = file
            if number:
                fields["line_num"] = number
            if column:
                fields["line_col"] = column
        return fields


def source_text(record: Record) -> str:
    """`; SOURCE [file:PATH line_num:N line_col:N]`, empty where no line begins."""
    if "src" not in record:
        return ""
    place = ""
    if "file" in record:
        numbers = f"line_num:{record.get('line_num', 0)} line_col:{record.get('line_col', 0)}"
        place = f" [file:{printable(record['file'])} {numbers}]"
    return f"; {printable(record['src'])}{place}\n"


def line_records(btf: Btf, places: list[int], raw: bytes, size: int) -> list[tuple[int, str, str, int, int]]:
    """(place, file, line, line number, column) of raw bpf_line_info records of `size` bytes."""
    rows = (_LINE_INFO.unpack_from(raw, at) for at in range(0, len(raw), size))
    return [
        (place, btf.string(file), btf.string(line), line_col >> 10, line_col & 0x3FF)
        for place, (_, file, line, line_col) in zip(places, rows, strict=False)
    ]


def write_file(path: str, data: bytes) -> None:
    """Write a program's bytes to a file that only its owner may read."""
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
    except OSError as error:
        raise Error(f"can't open file {path}: {error.strerror}") from None


def xlated(prog: Prog, options: Options) -> Iterator[Record] | Rendered | None:
    """The records of a program's translated instructions, or their graph; None when they went to a file."""
    from ..insn.disasm import SLOT, disassemble
    from ..insn.opcodes import CALL
    from ..insn.symbols import XlatedSymbols

    raw = prog.arrays("xlated_prog_insns", "jited_ksyms", "func_info", "line_info")
    code = raw["xlated_prog_insns"]
    if not code:
        raise Error(f"error retrieving insn dump: {_NOTHING}")
    if options.file:
        write_file(options.file, code)
        return None
    btf = prog.types()
    names = proc.KernelSymbols()
    call_base = names.address("__bpf_call_base") if CALL in code[::SLOT] else 0
    symbols = XlatedSymbols(names.name, call_base, memoryview(raw["jited_ksyms"]).cast("Q").tolist())
    protos: dict[int, str] = {}
    functions: dict[int, str] = {}
    sources = Sources([], False)
    if btf:
        from ..btf.proto import prototype

        funcs = raw["func_info"]
        size = prog.info.func_info_rec_size
        offsets = [_FUNC_INFO.unpack_from(funcs, at) for at in range(0, len(funcs), size or 1)]
        protos = {insn_off: prototype(btf, type_id) for insn_off, type_id in offsets}
        functions = {insn_off: btf.name(type_id) for insn_off, type_id in offsets}
        lines, size = raw["line_info"], prog.info.line_info_rec_size
        places = [_LINE_INFO.unpack_from(lines, at)[0] for at in range(0, len(lines), size or 1)]
        sources = Sources(line_records(btf, places, lines, size or 1), options.linum)

    def record(insn: Insn) -> Record:
        return insn_record(insn, protos.get(insn.index, ""), sources, options.opcodes)

    if options.visual:
        from . import graph

        return graph.of_xlated(list(disassemble(code, symbols)), functions, record, options.picture)
    return map(record, disassemble(code, symbols))


def insn_record(insn: Insn, proto: str, sources: Sources, opcodes: bool, byteorder: str = "little") -> Record:
    """The record of one instruction; proto: the prototype of the function that it begins."""
    from ..insn.disasm import opcodes_record

    record = Record()
    record.index, record.raw = insn.index, insn.raw
    if proto:
        record["proto"] = proto
    record.update(sources.at(insn.index))
    record["disasm"] = insn.line
    if opcodes:
        record["opcodes"] = opcodes_record(insn.raw, byteorder)
    return record


def xlated_text(record: Record) -> str:
    """An instruction's lines: prototype, source, the instruction, its bytes."""
    from ..insn.disasm import opcodes_line

    text = f"{printable(record['proto'])}:\n" if "proto" in record else ""
    text += f"{source_text(record)}{record.index:4d}: {printable(record['disasm'])}\n"
    return text + (f"{opcodes_line(record.raw)}\n" if "opcodes" in record else "")


class _Function:
    """A function of the native code: its symbol, prototype, address, and the slice of the image."""

    def __init__(self, name: str, proto: str, address: int, code: bytes) -> None:
        self.name = name
        self.proto = proto
        self.address = address
        self.code = code


def jited(prog: Prog, options: Options) -> Iterator[Record] | None:
    """One record per function of a program's native code; None when the code went to a file."""
    from ..insn.native import NativeDisassembler

    if options.picture:
        raise Error("only translated instructions can be drawn: dump 'xlated'")
    raw = prog.arrays(
        "jited_prog_insns", "jited_ksyms", "jited_func_lens", "func_info", "line_info", "jited_line_info", "prog_tags"
    )
    image = raw["jited_prog_insns"]
    if not image:
        raise Error(f"error retrieving jit dump: {_NOTHING}")
    if options.file:
        write_file(options.file, image)
        return None
    btf = prog.types()
    sources = Sources([], False)
    if btf and raw["jited_line_info"]:
        addresses = memoryview(raw["jited_line_info"]).cast("Q").tolist()
        size = prog.info.line_info_rec_size
        sources = Sources(line_records(btf, addresses, raw["line_info"], size or 1), options.linum)
    disassembler = NativeDisassembler(os.uname().machine)

    def records() -> Iterator[Record]:
        with disassembler:
            for function in _functions(prog, btf, raw):
                record = Record({"proto": function.proto} if function.proto else {})
                record["name"] = function.name
                record["insns"] = list(_native_records(disassembler, function, sources, options.opcodes))
                yield record

    return records()


def _functions(prog: Prog, btf: Btf | None, raw: dict[str, bytes]) -> Iterator[_Function]:
    from ..btf.proto import prototype

    addresses = memoryview(raw["jited_ksyms"]).cast("Q").tolist()
    lengths = memoryview(raw["jited_func_lens"]).cast("I").tolist() or [len(raw["jited_prog_insns"])]
    funcs, size = raw["func_info"], prog.info.func_info_rec_size or 1
    type_ids = [_FUNC_INFO.unpack_from(funcs, at)[1] for at in range(0, len(funcs), size)]
    start = 0
    for number, length in enumerate(lengths):
        address = addresses[number] if number < len(addresses) else 0
        type_id = type_ids[number] if btf and number < len(type_ids) else 0
        symbol = f"bpf_prog_{prog.tag}_{prog.name}"
        if address:
            name = btf.name(type_id) if btf and type_id else SUBPROGRAM if number else prog.name
            tag = raw["prog_tags"][number * 8 : number * 8 + 8].hex() if number else prog.tag
            symbol = _symbol(tag, name) or f"0x{address:x}"
        proto = prototype(btf, type_id) if btf and type_id else ""
        yield _Function(symbol, proto, address, raw["jited_prog_insns"][start : start + length])
        start += length


def _symbol(tag: str, name: str) -> str:
    """A function's symbol in /proc/kallsyms by the rule that the kernel makes it by: to read that takes 30 ms.

    Empty before 5.0, which tells no tags, and where the kernel is told not to show symbols of programs there (other
    network namespaces than the first don't see that).
    """
    if not tag or proc.sysctl("net/core/bpf_jit_kallsyms") == 0 or proc.sysctl("net/core/bpf_jit_harden") > 0:
        return ""
    return f"bpf_prog_{tag}_{name}" if name else f"bpf_prog_{tag}"


def _native_records(disassembler: Any, function: _Function, sources: Sources, opcodes: bool) -> Iterator[Record]:
    from ..insn.native import split_text

    words: dict[str, tuple[str, list[str | None]]] = {}  # three of four instructions have been there before
    for offset, length, text in disassembler.disassemble(function.code, function.address):
        record = Record(sources.at(function.address + offset) if function.address else ())
        record.index, record.native = offset, text
        if text not in words:
            words[text] = split_text(text)
        record["pc"] = f"{offset:#x}"
        record["operation"], record["operands"] = words[text]
        if opcodes:
            record["opcodes"] = [f"0x{byte:02x}" for byte in function.code[offset : offset + length]]
        yield record


def jited_text(record: Record) -> str:
    """A function's prototype, symbol and instructions, and an empty line."""
    lines = [f"{printable(record['proto'])}:\n"] if "proto" in record else []
    lines.append(f"{printable(record['name'])}:\n")
    for insn in record["insns"]:
        lines.append(f"{source_text(insn)}{insn.index:4x}:{insn.native}\n")
        if "opcodes" in insn:
            lines.append("\t" + "".join(f"{octet[2:]} " for octet in insn["opcodes"]) + "\n")
    return "".join(lines) + "\n"


KINDS = {"xlated": xlated, "jited": jited}


def several(kind: str, progs: list[Prog], options: Options) -> Iterator[Record]:
    """A record per program, with its code in `insns`."""
    for number, prog in enumerate(progs):
        record = Record(header(prog))
        record.index = number
        record["insns"] = KINDS[kind](prog, options)
        yield record


def text(record: Record) -> str:
    """A record of `dump`: an instruction, a function, or a program among several, an empty line before all but one."""
    if "disasm" in record:
        return xlated_text(record)
    if "name" in record and "id" not in record:
        return jited_text(record)
    gap = "\n" if record.index else ""
    return f"{gap}{header_text(record)}\n{''.join(map(text, record['insns']))}"
