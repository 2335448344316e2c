"""`map` over a kernel in memory: listings, selectors, the words of an entry, statuses and streams."""

from __future__ import annotations

import errno
import json
import struct
from collections.abc import Callable
from functools import partial

import pytest

from bcctool.commands import map as family
from bcctool.commands.map_words import take_bytes
from bcctool.errors import Error
from bcctool.kernel import bpf, proc
from bcctool.verbs import Args, Options

from .fake_kernel import FakeKernel, fake_kernel, written  # noqa: F401  (a fixture)
from .test_objects_map import TYPE, Entries, entries  # noqa: F401  (a fixture)

Run = Callable[..., tuple[str, int]]


@pytest.fixture(autouse=True)
def nobody_holds_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(family, "owners", lambda kind: {})


run = partial(written, "map")
"""What `map WORDS` writes to stdout, and its status."""


def args(words: str) -> Args:
    return Args(words.split(), Options())


def test_show_text(fake_kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    fake_kernel.add(bpf.MAP, 3, type=TYPE("hash"), name=b"h", key_size=4, value_size=8, max_entries=16, map_flags=0x41)
    fake_kernel.add(bpf.MAP, 4, type=TYPE("prog_array"), key_size=4, value_size=4, max_entries=2, btf_id=7)
    fake_kernel.add(bpf.MAP, 5, type=999, name=b"new\x1b")
    fdinfo = {"memlock": "960", "frozen": "1", "owner_prog_type": "6", "owner_jited": "1"}
    kinds = {3: ("memlock",), 4: tuple(fdinfo), 5: ("frozen",)}
    monkeypatch.setattr(
        proc, "fdinfo", lambda fd, pid="self": {name: fdinfo[name] for name in kinds[fake_kernel.open[fd][1]]}
    )
    monkeypatch.setattr(family, "owners", lambda kind: {3: [{"pid": 1, "comm": "init"}]})
    assert run("show") == (
        "3: hash  name h  flags 0x41\n"
        "\tkey 4B  value 8B  max_entries 16  memlock 960B\n"
        "\tpids init(1)\n"
        "4: prog_array  flags 0x0\n"
        "\tkey 4B  value 4B  max_entries 2  memlock 960B\n"
        "\towner_prog_type xdp  owner jited\n"
        "\tbtf_id 7  frozen\n"
        "5: type 999  name new\\x1b  flags 0x0\n"
        "\tkey 0B  value 0B  max_entries 0\n"
        "\tfrozen\n",
        0,
    )
    records = json.loads(run("list", json=True)[0])
    assert list(records[1]) == [
        "id", "type", "flags", "bytes_key", "bytes_value", "max_entries", "bytes_memlock",
        "owner_prog_type", "owner_jited", "frozen", "btf_id",
    ]  # fmt: skip
    assert (records[1]["owner_jited"], records[1]["frozen"], records[2]["type"]) == (True, 1, 999)
    assert json.loads(run("show id 3", json=True)[0]) == records[0]


def test_an_offloaded_map(fake_kernel: FakeKernel) -> None:  # noqa: F811
    fake_kernel.add(bpf.MAP, 3, type=TYPE("hash"), ifindex=7, netns_dev=4, netns_ino=5)
    assert run("show id 3")[0].startswith("3: hash  flags 0x0  offloaded_to ifindex 7 ns_dev 4 ns_ino 5\n")
    assert json.loads(run("show id 3", json=True)[0])["dev"] == {"ifindex": 7, "ns_dev": 4, "ns_inode": 5}


def test_no_descriptor_is_left_open(entries: Entries, fake_kernel: FakeKernel) -> None:  # noqa: F811
    import os

    before = len(os.listdir("/proc/self/fd"))
    for words in ("show", "dump id 1", "dump name h", "lookup id 1 key 1 0 0 0", "lookup id 1 key 1", "delete id 1",
                  "update id 1 key 1 0 0 0 value 1", "getnext id 1", "pop id 1", "show id 77"):  # fmt: skip
        run(words)
    assert len(os.listdir("/proc/self/fd")) == before


def test_lookup(entries: Entries) -> None:  # noqa: F811
    assert run("lookup id 1 key 3 0 0 0") == ("key: 03 00 00 00  value: 09 00 00 00 00 00 00 00\n", 0)
    assert run("lookup name h key hex ff 0 0 0") == ("key:\nff 00 00 00\n\nNot found\n", 254)
    assert run("lookup name h key 0xff 0 0 0", json=True) == ("null", 254)


def test_update_and_delete(entries: Entries) -> None:  # noqa: F811
    assert run("update id 1 key 1 0 0 1 value hex 1 2 3 4 5 6 7 8") == ("", 0)
    assert entries.of[b"\1\0\0\1"] == bytes(range(1, 9))
    assert run("update id 1 value 0 0 0 0 0 0 0 0 noexist key 1 0 0 1", json=True)[1] == 256 - errno.EEXIST
    assert run("delete id 1 key 1 0 0 1", json=True) == ("null", 0)
    assert run("delete id 1 key 1 0 0 1")[1] == 254


def test_one_value_goes_to_all_cpus(entries: Entries) -> None:  # noqa: F811
    entries.sizes = 4, 16
    assert run("update id 2 key 0 0 0 1 value 1 2 3") == ("", 0)
    assert entries.of[b"\0\0\0\1"] == b"\1\2\3\0\0\0\0\0" * 2


def test_getnext(entries: Entries) -> None:  # noqa: F811
    assert run("getnext id 1") == ("key: None\nnext key:\n00 00 00 00\n", 0)
    assert run("getnext id 1 key 1 0 0 0") == ("key:\n01 00 00 00\nnext key:\n02 00 00 00\n", 0)
    assert run("getnext id 1 key 99 0 0 0")[1] == 254
    assert json.loads(run("getnext id 1", json=True)[0]) == {"key": None, "next_key": ["0x00"] * 4}


def test_pop_takes_nothing_from_a_hash(entries: Entries, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    assert run("pop id 1") == ("", 255)
    assert "'pop' takes from queues and stacks; map 1 is of type hash" in capsys.readouterr().err
    assert len(entries.of) == 100


def test_dump_counts_what_it_could_read(entries: Entries) -> None:  # noqa: F811
    entries.of = {struct.pack("I", at): struct.pack("Q", at) for at in range(3)}
    entries.batch_error = errno.EINVAL
    entries.unreadable = {struct.pack("I", 1): errno.ENOENT}
    assert run("dump id 1") == (
        "key: 00 00 00 00  value: 00 00 00 00 00 00 00 00\n"
        "key: 01 00 00 00  value: <no entry>\n"
        "key: 02 00 00 00  value: 02 00 00 00 00 00 00 00\n"
        "Found 2 elements\n",
        0,
    )
    elements = json.loads(run("dump id 1", json=True)[0])
    assert [element["key"][0] for element in elements] == ["0x00", "0x01", "0x02"]
    assert elements[1]["value"] == {"error": "No such file or directory"}


def test_a_walk_that_fails_half_way_still_ends_the_array(entries: Entries) -> None:  # noqa: F811
    entries.batch_error, entries.good_batches = errno.EPERM, 1
    entries.of = {struct.pack("I", at): struct.pack("Q", at) for at in range(300)}
    output, status = run("dump id 1", json=True)
    assert len(json.loads(output)) == 100  # max_entries bounds the batch
    assert status == 255


@pytest.mark.parametrize(
    ("words", "data"),
    [
        ("1 2 255", b"\1\2\xff"),
        ("0x1 0XfF 010", b"\1\xff\x08"),
        ("hex 1 fF 0x10", b"\1\xff\x10"),
        ("h 10 20 30 40", b"\x10\x20\x30"),
    ],
)
def test_bytes(words: str, data: bytes) -> None:
    assert take_bytes(args(words), "key", 3) == data


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("1 2", "key expected 3 bytes got 2"),
        ("hex 1", "key expected 3 bytes got 1"),
        ("", "key expected 3 bytes got 0"),
        ("1 2 300", "value 300 is out of range for a byte: 0..255"),
        ("hex 1 2 100", "value 100 is out of range for a byte: 0..255"),
        ("1 2 08", "error parsing byte: 08"),
        ("1 2 zz", "error parsing byte: zz"),
        ("1 2 1_0", "error parsing byte: 1_0"),
        ("hex 1 2 -1", "error parsing byte: -1"),
        ("hex 1 2 1_0", "error parsing byte: 1_0"),
        ("hex 1 2 0x", "error parsing byte: 0x"),
        ("1 2 ²", "error parsing byte: ²"),
    ],
)
def test_what_is_no_byte(words: str, message: str) -> None:
    with pytest.raises(Error) as caught:
        take_bytes(args(words), "key", 3)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("words", "message", "status"),
    [
        ("show id 1 2", "what is 'id'?", 255),
        ("show name none", "no map with name 'none'", 255),
        ("show id 9", "get map by id (9): No such file or directory", 255),
        ("dump name sixteen_long_name", "can't parse name", 255),
        ("lookup id 1", "did not find key", 255),
        ("lookup id 1 any", "expected key or value, got: any", 255),
        ("lookup id 1 value 1", "unnecessary value", 255),
        ("delete id 1 foo", "expected key or value, got: foo", 255),
        ("update id 1 key 1 0 0 0", "did not find value", 255),
        ("update id 1 value 1 2 3 4 5 6 7 8", "did not find key", 255),
        ("update id 1 key 0 0 0 0 key", "duplicate key", 255),
        ("update id 1 any exist", "flags specified multiple times: exist", 255),
        ("pin id 1", "'pin' needs at least 3 arguments, 2 found", 234),
        ("freeze", "'freeze' needs at least 2 arguments, 0 found", 255),
        ("freeze id 1 2", "what is '2'?", 255),
        ("create /x type hash key 4", "'create' needs at least 7 arguments, 5 found", 255),
        ("create /x key 4 value 4 entries 1 name a", "map type not specified", 255),
        ("create /x type hash key 4 value 4 entries", "'4' needs at least 2 arguments, 1 found", 255),
        ("create /x type hash key 4294967296 value 4 n a", "key size 4294967296 is out of range: 0..4294967295", 255),
        ("create /x type nosuch key 4 value 4 name a", "unrecognized map type: nosuch", 255),
        ("create /x type hash key 4 value 4 entries 1 name a name b", "map name already specified", 255),
        ("create /proc/x type hash key 4 value 4 entries 1 name a",
         "/proc is not in a bpf file system (bpffs): pin below /sys/fs/bpf", 255),
        ("pin id 1 /proc/x", "/proc is not in a bpf file system (bpffs): pin below /sys/fs/bpf", 255),
    ],
)  # fmt: skip
def test_bad_words_are_one_line(
    entries: Entries,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
    words: str,
    message: str,
    status: int,
) -> None:
    assert run(words) == ("", status)
    assert capsys.readouterr().err == f"Error: {message}\n"
    output, json_status = run(words, json=True)
    assert (json.loads(output), json_status) == ({"error": message}, status)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("words", ["dump", "dump id", "dump id 1 2", "update", "lookup id", "getnext", "pop", "foo"])
def test_too_few_words_give_the_usage(entries: Entries, capsys: pytest.CaptureFixture[str], words: str) -> None:  # noqa: F811
    assert run(words) == ("", 255)
    assert capsys.readouterr().err.startswith("Usage: bcctool map { show | list } [MAP]\n")
    assert run(words, json=True) == ("null", 255)


def test_without_the_right_to_look(fake_kernel: FakeKernel) -> None:  # noqa: F811
    fake_kernel.error = errno.EPERM
    message = {"error": "can't get next map: Operation not permitted"}
    assert run("show", json=True) == (json.dumps([message]).replace(": ", ":", 1), 255)
    assert run("dump name x")[1] == 255
