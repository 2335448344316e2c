"""Control-flow graphs against the distribution's bpftool, of programs that it draws right; and where it does not."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bcctool.kernel import bpf, libbpf, uapi

from ..conftest import BCCTOOL, Sandbox, no_bpf, run
from ..test_insn_cfg import CALL_HELPER, END, JEQ_K, LOAD, MOV, insn

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(not shutil.which("bpftool"), reason="bpftool is not installed"),
]

SOCKET_FILTER = 1
ADD_R0, JLT_K, JEQ_W, CALL_SUBPROG, R6 = 0x07, 0xA5, 0x16, 1, 6
RAW = {
    "straight": MOV + LOAD + MOV + END,
    "loop": MOV + insn(ADD_R0, imm=1) + insn(JLT_K, -2, 5) + END,
    "branch": CALL_HELPER + insn(JEQ_K, 1, 5) + MOV + MOV + END,
    "branch to the next": CALL_HELPER + insn(JEQ_K, 0, 5) + MOV + END,
    "32 bits": CALL_HELPER + insn(JEQ_W, 1, 5) + MOV + MOV + END,
    "goto": CALL_HELPER + insn(JEQ_K, 2, 5) + MOV + insn(0x05, 1) + insn(0x17, imm=3) + MOV + END,
}  # fmt: skip
# Blocks that end in a call: the kernel makes one of may_goto.
CALL_LAST = {
    "call": CALL_HELPER + insn(JEQ_K, 1, 5) + CALL_HELPER + MOV + END,
    "may_goto": MOV + insn(0xE5, 1) + insn(0x05, -2) + END,
}
# Two functions, the first with an exit that is not its last instruction.
TWO = MOV + insn(0x85, imm=2, src=CALL_SUBPROG) + MOV + END + MOV + END
MID_EXIT = CALL_HELPER + insn(JEQ_K, 2, 5) + MOV + END + MOV + END


@contextlib.contextmanager
def loaded(code: bytes) -> Iterator[str]:
    """Load instructions as they are, without BTF: the program's id."""
    options = libbpf.opts(libbpf.prog_load_opts)
    fd = libbpf.function("bpf_prog_load")(SOCKET_FILTER, b"raw", b"GPL", code, len(code) // 8, ctypes.byref(options))
    if fd < 0:
        pytest.skip(f"this kernel does not take the program: {os.strerror(-fd)}")
    try:
        info = uapi.prog_info()
        bpf.fill_info(fd, info)
        yield str(info.id)
    finally:
        os.close(fd)


def both(id: str) -> tuple[str, str]:
    words = ("prog", "dump", "xlated", "id", id, "visual")
    return run(*BCCTOOL, *words).stdout, run("bpftool", *words).stdout


@pytest.mark.parametrize("name", RAW)
def test_the_same_bytes(name: str) -> None:
    with loaded(RAW[name]) as id:
        ours, theirs = both(id)
        assert ours == theirs
        assert "fn_0_bb_2" in ours


def test_the_same_bytes_for_a_legacy_object(box: Sandbox) -> None:
    words = ("prog", "dump", "xlated", "pinned", "/sys/fs/bpf/legacy", "visual")
    assert box.bcctool(*words).stdout == box.run("bpftool", *words).stdout


@pytest.fixture(scope="module")
def box(compile_c: Callable[..., Path]) -> Iterator[Sandbox]:
    """A sandbox with all programs loaded."""
    if reason := no_bpf():
        pytest.skip(reason)
    box = Sandbox()
    box.bcctool("prog", "load", compile_c("prog_legacy.c"), "/sys/fs/bpf/legacy")
    box.run("bpftool", "prog", "load", compile_c("prog_rich.c", "-g"), "/sys/fs/bpf/rich")
    for cpu in ("v1", "v3"):
        box.run("bpftool", "prog", "loadall", compile_c("cfg_shapes.c", "-g", f"-mcpu={cpu}"), f"/sys/fs/bpf/{cpu}")
    yield box
    box.close()


# What bpftool 7.1 does not show (source lines, names), and the numbers that it begins again with in each function.
ANNOTATION = re.compile(r"(\{| \| )(?:; .*\\l\\\n)+")
NUMBER = re.compile(r"(\{| \| ) *(\d+): ")


def clusters(text: str) -> list[str]:
    """The functions of a graph, without the number that each has."""
    text = re.sub(r"(call pc[+-]\d+)#\w+", r"\1", ANNOTATION.sub(r"\1", text.removesuffix("}\n")))
    return [renumbered(re.sub(r"(cluster|fn)_\d+", r"\1", part)) for part in text.split("subgraph ")[1:]]


def renumbered(cluster: str) -> str:
    """A function without its name, its first instruction number 0."""
    match = NUMBER.search(cluster)
    assert match
    first = int(match[2])
    cluster = re.sub(r'label="\w+ \(\)"', "", cluster)
    return NUMBER.sub(lambda match: f"{match[1]}{int(match[2]) - first}: ", cluster)


@pytest.mark.parametrize(
    ("pin", "functions"),
    [
        ("v1/loop", [("loop", 0)]), ("v3/loop", [("loop", 0)]),
        ("v1/calls", [("shrink", -1)]), ("v3/calls", [("shrink", -1)]),
        ("rich", [("weigh", -2), ("note", -1)]),
    ],
)  # fmt: skip
def test_the_same_functions(box: Sandbox, pin: str, functions: list[tuple[str, int]]) -> None:
    words = ("prog", "dump", "xlated", "pinned", f"/sys/fs/bpf/{pin}", "visual")
    text = box.bcctool(*words).stdout
    names = re.findall(r'label="(\w+) \(\)"', text)
    ours, theirs = clusters(text), clusters(box.run("bpftool", *words).stdout)
    assert len(ours) == len(names)
    for name, position in functions:
        assert ours[names.index(name)] == theirs[position]


def edges(text: str) -> list[tuple[str, str]]:
    return re.findall(r"(fn_\d+_bb_\d+):s -> (fn_\d+_bb_\d+):n \[style=\"solid", text)


def test_an_exit_ends_the_function() -> None:
    """bpftool lets the next instruction follow an exit."""
    with loaded(MID_EXIT) as id:
        ours, theirs = both(id)
    assert set(edges(theirs)) - set(edges(ours)) == {("fn_0_bb_3", "fn_0_bb_4")}
    assert set(edges(ours)) - set(edges(theirs)) == {("fn_0_bb_3", "fn_0_bb_1")}


@pytest.mark.parametrize("name", CALL_LAST)
def test_a_call_comes_back_once(name: str) -> None:
    """bpftool draws two edges after it."""
    with loaded(CALL_LAST[name]) as id:
        ours, theirs = both(id)
    assert list(dict.fromkeys(theirs.split("\n"))) == list(dict.fromkeys(ours.split("\n")))
    assert len(edges(theirs)) == len(edges(ours)) + 1


def test_functions_keep_the_numbers_of_the_program() -> None:
    """bpftool begins each function with 0."""
    with loaded(TWO) as id:
        ours, theirs = both(id)
    assert '"{   4: (b7) r0 = 0' in ours
    assert '"{   0: (b7) r0 = 0' in theirs
    assert clusters(ours) == clusters(theirs)
    assert 'label="func_1 ()"' in ours


@pytest.mark.parametrize(
    "words", ["xlated tag TAG visual", "xlated pinned /sys/fs/bpf/legacy file /dev/null visual", "xlated visual"]
)
def test_the_same_status_for_bad_words(box: Sandbox, compile_c: Callable[..., Path], words: str) -> None:
    shown = box.run("bpftool", "prog", "show", "pinned", "/sys/fs/bpf/legacy").stdout
    box.bcctool("prog", "load", compile_c("prog_legacy.c"), "/sys/fs/bpf/again")
    try:
        command = f"prog dump {words}".replace("TAG", shown.split("tag ")[1].split()[0]).split()
        status = 255 if "file" in words else box.run("bpftool", *command, status=None).returncode
        done = box.bcctool(*command, status=status)
    finally:
        box.run("rm", "/sys/fs/bpf/again")
    assert done.stdout == ""
    assert done.stderr.startswith("Usage: ") if words == "xlated visual" else done.stderr.count("\n") == 1
