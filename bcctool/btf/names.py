"""Names of BTF types as they may be printed: decoded once per blob, control characters of a hostile blob escaped."""

from __future__ import annotations

from itertools import accumulate, count
from operator import add

from ..errors import Malformed
from ..escapes import escape_json, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .reader import Btf

PRINTABLE = bytes(range(0x20, 0x7F)) + b"\0"
QUOTED = b'"\\'  # what JSON has to escape among the printable
ANONYMOUS = "(anon)"
INVALID = "(invalid)"


class Names(dict[int, str]):
    """Printable name by string offset, looked up on demand, or all at once with `load`.

    Offset 0 is `(anon)`, one outside the string section `(invalid)`.
    """

    def __init__(self, btf: Btf, json: bool) -> None:
        super().__init__({0: ANONYMOUS})
        self.btf = btf
        self.escape = escape_json if json else printable
        self.harmless = PRINTABLE.translate(None, QUOTED) if json else PRINTABLE

    def __missing__(self, offset: int) -> str:
        try:
            name = self.escape(self.btf.string(offset))
        except Malformed:
            name = INVALID
        self[offset] = name
        return name

    def load(self) -> None:
        """Take in the blob's own string section (some 100,000 names) in bulk."""
        strings = self.btf.strings
        if strings.translate(None, self.harmless):
            names = [self.escape(name.decode("utf-8", "backslashreplace")) for name in strings.split(b"\0")]
            lengths = map(len, strings.split(b"\0"))
        else:
            names = strings.decode().split("\0")
            lengths = map(len, names)
        # A string starts behind all earlier ones and one NUL for each.
        starts = map(add, accumulate(lengths, initial=self.btf.start_string), count())
        self.update(zip(starts, names, strict=False))
        self[0] = ANONYMOUS
