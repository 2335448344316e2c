"""BTF types as C names them in a cast, for people to read: `const char[16]`, `int (*)(const void *)` (ISO C 6.7.7)."""

from __future__ import annotations

from . import kinds
from .kinds import HEAD_WORDS, kind_flag_of, kind_of, vlen_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .reader import Btf

MAX_PARTS = 256  # types that one name goes through; what lies beyond prints as `...`
QUALIFIERS = {kinds.CONST: "const", kinds.VOLATILE: "volatile", kinds.RESTRICT: "restrict"}
TAGS = {kinds.STRUCT: "struct", kinds.UNION: "union", kinds.ENUM: "enum", kinds.ENUM64: "enum"}
ANONYMOUS = "{...}"


def type_name(btf: Btf, id: int) -> str:
    """The name of a type; of a VAR or a FUNC the name of its type.

    Structs, unions and enums are named, not spelled out. The blob need not be sound: Malformed for an id that does not
    exist, and types without end are cut short.
    """
    return _Name(btf).around(id, "")


class _Name:
    def __init__(self, btf: Btf) -> None:
        self.btf = btf
        self.left = MAX_PARTS

    def around(self, id: int, text: str) -> str:
        """A type around the declarator `text`, from the inside out."""
        qualifiers: list[str] = []
        while self.left > 0:
            self.left -= 1
            name_offset, info, third = self.btf.head(id)
            kind = kind_of(info)
            if kind in QUALIFIERS:
                qualifiers += [QUALIFIERS[kind]] if QUALIFIERS[kind] not in qualifiers else []
                id = third
            elif kind == kinds.PTR:
                text = "*" + " ".join(qualifiers) + (" " if qualifiers and text else "") + text
                qualifiers, id = [], third
            elif kind == kinds.ARRAY:
                text = f"{_grouped(text)}[{self.btf.word(id, HEAD_WORDS + 2)}]"
                id = self.btf.word(id, HEAD_WORDS)
            elif kind == kinds.FUNC_PROTO:
                text = f"{_grouped(text)}({self.parameters(id, vlen_of(info))})"
                qualifiers, id = [], third
            elif kind in (kinds.TYPE_TAG, kinds.VAR, kinds.FUNC):
                id = third
            else:
                return _joined([*qualifiers, _base(kind, kind_flag_of(info), self.btf.string(name_offset))], text)
        return _joined(["..."], text)

    def parameters(self, proto: int, count: int) -> str:
        """The types of a prototype's parameters."""
        found = []
        for number in range(count):
            if self.left <= 0:
                found.append("...")
                break
            id = self.btf.word(proto, HEAD_WORDS + 2 * number + 1)
            found.append(self.around(id, "") if id else "...")
        return ", ".join(found) or "void"


def _grouped(text: str) -> str:
    return f"({text})" if text.startswith("*") else text


def _base(kind: int, kind_flag: bool, name: str) -> str:
    if kind == kinds.VOID:
        return "void"
    if kind == kinds.FWD:
        return f"{'union' if kind_flag else 'struct'} {name}"
    return f"{TAGS[kind]} {name or ANONYMOUS}" if kind in TAGS else name


def _joined(words: list[str], text: str) -> str:
    return " ".join(words) + (" " if text and not text.startswith("[") else "") + text
