"""Generated Python modules on the running kernel: set, load, attach, read, write, run; and nothing is left."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bcctool.elf.object import ObjectFile
from bcctool.errors import Error, KernelError
from bcctool.kernel import bpf
from bcctool.loader.kernel_types import KernelTypes
from bcctool.loader.load import Loaded, load
from bcctool.objects.map import Map

from ..conftest import PROGRAMS, ROOT, Sandbox, run
from ..test_codegen_python import imported, module_text

Compile = Callable[..., Path]
PACKET = bytes(20)
XDP_DROP, XDP_PASS = 1, 2
CALLS = 5


@pytest.fixture
def pid(compile_c: Compile) -> int:
    """The number of this process as the kernel counts; in a container it has another one."""
    with load(str(compile_c("load_core.c", "-g")), first_only=True) as loaded:
        loaded.progs["read_task"].test_run(ctx=bytes(8))
        bss = next(map_ for name, map_ in loaded.maps.items() if name.endswith(".bss"))
        return int(bss[0]["tgid_by_helper"])


@pytest.fixture
def app(compile_c: Compile, tmp_path: Path) -> Any:
    return imported(module_text(ObjectFile(str(compile_c("python_module.c", "-g")))), tmp_path).All()


def test_a_program_from_its_first_values_to_its_end(app: Any, pid: int) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    app.rodata.wanted = pid
    app.data.step = 3
    app.bss.hits = 100
    with app.load():
        assert app.loaded.progs["count"].id == app.progs.count.prog.id
        assert (app.bss.hits, app.data.step, app.rodata.wanted) == (100, 3, pid)
        link = app.progs.count.attach()
        for _ in range(CALLS):
            os.getppid()
        link.close()
        hits = app.bss.hits
        os.getppid()
        assert hits == app.bss.hits >= 100 + 3 * CALLS
        assert app.bss.version == app.kconfig.LINUX_KERNEL_VERSION > 0
        calls = (hits - 100) // 3
        assert dict(app.maps.counts.items()) == {0: calls, 1: 0, 2: 0}
        assert sum(app.maps.by_cpu[0]) == calls
        assert app.maps.notes[pid] == {
            "count": calls, "verdict": "MANY", "comm": "python", "word": 0x01010101, "bytes": [1] * 4,
            "low": 5, "high": 0,
        }  # fmt: skip
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_variables_are_the_programs_own(app: Any) -> None:
    app.rodata.setting = {"first": 2, "text": "zwei"}
    with app.load():
        assert app.progs.pass_.run(data=PACKET).retval == XDP_PASS + 1
        assert (app.bss.class_, app.bss.import_) == (20, [0, 10])
        assert app.bss.odd == {"__inside": 0, "def": [{"deep": 0}, {"deep": 1}]}
        app.bss.class_ = -1
        app.data_own.own = 100
        app.bss.odd = {"def": [{"deep": 7}, {"deep": 8}]}
        assert app.progs.pass_.run(data=PACKET, repeat=2).retval == XDP_PASS + 1
        assert (app.bss.class_, app.bss.import_[1]) == (39, 10 + 2 * 103)
        assert app.bss.odd == {"__inside": 0, "def": [{"deep": 7}, {"deep": 10}]}
        assert app.rodata.setting == {"first": 2, "text": "zwei"}
        for value, message in ((1 << 40, ".bss: class: 1099511627776 is out of range"), ("x", "expected an integer")):
            with pytest.raises(Error, match=message):
                app.bss.class_ = value
        for part, name in ((app.rodata, "wanted"), (app.kconfig, "LINUX_KERNEL_VERSION")):
            with pytest.raises(Error, match=f"{name} is constant once the program is loaded: set it before"):
                setattr(part, name, 1)
        with pytest.raises(AttributeError, match=r"no variable 'nosuch' in \.bss"):
            assert app.bss.nosuch


def test_a_map_without_memory_of_its_own(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on kernels before 5.5: variables are read and written by the map's element."""
    from bcctool import skeleton

    monkeypatch.setattr(skeleton, "MMAPABLE", 1 << 31)
    monkeypatch.setattr(bpf, "map_memory", None)
    with app.load():
        app.bss.class_ = 7
        app.progs.pass_.run(data=PACKET)
        assert (app.bss.class_, app.bss.hits, app.data.step) == (27, 0, 1)
        assert app.rodata.setting == {"first": 1, "text": "one"}


