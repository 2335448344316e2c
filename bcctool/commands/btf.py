"""btf: type information in the kernel and in files, and what uses it."""

from __future__ import annotations

from ..verbs import later, verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..output import Rendered
    from ..verbs import Args

HELP = """
BTF_SRC := { id BTF_ID | prog PROG | map MAP [{key | value | kv | all}] | file FILE }
FORMAT := { raw | c }
MAP := { id MAP_ID | pinned FILE | name MAP_NAME }
PROG := { id PROG_ID | pinned FILE | tag PROG_TAG | name PROG_NAME }
"""
OPTIONS = "B"

COLUMNS = (
    ("ID", "id", "number"), ("NAME", lambda record: record.get("name", "<anon>"), "text"), ("SIZE", "size", "size"),
    ("PROGS", "prog_ids", "list"), ("MAPS", "map_ids", "list"), ("HELD BY", "pids", "pids"),
)  # fmt: skip


@verb("[id BTF_ID]", text=later("btf_show.text"), alias="list", columns=COLUMNS)
def show(args: Args) -> Any:
    """Show BTF objects in the kernel, and the programs and maps that use them."""
    return later("btf_show.show")(args)


@verb("BTF_SRC [format FORMAT] [root_id ROOT_ID]... [unsorted]")
def dump(args: Args) -> Rendered:
    """Dump types: all that there are, or those that a map or the root ids pick."""
    dumped: Rendered = later("btf_dump.dump")(args)
    return dumped
