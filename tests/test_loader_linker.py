"""Static linking: what libbpf's linker makes of sound objects, and that no other ones reach it."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bcctool.elf.object import ObjectFile
from bcctool.errors import Error
from bcctool.loader.linker import link

from .conftest import ROOT, Completed

Compile = Callable[..., Path]
APP = sorted((ROOT / "tutorial" / "app").glob("*.c"))


@pytest.fixture
def app(compile_c: Compile) -> list[str]:
    """The objects of the tutorial's application."""
    return [str(compile_c(source, "-g")) for source in APP]


def test_the_parts_are_all_there(app: list[str]) -> None:
    obj = ObjectFile.from_bytes(link(app), "app.o")
    assert [prog.section for prog in obj.progs] == ["xdp/counter", "xdp/entrypoint", "xdp/streak"]
    assert {map_.name for map_ in obj.maps} == {"counter_map", "call_table", "streak_map", "app.rodata", "app.bss"}
    assert obj.license == "Dual BSD/GPL"


def test_linking_again_changes_nothing(app: list[str], tmp_path: Path) -> None:
    once = tmp_path / "once.o"
    once.write_bytes(link(app))
    twice = tmp_path / "twice.o"
    twice.write_bytes(link([str(once)]))
    assert twice.read_bytes() == link([str(twice)])


def test_what_one_object_lacks_another_has(compile_c: Compile) -> None:
    parts = [str(compile_c(f"link_{part}.c", "-g")) for part in ("callee", "caller")]
    assert [extern.name for extern in ObjectFile(parts[1]).externs] == ["shared", "weigh"]
    assert ObjectFile.from_bytes(link(parts), "whole.o").externs == []


REFUSED = [
    (("callee", "callee"), "conflicting non-weak symbol"),
    (("callee -DNUMBER=long", "caller"), "global 'shared': map value_size mismatch"),
    (("callee", "caller -DLICENSE=\"MIT\""), "non-identical contents of section 'license'"),
]  # fmt: skip


@pytest.mark.parametrize(("parts", "reason"), REFUSED)
def test_objects_that_contradict_each_other(compile_c: Compile, parts: tuple[str, ...], reason: str) -> None:
    sources = [part.split() for part in parts]
    paths = [str(compile_c(f"link_{name}.c", "-g", *flags)) for name, *flags in sources]
    with pytest.raises(Error) as caught:
        link(paths)
    assert caught.value.message.startswith(f"failed to link '{paths[-1]}': ")
    assert reason in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.status == 234


def test_libbpf_keeps_quiet(compile_c: Compile, capfd: pytest.CaptureFixture[str]) -> None:
    path = str(compile_c("link_callee.c", "-g"))
    with pytest.raises(Error, match="conflicting"):
        link([path, path])
    assert capfd.readouterr() == ("", "")


def test_other_byte_orders_do_not_mix(compile_c: Compile) -> None:
    big = str(compile_c("link_callee.c", "-g", target="bpfeb"))
    with pytest.raises(Error, match="byte order") as caught:
        link([str(compile_c("link_caller.c", "-g")), big])
    assert caught.value.status == 161
    assert "/proc/" not in caught.value.message


NO_OBJECTS = [
    (b"hello", "not an ELF file", 234),
    (b"\x7fELF\2\1\1" + bytes(9) + b"\1\0\x3e\0\1\0\0\0" + bytes(40), "an ELF for x86-64, not BPF", 161),
    (None, "No such file or directory", 254),
]


@pytest.mark.parametrize(("data", "reason", "status"), NO_OBJECTS)
def test_what_is_no_object(tmp_path: Path, data: bytes | None, reason: str, status: int) -> None:
    path = tmp_path / "in.o"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(Error) as caught:
        link([str(path)])
    assert caught.value.message.startswith(f"failed to link '{path}': {reason}")
    assert caught.value.status == status


