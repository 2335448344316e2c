"""Programs that run bpftool, with bcctool in its place: their command lines, and what they make of the answers."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..conftest import ROOT, Sandbox, run

COMPLETION = Path("/usr/share/bash-completion/completions/bpftool")
BASH_COMPLETION = Path("/usr/share/bash-completion/bash_completion")
CLIENTS = ROOT / "tests" / "clients"
PINS = "/sys/fs/bpf"
WRAPPER = f"""#!/bin/sh
exec {sys.executable} -I -c 'import sys; sys.path.insert(0, "{ROOT}")
from bcctool.cli import main; sys.exit(main())' "$@"
"""


class Scene:
    """A sandbox with objects of the clients' kinds, where `bpftool` and `bcctool` are both bcctool."""

    def __init__(self, box: Sandbox, directory: Path) -> None:
        self.box = box
        self.directory = directory
        for name in ("bcctool", "bpftool"):
            (directory / name).write_text(WRAPPER)
            (directory / name).chmod(0o755)
        self.environment = os.environ | {"PATH": f"{directory}:/usr/sbin:{os.environ['PATH']}"}

    def shell(self, line: str, status: int = 0) -> str:
        """What a shell's command line writes, stdout and stderr together."""
        done = self.box.run("bash", "-c", f"{{ {line}\n}} 2>&1", status=status, env=self.environment)
        return done.stdout

    def json(self, line: str, status: int = 0) -> Any:
        """The same as JSON: so there must be nothing else."""
        return json.loads(self.shell(line, status))


@pytest.fixture
def scene(sandbox: Sandbox, tmp_path: Path, compile_c: Callable[..., Path]) -> Scene:
    directory = tmp_path / "bin"
    directory.mkdir()
    found = Scene(sandbox, directory)
    found.shell(
        f"ip link add cali0 type veth peer name eth1; ip link set cali0 up; ip link set eth1 up\n"
        f"bpftool prog loadall {compile_c('net_hooks.c', '-g')} {PINS}/p pinmaps {PINS}/m\n"
        f"bpftool map create {PINS}/cali_hash type hash key 4 value 4 entries 9 name cali_hash\n"
        f"bpftool map create {PINS}/cali_cpus type percpu_array key 4 value 4 entries 1 name cali_cpus\n"
        f"bpftool map create {PINS}/cali_stack type stack key 0 value 4 entries 3 name cali_stack\n"
        f"bpftool map update pinned {PINS}/cali_hash key 1 0 0 0 value 2 0 0 0\n"
        f"bpftool net attach xdp pinned {PINS}/p/net_xdp dev cali0\n"
        f"bpftool net attach tcx_ingress pinned {PINS}/p/net_tc dev cali0\n"
    )
    return found


# The words of a command line up to the one to complete; `?` is an empty one.
COMPLETED = f"""\
?
p
prog
prog ?
prog sh
prog show ?
prog show id ?
prog show name ?
prog show name net_
prog show tag ?
prog show pinned {PINS}/
prog dump ?
prog dump xlated id ?
prog dump xlated id 1 ?
prog dump jited name ?
prog pin id ?
prog attach id ?
prog attach id 1 ?
prog attach id 1 sk_msg_verdict id ?
prog load x {PINS}/x ?
prog load x {PINS}/x type cgroup/
prog load x {PINS}/x map idx 0 id ?
prog run id ?
prog profile id ?
prog tracelog ?
map ?
map show id ?
map dump name cali_
map lookup name ?
map lookup id 1 ?
map update name ?
map update name cali_hash ?
map update name cali_hash key 0 0 0 0 ?
map push name ?
map enqueue id ?
map pop id ?
map peek name ?
map create {PINS}/x type lru_
map event_pipe id ?
map pin name ?
map freeze id ?
btf ?
btf dump ?
btf dump id ?
btf dump file /sys/kernel/btf/vm
btf dump file /sys/kernel/btf/vmlinux ?
btf dump file /sys/kernel/btf/vmlinux format ?
btf dump map name ?
btf dump prog id ?
btf show id ?
gen ?
gen skeleton x ?
gen min_core_btf /sys/kernel/btf/
cgroup ?
cgroup attach /sys/fs/cgroup ?
cgroup attach /sys/fs/cgroup cgroup_inet_in
cgroup attach /sys/fs/cgroup cgroup_inet_ingress ?
cgroup attach /sys/fs/cgroup cgroup_inet_ingress id ?
cgroup attach /sys/fs/cgroup cgroup_inet_ingress id 1 ?
cgroup detach /sys/fs/cgroup cgroup_device ?
cgroup tree /sys/fs/cgroup ?
net ?
net attach ?
net attach xdp id ?
net attach xdp name ?
net attach xdp id 1 ?
net attach xdp id 1 dev ?
net attach xdp id 1 dev cali0 ?
net detach xdp dev ?
perf ?
link ?
link show ?
link show id ?
link pin id ?
feature ?
feature probe ?
feature list_builtins ?
-
--js
-j prog show id ?
""".replace("?", "").splitlines()
# What is newer than the bpftool beside: families, hooks, types.
NEWER = re.compile(
    r"iter|struct_ops|token|object|bcc|cgroup_unix_\w+|lsm_cgroup|arena|cgrp_storage|user_ringbuf|insn_array"
)
COMPLETE = """
source "$1"
source "$2"
while IFS= read -r line; do
    COMP_LINE=$line COMP_POINT=${#line} COMPREPLY=()
    read -ra COMP_WORDS <<<"$line"
    [[ $line != *' ' ]] || COMP_WORDS+=('')
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    "_$3" "$3" "${COMP_WORDS[-1]}"
    echo "${COMPREPLY[*]}"
done
"""


