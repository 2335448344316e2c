"""Loading object files into the live kernel: what arrives there, and that what fails leaves nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bcctool.errors import Error
from bcctool.loader.linker import link
from bcctool.loader.load import load
from bcctool.objects.map import Map
from bcctool.objects.prog import Prog

from ..conftest import BCCTOOL, NOBODY, ROOT, Sandbox

Compile = Callable[..., Path]
PIN = "/sys/fs/bpf/prog"


def test_a_legacy_object_loads_without_a_flag(sandbox: Sandbox, compile_c: Compile) -> None:
    done = sandbox.bcctool("prog", "load", compile_c("prog_legacy.c"), PIN)
    assert (done.stdout, done.stderr) == ("", "")
    record = json.loads(sandbox.bcctool("-jf", "prog", "show", "pinned", PIN).stdout)
    assert (record["type"], record["name"], record["pinned"]) == ("xdp", "counter", [PIN])
    maps = [json.loads(sandbox.bcctool("-j", "map", "show", "id", str(id)).stdout) for id in record["map_ids"]]
    shown = {map_["name"]: (map_["type"], map_["bytes_key"], map_["bytes_value"], map_["max_entries"]) for map_ in maps}
    assert shown == {"counter_map": ("array", 4, 8, 1), "other_map": ("hash", 8, 16, 32)}
    assert {map_["flags"] for map_ in maps} == {0, 1}


def test_types_debug_info_and_data_arrive(compile_c: Compile) -> None:
    with load(str(compile_c("prog_rich.c", "-g"))) as loaded:
        prog = loaded.progs["very_long_program_name"]
        assert prog.full_name == "very_long_program_name"
        assert prog.info.nr_func_info == 4
        assert prog.info.nr_line_info > 10
        names = {map_.name for map_ in loaded.maps.values()}
        assert names == {"counts", "keys", *(name for name in names if name.endswith((".rodata", ".data", ".bss")))}
        data = next(map_ for map_ in loaded.maps.values() if map_.name.endswith(".data"))
        assert data.lookup(bytes(4)) == (7).to_bytes(4, "little")
        with pytest.raises(Error, match="Operation not permitted"):
            next(map_ for map_ in loaded.maps.values() if map_.name.endswith(".rodata")).update(
                bytes(4), bytes(loaded.maps[next(name for name in loaded.maps if name.endswith(".rodata"))].value_bytes)
            )


def test_each_section_gives_its_type(compile_c: Compile) -> None:
    with load(str(compile_c("prog_types.c"))) as loaded:
        types = {name: prog.type for name, prog in loaded.progs.items()}
    assert len(types) == 19
    expected = {"p_classifier": "sched_cls", "p_action": "sched_act"}
    assert types == {name: expected.get(name, name.removeprefix("p_")) for name in types}


def test_first_only_loads_one(compile_c: Compile) -> None:
    with load(str(compile_c("prog_types.c")), first_only=True) as loaded:
        assert list(loaded.progs) == ["p_socket_filter"]


def test_a_given_type_wins_over_the_section(sandbox: Sandbox, compile_c: Compile) -> None:
    sandbox.bcctool("prog", "load", compile_c("prog_legacy.c"), PIN, "type", "socket")
    assert json.loads(sandbox.bcctool("-j", "prog", "show", "pinned", PIN).stdout)["type"] == "socket_filter"


def test_maps_are_reused_by_name_and_index(sandbox: Sandbox, compile_c: Compile) -> None:
    obj = compile_c("prog_legacy.c")
    sandbox.bcctool("prog", "load", obj, PIN, "pinmaps", "/sys/fs/bpf/maps")
    assert sandbox.run("ls", "/sys/fs/bpf/maps").stdout.split() == ["counter_map", "other_map"]
    ids = json.loads(sandbox.bcctool("-j", "prog", "show", "pinned", PIN).stdout)["map_ids"]
    words = ("map", "name", "counter_map", "pinned", "/sys/fs/bpf/maps/counter_map", "map", "idx", "1", "id", max(ids))
    sandbox.bcctool("prog", "load", obj, f"{PIN}2", *map(str, words))
    assert json.loads(sandbox.bcctool("-j", "prog", "show", "pinned", f"{PIN}2").stdout)["map_ids"] == ids


def test_debug_tells_each_step(sandbox: Sandbox, compile_c: Compile) -> None:
    done = sandbox.bcctool("prog", "load", compile_c("prog_rich.c", "-g"), PIN, "--debug")
    assert "bcctool: map 'counts': hash, id " in done.stderr
    assert "refers to map 'counts'" in done.stderr
    assert "processed " in done.stderr  # the verifier's last line
    assert done.stdout == ""


REFUSALS = [
    ((), "prog_legacy.c", "/tmp/here", "/tmp is not in a bpf file system (bpffs)"),
    ((), "prog_legacy.c", "/nosuch/dir/here", "can't pin in /nosuch/dir: No such file or directory"),
    (("type", "nosuch"), "prog_legacy.c", PIN, "unknown program type 'nosuch'"),
    (("map", "name", "nosuch", "id", "MAP"), "prog_legacy.c", PIN, "no map 'nosuch' in it to be replaced"),
    (("map", "idx", "9", "id", "MAP"), "prog_legacy.c", PIN, "no map with index 9, there are 2"),
    (("map", "name", "other_map", "id", "MAP"), "prog_legacy.c", PIN, "'other_map': its key_size is 4, not 8"),
    (("map", "name", "counter_map", "id", "MAP"), "prog_legacy.c", PIN, "'counter_map': its type is hash, not array"),
    (("map", "name", "counter_map", "id", "4294967295"), "prog_legacy.c", PIN, "get map by id (4294967295): No"),
    (("junk",), "prog_legacy.c", PIN, "'autoattach' or 'kernel_btf', got: 'junk'"),
    (("type",), "prog_legacy.c", PIN, "'type' needs at least 1 arguments, 0 found"),
    (("pinmaps", "/tmp/maps"), "prog_legacy.c", PIN, "/tmp is not in a bpf file system (bpffs)"),
    ((), "load_bad.c", PIN, "can't load program 'refused' (section xdp): Permission denied"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "source", "pin", "message"), REFUSALS)
def test_a_refused_load_is_one_line_and_leaves_nothing(
    sandbox: Sandbox, compile_c: Compile, words: tuple[str, ...], source: str, pin: str, message: str
) -> None:
    with Map.create("hash", 4, 16, 32, "wrong") as other:
        words = tuple(str(other.id) if word == "MAP" else word for word in words)
        done = sandbox.bcctool("prog", "load", compile_c(source, "-g"), pin, *words, status=255)
        assert done.stdout == ""
        assert message in done.stderr.splitlines()[0]
        assert done.stderr.startswith("Error: ")
        assert sandbox.run("ls", "/sys/fs/bpf").stdout.split() == ["maps.debug", "progs.debug"]
        done = sandbox.bcctool("-j", "prog", "load", compile_c(source, "-g"), pin, *words, status=255)
        assert message in json.loads(done.stdout)["error"]


def test_the_verifier_s_log_follows_a_refusal(sandbox: Sandbox, compile_c: Compile) -> None:
    done = sandbox.bcctool("prog", "load", compile_c("load_bad.c", "-g"), PIN, status=255)
    assert "R0 invalid mem access 'map_value_or_null'" in done.stderr
    debug = sandbox.bcctool("prog", "load", compile_c("load_bad.c", "-g"), PIN, "-d", status=255)
    assert "; int *value = bpf_map_lookup_elem(&slots, &key);" in debug.stderr


def test_a_pin_that_exists_is_not_replaced(sandbox: Sandbox, compile_c: Compile) -> None:
    sandbox.bcctool("prog", "load", compile_c("prog_legacy.c"), PIN)
    id = json.loads(sandbox.bcctool("-j", "prog", "show", "pinned", PIN).stdout)["id"]
    done = sandbox.bcctool("prog", "load", compile_c("prog_legacy.c"), PIN, status=255)
    assert done.stderr.startswith(f"Error: can't pin the object ({PIN}): File exists")
    assert json.loads(sandbox.bcctool("-j", "prog", "show", "pinned", PIN).stdout)["id"] == id


def test_pins_are_all_or_none(sandbox: Sandbox, compile_c: Compile) -> None:
    """The second map's pin is in the way: program and first map are not pinned either."""
    sandbox.run("mkdir", "-p", "/sys/fs/bpf/maps/other_map")
    done = sandbox.bcctool("prog", "load", compile_c("prog_legacy.c"), PIN, "pinmaps", "/sys/fs/bpf/maps", status=239)
    assert done.stderr == "Error: can't pin the object (/sys/fs/bpf/maps/other_map): File exists\n"
    assert sandbox.run("find", "/sys/fs/bpf", "-type", "f", "!", "-name", "*.debug").stdout.split() == []


