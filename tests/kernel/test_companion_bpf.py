"""BCC's Python API over a prebuilt object, pins and ids: scripts as users write them, each a process of its own."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..conftest import ROOT, Completed, Sandbox
from ..congestion import AVAILABLE, Controls

Compile = Callable[..., Path]
PRELUDE = """
import ctypes, json, os, subprocess, sys, time
import bcctool
from bcctool import BPF, table
show = lambda *values: print(json.dumps(values, default=lambda value: value.decode() if isinstance(value, bytes) else str(value)))
one = lambda t: [(k.pid == os.getpid(), k.comm, v.value) for k, v in t.items()]
"""  # noqa: E501


class Scripts:
    """Runs scripts over the object; what they show is what they return."""

    def __init__(self, box: Sandbox, obj: Path) -> None:
        self.box = box
        self.obj = obj

    def run(self, text: str, status: int = 0, **environment: str) -> Completed:
        """A script after PRELUDE, with the object's path as its argument."""
        variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        words = (sys.executable, "-c", PRELUDE + text, self.obj)
        return self.box.run(*words, status=status, env=variables)

    def shown(self, text: str) -> list[Any]:
        """The lists that a script shows, which says nothing else."""
        done = self.run(text)
        assert done.stderr == ""
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def scripts(sandbox: Sandbox, compile_c: Compile) -> Scripts:
    sandbox.mount_tracefs()
    return Scripts(sandbox, compile_c("companion.c", "-g"))


def test_programs_are_attached_by_their_names(scripts: Scripts) -> None:
    shown = scripts.shown("""
b = BPF(obj=sys.argv[1])
os.getpgid(0); os.getpgid(0)
show(one(b["counter_map"]), b.num_open_tracepoints())
b.cleanup()
os.getpgid(0)
show(b.num_open_tracepoints(), [len(b.funcs), len(b.tables)])
""")
    assert shown == [[[[True, "python", 2]], 1], [0, [0, 1]]]


def test_nothing_of_llvm_runs(scripts: Scripts) -> None:
    shown = scripts.shown("""
import bcc.libbcc
def refuse(*_): raise AssertionError("compiled")
bcc.libbcc.lib.bpf_module_create_c_from_string = refuse
b = BPF(obj=sys.argv[1])
show(sorted(b.funcs))
""")
    names = ["by_section", "drop", "kprobe__is_none", "on_call", "on_clock", "on_packet", "on_raw"]
    assert shown == [[[*names, "tracepoint__syscalls__sys_enter_getpgid"]]]


def test_events_by_both_buffers(scripts: Scripts) -> None:
    shown = scripts.shown("""
b = BPF(obj=sys.argv[1])
got = []
def take(table, data): event = table.event(data); return event.pid == os.getpid(), event.comm, event.kind, event.number
b["events"].open_perf_buffer(lambda cpu, data, size: got.append(("perf", size >= 29, *take(b["events"], data))))
b["ring"].open_ring_buffer(lambda context, data, size: got.append(("ring", size, *take(b["ring"], data))))
os.getpgid(0)
b.perf_buffer_poll(1000)
b.ring_buffer_poll(1000)
show(*got)
""")
    assert shown == [[["perf", True, True, "python", 5, 42], ["ring", 29, True, "python", 5, 42]]]


def test_data_of_no_known_type(scripts: Scripts) -> None:
    shown = scripts.shown("""
b = BPF(obj=sys.argv[1])
b["events"].event_type = None
try: b["events"].event(0)
except bcctool.Error as error: show(str(error).partition(": ")[2])
class Mine(ctypes.Structure): _fields_ = [("pid", ctypes.c_uint32)]
mine, raw = b.get_table("ring", leaftype=Mine), ctypes.create_string_buffer(b"\\7\\0\\0\\0")
show(mine.event(ctypes.addressof(raw)).pid, ctypes.sizeof(b.c_type("event")))
try: b.c_type("nothing")
except KeyError as error: show(str(error))
""")
    assert shown[0][0].startswith("no type of its data is known: give one to get_table(..., leaftype=TYPE)")
    assert shown[1:] == [[7, 29], ["'nothing'"]]


