"""Elements in bulk against the same elements one by one, as plain records."""

from __future__ import annotations

import errno
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bcctool.btf.layout import BOOL, SIGNED
from bcctool.btf.python import decode
from bcctool.btf.reader import Btf
from bcctool.btf.values import Row
from bcctool.commands.map_format import MAX_FILLED, ElementFormat, Types, hex_array, hex_lines
from bcctool.elf.object import ObjectFile
from bcctool.errors import Malformed
from bcctool.kernel import bpf, proc
from bcctool.objects.map import Map
from bcctool.output import dumps

from .fake_kernel import FakeKernel, fake_kernel  # noqa: F401  (a fixture)
from .test_btf_blobs import Blob
from .test_objects_map import TYPE

CPUS = 3
STYLES = ("plain", "json", "pretty")


@pytest.fixture
def make(fake_kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Map]:  # noqa: F811
    monkeypatch.setattr(proc, "possible_cpus", lambda: CPUS)

    def call(type: str, key_size: int, value_size: int, **fields: int) -> Map:
        fake_kernel.add(bpf.MAP, 1, type=TYPE(type), key_size=key_size, value_size=value_size, **fields)
        return Map.from_id(1)

    return call


@pytest.fixture
def types(compile_c: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Btf:
    found = ObjectFile(str(compile_c("map_values.c", "-g"))).btf
    assert found
    monkeypatch.setattr(Map, "types", lambda self: found)
    return found


def hex_list(data: bytes) -> list[str]:
    return [f"0x{byte:02x}" for byte in data]


def entries(map_: Map, n: int) -> tuple[list[bytes], list[bytes]]:
    chance = random.Random(n)
    return tuple([chance.randbytes(size) for _ in range(n)] for size in (map_.info.key_size, map_.value_bytes))  # type: ignore[return-value]


def record(map_: Map, key: bytes, value: bytes) -> dict[str, Any]:
    """What the JSON of an element is."""
    size = map_.info.value_size
    if map_.cpus:
        pieces = [value[cpu * map_.value_stride :][:size] for cpu in range(CPUS)]
        values = [{"cpu": cpu, "value": hex_list(piece)} for cpu, piece in enumerate(pieces)]
        return {"key": hex_list(key), "values": values}
    inner = {"inner_map_id": struct.unpack("I", value)[0]} if "of_maps" in map_.type else {}
    return {"key": hex_list(key), "value": hex_list(value), **inner}


SHAPES = [
    *(("hash", key, value) for key in (1, 4, 16, 17) for value in (1, 8, 9, 16, 17, 40)),
    ("hash", 8, MAX_FILLED),
    ("array", 4, 5000),
    ("queue", 0, 4),
    ("queue", 0, 20),
    ("hash_of_maps", 4, 4),
    ("array_of_maps", 24, 4),
    *(("percpu_hash", 4, value) for value in (1, 8, 16, 17, 300)),
]


@pytest.mark.parametrize(("type", "key", "value"), SHAPES)
@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize("n", [1, 5])
def test_json(make: Callable[..., Map], type: str, key: int, value: int, depth: int, n: int) -> None:
    with make(type, key, value) as map_:
        keys, values = entries(map_, n)
        for style in ("json", "pretty"):
            wanted = [
                dumps(record(map_, *pair), style == "pretty", depth) for pair in zip(keys, values, strict=True)
            ]  # fmt: skip
            found = ElementFormat(map_, style, depth).elements(b"".join(keys), b"".join(values), n)
            assert found == ",".join(wanted)


def lines(data: bytes) -> str:
    """The layout of bytes in plain text, put together byte by byte."""
    text = ""
    for at, byte in enumerate(data):
        text += f"{byte:02x}" if not at else f"{'' if at % 16 else chr(10)}{'' if at % 16 == 0 else ' '}"
        if at:
            text += f"{' ' if at % 16 == 8 else ''}{byte:02x}"
    return text


def text(map_: Map, key: bytes, value: bytes) -> str:
    """OUTPUT of one element in plain text."""
    size = map_.info.value_size
    if map_.cpus:
        out = f"key:\n{lines(key)}\n"
        for cpu in range(CPUS):
            piece = lines(value[cpu * map_.value_stride :][:size])
            out += f"value (CPU {cpu:02d}):" + ("\n" if size > 16 else " ") + piece + "\n"
        return out
    label, shown = "value", lines(value)
    if "of_maps" in map_.type:
        label, shown = "inner_map_id", f"{struct.unpack('I', value)[0]} "
    if len(key) > 16 or size > 16:
        return (f"key:\n{lines(key)}\n" if key else "") + f"{label}:\n{shown}\n"
    between = "  " if len(key) + size <= 24 else "\n"
    return (f"key: {lines(key)}{between}" if key else "") + f"{label}: {shown}\n"


@pytest.mark.parametrize(("type", "key", "value"), SHAPES)
@pytest.mark.parametrize("n", [1, 5])
def test_plain(make: Callable[..., Map], type: str, key: int, value: int, n: int) -> None:
    with make(type, key, value) as map_:
        keys, values = entries(map_, n)
        found = ElementFormat(map_, "plain", 0).elements(b"".join(keys), b"".join(values), n)
        assert found == "".join(map(text, [map_] * n, keys, values))


@pytest.mark.parametrize("size", [0, 1, 8, 9, 16, 17, 24, 25, 100])
def test_bytes(size: int) -> None:
    data = bytes(range(size))
    assert hex_lines(data) == lines(data)
    for pretty in (False, True):
        assert hex_array(data, pretty, 2) == dumps(hex_list(data), pretty, 2)


def decoded(types: Btf, map_: Map, key: bytes, value: bytes) -> dict[str, Any]:
    """Key and value as Python objects."""
    info = map_.info
    found = {"key": decode(types, info.btf_key_type_id, key)} if info.btf_key_type_id else {}
    if not map_.cpus:
        return found | {"value": decode(types, info.btf_value_type_id, value)}
    pieces = [value[cpu * map_.value_stride :][: info.value_size] for cpu in range(CPUS)]
    values = [{"cpu": cpu, "value": decode(types, info.btf_value_type_id, piece)} for cpu, piece in enumerate(pieces)]
    return found | {"values": values}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("type", ["hash", "percpu_hash"])
@pytest.mark.parametrize(("key", "value"), [("u32", "u64"), ("u32", "flat"), (None, "flat"), ("u64", "u32")])
def test_values_by_btf(
    make: Callable[..., Map], types: Btf, style: str, type: str, key: str | None, value: str
) -> None:
    """Of integers: their JSON is that of the Python objects; batches of changing size."""
    key_id, value_id = types.find(key) if key else 0, types.find(value)
    assert value_id
    sizes = {"key_size": types.size_of(key_id) if key_id else 4, "value_size": types.size_of(value_id)}
    with make(type, **sizes, btf_key_type_id=key_id, btf_value_type_id=value_id) as map_:
        format_ = ElementFormat(map_, style, 1, Types(map_))
        for n in (3, 5, 1, 5):
            keys, values = entries(map_, n)
            wanted = []
            for pair in zip(keys, values, strict=True):
                by_btf = decoded(types, map_, *pair)
                element = by_btf if style == "plain" else record(map_, *pair) | {"formatted": by_btf}
                wanted.append(dumps(element, style != "json", 1))
            assert format_.elements(b"".join(keys), b"".join(values), n) == ",".join(wanted)


def test_values_that_need_more_than_numbers(make: Callable[..., Map], types: Btf) -> None:
    key_id, value_id = types.find("key"), types.find("value")
    with make("hash", 8, 24, btf_key_type_id=key_id, btf_value_type_id=value_id) as map_:
        keys = struct.pack("I4sI4s", 1, b"abc", 2, b"%d\n\0")
        values = struct.pack("QII8s", 3, 5, 0x35, b"hi") + struct.pack("QII8s", 4, 6, 0xF5, b'"\\')
        assert ElementFormat(map_, "json", 1, Types(map_)).elements(keys, values, 2).partition("},{")[2].partition(
            '"formatted":'
        )[2] == (
            '{"key":{"id":2,"name":[37,100,10,0]},'
            '"value":{"count":4,"state":6,"low":"0x5","high":"0xf","text":"\\"\\\\"}}}'
        )
        plain = ElementFormat(map_, "plain", 1, Types(map_)).elements(keys, values, 2)
        assert '"state": "BUSY",\n            "low": 0x5,\n            "high": 0x3,\n            "text": "hi"' in plain


def test_a_type_of_another_size_is_refused(make: Callable[..., Map], types: Btf) -> None:
    id = types.find("u64")
    with (
        make("hash", 4, 8, btf_key_type_id=id, btf_value_type_id=id) as map_,
        pytest.raises(Malformed, match="8 bytes, but the map's key has 4"),
    ):
        ElementFormat(map_, "json", 0, Types(map_))


def test_a_type_that_is_not_there_is_refused(make: Callable[..., Map], types: Btf) -> None:
    with make("hash", 4, 8, btf_key_type_id=1 << 30, btf_value_type_id=1) as map_, pytest.raises(Malformed):
        ElementFormat(map_, "plain", 0, Types(map_))


@pytest.mark.parametrize(
    ("type", "error", "wanted"),
    [
        ("devmap", errno.ENOENT, "key: 01 00 00 00  value: <no entry>\n"),
        ("reuseport_sockarray", errno.ENOSPC, "key: 01 00 00 00  value: <cannot read>\n"),
        ("sockmap", errno.ENOSPC, "key:\n01 00 00 00\nvalue:\nNo space left on device\n"),
        ("perf_event_array", 524, "key:\n01 00 00 00\nvalue:\nUnknown error 524\n"),
    ],
)
def test_unreadable_in_plain_text(make: Callable[..., Map], type: str, error: int, wanted: str) -> None:
    with make(type, 4, 4) as map_:
        assert ElementFormat(map_, "plain", 0).unreadable(struct.pack("I", 1), error) == wanted


def test_unreadable_by_btf_is_an_element_too(make: Callable[..., Map], types: Btf) -> None:
    with make("hash", 4, 8, btf_key_type_id=types.find("u32"), btf_value_type_id=types.find("u64")) as map_:
        for style, key in (("plain", 7), ("json", ["0x07", "0x00", "0x00", "0x00"])):
            element = {"key": key, "value": {"error": "No such file or directory"}}
            found = ElementFormat(map_, style, 1, Types(map_)).unreadable(struct.pack("I", 7), errno.ENOENT)
            assert found == dumps(element, style != "json", 1)


MEMBERS = ("u8", "s16", "u32", "s64", "u64", "bool", "enum", "char[4]", "u16[3]")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    members=st.lists(st.sampled_from(MEMBERS), max_size=12),
    n=st.integers(1, 9),
    seed=st.integers(0, 1 << 32),
    style=st.sampled_from(STYLES),
    type=st.sampled_from(["hash", "percpu_hash"]),
)  # fmt: skip
def test_the_quick_ways_write_what_the_general_ones_do(
    members: list[str],
    n: int,
    seed: int,
    style: str,
    type: str,
    make: Callable[..., Map],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Structs at random: in bulk, one by one, with each value rendered and the digits of each element by themselves."""
    btf, id, size = random_struct(members)
    monkeypatch.setattr(Map, "types", lambda self: btf)
    chance = random.Random(seed)
    key_id = btf.find("u32") or 0
    with make(type, 4, size, btf_key_type_id=key_id, btf_value_type_id=id) as map_:
        keys = [chance.randbytes(4) for _ in range(n)]
        values = [chance.randbytes(map_.value_bytes) for _ in range(n)]
        quick = ElementFormat(map_, style, 1, Types(map_))
        bulk = quick.elements(b"".join(keys), b"".join(values), n)
        assert bulk == ",".join([quick.elements(key, value, 1) for key, value in zip(keys, values, strict=True)])
        with monkeypatch.context() as general:
            general.setattr("bcctool.commands.map_format.MAX_FILLED", 0)
            general.setattr(Types, "row", rendered)
            slow = ElementFormat(map_, style, 1, Types(map_))
            assert not slow.filled
            assert slow.elements(b"".join(keys), b"".join(values), n) == bulk


def rendered(types: Types, *words: Any, row: Callable[..., Row | None] = Types.row) -> Row | None:
    """A row whose values are rendered one by one, whatever they are."""
    found = row(types, *words)
    if found:
        found.format = None
    return found


def random_struct(members: list[str]) -> tuple[Btf, int, int]:
    """A struct with members of these types side by side: (BTF, id, size)."""
    blob = Blob("<")
    numbers = {"u8": (1, 0), "u16": (2, 0), "s16": (2, SIGNED), "u32": (4, 0), "s64": (8, SIGNED), "u64": (8, 0)}
    made = {name: (blob.number(name, size, encoding), size) for name, (size, encoding) in numbers.items()}
    made["bool"] = blob.number("_Bool", 1, BOOL), 1
    made["enum"] = blob.enum("some", 4, ("ZERO", 0), ("FIVE", 5)), 4
    made["char[4]"] = blob.array(blob.number("char", 1, SIGNED), 4), 4
    made["u16[3]"] = blob.array(made["u16"][0], 3), 6
    rows, at = [], 0
    for number, name in enumerate(members):
        rows.append((f"member_{number}", made[name][0], at * 8))
        at += made[name][1]
    id = blob.struct("random", max(at, 1), *rows)
    return blob.btf(), id, max(at, 1)
