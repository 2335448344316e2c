"""The library: `from bcctool import Prog, Map, Btf, ObjectFile, load` over the live kernel."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import bcctool
from bcctool import Btf, Error, Map, ObjectFile, Prog, load

Compile = Callable[..., Path]


def test_names_are_imported_on_first_use() -> None:
    assert sorted(bcctool.__all__) == [
        "BPF", "Btf", "Error", "Map", "NotSupported", "ObjectFile", "Prog", "load", "table",
    ]  # fmt: skip
    for name in bcctool.__all__:
        assert getattr(bcctool, name)
    with pytest.raises(AttributeError):
        bcctool.nosuch  # noqa: B018


def test_an_object_becomes_programs_maps_and_types(compile_c: Compile) -> None:
    before = len(os.listdir("/proc/self/fd"))
    path = str(compile_c("prog_rich.c", "-g"))
    assert [map_.name for map_ in ObjectFile(path).maps][:2] == ["counts", "keys"]
    with load(path) as loaded:
        prog = loaded.progs["very_long_program_name"]
        assert any(other.id == prog.id for other in Prog.all())
        counts = loaded.maps["counts"]
        counts[{"a": 1, "b": 2, "c": "x"}] = 7
        with Map.from_id(counts.id) as again:
            assert list(again.items()) == [({"a": 1, "b": 2, "c": "x"}, 7)]
            del again[{"a": 1, "b": 2, "c": "x"}]
            assert len(again) == 0
            with pytest.raises(KeyError):
                again[{"a": 1, "b": 2, "c": "x"}]
        with Btf.from_id(prog.info.btf_id) as btf:
            assert btf.reader().find("key") is not None
            assert not btf.kernel
    assert len(os.listdir("/proc/self/fd")) == before


def test_missing_objects_are_errors() -> None:
    for kind, message in ((Prog, "get by id"), (Map, "get map by id"), (Btf, "can't get BTF object by id")):
        with pytest.raises(Error, match=rf"{message} \(4294967295\): No such file or directory"):
            kind.from_id(4294967295)


def test_all_closes_what_is_dropped(compile_c: Compile) -> None:
    with load(str(compile_c("prog_types.c"))):
        before = len(os.listdir("/proc/self/fd"))
        assert sum(1 for _ in Prog.all()) >= 19
        assert len(os.listdir("/proc/self/fd")) == before
