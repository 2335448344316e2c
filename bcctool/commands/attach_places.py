"""The words of `autoattach` that say where programs go whose sections don't: `to dev NAME`, `to cgroup PATH`, …"""

from __future__ import annotations

from ..errors import Error
from ..loader.attach_places import DIRECTIONS, EVENTS, NETFILTER_FAMILIES, NETFILTER_HOOKS, Places
from . import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..verbs import Args

MAX_PRIORITY = 0x7FFFFFFF


def places(args: Args) -> Places:
    """Take any number of `to PLACE`, each kind once. Error for one that there is not."""
    given: dict[str, Any] = {}
    kinds: set[str] = set()
    while optional(args, "to"):
        kind = args.expect(*PLACES)
        if kind in kinds:
            raise Error(f"duplicate place {kind}")
        kinds.add(kind)
        given |= PLACES[kind](args)
    return Places(**given)


def optional(args: Args, *keywords: str) -> str:
    """Take the next word if it is one of these, not cut: an abbreviation may be that of a word that follows a place."""
    return args.next() if args.peek() in keywords else ""


def _device(args: Args) -> dict[str, Any]:
    import socket

    name = args.next("the name of a network device")
    try:
        index = socket.if_nametoindex(name)
    except (OSError, ValueError):
        raise Error(f"there is no network device '{name}' in this network namespace") from None
    direction = optional(args, *DIRECTIONS)
    return {"ifindex": index} | ({"direction": direction} if direction else {})


def _cgroup(args: Args) -> dict[str, Any]:
    return {"cgroup": args.next("the directory of a cgroup")}


def _netns(args: Args) -> dict[str, Any]:
    return {"netns": args.next("the file of a network namespace")}


def _netfilter(args: Args) -> dict[str, Any]:
    family = NETFILTER_FAMILIES[args.expect(*NETFILTER_FAMILIES)]
    hook = NETFILTER_HOOKS[args.expect(*NETFILTER_HOOKS)]
    word = args.next("a priority")
    try:
        priority = int(word)
    except ValueError:
        raise Error(f"can't parse {word} as a priority") from None
    if abs(priority) > MAX_PRIORITY:
        raise Error(f"priority {word} is out of range: {-MAX_PRIORITY}..{MAX_PRIORITY}")
    return {"netfilter": (family, hook, priority)}


def _perf_event(args: Args) -> dict[str, Any]:
    name = args.next("the name of an event")
    if name not in EVENTS:
        raise Error(f"unknown event '{name}': {', '.join(EVENTS)} are known")
    word = optional(args, "freq", "period")
    if not word:
        return {"event": name}
    number = args.number(word)
    if not number:
        raise Error(f"{word} 0 would never take a sample")
    return {"event": name, word: number}


def _map(args: Args) -> dict[str, Any]:
    return {"map": select.map_(args)}


def _prog(args: Args) -> dict[str, Any]:
    given: dict[str, Any] = {"prog": select.prog(args)}
    return given | ({"function": args.next("a function")} if optional(args, "function") else {})


PLACES: dict[str, Callable[[Args], dict[str, Any]]] = {
    "dev": _device,
    "cgroup": _cgroup,
    "netns": _netns,
    "netfilter": _netfilter,
    "perf_event": _perf_event,
    "map": _map,
    "prog": _prog,
}
