"""link show: a row per type of link (linux/bpf.h, enum bpf_link_type): its fields in JSON, and as text."""

from __future__ import annotations

from ..errors import Error
from ..escapes import printable
from ..kernel import bpf, proc, uapi
from .listing import Owners, Paths, holders, holders_text, pinned_paths, pinned_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from ..objects.link import Link

    Record = dict[str, Any]
    Row = tuple[Callable[[Link, Record], Record], Callable[[Record], str]]

# enum bpf_cgroup_iter_order
CGROUP_ORDERS = (
    "order_unspec", "self_only", "descendants_pre", "descendants_post", "ancestors_up", "children",
)  # fmt: skip
MAP_ITERATORS = ("bpf_map_elem", "bpf_sk_storage_map")
TASK_ITERATORS = ("task", "task_file", "task_vma")
XDP_MODES = (0, 2, 4, 8)  # the only one there is; XDP_FLAGS_SKB_MODE, DRV_MODE, HW_MODE
RETURN_PROBES = 1  # BPF_F_KPROBE_MULTI_RETURN, BPF_F_UPROBE_MULTI_RETURN
DETACHED, UNKNOWN = "(detached)", "(unknown)"


def named(table: Sequence[str], value: int) -> str | int:
    """The name of a number in a table, or the number."""
    return table[value] if value < len(table) else value


def describe(link: Link, paths: Paths | None, held: Owners) -> Record:
    """The record of `show`. paths: of pinned links by id, None unless asked for; held: owners by id."""
    info = link.info
    record: Record = {"id": info.id, "type": named(uapi.LINK_TYPES, info.type), "prog_id": info.prog_id}
    if link.name in ROWS:
        record |= ROWS[link.name][0](link, link.details())
    return record | pinned_paths(paths, info.id) | holders(held, info.id)


def text(record: Record) -> str:
    """A link as `link show` prints it."""
    type_ = record["type"]
    text = f"{record['id']}: {f'type {type_}' if isinstance(type_, int) else type_}  "
    text += f"map {record['map_id']}  " if type_ == "struct_ops" else f"prog {record['prog_id']}  "
    if type_ in ROWS:
        text += ROWS[type_][1](record)
    return text + pinned_text(record) + holders_text(record) + "\n"


def place(record: Record) -> str:
    """Where a link attaches, in one line."""
    text = ROWS[record["type"]][1](record) if record["type"] in ROWS else ""
    return " ".join((text or _nonzero({"map_id": 0} | record, "map_id")).split())


def _words(record: Record, *keys: str) -> str:
    """`KEY VALUE  ` for each key."""
    return "".join(f"{key} {printable(str(record[key]))}  " for key in keys)


def _nonzero(record: Record, *keys: str) -> str:
    """`KEY VALUE  ` for each key whose value is not 0."""
    return _words(record, *(key for key in keys if record[key]))


def _picked(*keys: str) -> Callable[[Link, Record], Record]:
    """Fields as the kernel has them; attach types by name."""

    def fields(link: Link, details: Record) -> Record:
        picked = {key: details[key] for key in keys}
        if "attach_type" in picked:
            picked["attach_type"] = named(uapi.ATTACH_TYPES, picked["attach_type"])
        return picked

    return fields


def _line(*keys: str) -> Callable[[Record], str]:
    """A line of text with these fields."""
    return lambda record: "\n\t" + _words(record, *keys)


def _raw_tracepoint_text(record: Record) -> str:
    return f"\n\ttp '{printable(record['tp_name'])}'  " + _nonzero(record, "cookie")


def _tracing(link: Link, details: Record) -> Record:
    from ..objects.prog import Prog

    record: Record = {}
    try:
        with Prog.from_id(link.info.prog_id) as prog:
            record["prog_type"] = named(uapi.PROG_TYPES, prog.info.type)
    except Error:  # the program is gone: the link was detached
        pass
    return record | _picked("attach_type", "target_obj_id", "target_btf_id", "cookie")(link, details)


def _tracing_text(record: Record) -> str:
    text = "\n\t" + _words(record, *(key for key in ("prog_type", "attach_type") if key in record))
    if record["target_obj_id"] or record["target_btf_id"]:
        text += "\n\t" + _words(record, "target_obj_id", "target_btf_id")
    return text + ("\n\t" + _words(record, "cookie") if record["cookie"] else "")


def _iter(link: Link, details: Record) -> Record:
    target = details["target_name"]
    record: Record = {"target_name": target}
    if target in MAP_ITERATORS:
        record["map_id"] = details["map_id"]
    elif target in TASK_ITERATORS:
        key = next((key for key in ("tid", "pid") if details.get(key)), "")
        record |= {key: details[key]} if key else {}
    elif target == "cgroup":
        order = str(named(CGROUP_ORDERS, details["order"]))
        record |= {"cgroup_id": details["cgroup_id"], "order": order}
    return record


def _iter_text(record: Record) -> str:
    words = _words(record, "target_name", *(key for key in ("map_id", "cgroup_id", "order") if key in record))
    return words + "".join(f"{key} {record[key]} " for key in ("tid", "pid") if key in record)


def _netfilter_text(record: Record) -> str:
    from .net import netfilter_place

    return netfilter_place(record)


