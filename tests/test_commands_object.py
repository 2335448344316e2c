"""`object show`, `dump` and `extract`: an object file, or those that an executable embeds, without the kernel."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bcctool.btf.core_spec import RELO_KINDS
from bcctool.commands.files import write_new
from bcctool.commands.object_show import describe
from bcctool.elf.object import ObjectFile
from bcctool.errors import Error, Malformed

from .test_elf_embedded import EXECUTABLE
from .test_elf_object import opened

Compile = Callable[..., Path]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_show_a_legacy_object(bcctool: Run, compile_c: Compile) -> None:
    path = compile_c("prog_legacy.c")
    assert bcctool("object", "show", path).stdout == (
        f"{path}: little-endian  license GPL  no btf\n"
        "\tleast kernel 4.8  for program type xdp\n"
        "\tprog counter  section xdp  type xdp  attach_type xdp  insns 21\n"
        "\t\thelpers bpf_map_lookup_elem\n"
        "\tmap counter_map  section maps  type array  key 4B  value 8B  max_entries 1  flags 0x0  legacy\n"
        "\tmap other_map  section maps  type hash  key 8B  value 16B  max_entries 32  flags 0x1  legacy\n"
    )


@pytest.mark.parametrize("target", ["bpf", "bpfeb"])
def test_show_in_json(bcctool: Run, compile_c: Compile, target: str) -> None:
    record = json.loads(bcctool("-j", "object", "show", compile_c("prog_rich.c", "-g", target=target)).stdout)
    assert list(record) == [
        "file", "byteorder", "license", "btf", "least_kernel", "programs", "subprograms", "maps", "globals", "externs",
    ]  # fmt: skip
    assert record["byteorder"] == ("little" if target == "bpf" else "big")
    assert [prog["name"] for prog in record["programs"]] == ["very_long_program_name"]
    assert sorted(prog["name"] for prog in record["subprograms"]) == ["note", "visit", "weigh"]
    assert record["btf"] > 30
    assert [(map_["name"], map_["definition"], map_["bytes_key"]) for map_ in record["maps"][:2]] == [
        ("counts", "btf", 24), ("keys", "btf", 4),
    ]  # fmt: skip
    assert {map_["definition"] for map_ in record["maps"][2:]} == {"data"}


@pytest.mark.parametrize("target", ["bpf", "bpfeb"])
def test_show_everything(bcctool: Run, compile_c: Compile, target: str) -> None:
    path = compile_c("object_shown.c", "-g", target=target)
    record = json.loads(bcctool("-j", "object", "show", path).stdout)
    assert record["least_kernel"] == {"version": "5.17", "for": ["helper bpf_loop"]}
    caller, other, quiet = record["programs"]
    assert (caller["type"], caller["attach_type"], caller["subprograms"]) == (
        "tracing", "trace_raw_tp", ["each", "middle", "leaf"]
    )  # fmt: skip
    assert caller["helpers"] == [
        "bpf_get_prandom_u32", "bpf_map_pop_elem", "bpf_probe_read_kernel", "bpf_jiffies64", "bpf_loop",
    ]  # fmt: skip
    assert caller["kfuncs"] == ["known", "unsure"]
    assert "type" not in quiet
    assert [relo["path"] for relo in caller["core_relocations"]] == ["task.parent", "task.pid", "task.parts[2].two"]
    assert caller["core_relocations"][2] | {"insn": 0} == {
        "insn": 0, "kind": "field_byte_offset", "type": "struct task", "access": "0:1:2:1:1",
        "path": "task.parts[2].two",
    }  # fmt: skip
    found = {(relo["kind"], relo["type"], relo["path"]) for relo in other["core_relocations"]}
    assert found == {
        *((f"field_{kind}", "struct task", "task.flag") for kind in (
            "byte_offset", "byte_size", "exists", "signed", "lshift_u64", "rshift_u64")),
        ("type_exists", "struct task", "task"), ("type_size", "struct inner", "inner"),
        ("type_id_target", "struct inner", "inner"), ("enumval_value", "enum state", "state.BUSY"),
        ("enumval_exists", "enum state", "state.IDLE"),
    }  # fmt: skip
    assert [(var["section"], var["name"], var["type"], var["size"]) for var in record["globals"]] == [
        (".rodata", "word", "const volatile char[16]", 16),
        (".rodata", "limit", "const volatile unsigned long long", 8),
        (".data", "hidden", "volatile int", 4), (".bss", "table", "int[2][3]", 24), (".bss", "chosen", "compare", 8),
        (".bss", "state", "enum state", 4), (".data.first", "first", "struct task *", 8),
    ]  # fmt: skip
    assert sorted(map(tuple, map(dict.values, record["externs"]))) == [
        ("CONFIG_HZ", ".kconfig", "int", False), ("CONFIG_MAYBE", ".kconfig", "_Bool", True),
        ("known", ".ksyms", "int (struct task *, ...)", False), ("somewhere", ".ksyms", "const void", False),
        ("unsure", ".ksyms", "int (int)", True),
    ]  # fmt: skip


def test_show_everything_as_text(bcctool: Run, compile_c: Compile) -> None:
    lines = bcctool("object", "show", compile_c("object_shown.c", "-g")).stdout.split("\n")
    assert lines[1] == "\tleast kernel 5.17  for helper bpf_loop"
    at = next(at for at, line in enumerate(lines) if line.startswith("\tprog caller"))
    assert re.fullmatch(
        r"\tprog caller  section tp_btf/caller  type tracing  attach_type trace_raw_tp  insns \d+  core_relocations 4",
        lines[at],
    )
    assert lines[at + 1] == "\t\tsubprogs each, middle, leaf"
    assert lines[at + 2].startswith("\t\thelpers bpf_get_prandom_u32, bpf_map_pop_elem, ")
    assert lines[at + 3] == "\t\tkfuncs known, unsure"
    assert "\tglobal word  section .rodata  size 16B  type const volatile char[16]" in lines
    assert "\textern unsure  section .ksyms  type int (int)  weak" in lines


def test_a_relocation_stands_at_its_instruction(bcctool: Run, compile_c: Compile) -> None:
    """The numbers are those of `object dump`: with BTF the first one is the offset that an instruction adds."""
    path = compile_c("object_shown.c", "-g")
    record = json.loads(bcctool("-j", "object", "show", path).stdout)
    each = next(function for function in record["subprograms"] if function["name"] == "each")
    for function in (record["programs"][1], each):
        (size,) = (relo for relo in function["core_relocations"] if relo["kind"] == "type_size")
        dumped = bcctool("object", "dump", path, "prog", function["name"]).stdout
        assert re.search(rf"^ +{size['insn']}: \(b7\) r\d = 16$", dumped, re.MULTILINE), function["name"]


def test_variables_without_btf_come_from_symbols(bcctool: Run, compile_c: Compile, tmp_path: Path) -> None:
    path = tmp_path / "stripped.o"
    path.write_bytes(
        compile_c("object_shown.c", "-g").read_bytes().replace(b".BTF", b".XTF").replace(b".maps", b".mips")
    )
    record = json.loads(bcctool("-j", "object", "show", path).stdout)
    assert {"name": "limit", "section": ".rodata", "offset": 16, "size": 8} in record["globals"]
    assert {"name": "unsure", "weak": True} in record["externs"]
    assert record["programs"][0]["kfuncs"] == ["known", "unsure"]
    assert record["programs"][0]["core_relocations"] == []


def test_what_is_too_new_is_said(compile_c: Compile) -> None:
    obj = opened(compile_c, "prog_legacy")
    code = bytearray(obj.progs[0].insns)
    at = next(at for at in range(0, len(code), 8) if code[at] == 0x85)
    code[at + 4 : at + 8] = (999).to_bytes(4, "little")
    obj.progs[0].insns = memoryview(bytes(code))
    obj.maps[0].type = 77
    record = describe(obj)
    assert record["programs"][0]["helpers"] == ["bpf_map_lookup_elem", "unknown#999"]
    assert record["least_kernel"] == {
        "version": "4.8", "for": ["program type xdp"], "unknown": ["helper unknown#999", "map type 77"],
    }  # fmt: skip


def test_only_functions_that_may_be_missing_ask_for_no_kernel(
    compile_c: Compile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bcctool.kernel.versions.helper_since", lambda id: "4.1")
    obj = opened(compile_c, "object_shown")
    assert describe(obj)["least_kernel"] == {"version": "5.13", "for": ["calls of kernel functions"]}
    for extern in obj.externs:
        extern.weak = True
    assert describe(obj)["least_kernel"] == {"version": "5.10", "for": ["programs that sleep"]}


def test_names_without_end_are_refused(compile_c: Compile, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, message in (("MAX_TEXT", "names: more than 9 characters in all"), ("MAX_RELOS", "more than 9 CO-RE")):
        with monkeypatch.context() as patch:
            patch.setattr(f"bcctool.commands.object_show.{limit}", 9)
            with pytest.raises(Malformed, match=message):
                describe(opened(compile_c, "object_shown"))


def test_kinds_are_the_kernels(bcctool: Run) -> None:
    if not os.path.exists("/sys/kernel/btf/vmlinux"):
        pytest.skip("this kernel has no BTF")
    text = bcctool("btf", "dump", "file", "/sys/kernel/btf/vmlinux").stdout
    lines = text.partition("ENUM 'bpf_core_relo_kind'")[2].split("\n")[1:]
    values = [line for line in lines[: len(RELO_KINDS)] if line.startswith("\t'BPF_CORE_")]
    assert values == [f"\t'BPF_CORE_{name.upper()}' val={number}" for number, name in enumerate(RELO_KINDS)]


def host(path: Path, *objects: Path) -> Path:
    """An executable with these objects in it."""
    path.write_bytes(EXECUTABLE + b"".join(bytes(7) + obj.read_bytes() for obj in objects))
    return path


def test_show_an_executable(bcctool: Run, compile_c: Compile, tmp_path: Path) -> None:
    legacy, rich = compile_c("prog_legacy.c"), compile_c("prog_rich.c", "-g")
    one, two = host(tmp_path / "one", rich), host(tmp_path / "two.exe", legacy, rich)
    plain = json.loads(bcctool("-j", "object", "show", rich).stdout)
    record = json.loads(bcctool("-j", "object", "show", one).stdout)
    where = {"embedded": "one", "offset": 71, "size": rich.stat().st_size}
    assert {key: record.pop(key) for key in where} == where
    assert record["file"] == str(one)
    for key in ("programs", "subprograms", "globals", "externs", "least_kernel", "license", "btf"):
        assert record[key] == plain[key], key
    assert "one.bss" in [definition["name"] for definition in record["maps"]]
    first, second = json.loads(bcctool("-j", "object", "show", two).stdout)
    assert [first["embedded"], second["embedded"]] == ["two.1", "two.2"]
    assert first["programs"][0]["name"] == "counter"
    assert json.loads(bcctool("-j", "object", "show", f"{two}#2").stdout) == second | {"file": f"{two}#2"}
    heads = [line for line in bcctool("object", "show", two).stdout.split("\n") if line.startswith(str(two))]
    assert [head.partition("  embedded ")[2].split()[0] for head in heads] == ["two.1", "two.2"]
    assert bcctool("object", "dump", one).stdout == bcctool("object", "dump", rich).stdout.replace(str(rich), str(one))


def test_extract(bcctool: Run, compile_c: Compile, tmp_path: Path) -> None:
    legacy, rich = compile_c("prog_legacy.c"), compile_c("prog_rich.c", "-g")
    two, out = host(tmp_path / "two.exe", legacy, rich), tmp_path / "out"
    sizes = [path.stat().st_size for path in (legacy, rich)]
    assert bcctool("object", "extract", two, out).stdout == (
        f"{out}/two.1.bpf.o  {sizes[0]}B\n{out}/two.2.bpf.o  {sizes[1]}B\n"
    )
    assert (out / "two.1.bpf.o").read_bytes() == legacy.read_bytes()
    assert (out / "two.2.bpf.o").read_bytes() == rich.read_bytes()
    assert len(list(out.iterdir())) == 2
    records = json.loads(bcctool("-j", "object", "extract", f"{two}#2", tmp_path).stdout)
    assert records == [{"file": f"{tmp_path}/two.2.bpf.o", "bytes": sizes[1]}]
    bcctool("object", "extract", host(tmp_path / "one", legacy), out)
    assert (out / "one.bpf.o").read_bytes() == legacy.read_bytes()
    bcctool("object", "extract", legacy, out)
    assert (out / f"{legacy.name.split('.')[0]}.bpf.o").read_bytes() == legacy.read_bytes()


def test_extract_writes_all_or_nothing_and_over_nothing(bcctool: Run, compile_c: Compile, tmp_path: Path) -> None:
    legacy = compile_c("prog_legacy.c")
    two, out = host(tmp_path / "two", legacy, legacy), tmp_path / "out"
    out.mkdir()
    there = out / "two.2.bpf.o"
    for make in (lambda: there.write_bytes(b"mine"), lambda: there.symlink_to(tmp_path / "elsewhere"), there.mkdir):
        make()
        done = bcctool("object", "extract", two, out, status=255)
        assert done.stderr == f"Error: can't write {there}: it exists already: remove it, or choose another directory\n"
        assert list(out.iterdir()) == [there]
        assert there.is_symlink() or there.is_dir() or there.read_bytes() == b"mine"
        there.rmdir() if there.is_dir() else there.unlink()
    assert not (tmp_path / "elsewhere").exists()
    for words, message in (
        ((two, legacy), f"can't write {legacy}: it exists already: remove it, or choose another directory"),
        ((two, tmp_path / "no" / "where"), f"can't write {tmp_path}/no/where: No such file or directory"),
        ((two,), "expected a directory"),
        ((two, out, "more"), "expected no more arguments, got: 'more'"),
        (("/bin/true", out), "/bin/true: an ELF for x86-64, not BPF: compile with clang -target bpf"),
        (("/etc/passwd", tmp_path / "new"), "/etc/passwd: not an ELF file"),
    ):
        assert bcctool("object", "extract", *words, status=255).stderr == f"Error: {message}\n"
    assert not (tmp_path / "new").exists()
    assert list(out.iterdir()) == []


def test_a_directory_that_was_made_goes_when_the_files_cannot_be_written(tmp_path: Path) -> None:
    new = tmp_path / "new"
    with pytest.raises(Error, match="/new/no/two: No such file or directory"):
        write_new(str(new), [(str(new / "one"), b"1"), (str(new / "no" / "two"), b"2")])
    assert not new.exists()


def test_extracted_names_do_not_lead_out_of_the_directory(bcctool: Run, compile_c: Compile, tmp_path: Path) -> None:
    legacy, out = compile_c("prog_legacy.c"), tmp_path / "out"
    for name in ("..hidden", "-\x1b[2J\n", "a\\b"):
        bcctool("object", "extract", host(tmp_path / name, legacy), out)
    assert sorted(path.name for path in out.iterdir()) == ["-__2J_.bpf.o", "a_b.bpf.o", "object.bpf.o"]


def test_gen_object_links_executables(bcctool: Run, compile_c: Compile, tmp_path: Path) -> None:
    rich, linked = compile_c("prog_rich.c", "-g"), tmp_path / "linked.o"
    bcctool("gen", "object", linked, host(tmp_path / "tool", rich))
    assert [prog.name for prog in ObjectFile(str(linked)).progs] == [prog.name for prog in ObjectFile(str(rich)).progs]
    done = bcctool("gen", "object", tmp_path / "no.o", host(tmp_path / "both", rich, rich), status=234)
    assert f"both': there are 2 BPF objects in it: name one as {tmp_path}/both#1, or use: " in done.stderr
    bcctool("gen", "object", tmp_path / "second.o", f"{tmp_path}/both#2")


def test_btf_dump_of_an_executable(bcctool: Run, compile_c: Compile, tmp_path: Path) -> None:
    rich, legacy = compile_c("prog_rich.c", "-g"), compile_c("prog_legacy.c")
    plain = bcctool("btf", "dump", "file", rich).stdout
    assert bcctool("btf", "dump", "file", host(tmp_path / "tool", rich)).stdout == plain
    two = host(tmp_path / "two", legacy, rich)
    assert bcctool("btf", "dump", "file", f"{two}#2").stdout == plain
    done = bcctool("btf", "dump", "file", f"{two}#1", status=195)
    assert done.stderr == (
        f"Error: failed to load BTF from {two}#1: it has no .BTF section (was it compiled with -g?)\n"
    )
    assert "there are 2 BPF objects in it" in bcctool("btf", "dump", "file", two, status=255).stderr


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
