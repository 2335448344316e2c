"""link show, links of perf events: tracepoints, probes, and events by the names that perf(1) has for them."""

from __future__ import annotations

from ..escapes import printable
from ..kernel import uapi
from ..objects.link import PERF_STRUCTS, RETURN_PROBES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Record = dict[str, Any]

# linux/perf_event.h: enum perf_type_id, perf_hw_id, perf_sw_ids, perf_hw_cache_id, _op_id, _op_result_id
TYPES = ("hardware", "software", "tracepoint", "hw-cache", "raw", "breakpoint")
HARDWARE = (
    "cpu-cycles", "instructions", "cache-references", "cache-misses", "branch-instructions", "branch-misses",
    "bus-cycles", "stalled-cycles-frontend", "stalled-cycles-backend", "ref-cycles",
)  # fmt: skip
SOFTWARE = (
    "cpu-clock", "task-clock", "page-faults", "context-switches", "cpu-migrations", "minor-faults", "major-faults",
    "alignment-faults", "emulation-faults", "dummy", "bpf-output", "cgroup-switches",
)  # fmt: skip
CACHES = ("L1-dcache", "L1-icache", "LLC", "dTLB", "iTLB", "branch", "node")
CACHE_OPS = ("load", "store", "prefetch")
CACHE_RESULTS = ("refs", "misses")
# The kernel has a PMU of its own for each clock, the first two to get numbers, and says that instead of "software".
CLOCKS = {uapi.PERF_TYPE_MAX: uapi.PERF_COUNT_SW_CPU_CLOCK, uapi.PERF_TYPE_MAX + 1: uapi.PERF_COUNT_SW_TASK_CLOCK}


def fields(details: Record) -> Record:
    """The fields of a link of a perf event in JSON; none where the kernel tells nothing (before Linux 6.6)."""
    kind = PERF_STRUCTS.get(details.get("kind", 0), "")
    returns = details.get("kind") in RETURN_PROBES
    if kind == "tracepoint":
        return {"tracepoint": details["tp_name"], "cookie": details["cookie"]}
    if kind == "uprobe":
        place = {"retprobe": returns, "file": details["file_name"], "offset": details["offset"]}
        return place | {"cookie": details["cookie"], "ref_ctr_offset": details["ref_ctr_offset"]}
    if kind == "kprobe":
        place = {"retprobe": returns, "addr": details["addr"], "func": details["func_name"]}
        return place | {key: details[key] for key in ("offset", "missed", "cookie")}
    if kind == "event":
        type_, config = event(details["type"], details["config"])
        return {"event_type": type_, "event_config": config, "cookie": details["cookie"]}
    return {}


def event(type_: int, config: int) -> tuple[str | int, str | int]:
    """Type and config of an event, by name where they have one."""
    if type_ in CLOCKS:
        type_, config = uapi.PERF_TYPE_SOFTWARE, CLOCKS[type_]
    name = TYPES[type_] if type_ < len(TYPES) else type_
    if name == "hw-cache":
        return name, cache(config)
    names = {"hardware": HARDWARE, "software": SOFTWARE}.get(str(name), ())
    return name, names[config] if config < len(names) else config


def cache(config: int) -> str:
    """`L1-dcache-load-misses`; numbers in the place of what has no name."""
    parts = ((CACHES, config & 0xFF), (CACHE_OPS, config >> 8 & 0xFF), (CACHE_RESULTS, config >> 16))
    return "-".join(names[number] if number < len(names) else str(number) for names, number in parts)


def text(record: Record) -> str:
    """The place of a perf event's program, on a line that starts with the newline."""
    cookie = f"cookie {record['cookie']}  " if record.get("cookie") else ""
    if "tracepoint" in record:
        return f"\n\ttracepoint {printable(record['tracepoint'])}  {cookie}"
    if "file" in record:
        kind = "uretprobe" if record["retprobe"] else "uprobe"
        counter = f"ref_ctr_offset 0x{record['ref_ctr_offset']:x}  " if record["ref_ctr_offset"] else ""
        return f"\n\t{kind} {printable(record['file'])}+0x{record['offset']:x}  {cookie}{counter}"
    if "func" in record:
        return kprobe_text(record)
    if "event_type" in record:
        type_ = record["event_type"]
        return f"\n\tevent {f'{type_} ' if isinstance(type_, int) else type_}:{record['event_config']}  {cookie}"
    return ""


def kprobe_text(record: Record) -> str:
    """`kprobe ADDRESS FUNCTION+0xOFFSET`; those by address have no function, the address is hidden from some."""
    words = f"{record['addr']:x} " if record["addr"] else ""
    words += printable(record["func"]) + (f"+0x{record['offset']:x}" if record["offset"] else "")
    for key in ("missed", "cookie"):
        words += f"  {key} {record[key]}" if record[key] else ""
    return f"\n\t{'kretprobe' if record['retprobe'] else 'kprobe'} {words}  "
