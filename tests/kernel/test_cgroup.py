"""`cgroup`: programs at every hook of cgroups of the tests' own: attached, inherited, listed, detached."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bcctool.objects.cgroup import HOOKS

from ..cgroups import own_cgroups, program
from ..conftest import BCCTOOL, NOBODY, Sandbox

PINS = "/sys/fs/bpf/p"
HEADER = "ID       AttachType      AttachFlags     Name           \n"
WITHOUT_ROOTS_EYES = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


@pytest.fixture
def top() -> Iterator[Path]:
    """A cgroup with one in it, and one in that."""
    with own_cgroups("a", "a/b") as top:
        yield top


@pytest.fixture(scope="module")
def box(compile_c: Callable[..., Path]) -> Iterator[Sandbox]:
    """A sandbox with a program for each hook of the running kernel."""
    box = Sandbox()
    try:
        done = box.bcctool("prog", "loadall", compile_c("cgroup_hooks.c", "-g", "-DUNIX"), PINS, status=None)
        if done.returncode:
            box.bcctool("prog", "loadall", compile_c("cgroup_hooks.c", "-g"), PINS)
        yield box
    finally:
        box.close()


def id_of(box: Sandbox, name: str) -> int:
    return int(json.loads(box.bcctool("-j", "prog", "show", "pinned", f"{PINS}/{name}").stdout)["id"])


def attach(box: Sandbox, path: Path, hook: str, name: str, *flags: str) -> None:
    assert box.bcctool("cgroup", "attach", path, hook, "pinned", f"{PINS}/{name}", *flags).stdout == ""


def batch(box: Sandbox, *lines: str) -> None:
    done = box.bcctool("batch", "file", "-", input="\n".join(lines))
    assert done.stdout == f"processed {len(lines)} commands\n"


def shown(box: Sandbox, path: Path, *words: str) -> list[tuple[str, str, str]]:
    """(hook, flags, name) of each program of a cgroup; no flags with `effective`."""
    records = json.loads(box.bcctool("-j", "cgroup", "show", path, *words).stdout)
    return [(record["attach_type"], record.get("attach_flags", "-"), record["name"]) for record in records]


def tree(box: Sandbox, path: Path, *words: str) -> dict[str, list[str]]:
    """The names of the programs of each cgroup that has some."""
    records = json.loads(box.bcctool("-j", "cgroup", "tree", path, *words).stdout)
    assert all([*record] == ["cgroup", "programs"] for record in records)
    return {record["cgroup"]: [prog["name"] for prog in record["programs"]] for record in records}


def test_every_hook(box: Sandbox, top: Path) -> None:
    """Attached in another order than that of the listing, by the kernel's names, and detached again."""
    there = {Path(path).name for path in box.run("ls", PINS).stdout.split()}
    hooks = [hook for hook in HOOKS if program(hook) in there]
    assert len(hooks) >= len(HOOKS) - 6  # those of Unix sockets are new, LSM programs need more than this
    batch(box, *(f"cgroup attach {top} {hook} pinned {PINS}/{program(hook)}" for hook in reversed(hooks)))
    assert shown(box, top) == [(hook, "", program(hook)) for hook in hooks]
    batch(box, *(f"cgroup detach {top} {hook} pinned {PINS}/{program(hook)}" for hook in hooks))
    assert shown(box, top) == []
    assert box.bcctool("cgroup", "show", top).stdout == ""


def test_the_record_and_its_text(box: Sandbox, top: Path) -> None:
    attach(box, top, "egress", "either_way_and_a_long_name", "multi")
    id = id_of(box, "either_way_and_a_long_name")
    (record,) = json.loads(box.bcctool("-j", "cgroup", "show", top).stdout)
    assert [*record.items()] == [
        ("id", id), ("attach_type", "cgroup_inet_egress"), ("attach_flags", "multi"),
        ("name", "either_way_and_a_long_name"), ("attach_btf_name", ""), ("attach_btf_obj_id", 0), ("attach_btf_id", 0),
    ]  # fmt: skip
    row = f"{id:<8} cgroup_inet_egress multi           either_way_and_a_long_name                \n"
    assert box.bcctool("cgroup", "list", top).stdout == HEADER + row
    row = f"{id:<8} cgroup_inet_egress either_way_and_a_long_name                \n"
    assert box.bcctool("cgroup", "list", top, "effective").stdout == HEADER.replace("AttachFlags     ", "") + row


