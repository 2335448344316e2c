"""What scripts/bench measures: its rows, one claim each, and the kernel objects that they need.

A fixture is a generator that runs in a process of its own: it makes what its rows measure, yields, and takes away what
does not go with the process or with its namespaces. It raises Cannot where the machine lacks something for it.
"""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import sys
from array import array

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Fixture = Callable[[], Iterator[None]]

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
sys.path.insert(0, ROOT)  # the fixtures use bcctool as a library
BCCTOOL = os.environ.get("BCCTOOL") or os.path.join(ROOT, ".venv/bin/bcctool")
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
BPFFS = "/sys/fs/bpf"
TRACEFS = "/sys/kernel/tracing"
VMLINUX = "/sys/kernel/btf/vmlinux"
CLANG = ("clang", "-O2", "-g", "-target", "bpf", "-c")
LOADED = f"{BPFFS}/loaded"
OBJECTS, MORE = 100, 400  # programs, maps, BTF objects, and places in `perf show`
LINKS, MORE_LINKS = 40, 160
CROWD, CROWD_FILES = 1000, 50
SMALL, MIDDLE, LARGE = SIZES = (10_000, 100_000, 1_000_000)
INTERFACES, CGROUPS = 200, 1000
with open("/proc/self/mounts") as mounts:
    CGROUP = next((words[1] for words in map(str.split, mounts) if words[2] == "cgroup2"), "/sys/fs/cgroup")
CGROUP += f"/bcctool-bench-{os.getpid()}"


class Cannot(Exception):
    """What the machine or a tool lacks for a row."""


