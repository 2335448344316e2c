"""Fixtures: namespaces of one's own, compiled programs, and a watch over what kernel tests leave behind."""

from __future__ import annotations

import functools
import gc
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from bcctool.kernel import bpf, proc
from bcctool.objects.link import Link
from bcctool.objects.map import Map
from bcctool.objects.owners import owners
from bcctool.objects.pins import pins
from bcctool.objects.prog import Prog

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ROOT / "tests" / "programs"
KERNEL_TESTS = ROOT / "tests" / "kernel"
# As scripts/setup's launcher starts it: without the search for packages, which takes longer than most commands.
BCCTOOL = (sys.executable, "-IS", "-c", f"import sys; sys.path[:] = {[str(ROOT), *sys.path[1:]]!r}; "
           "from bcctool.cli import main; sys.exit(main())")  # fmt: skip
# A user without rights, but for that to read files: the checkout may be in root's home.
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all,+dac_read_search",
          "--ambient-caps=-all,+dac_read_search")  # fmt: skip
KINDS = (bpf.PROG, bpf.MAP, bpf.LINK)
GCC = "bpf-gcc"
COMPILERS = ("clang", "clang-16", "clang-19", GCC)  # the first one is required, a test skips without the others
# gcc 12 keeps the address of a helper in a register when it can, and then refuses to call it.
GCC_FLAGS = ("-fno-gcse", "-fno-cse-follow-jumps", "-fno-move-loop-invariants", "-I/usr/include")
PATIENCE_S = 20.0  # what others let go of may take that, too
GRACE_S = 2.0  # the kernel frees objects after an RCU grace period, some after two
NEW_NAMESPACES = ("unshare", "--mount", "--net", "--propagation", "private")
# bpftool would list the pins of a bpffs twice that is mounted over another one.
OWN_BPFFS = "while umount -l /sys/fs/bpf 2>/dev/null; do :; done; mount -t bpf bpf /sys/fs/bpf"
PREPARE = f"{OWN_BPFFS} && ip link set lo up && echo ready && exec cat"  # until our end of its stdin is closed

Ids = dict[str, set[int]]


class Sandbox:
    """A mount and a network namespace of a test's own, with an empty bpffs at /sys/fs/bpf."""

    def __init__(self) -> None:
        self.holder = subprocess.Popen([*NEW_NAMESPACES, "sh", "-c", PREPARE], stdin=PIPE, stdout=PIPE, text=True)
        assert self.holder.stdout is not None
        if self.holder.stdout.readline() != "ready\n":
            self.close()
            pytest.skip("no namespaces of our own here (unshare or mount -t bpf failed)")

    def run(self, *words: str | os.PathLike[str], status: int | None = 0, **options: Any) -> Completed:
        """Run a command inside; stdout and stderr are captured as text. `status` is asserted, None takes any."""
        return run("nsenter", "-t", str(self.holder.pid), "-m", "-n", "--", *words, status=status, **options)

    def bcctool(self, *words: str | os.PathLike[str], status: int | None = 0, **options: Any) -> Completed:
        """Run bcctool inside."""
        return self.run(*BCCTOOL, *words, status=status, **options)

    def mount_tracefs(self) -> None:
        """Have a tracefs where BCC looks for it, if the machine has none there."""
        self.run("sh", "-c", "mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing")

    def close(self) -> None:
        """End the process that holds the namespaces; pins and attachments go with them."""
        self.holder.kill()
        self.holder.communicate()


Completed = subprocess.CompletedProcess[str]


def run(*words: str | os.PathLike[str], status: int | None = 0, **options: Any) -> Completed:
    """Run a command, stdout and stderr captured as text; `status` is asserted, None takes any."""
    keywords: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 120, **options}
    done: Completed = subprocess.run([os.fspath(word) for word in words], **keywords)
    assert status is None or done.returncode == status, (
        f"{' '.join([os.fspath(word) for word in words[-6:]])}: status {done.returncode}\n{done.stdout}{done.stderr}"
    )
    return done


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is kept for later runs, for those of these tests only."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A Sandbox: `sandbox.run("ip", "link")`, `sandbox.bcctool("prog", "show")`."""
    box = Sandbox()
    yield box
    box.close()


@pytest.fixture(scope="session")
def bcctool() -> Callable[..., Completed]:
    """Run bcctool in the test's own namespaces: `bcctool("version", status=0)`."""

    def call(*words: str | os.PathLike[str], status: int | None = 0, **options: Any) -> Completed:
        return run(*BCCTOOL, *words, status=status, **options)

    return call


