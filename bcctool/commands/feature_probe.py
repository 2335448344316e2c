"""feature probe: sections of facts about the kernel, found while they are being shown as text, C macros or JSON."""

from __future__ import annotations

import sys

from ..errors import Error
from ..kernel import kconfig, probe, proc, uapi
from ..output import dumps, newline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Fact = tuple[str, Any]
    """A name, and what the kernel said."""

DEVICE_PROG_TYPES, DEVICE_MAP_TYPES = ("sched_cls", "xdp"), ("hash", "array")  # what drivers may take
NOT_BY_DEFAULT = ("trace_printk", "trace_vprintk", "probe_write_user")
"""Helpers that the kernel warns of in its log when a program uses them."""

UNREADABLE = -1
# name in JSON, place below /proc/sys, what each value means, what any other one does
SYSCTLS: tuple[tuple[str, str, dict[int, str], str], ...] = (
    (
        "unprivileged_bpf_disabled",
        "kernel/unprivileged_bpf_disabled",
        {
            UNREADABLE: "Unable to retrieve required privileges for bpf() syscall",
            0: "bpf() syscall for unprivileged users is enabled",
            1: "bpf() syscall restricted to privileged users (without recovery)",
            2: "bpf() syscall restricted to privileged users (admin can change)",
        },
        "bpf() syscall restriction has unknown value {}",
    ),
    (
        "bpf_jit_enable",
        "net/core/bpf_jit_enable",
        {
            UNREADABLE: "Unable to retrieve JIT-compiler status",
            0: "JIT compiler is disabled",
            1: "JIT compiler is enabled",
            2: "JIT compiler is enabled with debugging traces in kernel logs",
        },
        "JIT-compiler status has unknown value {}",
    ),
    (
        "bpf_jit_harden",
        "net/core/bpf_jit_harden",
        {
            UNREADABLE: "Unable to retrieve JIT hardening status",
            0: "JIT compiler hardening is disabled",
            1: "JIT compiler hardening is enabled for unprivileged users",
            2: "JIT compiler hardening is enabled for all users",
        },
        "JIT hardening status has unknown value {}",
    ),
    (
        "bpf_jit_kallsyms",
        "net/core/bpf_jit_kallsyms",
        {
            UNREADABLE: "Unable to retrieve JIT kallsyms export status",
            0: "JIT compiler kallsyms exports are disabled",
            1: "JIT compiler kallsyms exports are enabled for root",
        },
        "JIT kallsyms exports status has unknown value {}",
    ),
    (
        "bpf_jit_limit",
        "net/core/bpf_jit_limit",
        {UNREADABLE: "Unable to retrieve global memory limit for JIT compiler for unprivileged users"},
        "Global memory limit for JIT compiler for unprivileged users is {} bytes",
    ),
)
SENTENCES = {name: (meanings, other) for name, _, meanings, other in SYSCTLS}
_CONFIG = """
BPF BPF_SYSCALL HAVE_EBPF_JIT BPF_JIT BPF_JIT_ALWAYS_ON DEBUG_INFO_BTF DEBUG_INFO_BTF_MODULES
CGROUPS CGROUP_BPF CGROUP_NET_CLASSID SOCK_CGROUP_DATA
BPF_EVENTS KPROBE_EVENTS UPROBE_EVENTS TRACING FTRACE_SYSCALLS FUNCTION_ERROR_INJECTION BPF_KPROBE_OVERRIDE
NET XDP_SOCKETS LWTUNNEL_BPF NET_ACT_BPF NET_CLS_BPF NET_CLS_ACT NET_SCH_INGRESS XFRM IP_ROUTE_CLASSID IPV6_SEG6_BPF
BPF_LIRC_MODE2 BPF_STREAM_PARSER NETFILTER_XT_MATCH_BPF TEST_BPF
HZ
"""
CONFIG_OPTIONS = tuple(f"CONFIG_{name}" for name in _CONFIG.split())
MACRO_OPTIONS = ("CONFIG_HZ",)  # what programs compute with
FEATURES = {
    "large_insn_limit": "Large program size limit",
    "bounded_loops": "Bounded loop support",
    "v2_isa_extension": "ISA extension v2",
    "v3_isa_extension": "ISA extension v3",
    "v4_isa_extension": "ISA extension v4",
}


