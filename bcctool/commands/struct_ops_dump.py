"""struct_ops dump: the kernel's struct around each map's table, and what the kernel says of the map, by its BTF."""

from __future__ import annotations

import ctypes

from ..btf import kinds
from ..btf.proto import signature
from ..btf.values import Row
from ..errors import Error, KernelError
from ..escapes import quote
from ..kernel import bpf
from ..objects.btf import vmlinux
from ..objects.prog import Prog
from ..output import Rendered, newline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..btf.reader import Btf
    from ..objects.map import Map

INFO = "bpf_map_info"
UNKNOWN = "<unknown_prog_name>"
MAX_INFO = 4096  # bytes; the kernel's has a hundred


class Dump(Rendered):
    """Two elements of an array per map: its info, its value. Closes the maps. Error when the kernel tells no types."""

    def __init__(self, maps: Sequence[Map]) -> None:
        super().__init__(self._chunks)
        self.maps = maps

    def _chunks(self, style: str, depth: int) -> Iterator[str]:
        pretty = style != "json"
        try:
            items = [item for map_ in self.maps for item in elements(map_, style, depth + 1)]
        finally:
            for map_ in self.maps:
                map_.close()
        yield f"[{','.join(items)}{newline(pretty, depth)}]" if items else "[]"
        yield "\n" if style == "plain" else ""


def elements(map_: Map, style: str, depth: int) -> list[str]:
    """The two objects of a map at a depth."""
    types, id = map_.value_type(None)
    if types is None or not id:
        raise Error(f"map {map_.id}: the kernel does not tell the type of its value")
    value = map_.lookup(bytes(map_.info.key_size))
    if value is None:
        raise Error(f"map {map_.id}: it has no value")
    row = Row(types, id, style, depth + 1, lambda proto, prog_id: function(types, proto, prog_id))
    return [info(map_, style, depth), _named(types.name(id), row.render(value), style, depth)]


def info(map_: Map, style: str, depth: int) -> str:
    """What the kernel says of a map, with all fields that this kernel's struct has."""
    types = vmlinux()
    id = types.find(INFO, kinds.STRUCT)
    size = types.size_of(id) if id is not None else 0
    if id is None or not 0 < size <= MAX_INFO:
        raise Error(f"the kernel's BTF has no struct {INFO}")
    buffer = ctypes.create_string_buffer(size)
    try:
        bpf.fill_info(map_.fd, buffer)
    except OSError as error:
        raise KernelError(f"can't get the info of map {map_.id}", error.errno or 0, 255) from None
    return _named(INFO, Row(types, id, style, depth + 1).render(buffer.raw), style, depth)


def function(types: Btf, proto: int, prog_id: int) -> str:
    """A pointer to a function, which is the id of the program in its place: `u32 (struct sock *) NAME/prog_id:N`."""
    what = f"{program_name(prog_id)}/prog_id:{prog_id}" if prog_id else "0"
    return quote(f"{signature(types, proto)} {what}")


def program_name(id: int) -> str:
    """The name of a program, whole, if it is still there."""
    try:
        with Prog(bpf.fd_by_id(bpf.PROG, id)) as prog:
            return prog.full_name or UNKNOWN
    except (OSError, Error):
        return UNKNOWN


def _named(name: str, text: str, style: str, depth: int) -> str:
    """An object at a depth with one member."""
    pretty = style != "json"
    colon = ": " if pretty else ":"
    return f"{{{newline(pretty, depth + 1)}{quote(name)}{colon}{text}{newline(pretty, depth)}}}"
