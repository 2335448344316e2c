"""What BCC needs of a kernel's headers, made from the running kernel's own BTF where none are installed.

BCC's compiler takes a tree of headers from BCC_KERNEL_SOURCE. Ours has the kernel's types as C (vmlinux.h), what no BTF
tells (include/linux/kconfig.h, in this package) and the macros of the UAPI headers that the C library brings. A kernel
without BTF gets the UAPI headers themselves: enough for programs that look at packets.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import sysconfig
import tempfile

from .. import cache
from ..btf import kinds
from ..btf.c import c_header
from ..errors import Error
from ..kernel import kconfig
from ..objects.btf import vmlinux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..btf.reader import Btf

SOURCE = "BCC_KERNEL_SOURCE"  # the environment variable in which BCC looks for a tree
INCLUDE = os.path.join(os.path.dirname(__file__), "include")
USR_INCLUDE = "/usr/include"
BTF_FILE = "/sys/kernel/btf/vmlinux"
ARCHITECTURES = {"x86_64": "x86", "i686": "x86", "aarch64": "arm64", "ppc64le": "powerpc", "s390x": "s390",
                 "riscv64": "riscv", "loongarch64": "loongarch"}  # fmt: skip
WRAPS_SYSCALLS = ("x86", "arm64", "s390", "riscv")  # ARCH_HAS_SYSCALL_WRAPPER, where nobody can tell the configuration
# Empty in the tree unless the C library has them: what BCC's own headers include.
ALWAYS = ("linux/bpf.h", "linux/if_ether.h", "linux/if_packet.h", "linux/ptrace.h", "linux/log2.h", "linux/types.h")
TYPES = "types"  # the directory of a tree that has vmlinux.h, and nothing else
MAX_TREES = 4  # in the cache, of 7 MB each
MAX_NAMES = 10_000  # includes or types of a program

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*[<"]([\w./+-]+)[>"]', re.MULTILINE)
_OWN_TYPE = re.compile(r"^[ \t]*(?:typedef[ \t]+)?(?:struct|union|enum)[ \t]+(\w+)\s*\{", re.MULTILINE)
_COMMENT = re.compile(rb"/\*.*?\*/", re.DOTALL)
_DIRECTIVE = re.compile(rb"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*\n", re.MULTILINE)


def installed() -> bool:
    """Whether BCC finds headers of the running kernel by itself, or is told where they are.

    A tree that it is told of has to be a whole one: of Debian's two packages neither is.
    """
    if SOURCE in os.environ:
        return os.path.exists(f"{os.environ[SOURCE]}/include/linux/kconfig.h")
    release = os.uname().release
    places = (
        f"/lib/modules/{release}/build/include/linux/kconfig.h",
        f"/lib/modules/{release}/source/include/linux/kconfig.h",
        "/sys/kernel/kheaders.tar.xz",
    )
    return any(os.path.exists(place) for place in places)


@contextlib.contextmanager
def prepared(text: str) -> Iterator[list[str]]:
    """Let BCC compile a C source on this machine while the block runs: flags for its compiler, none with real headers.

    Error when neither the kernel's BTF nor UAPI headers are there.
    """
    if installed():
        yield []
        return
    path = tree()
    with tempfile.TemporaryDirectory(prefix="bcctool-") as own:
        for name, content in additions(text, path).items():
            _write(os.path.join(own, name), content)
        before = os.environ.pop(SOURCE, None)
        os.environ[SOURCE] = path
        try:
            yield [f"-I{own}", f"-I{path}/{TYPES}"]
        finally:
            del os.environ[SOURCE]
            os.environ |= {SOURCE: before} if before else {}


def additions(text: str, path: str) -> dict[str, bytes]:
    """Headers for one source, by name: empty ones in the place of those that the tree lacks, and two around vmlinux.h.

    A source may have its own copy of a type that the kernel defines in some file, where no header shows it, but BTF
    does: these two call the kernel's by another name.
    """
    known = [os.path.join(path, directory) for directory in _directories()]
    files = {}
    for name in _INCLUDE.findall(text)[:MAX_NAMES]:
        there = name.startswith("bcc/") or any(os.path.exists(f"{place}/{name}") for place in known)
        if _is_inside(name) and not there:
            files[name] = b""
    own = dict.fromkeys(_OWN_TYPE.findall(text)[:MAX_NAMES])
    files["bcctool/begin.h"] = "".join(f"#define {name} {name}__of_kernel\n" for name in own).encode()
    files["bcctool/end.h"] = "".join(f"#undef {name}\n" for name in own).encode()
    return files


def tree() -> str:
    """The path of the running kernel's tree, which is made if this build of the kernel has none yet."""
    return cache.kept("headers", _key(), fill, MAX_TREES)


