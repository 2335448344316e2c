"""Hundreds of command lines over one scenario of kernel objects, beside the distribution's bpftool: 7.1.

Where 7.1 prints something else than 7.8, EXPLAINED says what and why; what it does not know is in golden/.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from bcctool.kernel import bpf, proc

from .. import scenario as scenarios
from ..conftest import Completed, Sandbox, no_bpf
from ..congestion import Controls
from ..kernel.test_attach import native
from ..scenario import PINS, Scenario
from .scenario_commands import BATCHES, COMMANDS, GOLDEN, LINKS, LISTINGS, LONG

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(not shutil.which("bpftool"), reason="bpftool is not installed"),
]

KINDS = {"prog": ("p", "lp"), "map": ("m",), "link": ("l",), "btf": ("b",), "struct_ops": ("so",), "perf": ()}
ERROR = r"Error: (.*)\n"
ERROR_IN_JSON = r'\{\s*"error": ?"(.*)"\s*\}\n'
GOLDEN_FILES = Path(__file__).parent / "golden"


class Row(NamedTuple):
    """A difference: `pattern` becomes `replacement` in what a side (or `both`) prints for such commands."""

    commands: str
    side: str
    pattern: str
    replacement: str | Callable[[re.Match[str]], str]
    reason: str


def sorted_lines(match: re.Match[str]) -> str:
    return "".join(sorted(match[0].splitlines(keepends=True)))


def sorted_parts(pattern: str) -> Callable[[re.Match[str]], str]:
    """Of what matches, the parts that match another pattern, in order."""
    return lambda match: ",".join(sorted(re.findall(pattern, match[0])))


def type_name(name: str) -> Callable[[re.Match[str]], str]:
    """The name of a type for its number, as text or as JSON."""
    return lambda match: f'{match[1]}"{name}"' if match[1].startswith('"') else name


def inner_map(match: re.Match[str]) -> str:
    return f"inner_map_id: {int.from_bytes(bytes.fromhex(match[1]), sys.byteorder)} \n"


def without_btf_id(match: re.Match[str]) -> str:
    return match[1] + ("\tfrozen\n" if "frozen" in match[0] else "")


UNTYPED = (
    r"(?:sc_plain|sc_frozen|twin_\d+|solo_\d+|sc_tails|sc_ring|sc_cpu_map|sc_device_hash|sc_devices|"
    r"sc_outer|sc_outer_hash|sc_queue|sc_socket_hash|sc_sockets|sc_stack|arena|sc_user_ring|sc_perf|sc_xsks|sc_cgroups|sc_traces)"
)
"""The names of maps without BTF."""
NUMBER = r'(type |"type": ?)%d(?=(?:  name |,\s*"name": ?")%s)'
EXPLAINED = [
    Row("(prog|p|batch)", "ours", r'\s*"orphaned": ?false,', "", "a key that 7.1 does not have"),
    Row("(prog|p)", "theirs", NUMBER % (32, "l_netfilter"), type_name("netfilter"), "7.1 does not know the type"),
    Row("(map|m)", "theirs", NUMBER % (32, "sc_cgrp_storage"), type_name("cgrp_storage"), "7.1 does not know the type"),
    Row("(map|m)", "theirs", NUMBER % (33, "arena"), type_name("arena"), "7.1 does not know the type"),
    Row("(map (dump|lookup)|struct_ops dump|s d)", "theirs",
        r'("(?:pointer|typed_pointer|address|owner|next|prev)": )(\(nil\)|0x[0-9a-f]+)', r'\1"\2"',
        "7.1 puts pointers in text not in quotes"),
    Row("(link|l)", "ours", r'("tp_name": ?"[^"]*"),\s*"cookie": ?0', r"\1", "7.1 knows no cookies"),
    Row("map (dump|lookup)", "ours", r',\s*"inner_map_id": ?\d+', "", "7.1 has the bytes only"),
    Row("map (dump|lookup)", "theirs", r"value: ((?:[0-9a-f]{2} ?){4})\n", inner_map, "7.1 has the bytes only"),
    Row("(btf|bt|-B)", "theirs", r'("val": ?)18446744073709551613', r"\g<1>4294967293",
        "clang 14 says that an enumeration is unsigned, 7.1 extends the sign of its values all the same"),
    Row("(btf|bt)", "both", r"\d+(?:,\s?\d+)+", sorted_parts(r"\d+"), "7.1 has the order of a hash table"),
    Row("(cgroup|c)", "both", r"(?m)(?:^ *\d.*\n){2,}", sorted_lines, "7.1 has another order of attach types"),
    Row("(cgroup|c)", "both", r"\{[^{}]*\}(?:,\s*\{[^{}]*\})+", sorted_parts(r"\{[^{}]*\}"),
        "7.1 has another order of attach types"),
    Row("(net|n)", "ours", r"netfilter:\n(?:\n\t.*)*\n*\Z", "", "7.1 knows no netfilter"),
    Row("(net|n)", "ours", r',\s*"netfilter": ?\[[^\]]*\]', "", "7.1 knows no netfilter"),
    Row("(net|n)", "both", r'"flow_dissector": ?\[[{\s]*("id": ?\d+)[}\s]*\]', r'"flow_dissector":[\1]',
        "7.1 and 7.8 print an id without an object around: no valid JSON"),
    Row("(map|m)", "theirs",
        rf"(name {UNTYPED}  .*\n.*\n(?:\towner.*\n|\tpinned .*\n)*)\tbtf_id \d+.*\n", without_btf_id,
        "in a listing 7.1 and 7.8 have the btf_id of the map before, where a map has none"),
    Row("(map|m)", "theirs", rf'("name": "{UNTYPED}"[^{{}}]*?), "btf_id": \d+', r"\1", "the same"),
    Row("(map|m)", "both", r"(?:\tpinned .*\n){2,}", sorted_lines, "7.1 has the order of a hash table"),
    Row("(map|m)", "both", r'(?<="pinned":) ?\["[^\]]*\]', sorted_parts(r'"/(?:[^"\\]|\\.)*"'),
        "7.1 has the order of a hash table"),
    Row("btf dump id 4294967295", "theirs", r"Error: get btf by id.*\n", "", "7.1 says it twice"),
    Row("btf dump id 4294967295", "theirs", r',\{"error":"get btf by id[^}]*\}', "", "7.1 says it twice"),
    Row("(btf|gen|iter)", "theirs", r"(?s)(?<=\n)Usage: bpftool.*", "", "7.1 goes on with the whole usage"),
    Row("btf dump file$", "theirs", r"\},null\n", "}\n", "the usage as JSON"),
    Row("gen skeleton", "theirs", r"failed to stat\(\) ", "", "the name of a function is for nobody"),
    Row("iter pin", "theirs", r"\Alibbpf: .*\n", "", "libbpf's own line"),
    Row("struct_ops dump", "theirs", r"\A\n\Z", "", "7.1 ends a JSON that it has not begun"),
]  # fmt: skip


def has_tcx() -> bool:
    try:
        bpf.prog_query("tcx_ingress", 1)
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, compile_c: Callable[..., Path]) -> Iterator[Scenario]:
    """The scenario, with a cgroup and congestion controls of its own; they go with it."""
    if reason := no_bpf():
        pytest.skip(reason)
    if not has_tcx():
        pytest.skip("this kernel has no tcx, and so no links of every kind (since Linux 6.6)")
    top = next(proc.mounts("cgroup2"), "")
    if not top:
        pytest.skip("no cgroup2 is mounted")
    folder = tmp_path_factory.mktemp("scenario")
    cgroup = Path(top, f"scenario-{os.getpid()}")
    box = Sandbox()
    cgroup.mkdir()
    try:
        target = native(folder)
        with (
            scenarios.scenario(box, cgroup, target, compile_c) as found,
            Controls(box, compile_c, linked=True) as controls,
        ):
            box.bcctool("struct_ops", "register", controls.obj, "/sys/fs/bpf/links")
            found.ids["l/linked"] = found.words["l/linked"] = json.loads(
                box.bcctool("-j", "link", "show", "pinned", f"/sys/fs/bpf/links/{controls.linked}").stdout
            )["id"]
            found.ids |= {"so/table": controls.id(controls.table), "so/linked": controls.id(controls.linked)}
            found.words |= {"table": controls.table, "linked": controls.linked, "tmp": folder, **found.ids}
            known = [f"l/{name}" for name in LINKS]
            newer = [name for name in found.ids if name.startswith("l/") and name not in known]
            found.ids |= {f"newer/{name}": found.ids[name] for name in newer}
            others = [name for name in found.ids if re.fullmatch("l/l_perf_event_cpu[1-9].*", name)]
            found.ids |= {f"other_cpu/{name}": found.ids[name] for name in others}
            found.words["t/LONG"] = found.words[f"t/{LONG}".format_map(found.words)]
            for name, lines in BATCHES.items():
                text = "".join(line + "\n" for line in lines)
                (folder / name).write_text(text.replace("@/", f"{PINS}/").format_map(found.words))
            yield found
    finally:
        box.close()
        (cgroup / "child").rmdir()
        cgroup.rmdir()


@functools.cache
def outcomes(scene: Scenario, command: str) -> tuple[Completed, Completed]:
    """What bpftool did, and what bcctool."""
    words = scene.words_of(command)
    return scene.box.run("bpftool", *words, status=None), scene.box.bcctool(*words, status=None)


def mine(scene: Scenario, command: str, text: str, newer: bool = False) -> str:
    """Of a listing, what is the scenario's and known to 7.1, or newer: others have objects in the same kernel."""
    words = command.split()
    family = next(word for word in words if not word.startswith("-"))
    kinds = next(kinds for prefix, kinds in KINDS.items() if prefix.startswith(family))
    ids = {scene.holder} if family.startswith("pe") else scene.of(*kinds) - scene.of("other_cpu" if newer else "newer")
    if any(re.match("-[a-z]*[jp]|--(json|pretty)", word) for word in words):
        return json.dumps([record for record in json.loads(text) if record.get("pid", record.get("id")) in ids])
    blocks = re.split(r"(?m)^(?=\S)", text)
    return "".join(block for block in blocks if (found := re.match(r"(?:pid )?(\d+)", block)) and int(found[1]) in ids)


