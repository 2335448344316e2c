"""CO-RE relocations applied: each instruction that depends on the layout of types gets what the running kernel has."""

from __future__ import annotations

import struct
from functools import cached_property

from ..btf.core import Relocator, Resolution
from ..errors import Error
from ..insn.opcodes import CALL, LD_IMM64
from .spec import SLOT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from ..btf.reader import Btf
    from ..elf.object import ObjectFile
    from .kernel_types import KernelTypes
    from .spec import CoreRef, ProgSpec

POISON = 195896080
"""The helper that a poisoned instruction calls (0xbad2310, "bad relo"): the verifier refuses it where it is reached."""
# Fields of an opcode.
CLASS_MASK, SIZE_MASK, MODE_MASK, SRC_REG = 0x07, 0x18, 0xE0, 0x08
LD, LDX, ST, STX, ALU, ALU64 = 0, 1, 2, 3, 4, 7
SIZE_CODES = {4: 0x00, 2: 0x08, 1: 0x10, 8: 0x18}
SIZES = {code: size for size, code in SIZE_CODES.items()}
MAX_OFF = 0x7FFF


class CoreRelocations:
    """The CO-RE relocations of one object on one kernel.

    override: other types than the running kernel's (`kernel_btf`); debug: takes a line for each relocation.
    """

    def __init__(
        self, obj: ObjectFile, kernel: KernelTypes, override: Btf | None, debug: Callable[[str], object]
    ) -> None:
        self.obj = obj
        self.kernel = kernel
        self.override = override
        self.debug = debug
        self.order = "<" if obj.byteorder == "little" else ">"

    @cached_property
    def relocator(self) -> Relocator:
        """What resolves them; Error for an object without BTF."""
        btf = self.obj.btf
        assert btf is not None, "relocations stand in .BTF.ext, which is read by way of .BTF"
        override = self.override
        if override is not None:
            return Relocator(btf, [lambda: [override]])
        return Relocator(btf, [self._vmlinux, self._modules])

    def _vmlinux(self) -> Sequence[Btf]:
        return [self.kernel.vmlinux.types]

    def _modules(self) -> Sequence[Btf]:
        return [source.types for source in self.kernel.modules]

    def apply(self, spec: ProgSpec, insns: bytearray) -> dict[int, str]:
        """Change `insns`, the instructions of `spec`; what each poisoned one (by slot) would have accessed."""
        poisoned = {}
        for ref in spec.core_refs:
            resolution = self.relocator.resolve(ref.relo)
            found = ", ".join(map(str, resolution.target_specs)) or "nothing"
            self.debug(f"program '{spec.name}': instruction {ref.index}: {resolution.what}: kernel has {found}")
            if not self._patch(insns, ref, resolution):
                poisoned[ref.index] = resolution.what
        return poisoned

    def _patch(self, insns: bytearray, ref: CoreRef, resolution: Resolution) -> bool:
        """Put the target's number into an instruction; False when it has none and the instruction was poisoned."""
        at = ref.index * SLOT
        code = insns[at]
        class_ = code & CLASS_MASK
        value = resolution.target.number
        is_access = class_ in (LDX, ST, STX)
        if value is None or (is_access and not resolution.resizable):
            if code == LD_IMM64 and at + SLOT < len(insns):
                self._poison(insns, at + SLOT)
            self._poison(insns, at)
            return False
        if class_ in (ALU, ALU64) and not code & SRC_REG:
            self._expect(ref, resolution, struct.unpack_from(self.order + "i", insns, at + 4)[0], 32)
            struct.pack_into(self.order + "I", insns, at + 4, value & 0xFFFFFFFF)
        elif is_access:
            self._access(insns, ref, resolution, value)
        elif code == LD_IMM64 and at + SLOT < len(insns):
            low, high = (struct.unpack_from(self.order + "I", insns, at + place)[0] for place in (4, SLOT + 4))
            self._expect(ref, resolution, high << 32 | low, 64)
            struct.pack_into(self.order + "I", insns, at + 4, value & 0xFFFFFFFF)
            struct.pack_into(self.order + "I", insns, at + SLOT + 4, value >> 32 & 0xFFFFFFFF)
        else:
            self.fail(ref, resolution, f"an instruction with opcode {code:#04x} takes no such value")
        return True

    def _access(self, insns: bytearray, ref: CoreRef, resolution: Resolution, value: int) -> None:
        """Set offset, and where the field has another size, width of a load or store."""
        at = ref.index * SLOT
        self._expect(ref, resolution, struct.unpack_from(self.order + "h", insns, at + 2)[0], 16)
        if value > MAX_OFF:
            self.fail(ref, resolution, f"offset {value} is too large for a load or store")
        struct.pack_into(self.order + "h", insns, at + 2, value)
        local, target = resolution.local, resolution.target
        if local.size == target.size:
            return
        if SIZES[insns[at] & SIZE_MASK] != local.size:
            self.fail(ref, resolution, f"accesses {SIZES[insns[at] & SIZE_MASK]} bytes of a field of {local.size}")
        if target.size not in SIZE_CODES:
            self.fail(ref, resolution, f"the kernel's field has {target.size} bytes, which no load or store can have")
        insns[at] = insns[at] & ~SIZE_MASK | SIZE_CODES[target.size]

    def _expect(self, ref: CoreRef, resolution: Resolution, found: int, bits: int) -> None:
        """Error when the compiler put another number there than its own types give."""
        wanted = resolution.local.number
        if resolution.local.exact and wanted is not None and (found - wanted) % (1 << bits):
            self.fail(ref, resolution, f"has {found} where {wanted} was expected")

    def _poison(self, insns: bytearray, at: int) -> None:
        insns[at : at + SLOT] = struct.pack(self.order + "BBhi", CALL, 0, 0, POISON)

    def fail(self, ref: CoreRef, resolution: Resolution, reason: str) -> NoReturn:
        where = f"{self.obj.path}: function {ref.function}, CO-RE relocation {resolution.what}"
        raise Error(f"{where}: {reason}")


def readable_log(log: str, poisoned: dict[int, str]) -> str:
    """A verifier's log in which a poisoned instruction says what the kernel does not have."""
    lines: list[str] = []
    for line in log.split("\n"):
        if line.startswith(f"invalid func unknown#{POISON}") and lines:
            index = lines[-1].partition(":")[0]
            what = poisoned.get(int(index)) if index.isdigit() else None
            lines[-1] = f"{index}: <invalid CO-RE relocation>"
            line = f"failed to resolve CO-RE relocation {what}" if what else line
        lines.append(line)
    return "\n".join(lines)
