"""gen min_core_btf: the part of a kernel's types that objects depend on."""

from __future__ import annotations

from ..btf.minimal import minimal
from ..elf.object import ObjectFile
from ..errors import GENERIC, Error
from ..verbs import Args
from .btf import read
from .files import write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..btf.ext import CoreRelo
    from ..btf.reader import Btf


def run(args: Args) -> None:
    """Write OUTPUT, raw BTF, or nothing when an input is not sound."""
    args.require(3, GENERIC)
    source = args.next()
    output = args.next()
    types = read(source, None)
    write_whole(output, minimal(types, [relocations(path) for path in args.words]))


def relocations(path: str) -> tuple[Btf, list[CoreRelo]]:
    """An object's types and all its CO-RE relocations."""
    obj = ObjectFile(path)
    if obj.btf is None or obj.btf_ext is None:
        raise Error(f"{path}: section .BTF.ext not found: compile with clang -g")
    return obj.btf, [relo for section in obj.btf_ext.sections() for relo in obj.btf_ext.core_relos(section)]
