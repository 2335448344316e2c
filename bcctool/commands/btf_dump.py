"""btf dump: types of the kernel, of its objects and of files, as a list, as JSON, as C.

A dump of a large file starts within milliseconds of Python itself, when its text was kept: what the others need is
imported where they need it.
"""

from __future__ import annotations

import os

from .. import cache
from ..errors import GENERIC, Error, KernelError
from ..output import Encoded, Rendered
from ..verbs import ARGUMENT_ERROR, Args

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from io import BufferedReader
    from mmap import mmap

    from ..btf.reader import Btf as Reader
    from ..verbs import Options as GlobalOptions

    Data = bytes | mmap

MISSING = 254  # -ENOENT
NO_DATA = 195  # -ENODATA
NOT_SUPPORTED = 161  # -EOPNOTSUPP
NO_BYTES = 251  # -EIO
BAD_FORMAT = 95  # libbpf's own "format invalid"
MAX_ROOTS = 16
SYSFS = "/sys/kernel/btf"
LARGE = 1 << 20  # bytes of types whose text takes long to make
MAGIC = (b"\x9f\xeb", b"\xeb\x9f")  # of both byte orders
CODE = os.path.join(os.path.dirname(os.path.dirname(__file__)), "btf")
MAX_SIZE = 256 << 20  # of a file of types


class Source:
    """What to dump: the types, the ids to start from (None: all), and whether the kernel vouches for the types.

    data: of a large file, whose text is kept for the next time. Its types are not read before they are asked for.
    """

    def __init__(
        self, types: Reader | None, roots: list[int] | None = None, trusted: bool = False, data: Data | None = None,
        where: str = "",
    ) -> None:  # fmt: skip
        self._types = types
        self.roots = roots
        self.trusted = trusted
        self.data = data
        self.where = where

    @property
    def types(self) -> Reader:
        """The types. Malformed when the data is not BTF."""
        if self._types is None:
            from ..btf.reader import Btf as Reader

            assert self.data is not None, "types, or what they are in"
            self._types = Reader(self.data, where=self.where)
        return self._types


def from_id(args: Args) -> Source:
    """The BTF object with an id."""
    return from_object(args.number("ID"), args)


def from_prog(args: Args) -> Source:
    """The BTF object that a program refers to."""
    from . import select

    args.require(2, GENERIC)
    with select.prog(args) as prog:
        if not prog.info.btf_id:
            raise Error(f"program {prog.id} has no BTF", MISSING)
        return from_object(prog.info.btf_id, args)


def from_map(args: Args) -> Source:
    """The BTF object that a map refers to; by default only the types of its keys and values."""
    from . import select

    args.require(2, GENERIC)
    with select.map_(args) as map:
        info = map.info
        part = args.accept("key", "value", "kv", "all") or "kv"
        if info.btf_vmlinux_value_type_id:
            from ..objects.btf import kernel_types

            source = Source(kernel_types(info.btf_vmlinux_id), trusted=True)
            value = info.btf_vmlinux_value_type_id
        elif info.btf_id:
            source, value = from_object(info.btf_id, args), info.btf_value_type_id
        else:
            raise Error(f"map {map.id} has no BTF", MISSING)
    key = info.btf_key_type_id
    source.roots = {"key": [key], "value": [value], "kv": [key, value], "all": None}[part]
    return source


def from_object(id: int, args: Args) -> Source:
    """A BTF object of the kernel. A module's is read over --base-btf, or over vmlinux."""
    from ..btf.reader import Btf as Reader
    from ..objects.btf import Btf

    try:
        btf = Btf.from_id(id)
    except KernelError as error:
        error.status = -error.errno % 256
        raise
    with btf:
        if args.options.base_btf and btf.kernel and btf.name != "vmlinux":
            return Source(Reader(btf.data, base(args.options), where=f"BTF object {id}"))
        return Source(btf.reader(), trusted=True)


def from_file(args: Args) -> Source:
    """A file of raw BTF, or the .BTF section of an ELF file; one of the kernel's modules over vmlinux."""
    path = args.next("file path")
    real = os.path.realpath(path)
    of_kernel = os.path.dirname(real) == SYSFS
    over = base(args.options) if args.options.base_btf else None
    if over is None and of_kernel and os.path.basename(real) != "vmlinux":
        from ..objects.btf import vmlinux

        over = vmlinux()
    trusted, data = of_kernel and not args.options.base_btf, contents(path)
    if over is None and len(data) >= LARGE:
        return Source(None, trusted=trusted, data=data, where=path)
    from ..btf.reader import Btf as Reader

    return Source(Reader(data, over, where=path), trusted=trusted)


def base(options: GlobalOptions) -> Reader:
    """The types in the file of --base-btf, which is read once."""
    path = options.base_btf or ""
    try:
        types: Reader = options.base_types or read(path, None)
        options.base_types = types
        return types
    except Error as error:
        reason = error.message.removeprefix(f"failed to load BTF from {path}: ")
        raise Error(f"failed to parse base BTF at '{path}': {reason}") from None


def read(path: str, over: Reader | None) -> Reader:
    """The types in a file, over a base if it holds split BTF."""
    from ..btf.reader import Btf as Reader

    return Reader(contents(path), over, where=path)


