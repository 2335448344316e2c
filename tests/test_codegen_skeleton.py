"""`gen skeleton` and `subskeleton`: what is in the headers, that C and C++ take them, that no name becomes code."""

from __future__ import annotations

import random
import re
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from bcctool.btf import c_layout
from bcctool.btf.declare import Declarations
from bcctool.codegen import c_bytes as module
from bcctool.codegen.c_bytes import WIDTH, c_bytes
from bcctool.codegen.names import object_name
from bcctool.codegen.outline import Outline
from bcctool.codegen.skeleton import skeleton
from bcctool.codegen.subskeleton import subskeleton
from bcctool.elf.object import ObjectFile
from bcctool.errors import Error, Malformed
from bcctool.loader.linker import link

from .conftest import Completed

Compile = Callable[..., Path]
Bcctool = Callable[..., Completed]
# What a program that includes the skeleton of skeleton.c has to know.
TYPES = """
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int quad[4];
typedef int (*callback)(const char *, volatile int);
typedef int function(int);
typedef void *handle;
enum color { RED, GREEN };
struct point { int x; char y; };
struct undefined;
"""
USE = """
int main(void)
{
	struct %(name)s *skel = %(name)s__open();

	if (!skel || %(name)s__load(skel) || %(name)s__attach(skel))
		return 1;
	%(name)s__detach(skel);
	%(name)s__destroy(skel);
	skel = %(name)s__open_and_load();
	return !skel;
}
"""


@pytest.fixture
def everything(compile_c: Compile) -> ObjectFile:
    return ObjectFile(str(compile_c("skeleton.c", "-g")))


def header(obj: ObjectFile, name: str = "all") -> str:
    return "".join(skeleton(obj, name))


def body(text: str, start: str) -> list[str]:
    """The lines of a struct, from the one that starts it to the one that closes it."""
    lines = text.split("\n")
    first = next(number for number, line in enumerate(lines) if line.strip() == start)
    indent = lines[first][: len(lines[first]) - len(lines[first].lstrip())]
    last = next(number for number in range(first, len(lines)) if lines[number].startswith(f"{indent}}}"))
    return [line.strip() for line in lines[first + 1 : last]]


def embedded(text: str) -> bytes:
    """The bytes of the literals in a header."""
    found = re.findall(r'= "\\\n((?:\\x..|\\0|\\\n)*)";', text)
    assert len(found) == 1
    return unescaped(found[0].replace("\\\n", ""))


def unescaped(text: str) -> bytes:
    return bytes(int(item or "0", 16) for item in re.findall(r"\\(?:x(..)|0)", text))


# -- bytes


@pytest.mark.parametrize("data", [b"", b"\0", b"ab\0", bytes(range(256)) * 40, bytes(5000)])
def test_every_byte_is_there_again(data: bytes) -> None:
    assert unescaped("".join(c_bytes(data)).replace("\\\n", "")) == data


def test_a_line_takes_all_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    data = random.Random(3).randbytes(20_000).replace(b"a", bytes(9))
    lines = "".join(c_bytes(data)).split("\\\n")
    for line, after in pairwise(lines):
        assert len(line) <= WIDTH < len(line) + (4 if after.startswith("\\x") else 2)
    for chunk in (1, 7, 1000):
        monkeypatch.setattr(module, "CHUNK", chunk)
        assert "".join(c_bytes(data)).split("\\\n") == lines


def test_the_object_is_in_the_header(everything: ObjectFile) -> None:
    assert embedded(header(everything)) == Path(everything.path).read_bytes()


# -- names


@pytest.mark.parametrize(
    ("path", "given", "name"),
    [
        ("dir/maps.bpf.o", None, "maps_bpf"),
        ("we-ird.x.o", None, "we_ird_x"),
        ("execsnoop", None, "execsnoop"),
        ("a" * 70 + ".o", None, "a" * 63),
        ("x.o", "Other_1", "Other_1"),
        ("x.o", "b" * 70, "b" * 63),
    ],
)
def test_the_name_of_an_object(path: str, given: str | None, name: str) -> None:
    assert object_name(path, given) == name


@pytest.mark.parametrize("given", ["9x-y", "", "a b", "x;", "*/", "größe"])
def test_a_name_that_c_cannot_have(given: str) -> None:
    with pytest.raises(Error, match="is no C identifier"):
        object_name("x.o", given)


def test_a_file_that_gives_no_name() -> None:
    with pytest.raises(Error, match=r"'9to5' is no C identifier.*: give another one with 'name'"):
        object_name("9to5.o")


