"""One scenario of real kernel objects: programs, maps, links, BTF of every kind that loads here, pinned in a sandbox.

usage: python -m tests.scenario TARGET CGROUP     hold what only a process can hold (sockets, events) until stdin ends
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bcctool.elf.native import NativeElf
from bcctool.kernel import bpf, perf, proc, uapi
from bcctool.objects.map import Map
from bcctool.objects.prog import Prog

PINS = "/sys/fs/bpf/s"
ODD = f"{PINS}/odd"
SALT = str(os.getpid())
"""In the names and tags of what is selected by them: others may run the same programs."""
OBJECTS = ("types", "progs", "maps", "wide", "arena")
FAMILIES = ("prog", "map", "link")

# pin → type, sizes of key and value in bytes, entries, name; made without BTF
PLAIN = {
    "hash": ("hash", 4, 8, 8, "sc_plain"),
    "hash16_8": ("hash", 16, 8, 2, "sc_plain"),
    "hash16_9": ("hash", 16, 9, 2, "sc_plain"),
    "hash17_1": ("hash", 17, 1, 2, "sc_plain"),
    "hash1_17": ("hash", 1, 17, 2, "sc_plain"),
    "array": ("array", 4, 20, 3, "sc_plain"),
    "lru": ("lru_hash", 8, 4, 2, "sc_plain"),
    "cpus": ("percpu_hash", 4, 4, 2, "sc_plain"),
    "cpus17": ("percpu_array", 4, 17, 2, "sc_plain"),
    "trie": ("lpm_trie", 8, 4, 4, "sc_plain flags 1"),
    "progs": ("prog_array", 4, 4, 3, "sc_plain"),
    "queue": ("queue", 0, 4, 3, "sc_plain"),
    "stack": ("stack", 0, 20, 3, "sc_plain"),
    "bloom": ("bloom_filter", 0, 4, 3, "sc_plain"),
    "ring": ("ringbuf", 0, 0, 4096, "sc_plain"),
    "traces": ("stack_trace", 4, 80, 2, "sc_plain"),
    "reuse4": ("reuseport_sockarray", 4, 4, 2, "sc_plain"),
    "sockets4": ("sockmap", 4, 4, 2, "sc_plain"),
    "frozen": ("array", 4, 4, 1, "sc_frozen"),
    "twin1": ("hash", 4, 4, 4, f"twin_{SALT}"),
    "twin2": ("hash", 4, 4, 4, f"twin_{SALT}"),
    "solo": ("array", 4, 4, 2, f"solo_{SALT}"),
}
FILLED = ("hash", "hash16_8", "hash16_9", "hash17_1", "hash1_17", "array", "lru", "cpus", "twin1", "solo")
NETWORK = """
ip link add s0 index 50 type veth peer name s1 index 51
ip link add s2 index 52 type veth peer name s3 index 53
bpftool net attach xdp pinned @/types/p_xdp dev s0
bpftool net attach xdpgeneric pinned @/types/p_xdp dev s2
tc qdisc add dev s0 clsact
tc filter add dev s0 ingress bpf object-pinned @/types/p_classifier da
tc filter add dev s0 egress prio 3 bpf object-pinned @/types/p_classifier da
tc qdisc add dev s2 root handle 1: htb
tc class add dev s2 parent 1: classid 1:10 htb rate 1mbit
tc filter add dev s2 parent 1: bpf object-pinned @/types/p_classifier flowid 1:10
tc qdisc add dev s3 handle ffff: ingress
tc filter add dev s3 ingress bpf object-pinned @/types/p_classifier
"""
CGROUP = """
bpftool cgroup attach CGROUP ingress pinned @/types/p_cgroup_skb multi
bpftool cgroup attach CGROUP egress pinned @/maps/uses_storage multi
bpftool cgroup attach CGROUP sock_create pinned @/types/p_cgroup_sock multi
bpftool cgroup attach CGROUP device pinned @/types/p_cgroup_device override
bpftool cgroup attach CGROUP/child connect4 pinned @/types/p_cgroup_sock_addr
bpftool cgroup attach CGROUP/child sysctl pinned @/types/p_cgroup_sysctl
"""
ENTRIES = """
pinned @/m/sc_ints key 7 0 0 0 value 0 0 0 0 0 0 0 128
pinned @/m/sc_ints key 1 0 0 0 value 2 0 0 0 0 0 0 0
pinned @/m/sc_flat key 1 0 0 0 value 1 0 0 0 255 255 255 255 9 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1
pinned @/m/sc_cpus key 1 0 0 0 value 1 0 0 0 255 255 255 255 9 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1
pinned @/m/sc_cpu_hash key 3 0 0 0 97 98 0 0 value 200 1 0 0
pinned @/m/sc_names key 1 0 0 0 value 104 105 0 0 0 0 0 0
pinned @/m/sc_lru key 1 0 0 0 value 5 0 0 0
pinned @/m/sc_lru key 2 0 0 0 value 253 255 255 255
pinned @/m/sc_lru key 3 0 0 0 value 9 0 0 0
pinned @/m/sc_lru_cpus key 1 0 0 0 value 1 2 3 4 5 6 7 8
pinned @/m/sc_bytes key 1 0 0 0 value 200
pinned @/m/sc_floats key 1 0 0 0 value hex 01 00 00 00 00 00 c0 3f 00 00 00 00 00 00 04 c0 00 00 00 00 00 00 00 00 02 00 00 00 00 00 00 00
pinned @/m/sc_trie key 32 0 0 0 10 1 2 3 value 1 0 0 0 0 0 0 0
pinned @/m/sc_trie key 8 0 0 0 10 0 0 0 value 2 0 0 0 0 0 0 0
pinned @/m/sc_inner1 key 1 0 0 0 value 11 0 0 0 0 0 0 0
pinned @/m/sc_inner2 key 2 0 0 0 value 22 0 0 0 0 0 0 0
pinned @/m/sc_queue value 1 0 0 0 0 0 0 0
pinned @/m/sc_stack value 255 0 0 0 9 0 0 0
pinned @/m/sc_bloom value 1 0 0 0 0 0 0 0
pinned @/m/sc_devices key 1 0 0 0 value 50 0 0 0 0 0 0 0
pinned @/m/sc_device_hash key 9 0 0 0 value 51 0 0 0 0 0 0 0
pinned @/m/sc_cpu_map key 0 0 0 0 value 192 0 0 0 0 0 0 0
pinned @/m/trie key 24 0 0 0 10 1 2 0 value 1 2 3 4
pinned @/m/progs key 1 0 0 0 value pinned @/types/p_xdp
pinned @/m/stack value 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19
"""  # noqa: E501 (an entry a line)
WIDE = "pinned @/m/sc_wides key 1 0 0 0 value hex bc 9a 78 56 34 12 00 00 44 65 87 a9 cb ed ff ff"
LINKED = "to dev s1 to cgroup CGROUP to netns /proc/self/ns/net to netfilter ip output -77 to perf_event cpu-clock " \
         "to map pinned @/m/sc_sockets"  # fmt: skip

Compile = Callable[..., Path]


class Scenario:
    """What was built: `ids` by pin (`p/NAME` programs, `m/NAME` maps, `l/NAME` links), paths of object files."""

    def __init__(self, box: Any, cgroup: str, holder: int) -> None:
        self.box, self.cgroup, self.holder = box, cgroup, holder
        self.ids: dict[str, int] = {}
        self.objects: dict[str, Path] = {}
        self.words: dict[str, object] = {}
        """What stands for a name in braces in a command line; ids as numbers, for formats such as {m/hash:#x}."""

    def words_of(self, command: str) -> list[str]:
        """A command line with its names filled in. KeyError for an object that is not there (see OPTIONAL)."""
        return [word.format_map(self.words).replace("@/", f"{PINS}/") for word in shlex.split(command)]

    def of(self, *kinds: str) -> set[int]:
        """The ids of some kinds: p programs, lp those of links, m maps, l links, b BTF objects."""
        return {id for name, id in self.ids.items() if name.partition("/")[0] in kinds}


def lines(text: str, cgroup: str = "") -> Iterator[list[str]]:
    for line in text.strip().splitlines():
        yield line.replace("@/", f"{PINS}/").replace("CGROUP", cgroup).split()


def create(pin: str, type: str, key: int, value: int, entries: int, name: str) -> str:
    return f"map create {PINS}/m/{pin} type {type} key {key} value {value} entries {entries} name {name}"


def bytes_of(start: int, count: int, step: int = 37) -> str:
    """Words for all kinds of bytes."""
    return " ".join([str((start + at * step) % 256) for at in range(count)])


def entries(size_of_shapes: int) -> Iterator[str]:
    """The updates of a batch file."""
    for pin in FILLED:
        _, key, value, count, _ = PLAIN[pin]
        for entry in range(min(count, 2)):
            yield f"map update pinned {PINS}/m/{pin} key {entry}{' 0' * (key - 1)} value {bytes_of(entry, value)}"
    shapes = f"map update pinned {PINS}/m/sc_shapes key"
    yield f"{shapes} 0 0 0 0 122 101 114 111 value {' '.join(['0'] * size_of_shapes)}"
    yield f"{shapes} 1 0 0 0 97 108 108 0 value {bytes_of(1, size_of_shapes)}"
    texts = " ".join([str(97 + at % 26 if at % 4 != 3 else 0) for at in range(size_of_shapes)])
    yield f"{shapes} 2 0 0 0 98 0 0 0 value {texts}"
    for words in lines(ENTRIES):
        yield " ".join(["map", "update", *words])


@contextlib.contextmanager
def scenario(box: Any, cgroup: Path, target: str, compile_c: Compile) -> Iterator[Scenario]:
    """Build everything in a sandbox; `cgroup` is an empty cgroup, `target` what attach_target.c became."""
    found = Scenario(box, str(cgroup), 0)
    (cgroup / "child").mkdir()
    found.objects = compiled(compile_c, target)
    box.run("mkdir", "-p", f"{PINS}/m", ODD)
    for name in OBJECTS:
        if name in found.objects:
            box.bcctool("prog", "loadall", found.objects[name], f"{PINS}/{name}", "pinmaps", f"{PINS}/m")
    made = [create(pin, *row) for pin, row in PLAIN.items()]
    made.append(create("maps", "array_of_maps", 4, 4, 2, "sc_plain") + f" inner_map pinned {PINS}/m/hash")
    size = json.loads(box.run("bpftool", "-j", "map", "show", "pinned", f"{PINS}/m/sc_shapes").stdout)["bytes_value"]
    for words in lines(NETWORK):
        box.run(*words)
    made += [*entries(size), f"map update pinned {PINS}/m/maps key 1 0 0 0 value pinned {PINS}/m/hash",
             f"map freeze pinned {PINS}/m/frozen", f"map freeze pinned {PINS}/m/sc_names"]  # fmt: skip
    if "wide" in found.objects:
        made += [" ".join(["map", "update", *words]) for words in lines(WIDE)]
    box.run("bpftool", "batch", "file", "-", input="\n".join(made))
    for words in lines(CGROUP, str(cgroup)):
        box.run(*words)
    places = next(lines(LINKED, str(cgroup)))
    box.bcctool("prog", "loadall", found.objects["links"], f"{PINS}/links", "autoattach", *places)
    box.bcctool("iter", "pin", found.objects["iter"], f"{PINS}/links/l_iter_map", "map", "pinned", f"{PINS}/m/sc_flat")
    for name in ("with space", "ünïcode", 'quo"te'):
        box.bcctool("map", "pin", "pinned", f"{PINS}/m/solo", f"{ODD}/{name}")
    with held(box, target, str(cgroup)) as found.holder:
        identify(found, target)
        yield found


def compiled(compile_c: Compile, target: str) -> dict[str, Path]:
    """The objects by name; those of newer compilers only where these are installed."""
    found = {
        "types": compile_c("prog_types.c", "-g"),
        "progs": compile_c("scenario_progs.c", "-g", f"-DSALT={SALT}"),
        "maps": compile_c("scenario_maps.c", "-g"),
        "links": compile_c("scenario_links.c", "-g", f'-DPROGRAM="{target}"'),
        "iter": compile_c("iter_pin.c", "-g"),
    }
    if shutil.which("clang-16"):
        found["wide"] = compile_c("scenario_wide.c", "-g", compiler="clang-16")
    if shutil.which("clang-19"):
        found["arena"] = compile_c("map_arena.c", "-g", compiler="clang-19")
    return found


@contextlib.contextmanager
def held(box: Any, target: str, cgroup: str) -> Iterator[int]:
    """The pid of a process in the sandbox that holds what can't be pinned."""
    enter = ("nsenter", "-t", str(box.holder.pid), "-m", "-n", "--")
    words = (*enter, sys.executable, "-m", "tests.scenario", target, cgroup)
    root = Path(__file__).resolve().parent.parent
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield process.pid
        finally:
            process.kill()


def identify(found: Scenario, target: str) -> None:
    """Read the ids of all that is pinned, and what names objects otherwise."""
    shown = {family: json.loads(found.box.run("bpftool", "-jf", family, "show").stdout) for family in FAMILIES}
    progs = {record["id"]: record for record in shown["prog"]}
    for family, records in shown.items():
        for record in records:
            for path in record.get("pinned", ()):
                if path.startswith(f"{PINS}/") and not path.startswith(ODD):
                    name = f"{family[0]}/{os.path.basename(path)}"
                    found.ids[name] = record["id"]
                    found.words[name] = record["id"]
                    describe(found, name, progs.get(record["prog_id"], {}) if family == "link" else record)
    found.words |= {"salt": SALT, "cgroup": found.cgroup, "pid": found.holder, "target": target}
    found.words |= {f"o/{name}": str(path) for name, path in found.objects.items()}


def describe(found: Scenario, name: str, record: dict[str, Any]) -> None:
    """`b/NAME` the BTF of a program or map, `t/NAME` a program's tag, `lp/NAME` the program of a link."""
    base = name.partition("/")[2]
    if "btf_id" in record:
        found.words.setdefault(f"b/{base}", record["btf_id"])
        found.ids[f"b/{name}"] = record["btf_id"]
    if "tag" in record:
        found.words[f"t/{base}"] = record["tag"]
    if name.startswith("l/") and record:
        found.ids[f"lp/{base}"] = record["id"]
        found.words[f"lp/{base}"] = record["id"]


def hold(target: str, cgroup: str) -> None:
    """Fill the maps that take descriptors, and hold programs at perf events; what is held ends with this process."""
    kept: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        kept += [client, server.accept()[0]]
    for name, key, sock in (("sc_sockets", 0, kept[0]), ("sc_socket_hash", 7, kept[1])):
        put(name, key, sock.fileno(), 8)
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    put("sc_reuseport", 1, listening.fileno(), 8)
    put("sc_perf", 0, perf.event(uapi.PERF_TYPE_SOFTWARE, uapi.PERF_COUNT_SW_BPF_OUTPUT, 0), 4)
    put("sc_cgroups", 1, os.open(cgroup, os.O_RDONLY), 4)
    names = ("types/p_raw_tracepoint", "types/p_tracepoint", "progs/at_function")
    progs = {name: Prog.from_pin(f"{PINS}/{name}") for name in names}
    kept += [listening, bpf.raw_tracepoint_open(progs["types/p_raw_tracepoint"].fd, "sched_switch")]
    number = int(Path(proc.tracefs(), "events/syscalls/sys_enter_getpgid/id").read_text())
    perf.set_program(perf.event(uapi.PERF_TYPE_TRACEPOINT, number, 0), progs["types/p_tracepoint"].fd)
    path = ctypes.create_string_buffer(target.encode())
    with NativeElf(target) as elf:
        offset = elf.function_offset("called")
    type = int(Path("/sys/bus/event_source/devices/uprobe/type").read_text())
    perf.set_program(perf.event(type, 0, 0, ctypes.addressof(path), offset), progs["progs/at_function"].fd)
    for prog in progs.values():
        prog.close()
    print("ready", flush=True)
    sys.stdin.read()


def put(name: str, key: int, fd: int, size: int) -> None:
    """Put a descriptor into a pinned map, whose keys have 4 bytes."""
    with Map.from_pin(f"{PINS}/m/{name}") as map_:
        map_.update(key.to_bytes(4, sys.byteorder), fd.to_bytes(size, sys.byteorder), 0)


if __name__ == "__main__":
    hold(*sys.argv[1:])
