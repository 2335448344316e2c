"""Loading what depends on the running kernel: its types, its functions, and memory that it shares."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from bcctool.errors import Error
from bcctool.loader.load import load
from bcctool.objects.btf import vmlinux
from bcctool.objects.map import Map

from ..conftest import Sandbox

Compile = Callable[..., Path]
PIN, DIR = "/sys/fs/bpf/prog", "/sys/fs/bpf/progs"
VMLINUX = "/sys/kernel/btf/vmlinux"


def variables(map_: Map) -> dict[str, int]:
    """The 32-bit variables of a global data map."""
    types = map_.types()
    assert types is not None
    value = map_.lookup(bytes(4)) or b""
    found = {}
    for type_id, offset, size in types.type(map_.info.btf_value_type_id).entries:
        if size == 4:
            (found[types.name(type_id)],) = struct.unpack_from("=i", value, offset)
        else:
            assert types.name(type_id).startswith("comm")
    return found


def test_fields_are_read_where_this_kernel_has_them(compile_c: Compile) -> None:
    with load(str(compile_c("load_core.c", "-g"))) as loaded:
        loaded.progs["read_task"].test_run(ctx=bytes(8))
        data = next(map_ for map_ in loaded.maps.values() if map_.name.endswith(".bss"))
        found = variables(data)
        assert (found["tgid"], found["pid"]) == (found["tgid_by_helper"], found["pid_by_helper"])
        assert found["has_never"] == -1
        types = vmlinux()
        assert found["task_size"] == types.size_of(types.find("task_struct", 4) or 0)
        value = data.lookup(bytes(4)) or b""
        comm = Path("/proc/self/comm").read_bytes().strip()
        assert value.count(comm.ljust(16, b"\0")) == 2


def test_programs_bound_by_btf_id_say_to_what(sandbox: Sandbox, compile_c: Compile) -> None:
    sandbox.bcctool("prog", "loadall", compile_c("load_core.c", "-g"), DIR)
    shown = {}
    for name in ("by_id", "count_tasks"):
        shown[name] = json.loads(sandbox.bcctool("-j", "prog", "show", "pinned", f"{DIR}/{name}").stdout)
    assert {record["type"] for record in shown.values()} == {"tracing"}


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("-DNEVER", "failed to resolve CO-RE relocation <byte_off> ["),
        ("-DNO_TARGET", "section 'fentry/no_such_function_anywhere': this kernel has no function"),
    ],
)
def test_what_this_kernel_does_not_have_is_named(
    sandbox: Sandbox, compile_c: Compile, flag: str, message: str
) -> None:
    done = sandbox.bcctool("prog", "loadall", compile_c("load_core.c", "-g", flag), DIR, status=255)
    assert message in done.stderr
    if flag == "-DNEVER":
        assert "struct task_struct___never.never_there (0:0 @ offset 0)" in done.stderr
    sandbox.run("test", "!", "-e", DIR)


def test_a_reduced_btf_relocates_to_the_same_instructions(
    sandbox: Sandbox, compile_c: Compile, tmp_path: Path
) -> None:
    obj, reduced = compile_c("load_core.c", "-g"), tmp_path / "min.btf"
    sandbox.bcctool("gen", "min_core_btf", VMLINUX, reduced, obj)
    assert reduced.stat().st_size < 2000
    code = []
    for words in ([], ["kernel_btf", reduced], ["kernel_btf", VMLINUX]):
        sandbox.bcctool("prog", "load", obj, PIN, *words)
        code.append(sandbox.bcctool("prog", "dump", "xlated", "pinned", PIN).stdout.replace("\n", " ").split("map[id:"))
        sandbox.run("rm", PIN)
    assert len({tuple(part.partition("]")[2] for part in parts) for parts in code}) == 1


def test_types_of_another_kernel_give_other_instructions(
    sandbox: Sandbox, compile_c: Compile, tmp_path: Path
) -> None:
    source = tmp_path / "other.c"
    source.write_text("struct task_struct { char before[1234]; int pid, tgid; char comm[16]; } task;\n")
    sandbox.bcctool(
        *("prog", "load", compile_c("load_core.c", "-g"), PIN, "kernel_btf", compile_c(source, "-g"))
    )
    text = sandbox.bcctool("prog", "dump", "xlated", "pinned", PIN).stdout
    assert "= 1240\n" in text  # where `tgid` is, to be added to the task's address


def test_a_kernel_btf_that_is_none_is_refused(sandbox: Sandbox, compile_c: Compile) -> None:
    obj = compile_c("load_core.c", "-g")
    for path, message in (("/nonexistent", "No such file"), ("/etc/passwd", "neither BTF nor an ELF file")):
        done = sandbox.bcctool("prog", "load", obj, PIN, "kernel_btf", path, status=None)
        assert done.returncode
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1
    legacy = compile_c("prog_legacy.c")  # where there is nothing to relocate
    sandbox.bcctool("prog", "load", legacy, PIN, "kernel_btf", "/nonexistent")


def test_an_exception_ends_in_its_callback(compile_c: Compile) -> None:
    with load(str(compile_c("exceptions.c", "-g"))) as loaded:
        prog = loaded.progs["throws"]
        assert prog.test_run(bytes(200)).retval == 42
        assert prog.test_run(bytes(50)).retval == 50


def test_an_arena_has_its_variables(compile_c: Compile) -> None:
    with load(str(compile_c("map_arena.c", "-g", compiler="clang-19"))) as loaded:
        assert loaded.progs["count"].test_run().retval == 0
        xlated = loaded.progs["count"].array("xlated_prog_insns")
        assert len(xlated) > 8


def test_the_account_of_a_load_names_each_step(sandbox: Sandbox, compile_c: Compile) -> None:
    done = sandbox.bcctool("-d", "prog", "loadall", compile_c("load_core.c", "-g"), DIR)
    assert done.stdout == ""
    for text in ("section raw_tp:", "BTF: ", "map 'load_cor.bss'", "<byte_off> [", "kernel has [", "program 'by_id'",
                 "processed "):  # fmt: skip
        assert text in done.stderr, text


def test_a_loader_program_loads_and_leaves_nothing(sandbox: Sandbox, compile_c: Compile) -> None:
    done = sandbox.bcctool("-L", "prog", "load", compile_c("load_core.c", "-g"))
    assert (done.stdout, done.stderr) == ("", "")
    done = sandbox.bcctool("-L", "-d", "prog", "load", compile_c("load_core.c", "-g"))
    assert done.stdout.splitlines()[0] == "   0: (bf) r6 = r1"
    assert "processed " in done.stderr
    done = sandbox.bcctool("-L", "prog", "load", compile_c("load_core.c", "-g", "-DNEVER"), status=None)
    assert done.returncode
    assert "failed to execute loader prog" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_programs_are_bound_to_a_device_for_its_metadata(sandbox: Sandbox, compile_c: Compile) -> None:
    sandbox.run("ip", "link", "add", "veth0", "type", "veth", "peer", "name", "veth1")
    obj = compile_c("prog_rich.c", "-g")
    sandbox.bcctool("prog", "load", obj, PIN, "xdpmeta_dev", "veth0")
    assert sandbox.bcctool("net", "attach", "xdpdrv", "pinned", PIN, "dev", "veth1", status=None).returncode
    sandbox.bcctool("net", "attach", "xdpdrv", "pinned", PIN, "dev", "veth0")
    sandbox.bcctool("net", "detach", "xdpdrv", "dev", "veth0")
    for words, message in (
        (["xdpmeta_dev", "nodev"], "unrecognized netdevice 'nodev'"),
        (["xdpmeta_dev", "veth0", "offload_dev", "veth0"], "mutually exclusive"),
        (["offload_dev", "veth0"], ""),  # which can't run programs
    ):
        done = sandbox.bcctool("prog", "load", obj, f"{PIN}2", *words, status=255)
        assert message in done.stderr
    with pytest.raises(Error):
        load(str(obj), ifindex=1)
