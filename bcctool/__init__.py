"""bcctool: look into eBPF on Linux. The public API, imported on first use (PEP 562)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .companion.bpf import BPF, table
    from .elf.object import ObjectFile
    from .errors import Error, NotSupported
    from .loader.load import load
    from .objects.btf import Btf
    from .objects.map import Map
    from .objects.prog import Prog

__version__ = "0.1.0"
__all__ = ["BPF", "Btf", "Error", "Map", "NotSupported", "ObjectFile", "Prog", "load", "table"]

_HOMES = {
    "BPF": ("companion.bpf", "BPF"),
    "Btf": ("objects.btf", "Btf"),
    "Error": ("errors", "Error"),
    "Map": ("objects.map", "Map"),
    "NotSupported": ("errors", "NotSupported"),
    "ObjectFile": ("elf.object", "ObjectFile"),
    "Prog": ("objects.prog", "Prog"),
    "load": ("loader.load", "load"),
    "table": ("companion.bpf", "table"),
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _HOMES[name]
    return getattr(import_module(f".{module}", __name__), attribute)
