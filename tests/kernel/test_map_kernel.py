"""Maps in the live kernel: every type it lets us create, Python values by BTF, rights, leaks, memory."""

from __future__ import annotations

import ctypes
import io
import json
import os
import resource
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bcctool.cli import Session
from bcctool.elf.datasec import fixed_btf
from bcctool.elf.object import ObjectFile
from bcctool.errors import Error, KernelError
from bcctool.kernel import libbpf, uapi
from bcctool.loader.load import load
from bcctool.objects.map import Map
from bcctool.output import Output
from bcctool.verbs import Options

from ..conftest import BCCTOOL, NOBODY, Sandbox

Compile = Callable[..., Path]
NAME = "bcct_kernel"
NO_PREALLOC, MMAPABLE = uapi.BPF_F_NO_PREALLOC, uapi.BPF_F_MMAPABLE
STORAGE = (4, 8, 0, NO_PREALLOC, "int")
PAGE = 4096

# type → sizes of key and value, entries, flags, "int" if it needs types; key to use ("": none); status of dump
TYPES: dict[str, tuple[tuple[Any, ...], str, int]] = {
    "hash": ((4, 8, 4), "1 0 0 0", 0),
    "array": ((4, 8, 4), "1 0 0 0", 0),
    "prog_array": ((4, 4, 4), "", 0),
    "perf_event_array": ((4, 4, 4), "", 0),
    "percpu_hash": ((4, 8, 4), "1 0 0 0", 0),
    "percpu_array": ((4, 8, 4), "1 0 0 0", 0),
    "stack_trace": ((4, 8, 4), "", 0),
    "cgroup_array": ((4, 4, 4), "", 0),
    "lru_hash": ((4, 8, 4), "1 0 0 0", 0),
    "lru_percpu_hash": ((4, 8, 4), "1 0 0 0", 0),
    "lpm_trie": ((8, 8, 4, NO_PREALLOC), "32 0 0 0 10 0 0 1", 0),
    "devmap": ((4, 4, 4), "", 0),
    "devmap_hash": ((4, 4, 4), "", 0),
    "sockmap": ((4, 8, 4), "", 0),
    "sockhash": ((4, 8, 4), "", 0),
    "cpumap": ((4, 4, 2), "", 0),
    "xskmap": ((4, 4, 4), "", 0),
    "cgroup_storage": ((16, 8, 0), "", 0),
    "percpu_cgroup_storage": ((16, 8, 0), "", 0),
    "reuseport_sockarray": ((4, 8, 4), "", 0),
    "queue": ((0, 8, 4), "", 234),
    "stack": ((0, 8, 4), "", 234),
    "sk_storage": (STORAGE, "", 244),
    "inode_storage": (STORAGE, "", 244),
    "task_storage": (STORAGE, "", 244),
    "cgrp_storage": (STORAGE, "", 244),
    "ringbuf": ((0, 0, PAGE), "", 244),
    "user_ringbuf": ((0, 0, PAGE), "", 244),
    "bloom_filter": ((0, 8, 4), "", 161),
    "arena": ((0, 0, 1, MMAPABLE), "", 161),
}
MADE_ELSEWHERE = {"unspec", "array_of_maps", "hash_of_maps", "struct_ops"}


@pytest.fixture
def btf(compile_c: Compile) -> Iterator[tuple[int, Callable[[str], int]]]:
    """(descriptor of the types of map_values.c, what finds a type's id)."""
    obj = ObjectFile(str(compile_c("map_values.c", "-g")))
    data = fixed_btf(obj.elf)
    assert data
    assert obj.btf
    types = obj.btf
    fd = libbpf.call("bpf_btf_load", data, len(data), None)
    yield fd, lambda name: types.find(name) or 0
    os.close(fd)


def tool(words: str, **options: bool) -> tuple[str, int]:
    """What `map WORDS` writes to stdout in this process, and its status."""
    chosen = Options()
    for name, value in options.items():
        setattr(chosen, name, value)
    stream = io.BytesIO()
    out = Output(chosen.style, stream)
    status = Session(chosen, out).execute(["map", *words.split()])
    out.flush()
    return stream.getvalue().decode(), status


def test_every_type_has_a_row() -> None:
    assert set(TYPES) | MADE_ELSEWHERE == set(uapi.MAP_TYPES)


