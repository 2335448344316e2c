"""BTF for older kernels: every kind rewritten, alone and together, in both byte orders; ids and the rest untouched."""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from bcctool.btf import kinds
from bcctool.btf.reader import Btf
from bcctool.btf.validate import validate
from bcctool.elf.datasec import fixed_btf
from bcctool.elf.object import ObjectFile
from bcctool.kernel import bpf, libbpf
from bcctool.loader import fallbacks
from bcctool.loader.fallbacks import BTF_FEATURES, sanitized_btf, takes

from .test_btf_blobs import Blob

Compile = Callable[..., Path]
NEWER = {  # feature → kinds that are not to be left
    "func": (kinds.FUNC, kinds.FUNC_PROTO),
    "datasec": (kinds.VAR, kinds.DATASEC),
    "func_global": (),
    "float": (kinds.FLOAT,),
    "decl_tag": (kinds.DECL_TAG,),
    "type_tag": (kinds.TYPE_TAG,),
    "enum64": (kinds.ENUM64,),
    "tag_kind_flag": (),
}
NOTHING = frozenset(NEWER)
REFUSED = [*(frozenset((feature,)) for feature in NEWER), NOTHING]
REFUSED_IDS = [*NEWER, "all"]


def everything(order: str = "<", bitfield: bool = False) -> bytes:
    """A blob with all kinds, and each of them used where it may be; the kernel takes no bitfield that is an ENUM64."""
    blob = Blob(order)
    number = blob.number()
    long_double = blob.add(kinds.FLOAT, "long double", 16)
    single = blob.add(kinds.FLOAT, "single", 4)
    big = blob.add(kinds.ENUM64, "big", 8, blob.name("HUGE"), 0, 1, blob.name("LEAST"), 5, 1 << 31, vlen=2, flag=True)
    wide = blob.add(kinds.TYPEDEF, "wide", big)
    blob.add(kinds.ENUM, "signed", 4, blob.name("NEGATIVE"), 0xFFFFFFFF, vlen=1, flag=True)
    tag = blob.add(kinds.TYPE_TAG, "user", number)
    attribute = blob.add(kinds.TYPE_TAG, "attribute", number, flag=True)
    ptr, other = blob.ptr(tag), blob.ptr(attribute)
    members = ("f", single, 0), ("e", big, 64), ("b", wide, bitfield * 60 << 24 | 128), ("p", ptr, 192)
    holder = blob.struct("holder", 40, *members, ("o", other, 256), flag=True)
    floats = blob.array(single, 4)
    proto = blob.proto(number, ("arg", ptr), ("other.arg", big))
    nameless = blob.proto(number, ("", ptr), ("", 0))
    static = blob.add(kinds.FUNC, "static_function", proto, vlen=0)
    function = blob.add(kinds.FUNC, "global.function", proto, vlen=1)
    blob.ptr(nameless)
    var = blob.add(kinds.VAR, "variable", holder, 1)
    odd = blob.add(kinds.VAR, "odd.name", floats, 0)
    small = blob.add(kinds.VAR, "enough", number, 1)
    blob.add(kinds.DATASEC, ".data.1", 64, var, 0, 40, odd, 40, 16, small, 56, 4, vlen=3)
    blob.add(kinds.DECL_TAG, "on struct", holder, 1)
    blob.add(kinds.DECL_TAG, "on function", function, 0)
    blob.add(kinds.DECL_TAG, "on static", static, 0xFFFFFFFF)
    blob.add(kinds.DECL_TAG, "on variable", var, 0xFFFFFFFF)
    blob.add(kinds.DECL_TAG, "attribute", holder, 0xFFFFFFFF, flag=True)
    blob.struct("value", 16, ("x", long_double, 0))
    return blob.bytes()


def rewritten(data: bytes, refused: frozenset[str]) -> Btf:
    return Btf(sanitized_btf(data, lambda feature: feature not in refused))


def asked_for(data: bytes) -> list[str]:
    """The features that are asked about."""
    asked: list[str] = []

    def takes(feature: str) -> bool:
        asked.append(feature)
        return True

    assert sanitized_btf(data, takes) is data
    return asked


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("refused", REFUSED, ids=REFUSED_IDS)
def test_what_is_refused_is_gone_and_the_rest_is_as_it_was(order: str, refused: frozenset[str]) -> None:
    data = everything(order, bitfield=True)
    before, after = Btf(data), rewritten(data, refused)
    validate(before)
    validate(after)
    assert after.byteorder == before.byteorder
    gone = {kind for feature in refused for kind in NEWER[feature]}
    assert not gone & set(after.kinds())
    for id in range(1, before.nr_types):
        one, other = before.type(id), after.type(id)
        if one.kind == other.kind and one.kind not in (kinds.STRUCT, kinds.UNION):
            assert one.name == other.name
            assert one.type_id == other.type_id
        if one.kind in kinds.SIZED and one.kind != kinds.VAR:
            assert other.size == one.size or one.kind == kinds.VAR
        if one.kind in (kinds.STRUCT, kinds.UNION):
            assert [(m.name, m.bit_offset, m.bitfield_size) for m in one.entries] == [
                (m.name, m.bit_offset, m.bitfield_size) for m in other.entries
            ]
            for mine, yours in zip(one.entries, other.entries, strict=True):
                assert before.size_of(mine.type_id) == after.size_of(yours.type_id)
    changed = {before.kind(id) for id in range(1, before.nr_types) if before.words_of(id) != after.words_of(id)}
    assert changed, "the blob has what the feature is about"


def test_nothing_refused_nothing_changed() -> None:
    data = everything()
    assert sanitized_btf(data, lambda feature: True) is data
    assert asked_for(data) == list(NEWER)