def test_maps_by_key(app: Any) -> None:
    with app.load():
        notes, counts = app.maps.notes, app.maps.counts
        assert (len(notes), 1 in notes, notes.get(1), bool(notes)) == (0, False, None, True)
        notes[1] = {"count": 5, "verdict": 1, "comm": b"x\0y", "bytes": [1, 2, 3, 4]}
        word = int.from_bytes(bytes([1, 2, 3, 4]), sys.byteorder)
        note = {
            "count": 5, "verdict": "MANY", "comm": b"x\0y\0\0\0\0\0", "bytes": [1, 2, 3, 4], "word": word,
            "low": 0, "high": 0,
        }  # fmt: skip
        assert (notes[1], list(notes), list(notes.items()), 1 in notes) == (note, [1], [(1, note)], True)
        del notes[1]
        uses: list[Callable[[], object]] = [lambda: notes[1], lambda: notes.__delitem__(1), lambda: counts[3]]
        for use in uses:
            with pytest.raises(KeyError):
                use()
        counts[2] = 9
        assert (list(counts), list(counts.values()), counts[2], len(counts)) == ([0, 1, 2], [0, 0, 9], 9, 3)
        app.maps.hash_by_cpu[1] = 4
        assert set(app.maps.hash_by_cpu[1]) == {4}
        app.maps.untyped[b"abcdef"] = b"xy"
        assert dict(app.maps.untyped.items()) == {b"abcdef": b"xy"}
        for map_, key, value, message in (
            (notes, "x", {}, "key: expected an integer, got 'x'"),
            (notes, 1, {"count": "x"}, "value.count: expected an integer, got 'x'"),
            (notes, 1 << 32, {}, "key: 4294967296 is out of range"),
            (counts, 0, 1 << 64, "value: 18446744073709551616 is out of range"),
            (app.maps.untyped, b"abc", b"xy", "key expected 6 bytes got 3"),
        ):
            with pytest.raises(Error, match=f"^{message}"):
                map_[key] = value


def test_queues_programs_and_maps_in_maps(app: Any) -> None:
    with app.load():
        waiting = app.maps.waiting
        assert (waiting.pop(), waiting.peek()) == (None, None)
        waiting.push(1)
        waiting.push(2)
        with pytest.raises(KernelError, match="update failed: Argument list too long"):
            waiting.push(3)
        assert (waiting.peek(), waiting.pop(), waiting.pop(), waiting.pop()) == (1, 1, 2, None)

        app.maps.tails[1] = app.progs.drop
        assert 1 in app.maps.tails
        assert app.progs.pass_.run(data=PACKET).retval == XDP_DROP
        del app.maps.tails[1]
        assert app.progs.pass_.run(data=PACKET).retval == XDP_PASS
        with pytest.raises(Error, match="has no descriptor"):
            app.maps.tails[1] = "drop"

        app.maps.counts[2] = 9
        outer = app.maps.outer
        assert (outer[1][2], outer.get(0), 0 in outer) == (9, None, False)
        outer[1][2] = 10
        assert app.maps.counts[2] == 10
        with Map.create("array", 4, 8, 3) as inner:
            outer[0] = inner
            assert list(outer[0].items()) == [(0, 0), (1, 0), (2, 0)]
        with pytest.raises(KeyError):
            assert app.maps.outer[2]
        assert app.maps.events.map.type == "ringbuf"


def test_what_cannot_be_attached_says_why(app: Any) -> None:
    with app.load():
        for attach, message in (
            (app.progs.pass_.attach, 'it needs a device: attach(dev="eth0")'),
            (app.progs.ingress.attach, "it needs a cgroup: attach(cgroup=PATH)"),
            (lambda: app.progs.pass_.attach(dev="no\nsuch"), "no network device 'no\\nsuch' in this network namespace"),
            (lambda: app.progs.count.attach(dev="lo"), "can't attach program 'count': raw_tp/sys_enter takes no dev"),
            (lambda: app.progs.ingress.attach(cgroup="/nosuch"), "/nosuch: No such file or directory"),
            (app.progs.optional.attach, "program 'optional' is not loaded: it is optional (?xdp)"),
        ):
            with pytest.raises(Error) as caught:
                attach()
            assert message in caught.value.message
            assert "\n" not in caught.value.message
        assert app.progs.count.run().retval == 0
        with pytest.raises(Error, match="failed to run program: Invalid argument"):
            app.progs.count.run(data=PACKET)


