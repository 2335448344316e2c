"""Bytes as the inside of a string literal of C, broken into lines as bpftool's skeletons are."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 78  # columns of a line without the backslash that continues it
CHUNK = 1 << 18  # bytes that become text at a time


def c_bytes(data: bytes | memoryview) -> Iterator[str]:
    r"""`\0` for each zero, `\xNN` for every other byte; the quotes are the caller's."""
    rest = ""
    for at in range(0, len(data), CHUNK):
        # By what is written in C alone: an object may have millions of bytes.
        escaped = "\\x" + data[at : at + CHUNK].hex("~").replace("~", "\\x")
        text = rest + escaped.replace("\\x00", "\\0")
        lines, start, last = [], 0, len(text) - WIDTH
        find = text.rfind
        while start < last:
            end = find("\\", start, start + WIDTH + 1)
            lines.append(text[start:end])
            start = end
        lines.append("")
        rest = text[start:]
        yield "\\\n".join(lines)
    yield rest
