"""Programs of C and C++ with a skeleton inside: they open, set, load, attach, read and destroy."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bcctool.codegen.light import light_skeleton
from bcctool.codegen.skeleton import skeleton
from bcctool.codegen.subskeleton import subskeleton
from bcctool.elf.object import ObjectFile

from ..conftest import run

Compile = Callable[..., Path]
CALLS = 5
MAIN = """
#include <stdio.h>
#include <unistd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <bpf/bpf.h>
#include "run.skel.h"
#include "part.subskel.h"

static void call(int times)
{
	while (times--)
		syscall(SYS_getuid);
}

int main(int argc, char **argv)
{
	unsigned long long total = 0, calls;
	unsigned int key = 1;
	struct stat namespace_;
	struct part *part;
	struct run *skel;

#ifdef __cplusplus
	skel = run::open();
#else
	skel = run__open();
#endif
	if (!skel)
		return 10;
	stat("/proc/self/ns/pid", &namespace_);
	skel->rodata->ns_dev = namespace_.st_dev;
	skel->rodata->ns_inode = namespace_.st_ino;
	skel->rodata->wanted = getpid();
	skel->data->step = 3;
	skel->data_custom->doubled = 4;
	if (run__load(skel))
		return 11;
	part = part__open(skel->obj);
	if (!part)
		return 12;
	call(CALLS);
	if (skel->bss->calls || *part->bss.calls)
		return 13;
	if (run__attach(skel))
		return 14;
	call(CALLS);
	run__detach(skel);
	calls = skel->bss->calls;
	call(CALLS);
	if (skel->bss->calls != calls || *part->bss.calls != calls || part->bss.calls != &skel->bss->calls)
		return 15;
	if (bpf_map_lookup_elem(bpf_map__fd(skel->maps.totals), &key, &total) || total != 4 * calls)
		return 16;
	if (bpf_map__fd(part->maps.totals) != bpf_map__fd(skel->maps.totals))
		return 17;
	if (skel->bss->version != skel->kconfig->LINUX_KERNEL_VERSION || !skel->bss->version)
		return 18;
	if (skel->bss->pair.large != 1L << 40)
		return 19;
	printf("%llu %d\\n", calls, *part->data.step);
	part__destroy(part);
#ifdef __cplusplus
	run::destroy(skel);
#else
	run__destroy(skel);
#endif
	skel = run__open_and_load();
	if (!skel || skel->data->step != 1 || skel->rodata->wanted)
		return 20;
	run__destroy(skel);
	return 0;
}
"""


LIGHT = """
#include <errno.h>
#include <stdio.h>
#include <unistd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include "run.lskel.h"

int main(int argc, char **argv)
{
	struct run *skel = run__open();
	struct stat namespace_;

	if (!skel)
		return 10;
	stat("/proc/self/ns/pid", &namespace_);
	skel->rodata->ns_dev = namespace_.st_dev;
	skel->rodata->ns_inode = namespace_.st_ino;
	skel->rodata->wanted = getpid();
	skel->data->step = 3;
	if (run__load(skel))
		return 11;
	if (run__attach(skel))
		return 12;
	for (int times = CALLS; times; times--)
		syscall(SYS_getuid);
	run__detach(skel);
	printf("%llu %d\\n", skel->bss->calls, skel->bss->version);
	run__destroy(skel);
	return 0;
}
"""


def built(obj: str, directory: Path, compiler: str, suffix: str) -> Path:
    if not shutil.which(compiler) or not Path("/usr/include/bpf/libbpf.h").exists():
        pytest.skip(f"{compiler} or libbpf's headers are not installed")
    (directory / "run.skel.h").write_text("".join(skeleton(ObjectFile(obj), "run")))
    (directory / "part.subskel.h").write_text("".join(subskeleton(ObjectFile(obj), "part")))
    source, program = directory / f"main.{suffix}", directory / "program"
    source.write_text(MAIN)
    run(compiler, "-Wall", "-Werror", f"-DCALLS={CALLS}", source, "-o", program, "-lbpf")
    return program


@pytest.mark.parametrize(("compiler", "suffix"), [("gcc", "c"), ("g++", "cc")])
def test_a_program_with_a_skeleton(compile_c: Compile, tmp_path: Path, compiler: str, suffix: str) -> None:
    program = built(str(compile_c("skeleton_run.c", "-g")), tmp_path, compiler, suffix)
    done = run(program)
    calls, step = map(int, done.stdout.split())
    assert step == 3
    assert calls % step == 0
    assert CALLS <= calls // step <= CALLS + 10  # and what detaching takes


def test_an_object_that_does_not_load(compile_c: Compile, tmp_path: Path) -> None:
    """The skeleton is made all the same; it is the kernel that says no."""
    text = "".join(skeleton(ObjectFile(str(compile_c("load_bad.c", "-g"))), "bad"))
    (tmp_path / "bad.skel.h").write_text(text)
    (tmp_path / "main.c").write_text('#include "bad.skel.h"\nint main(void) { return !bad__open_and_load(); }')
    run("gcc", "-Wall", "-Werror", tmp_path / "main.c", "-o", tmp_path / "program", "-lbpf")
    run(tmp_path / "program", status=1)


def test_a_program_with_a_light_skeleton_needs_no_libbpf(compile_c: Compile, tmp_path: Path) -> None:
    if not shutil.which("gcc") or not Path("/usr/include/bpf/skel_internal.h").exists():
        pytest.skip("gcc or libbpf's headers are not installed")
    obj = ObjectFile(str(compile_c("skeleton_run.c", "-g")))
    (tmp_path / "run.lskel.h").write_text("".join(light_skeleton(obj, "run")))
    (tmp_path / "main.c").write_text(LIGHT)
    run("gcc", "-Wall", "-Werror", f"-DCALLS={CALLS}", tmp_path / "main.c", "-o", tmp_path / "program")
    calls, version = map(int, run(tmp_path / "program").stdout.split())
    assert calls % 3 == 0
    assert CALLS <= calls // 3 <= CALLS + 10
    assert version > 5 << 16
