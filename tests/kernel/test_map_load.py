"""`map load`, `copy` and `clear`: what a dump wrote comes back bit for bit, in each style and for each type of map."""

from __future__ import annotations

import contextlib
import errno
import io
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bcctool.commands import map_load, map_read
from bcctool.errors import Error
from bcctool.kernel import libbpf
from bcctool.objects import map_batches
from bcctool.objects.map import Map
from bcctool.objects.prog import Prog

from ..conftest import BCCTOOL, ROOT, Completed, Sandbox, run

Compile = Callable[..., Path]
Bcctool = Callable[..., Completed]
STYLES = ((), ("-j",), ("-p",))
NO_PREALLOC = 1
# type, key, value, entries, flags
TYPES = (
    ("hash", 4, 8, 5000, 0),
    ("hash", 1, 1, 200, 0),
    ("hash", 16, 16, 500, 0),
    ("hash", 20, 40, 500, 0),
    ("hash", 8, 600, 100, 0),
    ("lru_hash", 4, 4, 5000, 0),
    ("percpu_hash", 4, 8, 500, 0),
    ("percpu_hash", 8, 20, 100, 0),
    ("lru_percpu_hash", 4, 4, 500, 0),
    ("array", 4, 8, 3000, 0),
    ("percpu_array", 4, 4, 500, 0),
    ("percpu_array", 4, 24, 100, 0),
    ("lpm_trie", 8, 8, 2000, NO_PREALLOC),
)


def entries(map_: Map) -> dict[bytes, bytes]:
    """All that is in a map, raw."""
    key_size, size = map_.info.key_size, map_.value_bytes
    return {
        bytes(keys[at * key_size : (at + 1) * key_size]): bytes(values[at * size : (at + 1) * size])
        for keys, values, n in map_.batches()
        for at in range(n)
    }


def filled(type: str, key: int, value: int, count: int, flags: int, seed: int = 1) -> Map:
    """A map with random content, the padding between the values of CPUs zero as the kernel has it."""
    numbers = random.Random(seed)
    map_ = Map.create(type, key, value, count, flags=flags)
    cpus, stride = map_.cpus or 1, map_.value_stride
    share = count // 5 if type.startswith("lru") else count * 9 // 10  # of LRU maps each CPU has a part
    for number in range(min(share, 1 << 8 * key if key < 4 else count)):
        if type == "lpm_trie":
            raw = (32).to_bytes(4, "little") + number.to_bytes(key - 4, "little")
        else:
            raw = number.to_bytes(key, "little")
        data = b"".join([numbers.randbytes(value).ljust(stride, b"\0") for _ in range(cpus)])
        map_.update(raw, data)
    return map_


def empty(like: Map) -> Map:
    info = like.info
    return Map.create(info.type, info.key_size, info.value_size, info.max_entries, flags=info.map_flags)


def dumped(map_: Map, bcctool: Bcctool, *style: str) -> str:
    text: str = bcctool(*style, "map", "dump", "id", str(map_.id)).stdout
    return text


def load(map_: Map, text: str, name: str = "input") -> None:
    """As `map load` does it, from a text."""
    for keys, values, n in map_read.elements(map_, io.BytesIO(text.encode()), name):
        map_load.put(map_, keys, values, n)


@pytest.mark.parametrize("style", STYLES, ids=lambda style: "".join(style) or "plain")
@pytest.mark.parametrize("row", TYPES, ids=lambda row: f"{row[0]}-{row[1]}-{row[2]}")
def test_a_dump_comes_back(row: tuple[str, int, int, int, int], style: tuple[str, ...], bcctool: Bcctool) -> None:
    with filled(*row) as map_, empty(map_) as other:
        assert len(entries(map_)) > 50
        done = bcctool("map", "load", "id", str(other.id), "-", input=dumped(map_, bcctool, *style))
        assert (done.stdout, done.stderr) == ("", "")
        assert entries(other) == entries(map_)
        bcctool("map", "clear", "id", str(other.id))
        assert set(entries(other).values()) <= {bytes(other.value_bytes)}
        assert not entries(other) or "array" in other.type
        bcctool("map", "copy", "id", str(map_.id), "id", str(other.id))
        assert entries(other) == entries(map_)


