"""struct_ops register, unregister: what the machine offers afterwards, and what a refusal leaves of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from ..conftest import Sandbox
from ..congestion import LINKS, Controls, available, gone

Compile = Callable[..., Path]


def test_register_and_unregister(sandbox: Sandbox, compile_c: Compile) -> None:
    with Controls(sandbox, compile_c) as controls:
        done = sandbox.bcctool("struct_ops", "register", controls.obj)
        id = controls.id(controls.table)
        assert (done.stdout, done.stderr) == ("", f"Registered tcp_congestion_ops {controls.table} id {id}\n")
        assert controls.table in available()
        done = sandbox.bcctool("struct_ops", "unregister", "id", str(id))
        assert (done.stdout, done.stderr) == ("", f"Unregistered tcp_congestion_ops {controls.table} id {id}\n")
        assert gone(controls.table)


def test_json_has_null_and_no_notices(sandbox: Sandbox, compile_c: Compile) -> None:
    with Controls(sandbox, compile_c) as controls:
        for words in (("register", controls.obj), ("unregister", "name", controls.table)):
            done = sandbox.bcctool("-j", "struct_ops", *words)
            assert (done.stdout, done.stderr) == ("null\n", "")


def test_links_are_pinned_and_keep_the_map_in_use(sandbox: Sandbox, compile_c: Compile) -> None:
    with Controls(sandbox, compile_c, linked=True) as controls:
        done = sandbox.bcctool("struct_ops", "register", controls.obj, LINKS)
        assert {controls.table, controls.linked} <= set(available())
        assert sandbox.run("ls", LINKS).stdout.split() == [controls.linked]
        id = controls.id(controls.linked)
        start = f"Registered tcp_congestion_ops {controls.linked} map id {id} link id "
        link = next(line for line in done.stderr.splitlines() if line.startswith(start)).removeprefix(start)
        refused = sandbox.bcctool("struct_ops", "unregister", "id", str(id), status=255)
        assert refused.stderr == (
            f"Error: can't unload tcp_congestion_ops {controls.linked} id {id}: Operation not supported: "
            f"it is in use by link {link}, detach that\n"
        )
        assert controls.linked in available()
        sandbox.run("rm", f"{LINKS}/{controls.linked}")
        assert gone(controls.linked)


def test_what_needs_a_link_is_not_lost_silently(sandbox: Sandbox, compile_c: Compile) -> None:
    with Controls(sandbox, compile_c, linked=True) as controls:
        done = sandbox.bcctool("struct_ops", "register", controls.obj, status=255)
        assert f"struct_ops map '{controls.linked}' is in use only as long as its link is" in done.stderr
        assert not {controls.table, controls.linked} & set(available())


def test_a_second_one_of_the_same_name_is_refused(sandbox: Sandbox, compile_c: Compile) -> None:
    """All that the second object has is taken back, what the first has stays."""
    with Controls(sandbox, compile_c, linked=True) as controls:
        sandbox.bcctool("struct_ops", "register", controls.obj, LINKS)
        id = controls.id(controls.table)
        done = sandbox.bcctool("-j", "struct_ops", "register", controls.obj, f"{LINKS}/again", status=255)
        message = f"struct_ops map '{controls.table}': struct tcp_congestion_ops is refused: File exists"
        assert json.loads(done.stdout) == {"error": message}
        assert controls.id(controls.table) == id
        sandbox.run("test", "!", "-e", f"{LINKS}/again")


def test_a_pin_that_is_taken_takes_all_back(sandbox: Sandbox, compile_c: Compile) -> None:
    with Controls(sandbox, compile_c, linked=True) as controls:
        sandbox.run("mkdir", LINKS)
        words = ("type", "array", "key", "4", "value", "4", "entries", "1", "name", "other")
        sandbox.bcctool("map", "create", f"{LINKS}/{controls.linked}", *words)
        done = sandbox.bcctool("struct_ops", "register", controls.obj, LINKS, status=None)
        assert done.returncode
        assert len(done.stderr.splitlines()) == 1
        assert gone(controls.table)
        assert gone(controls.linked)


def test_what_is_not_registered_can_not_be_unregistered(sandbox: Sandbox, compile_c: Compile) -> None:
    with Controls(sandbox, compile_c, linked=True) as controls:
        sandbox.bcctool("prog", "loadall", controls.obj, "/sys/fs/bpf/progs", "pinmaps", "/sys/fs/bpf/maps")
        done = sandbox.bcctool("struct_ops", "unregister", "name", controls.table, status=255)
        assert done.stderr.endswith(": No such file or directory: it is not registered\n")
        done = sandbox.bcctool("struct_ops", "unregister", "name", controls.linked, status=255)
        assert done.stderr.endswith("it is in use by links only, and there is none\n")
        state = json.loads(sandbox.bcctool("-j", "struct_ops", "dump", "name", controls.table).stdout)
        assert state[1]["bpf_struct_ops_tcp_congestion_ops"]["common"]["state"] == "BPF_STRUCT_OPS_STATE_INIT"


def test_objects_without_struct_ops(sandbox: Sandbox, compile_c: Compile) -> None:
    obj = compile_c("iter_pin.c", "-g")
    done = sandbox.bcctool("struct_ops", "register", obj, status=255)
    assert done.stderr == f"Error: no struct_ops found in {obj}\n"
    done = sandbox.bcctool("struct_ops", "register", "/nonexistent", status=255)
    assert done.stderr == "Error: /nonexistent: No such file or directory\n"
