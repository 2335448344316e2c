"""How the kernel was built: options from /boot/config-RELEASE or /proc/config.gz (Documentation/kbuild/kconfig.rst)."""

from __future__ import annotations

import os

from ..errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_MARKER = b"# Automatically generated file; DO NOT EDIT."  # the second line of every such file
SIGNATURE = "/proc/version_signature"
_GZIP = 31  # zlib's word for 32 KB of window and a gzip header


def options(names: Iterable[str]) -> dict[str, str | None]:
    """The values of options as they are written ("y", "250", '"text"'), None for one that is not set.

    Error when this kernel does not say how it was built.
    """
    lines = _text().split(b"\n")
    if lines[1:2] != [_MARKER]:
        raise Error("can't find correct file")
    found = _settings(lines)
    return {name: found.get(name.encode(), b"").decode("utf-8", "backslashreplace") or None for name in names}


def settings() -> dict[bytes, bytes]:
    """All options that are set, as they are written; from any file in a place of a configuration.

    Error when this kernel does not say how it was built.
    """
    return _settings(_text().split(b"\n"))


def places() -> str:
    """Where the configuration is looked for, as words."""
    return f"/boot/config-{os.uname().release} and /proc/config.gz"


def version_code() -> int:
    """The kernel's version as LINUX_VERSION_CODE; of Ubuntu's and Debian's kernels the one that they are made from.

    Their release names a first version and stays the same: Ubuntu tells the true one in /proc/version_signature,
    Debian in what uname(2) calls the version. 0 where no version can be made out.
    """
    uname = os.uname()
    words = uname.version.partition("Debian ")[2].split() or [uname.release]
    try:
        with open(SIGNATURE, encoding="ascii", errors="replace") as file:
            words = file.read(256).split()[2:3] or words
    except OSError:
        pass
    numbers = []
    for part in words[0].split(".", 2):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        numbers.append(int(digits) if digits else 0)
    major, minor, patch = (*numbers, 0, 0, 0)[:3]
    return major << 16 | min(minor, 255) << 8 | min(patch, 255)


def _settings(lines: list[bytes]) -> dict[bytes, bytes]:
    """Value by name; what comes first counts."""
    found: dict[bytes, bytes] = {}
    for line in lines:
        name, equals, value = line.partition(b"=")
        if equals:
            found.setdefault(name, value)
    return found


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
