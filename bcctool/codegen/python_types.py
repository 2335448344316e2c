"""BTF types as Python annotations, and the classes that they need, for the values of btf.python (PEP 484, 589)."""

from __future__ import annotations

import keyword
import re

from ..btf import kinds
from ..btf.kinds import COMPOSITES, MODIFIERS
from ..btf.layout import BOOL, enumerators, is_char_array
from ..btf.type_name import type_name
from ..btf.values import MAX_LEAVES, MAX_NESTING
from ..errors import Malformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..btf.reader import Btf, Type

WIDTH = 120
MAX_NAME, MAX_COMMENT = 80, 60
MAX_LITERALS = 256  # enumerators; an enum with more is any `str`
TEXT = "str | bytes"
BUILTINS = re.compile(r"\b(bool|bytes|float|int|list|object|str)\b")
AMBIGUOUS = ("I", "O", "l")  # linters frown on such names
TAGS = {kinds.STRUCT: "struct", kinds.UNION: "union", kinds.ENUM: "enum", kinds.ENUM64: "enum"}


class Names:
    """The names of one scope, all different."""

    def __init__(self, taken: Iterable[str]) -> None:
        self.taken = set(taken)
        self.numbers: dict[str, int] = {}

    def unique(self, name: str, suffix: str) -> str:
        """The name, with the suffix if it is taken, and a number if that is taken too."""
        found = name
        while found in self.taken or keyword.iskeyword(found):
            number = self.numbers[name] = self.numbers.get(name, 0) + 1
            found = f"{name}{suffix}{number if number > 1 else ''}"
        self.taken.add(found)
        return found


def class_name(name: str) -> str:
    """A name of C as that of a class: `sock_key` becomes `SockKey`."""
    parts = re.split(r"[^A-Za-z0-9]+|_", name[:MAX_NAME])
    found = "".join([part[:1].upper() + part[1:] for part in parts])
    return found if found[:1].isalpha() else f"Type{found}"


def attributes(names: Iterable[str], taken: Iterable[str]) -> dict[str, str]:
    """Attributes for names of an object, which are the values, in its order.

    What Python cannot have, or would hide in a class, is changed; a name that may stay as it is goes to no other.
    """
    names = dict.fromkeys(names)
    scope, found = Names(taken), {}
    for name in names:
        if name == _attribute(name) and name not in scope.taken:
            found[name] = scope.unique(name, "_")
    for name in names:
        if name not in found:
            found[name] = scope.unique(_attribute(name), "_")
    return {found[name]: name for name in names}


def _attribute(name: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_]", "_", name[:MAX_NAME])
    name = re.sub(r"^__+", "_", name)  # two would make it private to a class
    return f"{name}_" if keyword.iskeyword(name) else name if name[:1].isalpha() or name[:1] == "_" else f"_{name}"


def escaped(text: str) -> str:
    """Text that can stand in a comment or a docstring: printable ASCII, cut where it is long."""
    text = text if len(text) <= MAX_COMMENT else f"{text[: MAX_COMMENT - 3]}..."
    return text.encode("unicode_escape").decode("ascii").replace('"', '\\"')


def quoted(text: str) -> str:
    """Text as a literal of Python, in ASCII."""
    literal = ascii(text)
    return literal if '"' in text or "'" in text else f'"{literal[1:-1]}"'


def declaration(name: str, annotation: str, remark: str, names: Iterable[str]) -> str:
    """`name: annotation  # remark`, in a class that has these names."""
    annotation = BUILTINS.sub(lambda match: f"builtins.{match[0]}" if match[0] in names else match[0], annotation)
    ambiguous = "  # noqa: E741" if name in AMBIGUOUS else ""
    return commented(f"    {name}: {annotation}{ambiguous}", "" if remark == annotation else remark)


def commented(line: str, remark: str) -> str:
    """A line with a comment behind it, where there is room; linters are told of one that is too long as it is."""
    remark = f"  # {escaped(remark)}" if remark else ""
    if len(line) > WIDTH and " " in line.strip():
        return f"{line}  # noqa: E501\n"
    return f"{line}{remark}\n" if len(line) + len(remark) <= WIDTH else f"{line}\n"


