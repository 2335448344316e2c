"""What functions call: helpers, kernel functions, subprograms and callbacks, in both byte orders; and bounded work."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bcctool.elf import calls
from bcctool.elf.calls import Reach
from bcctool.elf.object import ObjectFile
from bcctool.errors import Malformed
from bcctool.kernel.uapi import HELPERS

from .test_elf_object import TARGETS, Compile, opened

Patch = Callable[..., None]


def reached(reach: Reach, obj: ObjectFile, name: str) -> tuple[list[str], list[str], list[str]]:
    """Names of the functions, helpers and kernel functions that a program comes to."""
    functions = reach.functions(next(prog for prog in obj.progs if prog.name == name))
    helpers = [HELPERS[id] for id in reach.helpers(functions)]
    return [function.name for function in functions], helpers, reach.kfuncs(functions)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("debug", [True, False])
def test_calls_are_followed(compile_c: Compile, target: str, debug: bool) -> None:
    obj = opened(compile_c, "prog_rich", target, debug)
    reach = Reach(obj)
    functions, helpers, kfuncs = reached(reach, obj, "very_long_program_name")
    assert functions[0] == "very_long_program_name"
    assert sorted(functions[1:]) == ["note", "visit", "weigh"]
    assert "map_lookup_elem" in helpers
    assert kfuncs == []


@pytest.mark.parametrize("target", TARGETS)
def test_callbacks_static_functions_and_kernel_functions(compile_c: Compile, target: str) -> None:
    obj = opened(compile_c, "object_shown", target)
    reach = Reach(obj)
    functions, helpers, kfuncs = reached(reach, obj, "caller")
    assert functions == ["caller", "each", "middle", "leaf"]
    assert helpers == ["get_prandom_u32", "map_pop_elem", "probe_read_kernel", "jiffies64", "loop"]
    assert kfuncs == ["known", "unsure"]
    assert reached(reach, obj, "quiet") == (["quiet"], [], [])
    own = {prog.name: found for prog, found in reach.calls.items()}
    assert list(own["leaf"].kfuncs) == ["known"]
    assert [function.name for function in own["middle"].functions] == ["leaf"]
    assert [HELPERS[id] for id in own["each"].helpers] == ["jiffies64"]


def test_the_work_for_hostile_objects_is_bounded(compile_c: Compile, monkeypatch: pytest.MonkeyPatch) -> None:
    obj = opened(compile_c, "prog_rich")
    total = sum(len(function.insns) for function in (*obj.progs, *obj.subprogs)) // 8
    monkeypatch.setattr(calls, "MAX_INSNS", total)
    reach = Reach(obj)
    monkeypatch.setattr(calls, "MAX_INSNS", total - 1)
    with pytest.raises(Malformed, match=f"functions: {total} instructions, {total - 1} are supported"):
        Reach(obj)
    reach.left = 5
    with pytest.raises(Malformed, match="functions: they call each other too often to be followed"):
        reach.functions(obj.progs[0])
