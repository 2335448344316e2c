"""iter pin: reading the file runs the program; what can't be one is refused, and nothing is left."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ..conftest import Sandbox

Compile = Callable[..., Path]
PIN, ARRAY = "/sys/fs/bpf/it", "/sys/fs/bpf/array"
CREATE = ("type", "array", "key", "4", "value", "8", "entries", "3", "name", "array")


def test_reading_the_file_runs_the_iterator_over_a_map(sandbox: Sandbox, compile_c: Compile) -> None:
    sandbox.bcctool("map", "create", ARRAY, *CREATE)
    words = ("iter", "pin", compile_c("iter_pin.c", "-g"), PIN, "map", "pinned", ARRAY)
    assert "got: 'junk'" in sandbox.bcctool(*words, "junk", status=255).stderr
    sandbox.run("test", "!", "-e", PIN)
    done = sandbox.bcctool(*words)
    assert (done.stdout, done.stderr) == ("", "")
    for _ in range(2):
        assert sandbox.run("cat", PIN).stdout == "element 0\nelement 1\nelement 2\n"


def test_an_iterator_over_everything_takes_no_map(sandbox: Sandbox, compile_c: Compile) -> None:
    obj = compile_c("iter_pin.c", "-g", "-DMAPS")
    sandbox.bcctool("map", "create", ARRAY, *CREATE)
    done = sandbox.bcctool("iter", "pin", obj, PIN, "map", "pinned", ARRAY, status=234)
    assert "iterates over no map" in done.stderr
    sandbox.run("test", "!", "-e", PIN)
    assert sandbox.bcctool("-j", "iter", "pin", obj, PIN).stdout.strip() == ""
    id = json.loads(sandbox.bcctool("-j", "map", "show", "pinned", ARRAY).stdout)["id"]
    assert f"map {id}\n" in sandbox.run("cat", PIN).stdout


@pytest.mark.parametrize(
    ("source", "words", "status", "message"),
    [
        ("iter_pin.c", [], 247, "program 'elements' iterates over what is in a map: say which"),
        ("iter_pin.c", ["junk"], 255, "expected 'map', got: 'junk'"),
        ("iter_pin.c", ["map", "id", "4294967295"], 255, "get map by id (4294967295)"),
        ("prog_legacy.c", [], 234, "is no iterator: its section, xdp,"),
    ],
)
def test_what_is_refused_leaves_nothing(
    sandbox: Sandbox, compile_c: Compile, source: str, words: list[str], status: int, message: str
) -> None:
    done = sandbox.bcctool("iter", "pin", compile_c(source, "-g"), PIN, *words, status=status)
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    sandbox.run("test", "!", "-e", PIN)


@pytest.mark.parametrize(("path", "status"), [("/nonexistent", 254), ("/etc/passwd", 95)])
def test_files_that_are_no_objects(sandbox: Sandbox, path: str, status: int) -> None:
    done = sandbox.bcctool("iter", "pin", path, PIN, status=status)
    assert path in done.stderr


def test_a_pin_that_is_there_stays(sandbox: Sandbox, compile_c: Compile) -> None:
    sandbox.bcctool("map", "create", ARRAY, *CREATE)
    done = sandbox.bcctool(
        "iter", "pin", compile_c("iter_pin.c", "-g"), ARRAY, "map", "pinned", ARRAY, status=239
    )
    assert "File exists" in done.stderr
    assert json.loads(sandbox.bcctool("-j", "map", "show", "pinned", ARRAY).stdout)["name"] == "array"


def test_the_word_alone_is_answered_with_its_usage(sandbox: Sandbox) -> None:
    done = sandbox.bcctool("iter")
    assert done.stderr.startswith("Usage: bcctool iter pin OBJ PATH [map MAP]\n")
