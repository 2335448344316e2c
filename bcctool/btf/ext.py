"""The .BTF.ext section: function, line and CO-RE records per program section (kernel's Documentation/bpf/btf.rst)."""

from __future__ import annotations

import struct

from ..errors import Malformed
from ..escapes import printable
from .reader import MAGIC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .reader import Btf

FUNC_WORDS = 2  # struct bpf_func_info: insn_off, type_id
LINE_WORDS = 4  # struct bpf_line_info: insn_off, file_name_off, line_off, line_col
RELO_WORDS = 4  # struct bpf_core_relo: insn_off, type_id, access_str_off, kind
HEADER_LEN = 24  # up to line_info_len; core_relo_off and core_relo_len follow in newer files
LINE_SHIFT, COLUMN_MASK = 10, 0x3FF
MAX_RELOS, MAX_ACCESS = 1 << 17, 1 << 10  # of a section, and bytes of an access string: far above any real one


class LineInfo:
    """A source line: `insn_off` in bytes from the section's start, `line` its text, `line_num` and `col` from 1."""

    __slots__ = ("col", "file", "insn_off", "line", "line_num")

    def __init__(self, insn_off: int, file: str, line: str, line_num: int, col: int) -> None:
        self.insn_off = insn_off
        self.file = file
        self.line = line
        self.line_num = line_num
        self.col = col


class CoreRelo:
    """A CO-RE relocation: `access` is its access string such as "0:1:2", `kind` a number of enum bpf_core_relo_kind."""

    __slots__ = ("access", "insn_off", "kind", "type_id")

    def __init__(self, insn_off: int, type_id: int, access: str, kind: int) -> None:
        self.insn_off = insn_off
        self.type_id = type_id
        self.access = access
        self.kind = kind


class BtfExt:
    """A .BTF.ext section, its strings and types in `btf`. Offsets of instructions are bytes from the section's start.

    Raises Malformed when a header, a record size or a section's extent is not valid. Records are decoded on demand.
    """

    def __init__(self, data: bytes | memoryview, btf: Btf, where: str = "BTF.ext") -> None:
        self.where = where
        self.btf = btf
        view = memoryview(data).cast("B")
        byteorder = MAGIC.get(bytes(view[:2]))
        if byteorder is None or len(view) < HEADER_LEN:
            raise Malformed(where, "header", "not BTF.ext: wrong magic or too short")
        self.byteorder = byteorder
        self._order = "<" if byteorder == "little" else ">"
        version, header_len = struct.unpack_from(self._order + "2xBxI", view)
        if version != 1:
            raise Malformed(where, "header", f"version {version} is not supported, only 1 is")
        if not HEADER_LEN <= header_len <= len(view):
            raise Malformed(where, "header", f"header length {header_len} is out of range")
        fields = min(3, (header_len - 8) // 8) * 2
        areas = (*struct.unpack_from(f"{self._order}{fields}I", view, 8), 0, 0)
        body = view[header_len:]
        self.func_info_rec_size, self._funcs = self._sections(body, areas[0:2], "func_info", FUNC_WORDS)
        self.line_info_rec_size, self._lines = self._sections(body, areas[2:4], "line_info", LINE_WORDS)
        self.core_relo_rec_size, self._relos = self._sections(body, areas[4:6], "core_relo", RELO_WORDS)

    def _sections(
        self, body: memoryview[int], area: tuple[int, ...], what: str, words: int
    ) -> tuple[int, dict[str, memoryview[int]]]:
        """(record size, {section name: its records}) of one of the areas that the header names."""
        offset, length = area
        if not length:
            return words * 4, {}
        if offset + length > len(body) or length < 4 or offset % 4 or length % 4:
            raise Malformed(self.where, what, f"{length} bytes at offset {offset} of {len(body)} bytes of data")
        (rec_size,) = struct.unpack_from(self._order + "I", body, offset)
        if rec_size < words * 4 or rec_size % 4:
            raise Malformed(self.where, what, f"record size {rec_size}, at least {words * 4} in steps of 4 expected")
        found: dict[str, memoryview[int]] = {}
        at, end = offset + 4, offset + length
        while at < end:
            if end - at < 8:
                raise Malformed(self.where, what, "a section's header is cut off")
            name, count = struct.unpack_from(self._order + "2I", body, at)
            at += 8
            if count * rec_size > end - at or not count:
                raise Malformed(self.where, what, f"{count} records of {rec_size} bytes do not fit")
            found.setdefault(self.btf.string(name), body[at : at + count * rec_size])
            at += count * rec_size
        return rec_size, found

    def sections(self) -> list[str]:
        """Names of the program sections that have any record."""
        return list(dict.fromkeys([*self._funcs, *self._lines, *self._relos]))

    def _records(self, raw: memoryview[int] | bytes, rec_size: int, words: int) -> Iterator[tuple[int, ...]]:
        return struct.iter_unpack(f"{self._order}{words}I{rec_size - words * 4}x", raw)

    def funcs(self, section: str) -> list[tuple[int, int]]:
        """(insn_off, type id of the FUNC) for each function in a section, in file order."""
        rows = self._records(self._funcs.get(section, b""), self.func_info_rec_size, FUNC_WORDS)
        return [(insn_off, type_id) for insn_off, type_id in rows]

    def lines(self, section: str) -> list[LineInfo]:
        """The source lines of a section, in file order."""
        string = self.btf.string
        rows = self._records(self._lines.get(section, b""), self.line_info_rec_size, LINE_WORDS)
        return [
            LineInfo(insn_off, string(file), string(line), line_col >> LINE_SHIFT, line_col & COLUMN_MASK)
            for insn_off, file, line, line_col in rows
        ]

    def core_relos(self, section: str) -> list[CoreRelo]:
        """The CO-RE relocations of a section, in file order."""
        raw = self._relos.get(section, b"")
        if len(raw) > MAX_RELOS * self.core_relo_rec_size:
            raise Malformed(self.where, "core_relo", f"more than {MAX_RELOS} records for section {printable(section)}")
        strings: dict[int, str] = {}
        relos = []
        for insn_off, type_id, access, kind in self._records(raw, self.core_relo_rec_size, RELO_WORDS):
            if access not in strings:
                strings[access] = self.btf.string(access)
                if len(strings[access]) > MAX_ACCESS:
                    raise Malformed(self.where, "core_relo", f"an access string of {len(strings[access])} characters")
            relos.append(CoreRelo(insn_off, type_id, strings[access], kind))
        return relos

    def raw_funcs(self, section: str) -> bytes:
        """The func_info records of a section as they stand in the file."""
        return bytes(self._funcs.get(section, b""))

    def raw_lines(self, section: str) -> bytes:
        """The line_info records of a section as they stand in the file."""
        return bytes(self._lines.get(section, b""))
