"""Map definitions of all kinds: legacy, BTF-defined, global data, .kconfig, struct_ops."""

from __future__ import annotations

import struct

import pytest

from bcctool.elf.data_maps import data_maps
from bcctool.elf.maps import MapDef, kernel_name
from bcctool.elf.object import ObjectFile
from bcctool.errors import Error, Malformed

from .test_elf_object import TARGETS, Compile, built, opened


def by_name(obj: ObjectFile) -> dict[str, MapDef]:
    return {m.name: m for m in obj.maps}


def patched(data: bytes, old: bytes, new: bytes) -> ObjectFile:
    """The object with every occurrence of a string replaced by one of the same length."""
    assert old in data
    assert len(old) == len(new)
    return ObjectFile.from_bytes(data.replace(old, new), "x.o")


@pytest.mark.parametrize("target", TARGETS)
def test_maps_come_in_order_of_creation(compile_c: Compile, target: str) -> None:
    names = [m.name for m in opened(compile_c, "elf_maps", target).maps]
    defined = ["inner_a", "inner_b", "counts", "outer", "jumps", "events"]
    assert sorted(names[:6]) == sorted(defined)
    offsets = [m.section_offset for m in opened(compile_c, "elf_maps", target).maps[:6]]
    assert offsets == sorted(offsets)
    data = [m.section_index for m in opened(compile_c, "elf_maps", target).maps[6:]]
    assert data == sorted(data)
    assert set(names[6:]) == {
        "elf_maps.rodata",
        "elf_maps.data",
        "elf_maps.bss",
        ".data.custom",
        ".rodata.a_very_long_name",
        ".rodata.str1.1",
    }


@pytest.mark.parametrize("target", TARGETS)
def test_btf_defined_hash(compile_c: Compile, target: str) -> None:
    obj = opened(compile_c, "elf_maps", target)
    counts = by_name(obj)["counts"]
    assert obj.btf is not None
    fields = (counts.type, counts.key_size, counts.value_size, counts.max_entries, counts.flags)
    assert fields == (1, 4, 24, 128, 1)
    assert (counts.pinning, counts.map_extra, counts.numa_node) == (1, 3, 1)
    assert obj.btf.name(counts.key_type_id) == "__u32"
    assert [m.name for m in obj.btf.type(counts.value_type_id).entries] == ["packets", "name"]
    assert (counts.section, counts.legacy, counts.global_data, counts.inner) == (".maps", False, False, None)


@pytest.mark.parametrize("target", TARGETS)
def test_map_of_maps_and_program_array(compile_c: Compile, target: str) -> None:
    maps = by_name(opened(compile_c, "elf_maps", target))
    outer, jumps = maps["outer"], maps["jumps"]
    assert (outer.type, outer.value_size, outer.values) == (12, 4, [(0, "inner_a"), (2, "inner_b")])
    assert outer.inner is not None
    inner = outer.inner
    assert (inner.name, inner.type, inner.key_size, inner.value_size, inner.max_entries) == ("outer.inner", 2, 4, 8, 1)
    assert (jumps.type, jumps.value_size, jumps.values, jumps.inner) == (3, 4, [(5, "tail")], None)
    assert (maps["events"].type, maps["events"].key_size, maps["events"].max_entries) == (27, 0, 4096)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("debug", [True, False])
