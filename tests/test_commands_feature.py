"""feature: its words, the three ways in which facts are shown, what the verifier's log means; on a kernel made up."""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import pytest

from bcctool.commands import feature, feature_probe
from bcctool.errors import Error
from bcctool.kernel import caps, kconfig, libbpf, probe, proc, uapi
from bcctool.output import Rendered, dumps
from bcctool.verbs import Args, Options, Usage

ALL = list(feature.CAPABILITIES)


class Kernel:
    """Has hash maps, xdp and tracing programs, and of the helpers those in `helpers`; `events` tells who was asked."""

    def __init__(self) -> None:
        self.caps = list(ALL)
        self.has_syscall = True
        self.config: dict[str, str | None] = {"CONFIG_BPF": "y", "CONFIG_XFRM": None, "CONFIG_HZ": "250"}
        self.types = {"xdp", "tracing", "hash"}
        self.helpers = ["map_lookup_elem", "trace_printk"]
        self.events: list[Any] = []

    def prog_type(self, name: str, ifindex: int = 0) -> bool:
        self.events.append((name, ifindex))
        return name in self.types

    def helpers_of(
        self, types: Sequence[str], without: Collection[str], ifindex: int
    ) -> Iterator[tuple[str, list[str]]]:
        for type in types:
            self.events.append((type, ifindex))
            yield type, [name for name in self.helpers if name not in without]

    def options(self, names: Sequence[str]) -> dict[str, str | None]:
        if not self.config:
            raise Error("can't find correct file")
        return self.config


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    fake = Kernel()

    class Without(caps.Without):
        def __enter__(self) -> None:
            fake.events.append(("without", *self.names))

        def __exit__(self, *_: object) -> None:
            fake.events.append("with")

    monkeypatch.setattr(uapi, "PROG_TYPES", ("unspec", "xdp", "lirc_mode2", "tracing"))
    monkeypatch.setattr(uapi, "MAP_TYPES", ("unspec", "hash", "arena"))
    monkeypatch.setattr(uapi, "HELPERS", ("unspec", "map_lookup_elem", "trace_printk", "redirect"))
    monkeypatch.setattr(proc, "sysctl", lambda name: {"net/core/bpf_jit_limit": 4096}.get(name, 1))
    monkeypatch.setattr(kconfig, "options", fake.options)
    monkeypatch.setattr(caps, "Without", Without)
    monkeypatch.setattr(caps, "is_known", lambda name: True)
    monkeypatch.setattr(caps, "effective", lambda names: [name for name in names if name in fake.caps])
    monkeypatch.setattr(probe, "require_libbpf", lambda: None)
    monkeypatch.setattr(probe, "has_syscall", lambda: fake.has_syscall)
    monkeypatch.setattr(probe, "prog_type", fake.prog_type)
    monkeypatch.setattr(probe, "map_type", fake.prog_type)
    monkeypatch.setattr(probe, "feature", lambda name, ifindex: name != "v4_isa_extension")
    monkeypatch.setattr(probe, "helpers_of", fake.helpers_of)
    return fake


def shown(words: str = "", style: str = "plain", depth: int = 0) -> str:
    result = feature.probe.run(Args(words.split(), Options(), "probe"))
    assert isinstance(result, Rendered)
    assert result.live
    return "".join(result.chunks(style, depth))


