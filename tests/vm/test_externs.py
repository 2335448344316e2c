"""Externs on a kernel with modules: theirs are found too, and the version is the true one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ..conftest import Completed

pytestmark = pytest.mark.vm
P = "/sys/fs/bpf"
GUEST = f"""
modprobe nf_conntrack || exit 77
for tool in bcctool bpftool; do
    $tool prog load $0 {P}/$tool pinmaps {P}/maps_$tool || exit 1
    $tool -j map dump pinned {P}/maps_$tool/*kconfig
done
uname -v
grep -w nf_ct_delete /proc/kallsyms
bcctool -j prog dump xlated pinned {P}/bcctool
"""


@pytest.mark.parametrize("release", ["6.1", "6.12"])
def test_functions_and_symbols_of_a_module(
    vm: Callable[..., Completed], shared: Path, compile_c: Callable[..., Path], release: str
) -> None:
    path = shutil.copy(compile_c("ksyms_module.c", "-g"), shared / "module.o")
    done = vm(release, "sh", "-c", GUEST, str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    *values, version, symbol, code = done.stdout.splitlines()
    ours, theirs = (bytes(int(byte, 16) for byte in json.loads(dump)[0]["value"]) for dump in values)
    assert ours[4:] == theirs[4:]
    # libbpf before 1.2 believes the release's "6.1.0".
    major, minor, patch = map(int, version.partition("Debian ")[2].partition("-")[0].split("."))
    assert ours[:4] == (major << 16 | minor << 8 | patch).to_bytes(4, "little")
    address, _, _, module = symbol.split()
    assert module == "[nf_conntrack]"
    disassembled = [insn["disasm"] for insn in json.loads(code)]
    assert any("bpf_xdp_ct_lookup#" in text for text in disassembled)
    assert any("bpf_ct_release#" in text for text in disassembled)
    assert any(f"{int(address, 16):#x}" in text for text in disassembled)
