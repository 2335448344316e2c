"""`prog show` over the fake kernel: records, text, selectors, errors."""

from __future__ import annotations

import ctypes
import errno
import io
import json
import os
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from bcctool.cli import Session
from bcctool.commands import prog as family
from bcctool.kernel import bpf, proc
from bcctool.output import Output
from bcctool.verbs import Options

from .fake_kernel import FakeKernel, fake_kernel  # noqa: F401  (a fixture)

TAG = bytes.fromhex("a04f5eef06a7f555")


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Boot at the epoch, and nobody holds anything."""
    monkeypatch.setattr(proc, "boot_time_ns", lambda: 0)
    monkeypatch.setattr(family, "owners", lambda kind: {7: [{"pid": 12, "comm": "a"}, {"pid": 13, "comm": "b"}]})
    monkeypatch.setattr(proc, "fdinfo", lambda fd, pid="self": {"memlock": "4096"})
    monkeypatch.setenv("TZ", "UTC")


def run(*words: str, **options: bool) -> tuple[str, int]:
    """What a command writes to stdout, and its status."""
    chosen = Options()
    for name, value in options.items():
        setattr(chosen, name, value)
    stream = io.BytesIO()
    out = Output(chosen.style, stream)
    status = Session(chosen, out).execute(words)
    out.flush()
    return stream.getvalue().decode(), status


def add_two(kernel: FakeKernel) -> None:
    tag = (ctypes.c_uint8 * 8)(*TAG)
    kernel.add(
        bpf.PROG, 7, type=6, name=b"counter", tag=tag, gpl_compatible=1, load_time=5_000_000_000,
        created_by_uid=3, xlated_prog_len=224, jited_prog_len=156, map_ids=struct.pack("=2I", 4, 9), btf_id=11,
    )  # fmt: skip
    kernel.add(bpf.PROG, 9, type=2, tag=tag, xlated_prog_len=16, run_time_ns=100, run_cnt=2, recursion_misses=1)


def test_text(fake_kernel: FakeKernel) -> None:  # noqa: F811
    add_two(fake_kernel)
    assert run("prog", "show") == (
        "7: xdp  name counter  tag a04f5eef06a7f555  gpl\n"
        "\tloaded_at 1970-01-01T00:00:05+0000  uid 3\n"
        "\txlated 224B  jited 156B  memlock 4096B  map_ids 4,9\n"
        "\tbtf_id 11\n"
        "\tpids a(12), b(13)\n"
        "9: kprobe  tag a04f5eef06a7f555 run_time_ns 100 run_cnt 2 recursion_misses 1\n"
        "\txlated 16B  not jited  memlock 4096B\n",
        0,
    )


def test_json_has_bpftool_s_keys_in_order(fake_kernel: FakeKernel) -> None:  # noqa: F811
    add_two(fake_kernel)
    output, status = run("prog", json=True)
    records: list[dict[str, Any]] = json.loads(output)
    assert status == 0
    assert list(records[0].items()) == [
        ("id", 7), ("type", "xdp"), ("name", "counter"), ("tag", "a04f5eef06a7f555"), ("gpl_compatible", True),
        ("loaded_at", 5), ("uid", 3), ("orphaned", False), ("bytes_xlated", 224), ("jited", True), ("bytes_jited", 156),
        ("bytes_memlock", 4096), ("map_ids", [4, 9]), ("btf_id", 11),
        ("pids", [{"pid": 12, "comm": "a"}, {"pid": 13, "comm": "b"}]),
    ]  # fmt: skip
    assert records[1]["jited"] is False
    assert "bytes_jited" not in records[1]


def test_one_program_is_an_object_and_several_an_array(fake_kernel: FakeKernel) -> None:  # noqa: F811
    add_two(fake_kernel)
    assert json.loads(run("prog", "show", "id", "7", json=True)[0])["id"] == 7
    assert json.loads(run("prog", "show", "name", "counter", json=True)[0])["id"] == 7
    several = json.loads(run("prog", "show", "tag", TAG.hex().upper(), json=True)[0])
    assert [record["id"] for record in several] == [7, 9]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("id", "8"), "get by id (8): No such file or directory"),
        (("id", "x"), "can't parse x as ID"),
        (("id", "4294967303"), "ID 4294967303 is out of range: 0..4294967295"),
        (("name", "nosuch"), "no program with name 'nosuch'"),
        (("name", "x" * 128), "can't parse name"),
        (("tag", "0123"), "can't parse tag"),
        (("tag", "0" * 16), "no program with tag '0000000000000000'"),
        (("pinned", "/nosuch"), "bpf obj get (/nosuch): No such file or directory"),
        (("pinned", "/map"), "incorrect object type: map"),
        (("foo", "1"), "expected 'id', 'tag', 'name' or 'pinned', got: 'foo'?"),
        (("id",), "what is 'id'?"),
    ],
)
def test_bad_selectors(fake_kernel: FakeKernel, words: tuple[str, ...], message: str) -> None:  # noqa: F811
    add_two(fake_kernel)
    fake_kernel.add(bpf.MAP, 1)
    fake_kernel.pins["/map"] = bpf.MAP, 1
    assert run("prog", "show", *words, json=True) == (json.dumps({"error": message}, separators=(",", ":")), 255)


def test_no_permission_is_an_error_inside_the_array(fake_kernel: FakeKernel) -> None:  # noqa: F811
    fake_kernel.error = errno.EPERM
    message = "can't get next program: Operation not permitted"
    assert run("prog", json=True) == (f'[{{"error":"{message}"}}]', 255)


def test_programs_that_vanish_are_skipped(fake_kernel: FakeKernel) -> None:  # noqa: F811
    add_two(fake_kernel)
    fake_kernel.vanished = {7}
    output, status = run("prog", json=True)
    assert ([record["id"] for record in json.loads(output)], status) == ([9], 0)


def test_no_descriptor_is_left_open(fake_kernel: FakeKernel) -> None:  # noqa: F811
    add_two(fake_kernel)
    before = len(os.listdir("/proc/self/fd"))
    for words in ((), ("id", "7"), ("tag", TAG.hex()), ("name", "nosuch")):
        run("prog", "show", *words)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_type_newer_than_we_are_is_its_number(fake_kernel: FakeKernel) -> None:  # noqa: F811
    fake_kernel.add(bpf.PROG, 1, type=999)
    assert json.loads(run("prog", json=True)[0])[0]["type"] == 999
    assert run("prog")[0].startswith("1: type 999  tag 0000000000000000\n")


def test_a_hostile_name_does_not_reach_the_terminal(fake_kernel: FakeKernel) -> None:  # noqa: F811
    fake_kernel.add(bpf.PROG, 1, type=6, name=b"\x1b[2J\xff")
    assert "name \\x1b[2J\\xff  tag" in run("prog")[0]
    assert json.loads(run("prog", json=True)[0])[0]["name"] == "\x1b[2J\\xff"


def test_a_listing_ends_though_more_is_loaded_all_the_time(
    fake_kernel: FakeKernel,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever asks the kernel for the next id after each program would follow a quick loader without end."""
    add_two(fake_kernel)
    open_by_id = fake_kernel.fd_by_id

    def next_ids(kind: str) -> Iterator[int]:
        id = 0
        while following := [other for other in fake_kernel.objects[kind] if other > id]:
            id = min(following)
            yield id

    def fd_by_id(kind: str, id: int, flags: int = 0) -> int:
        assert id < 100
        if kind == bpf.PROG:
            fake_kernel.add(kind, max(fake_kernel.objects[kind]) + 1, type=6)
        return open_by_id(kind, id, flags)

    monkeypatch.setattr(bpf, "ids", next_ids)
    monkeypatch.setattr(bpf, "fd_by_id", fd_by_id)
    out, status = run("prog", "show", json=True)
    assert ([record["id"] for record in json.loads(out)], status) == ([7, 9], 0)
