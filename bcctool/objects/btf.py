"""Live BTF objects: what the kernel has, parsed on first use."""

from __future__ import annotations

import ctypes

from ..errors import Error, KernelError
from ..kernel import bpf, uapi
from .handle import Handle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..btf.reader import Btf as Reader

VMLINUX = "/sys/kernel/btf/vmlinux"
MAX_SIZE = 256 << 20
_NAME_SIZE = 128


class Btf(Handle):
    """A BTF object in the kernel. `types` is its reader."""

    KIND = bpf.BTF
    NOUN = "BTF object"
    BY_ID = "can't get BTF object by id ({})"
    INFO = uapi.btf_info

    def __init__(self, fd: int, info: uapi.btf_info | None = None) -> None:
        self._name = b""
        super().__init__(fd, info)

    def read_info(self, **fields: int) -> uapi.btf_info:
        buffer = ctypes.create_string_buffer(_NAME_SIZE)
        info = uapi.btf_info(name=ctypes.addressof(buffer), name_len=_NAME_SIZE, **fields)
        bpf.fill_info(self.fd, info)
        self._name = buffer.value
        return info

    @property
    def name(self) -> str:
        """"vmlinux", a module's name, or empty for BTF from user space."""
        return self._name.decode("utf-8", "backslashreplace")

    @property
    def kernel(self) -> bool:
        """Whether the kernel or a module brought it."""
        return bool(self.info.kernel_btf)

    @property
    def data(self) -> bytes:
        """The raw blob."""
        size = self.info.btf_size
        if size > MAX_SIZE:
            raise Error(f"BTF object {self.id} of {size} bytes is too large")
        buffer = ctypes.create_string_buffer(size)
        try:
            self.read_info(btf=ctypes.addressof(buffer), btf_size=size)
        except OSError as error:
            raise KernelError(f"can't read BTF object {self.id}", error.errno or 0) from None
        return buffer.raw

    def reader(self) -> Reader:
        """The parsed types; a module's over those of vmlinux."""
        from ..btf.reader import Btf as Reader

        base = vmlinux() if self.kernel and self.name != "vmlinux" else None
        return Reader(self.data, base, where=f"BTF object {self.id}")


def kernel_types(id: int) -> Reader:
    """The types of vmlinux or of a module, by the id of the BTF object; 0, from older kernels, is vmlinux."""
    if id:
        with Btf.from_id(id) as btf:
            if btf.name != "vmlinux":
                return btf.reader()
    return vmlinux()


_cached_vmlinux: list[Reader] = []


def vmlinux() -> Reader:
    """The running kernel's own types, read once per process."""
    if not _cached_vmlinux:
        from ..btf.reader import Btf as Reader
        from ..kernel.proc import read_file

        _cached_vmlinux.append(Reader(read_file(VMLINUX), where=VMLINUX))
    return _cached_vmlinux[0]