@pytest.fixture
def typed(sandbox: Sandbox, compile_c: Compile) -> Iterator[tuple[Sandbox, Callable[[str], Map]]]:
    """A sandbox with the maps of companion.c, and what opens one by name."""
    sandbox.bcctool("prog", "loadall", compile_c("companion.c", "-g"), "/sys/fs/bpf/p", "pinmaps", "/sys/fs/bpf/m")
    with contextlib.ExitStack() as opened:

        def open_map(name: str) -> Map:
            shown = sandbox.bcctool("-j", "map", "show", "pinned", f"/sys/fs/bpf/m/{name}").stdout
            return opened.enter_context(Map.from_id(int(shown.partition('"id":')[2].partition(",")[0])))

        yield sandbox, open_map


@pytest.mark.parametrize("style", STYLES, ids=lambda style: "".join(style) or "plain")
@pytest.mark.parametrize("name", ["counter_map", "percpu_map", "seen", "odd_map"])
def test_a_dump_with_types_comes_back(
    name: str, style: tuple[str, ...], typed: tuple[Sandbox, Callable[[str], Map]]
) -> None:
    sandbox, open_map = typed
    map_ = open_map(name)
    numbers = random.Random(3)
    for number in range(min(map_.info.max_entries, 300)):
        key = number.to_bytes(map_.info.key_size, "little")
        if name == "counter_map":  # struct key: pid, comm, padding, slot
            key = number.to_bytes(4, "little") + b'a"b\\,{'.ljust(16, b"\0") + bytes(4) + numbers.randbytes(8)
        size, cpus = map_.info.value_size, map_.cpus or 1
        map_.update(key, b"".join([numbers.randbytes(size).ljust(map_.value_stride, b"\0") for _ in range(cpus)]))
    before = entries(map_)
    text = sandbox.bcctool(*style, "map", "dump", "pinned", f"/sys/fs/bpf/m/{name}").stdout
    sandbox.bcctool("map", "clear", "pinned", f"/sys/fs/bpf/m/{name}")
    assert entries(map_) != before
    sandbox.bcctool("map", "load", "pinned", f"/sys/fs/bpf/m/{name}", "-", input=text)
    assert entries(map_) == before


@pytest.fixture
def shapes(sandbox: Sandbox, compile_c: Compile) -> Iterator[tuple[Sandbox, Map, Map]]:
    """A sandbox, and the maps `numbers` and `shapes` of map_shapes.c, filled with what BTF tells all of."""
    obj = compile_c("map_shapes.c", "-g")
    sandbox.bcctool("prog", "load", obj, "/sys/fs/bpf/p", "pinmaps", "/sys/fs/bpf/m")
    maps = []
    for name in ("numbers", "shapes"):
        shown = sandbox.bcctool("-j", "map", "show", "pinned", f"/sys/fs/bpf/m/{name}").stdout
        maps.append(Map.from_id(int(shown.partition('"id":')[2].partition(",")[0])))
    for number in range(200):
        maps[0][number] = {"a": number << 40, "b": -number, "c": number, "d": 7}
        maps[1][number] = {
            "a": number, "b": -5, "c": 6, "d": 7, "bits": -16 + number % 32, "rest": number, "kind": "SOME",
            "pointer": number << 50, "text": "a]}" if number % 2 else "", "bytes": [1, 2, 255], "yes": bool(number % 2),
            "grid": [[1, 2], [3, number]], "low": -(1 << 63) + number,
        }  # fmt: skip
    yield sandbox, maps[0], maps[1]
    for map_ in maps:
        map_.close()


@pytest.mark.parametrize("style", STYLES, ids=lambda style: "".join(style) or "plain")
@pytest.mark.parametrize("name", ["numbers", "shapes"])
def test_all_shapes_of_values_come_back(name: str, style: tuple[str, ...], shapes: tuple[Sandbox, Map, Map]) -> None:
    sandbox, numbers, others = shapes
    map_ = others if name == "shapes" else numbers
    before = entries(map_)
    assert len(before) == 200
    text = sandbox.bcctool(*style, "map", "dump", "pinned", f"/sys/fs/bpf/m/{name}").stdout
    sandbox.bcctool("map", "clear", "pinned", f"/sys/fs/bpf/m/{name}")
    sandbox.bcctool("map", "load", "pinned", f"/sys/fs/bpf/m/{name}", "-", input=text)
    assert entries(map_) == before


