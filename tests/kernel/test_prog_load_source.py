"""`prog load FILE.c`: sources with SEC() through clang, those for BCC through BCC, and what compilers say."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from ..conftest import ROOT, Completed, Sandbox

BPFFS = "/sys/fs/bpf"
WITH_SECTIONS = """
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1000);
    __type(key, u32);
    __type(value, u64);
} hits SEC(".maps");

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task)
{
    u32 key = BPF_CORE_READ(task, tgid);
    u64 one = 1;

    bpf_map_update_elem(&hits, &key, &one, BPF_ANY);
    return 0;
}

SEC("xdp") int pass(void *ctx) { return XDP_PASS; }

char _license[] SEC("license") = "GPL";
"""
FOR_BCC = """
#include <linux/sched.h>
#include "own.h"
BPF_HASH(hits, u32, u64);
TRACEPOINT_PROBE(sched, sched_process_exec)
{
    u32 pid = bpf_get_current_pid_tgid() >> 32;

    hits.increment(pid, ONE); // SEC("xdp") is only said here
    return 0;
}
"""
UNNAMED = "int pass(struct xdp_md *ctx) { return XDP_PASS; }\nint drop(struct xdp_md *ctx) { return XDP_DROP; }\n"


class Sources:
    """Writes sources, and loads them in a sandbox with a tracefs and a cache of its own."""

    def __init__(self, box: Sandbox, folder: Path, cache: Path) -> None:
        self.box = box
        self.folder = folder
        self.environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
        box.mount_tracefs()

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def bcctool(self, *words: str | os.PathLike[str], status: int = 0) -> Completed:
        return self.box.bcctool(*words, status=status, env=self.environment)

    def pins(self) -> list[str]:
        """What is pinned below the bpffs, but for the kernel's own."""
        found = self.box.run("find", BPFFS, "-type", "f", "!", "-name", "*.debug").stdout.split()
        return sorted(path.removeprefix(f"{BPFFS}/") for path in found)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def sources(sandbox: Sandbox, tmp_path: Path, cache: Path) -> Sources:
    made = Sources(sandbox, tmp_path, cache)
    made.write("own.h", "#define ONE 1\n")
    return made


def hits(sources: Sources) -> list[int]:
    """The values of the map `hits`, once something was executed."""
    sources.box.run("true")
    dumped = json.loads(sources.bcctool("-j", "map", "dump", "pinned", f"{BPFFS}/maps/hits").stdout)
    return [entry["formatted"]["value"] for entry in dumped]


@pytest.mark.skipif(not shutil.which("clang"), reason="clang is not installed")
def test_a_source_with_sections(sources: Sources) -> None:
    path = sources.write("sec.c", WITH_SECTIONS)
    done = sources.bcctool("prog", "loadall", path, f"{BPFFS}/p", "pinmaps", f"{BPFFS}/maps", "autoattach")
    assert (done.stdout, done.stderr) == ("", "Program pass does not support autoattach, falling back to pinning\n")
    assert sources.pins() == ["maps/hits", "p/on_exec", "p/pass"]
    assert set(hits(sources)) == {1}
    shown = json.loads(sources.bcctool("-j", "prog", "show", "pinned", f"{BPFFS}/p/pass").stdout)
    assert (shown["type"], shown["name"]) == ("xdp", "pass")


@pytest.mark.skipif(not shutil.which("clang"), reason="clang is not installed")
def test_types_of_ones_own_come_first(sources: Sources) -> None:
    sources.write("vmlinux.h", "typedef unsigned int mine;\n")
    text = '#include "vmlinux.h"\n__attribute__((section("xdp"))) int f(void *ctx) { return (mine)2; }\n'
    sources.bcctool("prog", "load", sources.write("own.c", text), f"{BPFFS}/f")
    assert sources.pins() == ["f"]


def test_a_source_for_bcc(sources: Sources) -> None:
    path = sources.write("bcc.c", FOR_BCC)
    done = sources.bcctool("prog", "load", path, f"{BPFFS}/p", "pinmaps", f"{BPFFS}/maps", "autoattach")
    assert (done.stdout, done.stderr) == ("", "")
    assert sources.pins() == ["maps/hits", "p"]
    assert min(hits(sources)) >= 1
    shown = sources.bcctool("link", "show", "pinned", f"{BPFFS}/p").stdout
    assert "tracepoint sched_process_exec" in shown


