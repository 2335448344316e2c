"""What a program is bound to when it is loaded: the kernel's function, tracepoint, hook or iterator, by BTF id."""

from __future__ import annotations

from ..btf import kinds
from ..errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..objects.prog import Prog
    from .kernel_types import KernelTypes
    from .sections import Section

# attach type → what the kernel puts before the name, kind of the type that has it
NAMES = {
    "trace_raw_tp": ("btf_trace_", kinds.TYPEDEF),
    "trace_iter": ("bpf_iter_", kinds.FUNC),
    "lsm_mac": ("bpf_lsm_", kinds.FUNC),
    "lsm_cgroup": ("bpf_lsm_", kinds.FUNC),
}
PLAIN = ("", kinds.FUNC)
WORDS = {"trace_raw_tp": "tracepoint", "trace_iter": "iterator", "lsm_mac": "LSM hook", "lsm_cgroup": "LSM hook"}


class Target:
    """btf_id: of what a program attaches to; in the BTF object `btf_fd` (0: vmlinux), or of the program `prog_fd`.

    attach_type: as a number, None where the program's section tells.
    """

    __slots__ = ("attach_type", "btf_fd", "btf_id", "prog_fd")

    def __init__(self, btf_id: int = 0, btf_fd: int = 0, prog_fd: int = 0, attach_type: int | None = None) -> None:
        self.btf_id = btf_id
        self.btf_fd = btf_fd
        self.prog_fd = prog_fd
        self.attach_type = attach_type


NO_TARGET = Target()


def attach_target(where: str, kind: Section, section: str, kernel: KernelTypes, attach_to: Prog | None) -> Target:
    """The target of a program in a section such as `fentry/tcp_connect` or `fentry/MODULE:FUNCTION`.

    where: names the program in errors. attach_to: the loaded program whose function is meant. Error when there is none.
    """
    name = section.partition("/")[2]
    if not name:
        raise Error(f"{where}: section '{section}' names nothing to attach to: it has to be {kind.prefix}/NAME")
    if attach_to is not None:
        return _in_program(where, name, attach_to)
    if kind.prog_type == "ext":
        raise Error(f"{where}: '{kind.prefix}' replaces a function of a loaded program: say which, `to prog PROG`")
    prefix, type_kind = NAMES.get(kind.attach_type, PLAIN)
    module, colon, function = name.rpartition(":")
    wanted = prefix + (function if colon else name)
    sources = [kernel.vmlinux, *kernel.modules] if colon else []
    for source in sources:
        id = source.types.find(wanted, type_kind) if source.name == module else None
        if id is not None:
            return Target(id, source.fd)
    found = None if colon else kernel.find(wanted, type_kind)
    if found is None:
        what = WORDS.get(kind.attach_type, "function")
        raise Error(f"{where}: section '{section}': this kernel has no {what} '{name}' (no {wanted} in its BTF)")
    return Target(found[1], found[0].fd)


def _in_program(where: str, name: str, prog: Prog) -> Target:
    types = prog.types()
    id = types.find(name, kinds.FUNC) if types else None
    if id is None:
        raise Error(f"{where}: program {prog.id} has no function '{name}' (or no BTF that says so)")
    return Target(id, prog_fd=prog.fd)
