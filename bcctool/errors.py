"""What can go wrong, as one line for the user and an exit status (as bpftool: a negative errno modulo 256)."""

from __future__ import annotations

import os

GENERIC = 255


class Error(Exception):
    """A failure that the user sees as `Error: MESSAGE`.

    status: the command's exit status (0..255). detail: what another program had to say, such as the verifier's log;
    it follows the message on stderr.
    """

    def __init__(self, message: str, status: int = GENERIC, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.detail = detail


class KernelError(Error):
    """A system call that failed: `what: strerror`, exit status 256 - errno unless bpftool uses another one there."""

    def __init__(self, what: str, errno: int, status: int | None = None) -> None:
        super().__init__(f"{what}: {os.strerror(errno)}", (256 - errno) % 256 if status is None else status)
        self.errno = errno


class NotSupported(Error):
    """The running kernel cannot do `feature`; `since` is the first release that can (for example "5.6")."""

    def __init__(self, feature: str, since: str) -> None:
        super().__init__(f"{feature} is not supported by this kernel (since Linux {since})")
        self.feature = feature
        self.since = since


class Malformed(Error):
    """Input that is not what its format promises: `what` (a file or blob), `where` inside it, and the reason."""

    def __init__(self, what: str, where: str, reason: str) -> None:
        super().__init__(f"{what}: {where}: {reason}" if where else f"{what}: {reason}")
