"""`map` against the distribution's bpftool over the same maps: the same bytes, the same status."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..conftest import Sandbox, no_bpf

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(not shutil.which("bpftool"), reason="bpftool is not installed"),
]

PINS = "/sys/fs/bpf/"
STYLES = ("", "-j ", "-p ")
TYPED = PINS + "typed/"

# pin → type, sizes of key and value in bytes, entries
PLAIN = {
    "hash": ("hash", 4, 8, 8),
    "hash16_8": ("hash", 16, 8, 2),
    "hash16_9": ("hash", 16, 9, 2),
    "hash17_1": ("hash", 17, 1, 2),
    "hash1_17": ("hash", 1, 17, 2),
    "large": ("hash", 24, 600, 2),
    "array": ("array", 4, 20, 3),
    "lru": ("lru_hash", 8, 4, 2),
    "cpus": ("percpu_hash", 4, 4, 2),
    "cpus17": ("percpu_array", 4, 17, 2),
    "progs": ("prog_array", 4, 4, 3),
    "queue": ("queue", 0, 4, 3),
    "stack": ("stack", 0, 20, 3),
    "bloom": ("bloom_filter", 0, 4, 3),
    "ring": ("ringbuf", 0, 0, 4096),
    "traces": ("stack_trace", 4, 80, 2),
    "perf": ("perf_event_array", 4, 4, 2),
    "cgroups": ("cgroup_array", 4, 4, 2),
    "socks4": ("sockmap", 4, 4, 2),
    "socks8": ("sockmap", 4, 8, 2),
    "reuse4": ("reuseport_sockarray", 4, 4, 2),
    "devices": ("devmap", 4, 4, 2),
    "device_hash": ("devmap_hash", 4, 4, 2),
    "cpumap": ("cpumap", 4, 4, 2),
    "xsks": ("xskmap", 4, 4, 2),
}
FILLED = ("hash", "hash16_8", "hash16_9", "hash17_1", "hash1_17", "large", "array", "lru", "cpus")
TYPES = ("t_ints", "t_structs", "t_flat", "t_cpus", "mv_data", "mv_rodata")
TYPED_ENTRIES = (
    "pinned {0}t_ints key 7 0 0 0 value 0 0 0 0 0 0 0 128",
    "pinned {0}t_ints key 1 0 0 0 value 2 0 0 0 0 0 0 0",
    "pinned {0}t_structs key 7 0 0 0 97 98 99 0 value 3 0 0 0 0 0 0 0 5 0 0 0 53 0 0 0 104 105 0 0 0 0 0 0",
    "pinned {0}t_structs key 8 0 0 0 97 98 99 99 value 3 0 0 0 0 0 0 0 6 0 0 0 53 0 0 0 104 255 0 0 0 0 0 0",
    "pinned {0}t_flat key 1 0 0 0 value 1 0 0 0 255 255 255 255 9 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1",
    "pinned {0}t_cpus key 1 0 0 0 value 1 0 0 0 255 255 255 255 9 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1",
)

COMMANDS = [
    *(f"{style}map dump pinned {PINS}{pin}" for style in STYLES for pin in PLAIN),
    *(f"{style}map dump pinned {TYPED}{name}" for style in STYLES for name in TYPES),
    *(f"-j map dump pinned {TYPED}{name}" for name in ("t_socks",)),
    *(f"{style}map show pinned {PINS}{pin}" for style in STYLES for pin in ("hash", "frozen", "progs", "ring")),
    *(f"{style}map show pinned {TYPED}{name}" for style in STYLES for name in ("t_ints", "mv_rodata")),
    *(f"{style}map {verb} name bcct_twin" for style in (*STYLES, "-f ", "-jf ") for verb in ("show", "list", "dump")),
    *(
        f"{style}map {words}"
        for style in STYLES
        for words in (
            f"lookup pinned {PINS}hash key 1 0 0 0",
            f"lookup pinned {PINS}hash key 9 0 0 0",
            f"lookup pinned {PINS}hash key 9 0 0",
            f"lookup pinned {PINS}hash key 9 0 0 zz",
            f"lookup pinned {PINS}hash key 9 0 0 08",
            f"lookup pinned {PINS}hash key 9 0 0 0 0",
            f"lookup pinned {PINS}hash",
            f"lookup pinned {PINS}hash k",
            f"lookup pinned {PINS}hash value 1",
            f"lookup pinned {PINS}cpus key 1 0 0 0",
            f"lookup pinned {PINS}hash17_1 key hex {'0 ' * 16}1",
            f"lookup pinned {PINS}xsks key 1 0 0 0",
            f"lookup pinned {PINS}queue",
            f"lookup pinned {PINS}queue key 1",
            f"peek pinned {PINS}stack",
            f"lookup pinned {TYPED}t_ints key 7 0 0 0",
            f"lookup pinned {TYPED}t_structs key 7 0 0 0 97 98 99 0",
            f"lookup pinned {TYPED}t_cpus key 1 0 0 0",
            f"lookup pinned {TYPED}t_flat key 7 0 0 0",
            f"getnext pinned {PINS}array",
            f"getnext pinned {PINS}array key 1 0 0 0",
            f"getnext pinned {PINS}array key 2 0 0 0",
            f"getnext pinned {PINS}hash17_1",
            f"getnext pinned {PINS}queue",
            f"delete pinned {PINS}hash key 9 0 0 0",
            f"delete pinned {PINS}array key 1 0 0 0",
            f"delete pinned {PINS}array",
            f"update pinned {PINS}hash key 1 0 0 0 value 1 2 3 4 5 6 7 8 noexist",
            f"update pinned {PINS}hash key 5 0 0 0 value 1 2 3 4 5 6 7 8 exist",
            f"update pinned {PINS}hash key 1 0 0 0 value 1",
            f"update pinned {PINS}hash key 1 0 0 0 key 1 0 0 0",
            f"update pinned {PINS}hash key 1 0 0 0 any any",
            f"update pinned {PINS}hash key 1 0 0 0",
            f"update pinned {PINS}hash foo",
            f"update pinned {PINS}progs key 0 0 0 0 value 1 0 0 0",
            f"update pinned {PINS}maps key 0 0 0 0 value 1 0 0 0",
            f"update pinned {PINS}maps key 0 0 0 0 value pinned {PINS}queue",
            f"update pinned {PINS}frozen key 0 0 0 0 value 1 0 0 0",
            f"push pinned {PINS}queue",
            f"pop pinned {PINS}bloom",
            f"freeze pinned {PINS}frozen",
            "freeze",
            f"freeze pinned {PINS}hash foo",
            f"pin pinned {PINS}hash",
            f"pin pinned {PINS}hash {PINS}array",
            f"pin pinned {PINS}hash {PINS}a.b",
            "dump name bcct_twin foo",
            "lookup name bcct_twin key 0 0 0 0",
            "show id 4294967295",
            "show id abc",
            "show foo bar",
            "show id",
            "show name sixteen_long_name",
            f"show pinned {PINS}nothing",
            f"dump pinned {PINS}prog/map_values",
            f"create {PINS}new type hash key 4 value 8 entries 4 flags 0",
            f"create {PINS}new type hash key 4 key 4 entries 4 name a",
            f"create {PINS}new type hash key x value 4 entries 4 name a",
            f"create {PINS}new type has key 4 value 4 entries 4 name a",
            f"create {PINS}new type hash key 4 value 4 entries 4 name a foo bar",
            f"create {PINS}new type hash key 4 value 4 entries 4 name a dev no_such",
            f"create {PINS}new type hash key 4 value 4 entries 0 name a",
            f"create {PINS}hash type hash key 4 value 4 entries 1 name a",
            "create",
        )
    ),
]  # fmt: skip

# Run in order on twins, {0} being the directory of one tool's.
CHANGES = (
    "create {0}/hash type hash key 4 value 8 entries 4 name bcct_made flags 1",
    "-j map create {0}/array t array k 0x4 v 04 e 2 n bcct_made",
    "create {0}/queue type queue key 0 value 4 entries 3 name bcct_made",
    "create {0}/cpus type percpu_array key 4 value 4 entries 2 name bcct_made",
    "create {0}/progs type prog_array key 4 value 4 entries 2 name bcct_made",
    "create {0}/maps type array_of_maps key 4 value 4 entries 2 name bcct_made inner_map pinned {0}/queue",
    "create {0}/hashes type hash_of_maps key 4 value 4 entries 2 name bcct_made inner_map pinned {0}/hash",
    "update pinned {0}/hash key 1 0 0 0 value 1 2 3 4 5 6 7 8",
    "-j map update pinned {0}/hash v h 0 1 a ff 0xfe 10 20 30 k 010 0x10 0 0 any",
    "update pinned {0}/hash value 9 9 9 9 9 9 9 9 key 1 0 0 0 exist",
    "update pinned {0}/hash key 2 0 0 0 value 9 9 9 9 9 9 9 9 n",
    "delete pinned {0}/hash key 1 0 0 0",
    "-j map delete pinned {0}/hash key 2 0 0 0",
    "delete pinned {0}/hash key 2 0 0 0",
    "push pinned {0}/queue value 1 2 3 4",
    "enqueue pinned {0}/queue value 5 6 7 8",
    "-j map pu pinned {0}/queue v 9 0 0 0 exist",
    "push pinned {0}/queue value 5 6 7 8",
    "peek pinned {0}/queue",
    "pop pinned {0}/queue",
    "-j map dequeue pinned {0}/queue",
    "-p map po pinned {0}/queue",
    "-j map pop pinned {0}/queue",
    "update pinned {0}/cpus key 1 0 0 0 value 1 2 3 4",
    "update pinned {0}/progs key 1 0 0 0 value pinned /sys/fs/bpf/prog/map_values",
    "lookup pinned {0}/progs key 0 0 0 0",
    "delete pinned {0}/progs key 1 0 0 0",
    "update pinned {0}/maps key 1 0 0 0 value pinned {0}/hash",
    "update pinned {0}/hashes key 1 0 0 0 value pinned {0}/hash",
    "lookup pinned {0}/maps key 0 0 0 0",
    "getnext pinned {0}/hashes",
    "delete pinned {0}/hashes key 1 0 0 0",
    "pin pinned {0}/hash {0}/again",
    "-j map pin pinned {0}/hash {0}/once_more",
    "pin pinned {0}/hash {0}/again",
    "freeze pinned {0}/array",
    "-j map freeze pinned {0}/cpus",
    "update pinned {0}/array key 1 0 0 0 value 1 2 3 4",
)
TWINS = ("hash", "array", "queue", "cpus", "progs", "hashes", "again", "once_more")


@pytest.fixture(scope="module")
def box(compile_c: Callable[..., Path]) -> Iterator[Sandbox]:
    """A sandbox with maps that bpftool made."""
    if reason := no_bpf():
        pytest.skip(reason)
    box = Sandbox()
    box.run("mkdir", TYPED)
    box.run("bpftool", "prog", "loadall", compile_c("map_values.c", "-g"), f"{PINS}prog", "pinmaps", TYPED)
    lines = [create(pin, *row) for pin, row in PLAIN.items()]
    lines += [create(f"twin{number}", "hash", 4, 4, 4, "bcct_twin") for number in range(3)]
    lines += [create("frozen", "array", 4, 4, 1), f"map freeze pinned {PINS}frozen"]
    lines += [f"{create('maps', 'array_of_maps', 4, 4, 1)} inner_map pinned {PINS}hash"]
    for pin in FILLED:
        _, key, value, entries = PLAIN[pin]
        lines += [update(pin, key, value, entry) for entry in range(min(entries, 2))]
    lines += [update("twin1", 4, 4, 1), update("stack", 0, 20, 1)]
    lines += ["map update " + words.format(TYPED) for words in TYPED_ENTRIES]
    box.run("bpftool", "batch", "file", "-", input="\n".join(lines))
    yield box
    box.close()


def create(pin: str, type: str, key: int, value: int, entries: int, name: str = "bcct_plain") -> str:
    return f"map create {PINS}{pin} type {type} key {key} value {value} entries {entries} name {name}"


def update(pin: str, key: int, value: int, entry: int) -> str:
    """An update with the key `entry` and a value of all kinds of bytes."""
    key_words = " ".join(["key", str(entry), *["0"] * (key - 1)]) if key else ""
    return f"map update pinned {PINS}{pin} {key_words} value " + " ".join([str(at * 37 % 256) for at in range(value)])


def compare(box: Sandbox, theirs: list[str], ours: list[str]) -> None:
    wanted = box.run("bpftool", *theirs, status=None)
    done = box.bcctool(*ours, status=wanted.returncode)
    assert done.stdout == wanted.stdout.replace("/theirs/", "/ours/")
    if not theirs[0].startswith("-"):
        assert done.stderr.replace("/ours/", "/theirs/").splitlines()[:1] == wanted.stderr.splitlines()[:1] or (
            done.stderr.startswith("Usage: bcctool map") and wanted.stderr.startswith("Usage: bpftool map")
        )


@pytest.mark.parametrize("command", COMMANDS)
def test_same_output_and_status(box: Sandbox, command: str) -> None:
    compare(box, command.split(), command.split())


def test_the_same_changes(box: Sandbox) -> None:
    directories = {"bpftool": f"{PINS}theirs", "bcctool": f"{PINS}ours"}
    box.run("mkdir", *directories.values())
    try:
        for line in CHANGES:
            words = line if line.startswith("-") else f"map {line}"
            compare(box, *(words.format(directory).split() for directory in directories.values()))
        for pin in TWINS:
            states = [
                box.run("bpftool", "map", verb, "pinned", f"{directory}/{pin}", status=None).stdout.partition(":")[2]
                for directory in directories.values()
                for verb in ("show", "dump")
            ]
            assert states[:2] == states[2:], pin
    finally:
        box.run("rm", "-r", *directories.values())


def test_a_prog_by_id_is_warned_about(box: Sandbox) -> None:
    """The program array loses its programs when nobody holds it: both tools say so."""
    words = ["map", "update", "pinned", f"{PINS}progs", "key", *"0000", "value", "id", "4294967295"]
    wanted = box.run("bpftool", *words, status=255).stderr
    assert box.bcctool(*words, status=255).stderr == wanted
    assert wanted.startswith("Warning: updating program array via MAP_ID")
    assert box.bcctool("-j", *words, status=255).stderr == ""


@pytest.mark.parametrize("prefix", ["d", "u", "lo", "g", "de", "p", "pe", "pu", "po", "c", "x"])
def test_prefixes_pick_the_same_verb(box: Sandbox, prefix: str) -> None:
    """A ring buffer can do nothing of all this, and each verb says so in its own way."""
    words = ["map", prefix, "pinned", f"{PINS}ring"]
    wanted = box.run("bpftool", *words, status=None)
    done = box.bcctool(*words, status=wanted.returncode)
    assert done.stdout == wanted.stdout
    theirs, ours = (done.stderr.partition("\n")[0] for done in (wanted, done))
    typed = [theirs.replace(f"'{prefix}'", f"'{verb}'") for verb in ("pin", "create")]
    assert ours in (theirs, *typed) or (ours.startswith("Usage: bcctool map") and theirs.startswith("Usage: bpftool"))
