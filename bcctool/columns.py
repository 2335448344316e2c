"""`-t`: records as an aligned table for people. What each column shows stands beside the verb (Verb.columns)."""

from __future__ import annotations

import os
import sys
import time

from .escapes import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    Record = dict[str, Any]
    Column = tuple[str, "str | Callable[[Record], Any]", str]
    """Header; key of the record, or a function of it; a name in FORMATS."""

SHOWN = 4  # of a long list
_UNITS = "BKMGTPE"
_AGES = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_TIMES = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us"), (1, "ns"))
_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"


def size(count: int) -> str:
    """Bytes with at most three digits and a unit of 1024: `960B`, `4K`, `1.5M`."""
    value, unit = float(count), 0
    while round(value) >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    digits = f"{value:.1f}" if unit and value < 10 else f"{value:.0f}"
    return digits.removesuffix(".0") + _UNITS[unit]


def age(seconds: int) -> str:
    """How long ago a time of the clock was, in its largest unit: `3d`, `12m`, `0s`."""
    passed = max(0, int(time.time()) - seconds)
    length, unit = next((row for row in _AGES if passed >= row[0]), _AGES[-1])
    return f"{passed // length}{unit}"


def duration(nanoseconds: int) -> str:
    """A time with at most three digits before the point: `1.25ms`."""
    length, unit = next((row for row in _TIMES if nanoseconds >= row[0]), _TIMES[-1])
    return f"{nanoseconds / length:.4g}{unit}"


def listed(values: Sequence[Any]) -> str:
    """The first few of a list, and how many more there are: `1,2,3,4,+12`."""
    words = [printable(str(value)) for value in values[:SHOWN]]
    return ",".join(words + ([f"+{len(values) - SHOWN}"] if len(values) > SHOWN else []))


def holders(pids: Sequence[Record]) -> str:
    """Who holds an object: `comm(pid)`."""
    return listed([f"{row['comm']}({row['pid']})" for row in pids])


# how a value is shown, and whether to the right
FORMATS: dict[str, tuple[Callable[[Any], str], bool]] = {
    "text": (lambda value: printable(str(value)), False),
    "number": (str, True),
    "size": (size, True),
    "age": (age, True),
    "duration": (duration, True),
    "flags": (lambda value: f"{value:#x}" if value else "", True),
    "list": (listed, False),
    "pids": (holders, False),
}


def cells(records: Iterable[Record], columns: Sequence[Column]) -> tuple[list[Column], list[list[str]]]:
    """The columns in which any record has something, and a row of text per record."""
    rows = []
    for record in records:
        row = []
        for _, source, form in columns:
            value = record.get(source) if isinstance(source, str) else source(record)
            row.append("" if value is None else FORMATS[form][0](value))
        rows.append(row)
    used = [at for at in range(len(columns)) if any(row[at] for row in rows)]
    return [columns[at] for at in used], [[row[at] for at in used] for row in rows]


def render(records: Iterable[Record], columns: Sequence[Column], bold: bool = False) -> str:
    """The table as text, with a header; empty for no records. bold: the header is."""
    used, rows = cells(records, columns)
    if not used:
        return ""
    import tabulate

    tabulate.MIN_PADDING = 0  # of a header: two columns more for nothing
    align = ["right" if FORMATS[form][1] else "left" for _, _, form in used]
    headers = [header for header, _, _ in used]
    text = tabulate.tabulate(rows, headers, tablefmt="plain", colalign=align, disable_numparse=True)
    head, newline, rest = text.partition("\n")
    lines = [f"{_BOLD}{head.rstrip()}{_PLAIN}" if bold else head.rstrip(), *(rest.split("\n") if newline else ())]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def coloured() -> bool:
    """Whether stdout is a terminal whose user has nothing against colours (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") not in (None, "dumb")