def explained(command: str, theirs: str, ours: str) -> tuple[str, str, set[int]]:
    """What both print, the explained differences put aside, and the numbers of the rows that changed something."""
    used = set()
    for number, row in enumerate(EXPLAINED):
        if theirs != ours and re.match(rf"(-\S+ )*{row.commands}\b", command):
            before = theirs, ours
            if row.side in ("theirs", "both"):
                theirs = re.sub(row.pattern, row.replacement, theirs)
            if row.side in ("ours", "both"):
                ours = re.sub(row.pattern, row.replacement, ours)
            if (theirs, ours) != before:
                used.add(number)
    return theirs, ours, used


def compared(scene: Scenario, command: str) -> tuple[tuple[str, str], tuple[str, str], set[int]]:
    """stdout and stderr of theirs, those of ours, and the rows of EXPLAINED that were needed."""
    theirs, ours = outcomes(scene, command)
    outs = [mine(scene, command, done.stdout) if command in LISTINGS else done.stdout for done in (theirs, ours)]
    their_out, our_out, used = explained(command, *outs)
    their_error, our_error, used_for_error = explained(command, theirs.stderr, ours.stderr)
    return (their_out, their_error), (our_out, our_error), used | used_for_error


@pytest.mark.parametrize("command", [*COMMANDS, *LISTINGS])
def test_same(scene: Scenario, command: str) -> None:
    theirs, ours = outcomes(scene, command)
    (wanted, error), (found, our_error), _ = compared(scene, command)
    if not same_message(found, wanted, ERROR_IN_JSON):
        assert found == wanted
    assert same_message(our_error, error, ERROR) or our_error == error
    assert ours.returncode == theirs.returncode


