"""CO-RE: access strings, types found in another blob by name and shape, and the numbers that relocations come to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bcctool.btf import core_spec
from bcctool.btf.core import Relocator, Resolution
from bcctool.btf.core_match import types_are_compatible, types_match
from bcctool.btf.core_spec import essential_name, parse_spec
from bcctool.btf.ext import CoreRelo
from bcctool.btf.reader import Btf
from bcctool.elf.object import ObjectFile
from bcctool.errors import Error, Malformed

Compile = Callable[..., Path]
TARGETS = ("bpf", "bpfeb")


def types_of(path: Path) -> Btf:
    btf = ObjectFile(str(path)).btf
    assert btf is not None
    return btf


class Resolved:
    """core_local.c against core_target.c: the resolutions of each function, in the order of its instructions."""

    def __init__(self, compile_c: Compile, target: str, *flags: str, compiler: str = "clang") -> None:
        self.obj = ObjectFile(str(compile_c("core_local.c", "-g", *flags, target=target, compiler=compiler)))
        self.target = types_of(compile_c("core_target.c", "-g", target=target, compiler=compiler))
        assert self.obj.btf is not None
        self.relocator = Relocator(self.obj.btf, [lambda: [self.target]])

    def of(self, function: str) -> list[Resolution]:
        prog = next(prog for prog in self.obj.progs if prog.name == function)
        assert self.obj.btf_ext is not None
        relos = self.obj.btf_ext.core_relos(prog.section)
        inside = [relo for relo in relos if prog.offset <= relo.insn_off < prog.offset + len(prog.insns)]
        return [self.relocator.resolve(relo) for relo in inside]

    def numbers(self, function: str) -> list[int | None]:
        return [resolution.target.number for resolution in self.of(function)]


@pytest.mark.parametrize("target", TARGETS)
def test_fields_are_found_where_the_target_has_them(compile_c: Compile, target: str) -> None:
    found = Resolved(compile_c, target)
    moved = found.target.type(found.target.find("moved") or 0)
    offsets = {member.name: member.bit_offset // 8 for member in moved.entries}
    hidden = 104  # in an anonymous union after 100 bytes
    element, in_element = 32, 8 + 1 * 2  # of struct inner, of b[1] in it
    assert found.numbers("fields") == [
        offsets["first"],
        offsets["wide"],
        offsets["next"],
        offsets["first"],
        offsets["list"] + 2 * element + in_element,
        hidden,
        offsets["tail"] + 7,
        offsets["first"],
    ]
    sizes = [(resolution.local.size, resolution.target.size) for resolution in found.of("fields")]
    assert sizes[:2] == [(4, 4), (8, 4)]
    assert all(resolution.resizable for resolution in found.of("fields") if resolution.target.size != 2)


@pytest.mark.parametrize("target", TARGETS)
def test_what_the_target_has_not_has_no_number(compile_c: Compile, target: str) -> None:
    found = Resolved(compile_c, target)
    gone, sign, beyond, other_kind, only_here = found.of("poisoned")
    assert [gone.target.number, beyond.target.number, other_kind.target.number, only_here.target.number] == [None] * 4
    assert sign.target.number is not None
    assert not sign.resizable  # a signed int, of 4 bytes here and 8 there
    assert str(gone.local_spec).endswith("struct moved___old.gone (0:0 @ offset 0)")
    assert found.numbers("missing_enum") == [None]


@pytest.mark.parametrize("target", TARGETS)
def test_questions_about_fields(compile_c: Compile, target: str) -> None:
    found = Resolved(compile_c, target)
    by_kind: dict[str, list[int | None]] = {}
    for resolution in found.of("questions"):
        by_kind.setdefault(core_spec.RELO_NAMES[resolution.kind], []).append(resolution.target.number)
    assert by_kind["field_exists"] == [1, 0]
    assert by_kind["byte_sz"][:2] == [3 * 32, 4]
    assert by_kind["signed"][:2] == [1, 0]


@pytest.mark.parametrize("target", TARGETS)
def test_bitfields_are_read_by_the_shifts(compile_c: Compile, target: str) -> None:
    """What BPF_CORE_READ_BITFIELD does with the numbers, done here with a struct in memory."""
    found = Resolved(compile_c, target)
    bits = {r.kind: r.target.number for r in found.of("questions") if r.local_spec.steps[-1].name == "bits"}
    offset, size = bits[core_spec.FIELD_BYTE_OFFSET], bits[core_spec.FIELD_BYTE_SIZE]
    left, right = bits[core_spec.FIELD_LSHIFT_U64], bits[core_spec.FIELD_RSHIFT_U64]
    assert None not in (offset, size, left, right)
    moved = found.target.type(found.target.find("moved") or 0)
    member = next(member for member in moved.entries if member.name == "bits")
    memory = bytearray(moved.size)
    value = 0b1010011
    for bit in range(member.bitfield_size):
        little = member.bit_offset + bit
        big = member.bit_offset + member.bitfield_size - 1 - bit
        place, shift = divmod(little, 8) if target == "bpf" else (big // 8, 7 - big % 8)
        memory[place] |= (value >> bit & 1) << shift
    order = "little" if target == "bpf" else "big"
    loaded = int.from_bytes(memory[offset or 0 :][: size or 0], order)  # type: ignore[arg-type]
    assert (loaded << (left or 0) & 0xFFFFFFFFFFFFFFFF) >> (right or 0) == value


def test_a_bitfield_across_words_is_read_by_a_larger_load(compile_c: Compile) -> None:
    found = Resolved(compile_c, "bpf")
    numbers = {resolution.kind: resolution.target.number for resolution in found.of("split")}
    assert numbers[core_spec.FIELD_BYTE_OFFSET] == 0
    assert numbers[core_spec.FIELD_BYTE_SIZE] == 8
    assert numbers[core_spec.FIELD_LSHIFT_U64] == 64 - 40
    assert numbers[core_spec.FIELD_RSHIFT_U64] == 64 - 20


def test_an_array_is_accessed_by_its_elements(compile_c: Compile) -> None:
    found = Resolved(compile_c, "bpf")
    id = found.relocator.local.find("shrunk") or 0
    resolution = found.relocator.resolve(CoreRelo(0, id, "0:0", core_spec.FIELD_BYTE_OFFSET))
    assert (resolution.local.size, resolution.target.size) == (4, 4)


@pytest.mark.parametrize("target", TARGETS)
def test_types(compile_c: Compile, target: str) -> None:
    found = Resolved(compile_c, target)
    local, moved = found.relocator.local.find("moved"), found.target.find("moved")
    size = found.target.size_of(moved or 0)
    assert found.numbers("types") == [local, moved, 0, 1, 0, 1, 1, size, 0]


@pytest.mark.parametrize("target", TARGETS)
def test_enumerators(compile_c: Compile, target: str) -> None:
    found = Resolved(compile_c, target)
    exists, missing, green, blue, no_enum = found.numbers("enums")[:5]
    assert found.numbers("enums")[6] == 11  # ORANGE___v3 there
    assert (exists, missing, green, blue, no_enum) == (1, 0, 70, -4 & 0xFFFFFFFFFFFFFFFF, 0)


@pytest.mark.parametrize("compiler", ["clang-16", "clang-19"])
def test_types_match_by_members_sizes_and_signs(compile_c: Compile, compiler: str) -> None:
    found = Resolved(compile_c, "bpf", "-DMATCHES", compiler=compiler)
    assert found.numbers("matches") == [1, 0, 0, 0]
    assert found.numbers("enums")[5] == 0x123456789A


def test_several_types_that_disagree_are_an_error(compile_c: Compile) -> None:
    found = Resolved(compile_c, "bpf", "-DAMBIGUOUS")
    with pytest.raises(Error, match=r"struct twice.field .* is ambiguous: .*@ offset 0\), .*@ offset 8\)"):
        found.of("ambiguous")


def test_a_later_tier_is_asked_only_when_no_earlier_one_has_the_name(compile_c: Compile) -> None:
    local = types_of(compile_c("core_local.c", "-g"))
    target = types_of(compile_c("core_target.c", "-g"))
    asked = []

    def later() -> list[Btf]:
        asked.append(1)
        return [local]

    relocator = Relocator(local, [lambda: [target], later])
    relo = CoreRelo(0, local.find("moved") or 0, "0", core_spec.TYPE_EXISTS)
    assert relocator.resolve(relo).target.number == 1
    assert not asked
    relo = CoreRelo(0, local.find("only_here") or 0, "0", core_spec.TYPE_EXISTS)
    assert relocator.resolve(relo).target.number == 1
    assert asked


@pytest.mark.parametrize(
    ("name", "essential"),
    [("a", "a"), ("a___b", "a"), ("a___b___c", "a___b"), ("___a", "___a"), ("a____b", "a____b"), ("a___", "a___"),
     ("a____b___c", "a____b"), ("", "")],
)  # fmt: skip
def test_a_flavor_follows_three_underscores(name: str, essential: str) -> None:
    assert essential_name(name) == essential


@pytest.mark.parametrize(
    ("access", "kind", "reason"),
    [
        ("", 0, "no list of indexes"),
        ("0:x", 0, "no list of indexes"),
        ("-1", 0, "no list of indexes"),
        ("0:٣", 0, "no list of indexes"),
        (":".join(["0"] * 65), 0, "no list of indexes"),
        ("0:" + "9" * 11, 0, "no list of indexes"),
        ("0:99", 0, r"has \d+ members"),
        ("0:0:0", 0, "has no parts"),
        ("0:4:9", 0, "has 4 elements"),
        ("9999999999", 0, "too deep, or too far"),
        ("0:0", core_spec.TYPE_SIZE, "a type has no parts"),
        ("0", core_spec.ENUMVAL_VALUE, "no such enumerator"),
        ("0", 13, "unknown kind 13"),
    ],
)
def test_access_strings_without_sense_are_refused(compile_c: Compile, access: str, kind: int, reason: str) -> None:
    btf = types_of(compile_c("core_local.c", "-g"))
    with pytest.raises(Malformed, match=reason):
        parse_spec(btf, CoreRelo(0, btf.find("moved") or 0, access, kind))


@pytest.mark.parametrize("id", [0, 1 << 31])
def test_a_type_that_is_not_there_is_refused(compile_c: Compile, id: int) -> None:
    btf = types_of(compile_c("core_local.c", "-g"))
    with pytest.raises(Malformed, match=r"there are \d+ types"):
        parse_spec(btf, CoreRelo(0, id, "0", 0))


def test_a_relocation_of_a_nameless_type_is_refused(compile_c: Compile) -> None:
    btf = types_of(compile_c("core_local.c", "-g"))
    nameless = next(type_.id for type_ in btf.types() if type_.kind == 4 and not type_.name)
    with pytest.raises(Error, match="a type without a name"):
        Relocator(btf, [lambda: [btf]]).resolve(CoreRelo(0, nameless, "0:0", 0))


def test_every_type_is_compatible_with_itself_and_matches_itself(compile_c: Compile) -> None:
    btf = types_of(compile_c("core_target.c", "-g"))
    values = [type_.id for type_ in btf.types() if type_.kind not in (12, 14, 15)]  # FUNC, VAR, DATASEC
    assert values
    assert all(types_are_compatible(btf, id, btf, id) and types_match(btf, id, btf, id) for id in values)
