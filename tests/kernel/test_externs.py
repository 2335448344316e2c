"""Externs on the running kernel: what our loader makes of them is what libbpf makes of them, where it can."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bcctool.elf.object import ObjectFile
from bcctool.kernel import kconfig
from bcctool.loader.externs import kconfig_contents, resolve
from bcctool.loader.kernel_types import KernelTypes

from ..conftest import Sandbox

Compile = Callable[..., Path]
PIN = "/sys/fs/bpf/prog"
MAPS = "/sys/fs/bpf/maps"
WRAPPER = "LINUX_HAS_SYSCALL_WRAPPER"  # libbpf finds it out by a kprobe, which not every kernel has


def configured() -> bool:
    try:
        return bool(kconfig.settings())
    except Exception:
        return False


@pytest.mark.skipif(not shutil.which("bpftool"), reason="bpftool is not installed")
@pytest.mark.skipif(not configured(), reason="this kernel does not say how it was built")
def test_the_configuration_is_what_libbpf_finds(sandbox: Sandbox, compile_c: Compile) -> None:
    path = compile_c("ksyms_kconfig.c", "-g", "-DKCONFIG")
    sandbox.run("bpftool", "prog", "load", path, PIN, "pinmaps", MAPS)
    (name,) = sandbox.run("ls", MAPS).stdout.split()
    dump = json.loads(sandbox.run("bpftool", "-j", "map", "dump", "pinned", f"{MAPS}/{name}").stdout)
    theirs = bytes(int(byte, 16) for byte in dump[0]["value"])
    obj = ObjectFile(str(path))
    ours = kconfig_contents(obj)
    assert len(ours) == len(theirs)
    for extern in obj.externs:
        place = slice(extern.offset, extern.offset + extern.size)
        if extern.name != WRAPPER:
            assert ours[place] == theirs[place], extern.name
    assert any(ours)


@pytest.mark.skipif(not shutil.which("bpftool"), reason="bpftool is not installed")
def test_symbols_are_what_libbpf_finds(sandbox: Sandbox, compile_c: Compile, tmp_path: Path) -> None:
    """libbpf 1.1 knows no flavors, so they are left out for it."""
    source = tmp_path / "plain.c"
    text = (Path(__file__).parent.parent / "programs" / "ksyms_kconfig.c").read_text()
    source.write_text(re.sub(r".*___wrong.*\n", "", text).replace("___flavor", ""))
    path = compile_c(source, "-g", "-DKSYMS")
    log = sandbox.run("bpftool", "-d", "prog", "load", path, PIN, status=None).stderr
    theirs = {
        name: int(value, 0)
        for name, value in re.findall(r"extern \(.*ksym\) '(.*)': (?:resolved to kernel \[|set to )(\w+)", log)
    }
    theirs |= {
        name: int(value) for name, value in re.findall(r"extern \(var ksym\) '(.*)': resolved to \[(\d+)\]", log)
    }
    obj = ObjectFile(str(path))
    with KernelTypes() as kernel:
        found = {obj.symbols[index].name: resolved for index, resolved in resolve(obj, kernel).items()}
    assert {name: resolved.btf_id or resolved.address for name, resolved in found.items() if resolved.found} == theirs
    assert len(theirs) == 5
    missing = {name for name, resolved in found.items() if not resolved.found}
    assert missing == {"bpf_no_such_thing", "no_such_variable", "bpf_no_such_function"}
