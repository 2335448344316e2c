"""`object show` and `object dump`: an object file without the kernel."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Compile = Callable[..., Path]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_show_a_legacy_object(bcctool: Run, compile_c: Compile) -> None:
    path = compile_c("prog_legacy.c")
    assert bcctool("object", "show", path).stdout == (
        f"{path}: little-endian  license GPL  no btf\n"
        "\tprog counter  section xdp  type xdp  attach_type xdp  insns 21\n"
        "\tmap counter_map  section maps  type array  key 4B  value 8B  max_entries 1  flags 0x0  legacy\n"
        "\tmap other_map  section maps  type hash  key 8B  value 16B  max_entries 32  flags 0x1  legacy\n"
    )


@pytest.mark.parametrize("target", ["bpf", "bpfeb"])
def test_show_in_json(bcctool: Run, compile_c: Compile, target: str) -> None:
    record = json.loads(bcctool("-j", "object", "show", compile_c("prog_rich.c", "-g", target=target)).stdout)
    assert list(record) == ["file", "byteorder", "license", "btf", "programs", "subprograms", "maps", "externs"]
    assert record["byteorder"] == ("little" if target == "bpf" else "big")
    assert [prog["name"] for prog in record["programs"]] == ["very_long_program_name"]
    assert sorted(prog["name"] for prog in record["subprograms"]) == ["note", "visit", "weigh"]
    assert record["btf"] > 30
    assert [(map_["name"], map_["definition"], map_["bytes_key"]) for map_ in record["maps"][:2]] == [
        ("counts", "btf", 24), ("keys", "btf", 4),
    ]  # fmt: skip
    assert {map_["definition"] for map_ in record["maps"][2:]} == {"data"}


@pytest.mark.parametrize("target", ["bpf", "bpfeb"])
def test_dump_names_what_is_referred_to(bcctool: Run, compile_c: Compile, target: str) -> None:
    text = bcctool("object", "dump", compile_c("prog_rich.c", "-g", target=target)).stdout
    assert "int very_long_program_name(struct xdp_md * ctx):\n" in text
    assert "; total++;\n" in text
    for wanted in (
        "r1 = map[counts]", "r1 = map[keys]", "= subprog[visit]", "map[.bss][0]+0", "map[.data][0]+0",
        "(85) call bpf_map_lookup_elem#1", "(85) call weigh\n", "(85) call note\n",
    ):  # fmt: skip
        assert wanted in text, wanted


def test_dump_one_program_with_opcodes_and_places(bcctool: Run, compile_c: Compile) -> None:
    path = compile_c("prog_rich.c", "-g")
    records = json.loads(bcctool("-j", "object", "dump", path, "prog", "note", "opcodes", "linum").stdout)
    assert [(record["name"], record["section"]) for record in records] == [("note", ".text")]
    first = records[0]["insns"][0]
    assert list(first) == ["proto", "src", "file", "line_num", "line_col", "disasm", "opcodes"]
    assert first["proto"] == "int note(void * ctx, volatile int * place)"
    assert first["file"].endswith("prog_rich.c")
    assert records[0]["insns"][-1]["opcodes"]["code"] == "0x95"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("dump", "OBJ", "prog", "nosuch"), "no program 'nosuch', there are: "),
        (("dump", "/etc/passwd"), "/etc/passwd: not an ELF file"),
        (("show", "/bin/true"), "/bin/true: an ELF for x86-64, not BPF: compile with clang -target bpf"),
        (("show", "/tmp"), "/tmp: is a directory, not an object file"),
        (("show",), "expected an object file"),
        (("show", "OBJ", "junk"), "expected no more arguments, got: 'junk'"),
    ],
)
def test_bad_input_is_one_line(bcctool: Run, compile_c: Compile, words: tuple[str, ...], message: str) -> None:
    obj = str(compile_c("prog_legacy.c"))
    done = bcctool("object", *(obj if word == "OBJ" else word for word in words), status=255)
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_works_without_root_or_bpf(compile_c: Compile, tmp_path: Path) -> None:
    """No bpf(2), no capability: the family reads files only."""
    from .conftest import BCCTOOL, run

    done = run(
        "setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", *BCCTOOL, "object", "show",
        compile_c("prog_legacy.c"),
    )  # fmt: skip
    assert "prog counter" in done.stdout