def fill(path: str) -> None:
    """Write a tree for the running kernel into a directory."""
    code = kconfig.version_code()
    shutil.copytree(INCLUDE, f"{path}/include", dirs_exist_ok=True)
    _write(f"{path}/include/linux/version.h", (
        f"#define LINUX_VERSION_CODE {code}\n"
        "#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + ((c) > 255 ? 255 : (c)))\n"
    ).encode())  # fmt: skip
    arch = architecture()
    if os.path.exists(BTF_FILE):
        types = vmlinux()
        _write(f"{path}/{TYPES}/vmlinux.h", c_header(types, sort=False, trusted=True))
        _write(f"{path}/include/generated/btf.h", told_by_types(types))
        _write(f"{path}/include/generated/autoconf.h", configuration(arch))
        included = _copy_uapi(path, arch, without_types)
    elif os.path.exists(f"{USR_INCLUDE}/linux/bpf.h"):
        included = _copy_uapi(path, arch, lambda data: data)
        _write(f"{path}/include/uapi/linux/bpf.h", b"")  # BCC has one of its own
        os.replace(f"{path}/include/bcctool/uapi.h", f"{path}/include/linux/kconfig.h")
    else:
        raise Error(f"no headers for BCC: the kernel has no {BTF_FILE}, and there are no UAPI headers (linux-libc-dev)")
    _write(f"{path}/arch/{arch}/include/asm/page.h", b"")
    for name in {*ALWAYS, *included}:
        if not any(os.path.exists(f"{path}/{place}/{name}") for place in _directories()):
            _write(f"{path}/include/uapi/{name}", b"")


def configuration(architecture: str) -> bytes:
    """generated/autoconf.h: how the kernel was built, if it tells."""
    try:
        settings = kconfig.settings()
    except Error:
        settings = {b"CONFIG_64BIT": b"y"}
        if architecture in WRAPS_SYSCALLS:
            settings[b"CONFIG_ARCH_HAS_SYSCALL_WRAPPER"] = b"y"
    settings[b"CONFIG_BPF_SYSCALL"] = b"y"
    lines = []
    for name, value in settings.items():
        if not re.fullmatch(rb"CONFIG_\w+", name) or b"\\" in value:
            continue
        suffix, value = (b"_MODULE", b"1") if value == b"m" else (b"", b"1" if value == b"y" else value)
        lines.append(b"#define %s%s %s\n" % (name, suffix, value))
    return b"".join(lines)


def told_by_types(types: Btf) -> bytes:
    """Macros that depend on how a type looks: the short names inside of a struct dentry, an array or in a union."""
    members = {member.name: member for member in types.type(types.find("dentry", kinds.STRUCT) or 0).entries}
    text = "".join(
        f"#define DNAME_INLINE_LEN {types.size_of(members[name].type_id)}\n{alias}"
        for name, alias in (("d_iname", ""), ("d_shortname", "#define d_iname d_shortname.string\n"))
        if name in members
    )
    return text.encode()


def without_types(data: bytes) -> bytes:
    """A header's preprocessor lines: its macros, and what it includes; its types are in vmlinux.h."""
    return b"".join(_DIRECTIVE.findall(_COMMENT.sub(b" ", data)))


def architecture() -> str:
    """What the kernel's tree calls this machine's architecture."""
    machine = os.uname().machine
    return ARCHITECTURES.get(machine, machine)


def _directories() -> list[str]:
    """Where BCC's compiler looks for headers in a tree."""
    return ["include", "include/uapi", f"arch/{architecture()}/include", f"arch/{architecture()}/include/uapi"]


def _is_inside(name: str) -> bool:
    """Whether the name of a header leads nowhere out of the directory of headers."""
    return not os.path.isabs(name) and ".." not in name.split("/")


def _copy_uapi(path: str, architecture: str, change: Callable[[bytes], bytes]) -> set[str]:
    """The C library's copy of the kernel's UAPI headers, each changed, to where the kernel's tree has them.

    Returns the names of all that they include.
    """
    included: set[str] = set()
    multiarch = sysconfig.get_config_var("MULTIARCH") or ""
    places = (f"{USR_INCLUDE}/{multiarch}/asm", f"{USR_INCLUDE}/asm")
    asm = next((place for place in places if os.path.isdir(place)), "")
    for source, target in (
        (f"{USR_INCLUDE}/linux", f"{path}/include/uapi/linux"),
        (f"{USR_INCLUDE}/asm-generic", f"{path}/include/uapi/asm-generic"),
        (asm, f"{path}/arch/{architecture}/include/uapi/asm"),
    ):
        for directory, _, names in os.walk(source):
            for name in names:
                with open(os.path.join(directory, name), "rb") as file:
                    data = change(file.read())
                _write(os.path.join(target, os.path.relpath(directory, source), name), data)
                included.update(_INCLUDE.findall(data.decode("utf-8", "replace")))
    return {name for name in included if _is_inside(name)}


def _key() -> str:
    """A name for all that the tree is made from: this build of the kernel, its configuration, and what is changed."""
    digest = hashlib.sha256(repr(os.uname()[2:]).encode())
    ours = [f"{INCLUDE}/{name}" for name in ("linux/kconfig.h", "bcctool/macros.h", "bcctool/uapi.h")]
    for name in ("/sys/kernel/notes", f"{USR_INCLUDE}/linux/version.h", *ours, __file__):
        with contextlib.suppress(OSError), open(name, "rb") as file:
            digest.update(file.read())
    return f"{os.uname().release}-{digest.hexdigest()[:16]}"


def _write(path: str, data: bytes) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
