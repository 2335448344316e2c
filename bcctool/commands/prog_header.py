"""The first line of a program in listings and dumps."""

from __future__ import annotations

from ..escapes import printable
from .listing import offload_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..objects.prog import Prog


def header(prog: Prog) -> dict[str, Any]:
    """The record of what the first line of a listing shows."""
    info = prog.info
    record: dict[str, Any] = {"id": info.id, "type": type_field(prog.type)}
    name = prog.full_name
    if name:
        record["name"] = name
    record |= {"tag": prog.tag, "gpl_compatible": bool(info.gpl_compatible)}
    if info.run_time_ns:
        record |= {"run_time_ns": info.run_time_ns, "run_cnt": info.run_cnt}
    if info.recursion_misses:
        record["recursion_misses"] = info.recursion_misses
    return record


def type_field(type: str) -> str | int:
    """A type's name, or its number where it has none."""
    return int(type) if type.isdigit() else type


def header_text(record: dict[str, Any]) -> str:
    """`ID: TYPE  name NAME  tag TAG  gpl`, without a newline."""
    type_ = record["type"]
    text = f"{record['id']}: {type_}" if isinstance(type_, str) else f"{record['id']}: type {type_}"
    text += f"  name {printable(record['name'])}" if "name" in record else ""
    text += f"  tag {record['tag']}"
    text += offload_text(record)
    text += "  gpl" if record["gpl_compatible"] else ""
    if "run_time_ns" in record:
        text += f" run_time_ns {record['run_time_ns']} run_cnt {record['run_cnt']}"
    if "recursion_misses" in record:
        text += f" recursion_misses {record['recursion_misses']}"
    return text
