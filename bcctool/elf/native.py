"""Functions of programs and libraries, by the offset in the file at which a uprobe goes (ELF gABI)."""

from __future__ import annotations

import os

from elftools.elf.elffile import ELFFile

from ..errors import Error, KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TABLES = (".symtab", ".dynsym")  # the first has more, unless the file is stripped
MAX_SYMBOLS = 1 << 22


def function_offset(path: str, name: str) -> int:
    """Where in a file the code of a function begins. Error when it is no ELF file, or has no such function."""
    if os.path.exists(path) and not os.path.isfile(path):  # to open a pipe would wait
        raise Error(f"{path}: is not a regular file")
    try:
        with open(path, "rb") as file:
            return _offset(ELFFile(file), name)
    except OSError as error:
        raise KernelError(path, error.errno or 0, status=255) from None
    except LookupError:
        raise Error(f"{path}: it has no function '{name}'") from None
    except Exception:  # the library raises whatever its parsers meet: half a dozen kinds, not one base
        raise Error(f"{path}: it is no sound ELF file") from None


def _offset(elf: Any, name: str) -> int:
    address = _address(elf, name)
    for segment in elf.iter_segments("PT_LOAD"):
        start = segment["p_vaddr"]
        if start <= address < start + segment["p_filesz"]:
            return int(address - start + segment["p_offset"])
    raise LookupError(name)


def _address(elf: Any, name: str) -> int:
    for table in TABLES:
        section = elf.get_section_by_name(table)
        if section is None or section.num_symbols() > MAX_SYMBOLS:
            continue
        for symbol in section.iter_symbols():
            entry = symbol.entry
            if symbol.name == name and entry["st_shndx"] != "SHN_UNDEF" and entry["st_info"]["type"] == "STT_FUNC":
                return int(entry["st_value"])
    raise LookupError(name)