def test_each_way_to_attach(scripts: Scripts) -> None:
    shown = scripts.shown("""
b = BPF(obj=sys.argv[1])
b.attach_raw_tracepoint(tp="sys_enter", fn_name="on_raw")
os.getppid()
show("raw", b["seen"][0].value > 0)
b.detach_raw_tracepoint("sys_enter")
b.attach_uprobe(name="c", sym="getsid", fn_name="on_call")
os.getsid(0)
show("uprobe", one(b["counter_map"]), b.num_open_uprobes())
while (said := b.trace_fields()[5]) != b"called": pass  # others may print, too
show("trace", said)
b.attach_perf_event(ev_type=1, ev_config=0, sample_freq=499, fn_name="on_clock")
end = time.time() + 10
while not len(b["stacks"]) and time.time() < end: os.listdir("/proc")
b.detach_perf_event(ev_type=1, ev_config=0)
walked = list(b["stacks"].walk(b["seen"][0].value, BPF.ksym))
show("clock", len(walked) > 0, b"[unknown]" in walked)
b.attach_tracepoint(tp="syscalls:sys_enter_getpriority", fn_name="by_section")
os.getpriority(0, 0)
show("tracepoint", sum(v.value for v in b["counter_map"].values()))
""")
    assert shown == [
        ["raw", True],
        ["uprobe", [[True, "python", 1]], 1],
        ["trace", "called"],
        ["clock", True, False],
        ["tracepoint", 2],
    ]


def test_xdp_goes_with_the_object(scripts: Scripts) -> None:
    shown = scripts.shown("""
def attached(): return b"xdpgeneric" in subprocess.run(("ip", "link", "show", "lo"), capture_output=True).stdout
b = BPF(obj=sys.argv[1])
b.attach_xdp("lo", b.load_func("on_packet", BPF.XDP), BPF.XDP_FLAGS_SKB_MODE)
show(attached())
b["jumps"][ctypes.c_int(0)] = ctypes.c_int(b.load_func("drop", BPF.XDP).fd)
b.cleanup()
show(attached())
b, other = BPF(obj=sys.argv[1]), BPF(obj=sys.argv[1])
b.attach_xdp("lo", b.load_func("drop", BPF.XDP))
b.remove_xdp("lo")
other.attach_xdp("lo", other.load_func("drop", BPF.XDP))
b.cleanup()
show(attached())
other.cleanup()
show(attached())
""")
    assert shown == [[True], [False], [True], [False]]


def test_attach_by_sections(scripts: Scripts) -> None:
    shown = scripts.shown("""
b = BPF(obj=sys.argv[1])
b.attach()
os.getpriority(0, 0)
show(one(b["counter_map"]))
b.cleanup()
b = BPF(obj=sys.argv[1])
again = BPF.from_id(bcctool.Prog(os.dup(b.load_func("drop", BPF.XDP).fd)).id)
try: again.attach()
except bcctool.Error as error: show(str(error))
""")
    assert shown == [[[[True, "python", 1]]], ["attach() needs an object: BPF(obj=…)"]]


def test_struct_ops_are_in_use_until_cleanup(sandbox: Sandbox, compile_c: Compile) -> None:
    controls = Controls(sandbox, compile_c, linked=True)
    try:
        shown = Scripts(sandbox, controls.obj).shown(f"""
used = lambda: [name in open("{AVAILABLE}").read() for name in ({controls.table!r}, {controls.linked!r})]
b = BPF(obj=sys.argv[1])
show(used())
b.attach()
show(used())
b.cleanup()
end = time.time() + 20
while any(used()) and time.time() < end: time.sleep(0.05)
show(used())
""")
    finally:
        controls.close()
    assert shown == [[[False, False]], [[True, True]], [[False, False]]]


def test_tables_of_padded_and_per_cpu_values(scripts: Scripts) -> None:
    shown = scripts.shown("""
b = BPF(obj=sys.argv[1])
odd, percpu = b["odd_map"], b["percpu_map"]
cpus = odd.total_cpu
odd[1] = [odd.sLeaf(cpu, 2, 3) for cpu in range(cpus)]
show([(v.a, v.b, v.c) for v in odd[1]] == [(cpu, 2, 3) for cpu in range(cpus)], [v.a for v in odd[2]] == [0] * cpus)
show([len(list(v)) == cpus for _, v in odd.items()], [k.value for k, _ in odd.items_lookup_batch()])
for key in range(3): percpu[ctypes.c_int(key)] = [key] * cpus
show(percpu.sum(ctypes.c_int(2)).value == 2 * cpus, percpu.average(ctypes.c_int(2)), len(percpu))
keys = (percpu.Key * 2)(0, 1)
percpu.items_delete_batch(keys)
show([(k.value, list(v) == [2] * cpus) for k, v in percpu.items_lookup_and_delete_batch()], len(percpu))
try: percpu[ctypes.c_int(9)]
except KeyError: show("none")
try: percpu[ctypes.c_int(0)] = [1] * (cpus + 1)
except bcctool.Error as error: show(str(error) == f"{cpus + 1} values for {cpus} CPUs")
reduced = b.get_table("percpu_map", reducer=lambda a, b: a + b)
percpu[ctypes.c_int(5)] = percpu.Leaf(*[3] * cpus)
show(reduced[ctypes.c_int(5)] == 3 * cpus)
""")
    assert shown == [
        [True, True],
        [[True] * 4, [0, 1, 2, 3]],
        [True, 2.0, 3],
        [[[2, True]], 0],
        ["none"],
        [True],
        [True],
    ]


