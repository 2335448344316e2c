"""Text from outside made safe: for a terminal, where control characters could do harm, and for JSON (RFC 8259)."""

from __future__ import annotations

_CONTROLS = {code: f"\\u{code:04x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
_JSON = _CONTROLS | {9: "\\t", 10: "\\n", 13: "\\r", 12: "\\f", 8: "\\b", 92: "\\\\", 34: '\\"'}


def printable(text: str) -> str:
    """Text that does nothing to a terminal: what is not printable as an escape (`\\x1b`, `\\u202e`)."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def escape_json(text: str) -> str:
    """The inside of a JSON string."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return text.translate(_JSON)


def quote(text: str) -> str:
    """A JSON string."""
    return f'"{escape_json(text)}"'
