"""Light skeletons (`-L gen skeleton`) beside the distribution's bpftool 7.1, which spells some things otherwise."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bcctool.codegen.light import light_skeleton
from bcctool.elf.object import ObjectFile
from bcctool.errors import Error

from ..conftest import BCCTOOL, run

pytestmark = pytest.mark.skipif(not shutil.which("bpftool"), reason="bpftool is not installed")

Compile = Callable[..., Path]
BYTES = r'"\\\n((?:.*\\\n)*.*)"'
# Ours (7.8's) and 7.1's spelling of the same, in this order.
OLDER = (
    (r"\t\{\n\t\tstatic const char data\[\] __attribute__\(\(__aligned__\(8\)\)\) = " + BYTES + r";\n\n"
     r"\t\tskel->(\w+) = skel_prep_map_data\(\(void \*\)data, (\d+),\n\t*sizeof\(data\) - 1\);\n"
     r"\t\tif (.*)\n\t\t\tgoto cleanup;\n\t\t(.*)\n\t\}\n",
     '\tskel->\\2 = skel_prep_map_data((void *)"\\\\\n\\1", \\3, N);\n\tif \\4\n\t\tgoto cleanup;\n\t\\5\n'),
    (r"\tstatic const char opts_data\[\] __attribute__\(\(__aligned__\(8\)\)\) = " + BYTES + r";\n"
     r"\tstatic const char opts_insn\[\] __attribute__\(\(__aligned__\(8\)\)\) = " + BYTES + r";\n\n"
     r"(.*)\n(?:.*\n){4}\n",
     '\n\\3\n\topts.data_sz = N;\n\topts.data = (void *)"\\\\\n\\1";\n'
     '\topts.insns_sz = N;\n\topts.insns = (void *)"\\\\\n\\2";\n'),
)  # fmt: skip
NEWER = ((r"(opts\.\w+_sz) = \d+;", r"\1 = N;"), (r'(", \d+), \d+\);', r"\1, N);"))


def changed(text: str, changes: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in changes:
        text = re.sub(pattern, replacement, text)
    return text


def generic(name: str) -> str:
    """bpftool 7.1 dies of a raw tracepoint without a name."""
    return name.replace('SEC("raw_tp")', 'SEC("raw_tp/sys_enter")')


# Whose types don't have static variables, about which the library is of another mind than the libbpf inside of bpftool.
@pytest.mark.parametrize(
    "source", ["load_core.c", "skeleton_run.c", "subprograms.c", "run_types.c", "prog_rich.c", "core_fields.c"]
)
def test_our_programs(compile_c: Compile, tmp_path: Path, source: str) -> None:
    named = tmp_path / source
    named.write_text(generic((Path(__file__).parent.parent / "programs" / source).read_text()))
    path = compile_c(named, "-g")
    done = run("bpftool", "-L", "gen", "skeleton", path, "name", "all", status=None)
    if done.returncode:
        with pytest.raises(Error):
            list(light_skeleton(ObjectFile(str(path)), "all"))
        return
    ours = "".join(light_skeleton(ObjectFile(str(path)), "all"))
    assert changed(ours, OLDER) == changed(done.stdout, NEWER)
    assert run(*BCCTOOL, "-L", "gen", "skeleton", path, "name", "all").stdout == ours


def test_a_raw_tracepoint_without_a_name_is_not_attached(compile_c: Compile) -> None:
    text = "".join(light_skeleton(ObjectFile(str(compile_c("load_core.c", "-g"))), "core"))
    assert "int fd = ((void)prog_fd, 0); /* auto-attach not supported */" in text


def test_what_libbpf_makes_no_loader_of_is_refused_with_its_reason(compile_c: Compile, tmp_path: Path) -> None:
    source = tmp_path / "unknown.c"
    source.write_text('__attribute__((section("no_such_section"), used)) int prog(void *ctx) { return 0; }\n')
    done = run(*BCCTOOL, "-L", "gen", "skeleton", compile_c(source, "-g"), status=None)
    assert done.returncode
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "libbpf can't" in done.stderr


def test_struct_ops_are_refused_at_which_libbpf_crashes(compile_c: Compile) -> None:
    obj = compile_c("struct_ops_tcp.c", "-g")
    for words in (("gen", "skeleton"), ("prog", "load")):
        done = run(*BCCTOOL, "-L", *words, obj, status=255)
        assert done.stderr.endswith("a loader program can't make struct_ops maps: load it without --use-loader\n")
        assert len(done.stderr.splitlines()) == 1
