"""`btf dump` in raw form: one line or JSON object per type, in bpftool's words (kernel's Documentation/bpf/btf.rst)."""

from __future__ import annotations

from . import kinds
from .kinds import HEAD_WORDS, KINDS, kind_flag_of, kind_of, vlen_of
from .names import Names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from .reader import Btf

    Args = list[Any]
    Fix = Callable[[Args], Args]

BATCH = 4096  # types per formatting operation: its arguments stay in the cache
INDENT = "    "

ENCODINGS = {0: "(none)", 1: "SIGNED", 2: "CHAR", 4: "BOOL"}
LINKAGES = ("static", "global", "extern")


class Row:
    """How a kind prints: its fields, the JSON key of its entries, and the fields of one entry."""

    __slots__ = ("entry", "fields", "key")

    def __init__(self, fields: str, key: str = "", entry: str = "") -> None:
        self.fields = fields
        self.key = key
        self.entry = entry


_TYPE_ID = Row("type_id=%d")
_COMPOSITE = Row("size=%d vlen={vlen}", "members", "name=%s type_id=%d bits_offset=%d")
_ENUM = Row("encoding={sign} size=%d vlen={vlen}", "values", "name=%s val=%d")

# %d and %s take the words of the type from its third on, as they stand or as _FIXES leaves them.
ROWS = {
    kinds.VOID: Row(""),
    kinds.INT: Row("size=%d bits_offset=%d nr_bits=%d encoding=%s"),
    kinds.PTR: _TYPE_ID,
    kinds.ARRAY: Row("type_id=%d index_type_id=%d nr_elems=%d"),
    kinds.STRUCT: _COMPOSITE,
    kinds.UNION: _COMPOSITE,
    kinds.ENUM: _ENUM,
    kinds.FWD: Row("fwd_kind={fwd}"),
    kinds.TYPEDEF: _TYPE_ID,
    kinds.VOLATILE: _TYPE_ID,
    kinds.CONST: _TYPE_ID,
    kinds.RESTRICT: _TYPE_ID,
    kinds.FUNC: Row("type_id=%d linkage={linkage}"),
    kinds.FUNC_PROTO: Row("ret_type_id=%d vlen={vlen}", "params", "name=%s type_id=%d"),
    kinds.VAR: Row("type_id=%d, linkage=%s"),
    kinds.DATASEC: Row("size=%d vlen={vlen}", "vars", "type_id=%d offset=%d size=%d"),
    kinds.FLOAT: Row("size=%d"),
    kinds.DECL_TAG: Row("type_id=%d component_idx=%d"),
    kinds.TYPE_TAG: _TYPE_ID,
    kinds.ENUM64: _ENUM,
}


def rows(btf: Btf, style: str, depth: int = 0, ids: Iterable[int] | None = None) -> Iterator[str]:
    """Yield the dump of a blob's own types, or of the types in `ids`, in pieces of some thousand types.

    style: "plain" (ends with a newline), "json" or "pretty" (do not); depth: JSON containers around the result.
    """
    names = Names(btf, style != "plain")
    layout = _Plain() if style == "plain" else _Json(style == "pretty", depth)
    formats = _Formats(btf, names, layout)
    if ids is None:
        names.load()
        batches = _batches(btf)
    else:
        batches = (([(id, 0)], btf.words_of(id)) for id in ids)
    yield layout.start
    separator = ""
    for types, words in batches:
        yield separator + _format(types, words, names, formats, layout.separator)
        separator = layout.separator
    yield layout.end if separator else layout.empty


def _batches(btf: Btf) -> Iterator[tuple[Iterable[tuple[int, int]], list[int]]]:
    """(id and position of each type, words that the positions count in), some thousand types at a time."""
    index, words = btf.index, btf.words
    for first in range(0, len(index), BATCH):
        positions = index[first : first + BATCH]
        start = positions[0]
        end = index[first + BATCH] if first + BATCH < len(index) else len(words)
        relative = [at - start for at in positions]
        yield enumerate(relative, btf.start_id + first), words[start:end].tolist()


def _format(types: Iterable[tuple[int, int]], words: list[int], names: Names, formats: _Formats, separator: str) -> str:
    """The text of a batch: one % for all of it, the types' words with names in place of offsets as the arguments."""
    name_of = names.__getitem__
    templates: list[str] = []
    args: Args = []
    for id, at in types:
        template, size, stride, fix = formats[words[at + 1]]
        templates.append(template)
        if size == HEAD_WORDS:
            args += (id, name_of(words[at]), words[at + 2])
            continue
        own: Args = words[at : at + size]
        own[0], own[1] = id, name_of(own[0])
        if stride:
            own[HEAD_WORDS::stride] = map(name_of, own[HEAD_WORDS::stride])
        if fix:
            own[HEAD_WORDS:] = fix(own[HEAD_WORDS:])
        args += own
    return separator.join(templates) % tuple(args)


class _Plain:
    """bpftool's text: `[ID] KIND 'NAME' field=value...`, entries on lines of their own."""

    start = empty = ""
    end = "\n"
    separator = "\n"
    bitfield = " bitfield_size=%d"

    def template(self, kind: str, name: str, row: Row, fields: str, entry: str, vlen: int) -> str:
        head = " ".join(filter(None, (f"[%d] {kind} '{name}'", fields)))
        return head + ("\n\t" + entry.replace("name=%s", "'%s'")) * vlen


