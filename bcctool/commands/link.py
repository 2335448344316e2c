"""link: what attaches programs, where to, and letting go of it."""

from __future__ import annotations

import os

from ..errors import Error, KernelError
from ..kernel import bpf, proc
from ..objects.link import Link
from ..objects.owners import owners
from ..verbs import Args, verb
from . import link_show, select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .listing import Owners, Paths

HELP = """
LINK := { id LINK_ID | pinned FILE }
"""
OPTIONS = "fn"
DETACH_STATUS = 1


COLUMNS = (
    ("ID", "id", "number"), ("TYPE", "type", "text"), ("PROG", lambda record: record["prog_id"] or None, "number"),
    ("PLACE", link_show.place, "text"), ("HELD BY", "pids", "pids"), ("PINNED", "pinned", "list"),
)  # fmt: skip


@verb("[LINK]", text=link_show.text, alias="list", columns=COLUMNS)
def show(args: Args) -> Any:
    """Show links."""
    if len(args) not in (0, 2):
        raise Error(f"what is '{args.peek()}'?")
    selected = select.link(args) if args else None
    from ..objects.pins import pins

    paths = pins(bpf.LINK) if args.options.bpffs else None
    held = owners(bpf.LINK)
    if selected is None:
        return rows(paths, held)
    with selected:
        return link_show.describe(selected, paths, held)


def rows(paths: Paths | None, held: Owners) -> Iterator[dict[str, Any]]:
    """One record per link, each closed when it is described."""
    for link in Link.all():
        with link:
            yield link_show.describe(link, paths, held)


@verb("LINK FILE")
def pin(args: Args) -> None:
    """Pin a link."""
    args.require(3)
    with select.link(args) as link:
        path = args.next("file path")
        args.end()
        proc.require_bpffs(os.path.dirname(path) or ".", args.options.nomount)
        link.pin(path)


@verb("LINK")
def detach(args: Args) -> None:
    """Detach what a link attached; the link stays for as long as it is open or pinned."""
    if len(args) != 2:
        raise Error("link specifier is invalid or missing", DETACH_STATUS)
    try:
        link = select.link(args)
    except Error as error:
        error.status = DETACH_STATUS
        raise
    with link:
        try:
            link.detach()
        except OSError as error:
            raise KernelError("failed link detach", error.errno or 0, DETACH_STATUS) from None
