"""What a CO-RE relocation refers to: access strings read as types, fields and enumerators (kernel's Documentation/bpf/
llvm_reloc.rst, linux/bpf.h's struct bpf_core_relo).
"""

from __future__ import annotations

from ..errors import Malformed
from . import kinds
from .kinds import COMPOSITES, ENUMS, KINDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from .ext import CoreRelo
    from .reader import Btf, Type

# enum bpf_core_relo_kind
(
    FIELD_BYTE_OFFSET, FIELD_BYTE_SIZE, FIELD_EXISTS, FIELD_SIGNED, FIELD_LSHIFT_U64, FIELD_RSHIFT_U64,
    TYPE_ID_LOCAL, TYPE_ID_TARGET, TYPE_EXISTS, TYPE_SIZE, ENUMVAL_EXISTS, ENUMVAL_VALUE, TYPE_MATCHES,
) = range(13)  # fmt: skip
RELO_NAMES = (
    "byte_off", "byte_sz", "field_exists", "signed", "lshift_u64", "rshift_u64",
    "local_type_id", "target_type_id", "type_exists", "type_size", "enumval_exists", "enumval_value", "type_matches",
)  # fmt: skip
"""By kind, as libbpf's log spells them."""
RELO_KINDS = (
    "field_byte_offset", "field_byte_size", "field_exists", "field_signed", "field_lshift_u64", "field_rshift_u64",
    "type_id_local", "type_id_target", "type_exists", "type_size", "enumval_exists", "enumval_value", "type_matches",
)  # fmt: skip
"""By kind, as the kernel's enum has them, without BPF_CORE_."""
FIELD_RELOS = frozenset(range(TYPE_ID_LOCAL))
ENUM_RELOS = frozenset((ENUMVAL_EXISTS, ENUMVAL_VALUE))
TYPE_RELOS = frozenset((TYPE_ID_LOCAL, TYPE_ID_TARGET, TYPE_EXISTS, TYPE_SIZE, TYPE_MATCHES))

MAX_STEPS = 64  # of an access string
MAX_OFFSET = 1 << 40  # in bits; no index of a real access leads beyond
SEPARATOR = "___"  # between a name and its flavor


class Step:
    """One step into a type: a member of a struct or union, or an element (of an array, or where a pointer leads).

    type_id: the struct or union, or the element's type. name: the member's, empty for an anonymous one, None for an
    element.
    """

    __slots__ = ("index", "name", "type_id")

    def __init__(self, type_id: int, index: int, name: str | None) -> None:
        self.type_id = type_id
        self.index = index
        self.name = name


class Spec:
    """A type of a blob with what is meant in it.

    steps: all but those through anonymous members. path: all. bit_offset: where the
    field begins. For an enumerator there is one step, `type_id` the enum's; for a type itself there is none.
    """

    __slots__ = ("bit_offset", "btf", "path", "root_id", "steps")

    def __init__(self, btf: Btf, root_id: int) -> None:
        self.btf = btf
        self.root_id = root_id
        self.steps: list[Step] = []
        self.path: list[Step] = []
        self.bit_offset = 0

    def take(self, step: Step, offset: int) -> None:
        """Go one step further, `offset` bits into what was reached."""
        if len(self.path) == MAX_STEPS or self.bit_offset + offset > MAX_OFFSET:
            raise Malformed(self.btf.where, f"type [{self.root_id}]", "an access goes too deep, or too far")
        self.path.append(step)
        self.bit_offset += offset
        if step.name != "":
            self.steps.append(step)

    def mark(self) -> tuple[int, int, int]:
        """What `back` takes to forget the steps from here on."""
        return len(self.steps), len(self.path), self.bit_offset

    def back(self, mark: tuple[int, int, int]) -> None:
        """Forget the steps since `mark`."""
        steps, path, self.bit_offset = mark
        del self.steps[steps:], self.path[path:]

    def __str__(self) -> str:
        """As libbpf's log has it: `[7] struct task_struct.comm (0:3 @ offset 12)`."""
        type_ = self.btf.type(self.root_id)
        text = f"[{self.root_id}] {KIND_WORDS[type_.kind]} {type_.name or '<anon>'}"
        if not self.steps:
            return text
        first = self.btf.type(self.steps[0].type_id)
        if first.kind in ENUMS:
            name, value = first.entries[self.steps[0].index]
            return f"{text}::{name} = {value}"
        for at, step in enumerate(self.steps):
            text += f".{step.name}" if step.name is not None else f"[{step.index}]" if at or step.index else ""
        offset, bits = divmod(self.bit_offset, 8)
        path = ":".join(str(step.index) for step in self.path)
        return f"{text} ({path} @ offset {offset}{f'.{bits}' if bits else ''})"


