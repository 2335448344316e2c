"""rtnetlink through pyroute2: XDP and tc programs of the network devices (linux/if_link.h, linux/pkt_cls.h)."""

from __future__ import annotations

import errno
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from socket import AF_NETLINK, SOCK_CLOEXEC, SOCK_RAW, socket
from struct import Struct, calcsize

from ..errors import Error, KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from typing_extensions import Self


def _import() -> Any:
    """pyroute2.netlink, its messages, without the rest of the package.

    Its `__init__` imports each of its forty modules (90 of 120 ms), whichever of them is asked for, and its sockets
    import multiprocessing and run uname(1) (15 ms). A package that has a path but did not run stands in for it while
    this one is imported; it stays ours alone, so that whoever imports pyroute2 later gets all of it.
    """
    if "pyroute2" not in sys.modules:
        spec = PathFinder.find_spec("pyroute2")
        if spec is None:
            raise Error("pyroute2 is not installed, the network can't be asked without it: install python3-pyroute2")
        sys.modules["pyroute2"] = module_from_spec(spec)
    else:
        spec = None
    try:
        from pyroute2 import netlink
    finally:
        if spec is not None:
            for name in [name for name in sys.modules if name.partition(".")[0] == "pyroute2"]:
                del sys.modules[name]
    return netlink


netlink = _import()

# linux/netlink.h
NLM_F_REQUEST, NLM_F_DUMP_INTR, NLM_F_DUMP = 1, 16, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
NETLINK_ROUTE = 0
HEADER = Struct("=IHHII")  # length, type, flags, sequence number, port
ATTRIBUTE = Struct("=HH")  # length, type
TYPE_MASK = 0x3FFF  # above are flags
ROOM = 1 << 16  # for an answer: the kernel packs no more than 32 KB
RTM_GETLINK, RTM_GETQDISC, RTM_GETTCLASS, RTM_GETTFILTER = 18, 38, 42, 46
MAX_TRIES = 5

XDP_ATTACHED_MULTI = 4
# IFLA_XDP_ATTACHED → how bpftool calls the mode, the attribute with its program when there are several
XDP_MODES = {
    2: ("generic", "IFLA_XDP_SKB_PROG_ID"),
    1: ("driver", "IFLA_XDP_DRV_PROG_ID"),
    3: ("offload", "IFLA_XDP_HW_PROG_ID"),
}
NO_QUEUE = "noqueue"  # the qdisc of devices without one
_GONE = (errno.ENODEV, errno.ENOENT)  # the device, or what stood there, since it was listed
# Where filters stand besides the classes and qdiscs: parent → how bpftool calls it
HOOKS_HANDLE = 0xFFFF0000  # of clsact and ingress, whose filters are at the hooks
HOOKS = {0xFFFFFFFF: "root", 0xFFFFFFF2: "clsact/ingress", 0xFFFFFFF3: "clsact/egress"}


def _layout(base: Any, *attributes: tuple[int, str, str], **body: Any) -> Any:
    """A message or attribute class of pyroute2's: (number, name, type) of what is decoded, the rest is passed over.

    A type is one of pyroute2's, or a name in `body`. pyroute2's own classes know no TCA_BPF_ID, and decode ten times
    as much.
    """
    return type(base)(base.__name__, (base,), {"__slots__": (), "nla_map": attributes, "prefix": "", **body})


