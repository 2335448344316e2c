"""struct_ops register: an object's tables of programs into the kernel's use, by links that are pinned or for good."""

from __future__ import annotations

from ..elf.data_maps import F_LINK
from ..elf.object import ObjectFile
from ..errors import Error
from ..escapes import printable
from ..loader.load import OPTIONAL, STRUCT_OPS, Loaded, attach_all, load, pin_all, pin_path
from .interrupts import Interrupts
from .prog_load import Directories, debug_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..objects.link import Link
    from ..verbs import Options


def register(path: str, link_dir: str, options: Options) -> list[str]:
    """Load the object at a path and register all of its struct_ops maps; a line about each.

    Error when one is refused, or needs a link while there is no directory to pin it in: then none is registered.
    """
    obj = ObjectFile(path, strict=not options.mapcompat)
    maps = [map_ for map_ in obj.maps if map_.type == STRUCT_OPS and not map_.section.startswith(OPTIONAL)]
    if not maps:
        raise Error(f"no struct_ops found in {path}")
    linked = [map_.name for map_ in maps if map_.flags & F_LINK]
    if linked and not link_dir:
        raise Error(
            f"{path}: struct_ops map '{linked[0]}' is in use only as long as its link is: give a LINK_DIR to pin it in"
        )
    with Interrupts() as interrupts, Directories(options.nomount) as directories:
        if link_dir:  # before the load, which takes longer than to find out that there is no place for the pins
            directories.make(link_dir)
        with load(obj, debug=debug_line if options.debug else None) as loaded:
            try:
                links = attach_all(loaded)
                interrupts.block()
                pin_all([(pin_path(link_dir, name), link) for name, link in links])
                return lines(loaded, dict(links))
            except BaseException:
                loaded.undo()
                raise


def lines(loaded: Loaded, links: dict[str, Link]) -> list[str]:
    """What was registered, in words."""
    found = []
    for name, plan in loaded.struct_ops.items():
        map_ = loaded.maps[name]
        ids = f"map id {map_.id} link id {links[name].id}" if name in links else f"id {map_.id}"
        found.append(f"Registered {plan.struct_name} {printable(map_.name)} {ids}")
    return found