def test_several_programs_at_a_hook_run_in_the_order_of_attaching(box: Sandbox, top: Path) -> None:
    for name in ("out", "in", "either_way_and_a_long_name"):
        hook = "egress" if name != "in" else "ingress"
        attach(box, top, hook, name, "multi")
    attach(box, top / "a", "egress", "out", "multi")
    names = ["out", "either_way_and_a_long_name"]
    assert shown(box, top)[1:] == [("cgroup_inet_egress", "multi", name) for name in names]
    inherited = [name for hook, _, name in shown(box, top / "a", "effective") if hook == "cgroup_inet_egress"]
    assert sorted(inherited) == sorted([*names, "out"])
    box.bcctool("cgroup", "detach", top, "egress", "pinned", f"{PINS}/out")
    assert shown(box, top)[1:] == [("cgroup_inet_egress", "multi", names[1])]
    assert [name for *_, name in shown(box, top / "a")] == ["out"]


def test_override(box: Sandbox, top: Path) -> None:
    attach(box, top, "device", "device", "override")
    attach(box, top / "a", "bind4", "bind4", "o", "over")
    assert shown(box, top) == [("cgroup_device", "override", "device")]
    assert shown(box, top / "a") == [("cgroup_inet4_bind", "override", "bind4")]
    assert shown(box, top / "a/b") == []
    both = [("cgroup_inet4_bind", "-", "bind4"), ("cgroup_device", "-", "device")]
    assert shown(box, top / "a/b", "effective") == both


def test_a_program_that_is_not_allowed_below(box: Sandbox, top: Path) -> None:
    attach(box, top, "ingress", "in")
    words = ("cgroup", "attach", top / "a", "ingress", "pinned", f"{PINS}/in", "multi")
    assert box.bcctool(*words, status=255).stderr == (
        f"Error: failed to attach program to {top}/a: Operation not permitted: programs in this cgroup, or above it, "
        "may have been attached with other flags\n"
    )
    assert shown(box, top / "a") == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("show", "'show' needs at least 1 arguments, 0 found"),
        ("show {top} x", "expected no more arguments, 'effective', got: 'x'?"),
        ("tree {top} eff e", "duplicated argument: e"),
        ("show {top}/nosuch", "can't open cgroup {top}/nosuch: No such file or directory"),
        ("show /proc/self", "can't query bpf programs attached to /proc/self: it is no directory of cgroup v2"),
        ("tree {top}/nosuch", "can't iterate over {top}/nosuch: No such file or directory"),
        ("tree /proc/self/fdinfo",
         "can't query bpf programs attached to /proc/self/fdinfo: it is no directory of cgroup v2"),
        ("attach {top} ingress id", "too few parameters for cgroup attach: CGROUP ATTACH_TYPE PROG expected"),
        ("detach {top}", "too few parameters for cgroup detach: CGROUP ATTACH_TYPE PROG expected"),
        ("attach {top}/nosuch ingress {in}", "can't open cgroup {top}/nosuch: No such file or directory"),
        ("attach {top} inet_ingress {in}", "invalid attach type: inet_ingress, see 'bcctool cgroup help'"),
        ("attach {top} ingress tga 1", "expected 'id', 'tag', 'name' or 'pinned', got: 'tga'?"),
        ("attach {top} ingress id 4294967295", "get by id (4294967295): No such file or directory"),
        ("attach {top} ingress {in} multi junk", "unknown option: junk, expected 'multi' or 'override'"),
        ("attach {top} ingress {in} multi override",
         "failed to attach program to {top}: Invalid argument: multi and override exclude each other"),
        ("attach {top} bind4 {in} multi", "failed to attach program to {top}: Invalid argument: cgroup_skb programs "
         "may not fit cgroup_inet4_bind, or this one is there already"),
        ("attach / ingress {in}", "failed to attach program to /: it is no directory of cgroup v2"),
        ("detach {top} egress {in}",
         "failed to detach program from {top}: it is not attached to cgroup_inet_egress there"),
        ("detach {top} ingress {in} multi", "expected no more arguments, got: 'multi'"),
        ("detach / ingress {in}", "failed to detach program from /: it is no directory of cgroup v2"),
    ],
)  # fmt: skip
def test_errors(box: Sandbox, top: Path, words: str, message: str) -> None:
    """On stderr, or as JSON; with nothing attached or detached."""
    fill = {"top": str(top), "in": f"pinned {PINS}/in"}
    command = ("cgroup", *words.format_map(fill).split())
    done = box.bcctool(*command, status=255)
    assert done.stderr == f"Error: {message.format_map(fill)}\n"
    done = box.bcctool("-j", *command, status=255)
    error = {"error": message.format_map(fill)}
    in_array = command[1] == "tree" and "duplicated" not in message
    assert (json.loads(done.stdout), done.stderr) == ([error] if in_array else error, "")
    assert shown(box, top) == []


