"""C sources into the kernel: with SEC() through clang, as libbpf's users write them, all others through BCC."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import sysconfig
import tempfile

from ..elf.object import ObjectFile
from ..errors import Error
from ..loader import sections
from ..loader.load import Loaded
from ..objects.map import Map
from ..objects.prog import Prog
from . import headers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

CLANGS = ("clang", *(f"clang-{version}" for version in range(30, 9, -1)))  # what Debian calls them
MAX_SOURCE = 16 << 20

_SEC = re.compile(r"\bSEC\s*\(|\bsection\s*\(")
_COMMENTS = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)

# Prefix of a function's name → what the section of such a program is called elsewhere: BCC's convention.
SECTIONS = {
    "kprobe__": "kprobe/{}",
    "kretprobe__": "kretprobe/{}",
    "tracepoint__": "tp/{}",
    "raw_tracepoint__": "raw_tp/{}",
    "kfunc__": "fentry/{}",
    "kretfunc__": "fexit/{}",
    "lsm__": "lsm/{}",
}


def read(path: str) -> str:
    """The text of a source. Error when there is none."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_SOURCE + 1)
    except OSError as error:
        raise Error(f"can't read {path}: {error.strerror}") from None
    if len(data) > MAX_SOURCE:
        raise Error(f"{path}: a source of more than {MAX_SOURCE} bytes")
    return data.decode("utf-8", "surrogateescape")


def has_sections(text: str) -> bool:
    """Whether a source puts its programs into sections, as those for libbpf do and those for BCC do not."""
    return bool(_SEC.search(_COMMENTS.sub(" ", text)))


def compiled(path: str, strict: bool = True) -> ObjectFile:
    """The object that clang makes of a source with SEC(): with libbpf's headers, and the kernel's types as vmlinux.h.

    What clang has to say goes to stderr. Error when it does not compile, or there is no clang.
    """
    clang = next((found for name in CLANGS if (found := shutil.which(name))), None)
    if clang is None:
        raise Error(f"{path}: no clang to compile it with: install clang, or give an object")
    include = ["-I", f"/usr/include/{sysconfig.get_config_var('MULTIARCH') or ''}"]
    if "vmlinux.h" in read(path):
        include += ["-idirafter", f"{headers.tree()}/{headers.TYPES}"]  # behind one of the user's own
    architecture = headers.architecture()
    with tempfile.TemporaryDirectory(prefix="bcctool-") as directory:
        out = os.path.join(directory, os.path.basename(path).removesuffix(".c") + ".o")
        words = [clang, "-target", "bpf", "-O2", "-g", f"-D__TARGET_ARCH_{architecture}", *include]
        if subprocess.run([*words, "-c", path, "-o", out], stdin=subprocess.DEVNULL, check=False).returncode:
            raise Error(f"{path}: clang can't compile it{_missing(path)}")
        obj = ObjectFile(out, strict=strict)
        obj.path = path
    return obj


def _missing(path: str) -> str:
    """A hint for the most frequent reason."""
    if "bpf/bpf_helpers.h" in read(path) and not os.path.exists(f"{headers.USR_INCLUDE}/bpf/bpf_helpers.h"):
        return ": libbpf's headers are not there: install libbpf-dev"
    return ""


def loaded(path: str, first_only: bool, type: str) -> tuple[Loaded, dict[str, str]]:
    """What BCC makes of a source, in the kernel; and for each program the section that says where it belongs.

    type: of the programs, as a section name; by default BCC's convention for their names tells (`kprobe__…`).
    Error when it does not compile or load; what compiler and verifier say goes to stderr.
    """
    try:
        from bcc.libbcc import lib

        from .bpf import BPF
    except ImportError as error:
        raise Error(f"{path}: BCC can't be had ({error}): install python3-bpfcc") from None

    class Module(BPF):
        """A source whose programs are not attached yet."""

        def _trace_autoload(self) -> None:
            pass

    text = read(path)
    flags = [f"-I{os.path.dirname(os.path.abspath(path))}"]
    try:
        module = Module(text=text.encode("utf-8", "surrogateescape"), cflags=flags)
    except Error:
        raise
    except Exception:  # BCC has no other
        raise Error(f"{path}: BCC can't compile it") from None
    made = Loaded()
    try:
        names = _functions(module, lib)
        if not names:
            raise Error(f"{path}: no programs in it")
        places = {name: section(path, name, type, module) for name in (names[:1] if first_only else names)}
        for name, place in places.items():
            made.progs[name] = _program(path, module, name, place)
        for name, fd in _tables(module, lib):
            made.maps[name] = Map(os.dup(fd))
    except BaseException:
        made.close()
        raise
    finally:
        module.cleanup()
    return made, places


def section(path: str, name: str, type: str, module: Any) -> str:
    """What the section of a function would be called. Error if neither its name nor `type` tells."""
    prefix = next((prefix for prefix in SECTIONS if name.startswith(prefix)), "")
    if type and sections.by_type_name(type) is None:
        raise Error(f"unknown program type '{type}'")
    if type or not prefix:
        if not type:
            raise Error(f"{path}: program '{name}': its name tells no type (as kprobe__… would): give `type TYPE`")
        return type
    place = name[len(prefix) :]
    if prefix == "tracepoint__":
        place = place.replace("__", "/", 1)
    elif prefix in ("kprobe__", "kretprobe__"):
        place = module.fix_syscall_fnname(place).decode()
    return SECTIONS[prefix].format(place)


def _program(path: str, module: Any, name: str, place: str) -> Prog:
    row = sections.by_type_name(place)
    if row is None:
        raise Error(f"{path}: program '{name}': unknown program type '{place}'")
    # What is bound to a function of the kernel BCC finds by the program's name.
    attach_type = row.attach_type_number if row.attach_type and not row.flags & sections.BTF_TARGET else -1
    try:
        function = module.load_func(name, row.prog_type_number, attach_type=attach_type)
    except Error:
        raise
    except Exception as error:  # BCC has no other
        reason = str(error).rpartition(": ")[2]
        raise Error(f"{path}: program '{name}' can't be loaded: {reason}") from None
    return Prog(os.dup(function.fd))


def _functions(module: Any, lib: Any) -> list[str]:
    """The names of a module's programs, in the order of the source, in which their code lies; BCC sorts them."""
    names = [lib.bpf_function_name(module.module, number) for number in range(lib.bpf_num_functions(module.module))]
    return [name.decode() for name in sorted(names, key=lambda name: lib.bpf_function_start(module.module, name))]


def _tables(module: Any, lib: Any) -> Iterator[tuple[str, int]]:
    """Names and descriptors of a module's maps: functions that BCC's Python does not declare."""
    lib.bpf_num_tables.argtypes = (ctypes.c_void_p,)
    lib.bpf_table_name.restype = ctypes.c_char_p
    lib.bpf_table_name.argtypes = lib.bpf_table_fd_id.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    for number in range(lib.bpf_num_tables(module.module)):
        yield lib.bpf_table_name(module.module, number).decode(), lib.bpf_table_fd_id(module.module, number)
