"""`gen python`: a Python module with an object in it, its variables, maps and programs as typed attributes.

The module has declarations only; what they stand for is in bcctool.skeleton.
"""

from __future__ import annotations

import base64
import zlib
from itertools import chain

from .. import skeleton
from ..btf import kinds
from ..btf.validate import validate
from ..elf.datasec import LINKAGE_STATIC
from ..kernel import uapi
from ..objects.prog import name_of
from .python_types import WIDTH, Names, Types, attributes, class_name, commented, declaration, escaped, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..elf.maps import MapDef
    from ..elf.object import ObjectFile

RESERVED = ("Literal", "TypeAlias", "TypedDict", "OBJECT", "skeleton", "builtins")  # what the module calls other things
KEYED = (skeleton.HashMap, skeleton.PerCpuHashMap, skeleton.FdMap, skeleton.MapOfMaps)
VALUED = (
    skeleton.HashMap, skeleton.ArrayMap, skeleton.PerCpuHashMap, skeleton.PerCpuArrayMap, skeleton.QueueMap,
    skeleton.StorageMap,
)  # fmt: skip
MAPS, PROGRAMS = "maps", "progs"
LINE = 100  # characters of the object's text
START = '''\
"""The BPF object '{name}' for Python, made by `bcctool gen python`: change the object, not this file.

    app = {title}()
    with app.load():
        app.attach()
"""

from __future__ import annotations

'''
MAIN = '''

class {title}(skeleton.Skeleton):
    """The object: in memory, from load() on in the kernel, until close() or the end of a `with` block."""

    def __init__(self) -> None:
        super().__init__("{name}", OBJECT)
'''
SECTIONS = {
    ".rodata": "Constants, to be set before the load",
    ".kconfig": "What the kernel says of itself, to be read after the load",
}


def python_module(obj: ObjectFile, name: str) -> Iterator[str]:
    """The module for an object, in parts, under a name that is an identifier of C (names.object_name).

    Sets the object's own name. Raises Error or Malformed, before there is any part, for an object that is unsound.
    Whatever its names are, none becomes code.
    """
    obj.name = name
    if obj.btf is not None:
        validate(obj.btf)
    return chain((_Module(obj, name).text(),), _embedded(obj.elf.data))


def _embedded(data: bytes | memoryview) -> Iterator[str]:
    """The assignment of the object's bytes, as skeleton.Skeleton takes them."""
    text = base64.b85encode(zlib.compress(data, 9)).decode()
    yield '\n\nOBJECT = """\n'
    for at in range(0, len(text), LINE):
        yield f"{text[at : at + LINE]}\n"
    yield '"""\n'


class _Part:
    """A class of the module, whose instance is an attribute of the object's.

    base: the class that it is made of, with the words that its statement has. rows: names in the object, with their
    annotations and remarks.
    """

    def __init__(self, attribute: str, base: type, words: tuple[str, ...], title: str) -> None:
        self.attribute = attribute
        self.base = base
        self.words = words
        self.title = title
        self.name = ""
        self.rows: dict[str, tuple[str, str]] = {}

    def text(self, names: Names) -> str:
        """The class, whose attributes have no names of the module."""
        chosen = attributes(self.rows, {*dir(self.base), *names.taken, "_memory"})
        renamed = [f"{quoted(new)}: {quoted(old)}" for new, old in chosen.items() if new != old]
        words = [*self.words, f"names={{{', '.join(renamed)}}}"] if renamed else self.words
        head = f"class {self.name}({', '.join(words)}):"
        if len(head) > WIDTH:
            rows = "".join([commented(f"        {row},", "") for row in renamed])
            before = "".join(f"    {word},\n" for word in self.words)
            head = f"class {self.name}(\n{before}" + (f"    names={{\n{rows}    }},\n" if renamed else "") + "):"
        body = [declaration(new, *self.rows[old], chosen) for new, old in chosen.items()]
        return f'{head}\n    """{self.title}"""\n\n{"".join(body)}'


