"""The running kernel's types as a loader looks them up: those of vmlinux first, then those of its modules."""

from __future__ import annotations

import os

from ..errors import Error, KernelError
from ..objects.btf import Btf, vmlinux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Self

    from ..btf.reader import Btf as Reader

VMLINUX = "vmlinux"


class Source:
    """Types of vmlinux or of one module: `types` over its base, `fd` of the BTF object (0 for vmlinux's), `name`."""

    __slots__ = ("fd", "name", "types")

    def __init__(self, types: Reader, name: str, fd: int = 0) -> None:
        self.types = types
        self.name = name
        self.fd = fd


class KernelTypes:
    """Looks types up by name. Modules are read when vmlinux does not have something, their descriptors kept open.

    Close it, or use it as a context manager, when no program or map is to refer to its descriptors any more.
    """

    def __init__(self) -> None:
        self._vmlinux: Source | None = None
        self._modules: list[Source] | None = None
        self._open: list[Btf] = []

    @property
    def vmlinux(self) -> Source:
        """The kernel's own types. Error when it has none (CONFIG_DEBUG_INFO_BTF)."""
        if self._vmlinux is None:
            try:
                self._vmlinux = Source(vmlinux(), VMLINUX)
            except OSError as error:
                reason = f"can't read the kernel's types (/sys/kernel/btf/vmlinux): {os.strerror(error.errno or 0)}"
                raise Error(f"{reason}: is it built with CONFIG_DEBUG_INFO_BTF?") from None
        return self._vmlinux

    @property
    def modules(self) -> list[Source]:
        """The types of every module that has some. Empty where the kernel won't tell (not root)."""
        if self._modules is None:
            self._modules = []
            try:
                for btf in Btf.all():
                    if btf.kernel and btf.name != VMLINUX:
                        self._open.append(btf)
                        self._modules.append(Source(btf.reader(), btf.name, btf.fd))
                    else:
                        btf.close()
            except KernelError:
                pass
        return self._modules

    def find(self, name: str, kind: int) -> tuple[Source, int] | None:
        """The first type of this name and kind: where it is, and its id there."""
        id = self.vmlinux.types.find(name, kind)
        if id is not None:
            return self.vmlinux, id
        for source in self.modules:
            id = source.types.find(name, kind)
            if id is not None:
                return source, id
        return None

    def close(self) -> None:
        """Close the modules' descriptors."""
        for btf in self._open:
            btf.close()
        self._open.clear()
        self._modules = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
