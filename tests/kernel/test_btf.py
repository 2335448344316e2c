"""btf on a real kernel: what is loaded, who uses it, and dumping it by program, map and id."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Sandbox

pytestmark = pytest.mark.skipif(not shutil.which("bpftool"), reason="bpftool, which loads the programs, is missing")

PINS = "/sys/fs/bpf"
COUNTER = f"pinned {PINS}/m/net_counter"


@pytest.fixture
def box(sandbox: Sandbox, compile_c: Callable[..., Path]) -> Sandbox:
    """A sandbox with programs and maps, with BTF and without."""
    sandbox.run("bpftool", "prog", "loadall", compile_c("net_hooks.c", "-g"), f"{PINS}/p", "pinmaps", f"{PINS}/m")
    sizes = ("key", "4", "value", "4", "entries", "1")
    sandbox.run("bpftool", "map", "create", f"{PINS}/plain", "type", "hash", *sizes, "name", "plain")
    sandbox.run("bpftool", "prog", "load", compile_c("net_hooks.c", "-DNO_MAP"), f"{PINS}/plain_prog", "type", "xdp")
    return sandbox


def of(box: Sandbox, family: str, selector: str) -> dict[str, Any]:
    return dict(json.loads(box.bcctool("-j", family, "show", *selector.split()).stdout))


def test_who_uses_a_btf_object(box: Sandbox) -> None:
    map = json.loads(box.run("bpftool", "-j", "map", "show", *COUNTER.split()).stdout)
    progs = [of(box, "prog", f"pinned {PINS}/p/{name}")["id"] for name in ("net_xdp", "net_tc", "net_flow")]
    listed = {record["id"]: record for record in json.loads(box.bcctool("-j", "btf").stdout)}
    record = listed[map["btf_id"]]
    assert [*record] == ["id", "size", "prog_ids", "map_ids", "kernel"]
    assert record["prog_ids"] == sorted(record["prog_ids"])
    assert set(progs) < set(record["prog_ids"])
    assert (record["map_ids"], record["kernel"]) == ([map["id"]], False)
    assert of(box, "btf", f"id {map['btf_id']}") == record
    text = box.bcctool("btf", "list", "id", str(map["btf_id"])).stdout
    ids = ",".join(str(id) for id in record["prog_ids"])
    assert text == f"{map['btf_id']}: name <anon>  size {record['size']}B  prog_ids {ids}  map_ids {map['id']}\n"


def test_the_kernels_own(box: Sandbox) -> None:
    vmlinux = next(record for record in json.loads(box.bcctool("-j", "btf").stdout) if record.get("name") == "vmlinux")
    assert vmlinux["kernel"] is True
    assert vmlinux["size"] == Path("/sys/kernel/btf/vmlinux").stat().st_size
    by_id = box.bcctool("btf", "dump", "id", str(vmlinux["id"])).stdout
    assert by_id == box.bcctool("btf", "dump", "file", "/sys/kernel/btf/vmlinux").stdout
    assert by_id.count("\n[") > 50000


def test_dumps_by_program_and_map_are_the_objects_types(box: Sandbox, compile_c: Callable[..., Path]) -> None:
    whole = box.bcctool("btf", "dump", "prog", "pinned", f"{PINS}/p/net_xdp").stdout
    assert "FUNC 'net_xdp'" in whole
    assert box.bcctool("btf", "dump", "map", *COUNTER.split(), "all").stdout == whole
    key = box.bcctool("btf", "dump", "map", *COUNTER.split(), "key").stdout
    value = box.bcctool("btf", "dump", "map", *COUNTER.split(), "value").stdout
    assert (key.partition("] ")[2][:15], value.partition("] ")[2][:15]) == ("TYPEDEF '__u32'", "TYPEDEF '__u64'")
    assert box.bcctool("btf", "dump", "map", *COUNTER.split()).stdout == key + value
    text = box.bcctool("btf", "dump", "map", *COUNTER.split(), "format", "c").stdout
    assert "typedef unsigned long long __u64;\n" in text


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ("btf dump id 4294967295", 254, "can't get BTF object by id (4294967295): No such file or directory"),
        ("btf show id 4294967295", 255, "can't get BTF object by id (4294967295): No such file or directory"),
        ("btf dump prog id 4294967295", 255, "get by id (4294967295): No such file or directory"),
        ("btf dump map id 4294967295", 255, "get map by id (4294967295): No such file or directory"),
        (f"btf dump map {COUNTER} foo", 234, "unrecognized option: 'foo'"),
        (f"btf dump map {COUNTER} key root_id 1", 234,
         "root_id can't be combined with the key and value types of a map"),
    ],
)  # fmt: skip
def test_errors_are_one_line(box: Sandbox, words: str, status: int, message: str) -> None:
    done = box.bcctool(*words.split(), status=status)
    assert (done.stdout, done.stderr) == ("", f"Error: {message}\n")
    assert json.loads(box.bcctool("-j", *words.split(), status=status).stdout) == {"error": message}


@pytest.mark.parametrize(("family", "noun", "pin"), [("map", "map", "plain"), ("prog", "program", "plain_prog")])
def test_what_has_no_btf(box: Sandbox, family: str, noun: str, pin: str) -> None:
    id = of(box, family, f"pinned {PINS}/{pin}")["id"]
    done = box.bcctool("btf", "dump", family, "id", str(id), status=254)
    assert done.stderr == f"Error: {noun} {id} has no BTF\n"
