"""iter: an iterator as a file, whose contents a program writes whenever the file is read."""

from __future__ import annotations

import errno
import os

from ..elf.object import ObjectFile
from ..errors import GENERIC, Error, KernelError
from ..kernel import proc
from ..output import Rendered
from ..verbs import Args, verb
from . import select

HELP = """
MAP := { id MAP_ID | pinned FILE | name MAP_NAME }
"""
OPTIONS = "mn"
FIRST = "help"  # alone, the word asks for it
FORMAT_STATUS = 95  # of libbpf's LIBBPF_ERRNO__FORMAT
NO_MAP, NO_ITERATOR = -errno.EBADF % 256, -errno.EINVAL % 256
SELECTOR = 2  # words
PREFIXES = ("iter", "iter.s")


@verb("OBJ PATH [map MAP]")
def pin(args: Args) -> Rendered:
    """Load the first program of an object, an iterator, and pin its link: reading the file runs it."""
    from ..loader.attach import attach, pins
    from ..loader.attach_places import Places
    from ..loader.load import load, pin_all

    args.require(2, GENERIC)
    obj, path = opened(args.next(), not args.options.mapcompat), args.next()
    places = Places()
    if args:
        args.expect("map")
        args.require(SELECTOR, GENERIC)
        places = Places(map=select.map_(args))
    args.end()
    section = iterator_section(obj)
    proc.require_bpffs(os.path.dirname(path) or ".", args.options.nomount)
    with load(obj, first_only=True) as loaded:
        try:
            prog = next(iter(loaded.progs.values()))
            link = attach(prog, section, places=places)
            if link is None:
                what = f"program '{prog.full_name}' iterates over what is in a map"
                raise Error(f"{obj.path}: {what}: say which, `map MAP`", NO_MAP)
            if places.unused:
                raise Error(f"{obj.path}: program '{prog.full_name}' iterates over no map", NO_ITERATOR)
            with link:
                pin_all(pins(path, link))
        except BaseException:
            loaded.undo()
            raise
    return Rendered(lambda style, depth: ())  # bpftool writes no null here


def opened(path: str, strict: bool) -> ObjectFile:
    """The object, or an Error with the status that bpftool has for it here."""
    try:
        return ObjectFile(path, strict=strict)
    except KernelError as error:
        raise KernelError(f"can't open objfile {path}", error.errno) from None
    except Error as error:
        raise Error(f"can't open objfile {error.message}", FORMAT_STATUS) from None


def iterator_section(obj: ObjectFile) -> str:
    """The section of the object's first program. Error for a program that is no iterator."""
    if not obj.progs:
        raise Error(f"{obj.path}: no programs in it")
    prog = obj.progs[0]
    if prog.section.partition("/")[0] not in PREFIXES:
        what = f"program '{prog.name}' is no iterator: its section, {prog.section}, does not begin with iter/"
        raise Error(f"{obj.path}: {what}", NO_ITERATOR)
    return prog.section
