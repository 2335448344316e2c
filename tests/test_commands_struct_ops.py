"""struct_ops: what picks maps, names of structs, also a module's, and how functions print."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from bcctool.btf.proto import signature
from bcctool.btf.reader import Btf
from bcctool.commands import struct_ops, struct_ops_dump
from bcctool.errors import Error
from bcctool.kernel import bpf, uapi
from bcctool.objects import btf
from bcctool.verbs import Args, Options, Usage

from .fake_kernel import FakeKernel, fake_kernel  # noqa: F401  (a fixture)
from .test_btf_blobs import Blob

STRUCT_OPS = uapi.MAP_TYPES.index("struct_ops")


@pytest.fixture
def kernel(fake_kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> FakeKernel:  # noqa: F811
    """Three struct_ops maps, two of a name, and another map of that name."""
    types = Types(["", "bpf_struct_ops_tcp_congestion_ops", "bpf_struct_ops_hid_\x1b"])
    monkeypatch.setattr(btf, "vmlinux", lambda: types)
    fields: dict[str, Any] = {"type": STRUCT_OPS, "btf_vmlinux_value_type_id": 1}
    fake_kernel.add(bpf.MAP, 3, name=b"dctcp", **fields)
    fake_kernel.add(bpf.MAP, 4, name=b"dctcp", type=2)
    fake_kernel.add(bpf.MAP, 5, name=b"dctcp", **fields)
    fake_kernel.add(bpf.MAP, 6, name=b"\x1b", **fields | {"btf_vmlinux_value_type_id": 2})
    return fake_kernel


class Types:
    """Names by type id, in the place of BTF."""

    def __init__(self, names: list[str]) -> None:
        self.name = names.__getitem__


def show(*words: str) -> list[dict[str, Any]]:
    return list(struct_ops.show.run(Args(words, Options(), "show")))


def test_only_struct_ops_maps_are_shown(kernel: FakeKernel) -> None:
    assert [record["id"] for record in show()] == [3, 5, 6]
    assert [record["id"] for record in show("name", "dctcp")] == [3, 5]
    assert show("id", "0x3") == [{"id": 3, "name": "dctcp", "kernel_struct_ops": "tcp_congestion_ops"}]
    kernel.vanished.add(5)
    assert [record["id"] for record in show()] == [3, 6]


def test_text_is_padded_and_safe(kernel: FakeKernel) -> None:
    assert struct_ops.text(show("id", "3")[0]) == "3: dctcp           tcp_congestion_ops              \n"
    assert struct_ops.text(show("id", "6")[0]) == "6: \\x1b            hid_\\x1b                        \n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("id", "9"), "can't get map by id (9): No such file or directory"),
        (("id", "4"), "dctcp id 4 is not a struct_ops map"),
        (("id", "nine"), "invalid id nine"),
        (("id", "4294967296"), "invalid id 4294967296"),
        (("name", "dct"), "no struct_ops found for dct"),
    ],
)
def test_what_is_not_there(kernel: FakeKernel, words: tuple[str, ...], message: str) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(Error) as caught:
        show(*words)
    assert (caught.value.message, caught.value.status) == (message, 255)
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("words", [("id",), ("foo", "3"), ("id", "3", "more"), ("3",)])
def test_other_words_get_the_usage(kernel: FakeKernel, words: tuple[str, ...]) -> None:
    with pytest.raises(Usage):
        show(*words)


def test_a_struct_of_a_module(kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel.add(bpf.BTF, 40)
    kernel.add(bpf.MAP, 7, name=b"m", type=STRUCT_OPS, btf_vmlinux_value_type_id=1, btf_vmlinux_id=40)
    monkeypatch.setattr(btf.Btf, "reader", lambda self: Types(["", "bpf_struct_ops_of_a_module"]))
    assert show("id", "7")[0]["kernel_struct_ops"] == "of_a_module"
    monkeypatch.setattr(btf.Btf, "name", "vmlinux")
    assert show("id", "7")[0]["kernel_struct_ops"] == "tcp_congestion_ops"


def prototypes() -> Btf:
    """4: a prototype with three parameters, 5: one without parameters."""
    blob = Blob()
    number = blob.number("int")
    pointer = blob.ptr(blob.struct("sock", 0))
    blob.proto(number, ("", pointer), ("", number), ("", 0))
    blob.proto(0)
    return blob.btf()


def test_prototypes() -> None:
    blob = Blob()
    number = blob.number("int")
    pointer = blob.ptr(blob.ptr(number))
    proto = blob.proto(pointer, ("flags", number), ("", pointer))
    assert signature(blob.btf(), proto) == "int * * (int flags, int * *)"


def test_a_program_that_went_away(kernel: FakeKernel) -> None:
    types = prototypes()
    kernel.add(bpf.PROG, 8, name=b"run")
    assert json.loads(struct_ops_dump.function(types, 4, 8)) == "int (struct sock *, int, ...) run/prog_id:8"
    assert json.loads(struct_ops_dump.function(types, 4, 9)) == (
        "int (struct sock *, int, ...) <unknown_prog_name>/prog_id:9"
    )
    assert json.loads(struct_ops_dump.function(types, 5, 0)) == "void () 0"
