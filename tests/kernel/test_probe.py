"""kernel/probe.py and kernel/caps.py where the kernel answers: types that libbpf may not know, and nothing is kept."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bcctool.errors import Error
from bcctool.kernel import bpf, caps, libbpf, probe, uapi

VMLINUX = Path("/sys/kernel/btf/vmlinux")
NEWER = {"netfilter": probe.prog_type, "cgrp_storage": probe.map_type, "arena": probe.map_type}


@pytest.fixture(params=[True, False], ids=["libbpf", "ours"])
def libbpf_knows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once as it is, once with a libbpf that knows no type, so that we have to ask ourselves."""
    function = libbpf.function
    if not request.param:
        monkeypatch.setattr(libbpf, "function", lambda name: (lambda *_: -95) if "_probe_" in name else function(name))


@pytest.mark.usefixtures("libbpf_knows")
@pytest.mark.parametrize("name", NEWER)
def test_types_that_a_kernel_says_it_has(name: str) -> None:
    """By what its BTF names."""
    kind = "PROG" if NEWER[name] is probe.prog_type else "MAP"
    if f"BPF_{kind}_TYPE_{name.upper()}\0".encode() not in VMLINUX.read_bytes():
        pytest.skip(f"this kernel has no {name}")
    assert NEWER[name](name)


def test_a_type_that_no_kernel_has(monkeypatch: pytest.MonkeyPatch) -> None:
    for table, ask in (("PROG_TYPES", probe.prog_type), ("MAP_TYPES", probe.map_type)):
        monkeypatch.setattr(uapi, table, [*[f"type{number}" for number in range(1000)], "newest"])
        assert not ask("newest")


def test_every_list_of_helpers_is_a_choice() -> None:
    """A complaint about anything but the helper would make it all of them, or none."""
    for type in uapi.PROG_TYPES[1:]:
        if type not in probe.NEED_TARGET and probe.prog_type(type):
            assert 20 < len(probe.helpers(type)) < len(uapi.HELPERS) * 3 // 4, type


def test_features() -> None:
    assert probe.has_syscall()
    assert probe.feature("large_insn_limit")
    assert not probe.feature("bounded_loops", ifindex=1)


@pytest.mark.usefixtures("libbpf_knows")
def test_nothing_stays_open() -> None:
    def ask() -> None:
        for prog_type in ("xdp", "netfilter"):
            probe.prog_type(prog_type)
        for map_type in ("hash", "cgrp_storage", "arena"):
            probe.map_type(map_type)
        probe.feature("bounded_loops")
        list(probe.helpers_of(["xdp", "kprobe"]))

    ask()
    before = sorted(os.listdir("/proc/self/fd"))
    ask()
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_capabilities_come_back() -> None:
    names = [name for name in caps.effective(caps.NUMBERS) if caps.is_known(name)]
    assert "CAP_SYS_ADMIN" in names
    assert caps.effective(["CAP_NET_ADMIN"]) == ["CAP_NET_ADMIN"]

    def fail_in_between() -> None:
        with caps.Without(names):
            assert not caps.effective(caps.NUMBERS)
            with pytest.raises(PermissionError):
                next(bpf.ids(bpf.PROG))
            raise Error("in between")

    with pytest.raises(Error, match="in between"):
        fail_in_between()
    assert caps.effective(caps.NUMBERS) == names
    with caps.Without(["CAP_BPF"]):
        assert caps.effective(names) == [name for name in names if name != "CAP_BPF"]
