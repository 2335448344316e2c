"""The parts that skeletons and subskeletons share: the struct's maps and programs, and the tables that libbpf reads."""

from __future__ import annotations

from .outline import STRUCT_OPS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .outline import Outline

INCLUDES = """\
#include <errno.h>
#include <stdlib.h>
#include <bpf/libbpf.h>

"""
MAP_SKELETON_SIZE = 24  # of struct bpf_map_skeleton without `link`, which libbpf has since 1.5
# Where there are links, the header's own size: an older libbpf steps through the table by what it has for an entry.
OWN_SIZE = """\
	s->map_skel_sz = sizeof(*s->maps);
	s->maps = (struct bpf_map_skeleton *)calloc(s->map_cnt, s->map_skel_sz);
"""
OLD_SIZE = f"""\
	s->map_skel_sz = {MAP_SKELETON_SIZE};
	s->maps = (struct bpf_map_skeleton *)calloc(s->map_cnt,
			sizeof(*s->maps) > {MAP_SKELETON_SIZE} ? sizeof(*s->maps) : {MAP_SKELETON_SIZE});
"""
CHECK = """\
	if (!s->{table}) {{
		err = -ENOMEM;
		goto err;
	}}
"""
PROGS = """
	/* programs */
	s->prog_cnt = {count};
	s->prog_skel_sz = sizeof(*s->progs);
	s->progs = (struct bpf_prog_skeleton *)calloc(s->prog_cnt, s->prog_skel_sz);
"""
LINK = """\
#if LIBBPF_MAJOR_VERSION > 1 || (LIBBPF_MAJOR_VERSION == 1 && LIBBPF_MINOR_VERSION >= 5)
	map->link = &obj->links.{identifier};
#endif
"""


def members(type_: str, names: list[str], member: str) -> str:
    """A struct of pointers to a type, nothing without names."""
    lines = "".join([f"\t\tstruct {type_} *{name};\n" for name in names])
    return f"\tstruct {{\n{lines}\t}} {member};\n" if names else ""


def map_table(outline: Outline, in_skeleton: bool) -> Iterator[str]:
    """Fills `s->maps`, with a `struct bpf_map_skeleton *map` at hand; in_skeleton: with memory and links too."""
    if not outline.maps:
        return
    yield f"\n\t/* maps */\n\ts->map_cnt = {len(outline.maps)};\n"
    yield OWN_SIZE if outline.struct_ops else OLD_SIZE
    yield CHECK.format(table="maps")
    for number, map_ in enumerate(outline.maps):
        yield f"\n\tmap = (struct bpf_map_skeleton *)((char *)s->maps + {number} * s->map_skel_sz);\n"
        yield f'\tmap->name = "{map_.name}";\n\tmap->map = &obj->maps.{map_.identifier};\n'
        if in_skeleton and map_.data:
            yield f"\tmap->mmaped = (void **)&obj->{map_.data.identifier};\n"
        if in_skeleton and map_.definition.type == STRUCT_OPS:
            yield LINK.format(identifier=map_.identifier)


def prog_table(outline: Outline, in_skeleton: bool) -> Iterator[str]:
    """Fills `s->progs`; in_skeleton: with links."""
    if not outline.progs:
        return
    yield PROGS.format(count=len(outline.progs)) + CHECK.format(table="progs")
    for number, name in enumerate(outline.progs):
        yield f'\n\ts->progs[{number}].name = "{name}";\n\ts->progs[{number}].prog = &obj->progs.{name};\n'
        if in_skeleton:
            yield f"\ts->progs[{number}].link = &obj->links.{name};\n"
