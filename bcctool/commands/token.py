"""token: what bpf file systems delegate to those who mount them in user namespaces (mount options `delegate_*`)."""

from __future__ import annotations

from ..escapes import printable
from ..kernel import proc
from ..verbs import Args, verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

# key of the record → mount option
LISTS = {
    "allowed_cmds": "delegate_cmds",
    "allowed_maps": "delegate_maps",
    "allowed_progs": "delegate_progs",
    "allowed_attachs": "delegate_attachs",
}
PER_LINE = 4
WIDTH = 20


def describe(path: str, options: str) -> dict[str, Any] | None:
    """The record of a mount point, None for one that delegates nothing."""
    given = dict(word.partition("=")[::2] for word in options.split(","))
    if not any(option in given for option in LISTS.values()):
        return None
    record: dict[str, Any] = {"token_info": path}
    for key, option in LISTS.items():
        record[key] = [name for name in given.get(option, "").split(":") if name]
    return record


def text(record: dict[str, Any]) -> str:
    """A mount point and its four lists."""
    lines = [f"token_info  {printable(record['token_info'])}"]
    for key in LISTS:
        names = [f"{printable(name):<{WIDTH}}" for name in record[key]]
        lines.append(f"\t{key}:")
        lines += ["\t  " + "".join(names[at : at + PER_LINE]) for at in range(0, len(names), PER_LINE)]
    return "\n".join(lines) + "\n"


COLUMNS = (("MOUNT", "token_info", "text"), *((key.removeprefix("allowed_").upper(), key, "list") for key in LISTS))


@verb(text=text, alias="list", columns=COLUMNS)
def show(args: Args) -> Iterator[dict[str, Any]]:
    """Show the bpf file systems that delegate commands, map types, program types or attach types."""
    args.end()
    records = (describe(path, options) for path, options in proc.mount_options("bpf"))
    return (record for record in records if record)