def test_changes_answer_null(box: Sandbox, top: Path) -> None:
    for verb in ("attach", "detach"):
        words = ("-j", "cgroup", verb, top, "ingress", "pinned", f"{PINS}/in")
        assert box.bcctool(*words).stdout == "null\n"
    assert box.bcctool("-j", "cgroup", "show", top).stdout == "[]\n"


def test_tree(box: Sandbox, top: Path) -> None:
    """A cgroup without programs is left out, those below the root are indented."""
    attach(box, top, "ingress", "in", "multi")
    attach(box, top / "a/b", "device", "device")
    assert tree(box, top) == {str(top): ["in"], f"{top}/a/b": ["device"]}
    inherited = {str(top): ["in"], f"{top}/a": ["in"], f"{top}/a/b": ["in", "device"]}
    assert tree(box, top, "effective") == inherited
    first, second = id_of(box, "in"), id_of(box, "device")
    assert box.bcctool("cgroup", "tree", f"{top}/").stdout == (
        f"CgroupPath\n{HEADER}"
        f"{top}\n{first:<8} cgroup_inet_ingress multi           in                             \n"
        f"{top}/a/b\n    {second:<8} cgroup_device                   device                         \n"
    )
    mount = Path(top).parent
    whole = tree(box, mount)
    assert {path: names for path, names in whole.items() if path.startswith(str(top))} == tree(box, top)
    assert f"{top}/a/b\n" in box.bcctool("cgroup", "tree").stdout


def test_a_tree_with_nothing(box: Sandbox, top: Path) -> None:
    assert box.bcctool("cgroup", "tree", top).stdout == f"CgroupPath\n{HEADER}"
    assert box.bcctool("-j", "cgroup", "tree", top).stdout == "[]\n"


def test_a_tree_ends_at_mount_points(sandbox: Sandbox, top: Path) -> None:
    """Beyond it is no cgroup: to ask what is there would be an error."""
    sandbox.run("mount", "-t", "tmpfs", "none", top / "a")
    sandbox.run("mkdir", "-p", top / "a/x/y")
    assert sandbox.bcctool("cgroup", "tree", top).stdout == f"CgroupPath\n{HEADER}"


def test_a_tree_survives_a_cgroup_that_cannot_be_read(box: Sandbox) -> None:
    """Those that come after it, in the kernel's order, are shown too."""
    others = [f"open{number}" for number in range(8)]
    with own_cgroups("closed", "closed/in", *others) as top:
        readable = [top, *(top / name for name in others)]
        batch(box, *(f"cgroup attach {p} ingress pinned {PINS}/in multi" for p in (*readable, top / "closed/in")))
        (top / "closed").chmod(0)
        message = f"can't open cgroup {top}/closed: Permission denied"
        done = box.run(*WITHOUT_ROOTS_EYES, *BCCTOOL, "cgroup", "tree", top, status=255)
        assert done.stderr == f"Error: {message}\n"
        paths = [line for line in done.stdout.splitlines() if line.startswith("/")]
        assert sorted(paths) == [str(path) for path in readable]
        done = box.run(*WITHOUT_ROOTS_EYES, *BCCTOOL, "-j", "cgroup", "tree", top, status=255)
        *records, error = json.loads(done.stdout)
        assert ([record["cgroup"] for record in records], error) == (paths, {"error": message})


