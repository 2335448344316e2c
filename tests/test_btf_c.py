"""BTF as a C header: its frame, the order of types, kernel functions; that clang takes it; blobs kept from libbpf."""

from __future__ import annotations

import os
import random
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bcctool.btf import kinds
from bcctool.btf.c import FOOTER, HEADER, c_header
from bcctool.btf.layout import SIGNED
from bcctool.btf.order import Order
from bcctool.btf.reader import HEADER_LEN, Btf
from bcctool.errors import Malformed

from .conftest import ROOT
from .test_btf_blobs import Blob, section

NO_KFUNCS = b"\n/* BPF kfuncs */\n#ifndef BPF_NO_KFUNC_PROTOTYPES\n#endif\n\n"
WARNINGS = ("-Werror", "-Wno-pragma-clang-attribute")  # a header without structs has no use for its pragma
VMLINUX = Path("/sys/kernel/btf/vmlinux")


def types(btf: Btf, roots: list[int] | None = None, sort: bool = True) -> str:
    """The header without its frame."""
    text = c_header(btf, roots, sort)
    assert text.startswith(HEADER.encode())
    assert text.endswith(FOOTER.encode())
    body = text[len(HEADER) : -len(FOOTER)]
    assert roots is not None or body.endswith(NO_KFUNCS)
    return body.removesuffix(NO_KFUNCS).decode()


