"""bcc: BCC's tools: what they, or any process, have in the kernel; and to run them where no kernel headers are."""

from __future__ import annotations

from ..verbs import later, verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..verbs import Args

OPTIONS = "n"

COLUMNS = (
    ("PID", "pid", "number"), ("COMM", "comm", "text"), ("KIND", "kind", "text"), ("ID", "id", "number"),
    ("TYPE", "type", "text"), ("NAME", "name", "text"), ("PLACE", "places", "list"),
)  # fmt: skip


@verb("[pid PID]", text=later("bcc_list.text"), columns=COLUMNS, rows=later("bcc_list.table_rows"))
def list(args: Args) -> Iterator[dict[str, Any]]:
    """Show what processes have in the kernel: programs, maps, links, perf events."""
    records: Iterator[dict[str, Any]] = later("bcc_list.run")(args)
    return records


@verb("TOOL [ARGUMENTS]")
def run(args: Args) -> None:
    """Run a tool; without headers of the kernel it is compiled against the kernel's BTF."""
    later("bcc_run.run")(args)
