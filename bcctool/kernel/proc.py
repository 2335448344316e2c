"""/proc, mounts and the bpf file system: what the kernel says in files (proc(5), Documentation/bpf)."""

from __future__ import annotations

import errno
import os

from ..errors import Error, KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

BPF_FS_MAGIC = 0xCAFE4A11
DEFAULT_BPFFS = "/sys/fs/bpf"
DEFAULT_TRACEFS = "/sys/kernel/tracing"
DEFAULT_DEBUGFS = "/sys/kernel/debug"
_COMM_SIZE = 15
_CLONE = b".llvm."  # what clang puts behind the name of a static symbol that link-time optimisation made global
_CODE = (b"t", b"T", b"w", b"W")  # types of symbols, as nm(1) has them
_HIDDEN = b"0" * 16  # what stands for each address if the kernel hides them
_MAX_FUNCTION = 1 << 20  # bytes; what is further away from a symbol is not in its function
_ENDS = ("_etext", "_einittext")  # behind them there is no code
_ESCAPES = {"\\040": " ", "\\011": "\t", "\\012": "\n", "\\134": "\\"}


def fdinfo(fd: int | str, pid: int | str = "self") -> dict[str, str]:
    """/proc/PID/fdinfo/FD as a dict, values stripped; empty when it cannot be read."""
    try:
        descriptor = os.open(f"/proc/{pid}/fdinfo/{fd}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            text = os.read(descriptor, 4096)
        finally:
            os.close(descriptor)
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.decode("ascii", "replace").splitlines())
    return {key: value.strip() for key, _, value in lines}


def pids() -> Iterator[int]:
    """The processes at this moment."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            yield int(name)


def descriptors(pid: int) -> Iterator[tuple[str, str]]:
    """(fd, what /proc/PID/fd links it to) of one process; nothing when it is gone or not ours to see."""
    directory = f"/proc/{pid}/fd"
    try:
        names = os.listdir(directory)
    except OSError:
        return
    for name in names:
        try:
            yield name, os.readlink(f"{directory}/{name}")
        except OSError:
            continue


def is_hidden(pid: int) -> bool:
    """Whether a process is there, but its descriptors are not for us to see (CAP_SYS_PTRACE)."""
    try:
        os.readlink(f"/proc/{pid}/exe")  # takes the same right as links to what is open
    except OSError as error:
        return error.errno in (errno.EACCES, errno.EPERM)
    return False


def comm(pid: int) -> str:
    """The command name of a process, empty when it is gone."""
    try:
        with open(f"/proc/{pid}/comm", "rb", buffering=0) as file:
            return file.read(64).rstrip(b"\n")[:_COMM_SIZE].decode("utf-8", "backslashreplace")
    except OSError:
        return ""


def cmdline(pid: int) -> list[str]:
    """The words of a process's command line, empty for kernel threads and when it is gone; cut after 4096 bytes."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb", buffering=0) as file:
            words = file.read(4096).rstrip(b"\0").split(b"\0")
    except OSError:
        return []
    return [word.decode("utf-8", "backslashreplace") for word in words]


def mounts(*types: str) -> Iterator[str]:
    """The mount points of file systems of these types, in mount order."""
    return (path for path, _ in mount_options(*types))