def _device(link: Link, details: Record) -> Record:
    ifindex = details["ifindex"]
    return {"devname": _device_name(link, ifindex), "ifindex": ifindex} | (
        _picked("attach_type")(link, details) if "attach_type" in details else {}
    )


def _device_name(link: Link, ifindex: int) -> str:
    """The name of a link's device, unless it is in another network namespace, where ours would be of another device."""
    if not ifindex:
        return DETACHED
    try:
        return proc.interface_name(ifindex) if _is_there(link, ifindex) else UNKNOWN
    except OSError:
        return UNKNOWN


def _is_there(link: Link, ifindex: int) -> bool:
    """Whether our device of this index has the link; OSError if there is none, or it has no such hooks."""
    if link.name == "xdp":
        import ctypes

        from ..kernel import libbpf

        id = ctypes.c_uint32()
        for mode in XDP_MODES:
            libbpf.call("bpf_xdp_query_id", ifindex, mode, ctypes.byref(id))
            if id.value == link.info.prog_id:
                return True
        return False
    hook = uapi.ATTACH_TYPES[getattr(link.info, link.name).attach_type]
    # netkit's peer is asked for by way of the device that it is the peer of.
    return any(row[2] == link.id for row in bpf.prog_query(hook, ifindex, links=True))


def _device_text(record: Record) -> str:
    name = printable(record["devname"])
    place = name if name in (DETACHED, UNKNOWN) else f"{name}({record['ifindex']})"
    return f"\n\tifindex {place}  " + _words(record, *(key for key in ("attach_type",) if key in record))


def _perf_event(link: Link, details: Record) -> Record:
    from . import link_perf

    return link_perf.fields(details)


def _perf_event_text(record: Record) -> str:
    from . import link_perf

    return link_perf.text(record)


def _kprobe_multi(link: Link, details: Record) -> Record:
    from ..kernel.proc import KernelSymbols

    symbols = KernelSymbols().at(details["addrs"])
    functions = []
    for address, cookie in sorted(zip(details["addrs"], details["cookies"], strict=True)):
        if address in symbols:
            name, module = symbols[address]
            functions.append({"addr": address, "func": name, "module": module or None, "cookie": cookie})
    returns = bool(details["flags"] & RETURN_PROBES)
    counts = {"retprobe": returns, "func_cnt": details["count"], "missed": details["missed"]}
    return counts | {"funcs": functions}


def _kprobe_multi_text(record: Record) -> str:
    kind = "kretprobe" if record["retprobe"] else "kprobe"
    text = f"\n\t{kind}.multi  " + _words(record, "func_cnt") + _nonzero(record, "missed")
    if record["funcs"]:
        text += f"\n\t{'addr':16} {'cookie':16} func [module]"
    for row in record["funcs"]:
        module = f" [{printable(row['module'])}]" if row["module"] else ""
        text += f"\n\t{row['addr']:016x} {row['cookie']:<16x} {printable(row['func'])}{module}  "
    return text


def _uprobe_multi(link: Link, details: Record) -> Record:
    columns = (details["offsets"], details["ref_ctr_offsets"], details["cookies"])
    return {
        "retprobe": bool(details["flags"] & RETURN_PROBES),
        "path": details["path"],
        "func_cnt": details["count"],
        "pid": details["pid"],
        "funcs": [
            {"offset": offset, "ref_ctr_offset": counter, "cookie": cookie}
            for offset, counter, cookie in zip(*columns, strict=True)
        ],
    }


def _uprobe_multi_text(record: Record) -> str:
    kind = "uretprobe" if record["retprobe"] else "uprobe"
    text = f"\n\t{kind}.multi  " + _words(record, "path", "func_cnt") + _nonzero(record, "pid")
    text += f"\n\t{'offset':16}   {'ref_ctr_offset':16}   {'cookies':16}"
    for row in record["funcs"]:
        text += "\n\t" + "".join(f"0x{row[key]:<16x} " for key in ("offset", "ref_ctr_offset", "cookie"))
    return text


def _no_text(record: Record) -> str:
    return ""


ROWS: dict[str, Row] = {
    "raw_tracepoint": (_picked("tp_name", "cookie"), _raw_tracepoint_text),
    "tracing": (_tracing, _tracing_text),
    "cgroup": (_picked("cgroup_id", "attach_type"), _line("cgroup_id", "attach_type")),
    "iter": (_iter, _iter_text),
    "netns": (_picked("netns_ino", "attach_type"), _line("netns_ino", "attach_type")),
    "xdp": (_device, _device_text),
    "perf_event": (_perf_event, _perf_event_text),
    "kprobe_multi": (_kprobe_multi, _kprobe_multi_text),
    "struct_ops": (_picked("map_id"), _no_text),
    "netfilter": (
        lambda link, details: {
            "pf": details["pf"],
            "hook": details["hooknum"],
            "prio": details["priority"],
            "flags": details["flags"],
        },
        _netfilter_text,
    ),
    "tcx": (_device, _device_text),
    "uprobe_multi": (_uprobe_multi, _uprobe_multi_text),
    "netkit": (_device, _device_text),
    "sockmap": (_picked("map_id", "attach_type"), _line("map_id", "attach_type")),
}