def test_an_unknown_section_asks_for_a_type(sandbox: Sandbox, compile_c: Compile) -> None:
    obj = compile_c("load_bad.c", "-g", '-DSECTION="nosuch"')
    done = sandbox.bcctool("prog", "load", obj, PIN, status=255)
    assert "section 'nosuch' tells no program type: give `type TYPE`" in done.stderr


def test_the_other_byte_order_is_refused(sandbox: Sandbox, compile_c: Compile) -> None:
    done = sandbox.bcctool("prog", "load", compile_c("prog_legacy.c", target="bpfeb"), PIN, status=255)
    assert done.stderr.endswith("a big-endian object on a little-endian machine\n")


def test_truncation_at_every_64th_byte_is_one_line(sandbox: Sandbox, compile_c: Compile, tmp_path: Path) -> None:
    data = compile_c("prog_legacy.c").read_bytes()
    script = []
    for length in range(0, len(data), 64):
        path = tmp_path / f"{length}.o"
        path.write_bytes(data[:length])
        script.append(path)
    for path in script[:: max(1, len(script) // 8)]:
        done = sandbox.bcctool("prog", "load", path, PIN, status=255)
        assert done.stderr.count("\n") == 1, done.stderr
        assert str(path) in done.stderr
    for path in script:
        with pytest.raises(Error):
            load(str(path))


def test_nobody_may_not_load(sandbox: Sandbox, compile_c: Compile) -> None:
    sandbox.run("chmod", "0777", "/sys/fs/bpf")
    done = sandbox.run(*NOBODY, *BCCTOOL, "prog", "load", compile_c("prog_legacy.c"), PIN, status=255)
    assert "Operation not permitted" in done.stderr
    assert done.stderr.count("\n") == 1
    done = sandbox.run(*NOBODY, *BCCTOOL, "prog", "show", status=255)
    assert done.stderr == "Error: can't get next program: Operation not permitted\n"


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("id", "ID"), 234, "'pin' needs at least 3 arguments, 2 found"),
        (("id", "ID", "/tmp/x"), 255, "/tmp is not in a bpf file system (bpffs): pin below /sys/fs/bpf"),
        (("id", "ID", PIN, "junk"), 255, "expected no more arguments, got: 'junk'"),
        (("id", "ID", "/sys/fs/bpf/taken"), 239, "can't pin the object (/sys/fs/bpf/taken): File exists"),
    ],
)
def test_pin_refusals(sandbox: Sandbox, compile_c: Compile, words: tuple[str, ...], status: int, message: str) -> None:
    sandbox.run("mkdir", "/sys/fs/bpf/taken")
    with load(str(compile_c("prog_legacy.c"))) as loaded:
        id = str(loaded.progs["counter"].id)
        done = sandbox.bcctool("prog", "pin", *(id if word == "ID" else word for word in words), status=status)
        assert done.stderr == f"Error: {message}\n"
        assert sandbox.bcctool("-j", "prog", "pin", "id", id, PIN).stdout == "null\n"
        assert json.loads(sandbox.bcctool("-j", "prog", "show", "pinned", PIN).stdout)["id"] == int(id)


