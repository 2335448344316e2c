"""The words that pick objects: `id N`, `tag HEX`, `name NAME`, `pinned PATH`."""

from __future__ import annotations

import errno
import os

from ..errors import Error, KernelError
from ..objects.prog import Prog
from ..verbs import Args

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..objects.link import Link
    from ..objects.map import Map

MAX_PROG_NAME = 127
MAX_MAP_NAME = 15
_TAG_DIGITS = 16


def progs(args: Args) -> list[Prog]:
    """Take a PROG selector: all programs that match, at least one."""
    keyword = args.expect("id", "tag", "name", "pinned")
    if keyword == "id":
        return [Prog.from_id(args.number("ID"))]
    if keyword == "pinned":
        return [Prog.from_pin(args.next("file path"))]
    word = args.next(f"a {keyword}")
    if keyword == "tag":
        if len(word) < _TAG_DIGITS or not all(char in "0123456789abcdefABCDEF" for char in word[:_TAG_DIGITS]):
            raise Error("can't parse tag")
        found = Prog.matching(lambda prog: prog.tag == word[:_TAG_DIGITS].lower())
    else:
        if len(word) > MAX_PROG_NAME:
            raise Error("can't parse name")
        found = Prog.matching(lambda prog: prog.is_named(word))
    if not found:
        raise Error(f"no program with {keyword} '{word}'")
    return found


def prog(args: Args) -> Prog:
    """Take a PROG selector that has to match exactly one program."""
    found = progs(args)
    if len(found) > 1:
        raise Error("several programs match this handle")
    return found[0]


def maps(args: Args, flags: int = 0) -> list[Map]:
    """Take a MAP selector: all maps that match, at least one; flags as for opening (BPF_F_RDONLY)."""
    from ..objects.map import Map

    keyword = args.expect("id", "name", "pinned")
    if keyword == "id":
        return [Map.from_id(args.number("ID"), flags)]
    if keyword == "pinned":
        return [Map.from_pin(args.next("file path"), flags)]
    word = args.next("a name")
    if len(word.encode()) > MAX_MAP_NAME:
        raise Error("can't parse name")
    found = Map.matching(lambda map: map.name == word, flags)
    if not found:
        raise Error(f"no map with name '{word}'")
    return found


def map_(args: Args, flags: int = 0) -> Map:
    """Take a MAP selector that has to match exactly one map."""
    found = maps(args, flags)
    if len(found) > 1:
        raise Error("several maps match this handle")
    return found[0]


def netdevice(name: str) -> int:
    """The index of a network device."""
    from socket import if_nametoindex

    try:
        return if_nametoindex(name)
    except (OSError, ValueError):  # the latter for a NUL in a batch
        raise Error(f"unrecognized netdevice '{name}': {os.strerror(errno.ENODEV)}") from None


def link(args: Args) -> Link:
    """Take a LINK selector."""
    from ..objects.link import Link

    if args.expect("id", "pinned") == "pinned":
        return Link.from_pin(args.next("file path"))
    try:
        return Link.from_id(args.number("ID"))
    except KernelError as error:
        error.status = -error.errno % 256
        raise
