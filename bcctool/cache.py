"""What is made once and kept for later runs: directories below $XDG_CACHE_HOME/bcctool (XDG Base Directory)."""

from __future__ import annotations

import os
import shutil
import tempfile
import time

from .errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_PARTIAL = ".partial-"
_ABANDONED_S = 3600
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
    """The path of the directory that `fill` made for this key, now or in an earlier run: complete, or not there at all.

    prefix: of the names of its kind, of which the `limit` newest stay. Error when it can't be made.
    """
    base = directory()
    path = os.path.join(base, f"{prefix}-{key}".replace("/", "_"))
    if os.path.isdir(path):
        return path
    partial = tempfile.mkdtemp(prefix=_PARTIAL, dir=base)
    try:
        fill(partial)
        os.rename(partial, path)
    except OSError as error:
        if not os.path.isdir(path):  # else somebody else was faster
            raise Error(f"can't make {path}: {error.strerror}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    _forget(base, prefix, limit)
    return path


def _forget(base: str, prefix: str, limit: int) -> None:
    """Remove the oldest directories of a kind, and what a run that was killed has left."""
    found = sorted((entry.stat().st_mtime, entry.name, entry.path) for entry in os.scandir(base) if entry.is_dir())
    kind = [path for _, name, path in found if name.startswith(f"{prefix}-")]
    left = [path for made, name, path in found if name.startswith(_PARTIAL) and made < time.time() - _ABANDONED_S]
    for path in [*left, *kind[: max(0, len(kind) - limit)]]:
        shutil.rmtree(path, ignore_errors=True)