class _Module:
    """What stands before the object's bytes."""

    def __init__(self, obj: ObjectFile, name: str) -> None:
        self.obj = obj
        self.name = name
        self.names = Names(RESERVED)
        self.title = self.names.unique(class_name(name), "Object")
        self.types = Types(obj.btf, self.names) if obj.btf is not None else None
        self.data = self.sections()
        self.parts = [part for _, part in self.data]
        defined = [map_ for map_ in obj.maps if not map_.global_data]
        if defined:
            self.parts.append(_Part(MAPS, skeleton.Maps, ("skeleton.Maps",), "The maps."))
        if obj.progs:
            self.parts.append(_Part(PROGRAMS, skeleton.Programs, ("skeleton.Programs",), "The programs."))
        for part in self.parts:  # before the types, which get what names are left
            part.name = self.names.unique(class_name(part.attribute), "Part")
            if part.attribute == MAPS:
                part.rows = {map_.name: (self.map(map_, map_.name), remark(map_)) for map_ in defined}
            elif part.attribute == PROGRAMS:
                part.rows = {prog.name: ("skeleton.Program", prog.section) for prog in obj.progs}

    def text(self) -> str:
        """The text."""
        for definition, part in self.data:
            part.rows = self.variables(definition)
        types = self.types
        classes = [*(types.classes if types else ()), *[part.text(self.names) for part in self.parts]]
        body = "".join(f"\n\n{text}" for text in classes)
        if types and types.aliases:
            body = "\n" + "".join(types.aliases) + body
        elif types and types.classes and not types.classes[0].startswith("class"):
            body = body[1:]  # imports are one line from what is no class
        imports = "import builtins\n" if "builtins." in body else ""
        imports += f"from typing import {', '.join(sorted(types.typing))}\n" if types and types.typing else ""
        imports += "\n" if imports else ""
        main = MAIN.format(title=self.title, name=self.name)
        main += "".join([commented(f"        self.{part.attribute} = {part.name}(self)", "") for part in self.parts])
        start = START.format(title=self.title, name=self.name)
        return f"{start}{imports}from bcctool import skeleton\n{body}{main}"

    def sections(self) -> list[tuple[MapDef, _Part]]:
        """The sections that have variables which others than the object's own functions know."""
        found = [map_ for map_ in self.obj.maps if map_.global_data and self.known(map_)]
        sections = {definition.section.removeprefix("."): definition for definition in found}
        taken = {*dir(skeleton.Skeleton), MAPS, PROGRAMS, *RESERVED}
        parts = []
        for attribute, section in attributes(sections, taken).items():
            definition = sections[section]
            title = SECTIONS.get("." + section.split(".")[0], "Variables") + f" ({escaped(definition.section)})."
            words = ("skeleton.Data", f"section={quoted(definition.section)}")
            parts.append((definition, _Part(attribute, skeleton.Data, words, title)))
        return parts

    def known(self, definition: MapDef) -> dict[str, int]:
        """The type of each variable of a section by name, in the order of their places."""
        btf, id = self.obj.btf, definition.value_type_id
        if btf is None or not id or btf.kind(id) != kinds.DATASEC:
            return {}
        found = {}
        for var_id, offset, size in sorted(btf.type(id).entries, key=lambda entry: entry[1]):
            var = btf.type(var_id)
            if var.kind == kinds.VAR and var.entries[0] != LINKAGE_STATIC and offset + size <= definition.value_size:
                found[var.name] = var.type_id
        return found

    def variables(self, definition: MapDef) -> dict[str, tuple[str, str]]:
        """The annotation and the C type of each variable."""
        types = self.types
        assert types is not None
        return {name: (types.annotation(id, name), types.remark(id)) for name, id in self.known(definition).items()}

    def map(self, definition: MapDef, hint: str) -> str:
        """The annotation of a map."""
        kind, words = skeleton.kind_of(definition), []
        if kind in KEYED:
            unknown = "int" if issubclass(kind, skeleton.FdMap) else "bytes"  # such keys are written only
            words.append(self.annotation(definition.key_type_id, f"{hint}_key", unknown))
        if kind in VALUED:
            words.append(self.annotation(definition.value_type_id, f"{hint}_value", "bytes"))
        if kind is skeleton.MapOfMaps and definition.inner is not None:
            words.append(self.map(definition.inner, f"{hint}_inner"))
        return f"skeleton.{kind.__name__}" + (f"[{', '.join(words)}]" if words else "")

    def annotation(self, id: int, hint: str, unknown: str) -> str:
        """The annotation of a map's keys or values, `unknown` where the object does not say what they are."""
        return self.types.annotation(id, hint) if self.types and id else unknown


def remark(definition: MapDef) -> str:
    """What a map is, in a few words."""
    name = name_of(uapi.MAP_TYPES, definition.type)
    return f"{name}, max_entries {definition.max_entries}" if definition.max_entries else name