TEXT = """\
Scanning system configuration...
bpf() syscall restricted to privileged users (without recovery)
JIT compiler is enabled
JIT compiler hardening is enabled for unprivileged users
JIT compiler kallsyms exports are enabled for root
Global memory limit for JIT compiler for unprivileged users is 4096 bytes
CONFIG_BPF is set to y
CONFIG_XFRM is not set
CONFIG_HZ is set to 250

Scanning system call availability...
bpf() syscall is available

Scanning eBPF program types...
eBPF program_type xdp is available
eBPF program_type lirc_mode2 is NOT available
eBPF program_type tracing is available

Scanning eBPF map types...
eBPF map_type hash is available
eBPF map_type arena is NOT available

Scanning eBPF helper functions...
eBPF helpers supported for program type xdp:
	- bpf_map_lookup_elem
eBPF helpers supported for program type lirc_mode2:
	Program type not supported
eBPF helpers supported for program type tracing:
	Could not determine which helpers are available

Scanning miscellaneous eBPF features...
Large program size limit is available
Bounded loop support is available
ISA extension v2 is available
ISA extension v3 is available
ISA extension v4 is NOT available

"""
MACROS = """\
/*** Misc kernel config items ***/
#define P_CONFIG_HZ 250

/*** System call availability ***/
#define P_HAVE_BPF_SYSCALL

/*** eBPF program types ***/
#define P_HAVE_XDP_PROG_TYPE
#define P_NO_HAVE_LIRC_MODE2_PROG_TYPE
#define P_HAVE_TRACING_PROG_TYPE

/*** eBPF map types ***/
#define P_HAVE_HASH_MAP_TYPE
#define P_NO_HAVE_ARENA_MAP_TYPE

/*** eBPF helper functions ***/
/*
 * Use P_HAVE_PROG_TYPE_HELPER(prog_type_name, helper_name)
 * to determine if <helper_name> is available for <prog_type_name>,
 * e.g.
 *	#if P_HAVE_PROG_TYPE_HELPER(xdp, bpf_redirect)
 *		// do stuff with this helper
 *	#elif
 *		// use a workaround
 *	#endif
 */
#define P_HAVE_PROG_TYPE_HELPER(prog_type, helper)	\\
	P_BPF__PROG_TYPE_ ## prog_type ## __HELPER_ ## helper
#define P_BPF__PROG_TYPE_xdp__HELPER_bpf_map_lookup_elem 1
#define P_BPF__PROG_TYPE_xdp__HELPER_bpf_redirect 0
#define P_BPF__PROG_TYPE_lirc_mode2__HELPER_bpf_map_lookup_elem 0
#define P_BPF__PROG_TYPE_lirc_mode2__HELPER_bpf_redirect 0
#define P_BPF__PROG_TYPE_tracing__HELPER_bpf_map_lookup_elem 0
#define P_BPF__PROG_TYPE_tracing__HELPER_bpf_redirect 0

/*** eBPF misc features ***/
#define P_HAVE_LARGE_INSN_LIMIT
#define P_HAVE_BOUNDED_LOOPS
#define P_HAVE_V2_ISA_EXTENSION
#define P_HAVE_V3_ISA_EXTENSION
#define P_NO_HAVE_V4_ISA_EXTENSION

"""
RECORD = {
    "system_config": {
        "unprivileged_bpf_disabled": 1,
        "bpf_jit_enable": 1,
        "bpf_jit_harden": 1,
        "bpf_jit_kallsyms": 1,
        "bpf_jit_limit": 4096,
        "CONFIG_BPF": "y",
        "CONFIG_XFRM": None,
        "CONFIG_HZ": "250",
    },
    "syscall_config": {"have_bpf_syscall": True},
    "program_types": {
        "have_xdp_prog_type": True,
        "have_lirc_mode2_prog_type": False,
        "have_tracing_prog_type": True,
    },
    "map_types": {"have_hash_map_type": True, "have_arena_map_type": False},
    "helpers": {
        "xdp_available_helpers": ["bpf_map_lookup_elem"],
        "lirc_mode2_available_helpers": [],
        "tracing_available_helpers": [],
    },
    "misc": {
        "have_large_insn_limit": True,
        "have_bounded_loops": True,
        "have_v2_isa_extension": True,
        "have_v3_isa_extension": True,
        "have_v4_isa_extension": False,
    },
}


def test_text(kernel: Kernel) -> None:
    assert shown() == shown("kernel") == shown("k") == TEXT


def test_macros(kernel: Kernel) -> None:
    assert shown("macros prefix P_") == MACROS
    assert shown("m") == MACROS.replace("P_", "", 1).replace(" P_", " ").replace("\tP_", "\t")


@pytest.mark.parametrize(("style", "depth"), [("json", 0), ("pretty", 0), ("pretty", 2)])
@pytest.mark.parametrize("words", ["", "macros prefix P_"])
def test_json(kernel: Kernel, style: str, depth: int, words: str) -> None:
    assert shown(words, style, depth) == dumps(RECORD, style == "pretty", depth)
    assert json.loads(shown(words, style, depth)) == RECORD


def test_full_asks_about_helpers_that_the_kernel_warns_of(kernel: Kernel) -> None:
    assert "\t- bpf_map_lookup_elem\n\t- bpf_trace_printk\n" in shown("full")
    assert "xdp__HELPER_bpf_trace_printk 1\n" in shown("full macros")
    assert "trace_printk" not in shown() + shown("macros")


def test_a_device_is_asked_about_what_drivers_take(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature, "netdevice", {"eth7": 7}.__getitem__)
    text = shown("dev eth7")
    assert text.startswith("Scanning system call availability...\n")
    assert text.count("Scanning ") == 5
    asked = [event for event in kernel.events if isinstance(event, tuple) and event[0] != "without"]
    assert asked == [("sched_cls", 7), ("xdp", 7), ("hash", 7), ("array", 7), ("xdp", 7)]
    assert list(json.loads(shown("dev eth7", "json"))) == list(RECORD)[1:]


