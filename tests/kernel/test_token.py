"""token show: bpf file systems that are mounted with and without options that delegate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ..conftest import Sandbox


def mounted(box: Sandbox, path: Path, *options: str) -> str:
    path.mkdir()
    done = box.run("mount", "-t", "bpf", "-o", ",".join(options), "bpf", path, status=None)
    if done.returncode:
        pytest.skip("this kernel has no tokens")
    return str(path)


def test_mount_points_that_delegate(sandbox: Sandbox, tmp_path: Path) -> None:
    assert sandbox.bcctool("token").stdout == ""
    assert sandbox.bcctool("-j", "token").stdout == "[]\n"
    first = mounted(sandbox, tmp_path / "with a blank", "delegate_cmds=prog_load:map_create", "delegate_progs=kprobe")
    second = mounted(sandbox, tmp_path / "second", "delegate_attachs=any", "delegate_maps=0x4")
    mounted(sandbox, tmp_path / "third", "mode=0700")
    assert json.loads(sandbox.bcctool("-j", "token", "list").stdout) == [
        {
            "token_info": first,
            "allowed_cmds": ["map_create", "prog_load"],
            "allowed_maps": [],
            "allowed_progs": ["kprobe"],
            "allowed_attachs": [],
        },
        {
            "token_info": second,
            "allowed_cmds": [],
            "allowed_maps": ["array"],
            "allowed_progs": [],
            "allowed_attachs": ["any"],
        },
    ]
    lines = sandbox.bcctool("tok", "sh").stdout.splitlines()
    assert [lines[0], lines[2].split()] == [f"token_info  {first}", ["map_create", "prog_load"]]
    assert lines.count(f"token_info  {second}") == 1
    assert len(lines) == 14


def test_more_words_are_refused(sandbox: Sandbox) -> None:
    done = sandbox.bcctool("token", "show", "x", status=255)
    assert done.stderr == "Error: expected no more arguments, got: 'x'\n"