def test_only_what_the_blob_has_is_asked_for() -> None:
    blob = Blob()
    blob.ptr(blob.number())
    blob.add(kinds.FUNC, "f", blob.add(kinds.FUNC_PROTO, "", 0))
    assert asked_for(blob.bytes()) == ["func"]


def test_sections_become_structs_of_their_variables() -> None:
    after = rewritten(everything(), frozenset(("datasec",)))
    section = next(type_ for type_ in after.types() if type_.name == "_data_1")
    assert section.kind == kinds.STRUCT
    assert section.size == 64
    members = {member.name: (member.bit_offset, after.size_of(member.type_id)) for member in section.entries}
    assert members == {"variable": (0, 40), "odd_name": (320, 16), "enough": (448, 4)}
    holder = next(member.type_id for member in section.entries if member.name == "variable")
    assert after.name(holder) == "holder"


def test_a_variable_larger_than_its_place_becomes_a_byte() -> None:
    blob = Blob()
    number = blob.number()
    var = blob.add(kinds.VAR, "v", number, 0)
    unsized = blob.add(kinds.VAR, "w", blob.add(kinds.FWD, "nobody"), 0)
    blob.add(kinds.DATASEC, ".bss", 1 << 31, var, 0, 2, unsized, 8, 8, var, 1 << 30, 4, vlen=3)
    after = rewritten(blob.bytes(), frozenset(("datasec",)))
    section = next(type_ for type_ in after.types() if type_.name == "_bss")
    assert [(m.name, m.bit_offset, after.size_of(m.type_id)) for m in section.entries] == [("v", 0, 1), ("w", 64, 1)]


def test_functions_become_names_of_enums() -> None:
    after = rewritten(everything(), frozenset(("func",)))
    function = after.find("global_function", kinds.TYPEDEF)
    assert function is not None
    enum = after.type(after.type(function).type_id)
    assert enum.kind == kinds.ENUM
    assert [name for name, _ in enum.entries] == ["arg", "other_arg"]
    pointers = (after.type(type_.type_id) for type_ in after.types() if type_.kind == kinds.PTR)
    assert [[name for name, _ in enum.entries] for enum in pointers if enum.kind == kinds.ENUM] == [["_", "_"]]
    tags = {type_.name: type_.kind for type_ in after.types() if type_.name.startswith("on ")}
    assert tags == {
        "on struct": kinds.DECL_TAG, "on variable": kinds.DECL_TAG, "on function": kinds.INT, "on static": kinds.INT,
    }  # fmt: skip


def test_global_functions_become_static() -> None:
    after = rewritten(everything(), frozenset(("func_global",)))
    assert {type_.entries for type_ in after.types() if type_.kind == kinds.FUNC} == {(0,)}


def test_enums_of_64_bits_become_unions_of_their_names() -> None:
    after = rewritten(everything(bitfield=True), frozenset(("enum64",)))
    big = after.find("big", kinds.UNION)
    assert big is not None
    assert [(m.name, after.size_of(m.type_id)) for m in after.type(big).entries] == [("HUGE", 8), ("LEAST", 8)]
    assert not any(type_.kind_flag for type_ in after.types() if type_.kind == kinds.ENUM)
    holder = after.find("holder", kinds.STRUCT)
    assert holder is not None
    kinds_of = {member.name: after.kind(after.resolve(member.type_id)) for member in after.type(holder).entries}
    assert kinds_of["e"] == kinds.UNION
    assert kinds_of["b"] == kinds.INT  # a bitfield can't be a union


def test_attributes_vanish_where_tags_with_a_flag_are_not_known() -> None:
    after = rewritten(everything(), frozenset(("tag_kind_flag",)))
    tags = [type_ for type_ in after.types() if type_.kind in (kinds.TYPE_TAG, kinds.DECL_TAG)]
    assert not any(type_.kind_flag for type_ in tags)
    assert "attribute" not in {type_.name for type_ in tags}
    assert {"user", "on struct"} <= {type_.name for type_ in tags}


@pytest.mark.parametrize("source", ["prog_rich.c", "elf_externs.c", "elf_maps.c", "btf_values.c"])
@pytest.mark.parametrize("target", ["bpf", "bpfeb"])
@pytest.mark.parametrize("refused", REFUSED, ids=REFUSED_IDS)
def test_compiled_objects(compile_c: Compile, source: str, target: str, refused: frozenset[str]) -> None:
    data = fixed_btf(ObjectFile(str(compile_c(source, "-g", target=target))).elf)
    assert data is not None
    after = rewritten(data, refused)
    validate(after)
    assert not {kind for feature in refused for kind in NEWER[feature]} & set(after.kinds())


@pytest.mark.parametrize("feature", BTF_FEATURES)
def test_probes_are_sound_and_about_their_feature(feature: str) -> None:
    blob = BTF_FEATURES[feature]
    validate(Btf(blob))
    assert asked_for(blob)[-1] == feature


def test_the_kernel_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def call(name: str, *args: object) -> int:
        asked.append(name)
        raise OSError(errno.EINVAL, "")

    monkeypatch.setattr(fallbacks, "_answers", {})
    monkeypatch.setattr(libbpf, "call", call)
    assert (takes("float"), takes("float"), takes("map_freeze")) == (False, False, False)
    assert asked == ["bpf_btf_load", "bpf_map_create"]


def test_who_may_not_ask_learns_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(cmd: int, attr: ctypes.Structure) -> int:
        raise PermissionError(errno.EPERM, "")

    monkeypatch.setattr(fallbacks, "_answers", {})
    monkeypatch.setattr(bpf, "bpf", refuse)
    assert takes("prog_name")
    assert not fallbacks._answers
