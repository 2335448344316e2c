"""bcc: BCC's tools: what they have in the kernel, and to run them where no kernel headers are."""

from __future__ import annotations

from ..verbs import later, verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..verbs import Args

HELP = """
TOOL := name of a BCC tool, as `execsnoop`, or a path to a script
"""
OPTIONS = "n"


@verb("TOOL [ARGUMENTS]")
def run(args: Args) -> None:
    """Run a BCC tool; where the kernel's headers are missing it is compiled against the kernel's BTF."""
    later("bcc_run.run")(args)
