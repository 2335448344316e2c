"""prog: what programs are loaded, their code, and loading more."""

from __future__ import annotations

import os

from ..errors import Error
from ..escapes import printable
from ..kernel import bpf, proc
from ..objects.owners import owners
from ..objects.prog import Prog
from ..output import dumps
from ..verbs import Args, Usage, later, verb
from . import prog_dump, select
from .listing import Owners, Paths, holders, holders_text, memlock, offload, pinned_paths, pinned_text
from .prog_header import header, header_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

HELP = """
PROG := { id PROG_ID | pinned FILE | tag PROG_TAG | name PROG_NAME }
MAP := { id MAP_ID | pinned FILE | name MAP_NAME }
PLACE := { dev NAME [ingress | egress] | cgroup PATH | netns PATH | map MAP | prog PROG [function NAME] |
           netfilter { ip | ip6 } HOOK PRIORITY | perf_event NAME [freq N | period N] }
HOOK := { prerouting | input | forward | output | postrouting }
ATTACH_TYPE := { sk_msg_verdict | sk_skb_verdict | sk_skb_stream_verdict |
                 sk_skb_stream_parser | flow_dissector }
TYPE := { socket | kprobe | kretprobe | classifier | action | tracepoint | raw_tracepoint |
          xdp | perf_event | cgroup/skb | cgroup/sock | cgroup/dev | lwt_in | lwt_out |
          lwt_xmit | lwt_seg6local | sockops | sk_skb | sk_msg | lirc_mode2 |
          sk_reuseport | flow_dissector | cgroup/sysctl | cgroup/bind4 | cgroup/bind6 |
          cgroup/post_bind4 | cgroup/post_bind6 | cgroup/connect4 | cgroup/connect6 |
          cgroup/connect_unix | cgroup/getpeername4 | cgroup/getpeername6 |
          cgroup/getpeername_unix | cgroup/getsockname4 | cgroup/getsockname6 |
          cgroup/getsockname_unix | cgroup/sendmsg4 | cgroup/sendmsg6 |
          cgroup/sendmsg_unix | cgroup/recvmsg4 | cgroup/recvmsg6 | cgroup/recvmsg_unix |
          cgroup/getsockopt | cgroup/setsockopt | cgroup/sock_release | struct_ops |
          fentry | fexit | freplace | sk_lookup }
METRIC := { cycles | instructions | l1d_loads | llc_misses | itlb_misses | dtlb_misses |
            task_clock | cpu_clock | page_faults | context_switches }
"""
OPTIONS = "lfmnL"
NS_PER_S = 1_000_000_000


def describe(prog: Prog, paths: Paths | None, held: Owners, boot_ns: int) -> dict[str, Any]:
    """The record of `show`. paths: of pinned programs by id, None unless asked for; held: owners by id."""
    info = prog.info
    record = header(prog) | offload(info)
    if info.load_time:
        record |= {"loaded_at": (boot_ns + info.load_time) // NS_PER_S, "uid": info.created_by_uid}
    record |= {"orphaned": False, "bytes_xlated": info.xlated_prog_len, "jited": bool(info.jited_prog_len)}
    if info.jited_prog_len:
        record["bytes_jited"] = info.jited_prog_len
    record |= memlock(prog.fd)
    map_ids = prog.map_ids
    if map_ids:
        record["map_ids"] = map_ids
    if info.btf_id:
        record["btf_id"] = info.btf_id
    record |= pinned_paths(paths, info.id) | holders(held, info.id)
    values = metadata(map_ids)
    if values:
        record["metadata"] = values
    return record


def metadata(map_ids: list[int]) -> dict[str, Any]:
    """The values of `bpf_metadata_*` variables in a program's .rodata, by name without that prefix."""
    if not map_ids:
        return {}
    from ..objects.map import Map

    return Map.metadata(map_ids)


def text(record: dict[str, Any]) -> str:
    """A program as `prog show` prints it."""
    text = header_text(record)
    if "loaded_at" in record:
        import time

        stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(record["loaded_at"]))
        text += f"\n\tloaded_at {stamp}  uid {record['uid']}"
    text += f"\n\txlated {record['bytes_xlated']}B"
    text += f"  jited {record['bytes_jited']}B" if record["jited"] else "  not jited"
    text += f"  memlock {record['bytes_memlock']}B" if "bytes_memlock" in record else ""
    text += "  orphaned" if record["orphaned"] else ""
    if "map_ids" in record:
        text += "  map_ids " + ",".join(map(str, record["map_ids"]))
    text += pinned_text(record)
    text += f"\n\tbtf_id {record['btf_id']}" if "btf_id" in record else ""
    text += holders_text(record)
    if "metadata" in record:
        lines = [f"\n\t\t{printable(name)} = {dumps(value)}" for name, value in record["metadata"].items()]
        text += "\n\tmetadata:" + "".join(lines)
    return text + "\n"