def test_maps_are_called_after_the_object_and_their_section(everything: ObjectFile) -> None:
    text = header(everything, "quite_a_long_name")
    assert re.findall(r"struct bpf_map \*(\w+);", text) == [
        "table_map", "data", "rodata", "data_custom", "rodata_foo_bar_and_longer", "bss", "kconfig"
    ]  # fmt: skip
    assert re.findall(r'map->name = "(.*)";', text) == [
        "table_map", "quite_a_.data", "quite_a_.rodata", ".data.custom", ".rodata.foo-bar_and_longer",
        "quite_a_.bss", "quite_a.kconfig",
    ]  # fmt: skip
    found = re.findall(r'map->name = "(.*)";', "".join(subskeleton(ObjectFile(everything.path), "part")))
    assert [name for name in found if name.count(".") == 1] == [".data", ".rodata", ".bss", ".kconfig"]


# -- structs


def test_variables_gaps_and_what_is_left_out(everything: ObjectFile) -> None:
    text = header(everything)
    assert body(text, "struct all__data {") == [
        "int data_int;", "char byte_one;", "long after_a_gap;", "char byte_two;", "short aligned_short;",
        "int weak_one;", "int hidden_one;", "int with_dots;",
    ]  # fmt: skip
    zeros = body(text, "struct all__bss {")
    assert zeros[:3] == ["char __pad0[4];", "int zero;", "char small[3][5];"]  # in front stands the static one
    assert not [line for line in zeros if "static" in line]
    gap = zeros.index("char near;") + 1
    assert re.fullmatch(r"char __pad\d\[\d+\];", zeros[gap])
    assert zeros[gap + 1 :] == ["int far;", zeros[-2], "int (*pointer_to_array)[5];"]
    assert zeros[-2].endswith("[4];")


def test_qualifiers_go_but_not_those_of_the_configuration(everything: ObjectFile) -> None:
    text = header(everything)
    constants = body(text, "struct all__rodata {")
    assert not [line for line in constants if re.search(r"\b(const|volatile)\b", line)]
    assert "char **deep_pointer;" in constants
    assert "int (*constant_function)(char *, int *);" in constants
    assert body(text, "struct all__kconfig {") == ["int LINUX_KERNEL_VERSION;", "const _Bool CONFIG_BPF;"]


def test_a_subskeleton_points_at_each_variable(everything: ObjectFile) -> None:
    text = "".join(subskeleton(everything, "part"))
    pointers = body(text, "struct part__rodata {")
    assert pointers[:3] == ["int *constant;", "__typeof__(char[11]) *text;", "u64 *constant_long;"]
    assert {
        "__typeof__(int (*[2])(int *)) *functions;",
        "function * *no_typeof;",
        "__typeof__(quad) *constant_quad;",
    } < set(pointers)
    assert "__typeof__(int(*)[5]) *pointer_to_array;" in body(text, "struct part__bss {")
    names = re.findall(r's->vars\[(\d+)\]\.name = "(.*)";', text)
    assert f"s->var_cnt = {len(names)};" in text
    assert ("7", "with.dots") in names
    assert "s->vars[7].addr = (void **) &obj->data.with_dots;" in text
    assert "links" not in text


def test_both_byte_orders_have_the_same_struct(compile_c: Compile, everything: ObjectFile) -> None:
    big = ObjectFile(str(compile_c("skeleton.c", "-g", target="bpfeb")))
    texts = [header(obj).partition('= "\\\n')[0] for obj in (big, everything)]
    assert "struct all__bss {" in texts[0]
    assert texts[0] == texts[1]


def test_same_names_are_told_apart(compile_c: Compile) -> None:
    parts = [str(compile_c("skeleton_names.c", "-g", f"-DPART={n}", f"-DNAME=prog_{n}")) for n in (1, 2, 3)]
    text = header(ObjectFile.from_bytes(link(parts), "names.o"))
    zeros = " ".join(body(text, "struct all__bss {"))
    for words in (
        "struct point a1; alias a2; enum choice a3; struct { enum { SHARED = 0, } e; } a4;",
        "struct point___2 b1; alias___2 b2;",
        "enum { SHARED___2 = 0, } e; } b4; struct { enum { SHARED___3 = 0, } e; } b5;",
        "SHARED___4 c1; point c2; struct point___3 c3; union point_union c4;",
        "struct only_declared *c5;",
    ):
        assert words in zeros
    assert body(text, "struct all__data_more {")[-1] == "struct point___2 *b6;"


