"""prog load and loadall: an object file's programs into the kernel and onto a bpffs."""

from __future__ import annotations

import contextlib
import os
import sys

from ..elf.object import ObjectFile
from ..errors import Error
from ..escapes import printable
from ..kernel import proc
from ..loader.load import Loaded, load, pin_all, pin_path
from ..verbs import Args, one_of
from . import select
from .interrupts import Interrupts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Self

    from ..objects.handle import Handle
    from ..objects.map import Map
    from ..verbs import Options

_WORDS = ("type", "map", "pinmaps", "autoattach")
_LATER = ("dev", "offload_dev", "xdpmeta_dev", "kernel_btf")


class Request:
    """The words of `prog load` and `loadall`."""

    def __init__(self, args: Args) -> None:
        self.type = self.pinmaps = ""
        self.autoattach = False
        self.by_name: dict[str, Map] = {}
        self.by_index: dict[int, Map] = {}
        args.require(2, status=255)
        self.obj = args.next()
        self.path = args.next()
        while args:
            word = args.accept(*_WORDS, *_LATER)
            if word is None:
                raise Error(f"expected no more arguments, {one_of(_WORDS)}, got: '{args.peek()}'?")
            if word in _LATER:
                raise Error(f"'{word}' is not there yet in this version")
            if word == "map":
                self.take_map(args)
            elif word == "autoattach":
                self.autoattach = True
            elif getattr(self, word):
                raise Error(f"duplicate {word}")
            else:
                setattr(self, word, args.next(f"a {word}"))

    def take_map(self, args: Args) -> None:
        """`idx N MAP` or `name NAME MAP`"""
        if args.expect("idx", "name") == "idx":
            index = args.number("map index")
            if index in self.by_index:
                raise Error(f"duplicate map index {index}")
            self.by_index[index] = select.map_(args)
        else:
            name = args.next("a map name")
            if name in self.by_name:
                raise Error(f"duplicate map name {name}")
            self.by_name[name] = select.map_(args)

    def replaced(self, obj: ObjectFile) -> dict[str, Map]:
        """The maps to use, by their names in the object."""
        maps = dict(self.by_name)
        for index, map_ in self.by_index.items():
            if index >= len(obj.maps):
                raise Error(f"{obj.path}: no map with index {index}, there are {len(obj.maps)}")
            maps[obj.maps[index].name] = map_
        return maps


def run(args: Args, every: bool = False) -> None:
    """Load an object's first program, or every one, and pin what came of it; all of it, or nothing."""
    request = Request(args)
    obj = ObjectFile(request.obj, strict=not args.options.mapcompat)
    if not every and os.path.lexists(request.path):
        raise Error(f"can't pin the object ({request.path}): File exists: remove it, or choose another path")
    debug = _debug if args.options.debug else None
    with Interrupts() as interrupts, _Directories(args.options.nomount) as directories:
        # Before the load, which takes longer than to find out that there is no place for the pins.
        if every:
            directories.make(request.path)
        else:
            proc.require_bpffs(os.path.dirname(request.path) or ".", args.options.nomount)
        if request.pinmaps:
            directories.make(request.pinmaps)
        with load(obj, first_only=not every, type=request.type, reuse=request.replaced(obj), debug=debug) as loaded:
            try:
                pins = _pins(request, obj, loaded, every, args.options)
                interrupts.block()
                pin_all(pins)
            except BaseException:
                loaded.unpin()
                raise


def _pins(
    request: Request, obj: ObjectFile, loaded: Loaded, every: bool, options: Options
) -> list[tuple[str, Handle]]:
    """Paths, and what goes there: programs or the links that attach them, and maps."""
    names = _pin_names(obj, options.legacy)
    handles = _attached(obj, loaded, options) if request.autoattach else loaded.progs
    pins: list[tuple[str, Handle]] = [
        (pin_path(request.path, names[name]) if every else request.path, handle) for name, handle in handles.items()
    ]
    if request.pinmaps:  # a bpffs takes no dot, as in the names of global data
        pins += [(pin_path(request.pinmaps, name.replace(".", "_")), map_) for name, map_ in loaded.maps.items()]
    return pins


def _attached(obj: ObjectFile, loaded: Loaded, options: Options) -> dict[str, Handle]:
    """By program: the link that attaches it, or where its section can't tell to what, itself."""
    from ..loader.attach import attach

    handles: dict[str, Handle] = {}
    sections = {prog.name: prog.section for prog in obj.progs}
    for name, prog in loaded.progs.items():
        link = attach(prog, sections[name], options.nomount)
        if link is None and not options.json:
            sys.stderr.write(f"Program {printable(name)} does not support autoattach, falling back to pinning\n")
        handles[name] = link or prog
    return handles


def _pin_names(obj: ObjectFile, legacy: bool) -> dict[str, str]:
    """The name of each program's pin: its own, or with --legacy that of its section, as before libbpf 1.0."""
    return {prog.name: prog.section.replace("/", "_") if legacy else prog.name for prog in obj.progs}


class _Directories:
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


def _debug(text: str) -> None:
    sys.stderr.write("".join(f"bcctool: {printable(line)}\n" for line in text.rstrip("\n").split("\n")))
