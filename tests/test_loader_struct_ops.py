"""Plans of struct_ops maps against a kernel whose structs are compiled here: what fits, what is refused and why."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

import pytest

from bcctool.btf import kinds
from bcctool.elf.datasec import raw_btf
from bcctool.elf.object import ObjectFile
from bcctool.errors import Error
from bcctool.kernel import bpf, uapi
from bcctool.loader import struct_ops
from bcctool.loader.kernel_types import KernelTypes, Source
from bcctool.loader.struct_ops import create, fill, plan, program_targets, register
from bcctool.objects.map import Map
from bcctool.objects.prog import Prog

Compile = Callable[..., Path]
TARGETS = ("bpf", "bpfeb")
KERNEL = """
struct pair { int a, b; };
struct ops {
    int (*second)(void *ctx);
    int (*first)(void *ctx);
    void *owner;
    char name[16];
    struct pair pair;
    unsigned long flags;
    enum { ONE } kind;
    unsigned int bits : 3;
};
struct bpf_struct_ops_ops { int refcnt; int state; struct ops data __attribute__((aligned(64))); };
struct bpf_struct_ops_empty { int refcnt; };
struct bpf_struct_ops_ops value;
struct bpf_struct_ops_empty empty;
"""
OBJECT = """
#define SEC(name) __attribute__((section(name), used))
struct pair { int a, b; };
struct NAME {
    unsigned long flags;
    char name[16];
    int (*first)(void *ctx);
    struct pair pair;
    int (*second)(void *ctx);
    MORE
};
SEC("struct_ops/one") int one(void *ctx) { return 1; }
SEC("struct_ops/two") int two(void *ctx) { return 2; }
static SEC("struct_ops/hidden") int hidden(void *ctx) { return 3; }
int variable;
SEC(".struct_ops") struct NAME table = { .first = one, .name = "table", .flags = 0x1122334455667788, SET };
SEC(".struct_ops.link") struct NAME linked = { .second = two, .pair = {3, 4}, .first = one };
"""


@pytest.fixture(params=["vmlinux", "module"])
def kernel(request: pytest.FixtureRequest) -> str:
    """Where the struct is."""
    return str(request.param)


def types(compile_c: Compile, folder: Path, place: str = "vmlinux", target: str = "bpf") -> KernelTypes:
    kernel = KernelTypes()
    sources = []
    for name, text in (("kernel", KERNEL), ("other", "int nothing;")):
        path = folder / f"{name}.c"
        path.write_text(text)
        btf = raw_btf(ObjectFile(str(compile_c(path, "-g", target=target))).elf)
        assert btf is not None
        sources.append(btf)
    if place == "module":
        sources.reverse()
    kernel._vmlinux, kernel._modules = Source(sources[0], "vmlinux"), [Source(sources[1], "module", 7)]
    return kernel


def opened(
    compile_c: Compile, folder: Path, more: str = "", set: str = "", name: str = "ops", target: str = "bpf"
) -> ObjectFile:
    path = folder / "object.c"
    path.write_text(OBJECT)
    flags = (f"-DMORE={more}", f"-DSET={set}", f"-DNAME={name}")
    return ObjectFile(str(compile_c(path, "-g", "-Wno-everything", *flags, target=target)))


def planned(obj: ObjectFile, kernel: KernelTypes) -> list[struct_ops.Plan]:
    return [plan(obj, definition, kernel) for definition in obj.maps if definition.section.startswith(".struct_ops")]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ["ops", "ops___flavor"])
def test_values_move_to_where_the_kernel_has_them(
    compile_c: Compile, tmp_path: Path, kernel: str, target: str, name: str
) -> None:
    found = types(compile_c, tmp_path, kernel, target)
    obj = opened(compile_c, tmp_path, name=name, target=target)
    table, linked = planned(obj, found)
    source = found.modules[0] if kernel == "module" else found.vmlinux
    assert table.source is source
    assert table.struct_name == "ops"
    assert table.struct_id == source.types.find("ops", kinds.STRUCT)
    assert table.value_type_id == source.types.find("bpf_struct_ops_ops", kinds.STRUCT)
    members = {member.name: member for member in table.members}
    offsets = {name: (member.kernel_offset, member.kernel_size, member.index) for name, member in members.items()}
    assert offsets == {
        "flags": (64 + 48, 8, 5), "name": (64 + 24, 16, 3), "first": (64 + 8, 8, 1), "pair": (64 + 40, 8, 4),
        "second": (64, 8, 0),
    }  # fmt: skip
    assert {name: member.program for name, member in members.items() if member.program} == {"first": "one"}
    assert [(member.name, member.program) for member in linked.programs] == [("first", "one"), ("second", "two")]
    expected = bytearray(128)
    expected[64 + 24 : 64 + 40] = b"table".ljust(16, b"\0")
    expected[64 + 48 : 64 + 56] = (0x1122334455667788).to_bytes(8, obj.elf.byteorder)
    assert table.value == expected
    assert linked.value[64 + 40 : 64 + 48] == b"".join(number.to_bytes(4, obj.elf.byteorder) for number in (3, 4))
    assert program_targets([table, linked]) == {
        "one": (table.struct_id, 1, source),
        "two": (table.struct_id, 0, source),
    }


@pytest.mark.parametrize(
    ("more", "set"),
    [("long gone;", ""), ("int (*gone)(void *);", ".gone = 0"), ("void *owner;", ""), ("struct { int x; };", "")],
)
def test_what_the_kernel_lacks_may_be_zero(compile_c: Compile, tmp_path: Path, more: str, set: str) -> None:
    table, _ = planned(opened(compile_c, tmp_path, more, set), types(compile_c, tmp_path))
    assert "gone" not in {member.name for member in table.members}


@pytest.mark.parametrize(
    ("more", "set", "reason"),
    [
        ("long gone;", ".gone = 1", "member 'gone' is set, but the kernel's struct ops has none"),
        ("int (*gone)(void *);", ".gone = two", "member 'gone' is set, but the kernel's struct ops has none"),
        ("void *owner;", ".owner = (void *)8", "member 'owner' is a pointer with a value"),
        ("int (*owner)(void *);", ".owner = two", "member 'owner' refers to program 'two', but is no function in the"),
        ("int *owner;", ".owner = &variable", "offset 48 refers to 'variable', which is no program"),
        ("int (*owner)(void *);", ".owner = hidden", "which is no program"),
        ("int owner;", "", "member 'owner' is INT int here, but PTR in the kernel"),
        ("long kind;", "", "member 'kind' is INT long here, but ENUM in the kernel"),
        ("unsigned int kind : 5;", "", "member 'kind' is a bitfield, which is not supported"),
        ("unsigned int bits;", "", "member 'bits' is a bitfield in the kernel, which is not supported"),
    ],
)
def test_what_does_not_fit(compile_c: Compile, tmp_path: Path, more: str, set: str, reason: str) -> None:
    obj = opened(compile_c, tmp_path, more, set)
    with pytest.raises(Error, match=rf"object-\w+\.o: struct_ops map 'table': .*{reason}"):
        planned(obj, types(compile_c, tmp_path))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("char name[16];", "char name[8];", "member 'name' has 8 bytes here, but 16 in the kernel"),
        ("char name[16];", "int name[4];", ""),
        ("char name[16];", "int *name[2];", "member 'name' is an array of another type than in the kernel"),
        ("unsigned long flags;", "unsigned int flags;", "member 'flags' has 4 bytes here, but 8 in the kernel"),
    ],
)
def test_sizes_and_elements_have_to_agree(
    compile_c: Compile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, reason: str
) -> None:
    text = OBJECT.replace(old, new).replace('.name = "table", ', "")
    monkeypatch.setitem(globals(), "OBJECT", text)
    obj, kernel = opened(compile_c, tmp_path), types(compile_c, tmp_path)
    if not reason:  # one integer is as good as another
        assert planned(obj, kernel)
        return
    with pytest.raises(Error, match=reason):
        planned(obj, kernel)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("unknown", r"the running kernel has no struct_ops 'unknown' \(no struct bpf_struct_ops_unknown in its BTF\)"),
        ("empty", "the kernel's struct bpf_struct_ops_empty has no struct empty in it"),
    ],
)
def test_a_struct_that_the_kernel_lacks(compile_c: Compile, tmp_path: Path, name: str, reason: str) -> None:
    obj = opened(compile_c, tmp_path, name=name)
    with pytest.raises(Error, match=reason):
        planned(obj, types(compile_c, tmp_path))


def test_a_program_is_one_member_only(compile_c: Compile, tmp_path: Path) -> None:
    plans = planned(opened(compile_c, tmp_path, set=".second = one"), types(compile_c, tmp_path))
    with pytest.raises(Error, match=r"program 'one' can't be ops\.second as well: it is ops\.first already"):
        program_targets(plans)


def test_a_member_outside_of_its_struct(compile_c: Compile, tmp_path: Path) -> None:
    """BTF that nobody validated: the name's array has grown."""
    obj = opened(compile_c, tmp_path)
    assert obj.btf is not None
    array = next(id for id in range(1, obj.btf.nr_types) if obj.btf.kind(id) == kinds.ARRAY)
    words = obj.btf.words.tolist()
    words[obj.btf.index[array - 1] + 5] = 1 << 20
    obj.btf.words = memoryview((ctypes.c_uint32 * len(words))(*words)).cast("B").cast("I")
    with pytest.raises(Error, match="member 'name' lies outside the struct"):
        planned(obj, types(compile_c, tmp_path))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """What is asked of the kernel: a map is created and is open as /dev/null."""
    asked: list[dict[str, object]] = []

    def bpf_call(cmd: int, attr: ctypes.Structure) -> int:
        assert cmd == uapi.BPF_MAP_CREATE
        asked.append({name: getattr(attr, name) for name, *_ in attr._fields_})
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(bpf, "bpf", bpf_call)
    return asked


