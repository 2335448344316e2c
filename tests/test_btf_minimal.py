"""gen min_core_btf: what stays of a kernel's types, and that relocations come to the same with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bcctool.btf.core import Relocator
from bcctool.btf.core_spec import TYPE_ID_TARGET
from bcctool.btf.ext import CoreRelo
from bcctool.btf.minimal import minimal
from bcctool.btf.reader import Btf
from bcctool.btf.validate import validate
from bcctool.elf.object import ObjectFile
from bcctool.errors import Error

Compile = Callable[..., Path]
TARGETS = ("bpf", "bpfeb")


class Reduced:
    """core_target.c's types, reduced to what core_local.c needs."""

    def __init__(self, compile_c: Compile, target: str) -> None:
        obj = ObjectFile(str(compile_c("core_local.c", "-g", target=target)))
        full = ObjectFile(str(compile_c("core_target.c", "-g", target=target))).btf
        assert obj.btf is not None
        assert obj.btf_ext is not None
        assert full is not None
        self.local, self.full = obj.btf, full
        self.relos = [relo for section in obj.btf_ext.sections() for relo in obj.btf_ext.core_relos(section)]
        self.data = minimal(full, [(self.local, self.relos)])
        self.types = Btf(self.data)
        validate(self.types)

    def members(self, name: str) -> list[str]:
        return [member.name for member in self.types.type(self.types.find(name) or 0).entries]


@pytest.mark.parametrize("target", TARGETS)
def test_each_relocation_comes_to_the_same(compile_c: Compile, target: str) -> None:
    reduced = Reduced(compile_c, target)
    before = Relocator(reduced.local, [lambda: [reduced.full]])
    after = Relocator(reduced.local, [lambda: [reduced.types]])
    assert len(reduced.relos) > 30
    for relo in reduced.relos:
        if relo.kind == TYPE_ID_TARGET:
            continue  # ids change
        one, other = before.resolve(relo), after.resolve(relo)
        assert (one.target.number, one.resizable) == (other.target.number, other.resizable), one.what


@pytest.mark.parametrize("target", TARGETS)
def test_only_what_is_accessed_stays(compile_c: Compile, target: str) -> None:
    reduced = Reduced(compile_c, target)
    assert reduced.types.byteorder == reduced.full.byteorder
    assert reduced.members("inner") == ["b"]
    assert "pad" not in reduced.members("moved")
    assert {"first", "wide", "list", "", "tail"} <= set(reduced.members("moved"))
    sizes = [types.size_of(types.find("moved") or 0) for types in (reduced.full, reduced.types)]
    assert sizes[0] == sizes[1]
    assert reduced.types.find("twice") is None
    assert len(reduced.data) < len(reduced.full.data) * 2 / 3
    assert minimal(reduced.types, [(reduced.local, reduced.relos)]) == reduced.data


def test_nothing_needs_nothing(compile_c: Compile) -> None:
    full = ObjectFile(str(compile_c("core_target.c", "-g"))).btf
    assert full is not None
    assert Btf(minimal(full, [])).nr_types == 1


def test_a_relocation_without_sense_is_refused(compile_c: Compile) -> None:
    full = ObjectFile(str(compile_c("core_target.c", "-g"))).btf
    assert full is not None
    with pytest.raises(Error, match="no list of indexes"):
        minimal(full, [(full, [CoreRelo(0, 1, "0:", 0)])])
