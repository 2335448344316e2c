"""prog load and loadall: an object file's programs into the kernel and onto a bpffs."""

from __future__ import annotations

import contextlib
import os
import sys

from ..elf.object import ObjectFile
from ..errors import GENERIC, Error
from ..escapes import printable
from ..kernel import proc
from ..loader.load import Loaded, attach_all, load, pin_all, pin_path
from ..output import Rendered
from ..verbs import Args, one_of
from . import select
from .interrupts import Interrupts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

    from ..btf.reader import Btf as Reader
    from ..loader.attach_places import Places
    from ..objects.handle import Handle
    from ..objects.map import Map
    from ..objects.prog import Prog
    from ..verbs import Options

# In the order in which prefixes are tried: bpftool's.
_WORDS = ("type", "map", "dev", "offload_dev", "xdpmeta_dev", "pinmaps", "autoattach", "kernel_btf")
_DEV_HINT = """\
Warning: 'bcctool prog load [...] dev <ifname>' syntax is deprecated.
Going further, please use 'offload_dev <ifname>' to offload program to device.
For applications using XDP hints only, use 'xdpmeta_dev <ifname>'.
"""


class Request:
    """The words of `prog load` and `loadall`."""

    def __init__(self, args: Args) -> None:
        self.type = self.pinmaps = self.kernel_btf = ""
        self.autoattach = self.bound_only = False
        self.ifindex = 0
        self.places: Places | None = None
        self.by_name: dict[str, Map] = {}
        self.by_index: dict[int, Map] = {}
        args.require(2, status=255)
        self.obj = args.next()
        self.path = args.next()
        while args:
            word = args.accept(*_WORDS)
            if word is None:
                raise Error(f"expected no more arguments, {one_of(_WORDS)}, got: '{args.peek()}'?")
            if word == "map":
                self.take_map(args)
            elif word == "autoattach":
                self.take_places(args)
            elif word.endswith("dev"):
                self.take_device(args, word)
            else:
                args.require(1, GENERIC)
                if word == "type" and self.type:
                    raise Error("program type already specified")
                setattr(self, word, args.next())

    def take_places(self, args: Args) -> None:
        """`autoattach`, and an extension: places for programs whose sections name none, `to dev NAME`."""
        from .attach_places import places

        self.autoattach = True
        self.places = places(args)

    def take_device(self, args: Args, word: str) -> None:
        """The device that programs and maps are offloaded to, or that XDP programs read hints of."""
        if word == "dev" and not args.options.json:
            sys.stderr.write(_DEV_HINT)
        if self.ifindex:
            raise Error("offload_dev and xdpmeta_dev are mutually exclusive, and take one device")
        args.require(1, GENERIC)
        self.ifindex = select.netdevice(args.next())
        self.bound_only = word == "xdpmeta_dev"

    def take_map(self, args: Args) -> None:
        """`idx N MAP` or `name NAME MAP`"""
        args.require(4, GENERIC)
        if args.expect("idx", "name") == "idx":
            index = args.number("map index")
            if index in self.by_index:
                raise Error(f"replacement for map idx {index} specified more than once")
            self.by_index[index] = select.map_(args)
        else:
            name = args.next("a map name")
            if name in self.by_name:
                raise Error(f"replacement for map '{name}' specified more than once")
            self.by_name[name] = select.map_(args)

    def refuse_for_bcc(self) -> None:
        """Error for what BCC, which compiles and loads a source at once, has no way to do."""
        given = ((self.by_name or self.by_index, "map"), (self.ifindex, "dev"), (self.kernel_btf, "kernel_btf"))
        for value, word in given:
            if value:
                raise Error(f"{self.obj}: '{word}' is for objects and sources with SEC(), not for those of BCC")

    def replaced(self, obj: ObjectFile) -> dict[str, Map]:
        """The maps to use, by their names in the object."""
        maps = dict(self.by_name)
        for index, map_ in self.by_index.items():
            if index >= len(obj.maps):
                raise Error(f"{obj.path}: no map with index {index}, there are {len(obj.maps)}")
            maps[obj.maps[index].name] = map_
        return maps


def run_loader(args: Args) -> Rendered:
    """Load an object by a loader program, as a light skeleton does; nothing is pinned, so nothing stays."""
    from ..insn.disasm import disassemble
    from ..loader.gen_loader import run as run_generated

    args.require(1, status=255)
    obj = ObjectFile(args.next(), strict=not args.options.mapcompat)
    debug = args.options.debug
    program, log = run_generated(obj, debug)
    if debug:
        debug_line(log)
    code = disassemble(program.insns, byteorder=sys.byteorder) if debug else ()
    return Rendered(lambda style, depth: (f"{insn.index:4}: {insn.line}\n" for insn in code), is_text=debug)