class Question:
    """Whom to ask, how much; and what later questions need of the answers."""

    def __init__(self, ifindex: int = 0, full: bool = False) -> None:
        self.ifindex = ifindex
        self.without = () if full else NOT_BY_DEFAULT
        self.prog_types: dict[str, bool] = {}
        self.has_syscall = True
        self.notices: list[str] = []

    @property
    def helpers(self) -> list[str]:
        """The helpers to ask about."""
        return [name for name in uapi.HELPERS[1:] if name not in self.without]


def system_config(question: Question) -> Iterator[Fact]:
    for name, path, _, _ in SYSCTLS:
        yield name, proc.sysctl(path)
    try:
        config = kconfig.options(CONFIG_OPTIONS)
    except Error as error:
        question.notices.append(f"skipping kernel config, {error.message}")
        config = dict.fromkeys(CONFIG_OPTIONS)
    yield from config.items()


def system_text(question: Question, name: str, value: Any) -> str:
    if name in SENTENCES:
        meanings, other = SENTENCES[name]
        return meanings.get(value, other.format(value)) + "\n"
    return f"{name} is not set\n" if value is None else f"{name} is set to {value}\n"


def system_macro(question: Question, prefix: str, name: str, value: Any) -> str:
    if name not in MACRO_OPTIONS:
        return ""
    return f"/* {prefix}{name} is not set */\n" if value is None else f"#define {prefix}{name} {value}\n"


def syscall(question: Question) -> Iterator[Fact]:
    question.has_syscall = probe.has_syscall()
    yield "bpf_syscall", question.has_syscall


def prog_types(question: Question) -> Iterator[Fact]:
    for name in DEVICE_PROG_TYPES if question.ifindex else uapi.PROG_TYPES[1:]:
        question.prog_types[name] = probe.prog_type(name, question.ifindex)
        yield name, question.prog_types[name]


def map_types(question: Question) -> Iterator[Fact]:
    for name in DEVICE_MAP_TYPES if question.ifindex else uapi.MAP_TYPES[1:]:
        yield name, probe.map_type(name, question.ifindex)


def helpers(question: Question) -> Iterator[Fact]:
    types = [name for name, there in question.prog_types.items() if there and name not in probe.NEED_TARGET]
    answers = probe.helpers_of(types, question.without, question.ifindex)
    for name in question.prog_types:
        yield name, [f"bpf_{helper}" for helper in next(answers)[1]] if name in types else []


def helpers_text(question: Question, name: str, value: Any) -> str:
    lines = [f"eBPF helpers supported for program type {name}:"]
    if not question.prog_types[name]:
        lines.append("\tProgram type not supported")
    elif not value:
        lines.append("\tCould not determine which helpers are available")
    return "\n".join(lines + [f"\t- {helper}" for helper in value]) + "\n"


def helpers_macro(question: Question, prefix: str, name: str, value: Any) -> str:
    found = set(value)
    start = f"#define {prefix}BPF__PROG_TYPE_{name}__HELPER_bpf_"
    return "".join([f"{start}{helper} {int(f'bpf_{helper}' in found)}\n" for helper in question.helpers])


HELPERS_PREAMBLE = """\
/*
 * Use {0}HAVE_PROG_TYPE_HELPER(prog_type_name, helper_name)
 * to determine if <helper_name> is available for <prog_type_name>,
 * e.g.
 *	#if {0}HAVE_PROG_TYPE_HELPER(xdp, bpf_redirect)
 *		// do stuff with this helper
 *	#elif
 *		// use a workaround
 *	#endif
 */
#define {0}HAVE_PROG_TYPE_HELPER(prog_type, helper)	\\
	{0}BPF__PROG_TYPE_ ## prog_type ## __HELPER_ ## helper
"""


