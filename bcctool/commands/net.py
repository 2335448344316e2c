"""net: programs in the network stack (XDP, tc, flow dissector, netfilter), and attaching them to devices."""

from __future__ import annotations

import errno
import os

from ..errors import Error, KernelError
from ..escapes import printable
from ..kernel import bpf, libbpf, uapi
from ..objects.link import Link
from ..objects.prog import Prog
from ..verbs import ARGUMENT_ERROR, Args, Usage, verb
from . import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from ..kernel.netlink import Device, Filter, Netlink

HELP = """
PROG := { id PROG_ID | pinned FILE | tag PROG_TAG | name PROG_NAME }
ATTACH_TYPE := { xdp | xdpgeneric | xdpdrv | xdpoffload | tcx_ingress | tcx_egress }

Only XDP and tcx programs can be attached here: see tc(8) for the filters of clsact
and of queueing disciplines, and "bcctool prog attach" for the flow dissector.
"""

# linux/if_link.h, linux/bpf.h
XDP_FLAGS_UPDATE_IF_NOEXIST = 1
XDP_FLAGS = {"xdp": 0, "xdpgeneric": 2, "xdpdrv": 4, "xdpoffload": 8}
TCX = ("tcx_ingress", "tcx_egress")
BPF_F_BEFORE, BPF_F_AFTER = 8, 16
NO_PROG = -1

# attach type → how bpftool calls the hook
LINK_HOOKS = {
    "tcx_ingress": "tcx/ingress",
    "tcx_egress": "tcx/egress",
    "netkit_primary": "netkit/primary",
    "netkit_peer": "netkit/peer",
}
# Not a hook of this kernel, or of this device.
_NO_HOOK = (errno.EINVAL, errno.ENXIO, errno.EACCES, errno.EOPNOTSUPP, errno.ENODEV)

# linux/netfilter.h: protocol family → name, hooks
_INET_HOOKS = ("prerouting", "input", "forward", "output", "postrouting")
NETFILTER = {
    1: ("inet", _INET_HOOKS),
    2: ("ip", _INET_HOOKS),
    3: ("arp", ("input", "output")),
    5: ("netdev", ()),
    7: ("bridge", _INET_HOOKS),
    10: ("ip6", _INET_HOOKS),
}

Record = dict[str, "Any"]


def xdp_rows(devices: Iterable[Device]) -> Iterator[Record]:
    """One record per device with XDP programs."""
    for device in devices:
        record = device_fields(device)
        if len(device.xdp) > 1:
            yield record | {"multi_attachments": [{"mode": mode, "id": id} for mode, id in device.xdp]}
        elif device.xdp:
            mode, id = device.xdp[0]
            yield record | {"mode": mode, "id": id}


def device_fields(device: Device) -> Record:
    """What the record of each attachment to a device starts with."""
    return {"devname": device.name, "ifindex": device.index}


def tc_rows(netlink: Netlink, devices: Iterable[Device]) -> Iterator[Record]:
    """One record per tc program: by device, those of tcx and netkit first."""
    for device in devices:
        for attach_type, kind in LINK_HOOKS.items():
            yield from link_hook_rows(device, attach_type, kind)
        for filter in netlink.filters(device.index):
            yield device_fields(device) | filter_fields(filter)


def link_hook_rows(device: Device, attach_type: str, kind: str) -> Iterator[Record]:
    """One record per program at a tcx or netkit hook."""
    try:
        attached = bpf.prog_query(attach_type, device.index, links=True)
    except OSError as error:
        if error.errno in _NO_HOOK:
            return
        raise KernelError(f"can't query {kind} of {device.name}", error.errno or 0, status=255) from None
    for prog_id, prog_flags, link_id, link_flags in attached:
        record = device_fields(device) | {"kind": kind}
        name = prog_name(prog_id)
        if name:
            record["name"] = name
        yield record | {
            "prog_id": prog_id,
            "prog_flags": [prog_flags] if prog_flags else [],
            "link_id": link_id,
            "link_flags": [link_flags] if link_flags else [],
        }


