"""What is made once and kept for later runs, below $XDG_CACHE_HOME/bcctool (XDG Base Directory): directories, texts.

Both are there whole or not at all, whoever else makes them at the same time. Without modules that are slow to import:
a text is kept to save less time than those take.
"""

from __future__ import annotations

# ruff: noqa: SIM105  contextlib takes longer to import than is saved by a text that is kept
import os
import struct
import time
import zlib

from .errors import Error
from .output import Encoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import BinaryIO

OFF = "BCCTOOL_NO_CACHE"  # in the environment: no texts are read or kept
MAX_TEXTS = 128 << 20  # bytes of all of them
_TEXT, _PARTIAL = "text-", ".partial-"
_ABANDONED_S = 3600
_PIECE = 1 << 18  # bytes: what stays in the processor's cache
_TRAILER = struct.Struct("<8sQI")  # behind a text: that it is one, its length, its CRC
_MAGIC = b"bcctool1"
_HINT = "set XDG_CACHE_HOME to a directory of yours"


def directory() -> str:
    """The cache, which is made if need be. What is in it is trusted, so it may not be another user's: Error then."""
    home = os.environ.get("XDG_CACHE_HOME") or f"{_home()}/.cache"
    path = os.path.join(home, "bcctool")
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        status = os.stat(path)
    except OSError as error:
        raise Error(f"can't make {path}: {error.strerror}: {_HINT}") from None
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise Error(f"{path}: others may write there: {_HINT}")
    return path


def _home() -> str:
    """Our home; not that of the user for whom sudo has made us another."""
    home = os.path.expanduser("~")
    try:
        ours = os.stat(home).st_uid == os.geteuid()
    except OSError:
        return home
    if ours:
        return home
    from pwd import getpwuid

    try:
        return getpwuid(os.geteuid()).pw_dir
    except KeyError:
        return home


def kept(prefix: str, key: str, fill: Callable[[str], object], limit: int) -> str:
    """The path of the directory that `fill` made for this key, now or in an earlier run.

    prefix: of the names of its kind, of which the `limit` newest stay. Error when it can't be made.
    """
    from shutil import rmtree

    base = directory()
    path = os.path.join(base, f"{prefix}-{key}".replace("/", "_"))
    if os.path.isdir(path):
        return path
    partial = _partial(base)
    try:
        os.mkdir(partial, 0o700)
        fill(partial)
        os.rename(partial, path)
    except OSError as error:
        if not os.path.isdir(path):  # else somebody else was faster
            raise Error(f"can't make {path}: {error.strerror}") from None
    finally:
        rmtree(partial, ignore_errors=True)
    found = sorted((entry.stat().st_mtime, entry.name, entry.path) for entry in os.scandir(base) if entry.is_dir())
    kind = [path for _, name, path in found if name.startswith(f"{prefix}-")]
    left = [path for made, name, path in found if name.startswith(_PARTIAL) and made < time.time() - _ABANDONED_S]
    for old in [*left, *kind[: max(0, len(kind) - limit)]]:
        rmtree(old, ignore_errors=True)
    return path


def _partial(base: str) -> str:
    """A name that nobody else has for what is being made."""
    return os.path.join(base, f"{_PARTIAL}{os.getpid()}-{time.time_ns()}")


def texts(name: str, make: Callable[[], Iterable[str]]) -> Iterator[str | Encoded]:
    """The pieces of a text that depends on nothing but what the name says: kept ones, or made, and kept if they can be.

    One that is damaged is made anew. When all of them are too large, those go that were not used for longest.
    """
    try:
        path = "" if OFF in os.environ else os.path.join(directory(), _TEXT + name)
    except Error:
        path = ""
    found = _open(path) if path else None
    if found:
        try:
            yield found
        finally:
            os.close(found.fd)
        return
    keeper = _Keeper(path) if path else None
    try:
        for piece in make():
            if keeper:
                keeper.add(piece.encode("utf-8", "replace"))
            yield piece
        if keeper:
            keeper.finish()
    finally:
        if keeper:
            keeper.drop()


def _open(path: str) -> Encoded | None:
    """A text that was kept whole; None for none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        size = os.fstat(fd).st_size - _TRAILER.size
        if size >= 0 and os.pread(fd, _TRAILER.size, size) == _TRAILER.pack(_MAGIC, size, _crc(fd, size)):
            os.utime(fd)  # it is young again
            return Encoded(fd, size)
    except OSError:
        pass
    os.close(fd)
    return None


def _crc(fd: int, size: int) -> int:
    crc, at = 0, 0
    while at < size and (data := os.pread(fd, min(_PIECE, size - at), at)):
        crc, at = zlib.crc32(data, crc), at + len(data)
    return crc


class _Keeper:
    """Writes a text that is to be kept. What goes wrong with that is nobody's trouble: it is not kept then."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.partial = _partial(os.path.dirname(path))
        self.size = self.crc = 0
        self.file: BinaryIO | None = None
        try:
            self.file = open(self.partial, "xb")  # noqa: SIM115  drop() closes it
        except OSError:
            pass

    def add(self, data: bytes) -> None:
        """The next piece."""
        self.size += len(data)
        self.crc = zlib.crc32(data, self.crc)
        if self.file is None or self.size > MAX_TEXTS // 2:
            self.drop()
            return
        try:
            self.file.write(data)
        except OSError:
            self.drop()

    def finish(self) -> None:
        """There are no more pieces: keep the text."""
        if self.file is None:
            return
        try:
            self.file.write(_TRAILER.pack(_MAGIC, self.size, self.crc))
            self.file.close()
            os.rename(self.partial, self.path)
            _shrink(os.path.dirname(self.path))
        except OSError:
            pass

    def drop(self) -> None:
        """Leave nothing unfinished behind."""
        file, self.file = self.file, None
        if file is None:
            return
        try:
            file.close()
        except OSError:  # the disk is full
            pass
        try:
            os.unlink(self.partial)
        except OSError:  # it is where it belongs
            pass


def _shrink(base: str) -> None:
    """Remove the texts that were not used for longest until the others fit, and what killed runs have left."""
    left, abandoned = MAX_TEXTS, time.time() - _ABANDONED_S
    for entry in sorted(os.scandir(base), key=lambda entry: -entry.stat().st_mtime):
        if entry.name.startswith(_TEXT):
            left -= entry.stat().st_size
        old = entry.name.startswith(_PARTIAL) and entry.is_file() and entry.stat().st_mtime < abandoned
        if old or (entry.name.startswith(_TEXT) and left < 0):
            os.unlink(entry.path)