def test_the_completion_of_debians_package(scene: Scene) -> None:
    """With the name replaced it offers what the original does with bpftool, and what is newer."""
    if not COMPLETION.exists() or not BASH_COMPLETION.exists() or not shutil.which("bpftool"):
        pytest.skip("the packages bpftool and bash-completion, whose files are to run here, are not both installed")
    ours = scene.directory / "completion"
    ours.write_text(COMPLETION.read_text().replace("bpftool", "bcctool"))
    pin_link(scene)
    prog = scene.json(f"bpftool -j prog show pinned {PINS}/p/net_xdp")
    link = scene.json(f"bpftool -j link show pinned {PINS}/link")
    (scene.directory / "bpftool").unlink()
    offered: dict[str, list[str]] = {}
    for tool, file in (("bcctool", ours), ("bpftool", COMPLETION)):
        lines = "".join(f"{tool} {line}\n" for line in COMPLETED)
        words = ("bash", "--norc", "-c", COMPLETE, "bash", BASH_COMPLETION, file, tool)
        done = scene.box.run(*words, input=lines, env=scene.environment)
        assert done.stderr == ""
        offered[tool] = done.stdout.splitlines()
        assert len(offered[tool]) == len(COMPLETED)
    answered = 0
    for line, got, wanted in zip(COMPLETED, offered["bcctool"], offered["bpftool"], strict=True):
        more, less = set(got.split()) - set(wanted.split()), set(wanted.split()) - set(got.split())
        # Programs and maps of others come and go; ours are among those that both offer.
        ids = {word for word in more | less if word.isdigit() or re.fullmatch("[0-9a-f]{16}", word)}
        assert not less - ids, line
        assert all(NEWER.fullmatch(word) for word in more - ids), (line, more)
        answered += bool(got)
    assert answered > len(COMPLETED) * 3 // 4
    by_line = dict(zip(COMPLETED, offered["bcctool"], strict=True))
    own = {"prog show id ": prog["id"], "prog show tag ": prog["tag"], "link show id ": link["id"]}
    own |= {"map show id ": prog["map_ids"][0], "btf dump id ": prog["btf_id"]}
    for line, word in own.items():
        assert str(word) in by_line[line].split(), line
    assert {"iter", "struct_ops", "object"} <= set(by_line[""].split())
    assert {"net_xdp", "net_tc", "net_raw"} <= set(by_line["prog show name net_"].split())
    assert by_line["map push name "].split() == ["cali_stack"]


def test_sos(scene: Scene) -> None:
    """Lists, then a dump of each id; what comes on stderr would be in the report too."""
    for line in ("bpftool -j prog list", "bpftool -j map list"):
        kind = line.split()[2]
        own = [row["id"] for row in scene.json(line) if row.get("name", "").startswith(("net_", "cali_"))]
        assert len(own) >= 4
        for id in own:
            for dump in ("prog dump xlated", "prog dump jited") if kind == "prog" else ("map dump",):
                assert "Error" not in scene.shell(
                    f"bpftool {dump} id {id}; true"
                )  # a stack has a status, sos no use of it
    for line in ("net list", "perf list", "btf list", "link list", "struct_ops dump"):
        assert "Error" not in scene.shell(f"bpftool {line}")
    if next(Path("/sys/fs/cgroup").glob("**/cgroup.controllers"), None):
        assert scene.shell("bpftool cgroup tree").startswith("CgroupPath\n")


