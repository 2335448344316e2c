"""An executable in place of an object file: what it embeds loads like the object itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from bcctool.loader.load import load

from ..conftest import Sandbox
from ..test_commands_object import host

Compile = Callable[..., Path]


def test_prog_load_takes_an_executable(sandbox: Sandbox, compile_c: Compile, tmp_path: Path) -> None:
    rich, legacy = compile_c("prog_rich.c", "-g"), compile_c("prog_legacy.c")
    sandbox.bcctool("prog", "load", host(tmp_path / "tool", rich), "/sys/fs/bpf/one")
    sandbox.bcctool("prog", "load", f"{host(tmp_path / 'two', legacy, rich)}#2", "/sys/fs/bpf/two")
    sandbox.bcctool("prog", "load", rich, "/sys/fs/bpf/plain")
    shown = [
        json.loads(sandbox.bcctool("-j", "prog", "show", "pinned", f"/sys/fs/bpf/{name}").stdout)
        for name in ("one", "two", "plain")
    ]
    assert len({(record["name"], record["tag"], record["bytes_xlated"]) for record in shown}) == 1
    done = sandbox.bcctool("prog", "load", tmp_path / "two", "/sys/fs/bpf/three", status=255)
    assert done.stderr.startswith(f"Error: {tmp_path}/two: there are 2 BPF objects in it: name one as ")


def test_the_library_names_maps_after_the_executable(compile_c: Compile, tmp_path: Path) -> None:
    path = host(tmp_path / "tool.exe", compile_c("prog_legacy.c"), compile_c("prog_rich.c", "-g"))
    with load(f"{path}#2") as loaded:
        assert "tool.bss" in loaded.maps