def same_message(ours: str, theirs: str, pattern: str) -> bool:
    """Whether both are errors of the same words, after which ours may go on; or the help in our words."""
    if theirs.startswith("Usage: bpftool"):
        return ours.startswith("Usage: bcctool")
    found, wanted = re.fullmatch(pattern, ours), re.fullmatch(pattern, theirs)
    return bool(found and wanted and found[1].startswith(wanted[1]))


def test_every_explanation_is_needed(scene: Scenario) -> None:
    """By what the commands print that it names."""
    needed: set[int] = set()
    for command in (*COMMANDS, *LISTINGS):
        rows = {number for number, row in enumerate(EXPLAINED) if re.match(rf"(-\S+ )*{row.commands}\b", command)}
        if rows - needed:
            needed |= compared(scene, command)[2]
    assert [row for number, row in enumerate(EXPLAINED) if number not in needed] == []


def normal(scene: Scenario, text: str) -> str:
    """A text with names in the place of the scenario's ids, and without what is another each time."""
    names = {str(id): f"<{name}>" for name, id in reversed(scene.ids.items())}
    names[str(os.stat(scene.cgroup).st_ino)] = "<cgroup>"
    names[str(os.stat(f"{scene.cgroup}/child").st_ino)] = "<child>"
    names[scene.box.run("stat", "-Lc", "%i", "/proc/self/ns/net").stdout.strip()] = "<netns>"
    for key in ("target", "cgroup", "table", "linked"):
        text = text.replace(str(scene.words[key]), f"<{key}>")
    text = re.sub(r"\b\d{2,}\b", lambda match: names.get(match[0], match[0]), text)
    text = re.sub(r"(?<=tag )[0-9a-f]{16}|(?<=\"tag\":\")[0-9a-f]{16}|(?<=\"tag\": \")[0-9a-f]{16}", "<tag>", text)
    text = re.sub(r"loaded_at \S+|(?<=\"loaded_at\":) ?\d+", "<time>", text)
    text = re.sub(r"(?m)^( *<[^>]*>) +", r"\1 ", text)  # padded to a width
    text = re.sub(r'(?<=jited )\d+B|(?<="bytes_jited":) ?\d+', "<size>", text)
    text = re.sub(r'(?<="value":) ?\[[^]]*\](?=,\s*"inner_map_id")', "<id>", text)
    return re.sub(r"(?<=<target>\+)0x[0-9a-f]+|(?<=\"offset\":) ?\d+|(?<=\t)0x[0-9a-f]+(?= +0x)", "<offset>", text)