def test_several_programs_match(sandbox: Sandbox, compile_c: Compile) -> None:
    with load(str(compile_c("prog_legacy.c"))), load(str(compile_c("prog_legacy.c"))) as second:
        done = sandbox.bcctool("prog", "pin", "tag", second.progs["counter"].tag, PIN, status=255)
        assert done.stderr == "Error: several programs match this handle\n"
        listed = json.loads(sandbox.bcctool("-j", "prog", "show", "tag", second.progs["counter"].tag).stdout)
        assert len(listed) == 2


def test_python_handles(compile_c: Compile) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with load(str(compile_c("prog_legacy.c"))) as loaded:
        id = loaded.progs["counter"].id
        assert id in Prog.ids()
        with Prog.from_id(id) as prog:
            assert prog.map_ids == [loaded.maps["counter_map"].id, loaded.maps["other_map"].id]
            assert repr(prog) == f"<Prog id={id} name='counter'>"
    assert len(os.listdir("/proc/self/fd")) == before


def test_an_object_without_programs_is_refused(sandbox: Sandbox, compile_c: Compile, tmp_path: Path) -> None:
    source = tmp_path / "empty.c"
    source.write_text('char _license[] __attribute__((section("license"))) = "GPL";\n')
    path = compile_c(source)
    assert sandbox.bcctool("prog", "load", path, PIN, status=255).stderr == f"Error: {path}: no programs in it\n"


