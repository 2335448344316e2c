"""Real objects with bytes changed: whatever the change, nothing comes out but errors.Error, in bounded time and memory.

By default the same 300 cases run each time. `BCCTOOL_FUZZ=10000 .venv/bin/pytest tests/test_fuzz.py` runs that many
other ones, and makes those that fail smaller. A child process takes each case, so that a crash is a failure too.
"""

from __future__ import annotations

import functools
import os
import shutil
import struct
import sysconfig
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bcctool.btf.validate import validate
from bcctool.elf.embedded import Source
from bcctool.elf.object import ObjectFile
from bcctool.elf.reader import SHF_EXECINSTR, SHT_NOBITS, SHT_REL, Elf
from bcctool.errors import Error
from bcctool.loader.gen_loader import generate
from bcctool.loader.spec import Linker

from .conftest import PROGRAMS, no_bpf, run
from .contained import call
from .test_hostile import LOADING, READING, Outcome, in_own_bpffs, outcomes, require_answers
from .test_programs import SOURCES

STRUCTURED = (".BTF", ".BTF.ext", ".symtab")
DEFAULT_CASES = 300
CASES = int(os.environ.get("BCCTOOL_FUZZ", DEFAULT_CASES))
LOADED = CASES // 3
TOOLS = ("execsnoop", "opensnoop", "biolatency", "tcplife", "javagc", "klockstat")
EDGES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 1 << 31, 0xFFFFFFF8, 0xFFFFFFFF, 1 << 62, (1 << 64) - 1)
OPTIONS = settings(
    deadline=None,
    database=None,
    derandomize=CASES == DEFAULT_CASES,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate] if CASES == DEFAULT_CASES else [Phase.generate, Phase.shrink],
    print_blob=True,
)
# Where, as a fraction of the file's areas and of the chosen area; how many bytes, as a power of two; what to put there.
CHANGES = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 3),
        st.one_of(st.sampled_from(EDGES), st.integers(0, 300), st.integers(0, (1 << 64) - 1), st.integers(-8, -1)),
    ),
    min_size=1,
    max_size=6,
)
Change = tuple[float, float, int, int]


@functools.cache
def objects() -> list[bytes]:
    """Compiled sources for both byte orders, and objects of libbpf-tools."""
    found = []
    if shutil.which("clang"):
        include = f"-I/usr/include/{sysconfig.get_config_var('MULTIARCH')}"
        with tempfile.TemporaryDirectory() as directory:
            for number, source in enumerate(source for source in SOURCES if source != "map_arena.c"):
                out = Path(directory, "x.o")
                target = ("bpf", "bpf", "bpf", "bpfeb")[number % 4]
                run("clang", "-O2", "-g", "-target", target, include, "-c", PROGRAMS / source, "-o", out)
                found.append(out.read_bytes())
    for name in TOOLS:
        if os.path.exists(f"/usr/sbin/{name}"):
            with Source(f"/usr/sbin/{name}") as file:
                found += [data for _, _, data in file.objects()]
    if not found:
        pytest.skip("neither clang nor libbpf-tools are installed")
    return found


@functools.cache
def areas(number: int) -> list[tuple[int, int]]:
    """(offset, size) of an object's parts: small ones are as likely as large ones, what has structure is more so."""
    data = objects()[number]
    elf = Elf(data, "x.o")
    (table,) = struct.unpack_from(elf.order + "Q", data, 40)
    found = [(0, 64), (table, 64 * len(elf.sections))]
    for section in elf.sections:
        if section.size and section.type != SHT_NOBITS:
            chance = 4 if section.name in STRUCTURED or section.type == SHT_REL or section.flags & SHF_EXECINSTR else 1
            found += [(section.offset, section.size)] * chance
    return found


def changed(number: int, changes: list[Change]) -> bytes:
    """An object with numbers overwritten; a negative one is added to what is there."""
    data = bytearray(objects()[number])
    order = "little" if data[5] == 1 else "big"
    for where, place, power, value in changes:
        offset, size = areas(number)[int(where * len(areas(number)))]
        width = min(1 << power, size)
        at = offset + int(place * (size - width + 1)) // width * width
        if value < 0:
            value += int.from_bytes(data[at : at + width], order)  # type: ignore[arg-type]
        data[at : at + width] = (value % (1 << 8 * width)).to_bytes(width, order)  # type: ignore[arg-type]
    return bytes(data)


def explored(path: str, verb: str) -> list[Outcome]:
    """A verb's answer, after everything in the object was looked at in this process."""
    try:
        obj = ObjectFile(path)
        assert str((obj.license, obj.version, obj.externs, obj.maps))
        if ext := obj.btf_ext:
            for section in ext.sections():
                assert str((ext.funcs(section), ext.lines(section), ext.core_relos(section)))
        if obj.btf:
            validate(obj.btf)
        linker = Linker(obj)
        for prog in obj.progs:
            linker.spec(prog)
        generate(obj)
    except Error:
        pass  # what the verb says of it, its test looks at
    return outcomes(path, (verb,))


def numbers() -> st.SearchStrategy[int]:
    return st.integers(0, len(SOURCES) + len(TOOLS) - 1)


@given(number=numbers(), changes=CHANGES, verb=st.sampled_from(READING))
@settings(OPTIONS, max_examples=CASES - LOADED)
def test_reading(number: int, changes: list[Change], verb: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "x.o")
        path.write_bytes(changed(number % len(objects()), changes))
        require_answers(call(explored, str(path), verb), 3)


@pytest.mark.kernel
@given(number=numbers(), changes=CHANGES)
@settings(OPTIONS, max_examples=LOADED)
def test_loading(number: int, changes: list[Change]) -> None:
    if reason := no_bpf():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "x.o")
        path.write_bytes(changed(number % len(objects()), changes))
        require_answers(call(in_own_bpffs, str(path), (LOADING,)), 20)
