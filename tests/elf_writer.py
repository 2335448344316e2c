"""A writer of BPF objects for the tests beside this one, sound or not: what a compiler would never make (ELF gABI)."""

from __future__ import annotations

import builtins
import struct

from bcctool.btf import kinds

from .test_btf_blobs import Blob

HEADER, SECTION, SYMBOL = 64, 64, 24
NULL, PROGBITS, SYMTAB, STRTAB, NOBITS, REL = 0, 1, 2, 3, 8, 9
WRITE, ALLOC, EXEC = 1, 2, 4
LOCAL, GLOBAL, WEAK = 0, 1, 2
NOTYPE, OBJECT, FUNC, SECTION_SYMBOL = 0, 1, 2, 3
R_64_64, R_64_ABS64, R_64_32 = 1, 2, 10
EXIT, CALL = b"\x95" + bytes(7), 0x85
LD_IMM64 = b"\x18\x01" + bytes(14)
PROG_SECTION = "raw_tp/sys_enter"


def insn(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    return struct.pack("<BBhi", code, src << 4 | dst, off, imm)


class Object:
    """Sections, symbols and relocations, in the order they are added; the tables follow them."""

    def __init__(self) -> None:
        self.names = b"\0"
        self.headers: list[list[int]] = [[0] * 10]  # name, type, flags, addr, offset, size, link, info, align, entsize
        self.data: list[bytes] = [b""]
        self.symbol_names = b"\0"
        self.symbols: list[bytes] = [bytes(SYMBOL)]
        self.relocations: dict[int, list[tuple[int, int]]] = {}

    def section(self, name: str, data: bytes, type: int = PROGBITS, flags: int = ALLOC, size: int | None = None) -> int:
        """A section; its index. size: of one without contents."""
        self.headers.append([self.name(name), type, flags, 0, 0, len(data) if size is None else size, 0, 0, 8, 0])
        self.data.append(data)
        return len(self.headers) - 1

    def name(self, name: str) -> int:
        """The offset of a section's name."""
        self.names += name.encode() + b"\0"
        return len(self.names) - len(name.encode()) - 1

    def symbol(
        self, name: str, section: int, value: int = 0, size: int = 0, type: int = OBJECT, bind: int = GLOBAL
    ) -> int:
        """A symbol; its index."""
        offset = len(self.symbol_names) if name else 0
        self.symbol_names += name.encode() + b"\0" if name else b""
        self.symbols.append(struct.pack("<IBBHQQ", offset, bind << 4 | type, 0, section, value, size))
        return len(self.symbols) - 1

    def relocate(self, section: int, offset: int, symbol: int, type: int = R_64_64) -> None:
        self.relocations.setdefault(section, []).append((offset, symbol << 32 | type))

    def bytes(self) -> builtins.bytes:
        """The file."""
        symtab = self.section(".symtab", b"".join(self.symbols), SYMTAB)
        strtab = self.section(".strtab", self.symbol_names, STRTAB)
        self.headers[symtab][6:] = [strtab, 1, 8, SYMBOL]
        for section, rows in self.relocations.items():
            name = self.names[self.headers[section][0] :].split(b"\0")[0].decode()
            table = self.section(f".rel{name}", b"".join(struct.pack("<QQ", *row) for row in rows), REL, 0)
            self.headers[table][6:] = [symtab, section, 8, 16]
        strings = self.section(".shstrtab", b"", STRTAB)
        self.data[strings], self.headers[strings][5] = self.names, len(self.names)
        body = b""
        for header, data in zip(self.headers, self.data, strict=True):
            body += bytes(-len(body) % 8)
            header[4] = HEADER + len(body)
            body += data
        body += bytes(-len(body) % 8)
        ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
        counts = (HEADER, 0, 0, SECTION, len(self.headers), strings)
        head = ident + struct.pack("<HHIQQQIHHHHHH", 1, 247, 1, 0, 0, HEADER + len(body), 0, *counts)
        return head + body + b"".join(struct.pack("<IIQQQQIIQQ", *header) for header in self.headers)


class Sample:
    """A program that takes the address of a map, with BTF and records; change what is to be wrong, then take `bytes`.

    The map's struct has `type`, `max_entries`, `key` and `value`; core: (instruction's offset, type id, access string,
    kind) of CO-RE relocations; more: sections that `bytes` adds, each (name, data).
    """

    def __init__(self) -> None:
        self.blob = Blob()
        self.int = self.blob.number("int", 4, 1)
        self.code = LD_IMM64 + insn(0xB7) + EXIT
        self.prog_name, self.map_name, self.license, self.prog_section = "prog", "m", b"GPL\0", PROG_SECTION
        self.map_type, self.max_entries, self.key, self.value = 2, 4, self.int, self.int
        self.members: list[tuple[str, int, int]] = []
        self.core: list[tuple[int, int, str, int]] = []
        self.more: list[tuple[str, bytes]] = []
        self.object = Object()
        self.text = self.object.section("", b"", flags=ALLOC | EXEC)
        self.map_offset = 0

    def uint(self, number: int) -> int:
        """What __uint makes of a number."""
        return self.blob.ptr(self.blob.array(self.int, number, self.int))

    def bytes(self) -> builtins.bytes:
        """The file."""
        blob, obj = self.blob, self.object
        pairs = [("type", self.uint(self.map_type)), ("max_entries", self.uint(self.max_entries))]
        pairs += [("key", blob.ptr(self.key)), ("value", blob.ptr(self.value))]
        members = [(name, type_id, 64 * at) for at, (name, type_id) in enumerate(pairs)] + self.members
        size = 8 * len(members)
        struct_id = blob.struct("", size, *members)
        variable = blob.add(kinds.VAR, self.map_name, struct_id, 1)
        blob.datasec(".maps", 0, (variable, 0, size))
        func = blob.add(kinds.FUNC, self.prog_name, blob.proto(self.int, ("ctx", blob.ptr(0))), vlen=1)

        text = self.text
        obj.data[text] = self.code
        obj.headers[text][0], obj.headers[text][5] = obj.name(self.prog_section), len(self.code)
        maps = obj.section(".maps", bytes(size), flags=ALLOC | WRITE)
        obj.section("license", self.license)
        self.symbol = obj.symbol(self.map_name, maps, self.map_offset, size)
        obj.symbol(self.prog_name, text, 0, len(self.code), FUNC)
        obj.relocate(text, 0, self.symbol)
        for name, data in self.more:
            obj.section(name, data)
        ext = self.records(func)
        obj.section(".BTF", blob.bytes())
        obj.section(".BTF.ext", ext)
        return obj.bytes()

    def records(self, func: int) -> builtins.bytes:
        """The .BTF.ext section: a function's record, and CO-RE relocations."""
        section = self.blob.name(self.prog_section)
        funcs = struct.pack("<5I", 8, section, 1, 0, func)
        rows = [(offset, type_id, self.blob.name(access), kind) for offset, type_id, access, kind in self.core]
        core = struct.pack("<3I", 16, section, len(rows)) if rows else b""
        core += b"".join(struct.pack("<4I", *row) for row in rows)
        areas = (0, len(funcs), len(funcs), 0, len(funcs), len(core))
        return struct.pack("<HBBI6I", 0xEB9F, 1, 0, 32, *areas) + funcs + core
