"""BPF objects inside other files: an executable with a libbpf skeleton has the bytes of one (ELF gABI, EM_BPF)."""

from __future__ import annotations

import contextlib
import os
import stat
import struct

from ..errors import GENERIC, Error, KernelError
from ..escapes import printable
from .reader import (
    BYTEORDERS,
    CLASS64,
    EM_BPF,
    ET_REL,
    EV_CURRENT,
    HEADER_SIZE,
    SECTION_SIZE,
    SHT_NOBITS,
    SHT_NULL,
    SHT_STRTAB,
    check_kind,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

MAX_FILE_SIZE = 64 << 20
MAX_HOST_SIZE = 2 << 30  # of a file that is searched
MAX_OBJECTS = 256
MAX_WORK = 1 << 17  # section headers that a search looks at, those of what turns out to be no object included
CHUNK = 1 << 20
MAX_NAME = 200  # bytes, so that an ending still fits into a file name
MAGIC = b"\x7fELF" + bytes([CLASS64])
# e_ident, then e_type, e_machine and e_version; between them the ABI and padding.
_PATTERN = b"|".join(
    b"\\x%02x\\x01.{9}" % code + b"".join(b"\\x%02x" % byte for byte in struct.pack(order, ET_REL, EM_BPF, EV_CURRENT))
    for code, order in ((1, "<HHI"), (2, ">HHI"))
)
_HEADER = "40xQ4xH4x3H"  # e_shoff, e_ehsize, e_shentsize, e_shnum, e_shstrndx
_SECTION = "4xI16x2Q24x"  # sh_type, sh_offset, sh_size


class Source:
    """A file with BPF objects: one itself, or one in which they are embedded. Use it as a context manager.

    path: FILE, or FILE#N for its Nth object, from 1, where no file has that very name.
    file: the file's path; head: its first bytes. embedded: it is no object itself. spans: (offset, size) of each
    object, or of the one asked for; empty without any.
    Raises Error or KernelError when the file cannot be read, is too large, or has no such object.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.where = printable(path)
        with contextlib.ExitStack() as stack, self._failures():
            self.file, self.number = numbered(path)
            size = self._checked_size()
            self._stream = stack.enter_context(open(self.file, "rb", buffering=0))
            self.head = self._read(0, HEADER_SIZE)
            self._find(size)
            stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _checked_size(self) -> int:
        status = os.stat(self.file)
        if stat.S_ISDIR(status.st_mode):
            raise Error(f"{self.where}: is a directory, not an object file")
        if not stat.S_ISREG(status.st_mode):
            raise Error(f"{self.where}: is not a regular file")
        return status.st_size

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise KernelError(self.where, error.errno or 0, GENERIC) from None
        except ValueError:
            raise Error(f"{self.where}: not a file name: it has a NUL character") from None

    def _find(self, size: int) -> None:
        self.embedded = not is_object(self.head)
        limit = MAX_HOST_SIZE if self.embedded and self.head.startswith(MAGIC[:4]) else MAX_FILE_SIZE
        if size > limit:
            raise Error(f"{self.where}: {size} bytes, an object file takes {limit} at most")
        self.spans = find(self._stream.fileno(), size, self.where) if self.embedded else [(0, size)]
        if self.number and self.spans:
            if self.number > len(self.spans):
                raise Error(f"{self.where}: no such object, the file has {len(self.spans)}")
            self.spans = self.spans[self.number - 1 : self.number]

    def _read(self, offset: int, size: int) -> bytes:
        return os.pread(self._stream.fileno(), size, offset)

    def names(self) -> list[str]:
        """A name for each object: the file's up to its first dot, numbered if there are several; safe as file names."""
        stem = os.path.basename(self.file).split(".")[0]
        stem = "".join(c if c.isascii() and (c.isalnum() or c in "+-_") else "_" for c in stem)[:MAX_NAME] or "object"
        if self.number:
            return [f"{stem}.{self.number}"]
        return [f"{stem}.{number + 1}" for number in range(len(self.spans))] if len(self.spans) > 1 else [stem]

    def read(self) -> bytes:
        """The one object. Error when there are several; of a file without any its first bytes, which say what it is."""
        if len(self.spans) > 1:
            choice = f"name one as {self.where}#1, or use: bcctool object extract {self.where} DIR"
            raise Error(f"{self.where}: there are {len(self.spans)} BPF objects in it: {choice}")
        with self._failures():
            return self._read(*self.spans[0]) if self.spans else self.head

    def objects(self) -> Iterator[tuple[str, int, bytes]]:
        """(name, offset in the file, contents) of each object. Error for a file without any, which says what it is."""
        if not self.spans:
            check_kind(self.head, self.where)
        for name, (offset, size) in zip(self.names(), self.spans, strict=True):
            with self._failures():
                data = self._read(offset, size)
            yield name, offset, data


def numbered(path: str) -> tuple[str, int]:
    """(FILE, N) of `FILE#N`, if there is no file of that name; else the path and 0."""
    file, mark, number = path.rpartition("#")
    if not mark or not file or not (number.isascii() and number.isdigit() and len(number) < 6) or not int(number):
        return path, 0
    return (path, 0) if os.path.lexists(path) else (file, int(number))


def is_object(head: bytes) -> bool:
    """Whether a file that begins like this means to be a BPF object."""
    byteorder = BYTEORDERS.get(head[5]) if head.startswith(MAGIC[:4]) and len(head) == HEADER_SIZE else None
    return byteorder is not None and int.from_bytes(head[18:20], byteorder) == EM_BPF


def find(fd: int, size: int, where: str) -> list[tuple[int, int]]:
    """(offset, size) of every BPF object in an open file, in order; what lies inside one is no other one.

    An object is found by its header and reaches as far as its sections; one that the file's end cuts off, or whose
    headers make no sense, is none. Error when the file has more than any real one.
    """
    import re

    pattern = re.compile(re.escape(MAGIC) + b"(?:" + _PATTERN + b")", re.DOTALL)
    found: list[tuple[int, int]] = []
    work = at = end = 0
    while at < size:
        chunk = os.pread(fd, CHUNK + HEADER_SIZE, at)
        for match in pattern.finditer(chunk) if MAGIC in chunk else ():
            offset = at + match.start()
            if offset < end or match.start() >= CHUNK:
                continue
            extent, headers = _extent(fd, offset, size - offset)
            work += headers
            if extent:
                found.append((offset, extent))
                end = offset + extent
            if work > MAX_WORK or len(found) > MAX_OBJECTS:
                raise Error(f"{where}: too many ELF headers for BPF in it, {len(found)} of them of sound objects")
        at = max(at + CHUNK, end)
    return found


def _extent(fd: int, offset: int, left: int) -> tuple[int, int]:
    """(size of the object at an offset, 0 for none; section headers looked at). left: bytes up to the file's end."""
    head = os.pread(fd, HEADER_SIZE, offset)
    if len(head) < HEADER_SIZE:
        return 0, 1
    order = "<" if BYTEORDERS[head[5]] == "little" else ">"
    start, header_size, entry_size, count, names = struct.unpack(order + _HEADER, head)
    end = start + count * SECTION_SIZE
    if header_size != HEADER_SIZE or entry_size != SECTION_SIZE or not names < count or start < HEADER_SIZE:
        return 0, 1
    table = os.pread(fd, count * SECTION_SIZE, offset + start) if end <= left else b""
    if len(table) < count * SECTION_SIZE:
        return 0, 1
    size = end
    for number, (type_, section_offset, section_size) in enumerate(struct.iter_unpack(order + _SECTION, table)):
        if type_ not in (SHT_NULL, SHT_NOBITS):
            size = max(size, section_offset + section_size)
        if size > left or (number == names and type_ != SHT_STRTAB):
            return 0, count
    return (size if size <= MAX_FILE_SIZE else 0), count