@pytest.mark.parametrize(
    ("name", "style", "old", "new", "error"),
    [
        ("numbers", (), '"b": -77,', '"b": -77, "junk": 1,', "no member 'junk' in struct numbers"),
        ("numbers", (), '"d": 7', '"d": 70000', "value.d: 70000 is out of range"),
        ("numbers", (), '"d": 7', '"d": x', "no JSON"),
        ("numbers", ("-j",), '"d":7', '"d":x', "no JSON"),
        ("shapes", (), '"kind": "SOME"', '"kind": "OTHER"', "value.kind: 'OTHER' is no enumerator of enum kind"),
        ("shapes", (), '"yes": true', '"yes": "zz"', "value.yes: 'zz' is no number"),
    ],
)
def test_values_that_are_none(
    name: str, style: tuple[str, ...], old: str, new: str, error: str, shapes: tuple[Sandbox, Map, Map]
) -> None:
    sandbox = shapes[0]
    text = sandbox.bcctool(*style, "map", "dump", "pinned", f"/sys/fs/bpf/m/{name}").stdout
    assert old in text
    words = ("map", "load", "pinned", f"/sys/fs/bpf/m/{name}", "-")
    done = sandbox.bcctool(*words, status=255, input=text.replace(old, new, 1))
    assert error in done.stderr
    assert done.stderr.count("\n") == 1


def test_digits_that_are_none() -> None:
    lines = [f"key: {number:02x} 00 00 00  value: 01 00 00 00\n" for number in range(200)]
    with Map.create("hash", 4, 4, 300) as map_:
        with pytest.raises(Error, match="element 100: error parsing byte: 0g"):
            load(map_, "".join([*lines[:99], lines[99].replace("63 00", "63 0g"), *lines[100:]]))
        for blank in (" 1", "1 "):  # of the same width, and no less right
            load(map_, "".join([*lines[:99], lines[99].replace("63 00", f"63 {blank}"), *lines[100:]]))
            assert map_.lookup(b"\x63\1\0\0") == b"\1\0\0\0"
            assert len(map_) == 200


def test_devices_with_programs(shapes: tuple[Sandbox, Map, Map]) -> None:
    sandbox = shapes[0]
    words = "type devmap key 4 value 8 entries 4 name d"
    sandbox.bcctool("map", "create", "/sys/fs/bpf/d", *words.split())
    with Prog.from_id(int(sandbox.bcctool("prog", "show", "pinned", "/sys/fs/bpf/p").stdout.partition(":")[0])) as prog:
        script = (
            f"from bcctool.objects.map import Map\nfrom bcctool.objects.prog import Prog\n"
            f"prog, map_ = Prog.from_id({prog.id}), Map.from_pin('/sys/fs/bpf/d')\n"
            "map_.update(bytes((1, 0, 0, 0)), (1).to_bytes(4, 'little') + prog.fd.to_bytes(4, 'little'))\n"
        )
        sandbox.run(sys.executable, "-c", script, env={"PYTHONPATH": str(ROOT)})
        for style in STYLES:
            text = sandbox.bcctool(*style, "map", "dump", "pinned", "/sys/fs/bpf/d").stdout
            sandbox.bcctool("map", "clear", "pinned", "/sys/fs/bpf/d")
            sandbox.bcctool("map", "load", "pinned", "/sys/fs/bpf/d", "-", input=text)
            assert sandbox.bcctool(*style, "map", "dump", "pinned", "/sys/fs/bpf/d").stdout == text
        raw = sandbox.bcctool("map", "lookup", "pinned", "/sys/fs/bpf/d", "key", "1", "0", "0", "0").stdout
        assert bytes.fromhex(raw.partition("value: ")[2])[4:] == prog.id.to_bytes(4, "little")