def test_a_type_without_test_runs(compile_c: Compile, tmp_path: Path) -> None:
    source = tmp_path / "traced.c"
    source.write_text(
        '__attribute__((section("tp/sched/sched_switch"), used)) int traced(void *ctx) { return 0; }'
        'char _license[] __attribute__((section("license"))) = "GPL";'
    )
    app = imported(module_text(ObjectFile(str(compile_c(source, "-g")))), tmp_path).All()
    with app.load(), pytest.raises(Error, match="'traced': this kernel can't test-run programs of type tracepoint"):
        app.progs.traced.run()


def test_all_that_can_be_attached(app: Any, pid: int) -> None:
    app.rodata.wanted = pid
    with app.load():
        before = set(bpf.ids(bpf.LINK))
        app.attach()
        assert len(set(bpf.ids(bpf.LINK)) - before) == 1  # `count`: the others name no place
        before_calls = app.bss.hits
        os.getppid()
        assert app.bss.hits > before_calls


def test_nobody_has_to_keep_what_is_attached(app: Any, pid: int) -> None:
    app.rodata.wanted = pid
    with app.load():
        app.progs.count.attach()
        before = app.bss.hits
        os.getppid()
        assert app.bss.hits > before


def test_after_the_block(app: Any) -> None:
    with app.load():
        app.progs.count.attach()
        kept, loaded = app.maps.counts, app.loaded
        assert app.bss.hits == 0
    assert {handle.fd for handle in (*loaded.maps.values(), *loaded.progs.values())} == {-1}
    uses: list[Callable[[], object]] = [
        lambda: app.bss.hits, lambda: setattr(app.bss, "hits", 1), lambda: kept[0], lambda: app.progs.pass_.run(),
        lambda: app.attach(), lambda: app.rodata.wanted,
    ]  # fmt: skip
    for use in uses:
        with pytest.raises(Error, match=r"^all is not loaded: it was closed$"):
            use()
    with pytest.raises(Error, match=r"^all: loaded before: a skeleton is loaded once, make another one"):
        app.load()
    app.close()
    with type(app)().load() as again:
        assert again.bss.hits == 0


def test_an_error_in_the_block_closes_too(app: Any) -> None:
    with pytest.raises(ZeroDivisionError), app.load():
        assert app.bss.hits // 0
    with pytest.raises(Error, match="is not loaded"):
        assert app.bss.hits


def test_a_program_that_the_verifier_refuses(compile_c: Compile, tmp_path: Path) -> None:
    app = imported(module_text(ObjectFile(str(compile_c("load_bad.c", "-g")))), tmp_path).All()
    for _ in range(2):  # it may be tried again
        with pytest.raises(Error) as caught:
            app.load()
        assert caught.value.message == "all: can't load program 'refused' (section xdp): Permission denied"
        assert "map_value_or_null" in caught.value.detail
    with pytest.raises(Error, match=r"^all is not loaded: use `with app\.load\(\):`$"):
        assert app.maps.slots[0]


