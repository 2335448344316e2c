"""`struct_ops` beside the distribution's bpftool, on a congestion control that is registered and one that is not."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..conftest import Sandbox
from ..congestion import Controls

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(not shutil.which("bpftool"), reason="bpftool is not installed"),
]


@pytest.fixture
def controls(sandbox: Sandbox, compile_c: Callable[..., Path]) -> Iterator[Controls]:
    with Controls(sandbox, compile_c, linked=True) as found:
        sandbox.bcctool("prog", "loadall", found.obj, "/sys/fs/bpf/progs", "pinmaps", "/sys/fs/bpf/maps")
        yield found


@pytest.fixture
def registered(sandbox: Sandbox, compile_c: Callable[..., Path]) -> Iterator[Controls]:
    with Controls(sandbox, compile_c) as found:
        sandbox.bcctool("struct_ops", "register", found.obj)
        yield found


def quoted(text: str) -> str:
    """bpftool 7.1's text with pointers in quotes, as later releases have them."""
    return re.sub(r'": (\(nil\)|0x[0-9a-f]+)', r'": "\1"', text)


@pytest.mark.parametrize("options", [[], ["-j"], ["-p"]])
@pytest.mark.parametrize("verb", ["show", "list", "l", "dump"])
@pytest.mark.parametrize("kind", ["registered", "controls"])
def test_same_output(request: pytest.FixtureRequest, kind: str, verb: str, options: list[str]) -> None:
    found: Controls = request.getfixturevalue(kind)
    words = (*options, "struct_ops", verb)
    theirs = found.box.run("bpftool", *words, "name", found.table)
    ours = found.box.bcctool(*words, "name", found.table)
    assert ours.stdout == (theirs.stdout if options else quoted(theirs.stdout))
    assert (ours.stderr, theirs.stderr) == ("", "")
    # By its id bpftool 7.1 shows the one map without the array around, which leaves a dump with two roots.
    id = str(found.id(found.table))
    by_id = found.box.bcctool(*words, "id", id)
    assert by_id.stdout == ours.stdout
    theirs = found.box.run("bpftool", *words, "id", id)
    if options or verb == "dump":
        assert json.loads(by_id.stdout) == json.loads(f"[{quoted(theirs.stdout)}]")
    else:
        assert by_id.stdout == theirs.stdout


def test_functions_are_programs_by_name(registered: Controls) -> None:
    info, value = json.loads(registered.box.bcctool("-j", "struct_ops", "dump", "name", registered.table).stdout)
    assert info["bpf_map_info"]["name"] == registered.table
    value = value["bpf_struct_ops_tcp_congestion_ops"]
    assert value["common"]["state"] == "BPF_STRUCT_OPS_STATE_INUSE"
    undo = value["data"]["undo_cwnd"]
    assert re.fullmatch(r"u32 \(struct sock \*\) undo_what_was_done_before/prog_id:\d+", undo)
    assert value["data"]["release"] == "void (struct sock *) 0"


def test_listings_have_the_same_lines(registered: Controls) -> None:
    """Others may register theirs at the same time."""

    def mine(text: str) -> list[str]:
        return [line for line in text.splitlines() if registered.table in line]

    for words in ([], ["show"], ["list"]):
        theirs = mine(registered.box.run("bpftool", "struct_ops", *words).stdout)
        assert mine(registered.box.bcctool("struct_ops", *words).stdout) == theirs
        assert len(theirs) == 1


@pytest.mark.parametrize("options", [[], ["-j"], ["-p"]])
@pytest.mark.parametrize(
    "words",
    [
        ["show", "id", "4294967295"],
        ["show", "id", "abc"],
        ["show", "name", "nosuch"],
        ["unregister", "name", "nosuch"],
        ["unregister", "id", "4294967295"],
        ["show", "foo", "1"],
        ["show", "name"],
        ["show", "name", "x", "more"],
        ["register"],
        ["register", "a", "b", "c"],
        ["unregister"],
    ],
    ids=" ".join,
)
def test_same_errors(sandbox: Sandbox, words: list[str], options: list[str]) -> None:
    theirs = sandbox.run("bpftool", *options, "struct_ops", *words, status=255)
    ours = sandbox.bcctool(*options, "struct_ops", *words, status=255)
    if theirs.stdout.strip() != "[]":  # an empty array and no reason
        assert ours.stdout == theirs.stdout
    if not theirs.stderr.startswith("Usage"):
        assert ours.stderr == theirs.stderr
    else:
        assert ours.stderr.startswith("Usage")


@pytest.mark.parametrize("options", [[], ["-j"]])
@pytest.mark.parametrize("verb", ["show", "dump", "unregister"])
def test_another_kind_of_map_in_the_same_words(sandbox: Sandbox, verb: str, options: list[str]) -> None:
    words = ("type", "array", "key", "4", "value", "4", "entries", "1", "name", "plain")
    sandbox.bcctool("map", "create", "/sys/fs/bpf/plain", *words)
    id = json.loads(sandbox.bcctool("-j", "map", "show", "pinned", "/sys/fs/bpf/plain").stdout)["id"]
    theirs = sandbox.run("bpftool", *options, "struct_ops", verb, "id", str(id), status=255)
    ours = sandbox.bcctool(*options, "struct_ops", verb, "id", str(id), status=255)
    message = f"plain id {id} is not a struct_ops map"
    assert message in theirs.stdout + theirs.stderr
    if verb != "dump" or options:  # in plain text bpftool's dump ends a JSON that it has not begun
        assert (ours.stdout, ours.stderr) == (theirs.stdout, theirs.stderr)
    else:
        assert (ours.stdout, ours.stderr) == ("", f"Error: {message}\n")


def test_a_dump_of_nothing_says_so(sandbox: Sandbox) -> None:
    assert sandbox.run("bpftool", "struct_ops", "dump", "name", "nosuch", status=255).stderr == ""
    done = sandbox.bcctool("struct_ops", "dump", "name", "nosuch", status=255)
    assert (done.stdout, done.stderr) == ("", "Error: no struct_ops found for nosuch\n")