def test_without_rights(box: Sandbox, top: Path) -> None:
    """One line, for each verb; nothing is attached."""
    failed = f"can't query bpf programs attached to {top}: Operation not permitted"
    for words in (("show", top), ("tree", top)):
        done = box.run(*NOBODY, *BCCTOOL, "cgroup", *words, status=255)
        assert done.stderr == f"Error: {failed}\n"
    done = box.run(*NOBODY, *BCCTOOL, "cgroup", "attach", top, "ingress", "pinned", f"{PINS}/in", status=255)
    assert done.stderr.count("\n") == 1
    assert shown(box, top) == []


def test_a_path_does_nothing_to_a_terminal(box: Sandbox, top: Path) -> None:
    path = top / "x\x1b[2J"
    path.mkdir()
    attach(box, path, "ingress", "in")
    assert f"\n{top}/x\\x1b[2J\n" in box.bcctool("cgroup", "tree", top).stdout
    assert tree(box, top) == {str(path): ["in"]}


def test_more_programs_than_are_expected(box: Sandbox) -> None:
    """A cgroup takes 64 at a hook, and inherits those of all that it is in."""
    names = ["/".join(["d"] * depth) for depth in range(1, 81)]
    with own_cgroups(*names) as top:
        batch(box, *(f"cgroup attach {top / name} ingress pinned {PINS}/in multi" for name in names))
        assert len(shown(box, top / names[-1], "effective")) == len(names)
        assert [len(programs) for programs in tree(box, top, "effective").values()] == [*range(1, len(names) + 1)]


CHURN = """
import os, sys
top = sys.argv[1]
while True:
    for name in ("v", "w"):
        os.mkdir(f"{top}/{name}")
        os.mkdir(f"{top}/{name}/x")
    for name in ("v", "w"):
        os.rmdir(f"{top}/{name}/x")
        os.rmdir(f"{top}/{name}")
"""


def test_cgroups_that_come_and_go(box: Sandbox, top: Path) -> None:
    attach(box, top, "ingress", "in", "multi")
    churn = subprocess.Popen([sys.executable, "-c", CHURN, top], stderr=subprocess.PIPE)
    try:
        listing = "\n".join([f"cgroup tree {top} effective"] * 200)
        results: list[dict[str, Any]] = json.loads(box.bcctool("-j", "batch", "file", "-", input=listing).stdout)
    finally:
        churn.kill()
        _, errors = churn.communicate()
    assert errors == b""
    assert len(results) == 200
    found = [{Path(row["cgroup"]).name for row in result["output"]} for result in results]
    assert all({top.name, "a", "b"} <= names <= {top.name, "a", "b", "v", "w", "x"} for names in found)
    assert {"x"} & set().union(*found), "nothing was seen of what came and went"


def test_a_program_behind_a_link(box: Sandbox, top: Path, compile_c: Callable[..., Path]) -> None:
    """What is attached by links, several per hook, is listed too."""
    places = ("autoattach", "to", "cgroup", top)
    box.bcctool("prog", "load", compile_c("cgroup_hooks.c", "-g"), "/sys/fs/bpf/l", *places)
    try:
        assert shown(box, top) == [("cgroup_inet_ingress", "multi", "in")]
        words = ("cgroup", "detach", top, "ingress", "pinned", f"{PINS}/in")
        assert "it is not attached" in box.bcctool(*words, status=255).stderr
    finally:
        box.run("rm", "/sys/fs/bpf/l")


def test_cgroup_v2_is_not_mounted(sandbox: Sandbox) -> None:
    sandbox.run("sh", "-c", "umount -a -l -t cgroup2")
    done = sandbox.bcctool("cgroup", "tree", status=255)
    assert done.stderr == "Error: cgroup v2 isn't mounted (mount -t cgroup2 none DIRECTORY)\n"


def test_help(bcctool: Callable[..., Any]) -> None:
    done = bcctool("cgroup", "help")
    assert "effective" in done.stderr
    assert "**" not in done.stderr
    assert all(hook in done.stderr for hook in HOOKS)