def compiles(text: bytes, tmp_path: Path, *more: str) -> None:
    if not shutil.which("clang"):
        pytest.skip("clang is not installed")
    header = tmp_path / "vmlinux.h"
    header.write_bytes(text + "\n".join(more).encode() + b"\n")
    command = ["clang", "-target", "bpf", "-fsyntax-only", *WARNINGS, "-std=c2x", "-x", "c", str(header)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_types() -> None:
    assert c_header(Blob().btf()) == HEADER.encode() + NO_KFUNCS + FOOTER.encode()


def test_frame_compiles(tmp_path: Path) -> None:
    compiles(c_header(Blob().btf()), tmp_path, "extern int f(void) __weak __ksym;", "__bpf_fastcall int g(void);")


def mixed() -> Btf:
    blob = Blob()
    number = blob.number("int", 4, SIGNED)
    blob.struct("zebra", 4, ("stripes", number, 0))
    blob.add(kinds.TYPEDEF, "alpha", blob.struct("", 4, ("x", number, 0)))
    blob.struct("ant", 8, ("zebra", 2, 0), ("n", number, 32))
    blob.enum("late", 4, ("LATE", 1))
    blob.enum("early", 4, ("EARLY", 1))
    blob.enum("", 4, ("NAMELESS_B", 1))
    blob.enum("", 4, ("NAMELESS_A", 1))
    blob.add(kinds.TYPEDEF, "number_t", number)
    blob.add(kinds.FWD, "unknown")
    return blob.btf()


def definitions(text: str) -> list[str]:
    return re.findall(r"^(?:\t(NAMELESS_.)|(?:struct|enum) (\w+) ?[{;]|typedef .*?(\w+);|} (\w+);)", text, re.M)


def names(text: str) -> list[str]:
    return ["".join(found) for found in definitions(text)]


def test_sorted_order_and_its_first_type() -> None:
    """Anonymous enums, enums, integers, then structs with what they need before them; bpftool loses the very first."""
    expected = ["NAMELESS_A", "NAMELESS_B", "early", "late", "number_t", "alpha", "zebra", "ant", "unknown"]
    assert names(types(mixed())) == expected


def test_order_of_ids() -> None:
    expected = ["zebra", "alpha", "ant", "late", "early", "NAMELESS_B", "NAMELESS_A", "number_t", "unknown"]
    assert names(types(mixed(), sort=False)) == expected


def test_text_of_types() -> None:
    assert types(mixed(), roots=[5, 4]) == (
        "struct zebra {\n\tint stripes;\n};\n\nstruct ant {\n\tstruct zebra zebra;\n\tint n;\n};\n\n"
        "typedef struct {\n\tint x;\n} alpha;\n\n"
    )


def test_empty_parameter_list_is_void() -> None:
    blob = Blob()
    blob.add(kinds.TYPEDEF, "handler", blob.ptr(blob.proto(blob.number("int", 4, SIGNED))))
    assert types(blob.btf()) == "typedef int (*handler)(void);\n\n"


def test_attribute_is_no_type_tag() -> None:
    blob = Blob()
    blob.add(kinds.TYPEDEF, "far", blob.ptr(blob.add(kinds.TYPE_TAG, "address_space(1)", 0, flag=True)))
    blob.add(kinds.TYPEDEF, "user", blob.ptr(blob.add(kinds.TYPE_TAG, "user", 0)))
    text = types(blob.btf())
    assert "typedef void __attribute__((address_space(1))) *far;" in text
    assert 'typedef void __attribute__((btf_type_tag("user"))) *user;' in text


def test_equal_names_are_ordered_by_what_is_inside() -> None:
    """ "a" hashes to 97, "b" to 98: the struct with member a comes first, whatever the ids."""
    blob = Blob()
    number = blob.number("int", 4, SIGNED)
    blob.struct("twin", 4, ("b", number, 0))
    blob.struct("twin", 4, ("a", number, 0))
    assert Order(blob.btf()).sorted() == [number, 3, 2]
    text = " ".join(types(blob.btf()).split())
    assert text == "struct twin { int a; }; struct twin___2 { int b; };"


def test_typedefs_of_pointers_first() -> None:
    """A pointer to a typedef of an anonymous struct has no name of its own, so it brings that typedef to the front."""
    blob = Blob()
    number = blob.number("int", 4, SIGNED)
    blob.add(kinds.TYPEDEF, "first_by_name", blob.struct("", 4, ("a", number, 0)))
    later = blob.add(kinds.TYPEDEF, "pointed_to", blob.struct("", 4, ("b", number, 0)))
    blob.ptr(later)
    assert names(types(blob.btf())) == ["pointed_to", "first_by_name"]


def test_kernel_functions(tmp_path: Path) -> None:
    blob = Blob()
    number = blob.number("int", 4, SIGNED)
    task = blob.ptr(blob.struct("task", 4, ("pid", number, 0)))
    functions = [
        blob.add(kinds.FUNC, name, blob.proto(result, *parameters), vlen=1)
        for name, result, parameters in (
            ("zoom", number, [("task", task), ("", number)]),
            ("adopt", task, []),
            ("hidden", 0, []),
        )
    ]
    for id in functions[:2]:
        blob.add(kinds.DECL_TAG, "bpf_kfunc", id, 0xFFFFFFFF)
    blob.add(kinds.DECL_TAG, "bpf_fastcall", functions[0], 0xFFFFFFFF)
    blob.add(kinds.DECL_TAG, "bpf_kfunc", functions[0], 0)
    text = c_header(blob.btf())
    start = text.index(b"\n/* BPF kfuncs */")
    assert text[start : -len(FOOTER)].decode() == (
        "\n/* BPF kfuncs */\n#ifndef BPF_NO_KFUNC_PROTOTYPES\n"
        "extern struct task *adopt(void) __weak __ksym;\n"
        "extern __bpf_fastcall int zoom(struct task *task, int) __weak __ksym;\n"
        "#endif\n\n"
    )
    compiles(text, tmp_path)
    assert b"kfuncs" not in c_header(blob.btf(), roots=[2])


def test_split_blob_comes_with_its_base() -> None:
    base = Blob()
    base.struct("base", 4, ("a", base.number("int", 4, SIGNED), 0))
    own = Blob(first_id=3, first_string=len(base.strings))
    own.struct("own", 4, ("base", 2, 0))
    text = types(own.btf(base.btf()))
    assert names(text) == ["base", "own"]
    assert "struct base base;" in text


@pytest.mark.parametrize("sort", [True, False])
@pytest.mark.parametrize("target", ["bpf", "bpfeb"])
def test_sizes_and_offsets_survive(compile_c: Callable[..., Path], tmp_path: Path, target: str, sort: bool) -> None:
    btf = Btf(section(compile_c("btf_values.c", "-g", target=target), ".BTF"))
    checks = []
    for type_ in btf.types():
        if type_.kind == kinds.STRUCT and type_.name:
            checks.append(f"_Static_assert(sizeof(struct {type_.name}) == {type_.size});")
            checks += [
                f"_Static_assert(__builtin_offsetof(struct {type_.name}, {member.name}) == {member.bit_offset // 8});"
                for member in type_.entries
                if member.name and not member.bitfield_size
            ]
    assert len(checks) > 20
    compiles(c_header(btf, sort=sort), tmp_path, *checks)


def test_unsound_blob_reaches_no_c_code() -> None:
    blob = Blob()
    blob.struct("s", 4, ("a", 1, 0))
    with pytest.raises(Malformed, match="contains itself"):
        c_header(blob.btf())


def test_control_characters_reach_no_c_code() -> None:
    blob = Blob()
    blob.struct("s\x1b[2J", 4, ("a", blob.number(), 0))
    with pytest.raises(Malformed, match="characters that C cannot have"):
        c_header(blob.btf())


def test_no_descriptor_is_left() -> None:
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        c_header(mixed())
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.skipif(not VMLINUX.exists(), reason="the kernel has no BTF of its own")
def test_kernel_btf(tmp_path: Path) -> None:
    text = c_header(Btf(VMLINUX.read_bytes()), trusted=True)
    assert b"\nstruct task_struct {\n" in text
    compiles(text, tmp_path)


# A crash in C would take the test runner along, so the blobs are given to a process of their own.
DUMP_ALL = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
from bcctool.btf.c import c_header
from bcctool.btf.reader import Btf
from bcctool.errors import Error
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        data = file.read()
    for sort in (True, False):
        try:
            c_header(Btf(data), sort=sort)
        except Error:
            pass
    print(path, flush=True)
"""


def test_no_damage_crashes_the_printer(compile_c: Callable[..., Path], tmp_path: Path) -> None:
    choose, paths = random.Random(3), []
    whole = section(compile_c("btf_values.c", "-g"), ".BTF")
    types_end = HEADER_LEN + struct.unpack_from("<I", whole, 12)[0]
    for number in range(400):
        data = bytearray(whole)
        for _ in range(choose.randrange(1, 4)):
            at = choose.randrange(HEADER_LEN, types_end, 4)
            (word,) = struct.unpack_from("<I", data, at)
            choices = word ^ 1 << choose.randrange(32), choose.randrange(80), 0xFFFFFFFF, choose.randrange(1 << 32)
            struct.pack_into("<I", data, at, choose.choice(choices))
        path = tmp_path / str(number)
        path.write_bytes(data)
        paths.append(str(path))
    done = subprocess.run([sys.executable, "-c", DUMP_ALL, *paths], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.returncode, done.stdout.splitlines()[-1:], done.stderr)
    assert done.stdout.split() == paths