@pytest.mark.parametrize(
    ("start", "end", "alignment", "between", "fields"),
    [
        (3, 32, 4, True, ["int: 29;"]),
        (32, 128, 8, False, ["long: 64;"]),
        (8, 64, 1, False, ["long: 0;"]),
        (8, 64, 8, False, []),
        (8, 16, 1, False, ["short: 0;"]),
        (16, 32, 1, False, ["int: 0;"]),
        (8, 11, 4, False, ["char: 3;"]),
        (0, 40, 1, False, ["long: 40;"]),
        (64, 64, 8, False, []),
    ],
)
def test_padding(start: int, end: int, alignment: int, between: bool, fields: list[str]) -> None:
    assert c_layout.padding(start, end, alignment, between) == fields


def test_a_hole_of_two_gigabytes_is_one_array(compile_c: Compile, tmp_path: Path) -> None:
    source = tmp_path / "hole.c"
    source.write_text("char one; static char hole[0x90000000U]; int two; char *use(void) { return hole; }")
    text = header(ObjectFile(str(compile_c(source, "-g"))))
    assert body(text, "struct all__bss {") == ["char __pad0[2415919104];", "char one;", "int two;"]


STRUCT_OPS = """
#define SEC(name) __attribute__((section(name), used))
typedef unsigned int u32;
enum mode { ONE };
struct table {
	int (*init)(void *); void (*exit)(struct table *, int); char name[16]; const u32 flags; const char *owner;
	char one; float real; enum mode mode; struct { int a, b; } inner; unsigned long long large; int bits: 3; char last;
};
SEC("struct_ops/init") int on_init(void *ctx) { return 0; }
SEC(".struct_ops") struct table first = { .init = (void *)on_init };
SEC(".struct_ops.link") struct table second = { .init = (void *)on_init };
"""


def test_shadow_types(compile_c: Compile, tmp_path: Path) -> None:
    source = tmp_path / "ops.c"
    source.write_text(STRUCT_OPS)
    text = header(ObjectFile(str(compile_c(source, "-g"))), "ops")
    assert body(text, "struct ops__first__table {") == [
        "struct bpf_program *init;", "struct bpf_program *exit;", "char __unsupported_2[16];", "u32 flags;",
        "char __padding_4[4];", "char __unsupported_4[8];", "char one;", "char __padding_6[3];", "float real;",
        "enum mode mode;", "char __unsupported_8[8];", "char __padding_9[4];", "unsigned long long large;",
        "char __padding_11[1];", "char last;", "char __padding_end[6];",
    ]  # fmt: skip
    assert re.findall(r"struct bpf_link \*(\w+);", text) == ["on_init", "first", "second"]
    assert "\tobj->struct_ops.second = (__typeof__(obj->struct_ops.second))\n" in text
    assert "#if LIBBPF_MAJOR_VERSION > 1" in text  # the installed libbpf may have no links of maps
    check(tmp_path, "typedef unsigned int u32; enum mode { ONE };", text, "ops")


def test_variables_of_an_arena(compile_c: Compile, tmp_path: Path) -> None:
    source = tmp_path / "arena.c"
    source.write_text(
        "struct { int (*type)[33]; int (*max_entries)[10]; int (*map_flags)[0x400]; } memory "
        '__attribute__((section(".maps"), used));\n'
        'int shared __attribute__((section(".addr_space.1"), used)) = 3;'
    )
    text = header(ObjectFile(str(compile_c(source, "-g"))))
    assert body(text, "struct all__arena {") == ["int shared;"]
    assert "\tmap->map = &obj->maps.memory;\n\tmap->mmaped = (void **)&obj->arena;\n" in text
    check(tmp_path, "", text)


def test_an_object_without_btf(compile_c: Compile, tmp_path: Path) -> None:
    path = str(compile_c("insn_mix.c"))
    text = header(ObjectFile(path))
    assert re.findall(r"struct bpf_map \*(\w+);", text)
    assert "mmaped" not in text
    check(tmp_path, "", text)
    with pytest.raises(Error, match="need btf type information for part"):
        subskeleton(ObjectFile(path), "part")


# -- compilers


def check(directory: Path, types: str, text: str, name: str = "all", use: str = USE) -> None:
    """Let the compilers for C and C++ say what they think of a header and its use."""
    (directory / "all.h").write_text(text)
    for compiler, source in (("gcc", "main.c"), ("g++", "main.cc")):
        if not shutil.which(compiler) or not Path("/usr/include/bpf/libbpf.h").exists():
            pytest.skip(f"{compiler} or libbpf's headers are not installed")
        (directory / source).write_text(f'{types}\n#include "all.h"\n{use % {"name": name}}')
        command = [compiler, "-Wall", "-Werror", "-fsyntax-only", source]
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
        assert not done.returncode, done.stderr


