"""cgroup: what is attached to cgroups of our own, inherited or not, and how it gets there and away."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bcctool.kernel import uapi
from bcctool.objects import cgroup as cgroup_objects

from ..cgroups import DEVICE, PROGS, cgroups
from ..conftest import NOBODY, ROOT, Sandbox

Place = tuple[Sandbox, str]


@pytest.fixture
def place(compile_c: Callable[..., Path]) -> Iterator[Place]:
    with cgroups(compile_c) as found:
        yield found


def attach(place: Place, below: str, *words: str, **options: Any) -> Any:
    box, path = place
    return box.bcctool("cgroup", "attach", path + below, *words, **options)


def records(place: Place, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(place[0].bcctool("-j", "cgroup", *words).stdout)
    return found


def test_what_is_attached_is_shown_and_inherited(place: Place) -> None:
    box, path = place
    attach(place, "", "ingress", "pinned", f"{PROGS}/incoming", "multi")
    attach(place, "/inside", "ingress", "pinned", f"{PROGS}/incoming_too", "multi")
    attach(place, "/inside", "device", "pinned", DEVICE, "override")
    assert box.bcctool("cgroup", "show", path).stdout.splitlines()[0].split() == [
        "ID", "AttachType", "AttachFlags", "Name",
    ]  # fmt: skip
    own = records(place, "show", f"{path}/inside")
    assert [(row["attach_type"], row["attach_flags"], row["name"]) for row in own] == [
        ("cgroup_inet_ingress", "multi", "incoming_too"),
        ("cgroup_device", "override", "a_device_with_a_long_name"),
    ]
    inherited = records(place, "show", f"{path}/inside", "effective")
    assert [row["name"] for row in inherited] == ["incoming_too", "incoming", "a_device_with_a_long_name"]
    assert all("attach_flags" not in row for row in inherited)
    assert records(place, "show", f"{path}/inside/deep") == []
    tree = records(place, "tree", path)
    assert [row["cgroup"] for row in tree] == [path, f"{path}/inside"]
    assert tree[1]["programs"] == own
    by_path = {row["cgroup"]: row["programs"] for row in records(place, "tree", path, "effective")}
    assert set(by_path) == {path, f"{path}/beside", f"{path}/inside", f"{path}/inside/deep"}
    assert by_path[f"{path}/inside/deep"] == inherited
    assert [row for row in records(place, "tree") if row["cgroup"].startswith(path)] == tree


def test_text(place: Place) -> None:
    box, path = place
    attach(place, "", "cgroup_inet4_connect", "pinned", f"{PROGS}/connecting")
    attach(place, "/inside", "dev", "pinned", DEVICE, "override")
    ids = [records(place, "show", each)[0]["id"] for each in (path, f"{path}/inside")]
    lines = [
        "ID       AttachType      AttachFlags     Name           ",
        f"{ids[0]:<8} cgroup_inet4_connect                 connecting                     ",
        f"{ids[1]:<8} cgroup_device   override        a_device_with_a_long_name                ",
    ]
    assert box.bcctool("cgroup", "show", path).stdout.splitlines() == lines[:2]
    assert box.bcctool("cgroup", "list", f"{path}/inside/").stdout.splitlines() == [lines[0], lines[2]]
    tree = box.bcctool("cgroup", "tree", path).stdout.splitlines()
    assert tree == ["CgroupPath", lines[0], path, lines[1], f"{path}/inside", f"    {lines[2]}"]
    assert box.bcctool("cgroup", "show", f"{path}/inside/deep").stdout == ""


def test_attach_and_detach(place: Place) -> None:
    box, path = place
    words = ("connect4", "pinned", f"{PROGS}/connecting")
    assert box.bcctool("-j", "cgroup", "attach", path, *words).stdout == "null\n"
    refused = attach(place, "/inside", *words, status=255)  # the cgroup above allows nobody below to differ
    assert refused.stderr == "Error: failed to attach program: Operation not permitted\n"
    assert box.bcctool("-j", "cgroup", "detach", path, *words).stdout == "null\n"
    assert records(place, "show", path) == []
    done = box.bcctool("cgroup", "detach", path, *words, status=255)
    assert done.stderr == "Error: failed to detach program: No such file or directory\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("attach", "{}", "nothing", "pinned", DEVICE), "invalid attach type"),
        (("attach", "{}", "cgroup_dev", "pinned", DEVICE), "invalid attach type"),  # the kernel's names whole
        (("attach", "{}", "device", "pinned"), "too few parameters for cgroup attach"),
        (("detach", "{}", "device", "pinned"), "too few parameters for cgroup detach"),
        (("attach", "{}", "device", "pinned", DEVICE, "junk"), "unknown option: junk"),
        (("attach", "{}", "device", "pinned", DEVICE, "multi", "override"),
         "failed to attach program: Invalid argument"),
        (("attach", "{}", "ingress", "pinned", DEVICE), "failed to attach program: Invalid argument"),
        (("attach", "{}/none", "device", "pinned", DEVICE), "can't open cgroup {}/none: No such file or directory"),
        (("attach", "/tmp", "device", "pinned", DEVICE), "failed to attach program: it is no directory of cgroup v2"),
        (("show", "/tmp"), "can't query bpf programs attached to /tmp: it is no directory of cgroup v2"),
        (("show", "{}/none"), "can't open cgroup {}/none: No such file or directory"),
        (("show",), "'show' needs at least 1 arguments, 0 found"),
        (("show", "{}", "effective", "eff"), "duplicated argument: eff"),
        (("show", "{}", "x"), "expected no more arguments, 'effective', got: 'x'?"),
        (("tree", "{}", "x"), "expected no more arguments, 'effective', got: 'x'?"),
        (("tree", "{}/none"), "can't iterate over {}/none: No such file or directory"),
        (("tree", "/tmp"), "can't query bpf programs attached to /tmp: it is no directory of cgroup v2"),
    ],
)  # fmt: skip
def test_refusals(place: Place, words: tuple[str, ...], message: str) -> None:
    box, path = place
    done = box.bcctool("cgroup", *[word.format(path) for word in words], status=255)
    assert done.stderr == f"Error: {message.format(path)}\n"
    assert [line.split()[0] for line in done.stdout.splitlines()] in ([], ["CgroupPath", "ID"])
    assert records(place, "show", path) == []


def test_without_rights(place: Place) -> None:
    box, path = place
    done = box.run(*NOBODY, sys.executable, "-I", "-c",
                   f"import sys; sys.path.insert(0, {str(ROOT)!r}); from bcctool.cli import main; sys.exit(main())",
                   "cgroup", "show", path, status=255)  # fmt: skip
    assert done.stderr == f"Error: can't query bpf programs attached to {path}: Operation not permitted\n"


def test_no_cgroup_file_system(place: Place) -> None:
    unmounted = "umount -l $(grep ' cgroup2 ' /proc/mounts | cut -d' ' -f2) && exec \"$@\""
    words = (sys.executable, "-m", "bcctool", "cgroup", "tree")
    done = place[0].run("sh", "-c", unmounted, "sh", *words, status=255, cwd=ROOT)
    assert done.stderr == "Error: cgroup v2 isn't mounted\n"


CHURN = """
import os, sys
for _ in range(3000):
    os.mkdir(sys.argv[1] + "/gone"); os.mkdir(sys.argv[1] + "/gone/too")
    os.rmdir(sys.argv[1] + "/gone/too"); os.rmdir(sys.argv[1] + "/gone")
