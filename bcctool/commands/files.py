"""Files that commands write: there whole afterwards, or as they were before."""

from __future__ import annotations

import contextlib
import os
import stat

from ..errors import GENERIC, Error, KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def write_whole(path: str, data: bytes) -> None:
    """Write a file by way of another one beside it; what is no regular file (a pipe, a terminal) is written itself."""
    target = os.path.realpath(path)
    there = os.path.exists(target)
    partial = f"{target}.{os.getpid()}" if os.path.isfile(target) or not there else ""
    try:
        with open(partial or path, "wb") as file:
            if partial and there:
                os.fchmod(file.fileno(), stat.S_IMODE(os.stat(target).st_mode))
            file.write(data)
        if partial:
            os.replace(partial, target)
    except OSError as error:
        if partial:
            with contextlib.suppress(OSError):
                os.unlink(partial)
        raise KernelError(f"can't write {path}", error.errno or 0, GENERIC) from None


def write_new(directory: str, files: Sequence[tuple[str, bytes]]) -> None:
    """Write new files into a directory, which is made if it is not there: all of them, or nothing.

    files: (path, contents). Error when one of them exists already, or can't be written.
    """
    path = directory
    with contextlib.ExitStack() as undo:
        try:
            if not os.path.isdir(directory):
                os.mkdir(directory)
                undo.callback(os.rmdir, directory)
            for path, data in files:
                with open(path, "xb") as file:
                    undo.callback(os.unlink, path)
                    file.write(data)
        except FileExistsError:
            raise Error(f"can't write {path}: it exists already: remove it, or choose another directory") from None
        except OSError as error:
            raise Error(f"can't write {path}: {error.strerror}") from None
        undo.pop_all()
