"""Which file a section's name means: paths as they are, libraries and programs where their loaders look."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from bcctool.errors import Error
from bcctool.loader import sections
from bcctool.loader.attach_places import Places
from bcctool.loader.attach_uprobes import find_file, path_and_name
from bcctool.loader.attachment import Request


class NoProg:
    full_name = "none"


def request(section: str) -> Request:
    row = sections.lookup(section)
    assert row is not None
    return Request(NoProg(), section, row, Places(), {}, nomount=True)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which libraries and programs are looked for first, with an ELF file and one that is none."""
    monkeypatch.setenv("LD_LIBRARY_PATH", f"/nosuch:{tmp_path}")
    monkeypatch.setenv("PATH", f"{tmp_path}:/nosuch")
    elf = Path(sys.executable).read_bytes()[:64]
    for name in ("libours.so.12", "libours.so.2.1", "tool", "libtool"):
        (tmp_path / name).write_bytes(elf)
    (tmp_path / "libours.so").write_text("/* GNU ld script */")
    (tmp_path / "our-script").write_text("#!/bin/sh\n")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("libours.so.2.1", "libours.so.2.1"),
        ("libours", "libours.so.12"),  # of several versions the one with the shortest name
        ("tool", "tool"),
        ("libtool", "libtool"),  # a program is not less of one for its name
    ],
)
def test_files_without_a_path_are_searched_for(folder: Path, name: str, file: str) -> None:
    assert find_file(request("uprobe/x:y"), name) == str(folder / file)


def test_paths_are_taken_as_they_are(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert find_file(request("uprobe/x:y"), "./tool") == str(folder / "tool")
    assert find_file(request("uprobe/x:y"), "/nosuch/tool") == "/nosuch/tool"


@pytest.mark.parametrize("name", ["libours.so", "our-script", "libnone", "none", "libnone.so.1"])
def test_files_that_are_not_there(folder: Path, name: str) -> None:
    with pytest.raises(Error) as caught:
        find_file(request("uprobe/x:y"), name)
    reason = f"there is no program or library '{name}': give its path"
    assert caught.value.message == f"can't attach program 'none' to uprobe/x:y: {reason}"


def test_the_c_library_is_found() -> None:
    assert os.path.basename(find_file(request("uprobe/x:y"), "libc")).startswith("libc.so.")


@pytest.mark.parametrize(
    ("section", "place"),
    [
        ("uprobe//bin/sh:main", ("/bin/sh", "main")),
        ("uprobe.multi.s//bin/sh:a*b?", ("/bin/sh", "a*b?")),
        ("uretprobe//bin/sh:open@@V1", ("/bin/sh", "open@@V1")),
        ("?uprobe//bin/sh:std::swap", ("/bin/sh", "std::swap")),
    ],
)
def test_file_and_function(section: str, place: tuple[str, str]) -> None:
    assert path_and_name(request(section.removeprefix("?"))) == place


@pytest.mark.parametrize("section", ["uprobe//bin/sh", "uprobe//bin/sh:", "uprobe/:main"])
def test_what_is_no_file_and_function(section: str) -> None:
    with pytest.raises(Error, match="is no file and function: it has to be FILE:FUNCTION"):
        path_and_name(request(section))