def test_only_an_empty_sys_fs_bpf_gets_a_bpffs(sandbox: Sandbox, compile_c: Compile) -> None:
    """Mounting is bpftool's way to help; over a directory with files in it, it would hide them."""
    run = sandbox.run
    command = ("prog", "load", str(compile_c("prog_legacy.c")), PIN)
    script = 'mount -t tmpfs none /sys/fs/bpf; "$@"; status=$?; ls /sys/fs/bpf -I "*.debug"; exit $status'
    private = ("unshare", "--mount", "sh", "-c")
    assert run(*private, script, "sh", *BCCTOOL, *command).stdout == "prog\n"
    done = run(*private, script, "sh", *BCCTOOL, "-n", *command, status=255)
    assert done.stderr == "Error: /sys/fs/bpf is not in a bpf file system (bpffs) and -n forbids to mount one\n"
    full = script.replace('; "$@"', '; touch /sys/fs/bpf/file; "$@"')
    done = run(*private, full, "sh", *BCCTOOL, *command, status=255)
    assert done.stderr == "Error: /sys/fs/bpf is not in a bpf file system (bpffs): pin below /sys/fs/bpf\n"
    assert done.stdout == "file\n"


# loadall


@pytest.fixture(scope="module")
def app(compile_c: Compile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tutorial's application, linked."""
    path = tmp_path_factory.mktemp("app") / "app.o"
    path.write_bytes(link(str(compile_c(source, "-g")) for source in sorted((ROOT / "tutorial" / "app").glob("*.c"))))
    return path


def pins(sandbox: Sandbox, directory: str) -> list[str]:
    return sandbox.run("ls", directory).stdout.split()


def test_all_programs_and_maps_are_pinned_by_name(sandbox: Sandbox, app: Path) -> None:
    done = sandbox.bcctool("-j", "prog", "loadall", app, "/sys/fs/bpf/app", "type", "xdp", "pinmaps", "/sys/fs/bpf/m")
    assert (done.stdout, done.stderr) == ("null\n", "")
    assert pins(sandbox, "/sys/fs/bpf/app") == ["counter", "entrypoint", "streak"]
    assert pins(sandbox, "/sys/fs/bpf/m") == ["app_bss", "app_rodata", "call_table", "counter_map", "streak_map"]
    assert sandbox.run("stat", "-c", "%a", "/sys/fs/bpf/app").stdout == "700\n"


def test_legacy_pins_are_named_after_sections(sandbox: Sandbox, app: Path) -> None:
    words = ("prog", "loadall", str(app), "/sys/fs/bpf/app", "type", "xdp", "pinmaps", "/sys/fs/bpf/app")
    sandbox.bcctool("--legacy", *words)
    assert [pin for pin in pins(sandbox, "/sys/fs/bpf/app") if pin.startswith("xdp")] == [
        "xdp_counter",
        "xdp_entrypoint",
        "xdp_streak",
    ]


def test_a_map_of_an_earlier_load_goes_on_counting(sandbox: Sandbox, app: Path, tmp_path: Path) -> None:
    """As in the walkthrough: the application counts where the program of chapter 1 did; programs change at run time."""
    (tmp_path / "packet").write_bytes(bytes(40))
    run = ("prog", "run", "pinned", "/sys/fs/bpf/app/entrypoint", "data_in", str(tmp_path / "packet"), "repeat", "3")
    sandbox.bcctool("prog", "loadall", app, "/sys/fs/bpf/first", "type", "xdp", "pinmaps", "/sys/fs/bpf/m")
    reuse = ("map", "name", "counter_map", "pinned", "/sys/fs/bpf/m/counter_map")
    sandbox.bcctool("prog", "loadall", app, "/sys/fs/bpf/app", "type", "xdp", *reuse, "pinmaps", "/sys/fs/bpf/app")
    table = ("map", "update", "pinned", "/sys/fs/bpf/app/call_table", "key", "0", "0", "0", "0", "value")
    sandbox.bcctool(*run)  # nothing to call yet
    for prog in ("counter", "streak"):
        sandbox.bcctool(*table, "pinned", f"/sys/fs/bpf/app/{prog}")
        sandbox.bcctool(*run)
    counted = json.loads(sandbox.bcctool("-j", "map", "dump", "pinned", "/sys/fs/bpf/m/counter_map").stdout)
    assert counted[0]["formatted"]["value"] == {"packets": 3, "bytes": 120}
    streak = json.loads(sandbox.bcctool("-j", "map", "dump", "pinned", "/sys/fs/bpf/app/streak_map").stdout)
    assert streak[0]["formatted"] == {"key": 40, "value": {"now": 3, "longest": 3}}


def test_calls_and_data_across_objects(compile_c: Compile, tmp_path: Path) -> None:
    """3 from .data.tuned, times ten in another object's function, and 4 from .rodata.fixed."""
    whole = tmp_path / "whole.o"
    whole.write_bytes(link(str(compile_c(f"link_{part}.c", "-g")) for part in ("callee", "caller")))
    with load(str(whole), type="xdp") as loaded:
        assert set(loaded.maps) == {"shared", ".data.tuned", ".rodata.fixed", "whole.bss"}
        assert loaded.progs["caller"].test_run(bytes(64)).retval == 34
        loaded.maps["shared"].update((1).to_bytes(4, "little"), (500).to_bytes(4, "little"))
        assert loaded.progs["caller"].test_run(bytes(64)).retval == 534
        assert loaded.maps["whole.bss"].lookup(bytes(4)) == (2).to_bytes(4, "little")
        assert loaded.progs["callee"].test_run(bytes(64)).retval == 10


def test_optional_sections_are_not_loaded(sandbox: Sandbox, compile_c: Compile, tmp_path: Path) -> None:
    source = tmp_path / "optional.c"
    source.write_text(
        'int a(void *c) __attribute__((section("socket"))); int a(void *c) { return 0; }\n'
        'int b(void *c) __attribute__((section("?socket"))); int b(void *c) { return 0; }\n'
    )
    sandbox.bcctool("prog", "loadall", compile_c(source), "/sys/fs/bpf/o")
    assert pins(sandbox, "/sys/fs/bpf/o") == ["a"]


LOADALL_REFUSALS = [
    (("/tmp/app",), 255, "/tmp is not in a bpf file system (bpffs): pin below /sys/fs/bpf"),
    (("/sys/fs/bpf/no/app",), 255, "can't pin in /sys/fs/bpf/no: No such file or directory"),
    (("/sys/fs/bpf/app",), 255, "section 'xdp/counter' tells no program type: give `type TYPE`"),
    (("/sys/fs/bpf/app", "type", "xdp", "pinmaps", "/tmp/m"), 255, "/tmp is not in a bpf file system (bpffs)"),
    (("/sys/fs/bpf/taken", "type", "xdp"), 239, "can't pin the object (/sys/fs/bpf/taken/streak): File exists"),
    (("/sys/fs/bpf/taken", "type", "xdp", "map", "idx", "7", "id", "1"), 255, "get map by id (1): "),
    ((), 255, "'loadall' needs at least 2 arguments, 1 found"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "status", "message"), LOADALL_REFUSALS)
def test_a_refused_loadall_leaves_nothing(
    sandbox: Sandbox, app: Path, words: tuple[str, ...], status: int, message: str
) -> None:
    sandbox.run("mkdir", "-p", "/sys/fs/bpf/taken/streak")
    before = sandbox.run("find", "/sys/fs/bpf").stdout
    done = sandbox.bcctool("prog", "loadall", app, *words, status=status)
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert sandbox.run("find", "/sys/fs/bpf").stdout == before


def test_two_programs_of_a_section_have_one_legacy_name(
    sandbox: Sandbox, compile_c: Compile, tmp_path: Path
) -> None:
    source = tmp_path / "pair.c"
    function = '__attribute__((section("socket"), used)) int {}(void *c) {{ return 0; }}\n'
    source.write_text("".join(map(function.format, "ab")))
    sandbox.bcctool("prog", "loadall", compile_c(source), "/sys/fs/bpf/pair")
    assert pins(sandbox, "/sys/fs/bpf/pair") == ["a", "b"]
    done = sandbox.bcctool("-l", "prog", "loadall", compile_c(source), "/sys/fs/bpf/one", status=239)
    assert done.stderr == "Error: can't pin the object (/sys/fs/bpf/one/socket): File exists\n"
    assert "one" not in pins(sandbox, "/sys/fs/bpf")


PINNED_BY_NAME = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, int);
	__type(value, int);
	__uint(max_entries, 1);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} by_name SEC(".maps");