class Types:
    """The annotations of one module, and what they refer to: aliases, then classes that are made of them.

    names: of the module; the blob has to be sound (btf.validate).
    """

    def __init__(self, btf: Btf, names: Names) -> None:
        self.btf = btf
        self.names = names
        self.aliases: list[str] = []
        self.classes: list[str] = []
        self.typing: set[str] = set()  # what is to be imported of `typing`
        self._texts: dict[int, str] = {}
        self._members: dict[int, tuple[dict[str, tuple[str, str]], bool]] = {}

    def annotation(self, id: int, hint: str, nesting: int = 0) -> str:
        """The Python type of a type's values. hint: what to call it if it has no name; Malformed if it is unsound."""
        for _ in range(MAX_LEAVES):
            kind = self.btf.kind(id)
            if kind not in MODIFIERS:
                break
            type_ = self.btf.type(id)
            hint, id = type_.name if kind == kinds.TYPEDEF else hint, type_.type_id
        if nesting > MAX_NESTING:
            raise Malformed(self.btf.where, f"type [{id}]", f"more than {MAX_NESTING} types nested in each other")
        if id not in self._texts:
            make = _ANNOTATIONS.get(kind)
            text = make(self, self.btf.type(id), hint, nesting) if make else "object"
            if kind == kinds.ARRAY:
                return text  # what it holds may be called after another hint
            self._texts[id] = text
        return self._texts[id]

    def remark(self, id: int) -> str:
        """The type in C."""
        return type_name(self.btf, id)

    def _integer(self, type_: Type, hint: str, nesting: int) -> str:
        return "bool" if type_.entries[0] == BOOL else "int"

    def _pointer(self, type_: Type, hint: str, nesting: int) -> str:
        return "int"

    def _floating(self, type_: Type, hint: str, nesting: int) -> str:
        return "float"

    def _array(self, type_: Type, hint: str, nesting: int) -> str:
        if is_char_array(self.btf, type_):
            return TEXT
        return f"list[{self.annotation(type_.entries[0], hint, nesting + 1)}]"

    def _class(self, type_: Type, hint: str) -> str:
        return self.names.unique(class_name(type_.name or hint), "Type")

    def _title(self, type_: Type) -> str:
        return f"{TAGS[type_.kind]} {type_.name}" if type_.name else f"An anonymous {TAGS[type_.kind]}."

    def _enum(self, type_: Type, hint: str, nesting: int) -> str:
        words = list(dict.fromkeys(enumerators(type_).values()))
        if not words:
            return "int"
        if len(words) > MAX_LITERALS:
            return "str | int"
        self.typing |= {"Literal", "TypeAlias"}
        name = self._class(type_, hint)
        literals = [quoted(word) for word in words]
        text = commented(f"{name}: TypeAlias = Literal[{', '.join(literals)}] | int", self._title(type_))
        if len(text) > WIDTH:
            rows = "".join([commented(f"    {literal},", "") for literal in literals])
            text = f"{name}: TypeAlias = Literal[\n{rows}] | int\n"
        self.aliases.append(text)
        return name

    def _composite(self, type_: Type, hint: str, nesting: int) -> str:
        members, partial = self._members_of(type_, hint, nesting)
        self.typing.add("TypedDict")
        name = self._class(type_, hint)
        total = ", total=False" if partial else ""
        if all(_is_field(member) for member in members):
            lines = [f'class {name}(TypedDict{total}):\n    """{escaped(self._title(type_))}"""\n']
            lines += ["\n"] if members else []
            lines += [declaration(member, *texts, members) for member, texts in members.items()]
        else:  # names that no class can have, or that linters think it can
            start = f"{name} = TypedDict(" + ("  # noqa: UP013" if all(map(_is_name, members)) else "")
            lines = [commented(start, self._title(type_)), f'    "{name}",\n    {{\n']
            for member, (text, remark) in members.items():
                lines.append(commented(f"        {quoted(member)}: {text},", "" if remark == text else remark))
            lines += ["    },\n", "    total=False,\n" if partial else "", ")\n"]
        self.classes.append("".join(lines))
        return name

    def _members_of(self, type_: Type, hint: str, nesting: int) -> tuple[dict[str, tuple[str, str]], bool]:
        """(annotation and C type by name, whether some stand for the others) of a struct's members.

        Members of anonymous members are among its own.
        """
        if type_.id in self._members:
            return self._members[type_.id]
        found: dict[str, tuple[str, str]] = {}
        partial = type_.kind == kinds.UNION
        for member in type_.entries:
            target = self.btf.resolve(member.type_id)
            if member.name:
                text = self.annotation(member.type_id, f"{type_.name or hint}_{member.name}", nesting + 1)
                bits = f": {member.bitfield_size}" if member.bitfield_size else ""
                found[member.name] = text, self.remark(member.type_id) + bits
            elif self.btf.kind(target) in COMPOSITES:
                if nesting > MAX_NESTING:
                    raise Malformed(self.btf.where, f"type [{target}]", "anonymous members are nested too deeply")
                inner, inner_partial = self._members_of(self.btf.type(target), type_.name or hint, nesting + 1)
                found |= inner
                partial |= inner_partial
            if len(found) > MAX_LEAVES:
                raise Malformed(self.btf.where, f"type [{type_.id}]", "too many members")
        self._members[type_.id] = found, partial
        return found, partial


def _is_field(name: str) -> bool:
    return name.isascii() and _is_name(name)  # others may not be what they look like


def _is_name(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("__")


_ANNOTATIONS: dict[int, Callable[[Types, Type, str, int], str]] = {
    kinds.INT: Types._integer,
    kinds.PTR: Types._pointer,
    kinds.ARRAY: Types._array,
    kinds.STRUCT: Types._composite,
    kinds.UNION: Types._composite,
    kinds.ENUM: Types._enum,
    kinds.FLOAT: Types._floating,
    kinds.ENUM64: Types._enum,
}
