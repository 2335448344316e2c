"""struct_ops: tables of programs that stand for functions of the kernel, such as TCP congestion controls."""

from __future__ import annotations

import errno
import os
import sys

from ..errors import Error, KernelError
from ..escapes import printable
from ..kernel import uapi
from ..objects.map import Map
from ..verbs import MAX_U32, Args, Usage, later, parse_number, verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..output import Rendered

HELP = """
STRUCT_OPS_MAP := { id MAP_ID | name MAP_NAME }

What ".struct_ops" of OBJ holds is in use until it is unregistered, what ".struct_ops.link"
holds as long as its link is, which is pinned as LINK_DIR/MAP_NAME.
"""
OPTIONS = "mn"

TYPE = "struct_ops"
PREFIX = "bpf_struct_ops_"  # of the kernel's struct around the one that the map is for
_dump = later("struct_ops_dump.Dump")


def struct_name(map_: Map) -> str:
    """What the kernel calls the struct that a map is for, empty if it does not tell."""
    types, id = map_.value_type(None)
    return types.name(id).removeprefix(PREFIX) if types and id else ""


def all_maps() -> Iterator[Map]:
    """The struct_ops maps, opened one by one."""
    for map_ in Map.all():
        if map_.type == TYPE:
            yield map_
        else:
            map_.close()


def chosen(args: Args) -> list[Map]:
    """Take a STRUCT_OPS_MAP: all maps that match, at least one. The usage for any other words."""
    keyword = args.accept("id", "name") if len(args) == 2 else None
    if keyword is None:
        raise Usage("")
    word = args.next()
    if keyword == "name":
        found = Map.matching(lambda map_: map_.type == TYPE and map_.name == word)
        if not found:
            raise Error(f"no struct_ops found for {word}")
        return found
    id = parse_number(word)
    if not id or id > MAX_U32:
        raise Error(f"invalid id {word}")
    try:
        map_ = Map.from_id(id)
    except KernelError as error:
        raise KernelError(f"can't get map by id ({id})", error.errno, 255) from None
    if map_.type != TYPE:
        with map_:
            raise Error(f"{map_.name} id {id} is not a struct_ops map")
    return [map_]


def describe(map_: Map) -> dict[str, Any]:
    """The record of `show`."""
    return {"id": map_.id, "name": map_.name, "kernel_struct_ops": struct_name(map_)}


def text(record: dict[str, Any]) -> str:
    """A map as `show` prints it."""
    return f"{record['id']}: {printable(record['name']):<15} {printable(record['kernel_struct_ops']):<32}\n"


COLUMNS = (("ID", "id", "number"), ("NAME", "name", "text"), ("STRUCT", "kernel_struct_ops", "text"))


@verb("[STRUCT_OPS_MAP]", text=text, alias="list", columns=COLUMNS)
def show(args: Args) -> Iterator[dict[str, Any]]:
    """Show struct_ops maps and the kernel's structs that they are for."""
    maps = chosen(args) if args else all_maps()
    return map(_described, maps)


def _described(map_: Map) -> dict[str, Any]:
    with map_:
        return describe(map_)


@verb("[STRUCT_OPS_MAP]")
def dump(args: Args) -> Rendered:
    """Show what struct_ops maps hold, by the kernel's types: the programs by name, and whether they are in use."""
    rendered: Rendered = _dump(chosen(args) if args else list(all_maps()))
    return rendered


@verb("OBJ [LINK_DIR]")
def register(args: Args) -> None:
    """Load an object and hand its struct_ops maps over to the kernel: all of them, or none."""
    if len(args) not in (1, 2):
        raise Usage("")
    from .struct_ops_register import register as run

    lines = run(args.next(), args.next() if args else "", args.options)
    _notice(args, lines)


@verb("STRUCT_OPS_MAP")
def unregister(args: Args) -> None:
    """Take struct_ops maps away from the kernel, which goes on without them."""
    failures = []
    for map_ in chosen(args):
        with map_:
            what = f"{printable(struct_name(map_))} {printable(map_.name)} id {map_.id}"
            try:
                map_.delete(bytes(map_.info.key_size))
                _notice(args, [f"Unregistered {what}"])
            except KernelError as error:
                failures.append(f"can't unload {what}: {os.strerror(error.errno)}{_hint(map_, error.errno)}")
    if failures:
        raise Error("; ".join(failures))


def _hint(map_: Map, number: int) -> str:
    """What to do about a map that can't be unregistered."""
    if number == errno.ENOENT:
        return ": it is not registered"
    if not map_.info.map_flags & uapi.BPF_F_LINK:
        return ""
    from ..objects.link import Link

    type_ = uapi.LINK_TYPES.index(TYPE)
    links = Link.matching(lambda link: bool(link.info.type == type_ and link.info.struct_ops.map_id == map_.id))
    ids = ", ".join([str(link.id) for link in links])
    for link in links:
        link.close()
    return f": it is in use by link {ids}, detach that" if ids else ": it is in use by links only, and there is none"


def _notice(args: Args, lines: list[str]) -> None:
    """Tell on stderr what was done, which JSON has no place for."""
    if not args.options.json:
        sys.stderr.write("".join(f"{line}\n" for line in lines))