SEC("xdp") int prog(struct xdp_md *ctx)
{
	int key = 0, *value = bpf_map_lookup_elem(&by_name, &key);
#ifdef BAD
	return *value;
#endif
	return value ? *value : 0;
}
char _license[] SEC("license") = "GPL";
"""


def test_maps_that_are_pinned_by_name_go_when_the_rest_fails(
    sandbox: Sandbox, compile_c: Compile, tmp_path: Path
) -> None:
    source = tmp_path / "pinned.c"
    source.write_text(PINNED_BY_NAME)
    good, bad = compile_c(source, "-g"), compile_c(source, "-g", "-DBAD")
    sandbox.bcctool("prog", "load", bad, PIN, status=255)
    assert pins(sandbox, "/sys/fs/bpf") == ["maps.debug", "progs.debug"]
    sandbox.run("mkdir", "-p", "/sys/fs/bpf/m/by_name")
    sandbox.bcctool("prog", "load", good, PIN, "pinmaps", "/sys/fs/bpf/m", status=239)
    assert pins(sandbox, "/sys/fs/bpf") == ["m", "maps.debug", "progs.debug"]
    sandbox.bcctool("prog", "load", good, PIN)
    sandbox.bcctool("prog", "load", bad, f"{PIN}2", status=255)
    assert pins(sandbox, "/sys/fs/bpf") == ["by_name", "m", "maps.debug", "prog", "progs.debug"], "it was there before"


INTERRUPT = """
for delay in 0.02 0.03 0.035 0.04 0.045 0.05 0.055 0.06 0.065 0.07 0.08 0.1 0.12 0.14 0.16; do
    timeout --preserve-status -s "$1" $delay "${@:2}"
    status=$?
    echo "$status $(ls /sys/fs/bpf | grep -c app) $(ls /sys/fs/bpf/app 2>/dev/null | wc -l)"
    rm -rf /sys/fs/bpf/app