def test_a_type_for_what_names_do_not_tell(sources: Sources) -> None:
    path = sources.write("unnamed.c", UNNAMED)
    done = sources.bcctool("prog", "loadall", path, f"{BPFFS}/all", status=255)
    assert done.stderr == (
        f"Error: {path}: program 'pass': its name tells no type (as kprobe__… would): give `type TYPE`\n"
    )
    assert sources.pins() == []
    sources.bcctool("prog", "loadall", path, f"{BPFFS}/all", "type", "xdp")
    sources.bcctool("prog", "load", path, f"{BPFFS}/one", "type", "xdp")
    assert sources.pins() == ["all/drop", "all/pass", "one"]
    assert ": xdp  name pass  " in sources.bcctool("prog", "show", "pinned", f"{BPFFS}/one").stdout  # the first one


@pytest.mark.parametrize(
    ("text", "said", "error"),
    [
        (
            '#define SEC(x) __attribute__((section(x)))\nSEC("xdp") int f( { }\n',
            "bad.c:2:19: ",
            "clang can't compile it",
        ),
        ("int f( { }\n", "/virtual/main.c:1:", "BCC can't compile it"),
        ("#error my words\n", "my words", "BCC can't compile it"),
    ],
)
def test_what_compilers_say(sources: Sources, text: str, said: str, error: str) -> None:
    path = sources.write("bad.c", text)
    done = sources.bcctool("prog", "load", path, f"{BPFFS}/p", "type", "xdp", status=255)
    assert said in done.stderr
    assert done.stderr.splitlines()[-1] == f"Error: {path}: {error}"
    assert sources.pins() == []


@pytest.mark.parametrize(
    ("text", "words", "error"),
    [
        (UNNAMED, ("type", "nothing"), "Error: unknown program type 'nothing'"),
        (
            UNNAMED,
            ("type", "xdp", "map", "name", "m", "id", "4294967295"),
            "Error: get map by id (4294967295): No such",
        ),
        (UNNAMED, ("type", "xdp", "kernel_btf", "/nowhere"), "'kernel_btf' is for objects and sources with SEC()"),
        ("BPF_HASH(h);\n", (), "no programs in it"),
        (
            "int f(struct xdp_md *ctx) { return *(int *)0; }\n",
            ("type", "xdp"),
            "program 'f' can't be loaded: Permission denied",
        ),
    ],
)
def test_what_can_not_be_loaded(sources: Sources, text: str, words: tuple[str, ...], error: str) -> None:
    path = sources.write("x.c", text)
    done = sources.bcctool("prog", "load", path, f"{BPFFS}/p", *words, status=None)  # type: ignore[arg-type]
    assert done.returncode != 0
    assert error in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert sources.pins() == []


def test_a_source_that_is_not_there(sources: Sources) -> None:
    done = sources.bcctool("prog", "load", "/nowhere.c", f"{BPFFS}/p", status=255)
    assert done.stderr == "Error: can't read /nowhere.c: No such file or directory\n"


def test_a_place_that_is_taken(sources: Sources) -> None:
    path = sources.write("unnamed.c", UNNAMED)
    sources.bcctool("prog", "load", path, f"{BPFFS}/p", "type", "xdp")
    done = sources.bcctool("prog", "load", path, f"{BPFFS}/p", "type", "xdp", status=255)
    assert done.stderr.startswith(f"Error: can't pin the object ({BPFFS}/p): File exists")
    assert sources.pins() == ["p"]


def test_without_bcc(sources: Sources, tmp_path: Path) -> None:
    """Or with another package of that name."""
    path = sources.write("unnamed.c", UNNAMED)
    (tmp_path / "bcc").mkdir()
    (tmp_path / "bcc" / "__init__.py").write_text("")
    paths = [str(tmp_path), str(ROOT)]
    script = f"import sys; sys.path[:0] = {paths!r}\nfrom bcctool.cli import main\nsys.exit(main())"
    words = (sys.executable, "-c", script, "prog", "load", path, f"{BPFFS}/p", "type", "xdp")
    done = sources.box.run(*words, status=255, env=sources.environment)
    assert done.stderr.startswith(f"Error: {path}: BCC can't be had (")
    assert done.stderr.endswith("): install python3-bpfcc\n")


def test_without_clang(sources: Sources, tmp_path: Path) -> None:
    path = sources.write("sec.c", WITH_SECTIONS)
    (tmp_path / "nsenter").symlink_to(shutil.which("nsenter") or "")
    sources.environment["PATH"] = str(tmp_path)
    done = sources.bcctool("prog", "load", path, f"{BPFFS}/p", status=255)
    assert done.stderr == f"Error: {path}: no clang to compile it with: install clang, or give an object\n"
