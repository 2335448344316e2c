"""`gen skeleton` and `subskeleton` beside the distribution's bpftool 7.1, which spells some things as 7.8 does not."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bcctool.btf.c import c_header
from bcctool.codegen.outline import Outline
from bcctool.codegen.skeleton import skeleton
from bcctool.codegen.subskeleton import subskeleton
from bcctool.elf.embedded import Source
from bcctool.elf.object import ObjectFile
from bcctool.loader.linker import link

from ..conftest import PROGRAMS, Completed, run

pytestmark = pytest.mark.skipif(not shutil.which("bpftool"), reason="bpftool is not installed")

Compile = Callable[..., Path]
VERBS = ("skeleton", "subskeleton")
UNNAMEABLE = {"python_module"}  # has names that C has not, which is Python's test
FLAGS = {"skeleton_names": ("-DPART=1", "-DNAME=one")}
# Ours (7.8's) and 7.1's spelling of the same, in this order.
OLDER = (
    (r"#define BPF_SKEL_SUPPORTS_MAP_AUTO_ATTACH 1\n\n", ""),
    (r"\tstruct bpf_map_skeleton \*map __attribute__\(\(unused\)\);\n", ""),
    (r"s->map_skel_sz = 24;", "s->map_skel_sz = sizeof(*s->maps);"),
    (r"\(s->map_cnt,\n\t*sizeof\(\*s->maps\) > 24 \? sizeof\(\*s->maps\) : 24\)", "(s->map_cnt, s->map_skel_sz)"),
    (r"\tmap = \(struct bpf_map_skeleton \*\)\(\(char \*\)s->maps \+ (\d+) \* s->map_skel_sz\);\n"
     r"\tmap->(.*)\n\tmap->(.*)\n(?:\tmap->(mmaped.*)\n)?",
     lambda found: "".join(f"\ts->maps[{found[1]}].{found[n]}\n" for n in (2, 3, 4) if found[n])),
    (r"s->data = (\w+)__elf_bytes", r"s->data = (void *)\1__elf_bytes"),
    (r"static const char data\[\] __attribute__\(\(__aligned__\(8\)\)\) = ", "*sz = N;\n\treturn (const void *)"),
    (r"\";\n\n\t\*sz = sizeof\(data\) - 1;\n\treturn \(const void \*\)data;\n", "\";\n"),
    (r"__typeof__", "typeof"),
)  # fmt: skip
# What is wrong in 7.1, and is put right there.
NEWER = (
    (r"\*sz = \d+;", "*sz = N;"),
    (r"\bwith\.dots;", "with_dots;"),
    (r"\tint\(\*\)\[5\] \*pointer_to_array", "\ttypeof(int(*)[5]) *pointer_to_array"),
)


def changed(text: str, changes: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]) -> str:
    for pattern, replacement in changes:
        text = re.sub(pattern, replacement, text)
    return text


def expected(verb: str, path: Path, *words: str) -> str:
    """7.1's header."""
    done = run("bpftool", "gen", verb, path, *words, status=None)
    if done.returncode:
        pytest.skip(f"bpftool 7.1 cannot open it: {done.stderr.splitlines()[0]}")
    if not done.stdout.endswith("SKEL_H__ */\n"):
        pytest.skip("bpftool 7.1 gives up halfway, and says nothing: a section has no DATASEC")
    return changed(done.stdout, NEWER)


def compare(verb: str, path: Path) -> None:
    theirs = expected(verb, path, "name", "all")
    obj = ObjectFile(str(path))
    if any("struct_ops" in map_.section for map_ in obj.maps):
        pytest.skip("bpftool 7.1 has no shadow types")
    generate = skeleton if verb == "skeleton" else subskeleton
    assert changed("".join(generate(obj, "all")), OLDER) == theirs


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("clang", ["clang", "clang-19"])
@pytest.mark.parametrize("source", sorted({path.stem for path in PROGRAMS.glob("*.c")} - UNNAMEABLE))
def test_our_programs(tmp_path: Path, source: str, clang: str, verb: str) -> None:
    if not shutil.which(clang):
        pytest.skip(f"{clang} is not installed")
    out, include = tmp_path / f"{source}.o", "-I/usr/include/x86_64-linux-gnu"
    flags = ["-w", "-O2", "-g", "-target", "bpf", include, *FLAGS.get(source, ())]
    if run(clang, *flags, "-c", PROGRAMS / f"{source}.c", "-o", out, status=None).returncode:
        pytest.skip("it needs other flags")
    compare(verb, out)