def run(args: Args, every: bool = False) -> None:
    """Load an object's first program, or every one, and pin what came of it; all of it, or nothing."""
    request = Request(args)
    load_it = _loading(request, args.options, every)
    if not every and os.path.lexists(request.path):
        raise Error(f"can't pin the object ({request.path}): File exists: remove it, or choose another path")
    with Interrupts() as interrupts, Directories(args.options.nomount) as directories:
        # Before the load, which takes longer than to find out that there is no place for the pins.
        if every:
            directories.make(request.path)
        else:
            proc.require_bpffs(os.path.dirname(request.path) or ".", args.options.nomount)
        if request.pinmaps:
            directories.make(request.pinmaps)
        loaded, sections = load_it()
        with loaded:
            try:
                pins = _Pins(request, sections, loaded, args.options)
                targets = pins.every() if every else pins.one()
                if request.places and request.places.unused:
                    unused = ", ".join(request.places.unused)
                    raise Error(f"{request.obj}: no program in it attaches to the given place ({unused})")
                interrupts.block()
                pin_all(targets)
            except BaseException:
                loaded.undo()
                raise


def _loading(request: Request, options: Options, every: bool) -> Callable[[], tuple[Loaded, dict[str, str]]]:
    """What loads the file: an object, or an extension, a C source. It gives the section of each program by name."""
    if request.obj.endswith(".c"):
        from ..companion import source

        if not source.has_sections(source.read(request.obj)):
            request.refuse_for_bcc()
            return lambda: source.loaded(request.obj, not every, request.type)
        obj = source.compiled(request.obj, strict=not options.mapcompat)
    else:
        obj = ObjectFile(request.obj, strict=not options.mapcompat)
    return lambda: _load_object(request, obj, options, every)


def _load_object(request: Request, obj: ObjectFile, options: Options, every: bool) -> tuple[Loaded, dict[str, str]]:
    loaded = load(
        obj,
        first_only=not every,
        type=request.type,
        reuse=request.replaced(obj),
        kernel_btf=_kernel_btf(request, obj),
        ifindex=request.ifindex,
        bound_only=request.bound_only,
        attach_to=request.places.take("prog") if request.places else None,
        debug=debug_line if options.debug else None,
    )
    return loaded, {prog.name: prog.section for prog in obj.progs}


def _kernel_btf(request: Request, obj: ObjectFile) -> Reader | None:
    """The types of the file of `kernel_btf`, which is opened only where something depends on it."""
    ext = obj.btf_ext
    if not request.kernel_btf or ext is None or not any(ext.core_relos(section) for section in ext.sections()):
        return None
    from .btf_dump import read

    return read(request.kernel_btf, None)


class _Pins:
    """What comes of a load, by the paths that it is to be pinned at."""

    def __init__(self, request: Request, sections: dict[str, str], loaded: Loaded, options: Options) -> None:
        self.request = request
        self.loaded = loaded
        self.options = options
        self.sections = sections

    def one(self) -> list[tuple[str, Handle]]:
        """The first program at the path itself, and maps."""
        name, prog = next(iter(self.loaded.progs.items()))
        return [*self.prog(name, prog, self.request.path), *self.maps()]

    def every(self) -> list[tuple[str, Handle]]:
        """All programs in the directory, and maps. With --legacy pins are called after sections, as they once were."""
        found: list[tuple[str, Handle]] = []
        for name, prog in self.loaded.progs.items():
            pin = self.sections[name].replace("/", "_") if self.options.legacy else name
            found += self.prog(name, prog, pin_path(self.request.path, pin))
        if self.request.autoattach:
            found += [(pin_path(self.request.path, name), link) for name, link in attach_all(self.loaded)]
        return found + self.maps()

    def maps(self) -> list[tuple[str, Handle]]:
        """The maps, if they are to be pinned; a bpffs takes no dot, as in the names of global data."""
        if not self.request.pinmaps:
            return []
        maps = self.loaded.maps.items()
        return [(pin_path(self.request.pinmaps, name.replace(".", "_")), map_) for name, map_ in maps]

    def prog(self, name: str, prog: Prog, path: str) -> list[tuple[str, Handle]]:
        """The links that attach a program, or where its section can't tell to what, the program itself."""
        if not self.request.autoattach:
            return [(path, prog)]
        from ..loader.attach import attach, pins

        places, maps = self.request.places, self.loaded.maps
        attached = attach(prog, self.sections[name], self.options.nomount, places, maps)
        if attached is None and prog.type != "struct_ops" and not self.options.json:
            sys.stderr.write(f"Program {printable(name)} does not support autoattach, falling back to pinning\n")
        return pins(path, attached or prog)


class Directories:
    """Makes directories for pins; removes those again that it had made, unless the block ends well."""

    def __init__(self, nomount: bool) -> None:
        self.nomount = nomount
        self.made: list[str] = []

    def make(self, path: str) -> None:
        """Make sure that a directory is there, on a bpffs."""
        if os.path.isdir(path):
            proc.require_bpffs(path, self.nomount)
            return
        proc.require_bpffs(os.path.dirname(path.rstrip("/")) or ".", self.nomount)
        self.made.append(path)
        try:
            os.mkdir(path, 0o700)
        except OSError as error:
            raise Error(f"can't make directory {path}: {error.strerror}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            for path in reversed(self.made):
                with contextlib.suppress(OSError):
                    os.rmdir(path)


def debug_line(text: str) -> None:
    """What --debug shows of a load."""
    sys.stderr.write("".join(f"bcctool: {printable(line)}\n" for line in text.rstrip("\n").split("\n")))