def features(question: Question) -> Iterator[Fact]:
    for name in FEATURES:
        yield name, probe.feature(name, question.ifindex)


class Section:
    """One row of SECTIONS: a heading, where its facts come from, and how one is shown."""

    def __init__(
        self,
        name: str,
        facts: Callable[[Question], Iterator[Fact]],
        key: str,
        heading: str,
        comment: str,
        text: Callable[[Question, str, Any], str],
        macro: Callable[[Question, str, str, Any], str] | None = None,
        preamble: str = "",
    ) -> None:
        self.name = name
        self.facts = facts
        self.key = key  # of a fact in JSON, around its name
        self.heading = heading
        self.comment = comment  # the heading among macros
        self.text = text
        self.macro = macro or self.have
        self.preamble = preamble

    def have(self, question: Question, prefix: str, name: str, value: Any) -> str:
        """A macro that says whether there is something."""
        return f"#define {prefix}{'' if value else 'NO_'}{self.key.format(name).upper()}\n"


def available(label: Callable[[str], str]) -> Callable[[Question, str, Any], str]:
    """A sentence that says whether there is what `label` makes of a fact's name."""
    return lambda question, name, value: f"{label(name)} is {'' if value else 'NOT '}available\n"


SECTIONS = (
    Section(
        "system_config", system_config, "{}", "system configuration", "Misc kernel config items",
        system_text, system_macro,
    ),
    Section(
        "syscall_config", syscall, "have_{}", "system call availability", "System call availability",
        available(lambda name: "bpf() syscall"),
    ),
    Section(
        "program_types", prog_types, "have_{}_prog_type", "eBPF program types", "eBPF program types",
        available("eBPF program_type {}".format),
    ),
    Section(
        "map_types", map_types, "have_{}_map_type", "eBPF map types", "eBPF map types",
        available("eBPF map_type {}".format),
    ),
    Section(
        "helpers", helpers, "{}_available_helpers", "eBPF helper functions", "eBPF helper functions",
        helpers_text, helpers_macro, HELPERS_PREAMBLE,
    ),
    Section(
        "misc", features, "have_{}", "miscellaneous eBPF features", "eBPF misc features",
        available(FEATURES.__getitem__),
    ),
)  # fmt: skip


def sections(question: Question) -> Iterator[Section]:
    """Those to show: nothing of the system for a device, and no more than one where there is no BPF."""
    for section in SECTIONS[1 if question.ifindex else 0 :]:
        if question.has_syscall:
            yield section


def as_text(question: Question) -> Iterator[str]:
    """Sentences, for people."""
    for section in sections(question):
        yield f"Scanning {section.heading}...\n"
        for name, value in section.facts(question):
            yield section.text(question, name, value)
        show_notices(question)
        yield "\n"


def as_macros(question: Question, prefix: str) -> Iterator[str]:
    """A C header."""
    for section in sections(question):
        yield f"/*** {section.comment} ***/\n{section.preamble.format(prefix)}"
        for name, value in section.facts(question):
            yield section.macro(question, prefix, name, value)
        show_notices(question)
        yield "\n"


def as_json(question: Question, pretty: bool, depth: int) -> Iterator[str]:
    """One object, with an object for each section."""
    colon = ": " if pretty else ":"
    before = "{"
    for section in sections(question):
        facts = [
            newline(pretty, depth + 2) + dumps(section.key.format(name)) + colon + dumps(value, pretty, depth + 2)
            for name, value in section.facts(question)
        ]
        name = newline(pretty, depth + 1) + dumps(section.name)
        yield f"{before}{name}{colon}{{{','.join(facts)}{newline(pretty, depth + 1)}}}"
        before = ","
    yield newline(pretty, depth) + "}"


def show_notices(question: Question) -> None:
    """Tell on stderr what could not be looked at."""
    for notice in question.notices:
        sys.stderr.write(f"{notice}\n")
    question.notices.clear()
