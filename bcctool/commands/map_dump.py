"""map dump: all elements of one map or several, streamed batch by batch."""

from __future__ import annotations

import errno
import sys

from ..errors import KernelError
from ..objects.map import MAP_IN_MAP_TYPES
from ..output import Rendered, dumps, newline
from .map_format import ElementFormat, Types
from .map_show import header, header_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..objects.map import Map

REFERENCE_TYPES = MAP_IN_MAP_TYPES | {"prog_array"}  # their free slots are no elements
SOCKET_COOKIE_SIZE = 8
BATCH = 512  # elements: their text stays in the caches, and malloc finds its blocks again


class Dump(Rendered):
    """The elements of maps, up to the first that can't be walked, which makes the `status`. Closes the maps."""

    def __init__(self, maps: Sequence[Map]) -> None:
        super().__init__(self._chunks)
        self.maps = maps

    def _chunks(self, style: str, depth: int) -> Iterator[str]:
        as_text = style == "plain" and not all(map_.info.btf_id for map_ in self.maps)
        try:
            yield from self._text() if as_text else self._json(style, depth)
        finally:
            for map_ in self.maps:
                map_.close()

    def _text(self) -> Iterator[str]:
        for map_ in self.maps:
            warn(map_)
            if len(self.maps) > 1:
                yield header_text(header(map_)) + "\n"
            walk = _Walk(map_, ElementFormat(map_, "plain", 0))
            yield from walk.texts()
            yield f"Found {walk.count} element{'' if walk.count == 1 else 's'}\n"
            yield "" if map_ is self.maps[-1] else "\n"
            self.status = walk.status
            if self.status:
                break

    def _json(self, style: str, depth: int) -> Iterator[str]:
        several, pretty = len(self.maps) > 1, style != "json"
        colon = '": ' if pretty else '":'
        element_depth = depth + 3 if several else depth + 1
        # All before the first text: a type that is not sound makes an error, not half an array.
        walks = [_Walk(map_, ElementFormat(map_, style, element_depth, _types(map_))) for map_ in self.maps]
        opening = "["
        for walk in walks:
            if several:
                # The record without its closing bracket.
                record = dumps(header(walk.map), pretty, depth + 1).removesuffix(newline(pretty, depth + 1) + "}")
                yield f'{opening}{record},{newline(pretty, depth + 2)}"elements{colon}'
                opening = ","
            yield from _elements(walk, newline(pretty, element_depth - 1))
            yield newline(pretty, depth + 1) + "}" if several else ""
            self.status = walk.status
            if self.status:
                break
        yield newline(pretty, depth) + "]" if several else ""
        yield "\n" if style == "plain" else ""


def _elements(walk: _Walk, before_closing: str) -> Iterator[str]:
    """The elements of one map as an array."""
    opening = "["
    for text in walk.texts():
        yield opening + text
        opening = ","
    yield "[]" if opening == "[" else before_closing + "]"


def _types(map_: Map) -> Types | None:
    return Types(map_) if map_.info.btf_id else None


class _Walk:
    """A walk over a map; afterwards `count` is that of the elements that were read, `status` 0 if nothing failed."""

    def __init__(self, map_: Map, format_: ElementFormat) -> None:
        self.map = map_
        self.format = format_
        self.count = 0
        self.status = 0

    def texts(self) -> Iterator[str]:
        """The elements' texts, one string per batch."""
        skip_free = self.map.type in REFERENCE_TYPES
        try:
            for keys, values, n, error in self.map.groups(BATCH):
                if not error:
                    self.count += n
                    yield self.format.elements(keys, values, n)
                elif error != errno.ENOENT or not skip_free:
                    yield self.format.unreadable(bytes(keys), error)
        except KernelError as error:
            # As in bpftool, a type that can't be walked has no elements and a status.
            self.status = error.status


def warn(map_: Map) -> None:
    """Tell why the slots of some socket arrays can't be read."""
    if map_.type == "reuseport_sockarray" and map_.info.value_size != SOCKET_COOKIE_SIZE:
        sys.stderr.write("Warning: cannot read values from reuseport_sockarray map with value_size != 8\n")