def prog_name(id: int) -> str:
    """The name of a program, empty when it is gone."""
    try:
        with Prog.from_id(id) as prog:
            return prog.full_name
    except Error:
        return ""


def filter_fields(filter: Filter) -> Record:
    """The fields of a classic tc filter; one with classic BPF has neither name nor id."""
    record: Record = {"kind": filter.place} | _named(filter.name, filter.prog_id)
    if filter.actions is not None:
        record["act"] = [_named(name, id) for name, id in filter.actions]
    return record


def _named(name: str | None, id: int | None) -> Record:
    return {key: value for key, value in (("name", name), ("id", id)) if value is not None}


def flow_dissector_rows() -> list[Record]:
    """The flow dissector of the current network namespace."""
    try:
        fd = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return [{"id": row[0]} for row in bpf.prog_query("flow_dissector", fd)]
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return []
        raise KernelError("can't query prog", error.errno or 0, status=255) from None


def netfilter_rows() -> list[Record]:
    """The netfilter links of all network namespaces: by family, hook and priority."""
    rows = []
    netfilter = uapi.LINK_TYPES.index("netfilter")
    for link in Link.all():
        with link:
            info = link.info
        if info.type == netfilter:
            hook = info.netfilter
            row = {"pf": hook.pf, "hook": hook.hooknum, "prio": hook.priority, "flags": hook.flags, "id": info.prog_id}
            rows.append(row)
    return sorted(rows, key=lambda row: (row["pf"], row["hook"], row["prio"]))


def at(record: Record) -> str:
    """`DEV(IFINDEX)`"""
    return f"{printable(record['devname'])}({record['ifindex']})"


def xdp_text(record: Record) -> str:
    """One line per XDP program."""
    rows = record.get("multi_attachments", (record,))
    return "".join(f"{at(record)} {row['mode']} id {row['id']}\n" for row in rows)


def tc_text(record: Record) -> str:
    """One line per tc program."""
    words = [at(record), record["kind"]]
    if "prog_id" in record:
        words += [printable(record["name"])] if "name" in record else []
        words += [f"prog_id {record['prog_id']}"]
        words += [f"prog_flags {flags}" for flags in record["prog_flags"]]
        words += [f"link_id {record['link_id']}"] if record["link_id"] else []
        return " ".join(words) + " \n"
    words += _words(record)
    if "act" not in record:
        return " ".join(words) + "\n"
    actions = "".join(f"{{{' '.join(_words(action))}}}" for action in record["act"])
    return f"{' '.join(words)} act [{actions}] \n"


def _words(record: Record) -> list[str]:
    words = [printable(record["name"])] if "name" in record else []
    return words + ([f"id {record['id']}"] if "id" in record else [])


def netfilter_place(record: Record) -> str:
    """Where a netfilter program is attached, on a line that starts with the newline."""
    family, hooks = NETFILTER.get(record["pf"], (f"pf: {record['pf']}", ()))
    hook = record["hook"]
    text = f"\n\t{family} {hooks[hook]}" if hook < len(hooks) else f"\n\t{family}, hook {hook},"
    text += f" prio {record['prio']}"
    return text + (f" flags 0x{record['flags']:x}" if record["flags"] else "")


def netfilter_text(record: Record) -> str:
    """The place of a netfilter program, and the program."""
    return f"{netfilter_place(record)} prog_id {record['id']}"


SECTIONS: dict[str, Callable[[Record], str]] = {
    "xdp": xdp_text,
    "tc": tc_text,
    "flow_dissector": lambda record: f"id {record['id']}",
    "netfilter": netfilter_text,
}


def text(record: Record) -> str:
    """The sections, each closed by an empty line."""
    return "".join(f"{name}:\n{''.join(map(row, record[name]))}\n" for name, row in SECTIONS.items())


def device_index(name: str, status: int) -> int:
    """The index of a network device."""
    from socket import if_nametoindex

    try:
        return if_nametoindex(name)
    except (OSError, ValueError):
        raise Error(f"invalid devname {name}", status) from None