@pytest.mark.parametrize("clang", ["clang", "clang-16", "clang-19"])
def test_c_and_cpp_take_a_skeleton(tmp_path: Path, clang: str) -> None:
    check(tmp_path, TYPES, header(ObjectFile(str(compiled_by(clang, tmp_path)))))


def test_c_and_cpp_take_a_subskeleton(everything: ObjectFile, tmp_path: Path) -> None:
    use = "int main(void) { %(name)s__destroy(%(name)s__open(NULL)); return 0; }"
    check(tmp_path, TYPES, "".join(subskeleton(everything, "all")), use=use)


def test_a_wrong_layout_does_not_compile(everything: ObjectFile, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="unexpected size of 'corner'"):
        check(tmp_path, TYPES.replace("char y;", "char y[9];"), header(everything))


def compiled_by(clang: str, directory: Path) -> Path:
    if not shutil.which(clang):
        pytest.skip(f"{clang} is not installed")
    out = directory / "all.o"
    source = Path(__file__).parent / "programs" / "skeleton.c"
    subprocess.run([clang, "-O2", "-g", "-target", "bpf", "-c", source, "-o", out], check=True)
    return out


# -- hostile objects


HOSTILE = [
    (b"data_int", b'dat"_int', "variable"),
    (b"data_int", b"dat\nint\n", "variable"),
    (b"hidden_one", b"int;*/x//y", "variable"),
    (b"table_map", b"table*/ap", "map"),
    (b"table_map", b"data\0\0\0\0\0", "two things would be called 'data'"),
    (b"first_prog", b"first prog", "program"),
    (b"aligned_short", b"__pad;\\\nnext_", "variable"),
    (b".data.custom\0", b'.data.cu"tom\0', "characters in its name that cannot stand in C"),
    (b".data.custom\0", b".data.c??/om\0", "characters in its name that cannot stand in C"),
    (b"undefined\0", b"undef*/ed\0", "the name 'undef\\*/ed' is no C identifier"),
    (b"in_union\0", b"in union\0", "the name 'in union' is no C identifier"),
    (b"ANON_A\0", b"ANON=A\0", "the name 'ANON=A' is no C identifier"),
    (b"callback\0", b"call;ack\0", "the name 'call;ack' is no C identifier"),
    (b"long long\0", b"long;long\0", "is no C type"),
]


@pytest.mark.parametrize(("name", "hostile", "reason"), HOSTILE)
@pytest.mark.parametrize("generate", [skeleton, subskeleton])
def test_no_name_becomes_code(
    everything: ObjectFile, name: bytes, hostile: bytes, reason: str,
    generate: Callable[[ObjectFile, str], Iterator[str]],
) -> None:  # fmt: skip
    data = Path(everything.path).read_bytes()
    assert name in data
    with pytest.raises(Error, match=reason) as caught:
        generate(ObjectFile.from_bytes(data.replace(name, hostile), "in.o"), "all")
    assert "\n" not in caught.value.message


def test_two_sections_of_one_name_in_c(compile_c: Compile, tmp_path: Path) -> None:
    source = tmp_path / "twice.c"
    source.write_text('int a __attribute__((section(".data.x-y"))) = 1, b __attribute__((section(".data.x_y"))) = 1;')
    with pytest.raises(Error, match="two things would be called 'data_x_y' in C"):
        header(ObjectFile(str(compile_c(source, "-g"))))


def test_what_libbpf_would_not_open(compile_c: Compile) -> None:
    for source, reason in (
        ("link_caller.c", "'shared' is not defined in it"),
        ("prog_legacy.c", "map 'counter_map' is a legacy definition"),
    ):
        with pytest.raises(Error, match=reason) as caught:
            header(ObjectFile(str(compile_c(source, "-g"))))
        assert caught.value.status == 161


def test_damage_is_an_error_or_harmless(everything: ObjectFile) -> None:
    choose, intact = random.Random(11), Path(everything.path).read_bytes()
    for _ in range(300):
        data = bytearray(intact)
        for _ in range(choose.randrange(1, 4)):
            data[choose.randrange(len(data))] ^= 1 << choose.randrange(8)
        for generate in (skeleton, subskeleton):
            message = ""
            try:
                assert "".join(generate(ObjectFile.from_bytes(bytes(data), "in.o"), "all")).isascii()
            except Error as error:
                message = error.message
            assert "\n" not in message


