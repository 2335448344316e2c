"""map show: the record and the text of a map in a listing."""

from __future__ import annotations

from ..escapes import printable
from ..kernel import proc, uapi
from ..objects.map import Map
from ..objects.prog import name_of
from .listing import Owners, Paths, holders, holders_text, offload, offload_text, pinned_paths, pinned_text
from .prog_header import type_field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def header(map_: Map) -> dict[str, Any]:
    """The record of what the first line of a listing shows."""
    record: dict[str, Any] = {"id": map_.id, "type": type_field(map_.type)}
    if map_.name:
        record["name"] = map_.name
    return record | {"flags": map_.info.map_flags}


def header_text(record: dict[str, Any]) -> str:
    """`ID: TYPE  name NAME  flags 0xN`, without a newline."""
    type_ = record["type"]
    text = f"{record['id']}: {type_}" if isinstance(type_, str) else f"{record['id']}: type {type_}"
    text += f"  name {printable(record['name'])}" if "name" in record else ""
    return f"{text}  flags {record['flags']:#x}"


def describe(map_: Map, paths: Paths | None, held: Owners) -> dict[str, Any]:
    """The record of `show`. paths: of pinned maps by id, None unless asked for; held: owners by id."""
    info = map_.info
    fdinfo = proc.fdinfo(map_.fd)
    record = header(map_) | offload(info)
    record |= {"bytes_key": info.key_size, "bytes_value": info.value_size, "max_entries": info.max_entries}
    if "memlock" in fdinfo:
        record["bytes_memlock"] = int(fdinfo["memlock"])
    if "owner_prog_type" in fdinfo:
        owner = name_of(uapi.PROG_TYPES, int(fdinfo["owner_prog_type"]))
        record["owner_prog_type"] = type_field(owner)
        record["owner_jited"] = fdinfo.get("owner_jited") == "1"
    record["frozen"] = int(fdinfo.get("frozen", "0"))
    if info.btf_id:
        record["btf_id"] = info.btf_id
    return record | pinned_paths(paths, info.id) | holders(held, info.id)


def text(record: dict[str, Any]) -> str:
    """A map as `map show` prints it."""
    text = header_text(record) + offload_text(record)
    text += f"\n\tkey {record['bytes_key']}B  value {record['bytes_value']}B  max_entries {record['max_entries']}"
    text += f"  memlock {record['bytes_memlock']}B" if "bytes_memlock" in record else ""
    if "owner_prog_type" in record:
        owner = record["owner_prog_type"]
        text += f"\n\towner_prog_type {owner}" if isinstance(owner, str) else f"\n\towner_prog_type type {owner}"
        text += "  owner jited" if record["owner_jited"] else "  owner not jited"
    text += pinned_text(record)
    last = [f"btf_id {record['btf_id']}"] if "btf_id" in record else []
    last += ["frozen"] if record["frozen"] else []
    text += "\n\t" + "  ".join(last) if last else ""
    return text + holders_text(record) + "\n"