done
"""


@pytest.mark.parametrize("signal", ["INT", "TERM", "HUP"])
def test_a_load_that_is_interrupted_has_pinned_all_or_nothing(sandbox: Sandbox, app: Path, signal: str) -> None:
    """Before Python has begun, the signal ends it with a status of its own; once the pins are made, they stay."""
    words = ("prog", "loadall", app, "/sys/fs/bpf/app", "type", "xdp", "pinmaps", "/sys/fs/bpf/app")
    done = sandbox.run("bash", "-c", INTERRUPT, "bash", signal, *BCCTOOL, *words)
    found = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    assert len(found) == 15
    assert {(directories, files) for _, directories, files in found} <= {(1, 8), (0, 0)}, found
    assert all(status for status, directories, _ in found if not directories), found


def renamed(path: Path, old: str, new: str, to: Path) -> Path:
    """An object with another name, of the same length, in its string tables."""
    assert len(old) == len(new)
    data = path.read_bytes()
    assert old.encode() + b"\0" in data
    to.write_bytes(data.replace(old.encode() + b"\0", new.encode() + b"\0"))
    return to


LONG_NAMES = """
struct { unsigned type, key_size, value_size, max_entries, flags; } long_name_of_a_map
    __attribute__((section("maps"), used)) = { 2, 4, 4, 1 };
__attribute__((section("socket"), used)) int long_name_of_a_program(void *ctx)
{
    int key = 0;
    return ((void *(*)(void *, void *))1)(&long_name_of_a_map, &key) != 0;
}
"""


@pytest.mark.parametrize(
    ("old", "new"), [("long_name_of_a_program", "long_name_of_a_/../../"), ("long_name_of_a_map", "long_name_of_a_/.")]
)
def test_names_do_not_lead_out_of_the_directory(
    sandbox: Sandbox, compile_c: Compile, tmp_path: Path, old: str, new: str
) -> None:
    """The kernel looks at the first 15 characters of a name only, and not at the names of pins."""
    source = tmp_path / "names.c"
    source.write_text(LONG_NAMES)
    path = renamed(compile_c(source), old, new.ljust(len(old), "x"), tmp_path / "renamed.o")
    before = sandbox.run("find", "/sys/fs/bpf").stdout
    words = ("prog", "loadall", path, "/sys/fs/bpf/d", "pinmaps", "/sys/fs/bpf/d")
    done = sandbox.bcctool(*words, status=255)
    assert "is no name for a pin in /sys/fs/bpf/d" in done.stderr
    assert done.stderr.count("\n") == 1
    assert sandbox.run("find", "/sys/fs/bpf").stdout == before