@pytest.mark.parametrize("type", TYPES)
def test_each_type(btf: tuple[int, Callable[[str], int]], type: str) -> None:
    sizes, key, dump_status = TYPES[type]
    fd, find = btf
    fields = {"btf_fd": fd, "btf_key_type_id": find("int"), "btf_value_type_id": find("u64")} if "int" in sizes else {}
    numbers = [size for size in sizes if size != "int"]
    key_size, value_size, entries, flags = (*numbers, 0)[:4]
    with Map.create(type, key_size, value_size, entries, NAME, flags, **fields) as map_:
        shown = json.loads(tool(f"show id {map_.id}", json=True)[0])
        assert (shown["type"], shown["name"], shown["bytes_key"], shown["bytes_value"]) == (type, NAME, *numbers[:2])
        assert tool(f"show id {map_.id}")[0].startswith(f"{map_.id}: {type}  name {NAME}  flags 0x")
        for style in ({}, {"json": True}, {"json": True, "pretty": True}):
            output, status = tool(f"dump id {map_.id}", **style)
            assert status == dump_status
            if style:
                json.loads(output)
            elif type == "prog_array":
                assert output == "Found 0 elements\n"  # its free slots are none
        if key:
            assert tool(f"update id {map_.id} key {key} value 1 2 3 4 5 6 7 8") == ("", 0)
            element = json.loads(tool(f"lookup id {map_.id} key {key}", json=True)[0])
            assert element in json.loads(tool(f"dump id {map_.id}", json=True)[0])
            values = [element["value"]] if "value" in element else [item["value"] for item in element["values"]]
            assert values == [[f"0x{byte:02x}" for byte in range(1, 9)]] * (map_.cpus or 1)
            deleted = tool(f"delete id {map_.id} key {key}")[1]
            assert deleted == (234 if type.endswith("array") else 0)
        if type in ("queue", "stack"):
            for first in (1, 2):
                assert tool(f"push id {map_.id} value {first} 0 0 0 0 0 0 0") == ("", 0)
            for first in (1, 2) if type == "queue" else (2, 1):
                wanted = f"value: 0{first} 00 00 00 00 00 00 00\n", 0
                assert tool(f"peek id {map_.id}") == wanted
                assert tool(f"pop id {map_.id}") == wanted
            assert tool(f"pop id {map_.id}", json=True) == ("null", 254)


@pytest.mark.parametrize("type", ["array_of_maps", "hash_of_maps"])
def test_maps_of_maps(type: str) -> None:
    with Map.create("array", 4, 4, 1, NAME) as inner, Map.create(type, 4, 4, 2, NAME, inner_map_fd=inner.fd) as outer:
        assert tool(f"dump id {outer.id}") == ("Found 0 elements\n", 0)
        assert tool(f"update id {outer.id} key 1 0 0 0 value id {inner.id}") == ("", 0)
        text = f"key: 01 00 00 00  inner_map_id: {inner.id} \n"
        assert tool(f"dump id {outer.id}") == (text + "Found 1 element\n", 0)
        assert tool(f"lookup id {outer.id} key 1 0 0 0") == (text, 0)
        (element,) = json.loads(tool(f"dump id {outer.id}", json=True)[0])
        assert element["inner_map_id"] == inner.id
        assert element["value"] == [f"0x{byte:02x}" for byte in struct.pack("=I", inner.id)]
        assert tool(f"delete id {outer.id} key 1 0 0 0") == ("", 0)
        assert outer.lookup(struct.pack("I", 1)) is None


def test_python_values_by_btf(btf: tuple[int, Callable[[str], int]]) -> None:
    fd, find = btf
    types = {"btf_fd": fd, "btf_key_type_id": find("key"), "btf_value_type_id": find("value")}
    with Map.create("hash", 8, 24, 4, NAME, **types) as map_:
        key = {"id": 7, "name": "abc"}
        value = {"count": 3, "state": "BUSY", "low": 5, "high": 3, "text": "hi"}
        map_[key] = value
        assert map_[key] == value
        assert key in map_
        assert list(map_.items()) == [(key, value)]
        del map_[key]
        assert len(map_) == 0
        with pytest.raises(KeyError):
            map_[key]
        with pytest.raises(Error):
            map_[key] = {"count": "many"}
    types = {"btf_fd": fd, "btf_key_type_id": find("u32"), "btf_value_type_id": find("u64")}
    with Map.create("percpu_array", 4, 8, 2, NAME, **types) as map_:
        map_[1] = list(range(map_.cpus))
        assert map_[1] == list(range(map_.cpus))
        map_[1] = 5
        assert map_[1] == [5] * map_.cpus
        assert dict(map_.items()) == {0: [0] * map_.cpus, 1: [5] * map_.cpus}