_xdp = _layout(
    netlink.nla,
    (2, "IFLA_XDP_ATTACHED", "uint8"),
    (4, "IFLA_XDP_PROG_ID", "uint32"),
    (5, "IFLA_XDP_DRV_PROG_ID", "uint32"),
    (6, "IFLA_XDP_SKB_PROG_ID", "uint32"),
    (7, "IFLA_XDP_HW_PROG_ID", "uint32"),
)
_ifinfomsg = _layout(
    netlink.nlmsg,
    (3, "IFLA_IFNAME", "asciiz"),
    (43, "IFLA_XDP", "xdp"),
    xdp=_xdp,
    fields=(("family", "B"), ("pad", "x"), ("type", "H"), ("index", "i"), ("flags", "I"), ("change", "I")),
)
_act_bpf = _layout(netlink.nla, (6, "TCA_ACT_BPF_NAME", "asciiz"), (9, "TCA_ACT_BPF_ID", "uint32"))
_action = _layout(netlink.nla, (1, "TCA_ACT_KIND", "asciiz"), (2, "TCA_ACT_OPTIONS", "act_bpf"), act_bpf=_act_bpf)
_actions = _layout(netlink.nla, *[(prio, "action", "action") for prio in range(1, 33)], action=_action)
_cls_bpf = _layout(
    netlink.nla,
    (1, "TCA_BPF_ACT", "actions"),
    (7, "TCA_BPF_NAME", "asciiz"),
    (11, "TCA_BPF_ID", "uint32"),
    actions=_actions,
)
_TCMSG = (("family", "B"), ("pad", "3x"), ("index", "i"), ("handle", "I"), ("parent", "I"), ("info", "I"))
# Options differ by kind, and only filters' are of interest.
_tcmsg = _layout(netlink.nlmsg, (1, "TCA_KIND", "asciiz"), fields=_TCMSG)
_filter = _layout(
    netlink.nlmsg,
    (1, "TCA_KIND", "asciiz"),
    (2, "TCA_OPTIONS", "options"),
    fields=_TCMSG,
    options=staticmethod(lambda filter, **_: _cls_bpf if filter.get_attr("TCA_KIND") == "bpf" else filter.hex),
)


class Device:
    """A network device. xdp: (mode, program id) of each XDP program, modes in bpftool's words."""

    __slots__ = ("index", "name", "xdp")

    def __init__(self, index: int, name: str, xdp: list[tuple[str, int]]) -> None:
        self.index = index
        self.name = name
        self.xdp = xdp


class Filter:
    """A cls_bpf filter of tc.

    place: the kind of the class or qdisc that it hangs on, or a row of HOOKS; name, prog_id: None for classic BPF;
    actions: (name, program id) of its act_bpf actions, None when it has no actions at all.
    """

    __slots__ = ("actions", "name", "place", "prog_id")

    def __init__(
        self, place: str, name: str | None, prog_id: int | None, actions: list[tuple[str | None, int | None]] | None
    ) -> None:
        self.place = place
        self.name = name
        self.prog_id = prog_id
        self.actions = actions


