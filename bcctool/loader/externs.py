"""What an object's undefined symbols are on the running kernel: `.kconfig` values, `.ksyms` addresses and BTF ids.

The conventions are those of libbpf's bpf_helpers.h (`__kconfig`, `__ksym`, `__weak`) and of its documentation.
"""

from __future__ import annotations

from ..btf import kinds
from ..btf.core_match import types_are_compatible
from ..btf.core_spec import essential_name
from ..btf.layout import BOOL, SIGNED, is_plain_int
from ..btf.proto import prototype
from ..btf.proto import variable as declaration
from ..elf.datasec import raw_btf
from ..elf.externs import KCONFIG, KSYMS
from ..errors import Error
from ..escapes import printable
from ..kernel import kconfig, probe, proc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from ..btf.reader import Btf, Type
    from ..elf.externs import Extern
    from ..elf.object import ObjectFile
    from .kernel_types import KernelTypes, Source

ADDRESS, VARIABLE, FUNCTION = "address", "variable", "function"
MAX_KCONFIG = 1 << 24  # bytes of all values; a configuration file has some 300,000
OPTION, VIRTUAL = "CONFIG_", "LINUX_"
TRISTATE = "libbpf_tristate"
TRISTATE_SIZE = 4
TRISTATES = {b"n": 0, b"y": 1, b"m": 2}
QUOTE = b'"'
KALLSYMS = "/proc/kallsyms"


class Resolved:
    """What an extern of `.ksyms` is on the running kernel.

    kind: ADDRESS of a symbol without a type, VARIABLE or FUNCTION with one. found: whether the kernel has it; a weak
    one may be missing. address: 0 unless kind is ADDRESS. btf_id: of the kernel's VAR or FUNC, in `source`.
    """

    __slots__ = ("address", "btf_id", "found", "kind", "source")

    def __init__(
        self, kind: str, found: bool = False, address: int = 0, btf_id: int = 0, source: Source | None = None
    ) -> None:
        self.kind = kind
        self.found = found
        self.address = address
        self.btf_id = btf_id
        self.source = source


def resolve(obj: ObjectFile, kernel: KernelTypes) -> dict[int, Resolved]:
    """What the kernel has for the externs of `.ksyms`, by symbol index.

    Error for one that the kernel lacks, unless it is weak, for one whose type the kernel's contradicts, and for
    undefined symbols that the kernel can't be asked for.
    """
    found = {}
    resolver: _Resolver | None = None
    for extern in obj.externs:
        if extern.section == KSYMS:
            resolver = resolver or _Resolver(obj, kernel)
            found[extern.symbol] = resolver.resolve(extern)
        elif extern.section != KCONFIG:
            what = "is defined elsewhere: link the object with its definition"
            if not extern.section:
                what = "has no definition, and no BTF that says what it is: compile with clang -g"
            _fail(obj, extern, what)
    return found


class _Resolver:
    def __init__(self, obj: ObjectFile, kernel: KernelTypes) -> None:
        self.obj = obj
        self.kernel = kernel
        self.btf = _types(obj)
        self.symbols = proc.KernelSymbols()

    def resolve(self, extern: Extern) -> Resolved:
        type_ = self.btf.type(extern.type_id)
        if type_.kind == kinds.FUNC:
            return self.typed(extern, type_, FUNCTION, kinds.FUNC)
        if type_.kind != kinds.VAR:
            _fail(self.obj, extern, f"is neither a variable nor a function, but type [{type_.id}]")
        if self.btf.resolve(type_.type_id):
            return self.typed(extern, type_, VARIABLE, kinds.VAR)
        return self.typeless(extern)

    def typeless(self, extern: Extern) -> Resolved:
        """`extern const void name __ksym`: an address."""
        addresses = self.symbols.addresses(extern.name) or self.symbols.addresses(essential_name(extern.name))
        if addresses == [0]:
            _fail(self.obj, extern, f"{KALLSYMS} hides the addresses from this user: are you root?")
        if len(addresses) > 1:
            _fail(self.obj, extern, f"is ambiguous: {KALLSYMS} has {len(addresses)} symbols of this name")
        if not addresses:
            return self.missing(extern, ADDRESS, f"the running kernel has no such symbol ({KALLSYMS})")
        return Resolved(ADDRESS, True, addresses[0])

    def typed(self, extern: Extern, type_: Type, kind: str, btf_kind: int) -> Resolved:
        """A variable or function that the kernel's BTF knows, and whose type is the one that the object expects."""
        name = essential_name(extern.name)
        found = self.kernel.find(name, btf_kind)
        if found is None:
            return self.missing(extern, kind, f"the running kernel has no such {kind} (in its BTF)")
        source, id = found
        target_id = source.types.type(id).type_id
        if not types_are_compatible(self.btf, type_.type_id, source.types, target_id):
            says = prototype if kind == FUNCTION else declaration
            here, there = says(self.btf, type_.id).strip(), says(source.types, id).strip()
            reason = f"its type is not the kernel's: '{printable(here)}' here, '{printable(there)}' in {source.name}"
            if kind == FUNCTION:  # of several flavors, declared weak, the one with the right type is to be taken
                return self.missing(extern, kind, reason)
            _fail(self.obj, extern, reason)
        return Resolved(kind, True, btf_id=id, source=source)

    def missing(self, extern: Extern, kind: str, reason: str) -> Resolved:
        if not extern.weak:
            _fail(self.obj, extern, f"{reason}; declared __weak, it might be missing")
        return Resolved(kind)


