"""`map dump MAP symbols`: which values are told by name; no kernel."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bcctool.commands.map_symbols import named
from bcctool.output import dumps

ADDRESS = 0xFFFFFFFF81000010


class Known:
    """A kernel with a function, one with a name that is none, and one in a module."""

    def function(self, address: int) -> tuple[str, str, int]:
        known = {ADDRESS: ("do_it", "kernel", 0x10), ADDRESS + 1: ('"\x1b', "kernel", 0), ADDRESS + 2: ("f", "mod", 1)}
        return known.get(address, ("", "", 0))


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (ADDRESS, "0xffffffff81000010 <do_it+0x10>"),
        (ADDRESS + 2, "0xffffffff81000012 <f+0x1 [mod]>"),
        (ADDRESS + 3, ADDRESS + 3),
        (ADDRESS - (1 << 64), ADDRESS - (1 << 64)),
        ({"a": [ADDRESS, 1], "b": {"c": ADDRESS}},
         {"a": ["0xffffffff81000010 <do_it+0x10>", 1], "b": {"c": "0xffffffff81000010 <do_it+0x10>"}}),
        (b"\xff\0", ["0xff", "0x00"]),
        (True, True),
        (1.5, "1.5"),
        (str(ADDRESS), str(ADDRESS)),
    ],
)  # fmt: skip
def test_values(value: Any, found: Any) -> None:
    assert named(Known(), value) == found  # type: ignore[arg-type]


def test_a_hostile_name_is_a_string_all_the_same() -> None:
    text = dumps(named(Known(), ADDRESS + 1))  # type: ignore[arg-type]
    assert "\x1b" not in text
    assert json.loads(text) == '0xffffffff81000011 <"\x1b+0x0>'
