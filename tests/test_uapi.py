"""kernel/uapi.py against the running kernel. The ABI is append-only: an older kernel knows a prefix of each struct."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bcctool.btf import kinds
from bcctool.btf.reader import Btf
from bcctool.kernel import uapi

VMLINUX = Path("/sys/kernel/btf/vmlinux")
SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "gen_uapi"

pytestmark = pytest.mark.skipif(not VMLINUX.exists(), reason="this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)")

Place = tuple[int, int]  # bit offset in the struct, bits


def load(source: Path, name: str) -> ModuleType:
    """A Python file as a module, whatever its name ends in."""
    spec = spec_from_loader(name, SourceFileLoader(name, str(source)))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def btf() -> Btf:
    return Btf(VMLINUX.read_bytes(), where=str(VMLINUX))


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    return load(SCRIPT, "gen_uapi")


@pytest.fixture(scope="module")
def regenerated(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """What the script writes for the running kernel."""
    path = tmp_path_factory.mktemp("uapi") / "uapi.py"
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, check=True, timeout=60)
    path.write_bytes(done.stdout)
    return load(path, "regenerated")


def class_fields(cls: type[Any], base: int = 0, prefix: str = "") -> Iterator[tuple[str, Place]]:
    """(dotted name, place) of the leaves of a ctypes struct, anonymous members merged into their parent."""
    anonymous = getattr(cls, "_anonymous_", ())
    for name, type_, *_ in cls._fields_:
        descriptor = getattr(cls, name)
        bits, shift = descriptor.size >> 16, descriptor.size & 0xFFFF
        start = base + descriptor.offset * 8 + (shift if bits else 0)
        if issubclass(type_, ctypes.Structure | ctypes.Union):
            yield from class_fields(type_, start, prefix if name in anonymous else f"{prefix}{name}.")
        else:
            yield prefix + name, (start, bits or descriptor.size * 8)


def kernel_fields(btf: Btf, type_id: int, base: int = 0, prefix: str = "") -> Iterator[tuple[str, Place]]:
    """The same of a struct in BTF."""
    for member in btf.type(btf.resolve(type_id)).entries:
        inner = btf.resolve(member.type_id)
        start = base + member.bit_offset
        if btf.kind(inner) in (kinds.STRUCT, kinds.UNION):
            yield from kernel_fields(btf, inner, start, f"{prefix}{member.name}." if member.name else prefix)
        elif member.name:
            yield prefix + member.name, (start, member.bitfield_size or btf.size_of(inner) * 8)


def described(btf: Btf, generator: ModuleType) -> Iterator[tuple[str, int]]:
    """(class, id of its type in BTF) of everything that the generator's tables name and this kernel has."""
    for struct, name in generator.STRUCTS.items():
        type_id = btf.find(struct, kinds.STRUCT)
        if type_id:
            yield name, type_id
    for type_id, name in generator.wanted_attrs(btf):
        yield name, type_id


def mismatches(cls: type[Any], btf: Btf, type_id: int) -> list[str]:
    """What differs, field by field. What one side lacks is a difference only where the sizes say that none should."""
    ours, kernel = dict(class_fields(cls)), dict(kernel_fields(btf, type_id))
    shared = sorted(ours.keys() & kernel.keys())
    found = [f"{name}: {ours[name]}, kernel {kernel[name]}" for name in shared if ours[name] != kernel[name]]
    if ctypes.sizeof(cls) == btf.size_of(type_id):
        found += [f"{name} is unknown to the kernel" for name in sorted(ours.keys() - kernel.keys())]
    return found


def test_structs_are_the_kernels(btf: Btf, generator: ModuleType) -> None:
    names = {name for name, _ in described(btf, generator)}
    assert set(generator.STRUCTS.values()) <= names
    found = {name: mismatches(getattr(uapi, name), btf, type_id) for name, type_id in described(btf, generator)}
    assert not {name: differences for name, differences in found.items() if differences}


def test_a_wrong_field_is_found(btf: Btf) -> None:
    class btf_info(ctypes.Structure):
        _fields_ = (("btf", ctypes.c_uint64), ("id", ctypes.c_uint32), ("btf_size", ctypes.c_uint32))

    type_id = btf.find("bpf_btf_info", kinds.STRUCT)
    assert type_id is not None
    found = mismatches(btf_info, btf, type_id)
    assert found == ["btf_size: (96, 32), kernel (64, 32)", "id: (64, 32), kernel (96, 32)"]


def test_an_invented_field_is_found(btf: Btf) -> None:
    class bpf_btf_info(ctypes.Structure):
        _fields_ = (*uapi.btf_info._fields_[:-1], ("colour", ctypes.c_uint32))

    type_id = btf.find("bpf_btf_info", kinds.STRUCT)
    assert type_id is not None
    assert mismatches(bpf_btf_info, btf, type_id) == ["colour is unknown to the kernel"]


def test_the_script_writes_the_same_tables(regenerated: ModuleType, generator: ModuleType) -> None:
    for name, _ in generator.TABLES.values():
        ours, kernel = getattr(uapi, name), getattr(regenerated, name)
        shared = min(len(ours), len(kernel))
        assert shared > 3
        assert ours[:shared] == kernel[:shared], name


def test_the_script_writes_the_same_numbers(regenerated: ModuleType) -> None:
    def numbers(module: ModuleType) -> dict[str, int]:
        return {name: value for name, value in vars(module).items() if name.startswith("BPF_")}

    ours, kernel = numbers(uapi), numbers(regenerated)
    assert len(ours.keys() & kernel.keys()) > 40
    assert {name for name in ours.keys() & kernel.keys() if ours[name] != kernel[name]} == set()


def test_the_script_writes_the_same_classes(regenerated: ModuleType, generator: ModuleType) -> None:
    for name in (*generator.STRUCTS.values(), *generator.ATTRS.values()):
        if not hasattr(regenerated, name):
            continue  # a command that came after this kernel
        ours, kernel = dict(class_fields(getattr(uapi, name))), dict(class_fields(getattr(regenerated, name)))
        assert {field: ours[field] for field in ours.keys() & kernel.keys()} == {
            field: kernel[field] for field in ours.keys() & kernel.keys()
        }, name


def test_the_script_says_what_is_wrong_with_its_input(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, SCRIPT, os.devnull], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode
    assert os.devnull in done.stderr