def contents(path: str) -> Data:
    """The BTF in a file: raw, or the .BTF section of an ELF file. Error for anything else."""
    failure = f"failed to load BTF from {path}"
    try:
        if not os.path.isfile(path) and os.path.exists(path):
            raise Error(f"{failure}: not a regular file", NO_BYTES)
        if not os.path.lexists(path) and os.path.lexists(path.rpartition("#")[0]):
            return embedded(path)
        with open(path, "rb") as file:
            start = file.read(4)
            if not start:
                raise Error(f"{failure}: it is empty", NO_BYTES)
            if start == b"\x7fELF":
                from ..elf.btf_section import btf_section

                data: Data | None = btf_section(file, path)
            elif start[:2] in MAGIC:
                data = mapped(file) or start + file.read(MAX_SIZE)
            else:
                raise Error(f"{failure}: it is neither BTF nor an ELF file", BAD_FORMAT)
    except OSError as error:
        raise KernelError(failure, error.errno or 0) from None
    except ValueError:
        raise Error(f"{failure}: a file name has no NUL character") from None
    return embedded(path) if data is None else data


def mapped(file: BufferedReader) -> Data | None:
    """The kernel's own BTF, which nobody changes, without a copy (since Linux 6.16); None where that can't be."""
    if os.path.dirname(os.path.realpath(file.name)) != SYSFS:
        return None
    import mmap

    try:
        return mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
    except (OSError, ValueError):
        return None


def embedded(path: str) -> bytes:
    """The .BTF section of an object that an executable embeds: the only one in FILE, or what FILE#N names."""
    from ..elf.object import embedded_btf

    data = embedded_btf(path)
    if data is None:
        raise Error(f"failed to load BTF from {path}: it has no .BTF section (was it compiled with -g?)", NO_DATA)
    return data


SOURCES = {"id": from_id, "map": from_map, "prog": from_prog, "file": from_file}


class Options:
    """The words after BTF_SRC."""

    def __init__(self, args: Args) -> None:
        self.format = "raw"
        self.sort = True
        self.roots: list[int] = []
        try:
            while args:
                self.take(args)
        except Error as error:
            error.status = error.status if error.status != GENERIC else ARGUMENT_ERROR
            raise

    def take(self, args: Args) -> None:
        """Take one option."""
        option = args.accept("format", "root_id", "unsorted")
        if option == "unsorted":
            self.sort = False
        elif option == "root_id":
            self.root(args)
        elif option == "format":
            if not args:
                raise Error("expecting value for 'format' option")
            self.format = args.next()
            if self.format not in ("raw", "c"):
                raise Error(f"unrecognized format specifier: '{self.format}', possible values: raw, c")
            if self.format == "c" and args.options.json:
                raise Error("JSON output for C-syntax dump is not supported", NOT_SUPPORTED)
        else:
            raise Error(f"unrecognized option: '{args.peek()}'")

    def root(self, args: Args) -> None:
        """Take the value of `root_id`."""
        if not args:
            raise Error("expecting value for 'root_id' option")
        id = args.number("root_id")
        if id in self.roots:
            raise Error(f"duplicate root_id {id} supplied")
        if len(self.roots) == MAX_ROOTS:
            raise Error(f"too many root_ids, {MAX_ROOTS} are possible")
        self.roots.append(id)


def dump(args: Args) -> Rendered:
    """Dump types: all that there are, or those that a map or the root ids pick."""
    args.require(2, GENERIC)
    keyword = args.accept(*SOURCES)
    if keyword is None:
        raise Error(f"unrecognized BTF source specifier: '{args.peek()}'")
    source = SOURCES[keyword](args)
    options = Options(args)
    if options.roots:
        if source.roots is not None:
            raise Error("root_id can't be combined with the key and value types of a map", ARGUMENT_ERROR)
        source.roots = options.roots
    for id in source.roots or ():
        if id >= source.types.nr_types:
            raise Error(f"{source.types.where} has no type [{id}]", ARGUMENT_ERROR)
    return Rendered(lambda style, depth: chunks(source, options, style, depth))


def chunks(source: Source, options: Options, style: str, depth: int) -> Iterable[str | Encoded]:
    """The text of the dump."""
    if source.data is not None and not source.roots and not depth:
        variant = f"{options.format}-{style}-{'sorted' if options.sort else 'unsorted'}-{int(source.trusted)}"
        return cache.texts(f"btf-{digest(source.data)}-{variant}", lambda: made(source, options, style, depth))
    return made(source, options, style, depth)


def digest(data: Data) -> str:
    """What a text of these types depends on: the types, and the code that makes it."""
    from hashlib import sha256

    code = [(entry.name, entry.stat().st_mtime_ns, entry.stat().st_size) for entry in os.scandir(CODE)]
    return sha256(data).hexdigest()[:32] + sha256(repr(sorted(code)).encode()).hexdigest()[:8]


def made(source: Source, options: Options, style: str, depth: int) -> Iterable[str]:
    """The text, whatever is kept."""
    if options.format == "c":
        from ..btf.c import c_header

        return [c_header(source.types, source.roots, options.sort, source.trusted).decode("utf-8", "backslashreplace")]
    from ..btf.raw import rows

    return rows(source.types, style, depth, source.roots)
