"""The .BTF section of any ELF file, kernel images and modules among them (ELF gABI)."""

from __future__ import annotations

import mmap
import struct

from elftools.elf.elffile import ELFFile

from ..errors import Error, Malformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

NAME = b".BTF\0"
SHT_NOBITS = 8
MAX_SIZE = 256 << 20
HEADERS = {64: "IIQQQQIIQQ", 40: "10I"}  # by size of a section header: name, type, two more, offset, size, …


def btf_section(file: IO[bytes], where: str) -> bytes | None:
    """The contents of the section, None if the file has none. Malformed for a broken file; `where` names it."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        try:
            elf = ELFFile(view)
            header, count, names = elf.header, elf.num_sections(), elf.get_shstrndx()
        except Exception as error:  # the library raises whatever its parsers meet: half a dozen kinds, not one base
            raise Malformed(where, "ELF header", f"cannot be read ({error or type(error).__name__})") from None
        start, entry = header["e_shoff"], header["e_shentsize"]
        if not count:
            return None
        if entry not in HEADERS or start + count * entry > len(view) or names >= count:
            raise Malformed(where, "ELF header", "the section headers lie outside the file: is it truncated?")
        order = "<" if elf.little_endian else ">"
        sections = list(struct.iter_unpack(order + HEADERS[entry], view[start : start + count * entry]))
        strings = sections[names][4]
        for name, type_, _, _, offset, size, *_ in sections:
            if view[strings + name : strings + name + len(NAME)] != NAME or type_ == SHT_NOBITS:
                continue
            if size > MAX_SIZE:
                raise Error(f"{where}: .BTF of {size} bytes is too large")
            if offset + size > len(view):
                raise Malformed(where, ".BTF", "lies outside the file: is it truncated?")
            return view[offset : offset + size]
    return None
