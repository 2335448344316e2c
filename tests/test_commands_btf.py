"""btf: listings over a fake kernel, and dumps of files, for which no kernel is needed."""

from __future__ import annotations

import errno
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile

from bcctool.commands import btf_show
from bcctool.errors import KernelError
from bcctool.kernel import bpf
from bcctool.objects.map import Map
from bcctool.objects.prog import Prog

from .conftest import Completed
from .fake_kernel import FakeKernel, fake_kernel  # noqa: F401  (a fixture)

Run = Callable[..., Completed]
Compile = Callable[..., Path]


def test_users_by_btf_object(fake_kernel: FakeKernel) -> None:  # noqa: F811
    for id, btf_id in ((9, 5), (3, 5), (4, 0), (7, 6)):
        fake_kernel.add(bpf.PROG, id, btf_id=btf_id)
    assert btf_show.users(Prog, "prog") == {5: [3, 9], 0: [4], 6: [7]}
    fake_kernel.error = errno.EPERM
    with pytest.raises(KernelError, match=r"^can't get next map: Operation not permitted$"):
        btf_show.users(Map, "map")


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (
            {"id": 1, "size": 9, "prog_ids": [], "map_ids": [], "kernel": True, "name": "vmlinux"},
            "1: name [vmlinux]  size 9B\n",
        ),
        (
            {"id": 2, "size": 9, "prog_ids": [4], "map_ids": [], "kernel": False, "name": "x"},
            "2: name x  size 9B  prog_ids 4\n",
        ),
        (
            {"id": 2, "size": 9, "prog_ids": [4, 5], "map_ids": [6], "pids": [{"pid": 7, "comm": "a"}], "kernel": 0},
            "2: name <anon>  size 9B  prog_ids 4,5  map_ids 6\n\tpids a(7)\n",
        ),
    ],
)
def test_text_of_the_listing(record: dict[str, Any], text: str) -> None:
    assert btf_show.text(record) == text


@pytest.fixture(scope="module")
def obj(compile_c: Compile) -> Path:
    """An object file with BTF."""
    return compile_c("net_hooks.c", "-g")


