"""prog attach and detach: sockets of a map, the flow dissector; beside the distribution's bpftool where it is there."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from bcctool.commands.prog_attach import change
from bcctool.errors import Error
from bcctool.loader.load import load

from ..conftest import BCCTOOL, Completed, Sandbox

Compile = Callable[..., Path]
PROGS, MAPS = "/sys/fs/bpf/p", "/sys/fs/bpf/m"
MAP = ("pinned", f"{MAPS}/socks")
OTHERS = {"bcctool": BCCTOOL, "bpftool": ("bpftool",)}


@pytest.fixture
def loaded(sandbox: Sandbox, compile_c: Compile) -> Sandbox:
    sandbox.bcctool("prog", "loadall", compile_c("prog_attach.c", "-g"), PROGS, "pinmaps", MAPS)
    return sandbox


def call(box: Sandbox, verb: str, prog: str, *words: str, status: int = 0, tool: str = "bcctool") -> Completed:
    return box.run(*OTHERS[tool], "-j", "prog", verb, "pinned", f"{PROGS}/{prog}", *words, status=status)


def connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        return client, server.accept()[0]


def test_a_message_goes_through_the_program_that_is_attached(compile_c: Compile) -> None:
    with load(str(compile_c("prog_attach.c", "-g"))) as found:
        prog, map_ = found.progs["msg"], found.maps["socks"]
        client, other = connected()
        with client, other:
            change(prog, "sk_msg_verdict", map_, attach=True)
            map_.update(bytes(4), client.fileno().to_bytes(4, "little"))
            for _ in range(3):
                client.sendall(b"x")
                other.recv(1)
            counted = next(data for name, data in found.maps.items() if name.endswith(".bss"))[0]["messages"]
            assert counted == 3
            change(prog, "sk_msg_verdict", map_, attach=False)
            with pytest.raises(Error, match=rf"failed prog detach from map {map_.id}: No such file"):
                change(prog, "sk_msg_verdict", map_, attach=False)


@pytest.mark.parametrize("undone_by", ["bcctool", "bpftool"])
@pytest.mark.parametrize(
    ("prog", "words"),
    [
        ("parser", ["stream_parser", *MAP]),
        ("parser", ["sk_skb_stream_parser", *MAP]),
        ("verdict", ["stream_v", *MAP]),
        ("msg", ["msg_verdict", *MAP]),
        ("msg", ["m", *MAP]),
        ("dissector", ["flow_dissector"]),
    ],
)
def test_what_is_attached_can_be_detached_once(loaded: Sandbox, prog: str, words: list[str], undone_by: str) -> None:
    if not shutil.which(undone_by) and undone_by != "bcctool":
        pytest.skip(f"{undone_by} is not installed")
    assert call(loaded, "attach", prog, *words).stdout == "null\n"
    if prog == "dissector":
        shown = json.loads(loaded.bcctool("-j", "net", "show").stdout)[0]["flow_dissector"]
        id = json.loads(loaded.bcctool("-j", "prog", "show", "pinned", f"{PROGS}/{prog}").stdout)["id"]
        assert shown == [{"id": id}]
    call(loaded, "detach", prog, *words, tool=undone_by)
    done = call(loaded, "detach", prog, *words, status=234)
    assert json.loads(done.stdout)["error"].startswith("failed prog detach from ")


@pytest.mark.parametrize(
    ("prog", "words", "status", "message"),
    [
        ("parser", ["nosuch", *MAP], 234, "invalid attach/detach type 'nosuch'"),
        ("parser", ["sk_skb_stream", *MAP], 234, "invalid attach/detach type 'sk_skb_stream'"),
        ("parser", [], 234, "'attach' needs at least 3 arguments, 2 found"),
        ("parser", ["stream_parser"], 234, "'stream_parser' needs at least 2 arguments"),
        ("parser", ["stream_parser", "pinned", "/nonexistent"], 255, "bpf obj get (/nonexistent): No such file"),
        ("parser", ["stream_parser", *MAP, "junk"], 255, "expected no more arguments, got: 'junk'"),
        ("dissector", ["stream_parser", *MAP], 234, "failed prog attach to map"),
        ("dissector", ["flow_dissector", "junk"], 255, "expected no more arguments, got: 'junk'"),
    ],
)
def test_what_is_refused_is_one_line(
    loaded: Sandbox, prog: str, words: list[str], status: int, message: str
) -> None:
    done = loaded.bcctool("prog", "attach", "pinned", f"{PROGS}/{prog}", *words, status=status)
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