def test_finding_maps(sandbox: Sandbox) -> None:
    with Map.create("hash", 4, 8, 4, NAME, NO_PREALLOC) as map_:
        assert map_.id in Map.ids()
        with Map.from_id(map_.id, uapi.BPF_F_RDONLY) as again:
            assert (again.name, again.type, again.info.map_flags) == (NAME, "hash", NO_PREALLOC)
            with pytest.raises(KernelError, match="Operation not permitted"):
                again[1] = 1
        found = [other for other in Map.all() if other.id == map_.id]
        assert len(found) == 1
        found[0].close()
    with pytest.raises(KernelError, match=r"get map by id \(4294967295\): No such file or directory"):
        Map.from_id(0xFFFFFFFF)


def test_metadata(compile_c: Compile) -> None:
    with load(str(compile_c("map_values.c", "-g"))) as loaded:
        ids = [map_.id for map_ in loaded.maps.values()]
        assert Map.metadata([*ids, 0xFFFFFFFF]) == {"license": "Apache", "version": 7}
        assert Map.metadata([id for id in ids if not Map.from_id(id).name.endswith(".rodata")]) == {}
        data = next(map_ for map_ in loaded.maps.values() if map_.name.endswith(".data"))
        assert tool(f"dump id {data.id}")[0] == (
            '[{\n        "value": {\n            ".data": [{\n                    "seen": 3\n                }\n'
            "            ]\n        }\n    }\n]\n"
        )


def test_frozen() -> None:
    with Map.create("array", 4, 4, 1, NAME) as map_:
        assert tool(f"freeze id {map_.id}", json=True) == ("null", 0)
        assert (
            tool(f"show id {map_.id}")[0].endswith("\n\tfrozen\n") or "frozen\n\tpids" in tool(f"show id {map_.id}")[0]
        )
        assert tool(f"update id {map_.id} key 0 0 0 0 value 1 0 0 0")[1] == 255
        assert tool(f"freeze id {map_.id}")[1] == 255


def test_several_maps_of_a_name_with_and_without_types(btf: tuple[int, Callable[[str], int]]) -> None:
    """bpftool 7 shows the first map's types for the second here, as the kernel leaves its info struct alone."""
    fd, find = btf
    types = {"btf_fd": fd, "btf_key_type_id": find("u32"), "btf_value_type_id": find("u64")}
    with Map.create("array", 4, 8, 1, "bcct_both", **types) as one, Map.create("array", 4, 8, 1, "bcct_both") as two:
        assert tool("dump name bcct_both")[0] == (
            f"{one.id}: array  name bcct_both  flags 0x0\n"
            "key: 00 00 00 00  value: 00 00 00 00 00 00 00 00\nFound 1 element\n\n"
            f"{two.id}: array  name bcct_both  flags 0x0\n"
            "key: 00 00 00 00  value: 00 00 00 00 00 00 00 00\nFound 1 element\n"
        )
        records = json.loads(tool("dump name bcct_both", json=True)[0])
        assert ["formatted" in record["elements"][0] for record in records] == [True, False]
        shown = json.loads(tool("show name bcct_both", json=True)[0])
        assert ["btf_id" in record for record in shown] == [True, False]


def test_create_and_pin(sandbox: Sandbox) -> None:
    words = ["type", "hash", "key", "4", "value", "8", "entries", "4", "name"]
    done = sandbox.bcctool("map", "create", "/sys/fs/bpf/long", *words, "a_name_of_20_letters")
    assert done.stderr == "Warning: the map's name is cut to 15 characters\n"
    shown = json.loads(sandbox.bcctool("-jf", "map", "show", "pinned", "/sys/fs/bpf/long").stdout)
    assert (shown["name"], shown["pinned"]) == ("a_name_of_20_le", ["/sys/fs/bpf/long"])
    assert sandbox.bcctool("-j", "map", "pin", "pinned", "/sys/fs/bpf/long", "/sys/fs/bpf/two").stdout == "null\n"


@pytest.mark.parametrize("verb", ["create", "pin"])
def test_nothing_is_mounted_over_a_directory(sandbox: Sandbox, tmp_path: Path, verb: str) -> None:
    (tmp_path / "mine").write_text("mine")
    before = set(Map.ids())
    words = ["type", "array", "key", "4", "value", "4", "entries", "1", "name", "bcct_nothing"]
    sandbox.bcctool("map", "create", "/sys/fs/bpf/m", *words)
    for path in (tmp_path / "pin", "/proc/pin", "/no_such_directory/pin"):
        with_path = ["create", path, *words] if verb == "create" else ["pin", "pinned", "/sys/fs/bpf/m", path]
        assert sandbox.bcctool("map", *with_path, status=255).stderr.count("\n") == 1
    assert sandbox.run("ls", tmp_path).stdout == "mine\n"
    left = json.loads(sandbox.bcctool("-j", "map", "show", "name", "bcct_nothing").stdout)
    assert left["id"] not in before


