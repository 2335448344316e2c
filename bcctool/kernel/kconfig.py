"""How the kernel was built: options from /boot/config-RELEASE or /proc/config.gz (Documentation/kbuild/kconfig.rst)."""

from __future__ import annotations

import os

from ..errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_MARKER = b"# Automatically generated file; DO NOT EDIT."  # the second line of every such file
_GZIP = 31  # zlib's word for 32 KB of window and a gzip header


def options(names: Iterable[str]) -> dict[str, str | None]:
    """The values of options as they are written ("y", "250", '"text"'), None for one that is not set.

    Error when this kernel does not say how it was built.
    """
    lines = _text().split(b"\n")
    if lines[1:2] != [_MARKER]:
        raise Error("can't find correct file")
    found: dict[bytes, bytes] = {}
    for line in lines:
        name, equals, value = line.partition(b"=")
        if equals:
            found.setdefault(name, value)
    return {name: found.get(name.encode(), b"").decode("utf-8", "backslashreplace") or None for name in names}


def _text() -> bytes:
    try:
        with open(f"/boot/config-{os.uname().release}", "rb") as file:
            return file.read()
    except OSError:
        pass
    try:
        with open("/proc/config.gz", "rb") as file:
            data = file.read()
    except OSError as error:
        raise Error(f"can't open file: {error.strerror}") from None
    import zlib

    try:
        return zlib.decompress(data, _GZIP)
    except zlib.error as error:
        raise Error(f"can't read from file: {error}") from None
