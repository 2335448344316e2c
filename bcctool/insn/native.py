"""JITed machine code as text, through the disassembler of libLLVM's C API (llvm-c/Disassembler.h)."""

from __future__ import annotations

import ctypes
import os

from ..errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

# os.uname().machine → LLVM's target, features, bytes per step over what it can't decode. arm64: the newest revision
# that its JIT draws on (LSE atomics, BTI, PAC, SB); "+all" would cover it, but LLVM 14 complains of it on stderr.
_MACHINES = {
    "x86_64": ("X86", b"", 1),
    "aarch64": ("AArch64", b"+v8.5a", 4),
    "riscv64": ("RISCV", b"+m,+a,+c", 2),
    "s390x": ("SystemZ", b"", 2),
    "ppc64le": ("PowerPC", b"", 4),
}
_TARGET_PARTS = ("TargetInfo", "TargetMC", "Disassembler")
_ROOTS = ("/usr/lib64", "/usr/lib")
_TEXT_SIZE = 256

_SYMBOL_LOOKUP = ctypes.CFUNCTYPE(
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_uint64,
    ctypes.POINTER(ctypes.c_uint64),
    ctypes.c_uint64,
    ctypes.c_void_p,
)
_POINTER, _STRING, _SIZE = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
_FUNCTIONS = (
    (
        "LLVMCreateDisasmCPUFeatures",
        _POINTER,
        (_STRING, _STRING, _STRING, _POINTER, ctypes.c_int, _POINTER, _SYMBOL_LOOKUP),
    ),
    ("LLVMDisasmInstruction", _SIZE, (_POINTER, _POINTER, ctypes.c_uint64, ctypes.c_uint64, _STRING, _SIZE)),
    ("LLVMDisasmDispose", None, (_POINTER,)),
)


def _no_symbol(info: object, value: int, reference_type: ctypes.Array[ctypes.c_uint64], pc: int, name: object) -> None:
    """The symbol lookup that knows none; without any, LLVM would print branch targets relative to the instruction."""
    reference_type[0] = 0


_NO_SYMBOL = _SYMBOL_LOOKUP(_no_symbol)


class NativeDisassembler:
    """A disassembler for one machine (os.uname().machine); close() it, or use it as a context manager.

    Error: no libLLVM is installed, or none that knows the machine.
    """

    def __init__(self, machine: str) -> None:
        if machine not in _MACHINES:
            raise Error(f"can't disassemble native code of {machine}: only of {', '.join(_MACHINES)}")
        target, features, self._step = _MACHINES[machine]
        self._llvm = _load(target)
        triple = f"{machine}-linux-gnu".encode()
        self._context: int | None = self._llvm.LLVMCreateDisasmCPUFeatures(
            triple, b"", features, None, 0, None, _NO_SYMBOL
        )
        if not self._context:
            raise Error(f"libLLVM can't disassemble native code of {machine}")

    def __enter__(self) -> NativeDisassembler:
        return self

    def __exit__(
        self, type: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free LLVM's context; iterators that are still open end with ValueError."""
        if self._context:
            self._llvm.LLVMDisasmDispose(self._context)
        self._context = None

    def disassemble(self, code: bytes, address: int) -> Iterator[tuple[int, int, str]]:
        """Yield (offset, length, text) for every instruction of `code`, which lies at `address`.

        text is LLVM's: a tab, the mnemonic, a tab, the operands (x86: AT&T), branch targets absolute.
        Bytes that are no instruction read `.byte 0x06`, and decoding goes on behind them.
        """
        decode = self._llvm.LLVMDisasmInstruction
        buffer = ctypes.create_string_buffer(code, max(len(code), 1))
        start = ctypes.addressof(buffer)
        text = ctypes.create_string_buffer(_TEXT_SIZE)
        offset = 0
        while offset < len(code):
            if not self._context:
                raise ValueError("disassembler is closed")
            length = decode(self._context, start + offset, len(code) - offset, address + offset, text, _TEXT_SIZE)
            if length:
                yield offset, length, text.value.decode("utf-8", "replace")
            else:
                unknown = code[offset : offset + self._step]
                length = len(unknown)
                yield offset, length, "\t.byte " + ", ".join(f"0x{byte:02x}" for byte in unknown)
            offset += length


def split_text(text: str) -> tuple[str, list[str | None]]:
    """An instruction's text as (operation, operands); [None] if there are no operands, as bpftool's JSON has it.

    Operands end at commas outside all brackets: `\\tleaq\\t8(%rax,%rbx), %rdi` → `leaq`, `8(%rax,%rbx)`, `%rdi`.
    """
    operation, _, rest = text.strip().replace("\t", " ").partition(" ")
    operands: list[str | None] = []
    depth = start = 0
    for position, character in enumerate(rest):
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == "," and depth <= 0:
            operands.append(rest[start:position].strip())
            start = position + 1
    last = rest[start:].strip()
    if last or operands:
        operands.append(last)
    return operation, operands or [None]


def _load(target: str) -> ctypes.CDLL:
    """The first libLLVM that has `target`, ready to use; Error if there is none."""
    paths = _mapped() or _installed()
    for path in paths:
        try:
            llvm = ctypes.CDLL(path)
            for part in _TARGET_PARTS:
                getattr(llvm, f"LLVMInitialize{target}{part}")()
        except (OSError, AttributeError):
            continue
        for name, result, arguments in _FUNCTIONS:
            function = getattr(llvm, name)
            function.restype, function.argtypes = result, arguments
        return llvm
    if paths:
        raise Error(f"libLLVM has no disassembler for {target}: {paths[0]}")
    raise Error("no libLLVM found to disassemble native code: install it (Debian: libllvm14, part of python3-bpfcc)")


def _mapped() -> list[str]:
    """The libLLVM that this process has loaded already (BCC does): a second one would be a waste, and a risk."""
    try:
        with open("/proc/self/maps", "rb") as file:
            for line in file:
                if b"/libLLVM" in line:
                    return [os.fsdecode(line[line.index(b"/") :].rstrip(b"\n"))]
    except OSError:
        pass
    return []


def _installed() -> list[str]:
    """The paths of every libLLVM in ROOT, ROOT/*-linux-gnu* and ROOT/llvm*/lib*, newest version first."""
    found = []
    for root in _ROOTS:
        folders = [root]
        for name in sorted(_names(root)):
            if "-linux-gnu" in name:
                folders.append(f"{root}/{name}")
            elif name.startswith("llvm"):
                folders += [f"{root}/{name}/lib", f"{root}/{name}/lib64"]
        for folder in folders:
            found += [f"{folder}/{name}" for name in _names(folder) if name.startswith("libLLVM") and ".so" in name]
    return sorted(found, key=_version, reverse=True)


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:  # most are not there
        return []


def _version(path: str) -> tuple[int, ...]:
    # libLLVM-14.so.1, libLLVM-14.0.6.so.1, libLLVM.so.19.1 and libLLVM.so are all in use.
    words = os.path.basename(path).replace("-", ".").split(".")
    return tuple(int(word) for word in words if word.isdigit())