def mount_options(*types: str) -> Iterator[tuple[str, str]]:
    """(mount point, options with commas between) of file systems of these types, in mount order."""
    with open("/proc/mounts", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            _, path, type_, options, *_ = line.split(" ")
            if type_ in types:
                for escape, character in _ESCAPES.items():
                    path = path.replace(escape, character)
                yield path, options


def interface_name(index: int) -> str:
    """The name of a network device in this network namespace; OSError if there is none. The socket module is slow."""
    import ctypes

    name = ctypes.create_string_buffer(16)  # IF_NAMESIZE
    if not ctypes.CDLL(None, use_errno=True).if_indextoname(index, name):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return os.fsdecode(name.value)


def boot_time_ns() -> int:
    """CLOCK_REALTIME minus CLOCK_BOOTTIME, in nanoseconds: what turns a program's load time into an epoch."""
    import time

    return time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def is_bpffs(path: str) -> bool:
    """Whether an existing path lies on a bpf file system."""
    import ctypes

    buffer = (ctypes.c_long * 16)()  # struct statfs: 120 bytes, f_type first, on every 64-bit Linux
    if ctypes.CDLL(None, use_errno=True).statfs(os.fsencode(path), buffer):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(buffer[0]) == BPF_FS_MAGIC


def require_bpffs(directory: str, nomount: bool = False) -> None:
    """Make sure that pins can be made in `directory`: on a bpffs, or in an empty /sys/fs/bpf, which gets one mounted.

    Error otherwise: mounting over a directory of the user's would hide what is in it.
    """
    try:
        if is_bpffs(directory):
            return
        mountable = os.path.realpath(directory) == DEFAULT_BPFFS and not os.listdir(directory)
    except OSError as error:
        raise Error(f"can't pin in {directory}: {error.strerror}") from None
    if nomount or not mountable:
        hint = " and -n forbids to mount one" if nomount and mountable else f": pin below {DEFAULT_BPFFS}"
        raise Error(f"{directory} is not in a bpf file system (bpffs){hint}")
    _mount("bpf", DEFAULT_BPFFS, "mode=0700")


def _mount(type_: str, target: str, data: str) -> None:
    import ctypes

    name = type_.encode()
    if ctypes.CDLL(None, use_errno=True).mount(name, target.encode(), name, 0, data.encode()):
        number = ctypes.get_errno()
        hint = " (are you root?)" if number == errno.EPERM else ""
        raise Error(f"can't mount a {type_} file system on {target}: {os.strerror(number)}{hint}")


def tracefs(nomount: bool = False) -> str:
    """Where tracefs is mounted; where it is not, it gets mounted."""
    found = next(mounts("tracefs"), "")
    if not found:
        if nomount:
            raise Error("no tracefs is mounted, and -n forbids to mount one")
        _mount("tracefs", found := DEFAULT_TRACEFS, "")
    return found


def debugfs(nomount: bool = False) -> None:
    """Mount debugfs where BCC's tools read it, if none is there and the kernel lets us."""
    if nomount or os.path.exists(f"{DEFAULT_DEBUGFS}/tracing"):
        return
    try:  # noqa: SIM105  contextlib takes longer to import than a listing has
        _mount("debugfs", DEFAULT_DEBUGFS, "")
    except Error:
        pass


def open_trace_pipe(nomount: bool = False) -> BinaryIO:
    """The trace of the whole machine, unbuffered. Error with path and reason."""
    path = f"{tracefs(nomount)}/trace_pipe"
    try:
        return open(path, "rb", buffering=0)
    except OSError as error:
        hint = ": somebody else is reading it" if error.errno == errno.EBUSY else ""
        raise Error(f"can't open {path}: {error.strerror}{hint}") from None


class KernelSymbols:
    """/proc/kallsyms, read on first use: 45 ms, so only what prints addresses asks."""

    def __init__(self) -> None:
        self._text: bytes | None = None
        self._rereads = 3
        self._functions: list[bytes] | None = None

    def _lines(self) -> bytes:
        if self._text is None:
            try:
                with open("/proc/kallsyms", "rb", buffering=0) as file:
                    self._text = b"\n" + file.readall()
            except OSError:
                self._text = b""
        return self._text

    def name(self, address: int) -> str:
        """The symbol at exactly this address, empty if none is or the kernel hides them."""
        text = self._lines()
        at = text.find(b"\n%016x " % address) if address else -1
        # The kernel does not write the list at one moment: while programs come and go it may leave some out.
        while at < 0 and address and self._rereads:
            self._rereads -= 1
            self._text = None
            text = self._lines()
            at = text.find(b"\n%016x " % address)
        return text[at + 20 : text.find(b"\n", at + 1)].partition(b"\t")[0].decode() if at >= 0 else ""

    def address(self, name: str) -> int:
        """The address of a symbol, 0 if there is none or the kernel hides it."""
        text = self._lines()
        at = text.find(b" %s\n" % name.encode())
        return int(text[at - 18 : at - 2], 16) if at >= 0 else 0

    def addresses(self, name: str) -> list[int]:
        """All addresses of symbols of this name, those of modules and of clones by the linker (`.llvm.N`) included.

        [0] if the kernel hides them from this user.
        """
        text, wanted = self._lines(), b" %s" % name.encode()
        exact: set[int] = set()
        clones: set[int] = set()
        at = text.find(wanted)
        while at >= 0:
            after = text[at + len(wanted) : at + len(wanted) + len(_CLONE)]
            if after[:1] in (b"\n", b"\t") or after == _CLONE:
                (clones if after == _CLONE else exact).add(int(text[at - 18 : at - 2], 16))
            at = text.find(wanted, at + 1)
        return sorted(exact or clones)

    def at(self, addresses: Iterable[int]) -> dict[int, tuple[str, str]]:
        """By address the symbol at exactly it and its module, empty for the kernel's; in one pass, for many."""
        wanted = {b"%016x" % address for address in addresses if address}
        found: dict[int, tuple[str, str]] = {}
        for line in self._lines().splitlines():
            if line[:16] in wanted:
                name, _, module = line[19:].decode("utf-8", "backslashreplace").partition("\t")
                found.setdefault(int(line[:16], 16), (name, module.strip("[]")))
        return found

    def function(self, address: int) -> tuple[str, str, int]:
        """(function, module, distance) of an address in code; the module of the kernel's own is "kernel".

        "", "", 0 where there is no function, and for all if the kernel hides its addresses.
        """
        from bisect import bisect

        functions = self._code()
        at = bisect(functions, b"%016x~" % address) - 1
        if at < 0:
            return "", "", 0
        start = functions[at][:16]
        at = bisect(functions, start, 0, at)  # the first of several names: a global one, if there is one
        name, _, module = functions[at][19:].decode("utf-8", "backslashreplace").partition("\t")
        distance = address - int(start, 16)
        if distance > _MAX_FUNCTION or name in _ENDS:
            return "", "", 0
        return name, module.strip("[]") or "kernel", distance

    def hidden(self) -> bool:
        """Whether the kernel hides the addresses of its functions from this user."""
        return not self._code()

    def _code(self) -> list[bytes]:
        """The lines of what lies in code and has an address, by address."""
        if self._functions is None:
            lines = self._lines().splitlines()
            self._functions = sorted([line for line in lines if line[17:18] in _CODE and line[:16] != _HIDDEN])
        return self._functions

    def __iter__(self) -> Iterator[tuple[str, int]]:
        """Name and address of each symbol; the addresses are 0 if the kernel hides them."""
        for line in self._lines()[1:].splitlines():
            address, _, name, *_ = line.split(maxsplit=3)
            yield name.decode("utf-8", "backslashreplace"), int(address, 16)


def read_file(path: str, what: str = "") -> bytes:
    """The bytes of a file that the user named; Error with path and reason."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise KernelError(what or f"can't read {path}", error.errno or errno.EIO, status=255) from None


def sysctl(name: str) -> int:
    """A number below /proc/sys, such as "net/core/bpf_jit_enable"; -1 when it can't be read."""
    try:
        with open(f"/proc/sys/{name}", "rb", buffering=0) as file:
            return int(file.read(32))
    except (OSError, ValueError):
        return -1


_cpu_counts: list[int] = []


def possible_cpus() -> int:
    """How many CPUs the kernel has per-CPU data for."""
    if not _cpu_counts:
        _cpu_counts.append(len(_cpus("possible")))
    return _cpu_counts[0]


def online_cpus() -> list[int]:
    """The numbers of the CPUs that run."""
    return _cpus("online")


def _cpus(state: str) -> list[int]:
    """The CPUs that /sys/devices/system/cpu lists in a file, such as "0-3,8"."""
    ranges = read_file(f"/sys/devices/system/cpu/{state}").decode("ascii", "replace").split(",")
    return [
        cpu
        for first, _, last in (part.strip().partition("-") for part in ranges)
        for cpu in range(int(first), int(last or first) + 1)
    ]