@pytest.fixture(scope="module")
def blob(obj: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its BTF as a file."""
    path = tmp_path_factory.mktemp("btf") / "blob"
    with obj.open("rb") as file:
        section = ELFFile(file).get_section_by_name(".BTF")
        assert section is not None
        path.write_bytes(section.data())
    return path


def test_an_object_file_and_its_raw_btf_dump_alike(bcctool: Run, obj: Path, blob: Path) -> None:
    text = bcctool("btf", "dump", "file", obj).stdout
    assert text.startswith("[1] ")
    assert "STRUCT 'xdp_md' size=24 vlen=6\n" in text
    assert bcctool("btf", "dump", "file", blob, "format", "raw", "unsorted").stdout == text
    types = json.loads(bcctool("-j", "btf", "dump", "file", blob).stdout)["types"]
    assert [type_["id"] for type_ in types] == list(range(1, text.count("\n[") + 2))


def test_files_of_the_other_byte_order(bcctool: Run, compile_c: Compile, obj: Path) -> None:
    other = compile_c("net_hooks.c", "-g", target="bpfeb")
    assert bcctool("btf", "dump", "file", other).stdout == bcctool("btf", "dump", "file", obj).stdout


def test_root_ids_pick_types(bcctool: Run, blob: Path) -> None:
    lines = bcctool("btf", "dump", "file", blob, "root_id", "3", "root_id", "0x1").stdout.splitlines()
    assert [line.split("]")[0] for line in lines if line[0] == "["] == ["[3", "[1"]
    assert bcctool("btf", "dump", "file", blob, "root_id", "0").stdout == "[0] UNKNOWN '(anon)'\n"


def test_c_has_the_types_of_the_blob(bcctool: Run, blob: Path) -> None:
    text = bcctool("btf", "dump", "file", blob, "format", "c").stdout
    assert text.startswith("#ifndef __VMLINUX_H__\n")
    assert "struct xdp_md {\n\t__u32 data;\n" in text
    assert text.endswith("#endif /* __VMLINUX_H__ */\n")


def test_split_btf_needs_its_base(bcctool: Run, blob: Path, tmp_path: Path) -> None:
    """A split blob whose only type is a typedef of type 1 of the base."""
    base = bcctool("btf", "dump", "file", blob).stdout
    count, strings = base.count("\n[") + 2, struct.unpack_from("=I", blob.read_bytes(), 20)[0]
    types = struct.pack("=3I", strings, 8 << 24, 1)
    path = tmp_path / "split"
    path.write_bytes(struct.pack("=HBB5I", 0xEB9F, 1, 0, 24, 0, len(types), len(types), 6) + types + b"added\0")
    done = bcctool("-B", blob, "btf", "dump", "file", path)
    assert done.stdout == f"[{count}] TYPEDEF 'added' type_id=1\n"


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ("btf dump", 255, "'dump' needs at least 2 arguments, 0 found"),
        ("btf dump file", 255, "'dump' needs at least 2 arguments, 1 found"),
        ("btf dump foo 3", 255, "unrecognized BTF source specifier: 'foo'"),
        ("btf dump file /nosuch", 254, "failed to load BTF from /nosuch: No such file or directory"),
        ("btf dump file /etc/passwd", 95, "failed to load BTF from /etc/passwd: it is neither BTF nor an ELF file"),
        ("btf dump file /dev/null", 251, "failed to load BTF from /dev/null: not a regular file"),
        ("btf dump file /etc", 251, "failed to load BTF from /etc: not a regular file"),
        ("-B /etc/passwd btf dump file BLOB", 255,
         "failed to parse base BTF at '/etc/passwd': it is neither BTF nor an ELF file"),
        ("-B /nosuch btf dump file BLOB", 255, "failed to parse base BTF at '/nosuch': No such file or directory"),
        ("btf dump file BLOB foo", 234, "unrecognized option: 'foo'"),
        ("btf dump file BLOB format", 234, "expecting value for 'format' option"),
        ("btf dump file BLOB format ra", 234, "unrecognized format specifier: 'ra', possible values: raw, c"),
        ("btf dump file BLOB root_id", 234, "expecting value for 'root_id' option"),
        ("btf dump file BLOB root_id x", 234, "can't parse x as root_id"),
        ("btf dump file BLOB root_id 1 root_id 1", 234, "duplicate root_id 1 supplied"),
        ("btf dump file BLOB root_id 99999", 234, "BLOB has no type [99999]"),
        ("btf dump file BLOB" + "".join(f" root_id {id}" for id in range(17)), 234,
         "too many root_ids, 16 are possible"),
        ("btf show foo", 255, "what is 'foo'?"),
        ("btf show foo 5", 255, "expected 'id', got: 'foo'?"),
        ("btf show id x", 255, "can't parse x as ID"),
    ],
)  # fmt: skip
def test_errors_are_one_line(bcctool: Run, blob: Path, words: str, status: int, message: str) -> None:
    done = bcctool(*words.replace("BLOB", str(blob)).split(), status=status)
    assert (done.stdout, done.stderr) == ("", f"Error: {message.replace('BLOB', str(blob))}\n")
    done = bcctool("-j", *words.replace("BLOB", str(blob)).split(), status=status)
    assert (json.loads(done.stdout), done.stderr) == ({"error": message.replace("BLOB", str(blob))}, "")


def test_c_and_json_exclude_each_other(bcctool: Run, blob: Path) -> None:
    done = bcctool("-j", "btf", "dump", "file", blob, "format", "c", status=161)
    assert json.loads(done.stdout) == {"error": "JSON output for C-syntax dump is not supported"}


def test_elf_files_without_btf_and_broken_ones(bcctool: Run, compile_c: Compile, obj: Path, tmp_path: Path) -> None:
    done = bcctool("btf", "dump", "file", compile_c("net_hooks.c"), status=195)
    assert "it has no .BTF section" in done.stderr
    data, path = obj.read_bytes(), tmp_path / "broken"
    for broken in (data[:4], data[:40], data[:-100], data[:60] + b"\xff\xff" + data[62:], b"\x7fELF" + os.urandom(400)):
        path.write_bytes(broken)
        done = bcctool("btf", "dump", "file", path, status=255)
        assert done.stderr.startswith("Error: ")
        assert (done.stdout, done.stderr.count("\n")) == ("", 1)