def table_rows(record: Record) -> Iterator[Record]:
    """The programs of all sections, each with its `hook`."""
    for section, rows in record.items():
        for row in rows:
            if section == "netfilter":
                yield row | {"hook": "netfilter", "where": " ".join(netfilter_place(row).split())}
            else:
                for each in row.get("multi_attachments", (row,)):
                    yield {"hook": section, "where": each.get("mode") or row.get("kind")} | row | each


COLUMNS = (
    ("HOOK", "hook", "text"), ("DEVICE", lambda row: at(row) if "devname" in row else None, "text"),
    ("WHERE", "where", "text"), ("PROG", lambda row: row.get("prog_id", row.get("id")), "number"),
    ("NAME", "name", "text"), ("LINK", lambda row: row.get("link_id") or None, "number"),
)  # fmt: skip


@verb("[dev NAME]", text=text, alias="list", columns=COLUMNS, rows=table_rows)
def show(args: Args) -> Iterable[Record]:
    """Show the programs of network devices, the flow dissector, and netfilter's programs."""
    only = None
    if args:
        if len(args) != 2 or not args.accept("dev"):
            raise Usage("")
        only = device_index(args.next(), status=255)
    flow_dissector = flow_dissector_rows()  # first, because it tells whether we may look at all
    from ..kernel.netlink import Netlink

    with Netlink() as netlink:
        devices = [device for device in netlink.devices() if only in (None, device.index)]
        xdp, tc = list(xdp_rows(devices)), list(tc_rows(netlink, devices))
    return [{"xdp": xdp, "tc": tc, "flow_dissector": flow_dissector, "netfilter": netfilter_rows()}]


def attach_type(args: Args) -> str:
    """Take an ATTACH_TYPE."""
    found = args.accept(*XDP_FLAGS, *TCX)
    if found is None:
        raise Error(f"invalid net attach/detach type: {args.peek()}", ARGUMENT_ERROR)
    return found


def device(args: Args) -> int:
    """Take `dev NAME`, the index of the device."""
    if args.accept("dev") is None:
        raise Error(f"expected 'dev', got: {args.quoted()}", ARGUMENT_ERROR)
    return device_index(args.next(), ARGUMENT_ERROR)


@verb("ATTACH_TYPE PROG dev NAME [overwrite | prepend]")
def attach(args: Args) -> None:
    """Attach a program: to XDP if there is none or with `overwrite`, to tcx behind the others or with `prepend`."""
    args.require(5)
    type = attach_type(args)
    try:
        prog = select.prog(args)
    except Usage:
        raise
    except Error as error:
        error.status = ARGUMENT_ERROR
        raise
    with prog:
        index = device(args)
        option = "prepend" if type in TCX else "overwrite"
        chosen = args.accept(option)
        if args:
            expected = "no more arguments" if chosen else f"'{option}'"
            raise Error(f"expected {expected}, got: {args.quoted()}", ARGUMENT_ERROR)
        try:
            if type in TCX:
                flags = BPF_F_BEFORE if chosen else BPF_F_AFTER
                libbpf.call("bpf_prog_attach", prog.fd, index, uapi.ATTACH_TYPES.index(type), flags)
            else:
                flags = XDP_FLAGS[type] | (0 if chosen else XDP_FLAGS_UPDATE_IF_NOEXIST)
                libbpf.call("bpf_xdp_attach", index, prog.fd, flags, None)
        except OSError as error:
            raise KernelError(f"interface {type} attach failed", error.errno or 0) from None


@verb("ATTACH_TYPE dev NAME")
def detach(args: Args) -> None:
    """Detach the XDP program, or the last program of tcx."""
    args.require(3)
    type = attach_type(args)
    index = device(args)
    if args:
        raise Error(f"expected no more arguments, got: {args.quoted()}", ARGUMENT_ERROR)
    try:
        if type in TCX:
            libbpf.call("bpf_prog_detach", index, uapi.ATTACH_TYPES.index(type))
        else:
            libbpf.call("bpf_xdp_attach", index, NO_PROG, XDP_FLAGS[type], None)
    except OSError as error:
        raise KernelError(f"interface {type} detach failed", error.errno or 0) from None
