"""gen: one object out of several, and C headers out of objects."""

from __future__ import annotations

import errno

from ..errors import GENERIC, Error, Malformed
from ..output import Rendered
from ..verbs import Args, verb
from .files import write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..elf.object import ObjectFile

OPTIONS = "mL"
FORMAT_STATUS = 95  # of libbpf's LIBBPF_ERRNO__FORMAT
INVALID = -errno.EINVAL % 256


@verb("OUTPUT_FILE INPUT_FILE...")
def object(args: Args) -> Rendered:
    """Link object files into one."""
    from ..loader.linker import link

    args.require(2, status=255)
    path, *inputs = args.words
    write_whole(path, link(inputs))
    return Rendered(lambda style, depth: ())  # bpftool writes no null here


@verb("FILE [name OBJECT_NAME]")
def skeleton(args: Args) -> Rendered:
    """Write a C header with an object in it, and functions to load it."""
    if args.options.use_loader:
        from ..codegen.light import light_skeleton as generate
    else:
        from ..codegen.skeleton import skeleton as generate
    return _header(args, generate)


@verb("FILE [name OBJECT_NAME]")
def subskeleton(args: Args) -> Rendered:
    """Write a C header for the variables and maps of a part of an object."""
    from ..codegen.subskeleton import subskeleton as generate

    if args.options.use_loader:
        raise Error("cannot use loader for subskeletons")
    try:
        return _header(args, generate)
    except Error as error:
        raise Error(error.message) from None  # with the status that bpftool has here for all of them


def _header(args: Args, generate: Callable[[ObjectFile, str], Iterator[str]]) -> Rendered:
    """What `generate` makes of FILE, which fails before anything is written, with the status of libbpf's error."""
    from ..codegen.names import object_name
    from ..elf.embedded import numbered
    from ..elf.object import ObjectFile, read_object

    args.require(1, status=GENERIC)
    path = args.next()
    name = object_name(numbered(path)[0], _name(args))
    data = read_object(path)
    try:
        obj = ObjectFile.from_bytes(data, path, strict=not args.options.mapcompat)
    except Error as error:
        raise Error(error.message, FORMAT_STATUS if data else GENERIC) from None
    try:
        parts = generate(obj, name)
    except Malformed as error:
        raise Error(error.message, INVALID) from None
    return Rendered(lambda style, depth: parts, is_text=True)


def _name(args: Args) -> str | None:
    name = None
    while args:
        args.require(2, status=GENERIC)
        if not args.accept("name"):
            raise Error(f"unknown arg {args.peek()}")
        if name is not None:
            raise Error("object name already specified")
        name = args.next()
    return name


@verb("INPUT OUTPUT OBJECT...")
def min_core_btf(args: Args) -> Rendered:
    """Write the part of a kernel's types that the CO-RE relocations of objects need."""
    from .gen_min_core_btf import run

    run(args)
    return Rendered(lambda style, depth: ())


@verb("FILE [name OBJECT_NAME]")
def python(args: Args) -> Rendered:
    """Write a Python module with an object in it: variables, maps and programs as typed attributes."""
    from ..codegen.python_module import python_module as generate

    if args.options.use_loader:
        raise Error("there is no light variant (-L) of Python modules")
    return _header(args, generate)
