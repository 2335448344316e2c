"""version: what is running, in bpftool's shape."""

from __future__ import annotations

from .. import __version__
from ..kernel import libbpf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def record() -> dict[str, Any]:
    """Versions, and the features that bpftool lists as compiled in."""
    features = {"libbfd": False, "llvm": True, "skeletons": False, "bootstrap": False}
    return {"version": __version__, "libbpf_version": libbpf.version(), "features": features}


def text(record: dict[str, Any]) -> str:
    """The three lines of `version`."""
    features = ", ".join(name for name, present in record["features"].items() if present)
    return f"bcctool v{record['version']}\nusing libbpf v{record['libbpf_version']}\nfeatures: {features}\n"
