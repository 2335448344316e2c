"""struct_ops on the running kernel: a congestion control made of programs, on sockets of this machine."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bcctool.errors import Error
from bcctool.kernel import bpf, uapi
from bcctool.loader.kernel_types import KernelTypes
from bcctool.loader.load import Loaded, load
from bcctool.loader.struct_ops import fill, register
from bcctool.objects.map import Map

from ..conftest import Sandbox

Compile = Callable[..., Path]
SYSCTL = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")
STRUCT_OPS = uapi.ATTACH_TYPES.index("struct_ops")
TRANSFER = """
import socket, sys
with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, sys.argv[1].encode())
    client.connect(server.getsockname())
    other = server.accept()[0]
    for _ in range(5):
        client.sendall(b"x" * 1000)
        other.recv(1000, socket.MSG_WAITALL)
    other.close()
"""


@pytest.fixture(autouse=True)
def known() -> None:
    with KernelTypes() as kernel:
        if kernel.find("bpf_struct_ops_tcp_congestion_ops", 4) is None:
            pytest.skip("this kernel takes no congestion control from BPF")


def available() -> list[str]:
    return SYSCTL.read_text().split()


@contextlib.contextmanager
def loaded(path: Path) -> Iterator[Loaded]:
    """A loaded object; what it has registered is taken out again."""
    with load(str(path)) as found:
        try:
            yield found
        finally:
            with contextlib.suppress(Error):
                found.maps["counting"].delete(bytes(4))


def counts(found: Loaded) -> tuple[int, ...]:
    """How often programs were called: at the start of a connection, at its end, for what came between."""
    bss = next(map_ for name, map_ in found.maps.items() if name.endswith(".bss"))
    values = bss[0]
    return values["starts"], values["ends"], values["calls"]


def test_a_registered_map_is_in_use(sandbox: Sandbox, compile_c: Compile) -> None:
    with loaded(compile_c("struct_ops_tcp.c", "-g")) as found:
        map_ = found.maps["counting"]
        assert "bcctool_count" not in available()
        register(map_, found.struct_ops["counting"])
        assert "bcctool_count" in available()
        sandbox.run(sys.executable, "-c", TRANSFER, "bcctool_count")
        starts, ends, calls = counts(found)
        assert (starts, ends) == (1, 1)
        assert calls >= 1
        value = map_.lookup(bytes(4))
        assert value is not None
        assert b"bcctool_count\0" in value
        map_.delete(bytes(4))
        assert "bcctool_count" not in available()


def test_a_map_with_a_link_is_in_use_as_long_as_the_link(sandbox: Sandbox, compile_c: Compile) -> None:
    with loaded(compile_c("struct_ops_tcp.c", "-g")) as found:
        map_ = found.maps["linked"]
        register(map_, found.struct_ops["linked"])
        assert "bcctool_link" not in available()
        link = bpf.bpf(uapi.BPF_LINK_CREATE, uapi.attr_link_create(map_fd=map_.fd, attach_type=STRUCT_OPS))
        try:
            assert "bcctool_link" in available()
            sandbox.run(sys.executable, "-c", TRANSFER, "bcctool_link")
            assert counts(found)[:2] == (0, 0)  # this one has neither function
            assert counts(found)[2] >= 1
        finally:
            os.close(link)
        assert "bcctool_link" not in available()


def test_the_kernel_shows_what_it_got(compile_c: Compile) -> None:
    with loaded(compile_c("struct_ops_tcp.c", "-g", "-DNEEDS_ECN")) as found:
        map_, plan = found.maps["counting"], found.struct_ops["counting"]
        assert (map_.type, map_.info.map_flags) == ("struct_ops", 0)
        assert map_.info.btf_vmlinux_value_type_id == plan.value_type_id
        assert map_.info.value_size == len(plan.value)
        assert found.maps["linked"].info.map_flags == uapi.BPF_F_LINK
        register(map_, plan)
        data = map_[0]["data"]
        assert data["name"] == "bcctool_count"
        assert data["flags"] == 2
        assert bool(data["ssthresh"])
        assert not data["pkts_acked"]


def test_what_the_kernel_refuses_is_said(compile_c: Compile) -> None:
    """Without a name there is no congestion control."""
    with loaded(compile_c("struct_ops_tcp.c", "-g")) as found:
        plan = found.struct_ops["counting"]
        name = next(member for member in plan.members if member.name == "name")
        plan.value[name.kernel_offset : name.kernel_offset + name.kernel_size] = bytes(name.kernel_size)
        with pytest.raises(Error, match=r"^struct_ops map 'counting': struct tcp_congestion_ops is refused: Invalid"):
            register(found.maps["counting"], plan)


def test_a_map_of_another_size_is_refused(compile_c: Compile) -> None:
    with loaded(compile_c("struct_ops_tcp.c", "-g")) as found, Map.create("array", 4, 8, 1) as other:
        with pytest.raises(Error, match="has values of 8 bytes, struct tcp_congestion_ops takes"):
            fill(other, found.struct_ops["counting"], found.progs)
        with pytest.raises(Error, match="map 'counting': member 'ssthresh': program 'threshold' is not loaded"):
            fill(found.maps["counting"], found.struct_ops["counting"], {})


def test_autoattach_registers_and_pins_links(sandbox: Sandbox, compile_c: Compile) -> None:
    """What is registered without a link stays, as no pin could stand for it; what has one goes with it."""
    obj, directory = compile_c("struct_ops_tcp.c", "-g"), "/sys/fs/bpf/tcp"
    try:
        done = sandbox.bcctool("prog", "loadall", obj, directory, "pinmaps", f"{directory}/maps", "autoattach")
        assert (done.stdout, done.stderr) == ("", "")
        assert {"bcctool_count", "bcctool_link"} <= set(available())
        assert "linked" in sandbox.run("ls", directory).stdout.split()
        sandbox.run("rm", f"{directory}/linked")
        assert wait_until_gone("bcctool_link")
    finally:
        sandbox.bcctool("map", "delete", "pinned", f"{directory}/maps/counting", "key", *"0000", status=None)
    assert wait_until_gone("bcctool_count")


def test_a_load_that_fails_takes_back_what_it_registered(sandbox: Sandbox, compile_c: Compile) -> None:
    obj, directory = compile_c("struct_ops_tcp.c", "-g"), "/sys/fs/bpf/tcp"
    sandbox.run("mkdir", directory)
    words = ("type", "array", "key", "4", "value", "4", "entries", "1", "name", "other")
    sandbox.bcctool("map", "create", f"{directory}/linked", *words)
    done = sandbox.bcctool("prog", "loadall", obj, directory, "autoattach", status=None)
    assert done.returncode
    assert "linked" in done.stderr
    assert sandbox.run("ls", directory).stdout.split() == ["linked"]
    assert wait_until_gone("bcctool_count")
    assert wait_until_gone("bcctool_link")


def wait_until_gone(name: str) -> bool:
    """The kernel takes a moment to let a congestion control go."""
    for _ in range(40):
        if name not in available():
            return True
        time.sleep(0.05)
    return False