def run(*command: str) -> None:
    """Run a command of a fixture; what it prints is shown only if it fails."""
    log = os.memfd_create("log")
    redirect = [(os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
    try:
        pid = os.posix_spawnp(command[0], command, {**os.environ, "PATH": PATH}, file_actions=redirect)
        if os.waitpid(pid, 0)[1]:
            raise Cannot(f"`{' '.join(command)}`: {os.pread(log, 300, 0).decode(errors='replace').strip()}")
    except FileNotFoundError:
        raise Cannot(f"no {command[0]}") from None
    finally:
        os.close(log)


def compile_c(name: str, source: str, *flags: str) -> None:
    """Compile C to NAME.o in the working directory."""
    with open(f"{name}.c", "w") as file:
        file.write(source)
    run(*CLANG, *flags, f"{name}.c", "-o", f"{name}.o")


def nothing() -> Iterator[None]:
    """Rows that read files need nothing loaded."""
    yield


# --- Listings -------------------------------------------------------------------------------------------------------

PLACES_C = """
#define PROGRAM(where, name) __attribute__((section(where), used)) int name(void *ctx) { return 1; }
PROGRAM("raw_tp/sched_process_exec", on_raw_tp)
PROGRAM("tp/syscalls/sys_enter_getpgid", on_tp)
PROGRAM("xdp", on_xdp)
PROGRAM("sk_lookup", on_sk_lookup)
PROGRAM("cgroup_skb/egress", on_egress)
char _license[] __attribute__((section("license"), used)) = "GPL";
"""
SK_LOOKUP, XDP, PERF_EVENT, PERF_TYPE_TRACEPOINT = 36, 37, 41, 2


def objects(count: int = OBJECTS, links: int = LINKS) -> Iterator[None]:
    """Programs, each with a map and a BTF object of its own; links of four types; programs at perf events."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    run(*CLANG, f"{ROOT}/tutorial/counter.c", "-D", "BTF", "-o", "counter.o")
    for number in range(count):
        run("bpftool", "prog", "load", "counter.o", f"{BPFFS}/{number}", "type", "xdp")
    attach(count, links)
    yield
    remove_interfaces()


def attach(count: int, links: int) -> None:
    """Links of four types as said, and perf events with a program, so that so many are in `perf show`."""
    from bcctool.kernel import bpf, perf

    each = links // 4
    compile_c("places", PLACES_C)
    run("bpftool", "prog", "loadall", "places.o", f"{BPFFS}/places")
    progs = [bpf.obj_get(f"{BPFFS}/places/on_{name}") for name in ("raw_tp", "tp", "xdp", "sk_lookup")]
    raw_tp, tp, xdp, sk_lookup = progs
    events = [perf.event(PERF_TYPE_TRACEPOINT, id, 0) for id in tracepoints(count)]
    netns = os.open("/proc/self/ns/net", os.O_RDONLY)
    for number in range(each):
        bpf.raw_tracepoint_open(raw_tp, "sched_process_exec")
        bpf.link_create(tp, events[number], PERF_EVENT)
        bpf.link_create(sk_lookup, netns, SK_LOOKUP)
    for index in interfaces(each)[:each]:
        bpf.link_create(xdp, index, XDP)
    for event in events[each:]:
        perf.set_program(event, tp)


def tracepoints(count: int) -> list[int]:
    """The ids of so many tracepoints at system calls, none that our commands make."""
    if not os.path.isdir(f"{TRACEFS}/events"):
        run("mount", "-t", "tracefs", "tracefs", TRACEFS)
    folder = f"{TRACEFS}/events/syscalls"
    rare = [name for name in os.listdir(folder) if name.startswith("sys_") and not any(word in name for word in COMMON)]
    ids = []
    for name in sorted(rare)[:count]:
        with open(f"{folder}/{name}/id") as file:
            ids.append(int(file.read()))
    if len(ids) < count:
        raise Cannot(f"no {count} tracepoints in {folder}")
    return ids


COMMON = ("read", "write", "open", "close", "stat", "dents", "map", "mprotect", "bpf", "seek", "ioctl", "exec", "brk")


def more_objects() -> Iterator[None]:
    """Four times as much."""
    return objects(MORE, MORE_LINKS)


def crowd() -> Iterator[None]:
    """The objects, and a thousand processes with fifty open files each: files, sockets and event descriptors."""
    until_closed, keep_open = os.pipe()
    files = [os.open((VMLINUX, os.devnull)[number % 2], os.O_RDONLY) for number in range(CROWD_FILES // 2)]
    files += [os.dup(fd) for fd in socket_pair() for _ in range(CROWD_FILES // 10)]
    files += [os.eventfd(0) for _ in range(CROWD_FILES - len(files) - 7)]  # standard ones, pipes and sockets are seven
    pids = []
    for _ in range(CROWD):
        pid = os.fork()
        if not pid:
            os.close(keep_open)
            os.read(until_closed, 1)
            os._exit(0)
        pids.append(pid)
    for fd in files:
        os.close(fd)
    try:
        yield from objects()
    finally:
        os.close(keep_open)
        for pid in pids:
            os.waitpid(pid, 0)


def socket_pair() -> tuple[int, int]:
    """Two descriptors of sockets."""
    import socket

    ours, theirs = socket.socketpair()
    return ours.detach(), theirs.detach()


# --- Maps -----------------------------------------------------------------------------------------------------------

TYPED_C = """
struct value { %s };
struct {
    int (*type)[1];
    int (*max_entries)[%d];
    unsigned int *key;
    struct value *value;
} %s __attribute__((section(".maps"), used));
__attribute__((section("socket"), used)) int use(void *ctx) { unsigned int key = 0;
    return ((void *(*)(void *, void *))1)(&%s, &key) != 0; }
"""
MEMBERS = ("unsigned long long", "unsigned int", "int", "unsigned short", "unsigned char", "long long")
STRUCT_SIZES = {3: SIZES, 12: (SMALL, MIDDLE), 40: (SMALL, MIDDLE)}
BATCH = 50_000


def of_type(type_: str) -> Fixture:
    """Maps of a type, without BTF: keys of 4 bytes (in a tree, prefixes of 32 bits), values of 8, of all sizes."""

    def fixture() -> Iterator[None]:
        tree = type_ == "lpm_trie"
        for size in SIZES:
            # An LRU map of so many entries lets go of some before it is full.
            room = size * 2 if type_ == "lru_hash" else size
            words = f"type {type_} key {8 if tree else 4} value 8 entries {room} name plain flags {1 if tree else 0}"
            run("bpftool", "map", "create", f"{BPFFS}/{type_}_{size}", *words.split())
            cpus = possible_cpus() if type_ == "percpu_hash" else 1
            fill(f"{BPFFS}/{type_}_{size}", size, 8 * cpus, prefixes=tree)
        if type_ == "hash":
            run("bpftool", "map", "create", f"{BPFFS}/hash_empty", *words.split())
            run("sh", "-c", f"{BCCTOOL} -j map dump pinned {BPFFS}/hash_{LARGE} >hash.json; ls hash.json")
        yield

    return fixture


def of_struct(count: int) -> Fixture:
    """Hash maps with BTF, whose values are structs of so many members, integers of all widths."""

    def fixture() -> Iterator[None]:
        types = [MEMBERS[number % len(MEMBERS)] for number in range(count)]
        members = " ".join(f"{type_} member_{number};" for number, type_ in enumerate(types))
        for size in STRUCT_SIZES[count]:
            name = f"struct{count}_{size}"
            compile_c(name, TYPED_C % (members, size, name, name))
            run("bpftool", "prog", "load", f"{name}.o", f"{BPFFS}/use_{name}", "type", "socket", "pinmaps", BPFFS)
            fill(f"{BPFFS}/{name}", size)
        yield

    return fixture


def fill(path: str, count: int, value_size: int = 0, prefixes: bool = False) -> None:
    """Give every entry of a map a key and a value, in batches. value_size: of all CPUs, as the map's own by default."""
    import random

    from bcctool.kernel import bpf, libbpf, uapi

    fd, numbers = bpf.obj_get(path), random.Random(1)
    info = uapi.map_info()
    bpf.fill_info(fd, info)
    for start in range(0, count, BATCH):
        size = min(BATCH, count - start)
        keys = array("I", range(start, start + size))
        if prefixes:
            pairs = array("I", [32]) * (2 * size)
            pairs[1::2] = keys
            keys = pairs
        values = numbers.randbytes(size * (value_size or info.value_size))
        libbpf.call("bpf_map_update_batch", fd, keys.tobytes(), values, ctypes.byref(ctypes.c_uint32(size)), None)
    os.close(fd)


def possible_cpus() -> int:
    """How many values an entry of a per-CPU map has."""
    with open("/sys/devices/system/cpu/possible") as file:
        return int(file.read().rpartition(",")[2].rpartition("-")[2]) + 1


# --- The rest -------------------------------------------------------------------------------------------------------

LONG_C = """
struct { int (*type)[2]; int (*max_entries)[1024]; unsigned int *key; unsigned long long *value; }
    counts __attribute__((section(".maps"), used));
static void *(*lookup)(void *map, const void *key) = (void *)1;
__attribute__((section("xdp"), used)) int long_one(void *ctx)
{
    unsigned int key;
    unsigned long long *value, sum = 0;
%s    return sum & 1 ? 2 : 1;
}
char _license[] __attribute__((section("license"), used)) = "GPL";
"""
STEP = "    key = {0};\n    value = lookup(&counts, &key);\n    if (value)\n        sum += *value += sum ^ {0};\n"
STEPS = 364  # of eleven instructions


def long_program() -> Iterator[None]:
    """A program of about four thousand instructions, with BTF and lines; a packet for it."""
    compile_c("long", LONG_C % "".join(STEP.format(number) for number in range(STEPS)))
    run("bpftool", "prog", "load", "long.o", f"{BPFFS}/long")
    run(BCCTOOL, "prog", "dump", "jited", "pinned", f"{BPFFS}/long", "file", "code")
    with open("packet", "wb") as file:
        file.write(bytes(64))
    yield


def legacy() -> Iterator[None]:
    """An object with a map as before BTF, and its twin with BTF, which Debian's bpftool can still load."""
    run("clang", "-O2", "-target", "bpf", "-c", f"{ROOT}/tutorial/counter.c", "-o", "legacy.o")
    run(*CLANG, f"{ROOT}/tutorial/counter.c", "-D", "BTF", "-o", "counter.o")
    yield


def tools() -> Iterator[None]:
    """The objects that two of libbpf-tools carry, and BTF for relocations."""
    for tool in ("execsnoop", "biolatency"):
        run("sh", "-c", f"{BCCTOOL} object extract {shutil.which(tool, path=PATH) or tool} . >extracted")
    yield


def cgroups() -> Iterator[None]:
    """A thousand cgroups, three levels deep; a program is attached to those of the first."""
    top = CGROUP
    compile_c("places", PLACES_C)
    run("bpftool", "prog", "loadall", "places.o", f"{BPFFS}/places")
    try:
        os.mkdir(top)
    except OSError as error:
        raise Cannot(f"no cgroup {top}: {error.strerror}") from None
    try:
        made = [top]
        for number in range(1, CGROUPS):
            made.append(f"{made[(number - 1) // 10]}/{number}")
            os.mkdir(made[-1])
        for path in made[1:11]:
            run("bpftool", "cgroup", "attach", path, "egress", "pinned", f"{BPFFS}/places/on_egress", "multi")
        yield
    finally:
        for path in reversed(made):
            os.rmdir(path)


def interfaces(count: int) -> list[int]:
    """Make pairs of veth interfaces, `count` in all (an even number); their indexes."""
    import socket

    with open("pairs", "w") as file:
        file.writelines(f"link add v{number} group 7 type veth peer name w{number}\n" for number in range(count // 2))
    run("ip", "-batch", "pairs")
    return [index for index, name in socket.if_nameindex() if name[0] in "vw"]


def remove_interfaces() -> None:
    """Take away what `interfaces` made: those of its group, and with them the other ends."""
    run("ip", "link", "delete", "group", "7")


def network() -> Iterator[None]:
    """Two hundred interfaces; XDP programs on ten."""
    compile_c("places", PLACES_C)
    run("bpftool", "prog", "loadall", "places.o", f"{BPFFS}/places")
    interfaces(INTERFACES)
    for number in range(10):
        run("bpftool", "net", "attach", "xdp", "pinned", f"{BPFFS}/places/on_xdp", "dev", f"v{number}")
    yield
    remove_interfaces()


# --- Rows -----------------------------------------------------------------------------------------------------------

RATIO, OVER_PYTHON, TIME = "x", "ms over Python", "ms"


class Row:
    """One claim: `words` for both tools, pairs to run, and how much more than the yardstick is allowed.

    limit: none where the row is there for its neighbours. unit: RATIO to bpftool's time; OVER_PYTHON, milliseconds more
    than a bare Python; TIME, milliseconds. theirs: bpftool's words for the same work, where they are others; shell: the
    same by something else. start_ms: what is left out of the ratio, for starting Python and what it imports.
    remove: what a run leaves, to be taken away after it. note: what tells this row from others with these words.
    than: the label of the row whose median is to be taken off; per: how many objects then share the rest, which is in
    microseconds. verb: the row waits for this verb to be there. size: the entries, of rows that are the same otherwise.
    """

    def __init__(
        self,
        words: str,
        fixture: Fixture,
        pairs: int,
        limit: float | None,
        unit: str = RATIO,
        theirs: str = "",
        shell: str = "",
        start_ms: float = 0,
        remove: str = "",
        note: str = "",
        than: str = "",
        per: int = 0,
        verb: str = "",
        size: int = 0,
        env: dict[str, str] | None = None,
    ) -> None:
        self.words, self.theirs, self.shell = words, theirs or words, shell
        self.fixture, self.pairs, self.limit, self.unit = fixture, pairs, limit, unit
        self.start_ms, self.remove, self.than, self.per = start_ms, remove, than, per
        self.verb, self.size, self.env = verb, size, env or {}
        shown = words.replace(f" pinned {BPFFS}/", " ").replace(f"{BPFFS}/", "").replace(VMLINUX, "vmlinux")
        self.label = f"{shown.replace(CGROUP, 'DIR')}{f' ({note})' if note else ''}"
        self.family = shown.replace(str(size), "") if size else self.label


LISTING_MS, GROWTH_US, OWNERS_MS = 12.0, 60.0, 60.0
START_MS = 60.0
PERCPU, PLAIN = 0.3, 0.15
STRUCT_LIMITS = {3: 0.25, 12: None, 40: 0.5}  # the one in the middle shows how it grows
LISTS = [f"{option}{family} show" for family in ("prog", "map", "link", "btf", "perf") for option in ("", "-j ")]
PAIRS = 7
COLD = {"BCCTOOL_NO_CACHE": "1"}
SORTED = f"btf dump file {VMLINUX} format c"


def listings() -> Iterator[Row]:
    """List verbs: with a hundred objects, with four times as many, and among many processes."""
    for words in LISTS:
        yield Row(words, objects, 25, LISTING_MS, OVER_PYTHON)
    for words in LISTS:
        per = MORE_LINKS - LINKS if "link" in words else MORE - OBJECTS
        yield Row(words, more_objects, 15, GROWTH_US, OVER_PYTHON, note="each more", than=words, per=per)
    for words in LISTS[::2]:
        note = f"{CROWD} processes"
        yield Row(words, crowd, PAIRS, OWNERS_MS, OVER_PYTHON, note=note, than=words)


def dumps() -> Iterator[Row]:
    """Maps: all types, plain and JSON, of growing size; those with BTF."""
    for type_ in ("hash", "lru_hash", "percpu_hash", "array", "lpm_trie"):
        fixture, limit = of_type(type_), PERCPU if type_ == "percpu_hash" else PLAIN
        for option in ("", "-j "):
            for size in SIZES:
                words = f"{option}map dump pinned {BPFFS}/{type_}_{size}"
                yield Row(words, fixture, PAIRS, limit if size == LARGE else None, size=size)
        if type_ == "hash":
            words = f"map load pinned {BPFFS}/hash_empty hash.json"
            yield Row(words, fixture, PAIRS, 2000, TIME, verb="map load", note=f"{LARGE} entries")
    for count, sizes in STRUCT_SIZES.items():
        fixture = of_struct(count)
        for option in ("", "-j "):
            for size in sizes:
                words = f"{option}map dump pinned {BPFFS}/struct{count}_{size}"
                yield Row(words, fixture, PAIRS, STRUCT_LIMITS[count] if size == sizes[-1] else None, size=size)


OBJDUMP = "objdump -D -b binary -m i386:x86-64 code"  # Debian's bpftool is built without a disassembler
LOAD_TWIN = f"prog load counter.o {LOADED}"
ROWS = (
    *listings(),
    *dumps(),
    Row(f"btf dump file {VMLINUX}", nothing, PAIRS, 1.0, env=COLD, note="cold"),
    Row(f"-j btf dump file {VMLINUX}", nothing, PAIRS, 1.0, env=COLD, note="cold"),
    Row(SORTED, nothing, PAIRS, 1.0, env=COLD, note="cold"),
    # Debian's bpftool does not sort, so that its work is that of our `unsorted`.
    Row(f"{SORTED} unsorted", nothing, PAIRS, 1.0, theirs=SORTED, env=COLD, note="cold"),
    Row(f"btf dump file {VMLINUX}", nothing, PAIRS, 0.3, note="repeated"),
    Row(f"-j btf dump file {VMLINUX}", nothing, PAIRS, 0.3, note="repeated"),
    Row(SORTED, nothing, PAIRS, 0.3, note="repeated"),
    Row("feature probe", nothing, 15, 1.0),
    Row(f"prog dump xlated pinned {BPFFS}/long", long_program, 15, 0.6, start_ms=15),
    Row(f"-j prog dump xlated pinned {BPFFS}/long", long_program, 15, 0.6, start_ms=15),
    Row(f"prog dump jited pinned {BPFFS}/long", long_program, 15, 1.0, start_ms=15, shell=OBJDUMP),
    Row(f"prog run pinned {BPFFS}/long data_in packet", long_program, 15, 1.0, start_ms=25),
    Row(f"prog load legacy.o {LOADED}", legacy, 15, 1.0, start_ms=25, remove=LOADED, theirs=LOAD_TWIN),
    Row(f"cgroup tree {CGROUP}", cgroups, PAIRS, 1.0),
    Row("net show", network, 15, 1.0, start_ms=40),
    Row(f"prog loadall execsnoop.bpf.o {LOADED}", tools, 15, 1.5, start_ms=START_MS, remove=LOADED),
    Row(f"prog loadall biolatency.bpf.o {LOADED}", tools, 15, 1.5, start_ms=START_MS, remove=LOADED),
    Row("gen skeleton execsnoop.bpf.o", tools, 15, 1.5, start_ms=START_MS),
    Row(f"gen min_core_btf {VMLINUX} min.btf execsnoop.bpf.o", tools, 15, 1.5, start_ms=START_MS),
)