@pytest.fixture(scope="session")
def compile_c(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Compile BPF C with clang, or another of COMPILERS: `compile_c("counter.c", "-g", "-DBTF")`, the object's path.

    A relative source is one of tests/programs. Objects are kept for the session, by content and flags.
    """
    if not shutil.which("clang"):
        pytest.skip("clang is not installed")
    base = tmp_path_factory.getbasetemp()
    directory = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "objects"
    directory.mkdir(exist_ok=True)
    include = f"-I/usr/include/{sysconfig.get_config_var('MULTIARCH')}"

    def compile(source: str | os.PathLike[str], *flags: str, target: str = "bpf", compiler: str = COMPILERS[0]) -> Path:
        if not shutil.which(compiler):
            pytest.skip(f"{compiler} is not installed")
        path = PROGRAMS / source
        words = [*gcc_words(target, flags)] if compiler == GCC else ["-target", target, *flags]
        command = [compiler, "-O2", *words, include, "-c", str(path)]
        key = hashlib.sha256(path.read_bytes() + "\0".join(command).encode()).hexdigest()[:12]
        out = directory / f"{path.stem}-{key}.o"
        if not out.exists():
            partial = out.with_suffix(f".{os.getpid()}")
            run(*command, "-o", partial)
            partial.rename(out)
        return out

    return compile


def gcc_words(target: str, flags: tuple[str, ...]) -> Iterator[str]:
    """The flags of gcc that do what those of clang do."""
    yield from GCC_FLAGS
    yield "-mbig-endian" if target == "bpfeb" else "-mlittle-endian"
    for flag in flags:
        yield from ("-gbtf", "-mco-re") if flag == "-g" else (flag,)


@functools.cache
def embedding_executables() -> list[Path]:
    """The executables of libbpf-tools, which have BPF objects inside, links left out; a skip without that package."""
    listed = ""
    if shutil.which("dpkg"):
        listed = subprocess.run(["dpkg", "-L", "libbpf-tools"], capture_output=True, text=True, check=False).stdout
    paths = [Path(line) for line in listed.splitlines() if "/sbin/" in line or "/bin/" in line]
    if not paths:
        pytest.skip("libbpf-tools, which has objects of others, is not installed (or this is no Debian)")
    return sorted(path for path in paths if not path.is_symlink())


def no_bpf() -> str:
    """Why kernel tests can't run here, empty when they can."""
    try:
        next(bpf.ids(bpf.PROG), None)
    except OSError as error:
        return f"the kernel lets us use no BPF: {error.strerror} (root, and a kernel with bpf(2), are needed)"
    return "" if os.geteuid() == 0 else "not root"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(KERNEL_TESTS):
            item.add_marker("kernel")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Modules with kernel tests go to one worker, one after another: they count and list what the machine has loaded.

    (xdist's own groups come from marks; xdist 3.8 loses them with pytest 9.2.)
    """
    from xdist.scheduler import LoadScopeScheduling

    scheduler: Any = LoadScopeScheduling(config, log)
    scheduler._split_scope = lambda nodeid: "kernel" if needs_kernel(nodeid.partition("::")[0]) else nodeid
    return scheduler


@functools.cache
def needs_kernel(module: str) -> bool:
    """Whether a test module, by its path from the project's root, has tests that need the kernel."""
    path = ROOT / module
    return path.is_relative_to(KERNEL_TESTS) or "pytest.mark.kernel" in path.read_text()


def loaded() -> Ids:
    return {kind: set(bpf.ids(kind)) for kind in KINDS}


def added(before: Ids) -> Ids:
    """The kinds that have ids now which they had not before."""
    now = loaded()
    return {kind: now[kind] - before[kind] for kind in KINDS if now[kind] - before[kind]}


def pinned() -> set[str]:
    return {path for kind in KINDS for paths in pins(kind).values() for path in paths}


def of_others() -> Ids:
    """What processes that this one did not start hold or have pinned; programs of such links, maps of such programs."""
    parents = {pid: parent_of(pid) for pid in proc.pids()}
    ours = {os.getpid()}
    for pid in sorted(parents):
        if parents[pid] in ours:
            ours.add(pid)
    elsewhere = {mount_namespace(pid): pid for pid in parents if pid not in ours}
    elsewhere.pop(mount_namespace(os.getpid()), None)
    found = {}
    for kind in KINDS:
        held = {id for id, holders in owners(kind).items() if any(holder["pid"] not in ours for holder in holders)}
        found[kind] = held.union(*(pinned_in(pid, kind) for pid in elsewhere.values()))
    for link in Link.all():
        with link:
            if link.id in found[bpf.LINK]:
                found[bpf.PROG].add(link.info.prog_id)
    registered = controls_of_others()
    found[bpf.MAP] |= registered
    for prog in Prog.all():
        with prog:
            if registered and prog.type == "struct_ops":
                found[bpf.PROG].add(prog.id)
            if prog.id in found[bpf.PROG]:
                found[bpf.MAP].update(prog.map_ids)
    return found


def controls_of_others() -> set[int]:
    """The maps of congestion controls that other test processes have registered: nobody holds these (congestion.py)."""
    found = set()
    for map_ in Map.all():
        with map_:
            owner = re.fullmatch(r"[tl](\d+)_\d+", map_.name)
            if map_.type == "struct_ops" and owner and owner[1] != str(os.getpid()):
                found.add(map_.id)
    return found


def pinned_in(pid: int, kind: str) -> set[int]:
    """Ids of a kind that are pinned in the mount namespace of a process; nothing when we can't look into it."""
    listing = run("nsenter", "-t", str(pid), "-m", "--", *BCCTOOL, "-jf", kind, "show", status=None).stdout
    try:
        return {record["id"] for record in json.loads(listing) if record["pinned"]}
    except (ValueError, TypeError, KeyError):
        return set()


def mount_namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt")
    except OSError:
        return ""


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


@pytest.fixture(autouse=True)
def leaves_nothing(request: pytest.FixtureRequest) -> Iterator[None]:
    """Around each kernel test: no program, map, link or pin may be left that was not there before."""
    if not request.node.get_closest_marker("kernel"):
        yield
        return
    if reason := no_bpf():
        pytest.skip(reason)
    ids, paths = loaded(), pinned()
    yield
    gc.collect()
    deadline = time.monotonic() + GRACE_S
    while left := added(ids):
        if time.monotonic() > deadline:
            others = of_others()  # they go on making objects meanwhile, and have the kernel free some
            left = {kind: found & left.get(kind, set()) - others[kind] for kind, found in added(ids).items()}
            if not any(left.values()):
                break
            assert time.monotonic() < deadline + PATIENCE_S, f"left in the kernel: {left}"
        time.sleep(0.02)
    assert pinned() <= paths, f"left on a bpffs: {pinned() - paths}"
