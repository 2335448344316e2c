"""Files that commands write: there whole afterwards, or as they were before."""

from __future__ import annotations

import contextlib
import os

from ..errors import Error


def write_whole(path: str, data: bytes) -> None:
    """Write a file by way of another one beside it; what is no regular file (a pipe, a terminal) is written itself."""
    partial = f"{path}.{os.getpid()}" if os.path.isfile(path) or not os.path.lexists(path) else ""
    try:
        with open(partial or path, "wb") as file:
            file.write(data)
        if partial:
            os.replace(partial, path)
    except OSError as error:
        if partial:
            with contextlib.suppress(OSError):
                os.unlink(partial)
        raise Error(f"can't write {path}: {error.strerror}") from None
