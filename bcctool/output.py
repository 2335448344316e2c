"""Renderers: records as plain text, JSON or pretty JSON, in the layout of bpftool's writers."""

from __future__ import annotations

import errno
import os
import sys

from .errors import Error
from .escapes import escape_json, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

INDENT = "    "
_FLUSH_AT = 1 << 16
_NO_SENDFILE = (errno.EINVAL, errno.ENOSYS, None)  # to what is appended to, on some file systems, to no file at all


class Rendered:
    """A result that writes itself: `chunks(style, depth)` yields finished text, for results too large for records.

    Chunks are str, or Encoded where they don't go into a string of JSON.

    `status` is the command's, looked at when all is written. live: each chunk is to be seen at once. is_text: no JSON
    in any style, and inside of JSON (a batch's) therefore a string.
    """

    def __init__(
        self, chunks: Callable[[str, int], Iterable[Any]], status: int = 0, live: bool = False, is_text: bool = False
    ) -> None:
        self.chunks = chunks
        self.status = status
        self.live = live
        self.is_text = is_text


class Encoded:
    """A chunk that is in UTF-8 already: `size` bytes of an open file, from its beginning."""

    def __init__(self, fd: int, size: int) -> None:
        self.fd = fd
        self.size = size


class Listing:
    """Records with a text of their own and a header, which plain text shows above the first, and also above none."""

    def __init__(self, records: Iterable[Any], text: Callable[[Any], str], header: str) -> None:
        self.records = records
        self.text = text
        self.header = header


class Output:
    """Where a command's result goes: stdout, in one style; `depth` counts the JSON containers around it.

    written: how many characters there were so far.
    """

    def __init__(self, style: str, stream: Any = None) -> None:
        self.style = style
        self.depth = self.written = 0
        self._stream = stream if stream is not None else sys.stdout.buffer
        self._parts: list[str] = []
        self._size = 0

    @property
    def is_json(self) -> bool:
        return self.style != "plain"

    def write(self, text: str) -> None:
        self._parts.append(text)
        self._size += len(text)
        self.written += len(text)
        if self._size > _FLUSH_AT:
            self.flush()

    def flush(self) -> None:
        self._stream.write("".join(self._parts).encode("utf-8", "replace"))
        self._stream.flush()
        self._parts.clear()
        self._size = 0


    def send(self, chunk: Encoded) -> None:
        """Write what is in a file, without its bytes coming by here if the kernel can do that."""
        self.flush()
        self.written += chunk.size
        offset = 0
        try:
            while offset < chunk.size:
                offset += os.sendfile(self._stream.fileno(), chunk.fd, offset, chunk.size - offset)
        except OSError as error:
            if error.errno not in _NO_SENDFILE:
                raise
            while offset < chunk.size and (data := os.pread(chunk.fd, min(_FLUSH_AT, chunk.size - offset), offset)):
                self._stream.write(data)
                offset += len(data)
            self._stream.flush()


def newline(pretty: bool, depth: int) -> str:
    """What stands before a name or a closing bracket at a depth."""
    return "\n" + INDENT * depth if pretty else ""


def dumps(value: Any, pretty: bool = False, depth: int = 0) -> str:
    """A value as JSON; pretty puts each name on a line of its own, and array elements side by side, as bpftool does."""
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, dict):
        colon = '": ' if pretty else '":'
        before, inner = newline(pretty, depth + 1) + '"', depth + 1
        body = ",".join([before + escape_json(key) + colon + dumps(item, pretty, inner) for key, item in value.items()])
        return f"{{{body}{newline(pretty, depth)}}}" if value else "{}"
    body = ",".join([dumps(item, pretty, depth + 1) for item in value])
    return f"[{body}{newline(pretty, depth)}]" if body else "[]"


def _array(records: Iterator[Any], out: Output) -> int:
    """Stream records as an array; an Error in the middle becomes its last element, as in bpftool."""
    pretty = out.style == "pretty"
    separator, status = "", 0
    out.write("[")
    while True:
        try:
            record = next(records)
        except StopIteration:
            break
        except Error as error:
            record, status = {"error": error.message}, error.status
        out.write(separator + dumps(record, pretty, out.depth + 1))
        separator = ","
        if status:
            break
    out.write((newline(pretty, out.depth) if separator else "") + "]")
    return status


def render(result: Any, text: Callable[[Any], str] | None, out: Output) -> int:
    """Write a verb's result; the exit status (non-zero when an array ended in an error).

    text: one record as plain text. None is JSON's null, and nothing in plain text.
    """
    if isinstance(result, Rendered):
        as_string = result.is_text and out.is_json and out.depth > 0
        out.write('"' if as_string else "")
        for chunk in result.chunks(out.style, out.depth):
            if isinstance(chunk, Encoded):
                out.send(chunk)
                continue
            out.write(escape_json(chunk) if as_string else chunk)
            if result.live:
                out.flush()
        out.write('"' if as_string else "")
        return result.status
    if isinstance(result, Listing):
        if not out.is_json:
            out.write(result.header)
        result, text = result.records, result.text
    if out.is_json:
        if result is None or isinstance(result, dict):
            out.write(dumps(result, out.style == "pretty", out.depth))
            return 0
        return _array(iter(result), out)
    if result is None:
        return 0
    assert text is not None, "a verb with a result needs a text"
    for record in (result,) if isinstance(result, dict) else result:
        out.write(text(record))
    return 0
