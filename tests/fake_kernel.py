"""An in-memory kernel behind the doors of kernel/bpf.py: list, open and describe objects without root."""

from __future__ import annotations

import ctypes
import errno
import io
import os
from collections.abc import Iterator

import pytest

from bcctool.cli import Session
from bcctool.kernel import bpf, uapi
from bcctool.objects import handle, owners, pins
from bcctool.output import Output
from bcctool.verbs import Options

INFOS: dict[str, type[ctypes.Structure]] = {
    bpf.PROG: uapi.prog_info,
    bpf.MAP: uapi.map_info,
    bpf.BTF: uapi.btf_info,
    bpf.LINK: uapi.link_info,
}


class FakeKernel:
    """Objects are info structs by kind and id; descriptors are those of /dev/null, so that leaks can be counted."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[int, ctypes.Structure]] = {kind: {} for kind in INFOS}
        self.pins: dict[str, tuple[str, int]] = {}
        self.arrays: dict[tuple[int, str], bytes] = {}
        self.open: dict[int, tuple[str, int]] = {}
        self.error = 0  # errno of every call, 0 for none
        self.vanished: set[int] = set()  # ids that are listed but can't be opened

    def add(self, kind: str, id: int, **fields: object) -> None:
        """Add an object; `fields` of its info struct, `map_ids` of a program as bytes."""
        map_ids = fields.pop("map_ids", b"")
        assert isinstance(map_ids, bytes)
        self.arrays[id, "map_ids"] = map_ids
        if map_ids:
            fields["nr_map_ids"] = len(map_ids) // 4
        self.objects[kind][id] = INFOS[kind](id=id, **fields)

    def fail(self) -> None:
        if self.error:
            raise OSError(self.error, os.strerror(self.error))

    def ids(self, kind: str) -> Iterator[int]:
        self.fail()
        yield from sorted(self.objects[kind])

    def fd_by_id(self, kind: str, id: int, flags: int = 0) -> int:
        self.fail()
        if id not in self.objects[kind] or id in self.vanished:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        return self._open(kind, id)

    def obj_get(self, path: str, flags: int = 0) -> int:
        self.fail()
        if path not in self.pins:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        return self._open(*self.pins[path])

    def _open(self, kind: str, id: int) -> int:
        fd = os.open(os.devnull, os.O_RDONLY)
        self.open[fd] = kind, id
        return fd

    def fill_info(self, fd: int, info: ctypes.Structure) -> None:
        kind, id = self.open[fd]
        requested = {name: getattr(info, name) for name in ("map_ids",) if hasattr(info, name)}
        source = self.objects[kind][id]
        ctypes.memmove(ctypes.addressof(info), ctypes.addressof(source), ctypes.sizeof(source))
        for name, address in requested.items():
            if address:
                data = self.arrays[id, name]
                ctypes.memmove(address, data, len(data))
                setattr(info, name, address)


@pytest.fixture
def fake_kernel(monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    """The fake kernel in the place of the real one, with nothing pinned and nobody holding anything."""
    kernel = FakeKernel()
    for door in ("ids", "fd_by_id", "obj_get", "fill_info"):
        monkeypatch.setattr(bpf, door, getattr(kernel, door))
    monkeypatch.setattr(handle, "kind_of", lambda fd: kernel.open[fd][0])
    monkeypatch.setattr(pins, "kind_of", lambda fd: kernel.open[fd][0])
    monkeypatch.setattr(owners, "owners", lambda kind: {})
    return kernel


def written(family: str, words: str, **options: bool) -> tuple[str, int]:
    """What `FAMILY WORDS` writes to stdout with these options set, and its status."""
    chosen = Options()
    for name, value in options.items():
        setattr(chosen, name, value)
    stream = io.BytesIO()
    out = Output(chosen.style, stream)
    status = Session(chosen, out).execute([family, *words.split()])
    out.flush()
    return stream.getvalue().decode(), status