def test_what_is_too_much(compile_c: Compile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "much.c"
    source.write_text("struct { char a, b __attribute__((aligned(1 << 20))); } a, b, c, d, e, f, g, h;")
    obj = ObjectFile(str(compile_c(source, "-g")))
    with pytest.raises(Malformed):
        header(obj)
    monkeypatch.setattr("bcctool.codegen.outline.validate", lambda btf: None)
    with pytest.raises(Malformed, match="more than 131072 members, parameters and the like to declare"):
        header(obj)
    monkeypatch.setattr("bcctool.codegen.outline.MAX_VARIABLES", 7)
    with pytest.raises(Error, match="more than 7 variables"):
        header(obj)


def test_overlapping_variables(everything: ObjectFile) -> None:
    outline = Outline(everything, "all", "all")
    assert everything.btf is not None
    data = outline.data[0]
    data.variables[1].offset = 2
    with pytest.raises(Error, match="variable 'byte_one' overlaps the one before it"):
        data.gaps(Declarations(everything.btf))


def test_a_section_is_no_type_of_a_value(everything: ObjectFile) -> None:
    assert everything.btf is not None
    id = everything.btf.find(".data")
    assert id is not None
    with pytest.raises(Malformed, match="is no type of a value"):
        Declarations(everything.btf).declare(id, "x")


# -- command line


def test_the_header_goes_to_stdout(bcctool: Bcctool, everything: ObjectFile, tmp_path: Path) -> None:
    path = tmp_path / "my-prog.bpf.o"
    shutil.copy(everything.path, path)
    named = bcctool("gen", "skeleton", path, status=0).stdout
    assert "#ifndef __MY_PROG_BPF_SKEL_H__" in named
    assert bcctool("gen", "skel", path, "n", "all", status=0).stdout == header(everything)
    assert bcctool("-j", "gen", "skeleton", path, status=0).stdout == named + "\n"
    assert "__ALL_SUBSKEL_H__" in bcctool("gen", "subskeleton", path, "name", "all", status=0).stdout


def test_an_executable_that_embeds_an_object(bcctool: Bcctool, everything: ObjectFile, tmp_path: Path) -> None:
    path = tmp_path / "tool"
    path.write_bytes(
        struct.pack("<16sHH", b"\x7fELF\2\1\1", 2, 62).ljust(4096, b"\0") + Path(everything.path).read_bytes()
    )
    text = bcctool("gen", "skeleton", path, status=0).stdout
    assert embedded(text) == Path(everything.path).read_bytes()
    assert "struct tool__data {" in text


def test_the_help_has_the_grammar(bcctool: Bcctool) -> None:
    text = bcctool("gen", "help", status=0).stderr
    assert "bcctool gen skeleton FILE [name OBJECT_NAME]\n" in text
    assert "bcctool gen subskeleton FILE [name OBJECT_NAME]\n" in text


FAILURES = [
    ("skeleton", 255, "'skeleton' needs at least 1 arguments, 0 found"),
    ("skeleton /nosuch.o", 255, "/nosuch.o: No such file or directory"),
    ("skeleton OBJ name", 255, ".o' needs at least 2 arguments, 1 found"),
    ("skeleton OBJ frob x", 255, "unknown arg frob"),
    ("skeleton OBJ name x name y", 255, "object name already specified"),
    ("skeleton OBJ name 9x-y", 255, "'9x-y' is no C identifier, which the object's name has to be"),
    ("skeleton TEXT", 95, "not an ELF file"),
    ("subskeleton TEXT", 255, "not an ELF file"),
    ("skeleton BAD", 234, "no C identifier"),
]


@pytest.mark.parametrize(("words", "status", "message"), FAILURES)
def test_failures_are_one_line(
    bcctool: Bcctool, everything: ObjectFile, tmp_path: Path, words: str, status: int, message: str
) -> None:
    (tmp_path / "text.o").write_text("hello")
    (tmp_path / "bad.o").write_bytes(Path(everything.path).read_bytes().replace(b"in_union", b"in\x1b[2Jon"))
    for word, path in (("OBJ", everything.path), ("TEXT", tmp_path / "text.o"), ("BAD", tmp_path / "bad.o")):
        words = words.replace(word, str(path))
    done = bcctool("gen", *words.split(), status=status)
    assert done.stdout == ""
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert "\x1b" not in done.stderr