@pytest.mark.parametrize("verb", VERBS)
def test_names_that_are_told_apart(compile_c: Compile, tmp_path: Path, verb: str) -> None:
    parts = [str(compile_c("skeleton_names.c", "-g", f"-DPART={n}", f"-DNAME=prog_{n}")) for n in (1, 2, 3)]
    path = tmp_path / "names.o"
    path.write_bytes(link(parts))
    compare(verb, path)


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The objects in the executables of libbpf-tools, which others have written and compiled."""
    directory = tmp_path_factory.mktemp("tools")
    found = []
    for line in run("dpkg", "-L", "libbpf-tools", status=None).stdout.splitlines():
        if "/sbin/" in line and Path(line).is_file():
            with Source(line) as source:
                for name, _, data in source.objects() if source.spans else ():
                    found.append(directory / f"{name}.o")
                    found[-1].write_bytes(data)
    if not found:
        pytest.skip("libbpf-tools is not installed")
    return found


@pytest.mark.parametrize("verb", VERBS)
def test_the_objects_of_libbpf_tools(tools: list[Path], verb: str) -> None:
    assert len(tools) > 40
    for path in tools:
        compare(verb, path)


@pytest.mark.parametrize(("compiler", "suffix"), [("gcc", "c"), ("g++", "cc")])
def test_their_headers_compile(tools: list[Path], tmp_path: Path, compiler: str, suffix: str) -> None:
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} is not installed")
    sources = []
    for number, path in enumerate(tools):
        obj = ObjectFile(str(path))
        text = "".join(skeleton(obj, "all"))
        ids = [variable.type_id for data in Outline(obj, "all", "all").data for variable in data.variables]
        assert obj.btf is not None
        lines = c_header(obj.btf, ids).decode().split("\n") if ids else []
        types = "\n".join([line for line in lines if not line.startswith("#pragma") and line != "typedef _Bool bool;"])
        (tmp_path / f"{number}.h").write_text(text)
        sources.append(tmp_path / f"{number}.{suffix}")
        use = "int main(void) { all__destroy(all__open_and_load()); return 0; }"
        sources[-1].write_text(f'#include <stdbool.h>\n{types}\n#include "{number}.h"\n{use}\n')
    done = subprocess.run(
        [compiler, "-Wall", "-Werror", "-fsyntax-only", *sources], capture_output=True, text=True, check=False
    )
    assert not done.returncode, done.stderr


WORDS = [
    "skeleton", "subskeleton", "skeleton /nosuch", "skeleton OBJ name", "skeleton OBJ frob", "skeleton TEXT",
    "skeleton OBJ name x extra", "skeleton OBJ name x name y", "skeleton OBJ n x", "subskeleton TEXT", "skeleton X86",
    "skeleton EMPTY", "skeleton LEGACY", "skeleton UNLINKED", "subskeleton UNLINKED", "subskeleton NOBTF",
    "-j skeleton OBJ", "sk OBJ", "sub OBJ",
]  # fmt: skip


@pytest.mark.parametrize("words", WORDS)
def test_same_status(bcctool: Callable[..., Completed], compile_c: Compile, tmp_path: Path, words: str) -> None:
    (tmp_path / "text.o").write_text("hello")
    (tmp_path / "empty.o").write_text("")
    paths = {
        "OBJ": compile_c("skeleton.c", "-g"), "TEXT": tmp_path / "text.o", "EMPTY": tmp_path / "empty.o",
        "X86": "/bin/true",
        "LEGACY": compile_c("prog_legacy.c", "-g"), "UNLINKED": compile_c("link_caller.c", "-g"),
        "NOBTF": compile_c("insn_mix.c"),
    }  # fmt: skip
    options = [word for word in words.split() if word.startswith("-")]
    command = [str(paths.get(word, word)) for word in words.split() if word not in options]
    theirs = run("bpftool", *options, "gen", *command, status=None)
    ours = bcctool(*options, "gen", *command, status=None)
    assert ours.returncode == theirs.returncode
    assert bool(ours.stdout) == bool(theirs.stdout)
    assert (ours.returncode == 0) == (ours.stderr == "")