"""


def test_cgroups_that_vanish_are_no_errors(place: Place) -> None:
    box, path = place
    attach(place, "", "ingress", "pinned", f"{PROGS}/incoming", "multi")
    trees = 0
    with subprocess.Popen([sys.executable, "-c", CHURN, path], stderr=subprocess.PIPE, text=True) as churning:
        while churning.poll() is None:
            done = box.bcctool("-j", "cgroup", "tree", path, "effective")
            assert done.stderr == ""
            assert json.loads(done.stdout)[0]["cgroup"] == path
            trees += 1
        assert churning.stderr
        assert (churning.returncode, churning.stderr.read()) == (0, "")
    assert trees > 2


def test_what_is_mounted_inside_is_not_entered(place: Place) -> None:
    box, path = place
    attach(place, "/inside/deep", "ingress", "pinned", f"{PROGS}/incoming", "multi")
    assert [row["cgroup"] for row in records(place, "tree", path)] == [f"{path}/inside/deep"]
    box.run("mount", "-t", "tmpfs", "none", f"{path}/inside")
    box.run("mkdir", f"{path}/inside/no_cgroup")
    assert records(place, "tree", path) == []


def test_every_hook_of_the_kernel_is_known() -> None:
    hooks = {name for name in uapi.ATTACH_TYPES if name.startswith("cgroup_")} | {"lsm_cgroup"}
    assert hooks == set(cgroup_objects.TYPES)