def test_a_map_of_a_module_names_the_module(compile_c: Compile, tmp_path: Path, calls: list[dict[str, object]]) -> None:
    obj = opened(compile_c, tmp_path)
    kernel = types(compile_c, tmp_path, "module")
    definition = next(definition for definition in obj.maps if definition.name == "linked")
    with pytest.raises(Error, match=r"^struct_ops map 'linked': map create failed: Invalid argument$"):
        create(definition, plan(obj, definition, kernel), 5)
    wanted = {
        "map_type": 26, "key_size": 4, "value_size": 128, "max_entries": 1, "map_name": b"linked", "btf_fd": 5,
        "map_flags": uapi.BPF_F_LINK | uapi.BPF_F_VTYPE_BTF_OBJ_FD, "value_type_btf_obj_fd": 7,
        "btf_vmlinux_value_type_id": kernel.modules[0].types.find("bpf_struct_ops_ops"), "btf_value_type_id": 0,
    }  # fmt: skip
    assert {name: calls[0][name] for name in wanted} == wanted


def test_descriptors_go_where_the_kernel_has_the_members(
    compile_c: Compile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, linked = planned(opened(compile_c, tmp_path), types(compile_c, tmp_path))
    progs = {}
    for name, fd in (("one", 0x101), ("two", 0x202)):
        progs[name] = Prog.__new__(Prog)
        progs[name].fd = fd
    map_ = Map.__new__(Map)
    map_.fd, map_.info = -1, uapi.map_info(value_size=128)
    fill(map_, linked, progs)
    for prog in progs.values():
        prog.fd = -1
    assert linked.value[64:80] == (0x202).to_bytes(8, "little") + (0x101).to_bytes(8, "little")
    written = []
    monkeypatch.setattr(Map, "update", lambda self, key, value: written.append((key, value)))
    register(map_, linked)
    assert written == [(bytes(4), bytes(linked.value))]
