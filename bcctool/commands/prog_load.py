"""prog load: an object file's program into the kernel and onto a bpffs."""

from __future__ import annotations

import os
import sys

from ..elf.object import ObjectFile
from ..errors import Error
from ..escapes import printable
from ..kernel import proc
from ..loader.load import Loaded, load, pin_all
from ..verbs import Args
from . import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..objects.map import Map
    from ..objects.prog import Prog

_LATER = ("dev", "offload_dev", "xdpmeta_dev", "autoattach", "kernel_btf")


class Request:
    """The words of `prog load`."""

    def __init__(self, args: Args) -> None:
        self.type = self.pinmaps = ""
        self.by_name: dict[str, Map] = {}
        self.by_index: dict[int, Map] = {}
        args.require(2, status=255)
        self.obj = args.next()
        self.path = args.next()
        while args:
            word = args.accept("type", "map", "pinmaps", *_LATER)
            if word is None:
                raise Error(f"expected no more arguments, 'type', 'map' or 'pinmaps', got: '{args.peek()}'?")
            if word in _LATER:
                raise Error(f"'{word}' is not there yet in this version")
            if word == "map":
                self.take_map(args)
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


def run(args: Args) -> None:
    """Load the first program of an object and pin it; all of it, or nothing."""
    request = Request(args)
    obj = ObjectFile(request.obj, strict=not args.options.mapcompat)
    proc.require_bpffs(os.path.dirname(request.path) or ".", args.options.nomount)
    if os.path.lexists(request.path):
        raise Error(f"can't pin the object ({request.path}): File exists: remove it, or choose another path")
    debug = _debug if args.options.debug else None
    with load(obj, first_only=True, type=request.type, reuse=request.replaced(obj), debug=debug) as loaded:
        (prog,) = loaded.progs.values()
        made = _make_directory(request.pinmaps, args.options.nomount)
        try:
            pin_all({request.path: prog} | _map_pins(loaded, request.pinmaps))
        except BaseException:
            if made:
                os.rmdir(request.pinmaps)
            raise


def _map_pins(loaded: Loaded, directory: str) -> dict[str, Prog | Map]:
    return {f"{directory}/{name}": map_ for name, map_ in loaded.maps.items()} if directory else {}


def _make_directory(path: str, nomount: bool) -> bool:
    """Make a directory for pins; whether it was not there before."""
    if not path or os.path.isdir(path):
        return False
    proc.require_bpffs(os.path.dirname(path.rstrip("/")) or ".", nomount)
    try:
        os.mkdir(path, 0o700)
    except OSError as error:
        raise Error(f"can't make directory {path}: {error.strerror}") from None
    return True


def _debug(text: str) -> None:
    sys.stderr.write("".join(f"bcctool: {printable(line)}\n" for line in text.rstrip("\n").split("\n")))
