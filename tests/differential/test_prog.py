"""`prog` against the distribution's bpftool over the same loaded programs: the same bytes, the same status."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..conftest import Sandbox, no_bpf

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(not shutil.which("bpftool"), reason="bpftool is not installed"),
]

RICH = "/sys/fs/bpf/rich"
TYPES = "/sys/fs/bpf/types"
LEGACY = "/sys/fs/bpf/legacy"
SELECTORS = (f"pinned {RICH}", "name very_long_program_name")
NEWER = re.compile(r'\s*"orphaned": ?false,')  # a key of 7.8 that Debian's 7.1 does not have
STYLES = ("", "-j ", "-p ")
DUMPS = ("", "opcodes", "linum")

COMMANDS = [
    *(f"{style}prog dump xlated {selector} {words}" for style in STYLES for selector in SELECTORS for words in DUMPS),
    *(f"{style}prog show {selector}" for style in STYLES for selector in (*SELECTORS, f"pinned {LEGACY}")),
    *(f"{style}prog {verb}" for style in ("", "-j ", "-p ", "-f ", "-jf ") for verb in ("show", "list", "")),
    *(f"-p prog dump xlated pinned {TYPES}/p_{name}" for name in ("xdp", "sk_lookup", "tracepoint")),
    f"prog dump xlated pinned {LEGACY}",
    f"-j p d x pin {LEGACY} op",
    f"prog dump xlated pinned {RICH} file /dev/null",
    f"-j prog dump xlated pinned {RICH} file /dev/null",
    "prog show id 4294967295",
    "-j prog show id 4294967295",
    "prog show id abc",
    "-j prog show foo 1",
    "prog show id 1 2",
    "prog pin id 1",
    "-j prog pin id 1",
    "-j prog foo",
    "-j prog help",
]  # fmt: skip


@pytest.fixture(scope="module")
def box(compile_c: Callable[..., Path]) -> Iterator[Sandbox]:
    """A sandbox with every program loaded by bpftool."""
    if reason := no_bpf():
        pytest.skip(reason)
    box = Sandbox()
    box.run("bpftool", "prog", "load", compile_c("prog_rich.c", "-g"), RICH)
    box.run("bpftool", "prog", "loadall", compile_c("prog_types.c", "-g"), TYPES)
    box.run("bpftool", "-l", "prog", "load", compile_c("prog_types.c"), LEGACY)
    yield box
    box.close()


@pytest.mark.parametrize("command", COMMANDS)
def test_same_output_and_status(box: Sandbox, command: str) -> None:
    wanted = box.run("bpftool", *command.split(), status=None)
    done = box.bcctool(*command.split(), status=wanted.returncode)
    assert NEWER.sub("", done.stdout) == wanted.stdout
    if not command.startswith("-"):
        assert done.stderr.partition(":")[0] == wanted.stderr.partition(":")[0]


def test_every_type_is_loaded_with_its_type(box: Sandbox, compile_c: Callable[..., Path]) -> None:
    """What we load by section name is what bpftool loads."""
    records = {record["name"]: record["type"] for record in json.loads(box.run("bpftool", "-j", "prog").stdout)}
    ours = json.loads(box.bcctool("-j", "object", "show", compile_c("prog_types.c", "-g")).stdout)["programs"]
    theirs = {name: type_ for name, type_ in records.items() if name.startswith("p_")}
    assert {prog["name"]: prog["type"] for prog in ours} == theirs


def test_a_dump_to_a_file_is_the_same_bytes(box: Sandbox, tmp_path: Path) -> None:
    box.run("bpftool", "prog", "dump", "xlated", "pinned", RICH, "file", tmp_path / "bpftool")
    box.bcctool("prog", "dump", "xlated", "pinned", RICH, "file", tmp_path / "ours")
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "bpftool").read_bytes()
    assert (tmp_path / "ours").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("source", "flags"), [("prog_rich.c", ["-g"]), ("prog_rich.c", ["-g", "-mcpu=v3"])])
def test_what_we_load_is_what_bpftool_loads(
    box: Sandbox, compile_c: Callable[..., Path], source: str, flags: list[str]
) -> None:
    """The same instructions, subprograms, debug info and map definitions reach the kernel."""
    obj = compile_c(source, *flags)
    pins = {"bpftool": "/sys/fs/bpf/theirs", "bcctool": "/sys/fs/bpf/ours"}
    box.run("bpftool", "prog", "load", obj, pins["bpftool"])
    box.bcctool("prog", "load", obj, pins["bcctool"])
    try:
        dumps, maps, types = {}, {}, {}
        for tool, pin in pins.items():
            record = json.loads(box.run("bpftool", "-j", "prog", "show", "pinned", pin).stdout)
            insns = json.loads(box.run("bpftool", "-j", "prog", "dump", "xlated", "pinned", pin, "linum").stdout)
            ids = {str(id): f"map {number}" for number, id in enumerate(record["map_ids"])}
            for insn in insns:
                for id, name in ids.items():
                    insn["disasm"] = insn["disasm"].replace(f"map[id:{id}]", name)
            dumps[tool] = insns
            shown = [json.loads(box.run("bpftool", "-j", "map", "show", "id", id).stdout) for id in ids]
            maps[tool] = [{key: value for key, value in map_.items() if key not in ("id", "btf_id")} for map_ in shown]
            types[tool] = box.run("bpftool", "btf", "dump", "id", str(record["btf_id"])).stdout
        assert dumps["bcctool"] == dumps["bpftool"]
        assert maps["bcctool"] == maps["bpftool"]
        assert types["bcctool"] == types["bpftool"]
    finally:
        box.run("rm", "-f", *pins.values())
