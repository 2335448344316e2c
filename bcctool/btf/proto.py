"""Function prototypes as the dumps of code show them above each function: `int counter(struct xdp_md * ctx)`."""

from __future__ import annotations

from . import kinds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .reader import Btf, Type

MAX_DEPTH = 16  # of pointers to pointers and the like; what lies deeper prints as "..."

# kind → what stands before the type's name
_WORDS = {
    kinds.INT: "",
    kinds.FLOAT: "",
    kinds.TYPEDEF: "",
    kinds.STRUCT: "struct ",
    kinds.UNION: "union ",
    kinds.ENUM: "enum ",
    kinds.ENUM64: "enum ",
}
# kind → what stands before and after the type it refers to
_AROUND = {
    kinds.PTR: ("", "* "),
    kinds.CONST: ("const ", ""),
    kinds.VOLATILE: ("volatile ", ""),
    kinds.RESTRICT: ("restrict ", ""),
    kinds.TYPE_TAG: ("", ""),
}


def prototype(btf: Btf, func_id: int) -> str:
    """The prototype of a FUNC, empty when the id is not one (bpftool then prints none)."""
    func = btf.type(func_id)
    if func.kind != kinds.FUNC:
        return ""
    proto = btf.type(func.type_id)
    if proto.kind != kinds.FUNC_PROTO:
        return ""
    return f"{_words(btf, proto.type_id)}{func.name}({_parameters(btf, proto)})"


def signature(btf: Btf, proto_id: int) -> str:
    """A FUNC_PROTO without a name: `u32 (struct sock *, int)`."""
    proto = btf.type(proto_id)
    words = [(_words(btf, id) + name).rstrip() if id else "..." for name, id in proto.entries]
    return f"{_words(btf, proto.type_id)}({', '.join(words)})"


def variable(btf: Btf, id: int) -> str:
    """The declaration of a VAR: `const struct rq runqueues`."""
    var = btf.type(id)
    return _words(btf, var.type_id) + var.name


def _parameters(btf: Btf, proto: Type, depth: int = 0) -> str:
    return ", ".join(_words(btf, id, depth) + name if id else "..." for name, id in proto.entries)


def _words(btf: Btf, id: int, depth: int = 0) -> str:
    """A type with a blank behind it."""
    if id == 0:
        return "void "
    if depth > MAX_DEPTH:
        return "... "
    type_ = btf.type(id)
    if type_.kind in _WORDS:
        return f"{_WORDS[type_.kind]}{type_.name} "
    if type_.kind in _AROUND:
        before, after = _AROUND[type_.kind]
        return before + _words(btf, type_.type_id, depth + 1) + after
    if type_.kind == kinds.FWD:
        return f"{'union' if type_.kind_flag else 'struct'} {type_.name} "
    if type_.kind == kinds.ARRAY:
        return f"{_words(btf, type_.entries[0], depth + 1)}[{type_.entries[2]}]"
    if type_.kind == kinds.FUNC_PROTO:
        return f"{_words(btf, type_.type_id, depth + 1)}({_parameters(btf, type_, depth + 1)})"
    return f"{type_.name} "