def test_maps_that_refer_to_others(typed: tuple[Sandbox, Callable[[str], Map]]) -> None:
    sandbox, open_map = typed
    jumps = open_map("jumps")
    words = ("map", "update", "pinned", "/sys/fs/bpf/m/jumps", "key", "0", "0", "0", "0", "value", "pinned")
    sandbox.bcctool(*words, "/sys/fs/bpf/p/drop")
    before = entries(jumps)
    assert len(before) == 1
    for style in STYLES:
        text = sandbox.bcctool(*style, "map", "dump", "pinned", "/sys/fs/bpf/m/jumps").stdout
        sandbox.bcctool("map", "clear", "pinned", "/sys/fs/bpf/m/jumps")
        assert entries(jumps) == {}
        sandbox.bcctool("map", "load", "pinned", "/sys/fs/bpf/m/jumps", "-", input=text)
        assert entries(jumps) == before
    with Map.create("array", 4, 4, 1) as inner, Map.create("hash_of_maps", 4, 4, 4, inner_map_fd=inner.fd) as outer:
        outer.update(b"\1\0\0\0", inner.fd.to_bytes(4, "little"))
        before = entries(outer)
        for style in STYLES:
            text = sandbox.bcctool(*style, "map", "dump", "id", str(outer.id)).stdout
            sandbox.bcctool("map", "clear", "id", str(outer.id))
            assert entries(outer) == {}
            sandbox.bcctool("map", "load", "id", str(outer.id), "-", input=text)
            assert entries(outer) == before


CREATE, UPDATE = "type devmap key 4 value 8 entries 4 name d", "key 2 0 0 0 value 1 0 0 0 0 0 0 0"


def test_devices(sandbox: Sandbox) -> None:
    sandbox.bcctool("map", "create", "/sys/fs/bpf/d", *CREATE.split())
    sandbox.bcctool("map", "update", "pinned", "/sys/fs/bpf/d", *UPDATE.split())
    for style in STYLES:
        text = sandbox.bcctool(*style, "map", "dump", "pinned", "/sys/fs/bpf/d").stdout
        sandbox.bcctool("map", "clear", "pinned", "/sys/fs/bpf/d")
        sandbox.bcctool("map", "load", "pinned", "/sys/fs/bpf/d", "-", input=text)
        assert sandbox.bcctool(*style, "map", "dump", "pinned", "/sys/fs/bpf/d").stdout == text


@pytest.mark.parametrize("type", ["queue", "stack"])
def test_queues(type: str, bcctool: Bcctool) -> None:
    with Map.create(type, 0, 4, 8) as map_:
        load(map_, "value: 01 00 00 00\nvalue: 02 00 00 00\nvalue 3 0 0 0\n")
        first = map_.lookup()
        assert first == (b"\3\0\0\0" if type == "stack" else b"\1\0\0\0")
        bcctool("map", "clear", "id", str(map_.id))
        assert map_.lookup() is None


