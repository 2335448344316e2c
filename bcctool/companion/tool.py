"""Inside of a BCC tool that `bcc run` has started: our BPF in place of BCC's, errors as one line."""

from __future__ import annotations

import os
import sys

import bcc

from ..errors import Error
from ..escapes import printable
from . import TRACEBACK
from .bpf import BPF

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType


def prepare() -> None:
    """Let everybody who imports BCC's BPF from now on get ours."""
    bcc.BPF = BPF
    if TRACEBACK not in os.environ:
        sys.excepthook = _show


def _show(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """BCC raises plain Exceptions for what a user has to know; anything else is a mistake of the tool."""
    if kind is Exception or isinstance(error, Error):
        name = os.path.basename(sys.argv[0])
        sys.stderr.write(f"{name}: {printable(str(error) or kind.__name__)}\n")
        return
    sys.__excepthook__(kind, error, traceback)
