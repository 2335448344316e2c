"""`prog run`: each type that takes test runs, what goes in and comes out, and what the kernel refuses."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bcctool.errors import Error
from bcctool.loader.load import load

from ..conftest import Sandbox, no_bpf

Compile = Callable[..., Path]
PACKET = bytes(range(32))
MARK = 8  # offset of mark in struct __sk_buff


@pytest.fixture(scope="module")
def box(compile_c: Compile) -> Iterator[Sandbox]:
    """A sandbox with the programs pinned by name."""
    if reason := no_bpf():
        pytest.skip(reason)
    box = Sandbox()
    box.bcctool("prog", "loadall", compile_c("run_types.c", "-g"), "/sys/fs/bpf/r")
    yield box
    box.close()


@pytest.fixture
def packet(tmp_path: Path) -> Path:
    path = tmp_path / "packet"
    path.write_bytes(PACKET)
    return path


def words(name: str, *more: object) -> list[str]:
    return ["prog", "run", "pinned", f"/sys/fs/bpf/r/{name}", *map(str, more)]


def run(box: Sandbox, name: str, *more: object) -> dict[str, object]:
    """The JSON of a run, its duration checked and left out."""
    record: dict[str, object] = json.loads(box.bcctool("-j", *words(name, *more)).stdout)
    assert isinstance(record.pop("duration"), int)
    return record


def test_data_that_the_program_changes(box: Sandbox, packet: Path) -> None:
    assert run(box, "r_xdp", "data_in", packet, "data_out", "-") == {"data_out": [1, *PACKET[1:]], "retval": 2}
    assert run(box, "r_xdp", "data_in", packet, "data_out", "-", "repeat", 4)["data_out"] == [4, *PACKET[1:]]


def test_context_in_and_out(box: Sandbox, packet: Path, tmp_path: Path) -> None:
    skb = bytearray(192)
    struct.pack_into("I", skb, MARK, 41)
    (tmp_path / "ctx").write_bytes(skb)
    files = "data_in", packet, "ctx_in", tmp_path / "ctx", "ctx_out", tmp_path / "after"
    assert run(box, "r_tc", *files) == {"retval": 32}
    assert struct.unpack_from("I", (tmp_path / "after").read_bytes(), MARK) == (42,)


def test_each_type(box: Sandbox, packet: Path, tmp_path: Path) -> None:
    """Programs that run on a context alone take no repetitions, so that none are asked for."""
    assert run(box, "r_socket", "data_in", packet) == {"retval": 7}
    (tmp_path / "args").write_bytes(struct.pack("QQ", 3, 4))
    assert run(box, "r_raw_tp", "ctx_in", tmp_path / "args") == {"retval": 7}
    (tmp_path / "input").write_bytes(struct.pack("ii", 21, 0))
    after = [*struct.pack("ii", 21, 42)]
    assert run(box, "r_syscall", "ctx_in", tmp_path / "input", "ctx_out", "-") == {"ctx_out": after, "retval": 21}


LOOKUP = struct.pack("=QII", 0, 2, 6).ljust(72, b"\0")  # struct bpf_sk_lookup: AF_INET, IPPROTO_TCP
RUNNABLE = {
    "socket_filter": (PACKET, b""), "classifier": (PACKET, b""), "action": (PACKET, b""), "xdp": (PACKET, b""),
    "cgroup_skb": (PACKET, b""), "lwt_in": (PACKET, b""), "flow_dissector": (PACKET, b""),
    "raw_tracepoint": (b"", bytes(8)), "sk_lookup": (b"", LOOKUP), "syscall": (b"", bytes(8)),
}  # fmt: skip
RETURNED = {"xdp": 1, "cgroup_skb": 1, "sk_lookup": 1}


def test_every_type_that_the_kernel_can_run(compile_c: Compile) -> None:
    with load(str(compile_c("prog_types.c", "-g"))) as loaded:
        for name, prog in loaded.progs.items():
            data, ctx = RUNNABLE.get(name.removeprefix("p_"), (PACKET, b""))
            if name.removeprefix("p_") in RUNNABLE:
                assert prog.test_run(data, ctx).retval == RETURNED.get(name.removeprefix("p_"), 0), name
            else:
                with pytest.raises(Error) as caught:
                    prog.test_run(data)
                assert caught.value.status == 244, name  # ENOTSUPP


def test_standard_streams_and_files(box: Sandbox, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = box.bcctool(*words("r_xdp", "data_in", "-", "data_out", out), input=PACKET.decode())
    assert done.stdout.startswith("Return value: 2, duration: ")
    assert out.read_bytes() == bytes([1, *PACKET[1:]])


REFUSED = [
    ("r_tracepoint data_in PACKET", 244,
     "failed to run program: this kernel can't test-run programs of type tracepoint"),
    ("r_xdp repeat 3", 234, "failed to run program: Invalid argument"),
    ("r_xdp data_in BIG", 244, "failed to run program: Cannot allocate memory"),
    ("r_xdp data_in PACKET data_size_out 8", 228, "failed to run program: No space left on device"),
    ("r_xdp data_in PACKET data_size_out 4000000000", 255, "output data size 4000000000 is out of range: 0..16777216"),
    ("r_xdp data_in PACKET repeat many", 255, "can't parse many as repeat number"),
    ("r_xdp data_in /nosuch", 255, "failed to open /nosuch: No such file or directory"),
    ("r_xdp data_in PACKET data_out /nosuch/out", 255, "failed to open /nosuch/out: No such file or directory"),
    ("r_xdp data_in - ctx_in -", 255, "cannot use standard input for both data_in and ctx_in"),
    ("r_xdp d PACKET", 255, "ambiguous prefix: 'd' could be 'data_in' or 'data_out' or 'data_size_out'"),
    ("r_xdp data_in PACKET data_out", 255, "'data_out' needs at least 1 arguments, 0 found"),
    ("r_xdp", 255, "'run' needs at least 4 arguments, 2 found"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "status", "message"), REFUSED)
def test_refusals(box: Sandbox, packet: Path, tmp_path: Path, command: str, status: int, message: str) -> None:
    big = tmp_path / "big"
    big.write_bytes(bytes(100_000))
    name, *more = command.replace("PACKET", str(packet)).replace("BIG", str(big)).split()
    done = box.bcctool(*words(name, *more), status=status)
    assert (done.stdout, done.stderr) == ("", f"Error: {message}\n")
    assert json.loads(box.bcctool("-j", *words(name, *more), status=status).stdout) == {"error": message}


def test_repeat_0_runs_once(box: Sandbox, packet: Path) -> None:
    assert run(box, "r_xdp", "data_in", packet, "repeat", 0, "data_out", "-")["data_out"] == [1, *PACKET[1:]]


def test_from_python(compile_c: Compile) -> None:
    with load(str(compile_c("run_types.c", "-g"))) as loaded:
        done = loaded.progs["r_xdp"].test_run(PACKET, repeat=2)
        assert (done.data, done.ctx, done.retval) == (bytes([2, *PACKET[1:]]), b"", 2)
        with pytest.raises(Error, match="No space left"):
            loaded.progs["r_xdp"].test_run(PACKET, data_room=1)
