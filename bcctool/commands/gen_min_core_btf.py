"""gen min_core_btf: the part of a kernel's types that objects depend on."""

from __future__ import annotations

from ..btf.minimal import minimal
from ..elf.object import ObjectFile
from ..errors import GENERIC, Error, KernelError
from ..verbs import Args
from .btf_dump import read
from .files import write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..btf.ext import CoreRelo
    from ..btf.reader import Btf

NO_DATA = 195  # -ENODATA
FORMAT_STATUS = 95  # of libbpf's LIBBPF_ERRNO__FORMAT


def run(args: Args) -> None:
    """Write OUTPUT, raw BTF, or nothing when an input is not sound."""
    args.require(3, GENERIC)
    source = args.next()
    output = args.next()
    types = read(source, None)
    data = minimal(types, [relocations(path) for path in args.words])
    try:
        write_whole(output, data)
    except KernelError as error:
        error.status = -error.errno % 256
        raise


def opened(path: str) -> ObjectFile:
    """The object, or an Error with the status that bpftool has for it here."""
    try:
        return ObjectFile(path)
    except KernelError as error:
        raise KernelError(f"failed to parse BPF object '{path}'", error.errno) from None
    except Error as error:
        reason = error.message.removeprefix(f"{path}: ")
        raise Error(f"failed to parse BPF object '{path}': {reason}", FORMAT_STATUS) from None


def relocations(path: str) -> tuple[Btf, list[CoreRelo]]:
    """An object's types and all its CO-RE relocations."""
    obj = opened(path)
    if obj.btf is None or obj.btf_ext is None:
        reason = "section .BTF.ext not found: compile with clang -g"
        raise Error(f"failed to parse BPF object '{path}': {reason}", NO_DATA)
    return obj.btf, [relo for section in obj.btf_ext.sections() for relo in obj.btf_ext.core_relos(section)]