def test_nobody_may_look(sandbox: Sandbox) -> None:
    for verb in (("show",), ("dump", "name", NAME), ("show", "id", "1")):
        done = sandbox.run(*NOBODY, *BCCTOOL, "map", *verb, status=255)
        assert (done.stdout, done.stderr.count("\n")) == ("", 1)
        assert "Operation not permitted" in done.stderr


def test_no_descriptor_leaks(btf: tuple[int, Callable[[str], int]]) -> None:
    fd, find = btf
    types = {"btf_fd": fd, "btf_key_type_id": find("u32"), "btf_value_type_id": find("u64")}
    with Map.create("hash", 4, 8, 4, NAME, **types) as map_:
        before = len(os.listdir("/proc/self/fd"))
        selector = f"id {map_.id}"
        for words in (
            "show", "show {}", "dump {}", f"dump name {NAME}", "dump {} x", "lookup {} key 1", "lookup {} key 1 0 0 0",
            "update {} key 1 0 0 0 value 300", "update {} key 1 0 0 0 value 1 1 1 1 1 1 1 1", "getnext {}",
            "delete {} key 1 0 0 0", "pin {} /proc/x",
            "create /proc/x type hash key 4 value 4 entries 1 name a inner_map {}",
        ):  # fmt: skip
            words = words.format(selector)
            tool(words)
            tool(words, json=True)
        for _ in range(3):
            with pytest.raises(KeyError):
                map_[9]
            with pytest.raises(KernelError):
                Map.create("array", 4, 4, 0)
        assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("type", "max_entries", "flags"), [("hash", 2000, NO_PREALLOC), ("hash", 2000, 0), ("lru_hash", 40_000, 0)]
)
def test_a_dump_while_the_map_changes_ends_and_loses_nothing_that_stays(
    type: str, max_entries: int, flags: int
) -> None:
    """A writer deletes and adds keys that the walk may stand on."""
    with Map.create(type, 4, 8, max_entries, NAME, flags) as map_:
        for key in range(1000):
            map_[key] = key
        staying = {tuple(f"0x{byte:02x}" for byte in struct.pack("I", key)) for key in range(1000)}
        done = threading.Event()

        def change() -> None:
            key = 0
            while not done.is_set():
                map_.update(struct.pack("I", 1000 + key % 900), bytes(8))
                map_.delete(struct.pack("I", 1000 + key % 900))
                key += 1

        writer = threading.Thread(target=change)
        writer.start()
        try:
            for _ in range(20):
                elements = json.loads(tool(f"dump id {map_.id}", json=True)[0])
                assert len(elements) <= 2 * max_entries + 65536
                assert staying <= {tuple(element["key"]) for element in elements}
        finally:
            done.set()
            writer.join()


def fill(map_: Map, count: int) -> None:
    keys = struct.pack(f"{count}I", *range(count))
    values = struct.pack(f"{count}Q", *[(at * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF for at in range(count)])
    n = ctypes.c_uint32(count)
    assert libbpf_update_batch(map_.fd, keys, values, ctypes.byref(n), None) == 0


libbpf_update_batch = ctypes.CDLL("libbpf.so.1").bpf_map_update_batch
DUMP = """
import sys
sys.path.insert(0, {root!r})
from bcctool.cli import main
status = main({words!r})
# Not ru_maxrss, which a process takes over from the one that started it.
print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0], file=sys.stderr)
sys.exit(status)
"""


@pytest.mark.parametrize("style", ["plain", "json", "btf"])
def test_a_million_entries_take_the_memory_of_a_thousand(btf: tuple[int, Callable[[str], int]], style: str) -> None:
    fd, find = btf
    types = {"btf_fd": fd, "btf_key_type_id": find("u32"), "btf_value_type_id": find("u64")} if style == "btf" else {}
    peaks = []
    for count in (1000, 1_000_000):
        with Map.create("hash", 4, 8, count, NAME, **types) as map_:
            fill(map_, count)
            words = [*(["-j"] if style == "json" else []), "map", "dump", "id", str(map_.id)]
            script = DUMP.format(root=str(Path(__file__).parents[2]), words=words)
            done = subprocess.run(
                [sys.executable, "-c", script], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True
            )
            peaks.append(int(done.stderr))
    assert peaks[1] < 40 << 10
    assert peaks[1] - peaks[0] < 8 << 10, peaks


def test_the_memory_of_this_process_stays_flat() -> None:
    with Map.create("hash", 4, 8, 200_000, NAME) as map_:
        fill(map_, 200_000)
        for _ in map_.batches():
            pass
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert sum(1 for _ in map_.items()) == len(map_) == 200_000
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 4 << 10
