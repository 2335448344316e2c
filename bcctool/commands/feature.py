"""feature: what the running kernel can do with BPF, and the names that bcctool knows."""

from __future__ import annotations

from ..errors import Error
from ..kernel import caps, uapi
from ..kernel import probe as kernel_probe
from ..output import Rendered
from ..verbs import Args, one_of, verb
from . import feature_probe
from .select import netdevice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

HELP = """
COMPONENT := { kernel | dev NAME }
GROUP := { prog_types | map_types | attach_types | link_types | helpers }
"""
# What takes part in what BPF a user may use. Before Linux 5.8 there was the first only.
CAPABILITIES = ("CAP_SYS_ADMIN", "CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON")
GROUPS = {
    "prog_types": uapi.PROG_TYPES,
    "map_types": uapi.MAP_TYPES,
    "attach_types": uapi.ATTACH_TYPES,
    "link_types": uapi.LINK_TYPES,
    "helpers": tuple(f"bpf_{name}" for name in uapi.HELPERS),
}


class Words:
    """What the words after `probe` ask for."""

    def __init__(self, args: Args) -> None:
        self.ifindex = 0
        self.full = self.unprivileged = self.macros = False
        self.prefix = ""
        component = False
        while args:
            typed = args.quoted()
            word = args.accept("kernel", "dev", "macros", "prefix", "full", "unprivileged")
            if word in ("kernel", "dev"):
                if component:
                    raise Error("component to probe already specified")
                component = True
                if word == "dev":
                    self.ifindex = netdevice(value(args, word))
            elif word == "prefix":
                if not self.macros:
                    raise Error("'prefix' argument can only be use after 'macros'")
                if self.prefix:
                    raise Error("'prefix' already defined")
                self.prefix = value(args, word)
            elif word is None or (word == "macros" and self.macros):
                raise Error(f"expected no more arguments, 'kernel', 'dev', 'macros' or 'prefix', got: {typed}")
            else:
                setattr(self, word, True)


def value(args: Args, keyword: str) -> str:
    """The word that has to follow a keyword."""
    if not args:
        raise Error(f"'{keyword}' needs at least 1 arguments, 0 found")
    return args.next()


def given_up(unprivileged: bool) -> list[str]:
    """The capabilities to do without; Error when the answers would not be those for root and nobody asked for that."""
    names = CAPABILITIES if caps.is_known("CAP_BPF") else CAPABILITIES[:1]
    held = caps.effective(names)
    if unprivileged:
        return held
    missing = [name for name in names if name not in held]
    if missing:
        listed = "".join(f"{name}, " for name in missing)
        raise Error(f"missing {listed}required for full feature probing; run as root or use 'unprivileged'")
    return []


@verb("[COMPONENT] [full] [unprivileged] [macros [prefix PREFIX]]")
def probe(args: Args) -> Rendered:
    """Show what BPF the kernel, or the driver of a network device, offers."""
    words = Words(args)
    question = feature_probe.Question(words.ifindex, words.full)
    without = caps.Without(given_up(words.unprivileged))
    kernel_probe.require_libbpf()

    def chunks(style: str, depth: int) -> Iterator[str]:
        with without:
            if style != "plain":
                yield from feature_probe.as_json(question, style == "pretty", depth)
            elif words.macros:
                yield from feature_probe.as_macros(question, words.prefix)
            else:
                yield from feature_probe.as_text(question)

    return Rendered(chunks, live=True)


@verb("GROUP", text="{}\n".format)
def list_builtins(args: Args) -> Iterator[str]:
    """List the program types, map types, attach types, link types or helpers that bcctool knows by name."""
    word = args.next()
    group = next((name for name in GROUPS if name.startswith(word)), None)
    if group is None:
        raise Error(f"expected {one_of(GROUPS)}, got: {word}")
    args.end()
    return iter(GROUPS[group])
