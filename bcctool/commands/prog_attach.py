"""prog attach and detach: programs for the sockets of a map, and the flow dissector of this network namespace."""

from __future__ import annotations

import os

from ..errors import Error
from ..kernel import libbpf, uapi
from ..verbs import ARGUMENT_ERROR, Args
from . import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..objects.map import Map
    from ..objects.prog import Prog

# what may be cut to a prefix → the kernel's name, which may not
TYPES = {
    "stream_verdict": "sk_skb_stream_verdict",
    "stream_parser": "sk_skb_stream_parser",
    "skb_verdict": "sk_skb_verdict",
    "msg_verdict": "sk_msg_verdict",
}
FLOW_DISSECTOR = "flow_dissector"


def run(args: Args, attach: bool) -> None:
    """Take PROG ATTACH_TYPE [MAP] and do it."""
    args.require(3)
    with select.prog(args) as prog:
        type_ = take_type(args)
        if type_ == FLOW_DISSECTOR:
            args.end()
            change(prog, type_, None, attach)
            return
        args.require(2)
        with select.map_(args) as map_:
            args.end()
            change(prog, type_, map_, attach)


def take_type(args: Args) -> str:
    """The kernel's name of an attach type. Error for one that these verbs don't know."""
    word = args.peek()
    if word in (*TYPES.values(), FLOW_DISSECTOR):
        return args.next()
    short = args.accept(*TYPES)
    if short is None:
        known = ", ".join((*TYPES, FLOW_DISSECTOR))
        raise Error(f"invalid attach/detach type '{word}', one of {known} expected", ARGUMENT_ERROR)
    return TYPES[short]


def change(prog: Prog, type_: str, map_: Map | None, attach: bool) -> None:
    """Attach the program to the map, or to the network namespace, or detach it. Error when the kernel refuses."""
    target, number = map_.fd if map_ else 0, uapi.ATTACH_TYPES.index(type_)
    try:
        if attach:
            libbpf.call("bpf_prog_attach", prog.fd, target, number, 0)
        else:
            libbpf.call("bpf_prog_detach2", prog.fd, target, number)
    except OSError as error:
        where = f"map {map_.id}" if map_ else "this network namespace"
        what = f"failed prog attach to {where}" if attach else f"failed prog detach from {where}"
        raise Error(f"{what}: {os.strerror(error.errno or 0)}", ARGUMENT_ERROR) from None