def test_nothing_else_is_asked_where_there_is_no_bpf(kernel: Kernel) -> None:
    kernel.has_syscall = False
    assert shown().endswith("\n\nScanning system call availability...\nbpf() syscall is NOT available\n\n")
    assert shown("macros").endswith("\n/*** System call availability ***/\n#define NO_HAVE_BPF_SYSCALL\n\n")
    assert list(json.loads(shown(style="json"))) == ["system_config", "syscall_config"]


@pytest.mark.parametrize("name", [row[0] for row in feature_probe.SYSCTLS])
def test_a_number_that_nobody_knows_is_shown(name: str) -> None:
    question = feature_probe.Question()
    assert " 77" in feature_probe.system_text(question, name, 77)
    assert feature_probe.system_text(question, name, -1).startswith("Unable to retrieve ")


def test_a_kernel_that_does_not_say_how_it_was_built(kernel: Kernel, capsys: pytest.CaptureFixture[str]) -> None:
    kernel.config = {}
    assert shown().count(" is not set\n") == len(feature_probe.CONFIG_OPTIONS) == 33
    assert "/* P_CONFIG_HZ is not set */\n" in shown("macros prefix P_")
    assert capsys.readouterr().err == "skipping kernel config, can't find correct file\n" * 2
    assert set(json.loads(shown(style="json"))["system_config"].values()) == {1, 4096, None}
    assert capsys.readouterr().err == ""


NO_MORE = "expected no more arguments, 'kernel', 'dev', 'macros' or 'prefix', got: "
ERRORS = [
    ("kernel dev lo", "component to probe already specified"),
    ("kernel k", "component to probe already specified"),
    ("dev lo d lo", "component to probe already specified"),
    ("dev no/such", "unrecognized netdevice 'no/such': No such device"),
    ("dev", "'dev' needs at least 1 arguments, 0 found"),
    ("prefix X", "'prefix' argument can only be use after 'macros'"),
    ("macros prefix", "'prefix' needs at least 1 arguments, 0 found"),
    ("macros prefix A prefix B", "'prefix' already defined"),
    ("macros macros", f"{NO_MORE}'macros'?"),
    ("full x", f"{NO_MORE}'x'?"),
]


@pytest.mark.parametrize(("words", "message"), ERRORS)
def test_words_that_make_no_sense(kernel: Kernel, words: str, message: str) -> None:
    with pytest.raises(Error) as caught:
        shown(words)
    assert (caught.value.message, caught.value.status) == (message, 255)
    assert not kernel.events


@pytest.mark.parametrize(
    ("held", "known", "missing"),
    [
        ([], True, "CAP_SYS_ADMIN, CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON, "),
        (["CAP_BPF", "CAP_SYS_ADMIN"], True, "CAP_NET_ADMIN, CAP_PERFMON, "),
        ([], False, "CAP_SYS_ADMIN, "),
    ],
)
def test_without_rights(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, held: list[str], known: bool, missing: str
) -> None:
    kernel.caps = held
    monkeypatch.setattr(caps, "is_known", lambda name: known)
    with pytest.raises(Error) as caught:
        shown()
    rest = "required for full feature probing; run as root or use 'unprivileged'"
    assert caught.value.message == f"missing {missing}{rest}"
    assert shown("unprivileged").startswith("Scanning ")


