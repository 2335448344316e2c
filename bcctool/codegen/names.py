"""Names of generated C: they come from objects and command lines, and each is checked before it becomes code."""

from __future__ import annotations

import os

from ..btf.declare import is_identifier
from ..errors import Error
from ..escapes import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..elf.maps import MapDef

MAX_NAME = 63
OBJECT_SUFFIX = ".o"
HARMLESS = frozenset("_.-+/:@")  # in a string literal, besides letters and digits: no quote, escape or trigraph


def object_name(path: str, given: str | None = None) -> str:
    """The name of what is generated: the given one, or the file's without `.o`, its first 63 characters.

    In a file's name `_` takes the place of what C's names do not have. Error for what is no identifier even so.
    """
    name = given
    if name is None:
        name = sanitized(os.path.basename(path).removesuffix(OBJECT_SUFFIX))
    name = name[:MAX_NAME]
    if not (name.isascii() and is_identifier(name)):
        hint = "" if given is not None else ": give another one with 'name'"
        raise Error(f"'{printable(name)}' is no C identifier, which the object's name has to be{hint}")
    return name


def sanitized(name: str) -> str:
    """The name with `_` for each character that C has not in names."""
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in name)


def map_identifier(definition: MapDef, where: str) -> str:
    """What a map is called in C: its own name, or its section's if the map is what global variables live in."""
    if definition.global_data:
        return identifier(sanitized(definition.section.removeprefix(".")), "map", where)
    return identifier(definition.name, "map", where)


def identifier(name: str, what: str, where: str) -> str:
    """The name, if C can have it; what: "map"."""
    if not is_identifier(name):
        raise Error(f"{where}: {what} '{printable(name)}' has a name that is no C identifier")
    return name


def literal(name: str, what: str, where: str) -> str:
    """The name, if it can stand in a string literal as it is."""
    if not all((c.isascii() and c.isalnum()) or c in HARMLESS for c in name):
        raise Error(f"{where}: {what} '{printable(name)}' has characters in its name that cannot stand in C")
    return name


class Scope:
    """The names of one struct: each may be there once."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.names: set[str] = set()

    def add(self, name: str) -> str:
        """The name; Error for a second one."""
        if name in self.names:
            raise Error(f"{self.where}: two things would be called '{name}' in C")
        self.names.add(name)
        return name
