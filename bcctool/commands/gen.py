"""gen: one object out of several."""

from __future__ import annotations

from ..loader.linker import link
from ..output import Rendered
from ..verbs import Args, verb
from .files import write_whole


@verb("OUTPUT_FILE INPUT_FILE...")
def object(args: Args) -> Rendered:
    """Link object files into one."""
    args.require(2, status=255)
    path, *inputs = args.words
    write_whole(path, link(inputs))
    return Rendered(lambda style, depth: ())  # bpftool writes no null here