def test_before_linux_5_8_one_capability_is_enough(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel.caps = ["CAP_SYS_ADMIN"]
    monkeypatch.setattr(caps, "is_known", lambda name: False)
    assert shown() == TEXT


def test_root_does_without_its_rights_while_it_asks(kernel: Kernel) -> None:
    shown()
    assert (kernel.events[0], kernel.events[-1]) == (("without",), "with")
    kernel.events.clear()
    shown("unprivileged")
    assert (kernel.events[0], kernel.events[-1]) == (("without", *ALL), "with")
    assert [event for event in kernel.events if event == "with" or event[0] == "without"] == [
        ("without", *ALL),
        "with",
    ]


def builtins(*words: str) -> list[str]:
    return list(feature.list_builtins.run(Args(words, Options(), "list_builtins")))


def test_builtins() -> None:
    assert builtins("prog_types")[:2] == ["unspec", "socket_filter"]
    assert builtins("p") == list(uapi.PROG_TYPES)
    assert builtins("attach")[0] == "cgroup_inet_ingress"
    assert builtins("helpers")[:2] == ["bpf_unspec", "bpf_map_lookup_elem"]
    assert (builtins("m"), builtins("l")) == (list(uapi.MAP_TYPES), list(uapi.LINK_TYPES))
    assert feature.list_builtins.text is not None
    assert feature.list_builtins.text("xdp") == "xdp\n"


def test_builtins_of_what() -> None:
    with pytest.raises(Usage):
        builtins()
    groups = "'prog_types', 'map_types', 'attach_types', 'link_types' or 'helpers'"
    with pytest.raises(Error, match=f"^expected {groups}, got: x$"):
        builtins("x")
    with pytest.raises(Error, match="expected no more arguments, got: 'y'"):
        builtins("helpers", "y")


# What the verifier says of `call N; r0 = r9; exit`, by release; whether programs of the type may call the helper.
LOGS = {
    "R9 !read_ok": True,
    "R1 type=ctx expected=map_ptr": True,
    "0: (85) call bpf_setsockopt#49\nunknown func bpf_setsockopt#49": False,
    "invalid func unknown#212": False,
    "program of this type cannot use helper bpf_xdp_adjust_head#44": False,
    "": False,
}


def pretend_verifier(monkeypatch: pytest.MonkeyPatch, answer: Callable[[int, int, int], str]) -> None:
    """Stand in for bpf_prog_load: `answer(helper, log level, ifindex)` is what gets logged."""

    def load(type: int, name: None, license: bytes, insns: Any, count: int, address: int) -> int:
        opts = libbpf.prog_load_opts.from_address(address)
        helper = int.from_bytes(bytes(insns)[4:8], "little")
        log = answer(helper, opts.log_level, opts.prog_ifindex).encode() + b"\0"
        assert (count, bytes(insns)[0]) == (3, 0x85)
        assert len(log) <= opts.log_size
        if len(log) > 1:
            ctypes.memmove(opts.log_buf, log, len(log))
        return -22

    monkeypatch.setattr(libbpf, "function", {"bpf_prog_load": load}.__getitem__)


@pytest.mark.parametrize(("log", "there"), LOGS.items())
def test_what_the_verifier_says_of_a_helper(monkeypatch: pytest.MonkeyPatch, log: str, there: bool) -> None:
    first = "R9 !read_ok"  # stays in the buffer if it is not cleared
    pretend_verifier(monkeypatch, lambda helper, level, ifindex: first if helper == 1 else log if helper == 2 else "")
    expected = ["map_lookup_elem", "map_update_elem"] if there else ["map_lookup_elem"]
    assert probe.helpers("xdp") == expected
    assert probe.helpers("xdp", without=["map_lookup_elem"]) == expected[1:]


def test_a_kernel_that_knows_no_short_log(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_verifier(monkeypatch, lambda helper, level, ifindex: "R9 !read_ok" if level == 1 and helper == 5 else "")
    assert probe.helpers("kprobe") == ["ktime_get_ns"]


def test_the_device_goes_with_the_question(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_verifier(monkeypatch, lambda helper, level, ifindex: "R9 !read_ok" if helper == ifindex else "")
    assert probe.helpers("xdp", ifindex=7) == ["get_prandom_u32"]


def test_two_processes_share_the_work_and_keep_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    main = os.getpid()

    def helpers(type: str, without: Collection[str], ifindex: int) -> list[str]:
        return [] if type == "d" else [type, "ours" if os.getpid() == main else "theirs", *without, str(ifindex)]

    monkeypatch.setattr(probe, "helpers", helpers)
    assert list(probe.helpers_of("abcde", ["w"], 3)) == [
        ("a", ["a", "ours", "w", "3"]),
        ("b", ["b", "theirs", "w", "3"]),
        ("c", ["c", "ours", "w", "3"]),
        ("d", []),
        ("e", ["e", "ours", "w", "3"]),
    ]
    assert list(probe.helpers_of("a")) == [("a", ["a", "ours", "0"])]
    assert not list(probe.helpers_of(""))


def test_the_second_process_may_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    main = os.getpid()

    def helpers(type: str, without: Collection[str], ifindex: int) -> list[str]:
        assert os.getpid() == main or type != "d"
        return [type]

    monkeypatch.setattr(probe, "helpers", helpers)
    assert [found for _, found in probe.helpers_of("abcdefg")] == [[type] for type in "abcdefg"]


def test_the_second_process_does_not_outlive_the_question(monkeypatch: pytest.MonkeyPatch) -> None:
    pids = []
    fork = os.fork

    def watched() -> int:
        pids.append(fork())
        return pids[-1]

    monkeypatch.setattr(os, "fork", watched)
    monkeypatch.setattr(probe, "helpers", lambda type, without, ifindex: [type])
    answers = probe.helpers_of("abc")
    next(answers)
    answers.close()
    with pytest.raises(ChildProcessError):
        os.waitpid(pids[0], os.WNOHANG)