def test_batches_are_bounded_and_complete(scripts: Scripts) -> None:
    shown = scripts.shown("""
b = BPF(obj=sys.argv[1])
t = b["counter_map"]
keys, leaves = (t.Key * 50000)(), (t.Leaf * 50000)()
for n in range(50000): keys[n].slot, leaves[n] = n, n * n
t.items_update_batch(keys, leaves)
show(len(t), sorted(k.slot for k, v in t.items_lookup_batch() if v.value == k.slot ** 2) == list(range(50000)))
some = t.items_lookup_and_delete_batch()
next(some); some.close()
left = len(t)
show(0 < left < 50000, sum(1 for _ in t.items_lookup_and_delete_batch()) == left, len(t))
t.items_update_batch(keys, leaves)
t.items_delete_batch()
show(len(t))
try: list(b["odd_map"].items_lookup_and_delete_batch())
except bcctool.Error as error: show(str(error))
""")
    assert shown[:3] == [[50000, True], [True, True, 0], [0]]
    assert shown[3][0].startswith("can't take batches out of a map of type percpu_array")


def test_text_of_keys_and_leaves(scripts: Scripts) -> None:
    shown = scripts.shown("""
b = BPF(obj=sys.argv[1])
t = b["counter_map"]
key = t.Key(17, b"me", 3)
show(t.key_sprintf(key), t.leaf_sprintf(t.Leaf(255)), bytes(t.key_scanf(t.key_sprintf(key))) == bytes(key))
show(b.decode_table("seen"), b.disassemble_func("drop"))
""")
    assert shown[0] == ['{ 0x11 "me" 0x3 }', "0xff", True]
    layout, code = shown[1]
    assert layout.endswith("\n  unsigned int key;\n  unsigned long long value;") or "value;" in layout
    assert code == "   0: (b7) r0 = 1\n   1: (95) exit\n"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ('b.load_func("drop", BPF.KPROBE)', "program 'drop' was loaded as xdp, not as kprobe"),
        ('b.load_func("nothing", BPF.XDP)', "no program 'nothing': there are by_section, drop, "),
        ('b.dump_func("nothing")', "no program 'nothing'"),
        ('b["nothing"]', "'nothing'"),
        ('b.get_table("seen", leaftype=ctypes.c_uint32)', "a leaf type of 4 bytes, the map's has 8"),
        ('b.get_table("counter_map", keytype=ctypes.c_uint32)', "a key type of 4 bytes, the map's has 32"),
        ('BPF(obj=sys.argv[1], text="int f(void *c) { return 0; }")', "BPF() takes an object, or a source, not both"),
        ('BPF(obj="/nowhere.o")', "/nowhere.o: No such file or directory"),
        ('BPF.from_pinned("/sys/fs/bpf/none")', "bpf obj get (/sys/fs/bpf/none): No such file or directory"),
        ('BPF.from_pinned("/sys/fs/bpf")', "/sys/fs/bpf: no program or map is pinned in this directory"),
        ("BPF.from_id(4294967295)", "get by id (4294967295): No such file or directory"),
        ("table(4294967295)", "get map by id (4294967295): No such file or directory"),
    ],
)
def test_what_can_not_be(scripts: Scripts, line: str, error: str) -> None:
    shown = scripts.shown(f"""
b = BPF(obj=sys.argv[1])
try: {line}
except (bcctool.Error, KeyError) as error: show(str(error))
""")
    assert len(shown) == 1
    assert error in shown[0][0]


def test_an_object_that_can_not_be_attached_leaves_nothing(scripts: Scripts) -> None:
    done = scripts.run("""
import bcctool.companion.bpf as companion
def fail(b, name, rest):
    global id
    id = bcctool.Prog(os.dup(b.funcs[name].fd)).id
    b.attach_raw_tracepoint("no_such", name)
companion._BY_NAME[b"on_raw"] = (BPF.RAW_TRACEPOINT, fail)
try: BPF(obj=sys.argv[1])
except Exception as error: show(str(error))
end = time.time() + 10
while id in bcctool.Prog.ids() and time.time() < end: time.sleep(0.01)
show(id in bcctool.Prog.ids())
""")
    assert done.stdout == '["Failed to attach BPF to raw tracepoint"]\n[false]\n'


