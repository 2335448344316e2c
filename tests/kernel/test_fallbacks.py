"""Fallbacks on the running kernel: it takes what is rewritten for older ones, and is asked rather than guessed at."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bcctool.elf.datasec import fixed_btf
from bcctool.elf.object import ObjectFile
from bcctool.kernel import libbpf
from bcctool.loader.fallbacks import BTF_FEATURES, FEATURES, sanitized_btf, takes

from ..test_loader_fallbacks import REFUSED, REFUSED_IDS, everything

Compile = Callable[..., Path]


def accepted(data: bytes) -> bool:
    try:
        os.close(libbpf.call("bpf_btf_load", data, len(data), None))
    except OSError:
        return False
    return True


@pytest.mark.parametrize("refused", REFUSED, ids=REFUSED_IDS)
def test_rewritten_types_are_taken(refused: frozenset[str]) -> None:
    data = sanitized_btf(everything(), lambda feature: feature not in refused and takes(feature))
    assert accepted(data)


@pytest.mark.parametrize("source", ["prog_rich.c", "elf_externs.c", "elf_maps.c", "btf_values.c"])
@pytest.mark.parametrize("refused", REFUSED, ids=REFUSED_IDS)
def test_rewritten_objects_are_taken(compile_c: Compile, source: str, refused: frozenset[str]) -> None:
    data = fixed_btf(ObjectFile(str(compile_c(source, "-g"))).elf)
    assert data is not None
    assert accepted(sanitized_btf(data, lambda feature: feature not in refused and takes(feature)))


def test_the_answers_agree_with_what_the_kernel_does() -> None:
    for feature, blob in BTF_FEATURES.items():
        assert takes(feature) == accepted(blob), feature
    for features in (BTF_FEATURES, FEATURES):
        answers = [takes(feature) for feature in features]
        assert answers == sorted(answers, reverse=True), "an older feature is there wherever a newer one is"
