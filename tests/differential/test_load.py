"""`prog loadall` against the distribution's bpftool: the maps, BTF and instructions that reach the kernel."""

from __future__ import annotations

import fnmatch
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bcctool.btf import kinds
from bcctool.elf.embedded import Source
from bcctool.elf.maps import kernel_name
from bcctool.elf.object import ObjectFile
from bcctool.objects.btf import vmlinux

from ..bpf_trace import Sent, difference, library, traced
from ..conftest import BCCTOOL, COMPILERS, GCC, Sandbox

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(not shutil.which("bpftool"), reason="bpftool is not installed"),
]

Compile = Callable[..., Path]
TOOLS = {"ours": BCCTOOL, "theirs": ("bpftool",)}
DIRECTORY = "/sys/fs/bpf/progs"

OLDER_SOURCES = (
    "attach.c", "btf_sections.c", "cfg_shapes.c", "elf_externs.c", "elf_maps.c", "insn_calls.c", "insn_mix.c",
    "load_bad.c", "map_values.c", "net_hooks.c", "prog_rich.c", "prog_types.c", "run_types.c", "tracelog.c",
    "vm_kprobes.c",
)  # fmt: skip
SOURCES = (
    "core_fields.c", "core_types.c", "core_enums.c", "externs.c", "subprograms.c", "exceptions.c", "data_sections.c",
    "map_attributes.c", "struct_ops.c", "optional_progs.c", "section_names.c",
)  # fmt: skip
BY_GCC = ("core_fields.c", "section_names.c", "optional_progs.c", "prog_types.c", "run_types.c", "net_hooks.c")

# object → what differs, as a pattern of the lines of bpf_trace.difference (or "status"), and why
COOKIE = "since libbpf 1.2 such a call's number tells the verifier's log which function is missing"
OLDER = "libbpf 1.1 does not know it"
USDT = {"prog *: expected_attach_type: 48, 0": f"{OLDER}: one link for all places of a USDT probe"}
EXPLAINED = {
    "section_names.c": USDT,
    "gcc section_names.c": USDT,
    "javagc": USDT,
    "elf_externs.c": {
        "maps: *'two'*": f"{OLDER}: .struct_ops.link",
        "prog program: insns: *'85000000*, *'8520000000000000'*": COOKIE,
    },
    "externs.c": {
        "prog functions: insns: *'85000000*, *'8520000000000000'*": COOKIE,
        "value of externs.kconfig *": "libbpf looks for system call wrappers with a kprobe, which this kernel lacks",
    },
    "exceptions.c": {"prog throws: *": f"{OLDER}: exception callbacks"},
    "elf_maps.c": {"status": "bpftool 7.1 wants to pin the optional program that it has not loaded"},
    "optional_progs.c": {"status": "bpftool 7.1 wants to pin the optional programs that it has not loaded"},
    "gcc optional_progs.c": {"status": "the same"},
}


# Functions that this kernel need not have: libbpf finds out when it comes to the program, bcctool at once. With other
# section names of the same length all that is sent can be compared nevertheless.
TARGETS = {
    "cachestat": "account_page_dirtied", "fsdist": "dummy_file_read", "fsslower": "dummy_file_read",
    "mdflush": "md_flush_request", "numamove": "migrate_misplaced_page", "readahead": "do_page_cache_ra",
}  # fmt: skip
OTHER_SECTIONS = {b"fentry/": b"raw_tp/", b"fexit/": b"tp/ab/"}


def executables() -> list[str]:
    """What libbpf-tools installs, links left out."""
    try:
        listed = subprocess.run(["dpkg", "-L", "libbpf-tools"], capture_output=True, text=True).stdout.split()
    except OSError:
        return []
    paths = (Path(path) for path in listed if Path(path).parent.name in ("bin", "sbin"))
    return sorted(str(path) for path in paths if path.is_file() and not path.is_symlink())


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that notes what a loader sends."""
    return library(tmp_path_factory.getbasetemp())


def compare(shim: Path, directory: Path, name: str, path: Path) -> None:
    """Load an object with both tools, each in a sandbox of its own; fail for what is not explained."""
    obj = ObjectFile(str(path))
    maps = {kernel_name(map_.name) for map_ in (*obj.maps, *(map_.inner for map_ in obj.maps if map_.inner))}
    progs = {kernel_name(prog.name) for prog in obj.progs}
    sent, done = {}, {}
    for tool, command in TOOLS.items():
        box = Sandbox()
        try:
            log = directory / tool
            words = [*command, "prog", "loadall", str(path), DIRECTORY]
            done[tool] = traced(box, shim, log, words, substitute="failed")
        finally:
            box.close()
        sent[tool] = Sent(log, maps, progs)
    found = difference(sent["ours"], sent["theirs"])
    if bool(done["ours"].returncode) != bool(done["theirs"].returncode):
        found.append("status")
    left = [line for line in found if not any(fnmatch.fnmatch(line, known) for known in EXPLAINED.get(name, ()))]
    assert not left, "\n".join([*left, "ours:", done["ours"].stderr[-500:], "theirs:", done["theirs"].stderr[-500:]])


@pytest.mark.parametrize("source", OLDER_SOURCES)
def test_older_sources(compile_c: Compile, shim: Path, tmp_path: Path, source: str) -> None:
    compare(shim, tmp_path, source, compile_c(source, "-g"))


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("compiler", [compiler for compiler in COMPILERS if compiler != GCC])
def test_sources(compile_c: Compile, shim: Path, tmp_path: Path, source: str, compiler: str) -> None:
    compare(shim, tmp_path, source, compile_c(source, "-g", compiler=compiler))


@pytest.mark.parametrize("source", BY_GCC)
def test_sources_by_gcc(compile_c: Compile, shim: Path, tmp_path: Path, source: str) -> None:
    compare(shim, tmp_path, f"gcc {source}", compile_c(source, "-g", compiler=GCC))


@pytest.mark.parametrize("executable", executables())
def test_libbpf_tools(shim: Path, tmp_path: Path, executable: str) -> None:
    with Source(executable) as file:
        objects = {tmp_path / f"{name}.bpf.o": data for name, _, data in file.objects()} if file.spans else {}
    if not objects:
        pytest.skip("it embeds no object")
    for path, data in objects.items():
        path.write_bytes(data)
        name = path.name.split(".")[0]
        if name in TARGETS and not has_function(TARGETS[name]):
            require_refused(path, TARGETS[name])
            for section, other in OTHER_SECTIONS.items():
                data = data.replace(section, other)
            path.write_bytes(data)
        compare(shim, tmp_path, name, path)


def has_function(name: str) -> bool:
    return vmlinux().find(name, kinds.FUNC) is not None


def require_refused(path: Path, function: str) -> None:
    """Both tools refuse the object, and ours says for which function."""
    for tool, command in TOOLS.items():
        box = Sandbox()
        try:
            done = box.run(*command, "prog", "loadall", path, DIRECTORY, status=None)
        finally:
            box.close()
        assert done.returncode
        assert tool == "theirs" or f"no function '{function}'" in done.stderr