COLUMNS = (
    ("ID", "id", "number"), ("TYPE", "type", "text"), ("NAME", "name", "text"), ("TAG", "tag", "text"),
    ("AGE", "loaded_at", "age"), ("XLATED", "bytes_xlated", "size"), ("JITED", "bytes_jited", "size"),
    ("MEMLOCK", "bytes_memlock", "size"), ("RUNS", "run_cnt", "number"), ("TIME", "run_time_ns", "duration"),
    ("MAPS", "map_ids", "list"), ("HELD BY", "pids", "pids"), ("PINNED", "pinned", "list"),
)  # fmt: skip


@verb("[PROG]", text=text, alias="list", columns=COLUMNS)
def show(args: Args) -> Any:
    """Show loaded programs."""
    if len(args) not in (0, 2):
        raise Error(f"what is '{args.peek()}'?")
    selected = select.progs(args) if args else None
    from ..objects.pins import pins

    paths = pins(bpf.PROG) if args.options.bpffs else None
    held = owners(bpf.PROG)
    boot_ns = proc.boot_time_ns()
    if selected is not None and len(selected) == 1:
        return describe(selected[0], paths, held, boot_ns)
    return rows(selected if selected is not None else Prog.all(), paths, held, boot_ns)


def rows(progs: Iterable[Prog], paths: Paths | None, held: Owners, boot_ns: int) -> Iterator[dict[str, Any]]:
    """One record per program, each closed when it is described."""
    for prog in progs:
        with prog:
            yield describe(prog, paths, held, boot_ns)


@verb(
    "{ xlated | jited } PROG [{ file FILE | opcodes | linum | visual [{ svg | png | pdf } FILE] }]...",
    text=prog_dump.text,
)
def dump(args: Args) -> Any:
    """Show a program's translated or native instructions."""
    kind = args.accept("jited", "xlated")
    if kind is None:
        raise Error(f"expected 'xlated' or 'jited', got: {args.peek() or 'nothing'}")
    if len(args) < 2:
        raise Usage("")
    selected = select.progs(args)
    options = prog_dump.Options(args)
    if len(selected) == 1:
        return prog_dump.KINDS[kind](selected[0], options)
    if options.file or (options.visual and kind == "xlated"):
        raise Error("several programs matched")
    return prog_dump.several(kind, selected, options)


@verb("PROG FILE")
def pin(args: Args) -> None:
    """Pin a program."""
    args.require(3)
    prog = select.prog(args)
    path = args.next("file path")
    args.end()
    proc.require_bpffs(os.path.dirname(path) or ".", args.options.nomount)
    prog.pin(path)


LOAD_OPTIONS = (
    "[type TYPE] [{ offload_dev | xdpmeta_dev } DEVICE] [map { idx IDX | name NAME } MAP]... [pinmaps DIR] "
    "[autoattach [to PLACE]...] [kernel_btf BTF_FILE]"
)


@verb(f"OBJ PATH {LOAD_OPTIONS}")
def load(args: Args) -> Any:
    """Load the first program of an object file and pin it."""
    from . import prog_load

    return prog_load.run_loader(args) if args.options.use_loader else prog_load.run(args)


@verb(f"OBJ DIR {LOAD_OPTIONS}")
def loadall(args: Args) -> None:
    """Load all programs of an object file and pin them in a directory."""
    from . import prog_load

    prog_load.run(args, every=True)


@verb("PROG ATTACH_TYPE [MAP]")
def attach(args: Args) -> None:
    """Attach a program to the sockets of a map, or as flow dissector."""
    from . import prog_attach

    prog_attach.run(args, attach=True)


@verb("PROG ATTACH_TYPE [MAP]")
def detach(args: Args) -> None:
    """Detach a program from the sockets of a map, or as flow dissector."""
    from . import prog_attach

    prog_attach.run(args, attach=False)


@verb("[{ stdout | stderr } PROG]")
def tracelog(args: Args) -> Any:
    """Show what programs print, until interrupted."""
    from . import prog_tracelog

    return prog_tracelog.run(args)


RUN_OPTIONS = "[data_in F] [data_out F [data_size_out N]] [ctx_in F] [ctx_out F [ctx_size_out N]] [repeat N]"


@verb(f"PROG {RUN_OPTIONS}", text=later("prog_run.text"))
def run(args: Args) -> Any:
    """Run a program by hand, on data and context from files."""
    from . import prog_run

    return prog_run.run(args)


@verb("PROG [duration SECONDS] METRIC...", text=later("prog_profile.text"))
def profile(args: Args) -> Any:
    """Count what happens while a program runs."""
    from . import prog_profile

    return prog_profile.run(args)
