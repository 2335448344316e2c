"""Control-flow graphs, of `prog dump xlated PROG visual` and `object cfg`: as text for Graphviz, or drawn by it."""

from __future__ import annotations

from ..errors import Error
from ..insn import cfg, dot
from ..insn.opcodes import CALL, LD_IMM64, PSEUDO_CALL
from ..output import Rendered
from .files import write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ..elf.object import ObjectFile, ProgDef
    from ..insn.disasm import Insn
    from ..verbs import Args
    from .prog_dump import Record

    Picture = tuple[str, str]
    Maker = Callable[[Insn], Record]

FORMATS = ("svg", "png", "pdf")
MAX_PATH = 32  # characters of a source file's path, so that the boxes do not become too wide


def picture(args: Args) -> Picture | None:
    """Take `svg FILE` or the like: (format, path)."""
    format = args.accept(*FORMATS) if args else None
    return (format, args.next("file path")) if format else None


def of_xlated(insns: Sequence[Insn], names: dict[int, str], record: Maker, picture: Picture | None) -> Rendered | None:
    """The graph of a loaded program; names: of its functions by first slot, empty without BTF."""
    functions = cfg.functions(insns, starts=names or None, xlated=True)
    return _result([(names.get(function.start, ""), function, _lines(record)) for function in functions], picture)


def of_object(
    obj: ObjectFile, listings: Iterable[tuple[ProgDef, Iterable[Insn], Maker]], picture: Picture | None
) -> Rendered | None:
    """The graph of functions in an object file, each with its instructions and what makes their records."""
    clusters = []
    for prog, insns, record in listings:
        (function,) = cfg.functions(list(insns), obj.byteorder, starts=())
        clusters.append((prog.name, function, _lines(record)))
    return _result(clusters, picture)


def _result(clusters: list[tuple[str, cfg.Function, dot.Lines]], picture: Picture | None) -> Rendered | None:
    """The text of a graph; None when it went into a picture."""
    if picture is None:
        return Rendered(lambda style, depth: dot.graph(clusters))
    draw("".join(dot.graph(clusters)), *picture)
    return None


def _lines(record: Maker) -> dot.Lines:
    """What a block shows of an instruction: prototype, place, source, the instruction, its bytes."""

    def lines(insn: Insn) -> Iterator[str]:
        fields = record(insn)
        if "proto" in fields:
            yield dot.escape(f"; {fields['proto']}:")
        if "file" in fields:
            numbers = f"line:{fields.get('line_num', 0)} col:{fields.get('line_col', 0)}"
            yield dot.escape(f"; [{short(fields['file'])} {numbers}]")
        if "src" in fields:
            yield dot.escape(f"; {fields['src']}")
        yield dot.escape(f"{insn.index:4d}: {fields['disasm']}")
        if "opcodes" in fields:
            yield dot.INDENT + insn.raw.hex(" ")

    return lines


def short(path: str) -> str:
    """A path; a long one as `...` and what of its last directories fits, its last name in any case."""
    if len(path) <= MAX_PATH:
        return path
    at = path.find("/", len(path) - MAX_PATH)
    if at < 0:
        at = path.rfind("/")
    return f"...{path[at:]}" if at > 0 else path


def draw(text: str, format: str, path: str) -> None:
    """Draw a graph into a file."""
    try:
        import graphviz
    except ImportError:
        raise Error("the Python package graphviz is not installed: install python3-graphviz") from None
    try:
        data = graphviz.Source(text).pipe(format=format, quiet=True)
    except graphviz.ExecutableNotFound:
        raise Error(f"can't draw {path}: 'dot' is not installed, it is in the package graphviz") from None
    except graphviz.CalledProcessError as error:
        reason = (error.stderr or b"").decode(errors="replace").strip().partition("\n")[0]
        raise Error(f"can't draw {path}: dot: {reason or f'status {error.returncode}'}") from None
    write_whole(path, data)


def reached(obj: ObjectFile, roots: Iterable[ProgDef]) -> list[ProgDef]:
    """Functions and what they call, or take the address of, in the order in which libbpf lines them up."""
    found: dict[ProgDef, None] = {}
    functions = {(f.section_index, f.offset): f for f in (*obj.progs, *obj.subprogs)}
    pending = list(roots)[::-1]
    while pending:
        function = pending.pop()
        if function not in found:
            found[function] = None
            places = list(_referred(obj, function))
            pending += [functions[place] for place in reversed(places) if place in functions]
    return list(found)


def _referred(obj: ObjectFile, function: ProgDef) -> Iterator[tuple[int, int]]:
    """(section, offset) of all that a function calls or loads the address of."""
    from ..elf.reader import STT_SECTION
    from ..insn.disasm import SLOT, disassemble, operands

    symbols = {offset: obj.symbols[symbol] for offset, _, symbol, _ in obj.relocations(function.section_index)}
    for insn in disassemble(function.insns, byteorder=obj.byteorder):
        if insn.code not in (CALL, LD_IMM64):
            continue
        _, src, _, imm = operands(insn.raw, obj.byteorder)
        place = function.offset + insn.index * SLOT
        symbol = symbols.get(place)
        if symbol is None:
            if insn.code == CALL and src == PSEUDO_CALL:
                yield function.section_index, place + (imm + 1) * SLOT
        elif insn.code == LD_IMM64:
            yield symbol.section, symbol.value + imm
        else:
            yield symbol.section, (imm + 1) * SLOT if symbol.type == STT_SECTION else symbol.value
