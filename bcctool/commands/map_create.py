"""map create: make a map and pin it."""

from __future__ import annotations

import os
import sys

from ..errors import GENERIC, Error
from ..kernel import proc, uapi
from ..objects.map import Map
from . import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..verbs import Args

MIN_WORDS = 7
NUMBERS = {
    "key": ("key_size", "key size"),
    "value": ("value_size", "value size"),
    "entries": ("max_entries", "max entries"),
    "flags": ("flags", "flags"),
}
"""Keyword → argument of Map.create, what messages call it."""
KEYWORDS = ("type", "name", *NUMBERS, "offload_dev", "dev", "inner_map")


def create(args: Args) -> None:
    """Take all words and do it; nothing is left when a step fails."""
    args.require(MIN_WORDS, GENERIC)
    path = args.next()
    wanted = _Wanted()
    try:
        while args:
            wanted.take(args)
        fields = wanted.fields
        for field in ("type", "name"):
            if field not in fields:
                raise Error(f"map {field} not specified")
        proc.require_bpffs(os.path.dirname(path) or ".", args.options.nomount)
        sizes = {field: fields.pop(field, 0) for field, _ in NUMBERS.values()}
        with Map.create(**fields, **sizes) as map_:
            map_.pin(path)
    finally:
        if wanted.inner:
            wanted.inner.close()


class _Wanted:
    """The arguments of Map.create as they are found."""

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}
        self.inner: Map | None = None

    def take(self, args: Args) -> None:
        """Take one keyword and what follows it."""
        args.require(2, GENERIC)
        keyword = args.accept(*KEYWORDS)
        if keyword is None:
            raise Error(f"unknown arg {args.peek()}")
        if keyword in NUMBERS:
            field, what = NUMBERS[keyword]
            self.put(field, what, args.number(what))
        elif keyword == "type":
            type_ = args.next()
            if type_ not in uapi.MAP_TYPES:
                raise Error(f"unrecognized map type: {type_}")
            self.put("type", "map type", type_)
        elif keyword == "name":
            self.put("name", "map name", _name(args))
        elif keyword == "inner_map":
            if self.inner:
                raise Error("inner map already specified")
            self.inner = select.map_(args)
            self.put("inner_map_fd", "inner map", self.inner.fd)
        else:
            self.put("ifindex", "network device", select.netdevice(args.next()))

    def put(self, field: str, what: str, value: int | str) -> None:
        if field in self.fields:
            raise Error(f"{what} already specified")
        self.fields[field] = value


def _name(args: Args) -> str:
    """A name, cut to what the kernel keeps."""
    name = args.next()
    if len(name.encode("utf-8", "replace")) > select.MAX_MAP_NAME and args.options.style == "plain":
        sys.stderr.write(f"Warning: the map's name is cut to {select.MAX_MAP_NAME} characters\n")
    return name[: select.MAX_MAP_NAME]
