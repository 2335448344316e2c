"""Files that commands write: there whole afterwards, or as they were before."""

from __future__ import annotations

import contextlib
import os
import stat

from ..errors import Error


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
        raise Error(f"can't write {path}: {error.strerror}") from None
