"""The shadow types of struct_ops maps: what may be set in them before they are loaded, laid out as in the object."""

from __future__ import annotations

from ..btf import kinds
from ..btf.declare import Declarations
from ..errors import Error
from .names import identifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..btf.reader import Btf, Type
    from .outline import MapName, Outline

SCALARS = frozenset((kinds.INT, kinds.FLOAT, *kinds.ENUMS))
INDENT = 3


def shadow_types(outline: Outline) -> Iterator[str]:
    """The member `struct_ops` of the skeleton's struct; nothing without such maps."""
    if not outline.struct_ops or outline.btf is None:
        return
    declarations = Declarations(outline.btf)
    yield "\tstruct {\n"
    for map_ in outline.struct_ops:
        yield from _shadow_type(outline, outline.btf, map_, declarations)
    yield "\t} struct_ops;\n"


def _shadow_type(outline: Outline, btf: Btf, map_: MapName, declarations: Declarations) -> Iterator[str]:
    struct = btf.type(map_.definition.value_type_id)
    if struct.kind != kinds.STRUCT:
        raise Error(f"{outline.where}: map '{map_.name}' is no struct")
    kernel_type = identifier(struct.name, "type", outline.where)
    yield f"\t\tstruct {outline.name}__{map_.identifier}__{kernel_type} {{\n"
    end = 0
    for number, member in enumerate(struct.entries):
        start, rest = divmod(member.bit_offset, 8)
        if rest or member.bitfield_size:
            continue  # part of the next gap
        if start < end:
            raise Error(f"{outline.where}: map '{map_.name}': two of its members overlap")
        if start > end:
            yield f"\t\t\tchar __padding_{number}[{start - end}];\n"
        size = btf.size_of(member.type_id)
        target = btf.type(btf.resolve(member.type_id))
        if target.kind in SCALARS and member.name:
            yield f"\t\t\t{declarations.declare(member.type_id, member.name, INDENT)};\n"
        elif _is_function(btf, target) and member.name:
            yield f"\t\t\tstruct bpf_program *{declarations.identifier(member.name, f'type [{struct.id}]')};\n"
        else:
            yield f"\t\t\tchar __unsupported_{number}[{size}];\n"
        end = start + size
    if end < struct.size:
        yield f"\t\t\tchar __padding_end[{struct.size - end}];\n"
    yield f"\t\t}} *{map_.identifier};\n"


def _is_function(btf: Btf, type_: Type) -> bool:
    return type_.kind == kinds.PTR and btf.kind(btf.resolve(type_.type_id)) == kinds.FUNC_PROTO