def test_lines_as_people_write_them() -> None:
    text = "# mine\n\nkey 1 0 0 0 value 0x10 0 0 010\n  key hex 0a 00 00 00\n  value hex ff 00 0 1\n"
    text += "key 2 0 0 0\nvalue 1 2 3 4"
    with Map.create("hash", 4, 4, 8) as map_:
        load(map_, text)
        assert entries(map_) == {
            b"\1\0\0\0": b"\x10\0\0\x08",
            b"\x0a\0\0\0": b"\xff\0\0\1",
            b"\2\0\0\0": b"\1\2\3\4",
        }


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("key 1 0 0 value 1 2 3 4\n", "element 1: a key of 3 bytes, the map's have 4"),
        ("key 1 0 0 0 value 1 2 3\n", "element 1: a value of 3 bytes, the map's have 4"),
        ("key 1 0 0 0\n", "element 1: no value"),
        ("key 1 0 0 0 value 1 2 3 256\n", "element 1: value 256 is out of range for a byte: 0..255"),
        ("key 1 0 0 0 value 1 2 3 4\nkey 2 0 0 0 value x\n", "element 2: error parsing byte: x"),
        ("nonsense\n", "element 1: expected 'key' or 'value', got 'nonsense'"),
        ("key: 01 00 00 00\nvalue (CPU x1): 00\n", "element 1: no CPU in 'value (CPU x1'"),
        ("key: 01 00 00 00\nvalue (CPU 01): 00 00 00 00\n", "element 1: no value"),
        ('[{"key":["0x01","0x00","0x00","0x00"],"value":["0x01"', "element 1: no JSON: "),
        ('[{"key":["0x01"],"value":["0x01","0x00","0x00","0x00"]}]', "element 1: a key of 1 bytes"),
        ('[{"key":[1,0,0,0],"value":["0x01"]}]', 'element 1: expected an array of bytes as "0x00"'),
        ('[{"key":["0x01","0x00","0x00","0xzz"],"value":[]}]', "element 1: expected an array of bytes"),
        ('[{"key":["0x01","0x00","0x00","0x00"]}]', "element 1: no value"),
        ('[{"key":["0x01","0x00","0x00","0x00"],"values":[]}]', "element 1: no value"),
        ('[{"key":["0x01","0x00","0x00","0x00"],"values":7}]', "element 1: expected an array of cpu and value"),
        ("[7]", "element 1: expected an object, got 7"),
        ('[{"key":["0x01","0x00","0x00","0x00"],"values":[{"cpu":[]}]}]', "element 1: expected an array of cpu"),
        ('[{"key":' + "1" * 5000 + ',"value":1}]', "element 1: a number is too long: "),
        ("key 1 0 0 0 value" + " 0" * 100 + "\n", "element 1: more than 24 words"),
        ("00 " * 50 + "\n", "element 1: more than 24 words"),
        ("key: 01 00 00 00  inner_map_id: ²\n", "element 1: no map id: '²'"),
        ("key: 01 00 00 00  inner_map_id: 99999999999\n", "element 1: no map id: '99999999999'"),
        ("key: 01 00 00 00\nvalue (CPU ²): 00\n", "element 1: no CPU in 'value (CPU ²'"),
        ("key: 01 00 00 00\nvalue (CPU\n", "element 1: no CPU in 'value (CPU '"),
        ('[{"id":1,"elements":[]}]', "element 1: a dump of several maps: load them one by one"),
        ('[{"key":["0x01","0x00"\x1b]}]', "element 1: no JSON: "),
    ],
)  # fmt: skip
def test_input_that_is_none(text: str, error: str) -> None:
    with Map.create("hash", 4, 4, 8) as map_:
        with pytest.raises(Error) as caught:
            load(map_, text, "in.txt")
        assert caught.value.message.startswith(f"in.txt: {error}")
        assert "\x1b" not in caught.value.message
        assert len(entries(map_)) == text.count("key 2")


def test_what_could_not_be_read_is_left_out() -> None:
    text = '[{"key":["0x01","0x00","0x00","0x00"],"value":{"error":"No such file or directory"}},' \
           '{"key":["0x02","0x00","0x00","0x00"],"value":["0x01","0x00","0x00","0x00"]}]'  # fmt: skip
    with Map.create("hash", 4, 4, 8) as map_:
        load(map_, text)
        load(map_, "key: 03 00 00 00  value: <no entry>\nkey: 04 00 00 00  value: 05 00 00 00\nFound 1 element\n")
        assert entries(map_) == {b"\2\0\0\0": b"\1\0\0\0", b"\4\0\0\0": b"\5\0\0\0"}