def test_an_object_without_btf(compile_c: Compile) -> None:
    with pytest.raises(Error, match="it has no BTF, which linking needs: compile with clang -g"):
        link([str(compile_c("link_callee.c"))])


def test_truncation_at_every_64th_byte_is_an_error(app: list[str], tmp_path: Path) -> None:
    data, path = Path(app[0]).read_bytes(), tmp_path / "in.o"
    for length in range(0, len(data), 64):
        path.write_bytes(data[:length])
        with pytest.raises(Error):
            link([str(path)])


# A crash in C would take the test runner along, so the objects are given to a process of their own.
LINK_ALL = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
from bcctool.errors import Error
from bcctool.loader.linker import link
for number, path in enumerate(sys.argv[1:]):
    try:
        link([path])
    except Error:
        pass
    print(path, flush=True)
"""


def test_no_damage_crashes_the_linker(app: list[str], tmp_path: Path) -> None:
    choose, paths = random.Random(5), []
    for number in range(400):
        data = bytearray(Path(choose.choice(app)).read_bytes())
        for _ in range(choose.randrange(1, 4)):
            data[choose.randrange(len(data))] ^= 1 << choose.randrange(8)
        path = tmp_path / f"{number}.o"
        path.write_bytes(data)
        paths.append(str(path))
    done = subprocess.run([sys.executable, "-c", LINK_ALL, *paths], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.returncode, done.stdout.splitlines()[-1:], done.stderr)
    assert done.stdout.split() == paths


def section_header(path: str, name: str) -> int:
    """The offset of a section's header in the file."""
    obj = ObjectFile(path)
    (start,) = struct.unpack_from("<Q", Path(path).read_bytes(), 40)
    return int(start) + 64 * next(section.index for section in obj.sections if section.name == name)


CRASHES = [  # what libelf refuses, and libbpf 1.1 then reads all the same, through a null pointer
    (lambda path: 6, 2, "ELF version"),
    (lambda path: 20, 2, "ELF version"),
    (lambda path: section_header(path, ".strtab") + 9, 8, "flags 0x8.. can't be linked"),  # SHF_COMPRESSED
    (lambda path: section_header(path, ".rel.debug_addr") + 32, 0x28, "40 bytes in entries of 16, not 16"),
]  # fmt: skip


@pytest.mark.parametrize(("place", "value", "message"), CRASHES)
def test_what_would_crash_libbpf(
    app: list[str], tmp_path: Path, place: Callable[[str], int], value: int, message: str
) -> None:
    data = bytearray(Path(app[0]).read_bytes())
    data[place(app[0])] = value
    path = tmp_path / "in.o"
    path.write_bytes(data)
    with pytest.raises(Error, match=message):
        link([str(path)])


def test_the_output_is_whole_or_not_there(bcctool: Callable[..., Completed], app: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out.o"
    done = bcctool("gen", "object", out, app[0], "/nosuch", status=254)
    assert (done.stdout, done.stderr) == ("", "Error: failed to link '/nosuch': No such file or directory\n")
    assert not out.exists()
    out.write_text("kept")
    out.chmod(0o600)
    bcctool("gen", "object", out, app[0], app[0], status=234)
    assert out.read_text() == "kept"
    link_to_it = tmp_path / "link.o"
    link_to_it.symlink_to(out)
    bcctool("gen", "object", link_to_it, app[0])
    assert (link_to_it.is_symlink(), out.read_bytes(), out.stat().st_mode & 0o777) == (True, link(app[:1]), 0o600)
    link_to_it.unlink()
    assert (bcctool("-j", "gen", "object", out, *app).stdout, out.read_bytes()) == ("\n", link(app))
    assert [path.name for path in tmp_path.iterdir()] == ["out.o"]
    done = bcctool("gen", "object", "/nosuch/out.o", app[0], status=255)
    assert done.stderr == "Error: can't write /nosuch/out.o: No such file or directory\n"
