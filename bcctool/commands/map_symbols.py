"""map dump MAP symbols: elements by BTF, in which the addresses of kernel functions are told by name."""

from __future__ import annotations

import sys
from functools import partial

from ..errors import Error
from ..kernel import uapi
from ..kernel.proc import KernelSymbols
from ..output import Rendered, dumps, newline
from . import select
from .map_stacks import HIDDEN, KERNEL_HALF

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..objects.map import Map
    from ..verbs import Args


def run(args: Args) -> Rendered:
    """Take MAP symbols."""
    map_ = select.map_(args, uapi.BPF_F_RDONLY)
    try:
        args.expect("symbols")
        args.end()
        if all(codec.types is None for codec in map_.codecs):
            raise Error(f"map {map_.id} has no BTF, which tells where its addresses are")
    except Error:
        map_.close()
        raise
    return Rendered(partial(chunks, map_))


def chunks(map_: Map, style: str, depth: int) -> Iterator[str]:
    """The elements as an array, indented in plain text too, as in a dump; closes the map."""
    pretty, separator, symbols = style != "json", "[", KernelSymbols()
    with map_:
        for key, value in map_.items():
            element = {"key": named(symbols, key)}
            if map_.cpus:
                element["values"] = [{"cpu": cpu, "value": named(symbols, each)} for cpu, each in enumerate(value)]
            else:
                element["value"] = named(symbols, value)
            yield separator + dumps(element, pretty, depth + 1)
            separator = ","
    yield newline(pretty, depth) + "]" if separator == "," else "[]"
    yield "\n" if style == "plain" else ""
    if symbols.hidden():
        sys.stderr.write(f"Warning: {HIDDEN}\n")


def named(symbols: KernelSymbols, value: Any) -> Any:
    """A value as JSON has it: an address in a kernel function as "0x… <function+0x…>", in a module's with its name."""
    if isinstance(value, dict):
        return {name: named(symbols, member) for name, member in value.items()}
    if isinstance(value, list):
        return [named(symbols, element) for element in value]
    if isinstance(value, bytes):
        return [f"{byte:#04x}" for byte in value]
    if isinstance(value, float):
        return str(value)
    name, module, offset = symbols.function(value) if isinstance(value, int) and value >= KERNEL_HALF else ("", "", 0)
    if not name:
        return value
    return f"{value:#x} <{name}+{offset:#x}{'' if module == 'kernel' else f' [{module}]'}>"