def test_global_data(compile_c: Compile, target: str, debug: bool) -> None:
    obj = opened(compile_c, "elf_maps", target, debug)
    maps = {m.name: m for m in data_maps(obj.elf, obj.btf, obj.name)}
    assert {name: m.value_size for name, m in maps.items()} == {
        "elf_maps.rodata": 15,
        "elf_maps.data": 4,
        "elf_maps.bss": 40,
        ".data.custom": 4,
        ".rodata.a_very_long_name": 4,
        ".rodata.str1.1": 37,
    }
    for m in maps.values():
        assert (m.type, m.key_size, m.max_entries, m.global_data) == (2, 4, 1, True)
        assert m.flags == (0x480 if m.section.startswith(".rodata") else 0x400)
        described = debug and m.section != ".rodata.str1.1"
        assert (obj.btf.name(m.value_type_id) if obj.btf else "") == (m.section if described else "")
    assert maps["elf_maps.bss"].contents is None
    assert bytes(maps[".data.custom"].contents or b"") == (5).to_bytes(4, obj.elf.byteorder)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("x.o", "x.rodata"),
        ("counter_btf.bpf.o", "counter_.rodata"),
        ("averyverylongname.o", "averyver.rodata"),
        ("dir.d/a-b.c.o", "a_b.rodata"),
        ("ü.o", "_.rodata"),
        (".o", ".rodata"),
    ],
)
def test_names_of_global_data(compile_c: Compile, path: str, name: str) -> None:
    maps = ObjectFile.from_bytes(built(compile_c, "elf_maps"), path).maps
    assert [m.name for m in maps if m.section == ".rodata"] == [name]


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("counts", "counts"),
        (".rodata.a_very_long_name", ".rodata.a_very_"),
        (".data.a-b", ".data.a_b"),
        ("é", "_"),
        ("", ""),
    ],
)
def test_names_for_the_kernel(name: str, short: str) -> None:
    assert kernel_name(name) == short


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("debug", [True, False])
def test_legacy_maps(compile_c: Compile, target: str, debug: bool) -> None:
    obj = opened(compile_c, "elf_legacy", target, debug, "EXTRA=0")
    rows = [(m.name, m.section, m.type, m.key_size, m.value_size, m.max_entries, m.flags) for m in obj.maps]
    assert rows == [
        ("hash", "maps", 1, 4, 8, 64, 1),
        ("array", "maps", 2, 4, 16, 32, 0),
        ("stacks", "maps/stacks", 7, 4, 1016, 10, 0),
    ]
    assert [m.section_offset for m in obj.maps] == [0, 28, 0]
    assert all(m.legacy for m in obj.maps)


def test_legacy_map_with_more_than_the_known_fields(compile_c: Compile) -> None:
    data = built(compile_c, "elf_legacy", "bpf", True, "EXTRA=7")
    with pytest.raises(Malformed) as caught:
        print(ObjectFile.from_bytes(data, "x.o").maps)
    reason = "map 'array': 8 bytes after map_flags are not zero; --mapcompat accepts them"
    assert caught.value.message == f"x.o: section maps: {reason}"
    assert [m.name for m in ObjectFile.from_bytes(data, "x.o", strict=False).maps] == ["hash", "array", "stacks"]


def test_legacy_maps_that_do_not_divide_their_section(compile_c: Compile) -> None:
    obj = opened(compile_c, "elf_legacy", "bpf", True, "EXTRA=0")
    symbols = {s.name: s for s in obj.symbols}
    symbols["array"].section = 0
    with pytest.raises(Error, match="map 'hash': 36 bytes after map_flags are not zero"):
        print(obj.maps)
    obj = opened(compile_c, "elf_legacy", "bpf", True, "EXTRA=0")
    for symbol in obj.symbols:
        if symbol.name == "array":
            symbol.value = 0
    with pytest.raises(Error, match="overlaps another one or the end"):
        print(obj.maps)


def test_legacy_and_btf_maps_mixed(compile_c: Compile) -> None:
    obj = patched(built(compile_c, "elf_maps"), b"license\0", b"maps/xx\0")
    with pytest.raises(Error, match="section maps/xx: 13 bytes for 1 definitions, each takes 20 or more"):
        print(obj.maps)
    source = built(compile_c, "elf_mixed", "bpf", True)
    assert [m.name for m in ObjectFile.from_bytes(source, "x.o").maps] == ["old", "new"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"map_flags\0", b"map_flogs\0", "map 'counts': unknown member map_flogs; --mapcompat ignores it"),
        (b"numa_node\0", b"map_extra\0", "map 'counts': two members map_extra"),
        (b"\0type\0", b"\0tipe\0", "unknown member tipe"),
        (b"\0map_flags\0", b"\0key_size1\0", "unknown member key_size1"),
    ],
)
def test_members_with_wrong_names(compile_c: Compile, old: bytes, new: bytes, message: str) -> None:
    obj = patched(built(compile_c, "elf_maps"), old, new)
    with pytest.raises(Malformed, match=message):
        print(obj.maps)


def test_unknown_members_are_ignored_on_request(compile_c: Compile) -> None:
    data = built(compile_c, "elf_maps").replace(b"map_flags\0", b"map_flogs\0")
    assert by_name(ObjectFile.from_bytes(data, "x.o", strict=False))["counts"].flags == 0