class _Json:
    """`{"types":[...]}`, compact or pretty; arrays count as a level of indentation."""

    separator = ","

    def __init__(self, pretty: bool, depth: int) -> None:
        self.colon = ": " if pretty else ":"
        self.lines = ["\n" + INDENT * (depth + level) if pretty else "" for level in range(6)]
        self.start = f'{{{self.lines[1]}"types"{self.colon}['
        self.empty = f"]{self.lines[0]}}}"
        self.end = self.lines[1] + self.empty
        self.bitfield = "," + self.field("bitfield_size=%d", 5)

    def field(self, field: str, level: int) -> str:
        name, value = field.rstrip(",").split("=")
        quoted = value if value.startswith("%d") or value.isdigit() else f'"{value}"'
        return f'{self.lines[level]}"{name}"{self.colon}{quoted}'

    def fields(self, fields: str, level: int) -> str:
        return ",".join([self.field(field, level) for field in fields.split()])

    def template(self, kind: str, name: str, row: Row, fields: str, entry: str, vlen: int) -> str:
        body = self.fields(f"id=%d kind={kind} name={name} {fields}", 3)
        if row.key:
            one = f"{{{self.fields(entry, 5)}{self.lines[4]}}}"
            entries = ",".join([one] * vlen) + (self.lines[3] if vlen else "")
            body += f',{self.lines[3]}"{row.key}"{self.colon}[{entries}]'
        return f"{{{body}{self.lines[2]}}}"


class _Formats(dict[int, "tuple[str, int, int, Fix | None]"]):
    """By btf_type.info: template, words per type, distance of names among the entries' words (0: none), and the fix."""

    def __init__(self, btf: Btf, names: Names, layout: _Plain | _Json) -> None:
        self.btf = btf
        self.names = names
        self.layout = layout

    def __missing__(self, info: int) -> tuple[str, int, int, Fix | None]:
        kind, vlen, flag = kind_of(info), vlen_of(info), kind_flag_of(info)
        row, entry_words = ROWS[kind], KINDS[kind].entry_words
        fields = row.fields.format(
            vlen=vlen,
            sign="SIGNED" if flag else "UNSIGNED",
            fwd="union" if flag else "struct",
            linkage=_linkage(vlen),
        )
        # A head's third word that means nothing is an argument all the same: %.0s takes it and prints nothing.
        name = "%s" if KINDS[kind].third else "%s%.0s"
        fix, tail = self.fix(kind, flag)
        template = self.layout.template(KINDS[kind].name, name, row, fields, row.entry + tail, vlen if row.key else 0)
        stride = entry_words if row.entry.startswith("name=") else 0
        self[info] = format = template, HEAD_WORDS + KINDS[kind].words + entry_words * vlen, stride, fix
        return format

    def fix(self, kind: int, flag: bool) -> tuple[Fix | None, str]:
        """What turns the words behind the head into arguments (None: nothing to do), and what an entry ends with."""
        plain = isinstance(self.layout, _Plain)
        if kind in (kinds.STRUCT, kinds.UNION):
            return (self.bitfields, "%s") if flag else (None, "")
        if kind == kinds.DATASEC:
            return (self.variables, "%s") if plain else (None, "")
        if kind == kinds.ENUM64:
            suffix = ("LL" if flag else "ULL") if plain else ""
            return (_signed64 if flag else _unsigned64), suffix
        if kind == kinds.ENUM:
            return (_signed if flag else None), ""
        return _FIXES.get(kind), ""

    def bitfields(self, words: Args) -> Args:
        bitfield = self.layout.bitfield
        return [
            arg
            for name, type_id, offset in _triples(words)
            for arg in (name, type_id, offset & 0xFFFFFF, bitfield % (offset >> 24) if offset >> 24 else "")
        ]

    def variables(self, words: Args) -> Args:
        return [arg for entry in _triples(words) for arg in (*entry, self.variable(entry[0]))]

    def variable(self, id: int) -> str:
        if not id < self.btf.nr_types:
            return ""
        name, info, _ = self.btf.head(id)
        return f" ({KINDS[kind_of(info)].name} '{self.names[name]}')"


def _linkage(number: int) -> str:
    return LINKAGES[number] if number < len(LINKAGES) else "(unknown)"


def _triples(words: Args) -> Iterator[tuple[Any, int, int]]:
    return zip(words[0::3], words[1::3], words[2::3], strict=True)


def _signed(words: Args) -> Args:
    return [arg - (arg >> 31 << 32) if at % 2 else arg for at, arg in enumerate(words)]


def _unsigned64(words: Args) -> Args:
    return [arg for name, low, high in _triples(words) for arg in (name, high << 32 | low)]


def _signed64(words: Args) -> Args:
    return [arg for name, low, high in _triples(words) for arg in (name, (high - (high >> 31 << 32)) << 32 | low)]


_FIXES: dict[int, Fix] = {
    kinds.INT: lambda words: [words[0] >> 16 & 0xFF, words[0] & 0xFF, ENCODINGS.get(words[0] >> 24 & 0xF, "UNKN")],
    kinds.VAR: lambda words: [_linkage(words[0])],
    kinds.DECL_TAG: lambda words: [words[0] - (words[0] >> 31 << 32)],
}