KIND_WORDS = tuple("void" if not kind else row.name.lower() for kind, row in enumerate(KINDS))


def access_path(btf: Btf, relo: CoreRelo) -> str:
    """What a relocation refers to, for people: `sock.__sk_common.skc_daddr`, `page`; empty when it makes no sense.

    Members without a name are left out, elements read `[N]`.
    """
    try:
        spec = parse_spec(btf, relo)
        text = btf.name(relo.type_id) or btf.name(btf.resolve(relo.type_id)) or "(anon)"
    except Malformed:
        return ""
    for at, step in enumerate(spec.steps):
        text += f".{step.name}" if step.name is not None else f"[{step.index}]" if at or step.index else ""
    return text


def essential_name(name: str) -> str:
    """A name without its flavor: `task_struct` of `task_struct___old`."""
    at = len(name)
    while (at := name.rfind(SEPARATOR, 1, at)) > 0:
        if name[at - 1] != "_" and name[at + 3 : at + 4] not in ("", "_"):
            return name[:at]
        at += len(SEPARATOR) - 1
    return name


def parse_spec(btf: Btf, relo: CoreRelo) -> Spec:
    """What a relocation refers to in the blob that it came with. Malformed when its words make no sense there."""

    def fail(reason: str) -> NoReturn:
        raise Malformed(btf.where, f"CO-RE relocation of type [{relo.type_id}], '{relo.access[:80]}'", reason)

    if relo.kind >= len(RELO_NAMES):
        fail(f"unknown kind {relo.kind}")
    if not 0 < relo.type_id < btf.nr_types:
        fail(f"there are {btf.nr_types} types")
    words = relo.access.split(":", MAX_STEPS)
    if len(words) > MAX_STEPS or not all(word.isascii() and word.isdigit() and len(word) < 11 for word in words):
        fail("the access string is no list of indexes")
    path = list(map(int, words))
    spec = Spec(btf, relo.type_id)
    if relo.kind in TYPE_RELOS:
        if path != [0]:
            fail("a type has no parts")
    elif relo.kind in ENUM_RELOS:
        enum = btf.type(btf.resolve(relo.type_id))
        if len(path) != 1 or enum.kind not in ENUMS or path[0] >= enum.vlen:
            fail("there is no such enumerator")
        spec.take(Step(enum.id, path[0], enum.entries[path[0]][0]), 0)
    else:
        _walk(spec, path, fail)
    return spec


def _walk(spec: Spec, path: list[int], fail: Fail) -> None:
    """Follow the indexes of a field access."""
    btf = spec.btf
    id = btf.resolve(spec.root_id)
    spec.take(Step(id, path[0], None), path[0] * btf.size_of(id) * 8)
    for index in path[1:]:
        type_ = btf.type(id)
        if type_.kind in COMPOSITES:
            if index >= type_.vlen:
                fail(f"[{id}] has {type_.vlen} members")
            member = type_.entries[index]
            spec.take(Step(id, index, member.name), member.bit_offset)
            id = btf.resolve(member.type_id)
        elif type_.kind == kinds.ARRAY:
            if index >= type_.entries[2] and not is_flexible(spec, type_):
                fail(f"[{id}] has {type_.entries[2]} elements")
            id = btf.resolve(type_.entries[0])
            spec.take(Step(id, index, None), index * btf.size_of(id) * 8)
        else:
            fail(f"[{id}] has no parts")


def is_flexible(spec: Spec, array: Type) -> bool:
    """Whether the array that a spec has reached is the last member of its struct, and without a size."""
    last = spec.steps[-1]
    if last.name is None or array.entries[2]:
        return False
    return last.index == spec.btf.type(last.type_id).vlen - 1


if TYPE_CHECKING:
    from typing import Protocol

    class Fail(Protocol):
        """Raises the error with a reason."""

        def __call__(self, reason: str) -> NoReturn: ...