@pytest.mark.parametrize(
    ("define", "message"),
    [
        ("NO_TYPE", "map 'm': has no member type"),
        ("KEY_CONFLICT", "map 'm': key_size is both 4 and 8"),
        ("VALUE_CONFLICT", "map 'm': value_size is both 16 and 8"),
        ("PINNING", "map 'm': pinning 2 is neither LIBBPF_PIN_NONE nor LIBBPF_PIN_BY_NAME"),
        ("STATIC", "map 'm': is static or extern"),
        ("NOT_A_STRUCT", "map 'm': is not a struct"),
        ("NOT_A_POINTER", "map 'm': member type is not a pointer: use the macros of bpf_helpers.h"),
        ("NOT_AN_ARRAY", "map 'm': member type does not point to an array: use __uint"),
        ("VALUES_TYPE", "map 'm': values need a type before them"),
        ("VALUES_SIZED", "map 'm': member values is not an array without size: use __array"),
        ("VALUES_WRONG", "map 'm': values are pointers to something else than this type of map holds"),
        ("NESTED", "map 'm': an inner map can neither be pinned nor hold maps"),
        ("INNER_PINNED", "map 'm': an inner map can neither be pinned nor hold maps"),
        ("VALUES_OF_INNER", "map 'm': an inner map cannot have values of its own"),
        ("VOID_KEY", r"type \[0\] UNKNOWN: has no size"),
    ],
)
def test_definitions_that_make_no_sense(compile_c: Compile, define: str, message: str) -> None:
    with pytest.raises(Malformed, match=message) as caught:
        print(opened(compile_c, "elf_bad_maps", "bpf", True, define).maps)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("target", TARGETS)
def test_value_that_is_a_static_function(compile_c: Compile, target: str) -> None:
    (m,) = opened(compile_c, "elf_bad_maps", target, True, "STATIC_VALUE").maps
    assert m.values == [(3, "second")]


def test_maps_that_overlap(compile_c: Compile) -> None:
    obj = opened(compile_c, "elf_maps")
    places = {symbol.name: symbol for symbol in obj.symbols}
    places["inner_b"].value = places["inner_a"].value + 8
    with pytest.raises(Malformed, match=r"map 'inner_b': 32 bytes at offset 8 of \d+ overlap another map or the end"):
        print(obj.maps)


@pytest.mark.parametrize("offset", [0, 4, -4])
def test_relocation_that_is_no_value(compile_c: Compile, offset: int) -> None:
    data = bytearray(built(compile_c, "elf_maps"))
    obj = ObjectFile.from_bytes(bytes(data), "x.o")
    table = next(s for s in obj.sections if s.name == ".rel.maps")
    (place,) = struct.unpack_from("<Q", data, table.offset)
    struct.pack_into("<Q", data, table.offset, place + offset if offset else 0)
    with pytest.raises(Malformed, match=r"map '\w+': the relocation at offset \d+ is not of one of its values"):
        print(ObjectFile.from_bytes(bytes(data), "x.o").maps)


@pytest.mark.parametrize(("limit", "message"), [("MAX_MAPS", "6 maps, 3"), ("MAX_MEMBERS", "'inner_a': 4 members, 3")])
def test_limits(compile_c: Compile, limit: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"bcctool.elf.maps.{limit}", 3)
    with pytest.raises(Malformed, match=f"{message} are supported"):
        print(opened(compile_c, "elf_maps").maps)


def test_maps_without_btf(compile_c: Compile) -> None:
    with pytest.raises(Malformed, match=r"section \.maps: its maps are described by BTF, which is missing: .* -g$"):
        print(opened(compile_c, "elf_maps", "bpf", False).maps)


@pytest.mark.parametrize("target", TARGETS)
def test_number_given_as_an_enumerator(compile_c: Compile, target: str) -> None:
    (m,) = opened(compile_c, "elf_bad_maps", target, True, "ULONG").maps
    assert m.map_extra == 0x12345678


@pytest.mark.parametrize("target", TARGETS)
def test_kconfig_and_struct_ops_come_last(compile_c: Compile, target: str) -> None:
    obj = opened(compile_c, "elf_externs", target)
    assert [m.name for m in obj.maps] == ["elf_exte.bss", "elf_ext.kconfig", "one", "two"]
    kconfig, one, two = obj.maps[1:]
    assert (kconfig.type, kconfig.value_size, kconfig.flags, kconfig.section_index) == (2, 37, 0x480, -1)
    assert obj.btf is not None
    assert obj.btf.name(kconfig.value_type_id) == ".kconfig"
    assert (one.type, one.value_size, one.flags, two.flags) == (26, 24, 0, 0x2000)
    assert obj.btf.name(one.value_type_id) == "tcp_congestion_ops"
    assert two.contents is not None
    assert bytes(two.contents) == bytes(8) + b"two".ljust(16, b"\0")
    assert obj.map_at(two.section_index, 0) is two