def kconfig_contents(obj: ObjectFile, note: Callable[[str], object] | None = None) -> bytes:
    """The value of an object's `.kconfig` map: what each of its variables is on the running kernel.

    note: takes what is worth a remark, a line at a time. Error for an option that the configuration does not set,
    unless it is weak, and for one that its variable can't hold.
    """
    variables = [extern for extern in obj.externs if extern.section == KCONFIG]
    size = max((variable.offset + variable.size for variable in variables), default=0)
    if size > MAX_KCONFIG:
        raise Error(f"{obj.path}: section {KCONFIG}: {size} bytes, {MAX_KCONFIG} are supported")
    if not variables:
        return b""
    contents = bytearray(size)
    filler = _Filler(obj, note or _silent)
    for variable in variables:
        value = filler.value(variable)
        if value is not None:
            contents[variable.offset : variable.offset + variable.size] = value.ljust(variable.size, b"\0")
    return bytes(contents)


def _silent(line: str) -> None:
    pass


class _Filler:
    def __init__(self, obj: ObjectFile, note: Callable[[str], object]) -> None:
        self.obj = obj
        self.note = note
        self.btf = _types(obj)
        self.settings: dict[bytes, bytes] | None = None
        self.unreadable = ""

    def value(self, variable: Extern) -> bytes | None:
        """The bytes of a variable, which may be fewer than it takes; None for a weak one that is not to be found."""
        name, type_ = variable.name, self.type_of(variable)
        if name.startswith(VIRTUAL):
            if name in VIRTUALS:
                number = int(VIRTUALS[name]())
                if not number and name == KERNEL_VERSION:
                    _fail(self.obj, variable, "the kernel does not tell its version (uname -r)")
                return self.number(variable, type_, str(number).encode())
            where = "is no value that this loader knows"
        elif name.startswith(OPTION):
            text = self.option(name)
            if text is not None:
                return self.converted(variable, type_, text)
            where = self.unreadable or f"is not set in the kernel's configuration (looked for in {kconfig.places()})"
        else:
            _fail(self.obj, variable, f"is neither an option ({OPTION}…) nor about the kernel ({VIRTUAL}…)")
        if not variable.weak:
            _fail(self.obj, variable, f"{where}; declared __weak, it would be 0")
        return None

    def option(self, name: str) -> bytes | None:
        """An option as the configuration has it, None where it is not set or can't be read."""
        if self.settings is None:
            try:
                self.settings = kconfig.settings()
            except Error as error:
                self.settings = {}
                self.unreadable = f"the kernel's configuration ({kconfig.places()}): {error.message}"
        return self.settings.get(name.encode())

    def type_of(self, variable: Extern) -> Type:
        """A variable's type behind qualifiers and typedefs."""
        type_ = self.btf.type(self.btf.resolve(self.btf.type(variable.type_id).type_id))
        if not (is_tristate(type_) or is_bool(type_) or is_number(type_) or is_text(self.btf, type_)):
            _fail(self.obj, variable, "has a type that holds no option: use an integer, char, bool or array of char")
        return type_

    def converted(self, variable: Extern, type_: Type, text: bytes) -> bytes:
        """The bytes that stand for an option's text in a variable of a type."""
        if text in TRISTATES:
            return self.letter(variable, type_, text)
        if text[:1] == QUOTE:
            return self.string(variable, type_, text)
        if is_bool(type_):
            self.mismatch(variable, text, "belongs in an integer")
        return self.number(variable, type_, text)

    def letter(self, variable: Extern, type_: Type, text: bytes) -> bytes:
        if is_tristate(type_):
            return TRISTATES[text].to_bytes(TRISTATE_SIZE, self.obj.elf.byteorder)
        if is_bool(type_):
            if text == b"m":
                self.mismatch(variable, text, "a bool has no room for: use enum libbpf_tristate")
            return b"\1" if text == b"y" else b"\0"
        if not is_number(type_) or type_.size != 1:
            self.mismatch(variable, text, "belongs in a bool, an enum libbpf_tristate or a char")
        return text

    def string(self, variable: Extern, type_: Type, text: bytes) -> bytes:
        if not is_text(self.btf, type_):
            self.mismatch(variable, text, "belongs in an array of char")
        if len(text) < 2 or text[-1:] != QUOTE:
            self.mismatch(variable, text, "is a string without an end")
        text, room = text[1:-1], variable.size - 1
        if len(text) > room:
            name, shown = printable(variable.name), text.decode("utf-8", "backslashreplace")
            self.note(f"extern '{name}': \"{printable(shown)}\" is cut off after {room} of {len(text)} bytes")
        return text[:room]

    def number(self, variable: Extern, type_: Type, text: bytes) -> bytes:
        value = parsed_number(text)
        if value is None:
            self.mismatch(variable, text, "is not understood")
        if is_bool(type_):
            low, high = 0, 1
        elif is_number(type_):
            low, high = limits(type_)
        else:
            self.mismatch(variable, text, "belongs in an integer")
        if not low <= value <= high:
            self.mismatch(variable, text, f"does not fit into {type_.size} byte{'s' if type_.size > 1 else ''}")
        return (value % (1 << type_.size * 8)).to_bytes(type_.size, self.obj.elf.byteorder)

    def mismatch(self, variable: Extern, text: bytes, reason: str) -> NoReturn:
        shown = printable(text.decode("utf-8", "backslashreplace"))
        _fail(self.obj, variable, f"the value {shown} {reason}")