def test_from_pins_and_ids(scripts: Scripts) -> None:
    scripts.box.bcctool("prog", "loadall", scripts.obj, "/sys/fs/bpf/progs", "pinmaps", "/sys/fs/bpf/maps")
    shown = scripts.shown("""
maps, progs = BPF.from_pinned("/sys/fs/bpf/maps"), BPF.from_pinned("/sys/fs/bpf/progs")
seen = maps["seen"]
seen[0] = ctypes.c_ulonglong(5)
one = BPF.from_pinned("/sys/fs/bpf/progs/on_raw")
show(list(one.funcs), one["seen"][0].value, sorted(progs.funcs)[:2], ctypes.sizeof(one.c_type("event")))
again = BPF.from_id(bcctool.Prog.from_pin("/sys/fs/bpf/progs/on_raw").id)
again.attach_raw_tracepoint(tp="sys_enter", fn_name="on_raw")
os.getppid()
show(again["seen"][0].value > 5)
again.cleanup()
single = BPF.from_pinned("/sys/fs/bpf/maps/counter_map")
show(single["counter_map"].Key.__name__, len(single["counter_map"]))
""")
    assert shown == [[["on_raw"], 5, ["by_section", "drop"], 29], [True], ["key", 0]]


@pytest.mark.parametrize(
    ("words", "lines", "expected"),
    [
        (
            "hash key 4 value 8 entries 1000",
            "t[t.Key(3)] = t.Leaf(9); show([(k.value, v.value) for k, v in t.items_lookup_batch()], len(t))",
            [[[[3, 9]], 1]],
        ),
        (
            "lpm_trie key 8 value 4 entries 64 flags 1",
            "for n in range(40): t[t.Key(24, (10, n, 0, 0))] = t.Leaf(n)\n"
            "show(len(t), sorted(v.value for _, v in t.items_lookup_batch()) == list(range(40)))",
            [[40, True]],
        ),
        (
            "queue key 0 value 4 entries 8",
            "t.push(t.Leaf(1)); t.push(t.Leaf(2)); show(t.peek().value, t.pop().value, [v.value for v in t.values()])",
            [[1, 1, [2]]],
        ),
        (
            "percpu_array key 4 value 12 entries 2",
            "t[1] = [bytes(range(12))] * t.total_cpu; show([bytes(v)[:3] == b'\\0\\1\\2' for v in t[1]][0], len(t))",
            [[True, 2]],
        ),
        (
            "percpu_hash key 6 value 2 entries 8",
            "k = t.Key(*range(6)); t[k] = [7] * t.total_cpu; show(t.sum(k).value == 7 * t.total_cpu, len(t))",
            [[True, 1]],
        ),
        (
            "lru_hash key 4 value 4 entries 8",
            "t[t.Key(1)] = t.Leaf(2); show(sum(1 for _ in t.items_lookup_and_delete_batch()), len(t))",
            [[1, 0]],
        ),
        ("stack_trace key 4 value 160 entries 8", "show(len(t.Leaf().ip), len(t))", [[127, 0]]),
        (
            "stack_trace key 4 value 128 entries 8 flags 32",
            "show(ctypes.sizeof(t.Leaf) // 32, t.Leaf().trace[0].ip, t.flags)",
            [[127, 0, 32]],
        ),
        ("array key 4 value 8 entries 3", "t[2] = t.Leaf(4); show([v.value for v in t.values()])", [[[0, 0, 4]]]),
    ],
)
def test_a_table_over_any_map(scripts: Scripts, words: str, lines: str, expected: list[Any]) -> None:
    scripts.box.bcctool("map", "create", "/sys/fs/bpf/m", "type", *words.split(), "name", "any")
    assert scripts.shown(f't = table("/sys/fs/bpf/m")\n{lines}') == expected
    assert scripts.shown('show(table(bcctool.Map.from_pin("/sys/fs/bpf/m")).map_id > 0)') == [[True]]


def test_maps_that_have_no_table(scripts: Scripts) -> None:
    words = "type user_ringbuf key 0 value 0 entries 4096 name ours"
    scripts.box.bcctool("map", "create", "/sys/fs/bpf/m", *words.split())
    shown = scripts.shown("""
try: table("/sys/fs/bpf/m")
except bcctool.Error as error: show(str(error).partition(": ")[2])
""")
    assert shown == [["BCC has no table for maps of type user_ringbuf"]]


def test_a_ring_of_another_process(scripts: Scripts) -> None:
    """BPF(obj) in one process, a table over its ring by id in another."""
    shown = scripts.shown("""
b = BPF(obj=sys.argv[1])
reader = subprocess.Popen((sys.executable, "-c", '''
import ctypes, sys
from bcctool import table
t = table(int(sys.argv[1]))
got = []
t.open_ring_buffer(lambda context, data, size: got.append(ctypes.string_at(data + 5, 16).rstrip(bytes(1)).decode()))
print("ready", flush=True)
while not got: t.bpf.ring_buffer_poll(1000)
print(got[0])
''', str(b["ring"].map_id)), stdout=subprocess.PIPE, text=True)
reader.stdout.readline()
os.getpgid(0)
show(reader.communicate()[0].strip())
""")
    assert shown == [["python"]]