def test_a_map_that_is_full() -> None:
    with Map.create("hash", 4, 4, 8) as map_, pytest.raises(Error, match="update failed: Argument list too long"):
        load(map_, "".join([f"key {number} 0 0 0 value 0 0 0 0\n" for number in range(20)]))


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("load", "id", "{hash}", "/nowhere"), "Error: can't read /nowhere: No such file or directory"),
        (("load", "id", "{hash}", "-", "more"), "Error: expected no more arguments, got: 'more'"),
        (("copy", "id", "{hash}", "id", "{hash}"), "can't be copied to itself"),
        (("copy", "id", "{hash}", "id", "{wide}"), "has keys of 4 bytes and values of 16, map "),
        (("copy", "id", "{hash}", "id", "{percpu}"), "has keys of 4 bytes and values of 8 for each CPU, map "),
        (("copy", "id", "{hash}", "id", "{jumps}"), "has keys of 4 bytes and values of 4, map "),
        (("copy", "id", "{four}", "id", "{jumps}"), "what a hash has in it does not fit into a prog_array"),
        (("clear", "id", "4294967295"), "Error: get map by id (4294967295): No such file or directory"),
        (("clear", "id", "{frozen}"), "Operation not permitted"),
    ],
)
def test_words_that_can_not_be(words: tuple[str, ...], error: str, bcctool: Bcctool) -> None:
    with contextlib.ExitStack() as opened:
        made = {
            "hash": Map.create("hash", 4, 8, 8),
            "four": Map.create("hash", 4, 4, 8),
            "wide": Map.create("hash", 4, 16, 8),
            "percpu": Map.create("percpu_hash", 4, 8, 8),
            "jumps": Map.create("prog_array", 4, 4, 8),
            "frozen": Map.create("array", 4, 8, 8),
        }
        for map_ in made.values():
            opened.enter_context(map_)
        made["frozen"].freeze()
        ids = {name: map_.id for name, map_ in made.items()}
        done = bcctool("map", *[word.format(**ids) for word in words], status=None, input="")
    assert done.returncode != 0
    assert error in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [("load",), ("load", "id", "1"), ("copy", "id", "1"), ("clear", "id")])
def test_too_few_words_are_the_usage(words: tuple[str, ...], bcctool: Bcctool) -> None:
    assert bcctool("map", *words, status=255).stderr.startswith("Usage: bcctool map ")


def test_old_kernels_update_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Linux 5.6 there are no batches; before 5.13 none for per-CPU arrays."""
    called = []

    def refuse(*arguments: object) -> int:
        called.append(arguments)
        return -errno.EINVAL

    def function(name: str) -> Any:
        return refuse if name == "bpf_map_update_batch" else original(name)

    original = libbpf.function
    monkeypatch.setattr(libbpf, "function", function)
    with Map.create("hash", 4, 4, 8) as map_:
        load(map_, "key 1 0 0 0 value 1 2 3 4\nkey 2 0 0 0 value 4 3 2 1\n")
        assert len(entries(map_)) == 2
    assert called


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 1 << 32),
    style=st.sampled_from(STYLES),
    chunk=st.integers(1, 70),
    blanks=st.lists(st.tuples(st.floats(0, 1), st.sampled_from([b" ", b"\n", b"\n\n", b","])), max_size=3),
)
def test_regular_and_irregular_text_are_read_alike(
    seed: int, style: tuple[str, ...], chunk: int, blanks: list[tuple[float, bytes]], bcctool: Bcctool
) -> None:
    """Cut anywhere, with blanks where JSON or lines may have some: what is read is the same as in one piece."""
    with filled("hash", 4, 8, 60, 0, seed) as map_:
        text = dumped(map_, bcctool, *style).encode()
        separator = b"\n" if not style else b","
        for where, blank in blanks:
            at = text.find(separator, int(where * len(text)))
            if at >= 0 and (blank != b"," or style == ()) and blank.isspace():
                text = text[: at + 1] + blank + text[at + 1 :]

        class Pieces(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                return super().read(chunk * 7)

        with empty(map_) as other:
            for keys, values, n in map_read.elements(other, Pieces(text), "pieces"):
                map_load.put(other, keys, values, n)
            assert entries(other) == entries(map_)


def test_large_input_takes_little_memory(bcctool: Bcctool, tmp_path: Path) -> None:
    """300,000 elements are 15 to 44 MB of text."""
    count = 300_000
    with Map.create("hash", 4, 8, count, flags=NO_PREALLOC) as map_, empty(map_) as other:
        keys = b"".join([number.to_bytes(4, "little") for number in range(count)])
        map_batches.update(map_, keys, keys * 2, count)
        for style in STYLES:
            (tmp_path / "dump").write_text(dumped(map_, bcctool, *style))
            words = (*BCCTOOL, "map", "load", "id", str(other.id), str(tmp_path / "dump"))
            done = run(sys.executable, "-c", PEAK, *words)
            assert int(done.stdout) < 60_000
            assert len(other) == count
            bcctool("map", "clear", "id", str(other.id))


PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
