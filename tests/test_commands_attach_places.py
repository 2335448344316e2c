"""`autoattach to …`: the words become places, each kind once, and say what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest

from bcctool.commands.attach_places import PLACES, places
from bcctool.commands.prog import HELP
from bcctool.errors import Error
from bcctool.loader.attach_places import EVENTS, Places
from bcctool.verbs import Args, Options, one_of


def taken(words: str) -> tuple[Places, list[str]]:
    args = Args(words.split(), Options())
    return places(args), args.words


ONE_OF = f"expected {one_of(PLACES)}, got: "
NOTHING = {name: value for name, value in vars(Places()).items() if not name.startswith("_")}


@pytest.mark.parametrize(
    ("words", "given", "left"),
    [
        ("", {}, []),
        ("pinmaps x", {}, ["pinmaps", "x"]),
        ("t xdp", {}, ["t", "xdp"]),  # of `type`, not of `to`
        ("to dev lo", {"ifindex": 1}, []),
        ("to dev lo egress", {"ifindex": 1, "direction": "egress"}, []),
        ("to d lo i", {"ifindex": 1}, ["i"]),
        ("to cgroup /a b", {"cgroup": "/a"}, ["b"]),
        ("to netns /proc/self/ns/net to dev lo", {"netns": "/proc/self/ns/net", "ifindex": 1}, []),
        ("to netfilter ip prerouting -128", {"netfilter": (2, 0, -128)}, []),
        ("to netf ip6 postrouting 2147483647", {"netfilter": (10, 4, 2147483647)}, []),
        ("to perf_event cycles", {"event": "cycles"}, []),
        ("to perf_event cpu-clock freq 99 type x", {"event": "cpu-clock", "freq": 99}, ["type", "x"]),
        ("to perf_event page-faults period 0x10", {"event": "page-faults", "period": 16}, []),
    ],
)
def test_words_become_places(words: str, given: dict[str, Any], left: list[str]) -> None:
    found, rest = taken(words)
    assert {name: value for name, value in vars(found).items() if not name.startswith("_")} == NOTHING | given
    assert rest == left
    assert found.unused == sorted(given)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("to", ONE_OF + "nothing"),
        ("to moon", ONE_OF + "'moon'?"),
        ("to dev", "expected the name of a network device"),
        ("to dev nosuch0", "there is no network device 'nosuch0' in this network namespace"),
        ("to cgroup", "expected the directory of a cgroup"),
        ("to cgroup /a to cgroup /b", "duplicate place cgroup"),
        ("to netfilter arp", "expected 'ip' or 'ip6', got: 'arp'?"),
        ("to netfilter ip nowhere 0", "expected 'prerouting', 'input', 'forward', 'output' or 'postrouting',"
         " got: 'nowhere'?"),
        ("to netfilter ip input", "expected a priority"),
        ("to netfilter ip input high", "can't parse high as a priority"),
        ("to netfilter ip input 2147483648", "priority 2147483648 is out of range: -2147483647..2147483647"),
        ("to perf_event moons", f"unknown event 'moons': {', '.join(EVENTS)} are known"),
        ("to perf_event cycles freq 0", "freq 0 would never take a sample"),
        ("to perf_event cycles period x", "can't parse x as period"),
    ],
)  # fmt: skip
def test_words_that_are_no_place(words: str, message: str) -> None:
    with pytest.raises(Error) as caught:
        taken(words)
    assert caught.value.message == message


def test_what_programs_take_is_used() -> None:
    found = Places(ifindex=1, cgroup="/a")
    assert found.take("cgroup") == "/a"
    assert found.take("netns") == ""
    assert found.unused == ["ifindex"]
    with pytest.raises(TypeError):
        Places(planet=1)


def test_the_grammar_has_each_place() -> None:
    for kind in PLACES:
        assert f"{kind} " in HELP.partition("PLACE :=")[2]