def own_netfilter(scene: Scenario, text: str) -> str:
    """`net show` without the netfilter programs of others: those of all network namespaces are shown."""
    ids = scene.of("p", "lp")

    def kept(match: re.Match[str]) -> str:
        return match[0] if int(match[1]) in ids else ""

    text = re.sub(r"\n\t\S+ \w+ prio -?\d+(?: flags \S+)? prog_id (\d+)", kept, text)
    text = re.sub(r'(?:(?<=\[)|,)\{\s*"pf":[^{}]*"id": ?(\d+)\s*\}', kept, text)
    return re.sub(r"\[,(?=\{)", "[", text)


def golden(scene: Scenario, area: str) -> str:
    """What bcctool prints for the commands of an area: each after a line with the command."""
    found = []
    for command in GOLDEN[area]:
        done = scene.box.bcctool(*scene.words_of(command))
        assert done.stderr == ""
        out = mine(scene, command, done.stdout, newer=True) if command.endswith("link show") else done.stdout
        out = normal(scene, own_netfilter(scene, out) if area == "net" else out)
        if "sc_reuseport" in command:
            out = re.sub(r'"value": \d+', '"value": <cookie>', out)  # of the socket
        found.append(f"$ {command}\n{out}")
    return "".join(text if text.endswith("\n") else f"{text}\n" for text in found)


def test_netfilter_of_others_is_left_out(scene: Scenario) -> None:
    own = scene.ids["lp/l_netfilter"]
    line, row = "\n\tip output prio -77 prog_id {}", '{{\n  "pf": 2,\n  "id": {}\n}}'
    for first, second in ((7, own), (own, 7)):
        text = f"netfilter:\n{line.format(first)}{line.format(second)}\n"
        assert own_netfilter(scene, text) == f"netfilter:\n{line.format(own)}\n"
    for rows in ((7, own), (own, 7), (7, own, 8)):
        text = '"netfilter": [' + ",".join([row.format(id) for id in rows]) + "]"
        assert own_netfilter(scene, text) == f'"netfilter": [{row.format(own)}]'
    assert own_netfilter(scene, f'"netfilter": [{row.format(7)}]') == '"netfilter": []'


@pytest.mark.parametrize("area", GOLDEN)
def test_what_the_distributions_does_not_know(scene: Scenario, area: str) -> None:
    """The files were read line by line beside the notes on 7.8; SCENARIO_GOLDEN=write makes them anew, to be read."""
    path = GOLDEN_FILES / f"{area}.txt"
    found = golden(scene, area)
    if os.environ.get("SCENARIO_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(found)
    assert found == path.read_text()