class Netlink:
    """A socket to the kernel's rtnetlink, in the current network namespace. Its methods raise Error."""

    def __init__(self) -> None:
        try:
            self._socket = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)
            self._socket.connect((0, 0))  # from now on only the kernel can send us something
        except OSError as error:
            raise KernelError("can't open a netlink socket", error.errno or 0, status=255) from None
        self._sequence = 0
        self._qdiscs: dict[int, list[tuple[int, str]]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def devices(self) -> list[Device]:
        """All network devices, in the kernel's order: by index, before 6.8 by its low byte first."""
        found = []
        for message in self._dump("network devices", RTM_GETLINK, _ifinfomsg):
            xdp = message.get_attr("IFLA_XDP")
            found.append(Device(message["index"], _text(message, "IFLA_IFNAME") or "", _xdp_programs(xdp)))
        return found

    def filters(self, index: int) -> Iterator[Filter]:
        """The BPF filters of a device: on its classes, on its qdiscs, at its hooks."""
        for parent, place in self._places(index):
            for message in self._dump("tc filters", RTM_GETTFILTER, _filter, index, parent):
                options = message.get_attr("TCA_OPTIONS")
                # The first message of each priority describes no filter: it has no options.
                if options is not None and message.get_attr("TCA_KIND") == "bpf":
                    yield _filter_of(place, options)

    def _places(self, index: int) -> Iterator[tuple[int, str]]:
        """(handle, kind) of what filters may hang on; nothing is asked of what can't have any."""
        qdiscs = [row for row in self._qdiscs_of(index) if row[1] != NO_QUEUE]
        if qdiscs:
            for message in self._dump("tc classes", RTM_GETTCLASS, _tcmsg, index):
                yield message["handle"], _text(message, "TCA_KIND") or ""
        yield from qdiscs
        if any(handle == HOOKS_HANDLE for handle, _ in qdiscs):
            yield from HOOKS.items()

    def _qdiscs_of(self, index: int) -> list[tuple[int, str]]:
        """(handle, kind) of the qdiscs of a device."""
        if self._qdiscs is None:
            self._qdiscs = {}
            for message in self._dump("qdiscs", RTM_GETQDISC, _tcmsg):  # always those of all devices
                row = message["handle"], _text(message, "TCA_KIND") or ""
                self._qdiscs.setdefault(message["index"], []).append(row)
        return self._qdiscs.get(index, [])

    def _dump(self, what: str, type: int, layout: Any, index: int = 0, parent: int = 0) -> list[Any]:
        """All answers to a request. A dump during which something changed is not whole, and is asked for again."""
        found: list[Any] = []
        for _ in range(MAX_TRIES):
            message = layout()
            message["index"] = index
            if parent:
                message["parent"] = parent
            try:
                found, whole = self._ask(message, type)
            except OSError as error:
                if index and error.errno in _GONE:
                    return []
                raise KernelError(f"can't list {what}", error.errno or 0, status=255) from None
            if whole:
                break
        return found  # of a network that never rests, what there was

    def _ask(self, request: Any, type: int) -> tuple[list[Any], bool]:
        """The decoded answers to a request for a dump; whether nothing changed meanwhile. OSError: the kernel's no."""
        self._sequence += 1
        request["header"] |= {"type": type, "flags": NLM_F_REQUEST | NLM_F_DUMP, "sequence_number": self._sequence}
        request.encode()
        self._socket.send(request.data)
        layout, found, changed = request.__class__, [], 0
        while True:
            for kind, flags, sequence, data in _messages(self._socket.recv(ROOM)):
                if sequence != self._sequence:  # what is left of an answer that ended with an error
                    continue
                changed |= flags & NLM_F_DUMP_INTR
                if kind not in (NLMSG_ERROR, NLMSG_DONE):
                    found.append(_decoded(data, layout))
                    continue
                number = int.from_bytes(data[HEADER.size : HEADER.size + 4], sys.byteorder, signed=True)
                if number:
                    raise OSError(-number, "")
                return found, not changed


def _messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """(type, flags, sequence number, all of it) of the messages that came in one piece. OSError: they are damaged."""
    offset = 0
    while offset < len(data):
        size = len(data) - offset
        length, type, flags, sequence, _ = HEADER.unpack_from(data, offset) if size >= HEADER.size else (0,) * 5
        if not HEADER.size <= length <= size:
            raise OSError(errno.EBADMSG, "")
        yield type, flags, sequence, data[offset : offset + length]
        offset += length + 3 & ~3


def _decoded(data: bytes, layout: Any) -> Any:
    """A message of pyroute2's, of the attributes in its layout: it makes an object of each, and a device has sixty."""
    start = HEADER.size + sum(calcsize(format) for _, format in layout.fields)
    wanted = {row[0] for row in layout.nla_map}
    kept = bytearray(data[:start])
    while start + ATTRIBUTE.size <= len(data):
        length, type = ATTRIBUTE.unpack_from(data, start)
        if not ATTRIBUTE.size <= length <= len(data) - start:
            break
        end = start + length + 3 & ~3
        if type & TYPE_MASK in wanted:
            kept += data[start:end]
        start = end
    kept[:4] = len(kept).to_bytes(4, sys.byteorder)
    message = layout(kept)
    message.decode()
    return message


def _text(message: Any, attribute: str) -> str | None:
    """A string of the kernel's, which may have any bytes: pyroute2 decodes UTF-8 only."""
    value = message.get_attr(attribute)
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def _xdp_programs(xdp: Any) -> list[tuple[str, int]]:
    """(mode, program id) of what IFLA_XDP says; one program at most, unless it says XDP_ATTACHED_MULTI."""
    attached = xdp.get_attr("IFLA_XDP_ATTACHED") if xdp is not None else 0
    if not attached:
        return []
    if attached != XDP_ATTACHED_MULTI:
        mode = XDP_MODES[attached][0] if attached in XDP_MODES else str(attached)
        return [(mode, xdp.get_attr("IFLA_XDP_PROG_ID") or 0)]
    ids = [(mode, xdp.get_attr(attribute)) for mode, attribute in XDP_MODES.values()]
    return [(mode, id) for mode, id in ids if id]


def _filter_of(place: str, options: Any) -> Filter:
    actions = options.get_attr("TCA_BPF_ACT")
    if actions is not None:
        bodies = [action.get_attr("TCA_ACT_OPTIONS") for action in actions.get_attrs("action") if _is_bpf(action)]
        actions = [(_text(body, "TCA_ACT_BPF_NAME"), body.get_attr("TCA_ACT_BPF_ID")) for body in bodies if body]
    return Filter(place, _text(options, "TCA_BPF_NAME"), options.get_attr("TCA_BPF_ID"), actions)


def _is_bpf(action: Any) -> bool:
    return bool(action.get_attr("TCA_ACT_KIND") == "bpf")