def test_a_load_that_fails_late(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from bcctool import skeleton

    def broken(*_: object) -> None:
        raise Error("no types")

    monkeypatch.setattr(skeleton, "_use_types", broken)
    made: list[Loaded] = []

    def loading(*words: Any, **options: Any) -> Loaded:
        made.append(load(*words, **options))
        return made[0]

    monkeypatch.setattr(skeleton, "load", loading)
    with pytest.raises(Error, match="no types"):
        app.load()
    assert {handle.fd for handle in (*made[0].maps.values(), *made[0].progs.values())} == {-1}


def test_options_of_the_load(app: Any) -> None:
    lines: list[str] = []
    with Map.create("array", 4, 8, 3) as other:
        other.update(bytes(4), (5).to_bytes(8, sys.byteorder))
        with app.load(reuse={"counts": other}, debug=lines.append):
            assert app.maps.counts[0] == 5
    assert any("program 'count'" in line for line in lines)


PLACES = """
import sys, time
sys.path[:0] = sys.argv[1:3]
from generated import All

with All().load() as app:
    with app.progs.pass_.attach(dev="lo"):
        import socket
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"x", ("127.0.0.1", 9))
        assert app.bss.class_ >= 14 + 20 + 8 + 1  # bytes; an answer that nobody listens there may follow
    cgroup = sys.argv[3]
    app.progs.ingress.attach(cgroup=cgroup).close()
    app.progs.drop.attach(dev="lo")
    print("done")
"""


def test_places_that_are_given(app: Any, sandbox: Sandbox, tmp_path: Path) -> None:
    """In a network namespace of its own: on the loopback device, and on a control group of its own."""
    assert app  # generated.py is there
    sandbox.run("mkdir", tmp_path / "cgroup")
    sandbox.run("mount", "-t", "cgroup2", "none", tmp_path / "cgroup")
    group = tmp_path / "cgroup" / f"bcctool-{os.getpid()}"
    sandbox.run("mkdir", group)
    try:
        assert sandbox.run(sys.executable, "-c", PLACES, ROOT, tmp_path, group).stdout == "done\n"
        assert "xdp" not in sandbox.run("ip", "link", "show", "lo").stdout
    finally:
        sandbox.run("rmdir", group)


def test_tables_of_programs(compile_c: Compile, tmp_path: Path) -> None:
    with KernelTypes() as kernel:
        if kernel.find("bpf_struct_ops_tcp_congestion_ops", 4) is None:
            pytest.skip("this kernel takes no congestion control from BPF")
    available = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")
    source, number = tmp_path / "ops.c", os.getpid()
    text = (PROGRAMS / "struct_ops.c").read_text()
    source.write_text(text.replace('"by_update"', f'"update_{number}"').replace('"by_link"', f'"link_{number}"'))
    app = imported(module_text(ObjectFile(str(compile_c(source, "-g", "-DLINK")))), tmp_path).All()
    names = {f"update_{number}", f"link_{number}"}
    with app.load():
        assert not names & set(available.read_text().split())
        link = app.maps.by_link.attach()
        registration = app.maps.by_update.attach()
        assert names < set(available.read_text().split())
        link.close()
        registration.close()
        assert not names & set(available.read_text().split())
    app = type(app)()
    with app.load():
        app.attach()
        assert names < set(available.read_text().split())
    assert not names & set(available.read_text().split())


def test_an_object_without_btf(compile_c: Compile, tmp_path: Path) -> None:
    app = imported(module_text(ObjectFile(str(compile_c("prog_legacy.c")))), tmp_path).All()
    with app.load(type="xdp"):
        counter_map = app.maps.counter_map
        first = counter_map[0]
        assert isinstance(first, bytes)
        counter_map[0] = bytes([1] * len(first))
        assert next(iter(counter_map.items())) == (0, bytes([1] * len(first)))


def test_an_array_whose_key_is_called_something_else(compile_c: Compile, tmp_path: Path) -> None:
    source = tmp_path / "array.c"
    source.write_text(
        "struct { int (*type)[2]; int (*max_entries)[2]; struct { int index; } *key; unsigned long long *value; } odd "
        '__attribute__((section(".maps"), used));'
        '__attribute__((section("xdp"), used)) int pass(void *ctx) { return 2; }'
        'char _license[] __attribute__((section("license"))) = "GPL";'
    )
    app = imported(module_text(ObjectFile(str(compile_c(source, "-g")))), tmp_path).All()
    with app.load():
        app.maps.odd[1] = 7
        assert list(app.maps.odd.items()) == [(0, 0), (1, 7)]


def test_the_command_makes_it(compile_c: Compile, tmp_path: Path, bcctool: Callable[..., Any]) -> None:
    text = bcctool("gen", "python", compile_c("python_module.c", "-g"), "name", "counter").stdout
    (tmp_path / "counter.py").write_text(text)
    script = (
        f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(tmp_path)!r}]\n"
        "from counter import Counter\n"
        f"with Counter().load() as app: print(app.progs.pass_.run(data=bytes(20)).retval)\n"
    )
    assert run(sys.executable, "-c", script).stdout == f"{XDP_PASS}\n"