def test_calico_maps(scene: Scene) -> None:
    """stdout and stderr are read together, as one JSON value."""
    pinned = f"pinned {PINS}/cali_hash"
    shown = scene.json(f"bpftool --json --pretty map show {pinned}")
    assert (shown["type"], shown["bytes_key"], shown["bytes_value"]) == ("hash", 4, 4)
    one, two = ["0x01", "0x00", "0x00", "0x00"], ["0x02", "0x00", "0x00", "0x00"]
    assert scene.json(f"bpftool --json --pretty map dump {pinned}") == [{"key": one, "value": two}]
    assert scene.json(f"bpftool --json --pretty map lookup {pinned} key hex 01 00 00 00")["value"] == two
    assert scene.json(f"bpftool map --json getnext {pinned}")["next_key"] == one
    assert scene.json(f"bpftool map --json getnext {pinned} key hex 01 00 00 00", 254) == {
        "error": "can't get next key: No such file or directory"
    }
    assert scene.json(f"bpftool --json --pretty map delete {pinned} key hex 01 00 00 00") is None
    gone = scene.json(f"bpftool --json --pretty map delete {pinned} key hex 01 00 00 00", 254)
    assert gone == {"error": "delete failed: No such file or directory"}
    (element,) = scene.json(f"bpftool --json --pretty map dump pinned {PINS}/cali_cpus")
    assert [value["cpu"] for value in element["values"]] == list(range(len(element["values"])))
    (element,) = scene.json(f"bpftool --json --pretty map dump pinned {PINS}/m/net_counter")
    assert element["formatted"]["key"] == 0
    missing = scene.json("bpftool --json --pretty map show pinned /sys/fs/bpf/nothing", 255)
    assert missing["error"].startswith("bpf obj get (/sys/fs/bpf/nothing): No such file or directory")


def test_calico_programs(scene: Scene, tmp_path: Path, compile_c: Callable[..., Path]) -> None:
    """Loads, runs and finds programs, and asks what is on a device."""
    assert scene.shell(f"bpftool prog load {compile_c('net_hooks.c', '-g')} {PINS}/loaded type xdp") == ""
    shown = scene.json(f"bpftool --json --pretty prog show pinned {PINS}/loaded")
    assert (shown["type"], len(shown["tag"]), len(shown["map_ids"])) == ("xdp", 16, 1)
    (tmp_path / "in").write_bytes(bytes(64))
    words = f"data_in {tmp_path}/in data_out {tmp_path}/out repeat 3"
    assert scene.json(f"bpftool --json --pretty prog run pinned {PINS}/loaded {words}")["retval"] == 2
    assert (tmp_path / "out").read_bytes() == bytes(64)
    (devices,) = scene.json("bpftool -j net show dev cali0")
    (xdp,), (tc,) = devices["xdp"], devices["tc"]
    assert (xdp["devname"], xdp["mode"]) == ("cali0", "driver")
    assert (tc["devname"], tc["kind"]) == ("cali0", "tcx/ingress")
    assert tc["prog_id"] == scene.json(f"bpftool -j prog show pinned {PINS}/p/net_tc")["id"]


def test_tetragon_and_cilium(scene: Scene, tmp_path: Path) -> None:
    """#define lines; jq and awk on listings and on the default dump of a map with types."""
    macros = scene.shell("bpftool feature probe macros")
    header = tmp_path / "features.c"  # nothing but what C can read
    wanted = "defined HAVE_XDP_PROG_TYPE && defined HAVE_HASH_MAP_TYPE && HAVE_PROG_TYPE_HELPER(xdp, bpf_redirect)"
    header.write_text(f"{macros}\n#if !({wanted})\n#error\n#endif\n")
    run("clang", "-fsyntax-only", header)
    helpers = scene.json("bpftool feature -j probe")["helpers"]
    assert "bpf_map_lookup_elem" in helpers["xdp_available_helpers"]
    names = scene.shell("bpftool prog show -j | jq -r '.[] | select(.map_ids != null) | .name'").split()
    assert "net_xdp" in names
    assert scene.shell("bpftool map show -j | jq -r '.[] | select(.name == \"cali_hash\") | .bytes_key'") == "4\n"
    assert scene.shell(f"bpftool map dump pinned {PINS}/m/net_counter | jq '.[0].value'").strip().isdigit()
    awk = "awk '/^key/ { print $2 + $7 }'"
    assert scene.shell(f"bpftool map dump pinned {PINS}/cali_hash | {awk}") == "3\n"
    assert scene.shell(f"bpftool map dump pinned {PINS}/cali_hash | tail -n 1") == "Found 1 element\n"


def test_bpfman(scene: Scene) -> None:
    """Finds a link by its pin, and detaches it by its id."""
    pin_link(scene)
    (link,) = [row for row in scene.json("bpftool -f link show -j") if f"{PINS}/link" in row["pinned"]]
    assert link["prog_id"] == scene.json(f"bpftool prog show pinned {PINS}/p/net_other -j")["id"]
    assert (link["type"], link["devname"]) == ("xdp", "eth1")
    assert scene.shell(f"bpftool link detach id {link['id']}") == ""
    assert scene.json(f"bpftool -j link show pinned {PINS}/link")["devname"] == "(detached)"
    assert scene.shell("bpftool net show dev eth1").startswith("xdp:\n\n")
    gone = scene.shell("bpftool link detach id 4294967295", 1)
    assert gone == "Error: failed to get link with ID 4294967295: No such file or directory\n"
    (element,) = scene.json(f"bpftool map dump id {counter_id(scene)} -j")
    assert isinstance(element["formatted"]["value"], int)


