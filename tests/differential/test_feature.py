"""`feature` beside the distribution's bpftool, which may know fewer names than we do and an option or two more."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from bcctool.commands import feature_probe

from ..conftest import BCCTOOL, NOBODY, Sandbox, run

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(not shutil.which("bpftool"), reason="bpftool is not installed"),
]

GROUPS = ("prog_types", "map_types", "attach_types", "link_types", "helpers")
SECTIONS = ["system_config", "syscall_config", "program_types", "map_types", "helpers", "misc"]
GONE = re.compile(r"CONFIG_BPFILTER(?:_UMH)?\b")  # left Linux in 6.8, and bpftool later
HELPER_VALUE = re.compile(r"(#define .*__HELPER_\w+) [01]")
NEVER_UNASKED = {"bpf_trace_printk", "bpf_trace_vprintk", "bpf_probe_write_user"}

Lists = dict[str, list[str]]


def both(box: Sandbox, *words: str, before: tuple[str, ...] = ()) -> tuple[str, str]:
    """(bpftool's, bcctool's) stdout."""
    return box.run(*before, "bpftool", *words).stdout, box.run(*before, *BCCTOOL, *words).stdout


def records(box: Sandbox, *words: str) -> tuple[dict[str, Any], dict[str, Any]]:
    theirs, ours = both(box, "-j", "feature", "probe", *words)
    return json.loads(theirs), json.loads(ours)


def lines(text: str) -> list[str]:
    """The lines without helpers and their values; why there are none is in the line with the type."""
    text = re.sub(r"\n\t(?=Program|Could)", " ", text)
    return [HELPER_VALUE.sub(r"\1", line) for line in text.split("\n") if not line.startswith("\t- ")]


def same_lines(theirs: str, ours: str) -> None:
    """Our text or macros have their lines in their order; what they don't have is about names that are newer.

    Helpers are left to tests of their own: which ones a program may call, old versions of libbpf don't find out on new
    kernels.
    """
    shown, mine = [line for line in lines(theirs) if not GONE.search(line)], lines(ours)
    known = set(shown)
    assert [line for line in mine if line in known] == shown
    assert len(shown) > 10
    added = "\n".join(line for line in mine if line not in known)
    assert not re.sub(
        r"(?m)^(?:eBPF program_type|eBPF map_type|ISA extension) \w+ is (?:NOT )?available(?:\n|$)"
        r"|^eBPF helpers supported for program type \w+:(?: Program type not supported)?(?:\n|$)"
        r"|^#define \w*HAVE_\w+_(?:TYPE|EXTENSION)(?:\n|$)|^#define \w*__HELPER_\w+(?:\n|$)",
        "",
        added,
    )


@pytest.mark.parametrize(
    "words",
    ["", "kernel", "macros", "macros prefix MY_", "full", "unprivileged", "unpriv macros", "dev lo", "d lo m p Y"],
)
def test_lines(sandbox: Sandbox, words: str) -> None:
    same_lines(*both(sandbox, "feature", "probe", *words.split()))


@pytest.mark.parametrize("words", ["unprivileged", "unpriv macros full"])
def test_lines_for_a_user_without_rights(sandbox: Sandbox, words: str) -> None:
    same_lines(*both(sandbox, "feature", "probe", *words.split(), before=NOBODY))


@pytest.mark.parametrize("words", ["", "full macros", "unprivileged", "dev lo"])
def test_json(sandbox: Sandbox, words: str) -> None:
    theirs, ours = records(sandbox, *words.split())
    assert list(ours) == list(theirs) == SECTIONS["dev" in words :]
    for name, section in theirs.items():
        known = {key: value for key, value in section.items() if not GONE.search(key)}
        if name == "helpers":
            assert [key for key in ours[name] if key in known] == list(known)
        else:
            assert [(key, value) for key, value in ours[name].items() if key in known] == list(known.items())


def test_pretty_json_is_laid_out_alike(sandbox: Sandbox) -> None:
    theirs, ours = both(sandbox, "-p", "feature", "probe", "dev", "lo")
    assert ours.replace(',\n        "have_v4_isa_extension": false', "") == theirs.replace(
        ',\n        "have_v4_isa_extension": false', ""
    )


def helpers(box: Sandbox, *words: str) -> tuple[Lists, Lists]:
    """(bpftool's, bcctool's) lists of the types and the helpers that both know."""
    theirs, ours = (record["helpers"] for record in records(box, *words))
    names = set(box.run("bpftool", "feature", "list_builtins", "helpers").stdout.split())
    return theirs, {key: [name for name in ours[key] if name in names] for key in theirs}


@pytest.mark.parametrize("words", ["", "full"])
def test_helpers(sandbox: Sandbox, words: str) -> None:
    """The same; or, where libbpf can't read this kernel's refusals and takes all for granted, no others."""
    theirs, ours = helpers(sandbox, *words.split())
    longest = max(theirs.values(), key=len)
    misread = sum(found == longest for found in theirs.values()) > 10
    for type, found in ours.items():
        assert found == ([name for name in theirs[type] if name in found] if misread else theirs[type]), type
        assert bool(found) == bool(theirs[type])
        assert words or not set(found) & NEVER_UNASKED
    assert not words or len(set(ours["kprobe_available_helpers"]) & NEVER_UNASKED) > 1


# From bpf-helpers(7), which says of what programs each is for.
FACTS = [
    ("xdp", "bpf_xdp_adjust_head", True),
    ("xdp", "bpf_redirect_map", True),
    ("xdp", "bpf_skb_load_bytes", False),
    ("socket_filter", "bpf_skb_load_bytes", True),
    ("socket_filter", "bpf_skb_store_bytes", False),
    ("sched_cls", "bpf_skb_store_bytes", True),
    ("sched_cls", "bpf_xdp_adjust_head", False),
    ("cgroup_sock_addr", "bpf_bind", True),
    ("sock_ops", "bpf_sock_ops_cb_flags_set", True),
    ("sk_msg", "bpf_msg_push_data", True),
    ("sk_skb", "bpf_msg_push_data", False),
    ("syscall", "bpf_sys_close", True),
    ("kprobe", "bpf_sys_close", False),
    ("cgroup_sysctl", "bpf_sysctl_get_name", True),
    ("perf_event", "bpf_perf_prog_read_value", True),
]


def test_helpers_are_where_their_manual_says(sandbox: Sandbox) -> None:
    lists = json.loads(sandbox.bcctool("-j", "feature", "probe").stdout)["helpers"]
    wrong = [fact for fact in FACTS if (fact[1] in lists[f"{fact[0]}_available_helpers"]) is not fact[2]]
    assert not wrong
    assert all("bpf_map_lookup_elem" in found for found in lists.values() if found)


@pytest.mark.parametrize("group", GROUPS)
def test_builtins(sandbox: Sandbox, group: str) -> None:
    theirs, ours = both(sandbox, "feature", "list_builtins", group)
    assert ours.startswith(theirs)
    assert "\n" in theirs
    theirs, ours = both(sandbox, "-j", "feature", "list", group[:2])
    assert ours.startswith(theirs.rstrip("]\n"))
    assert json.loads(ours)


ERRORS = [
    "probe x",
    "probe kernel dev lo",
    "probe dev nosuch",
    "probe prefix X",
    "probe macros prefix A prefix B",
    "probe macros macros",
    "list_builtins x",
]


@pytest.mark.parametrize("words", ERRORS)
@pytest.mark.parametrize("options", ["", "-j", "-p"])
def test_errors(sandbox: Sandbox, words: str, options: str) -> None:
    command = [*options.split(), "feature", *words.split()]
    theirs, ours = sandbox.run("bpftool", *command, status=255), sandbox.bcctool(*command, status=255)
    assert (ours.stdout, ours.stderr) == (theirs.stdout, theirs.stderr)


@pytest.mark.parametrize("held", ["", "+bpf", "+sys_admin,+net_admin,+bpf", "+net_admin,+perfmon"])
def test_rights_that_are_missing(sandbox: Sandbox, held: str) -> None:
    given = ",".join(filter(None, ("-all,+dac_read_search", held)))
    user = ("setpriv", "--reuid=65534", "--clear-groups", f"--inh-caps={given}", f"--ambient-caps={given}")
    theirs = sandbox.run(*user, "bpftool", "feature", "probe", status=255)
    ours = sandbox.run(*user, *BCCTOOL, "feature", "probe", status=255)
    assert (ours.stdout, ours.stderr) == (theirs.stdout, theirs.stderr)
    assert "missing CAP_" in ours.stderr


def system(*mounts: str) -> tuple[list[str], list[str]]:
    """What both say of the system, while these are mounted: on stdout and stderr, as macros, as JSON.

    In the network namespace that the tests run in: only that of the machine has the settings of the JIT.
    """
    found = []
    script = 'set -e; for pair in $1; do mount --bind ${pair%:*} ${pair#*:}; done; shift; exec "$@"'
    for tool in (("bpftool",), BCCTOOL):
        lines = []
        for words in ("feature probe", "feature probe macros prefix P_", "-j feature probe"):
            done = run("unshare", "--mount", "sh", "-c", script, "sh", " ".join(mounts), *tool, *words.split())
            text = done.stdout.partition("\n\n")[0].partition(',"syscall_config"')[0]
            lines += re.sub(r',"CONFIG_BPFILTER(_UMH)?":null', "", text).split("\n")
            lines += [done.stderr.partition(",")[0]]  # the reasons are not put alike
        found.append([line for line in lines if not GONE.match(line)])
    return found[0], found[1]


@pytest.mark.parametrize("value", ["0", "1", "2", "3", "-1", "99", "none"])
def test_settings(value: str, tmp_path: Path) -> None:
    (tmp_path / "value").write_text(f"{value}\n")
    settings = [f"/proc/sys/{name}" for _, name, _, _ in feature_probe.SYSCTLS]
    theirs, ours = system(*[f"{tmp_path}/value:{path}" for path in settings if os.path.exists(path)])
    assert ours == theirs
    assert len(ours) > len(feature_probe.CONFIG_OPTIONS)


MARKER = "#\n# Automatically generated file; DO NOT EDIT.\n# Linux\n"
CONFIGS = [
    "",
    "CONFIG_BPF=y\n",
    "# Automatically generated file; DO NOT EDIT.\n#\nCONFIG_BPF=y\n",
    f'{MARKER}CONFIG_BPF=m\nCONFIG_NET="a b"\nCONFIG_CGROUPS=\nCONFIG_HZ=1000\nCONFIG_HZ=2\n# CONFIG_XFRM is not set\n',
    f"{MARKER} CONFIG_BPF=y\nCONFIG_NET = y\nCONFIG_TRACING=n\n#CONFIG_XFRM=y\n",
]


@pytest.mark.parametrize("config", CONFIGS)
def test_how_the_kernel_was_built(config: str, tmp_path: Path) -> None:
    """From a file in /boot, which comes before what the kernel itself says."""
    (tmp_path / f"config-{os.uname().release}").write_text(config)
    theirs, ours = system(f"{tmp_path}:/boot")
    assert ours == theirs
    assert ("skipping kernel config" in ours) is (not config.startswith(MARKER))


@pytest.mark.skipif(not os.path.exists("/proc/config.gz"), reason="this kernel has no /proc/config.gz")
@pytest.mark.parametrize("content", [b"", b"not compressed", gzip.compress(b"not a configuration")], ids=len)
def test_a_kernel_that_does_not_say_how_it_was_built(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "no.gz").write_bytes(content)
    (tmp_path / "boot").mkdir()
    theirs, ours = system(f"{tmp_path}/boot:/boot", f"{tmp_path}/no.gz:/proc/config.gz")
    assert [line for line in ours if "skipping" not in line] == [line for line in theirs if "skipping" not in line]
    assert ours.count("skipping kernel config") == 2
