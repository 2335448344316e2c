"""A writer of BTF blobs for the tests beside this one, sound or not; and that the reader takes what it writes."""

from __future__ import annotations

import struct
from pathlib import Path

from elftools.elf.elffile import ELFFile

from bcctool.btf import kinds
from bcctool.btf.reader import Btf

UNKNOWN_OFFSET = 0xFFFFFF


class Blob:
    """Types in the order they are added; each method returns the new type's id."""

    def __init__(self, order: str = "<", first_id: int = 1, first_string: int = 0) -> None:
        self.order = order
        self.words: list[int] = []
        self.next_id = first_id
        self.first_string = first_string
        self.strings = b"" if first_string else b"\0"

    def name(self, text: str | bytes | int) -> int:
        """The offset of a string, or the offset itself."""
        if isinstance(text, int):
            return text
        if not text:
            return 0
        raw = text.encode() if isinstance(text, str) else text
        self.strings += raw + b"\0"
        return self.first_string + len(self.strings) - len(raw) - 1

    def add(
        self, kind: int, name: str | bytes | int = "", third: int = 0, *words: int, vlen: int = 0, flag: bool = False
    ) -> int:
        self.words += (self.name(name), flag << 31 | kind << 24 | vlen, third, *words)
        self.next_id += 1
        return self.next_id - 1

    def number(
        self, name: str = "int", size: int = 4, encoding: int = 0, bits: int | None = None, offset: int = 0
    ) -> int:
        return self.add(kinds.INT, name, size, encoding << 24 | offset << 16 | (size * 8 if bits is None else bits))

    def ptr(self, target: int) -> int:
        return self.add(kinds.PTR, "", target)

    def array(self, element: int, nelems: int, index: int = 1) -> int:
        return self.add(kinds.ARRAY, "", 0, element, index, nelems)

    def struct(
        self, name: str, size: int, *members: tuple[str, int, int], kind: int = kinds.STRUCT, flag: bool = False
    ) -> int:
        """members: name, type, bit offset."""
        words = [word for member, type_id, offset in members for word in (self.name(member), type_id, offset)]
        return self.add(kind, name, size, *words, vlen=len(members), flag=flag)

    def enum(self, name: str, size: int, *values: tuple[str, int], flag: bool = False) -> int:
        words = [word for value_name, value in values for word in (self.name(value_name), value & 0xFFFFFFFF)]
        return self.add(kinds.ENUM, name, size, *words, vlen=len(values), flag=flag)

    def enum64(self, name: str, *values: tuple[str, int], flag: bool = False) -> int:
        words = [
            word
            for value_name, value in values
            for word in (self.name(value_name), value & 0xFFFFFFFF, value >> 32 & 0xFFFFFFFF)
        ]
        return self.add(kinds.ENUM64, name, 8, *words, vlen=len(values), flag=flag)

    def proto(self, result: int, *parameters: tuple[str, int]) -> int:
        words = [word for name, type_id in parameters for word in (self.name(name), type_id)]
        return self.add(kinds.FUNC_PROTO, "", result, *words, vlen=len(parameters))

    def datasec(self, name: str, size: int, *variables: tuple[int, int, int]) -> int:
        words = [word for entry in variables for word in entry]
        return self.add(kinds.DATASEC, name, size, *words, vlen=len(variables))

    def bytes(self, header_len: int = 24) -> bytes:
        types = struct.pack(f"{self.order}{len(self.words)}I", *self.words)
        sizes = 0, len(types), len(types), len(self.strings)
        header = struct.pack(self.order + "HBBIIIII", 0xEB9F, 1, 0, header_len, *sizes)
        return header.ljust(header_len, b"\0") + types + self.strings

    def btf(self, base: Btf | None = None) -> Btf:
        return Btf(self.bytes(), base)


def section(path: Path, name: str) -> bytes:
    """The contents of a section of an object file."""
    with path.open("rb") as file:
        data: bytes = ELFFile(file).get_section_by_name(name).data()
        return data


def test_written_types_are_read_back() -> None:
    blob = Blob()
    number = blob.number("int", 4, 1)
    blob.struct("pair", 8, ("a", number, 0), ("b", number, 32))
    pair = blob.btf().type(2)
    assert (pair.name, pair.size, [(member.name, member.bit_offset) for member in pair.entries]) == (
        "pair",
        8,
        [("a", 0), ("b", 32)],
    )