def pin_link(scene: Scene) -> None:
    """A link that attaches net_other to eth1, pinned."""
    code = (
        f"import socket, sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from bcctool.kernel import bpf, libbpf, uapi\n"
        f"prog, device = bpf.obj_get('{PINS}/p/net_other'), socket.if_nametoindex('eth1')\n"
        "link = bpf.link_create(prog, device, uapi.ATTACH_TYPES.index('xdp'))\n"
        f"libbpf.call('bpf_obj_pin', link, b'{PINS}/link')\n"
    )
    scene.box.run(sys.executable, "-c", code)


def counter_id(scene: Scene) -> int:
    return int(scene.json(f"bpftool -j map show pinned {PINS}/m/net_counter")["id"])


def test_ebpfmon(scene: Scene) -> None:
    """Options behind the object, in a bundle; the fields that it polls."""
    version = scene.json("bpftool version -j")
    assert {"version", "libbpf_version", "features"} <= version.keys()
    (map_,) = [row for row in scene.json("bpftool map -jf show") if row["id"] == counter_id(scene)]
    assert map_["pinned"] == [f"{PINS}/m/net_counter"]
    wanted = {"id", "type", "name", "flags", "bytes_key", "bytes_value", "max_entries", "bytes_memlock", "frozen"}
    assert wanted <= map_.keys()
    assert isinstance(scene.json("bpftool -j perf list"), list)
    (prog,) = [row for row in scene.json("bpftool -j prog show") if map_["id"] in row.get("map_ids", ())]
    wanted = {"id", "type", "name", "tag", "gpl_compatible", "loaded_at", "uid", "orphaned", "bytes_xlated", "jited"}
    assert wanted | {"bytes_jited", "bytes_memlock", "map_ids", "btf_id"} <= prog.keys()


def test_kernel_net_tests(scene: Scene) -> None:
    """A map by way of its program, set in hex and read as what its type says."""
    id = scene.json(f"bpftool prog show pinned {PINS}/p/net_xdp -j")["id"]
    (map_id,) = scene.json(f"bpftool prog show id {id} -j")["map_ids"]
    scene.shell("bpftool net detach xdp dev cali0")  # whose program counts
    value = "hex 05 00 00 00 00 00 00 01"
    assert scene.shell(f"bpftool map update id {map_id} key hex 00 00 00 00 value {value}") == ""
    (element,) = scene.json(f"bpftool map dump id {map_id} -j")
    assert element["formatted"]["value"] == 1 << 56 | 5


@pytest.mark.parametrize(
    "line",
    [
        "bpftool gen help 2>&1 | grep -q 'gen skeleton.*name'",
        "bpftool help 2>&1 | grep -q gen",
        "bpftool 2>&1 | grep -q 'struct_ops'",
        "test -z \"$(bpftool gen help 2>/dev/null)\"",
    ],
)  # fmt: skip
def test_configure_scripts(scene: Scene, line: str) -> None:
    scene.shell(line)


@pytest.mark.parametrize("tool", ["bcctool", "bpftool"])
def test_a_makefile_in_the_manner_of_libbpf_bootstrap(
    scene: Scene, tmp_path: Path, compile_c: Callable[..., Path], tool: str
) -> None:
    """The same tool comes out, and counts what it is to count, whichever of the two made it."""
    for command in ("make", "cc"):
        if not shutil.which(command):
            pytest.skip(f"{command} is not installed")
    if not Path("/usr/include/bpf/libbpf.h").exists():
        pytest.skip("libbpf-dev is not installed")
    if tool == "bpftool":
        (scene.directory / "bpftool").unlink()
        if not shutil.which("bpftool", path=scene.environment["PATH"]):
            pytest.skip("bpftool is not installed")
    made = scene.shell(f"cd {tmp_path} && make -s -f {CLIENTS}/Makefile BPFTOOL={tool}")
    assert (made, scene.shell(str(tmp_path / "minimal"))) == ("", "3 renames\n")


def test_objects_are_the_same_after_the_second_link(
    tmp_path: Path, compile_c: Callable[..., Path], bcctool: Callable[..., Any]
) -> None:
    """As the kernel's selftests do it: three times in a row, the second and the third result compared."""
    before = [compile_c(name, "-g") for name in ("link_caller.c", "link_callee.c")]
    results = []
    for number in range(3):
        out = tmp_path / f"linked{number}.o"
        bcctool("gen", "object", out, *before)
        before = [out]
        results.append(out.read_bytes())
    assert results[1] == results[2]
    run("llvm-objdump", "-h", before[0])