def parsed_number(text: bytes) -> int | None:
    """A number as C writes it: decimal, or with 0x hexadecimal, or with 0 octal; None for anything else."""
    digits = text.removeprefix(b"-")
    base = 16 if digits[:2].lower() == b"0x" else 8 if digits[:1] == b"0" else 10
    digits = digits[2:] if base == 16 else digits
    if not digits.isalnum() or len(digits) > 64:
        return None
    try:
        value = int(digits, base)
    except ValueError:
        return None
    return -value if text[:1] == b"-" else value


def is_tristate(type_: Type) -> bool:
    """Whether a type is enum libbpf_tristate."""
    return type_.kind == kinds.ENUM and type_.name == TRISTATE and type_.size == TRISTATE_SIZE


def is_bool(type_: Type) -> bool:
    """Whether a type is C's _Bool."""
    return type_.kind == kinds.INT and type_.size == 1 and bool(type_.entries[0] & BOOL)


def is_number(type_: Type) -> bool:
    """Whether a type is an integer, char included."""
    return type_.kind == kinds.INT and type_.size <= 8 and is_plain_int(type_) and not type_.entries[0] & BOOL


def is_text(btf: Btf, type_: Type) -> bool:
    """Whether a type is an array of char, whatever its sign."""
    if type_.kind != kinds.ARRAY or not type_.entries[2]:
        return False
    element = btf.type(btf.resolve(type_.entries[0]))
    return is_number(element) and element.size == 1


def limits(type_: Type) -> tuple[int, int]:
    """The least and the greatest value of an integer. One of 8 bytes holds whatever has 64 bits."""
    bits = type_.size * 8
    if bits == 64:
        return -(1 << 63), (1 << 64) - 1
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if type_.entries[0] & SIGNED else (0, (1 << bits) - 1)


def _has_syscall_wrapper() -> int:
    return probe.syscall_wrapper(proc.KernelSymbols())


KERNEL_VERSION = "LINUX_KERNEL_VERSION"
VIRTUALS: dict[str, Callable[[], int]] = {
    KERNEL_VERSION: kconfig.version_code,
    "LINUX_HAS_BPF_COOKIE": probe.perf_cookie,
    "LINUX_HAS_SYSCALL_WRAPPER": _has_syscall_wrapper,
}
"""What is no option: a number (or a yes) by name."""


def _types(obj: ObjectFile) -> Btf:
    """The types as the file has them: the fixed ones know nothing of `.ksyms`."""
    btf = raw_btf(obj.elf)
    assert btf is not None, "externs have sections by BTF only"
    return btf


def _fail(obj: ObjectFile, extern: Extern, reason: str) -> NoReturn:
    raise Error(f"{obj.path}: extern '{printable(extern.name)}': {reason}")
