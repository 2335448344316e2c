"""`gen python`: what modules declare, that Python and its checkers take them, that no name becomes code."""

from __future__ import annotations

import ast
import importlib.util
import keyword
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from bcctool import skeleton
from bcctool.btf import kinds
from bcctool.codegen.python_module import python_module
from bcctool.codegen.python_types import Names, attributes, class_name
from bcctool.elf.object import ObjectFile
from bcctool.errors import Malformed
from bcctool.objects.map_kinds import KINDS

from .conftest import PROGRAMS, ROOT, Completed
from .elf_writer import Sample

Compile = Callable[..., Path]
Bcctool = Callable[..., Completed]
FLAGS = {"ksyms_kconfig.c": ["-DKCONFIG"], "struct_ops.c": ["-DLINK", "-DSHADOW"], "data_sections.c": ["-DOWN_BSS"]}
OTHERS = ("attach_target.c", "attach_usdt.c", "elf_legacy.c", "stacks_target.c")  # no BPF, or no BTF
SOURCES = sorted(path.name for path in PROGRAMS.glob("*.c") if path.name not in OTHERS)


@pytest.fixture
def everything(compile_c: Compile) -> ObjectFile:
    return ObjectFile(str(compile_c("python_module.c", "-g")))


def module_text(obj: ObjectFile, name: str = "all") -> str:
    return "".join(python_module(obj, name))


def imported(text: str, directory: Path) -> Any:
    """The module of a text."""
    path = directory / "generated.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location("generated", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["generated"] = module  # get_type_hints looks there
    spec.loader.exec_module(module)
    return module


def body(text: str, name: str) -> list[str]:
    """The lines of a class, without its docstring."""
    found = re.search(rf"^class {name}\((?:.|\n)*?\):\n    \"\"\".*\n\n((?:    .*\n)*)", text, re.MULTILINE)
    assert found, text
    return [line.strip() for line in found[1].splitlines()]


def check_inert(text: str) -> None:
    """Assert that a module does nothing but declare: its calls and statements are those of the template."""
    tree = ast.parse(text)
    statements = (ast.Expr, ast.ImportFrom, ast.Import, ast.AnnAssign, ast.Assign, ast.ClassDef, ast.FunctionDef)
    for node in ast.walk(tree):
        assert not isinstance(node, ast.stmt) or isinstance(node, statements), ast.dump(node)
        if isinstance(node, ast.Expr):
            assert isinstance(node.value, ast.Constant) or "super" in ast.unparse(node), ast.dump(node)
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            classes = {item.name for item in tree.body if isinstance(item, ast.ClassDef)}
            assert called in {"TypedDict", "super", "super().__init__", *classes}
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = {alias.name for alias in node.names}
            assert names <= {"annotations", "builtins", "skeleton", "Literal", "TypeAlias", "TypedDict"}
    assert text.isascii()
    assert text.isprintable() or set(text) - set(map(chr, range(32, 127))) <= {"\n"}


# -- all objects


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("target", ["bpf", "bpfeb"])
def test_modules_of_all_objects(compile_c: Compile, tmp_path: Path, source: str, target: str) -> None:
    obj = ObjectFile(str(compile_c(source, "-g", *FLAGS.get(source, ()), target=target)))
    text = module_text(obj)
    assert text == module_text(ObjectFile(obj.path))
    check_inert(text)
    module = imported(text, tmp_path)
    app = module.All()
    assert app._obj.elf.data == Path(obj.path).read_bytes()
    for part in vars(app).values():
        if isinstance(part, (skeleton.Data, skeleton.Maps, skeleton.Programs)):
            assert set(get_type_hints(type(part))) >= set(part._attributes)
        if isinstance(part, skeleton.Data) and part._section != ".kconfig":
            assert all(getattr(part, name) is not None for name in part._attributes)
    assert [prog.name for prog in getattr(app, "progs", ())] == [prog.name for prog in obj.progs]
    assert len(list(getattr(app, "maps", ()))) == len([map_ for map_ in obj.maps if not map_.global_data])


def test_mypy_and_ruff_take_modules(compile_c: Compile, tmp_path: Path) -> None:
    paths = []
    for source in SOURCES:
        path = tmp_path / f"m_{source[:-2]}.py"
        path.write_text(module_text(ObjectFile(str(compile_c(source, "-g", *FLAGS.get(source, ())))), source[:-2]))
        paths.append(path)
    clean("ruff", "check", "--no-cache", "--config", ROOT / "ruff.toml", *paths)
    clean(*MYPY, *paths)


MYPY = ("mypy", "--strict", "--config-file", ROOT / "setup.cfg", "--cache-dir", ROOT / ".mypy_cache")


def checked(*words: str | Path) -> Completed:
    """What a checker of this Python's environment says."""
    command = Path(sys.executable).parent / words[0]
    if not command.exists():
        pytest.skip(f"{words[0]} is not installed")
    return subprocess.run([command, *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False)


def clean(*words: str | Path) -> None:
    done = checked(*words)
    assert not done.returncode, done.stdout + done.stderr


USE = """
from generated import All, Note

app = All()
app.rodata.wanted = 3
app.rodata.setting = {"first": 1, "text": b"x"}
hits: int = app.bss.hits + app.bss.class_ + app.bss.import_[1]
with app.load(debug=print) as same:
    note: Note = same.maps.notes[1]
    app.maps.notes[1] = {"count": 1, "verdict": "MANY", "comm": "x", "bytes": [1]}
    app.maps.counts[0] += note["count"]
    app.maps.by_cpu[0] = 3
    total = sum(app.maps.by_cpu[0]) + sum(value for value in app.maps.counts.values())
    app.maps.hash_by_cpu[1] = [1, 2]
    app.maps.waiting.push(total)
    value: int | None = app.maps.waiting.pop()
    inner: int = app.maps.outer[1][0]
    app.maps.outer[0] = app.maps.counts
    app.maps.tails[1] = app.progs.drop
    del app.maps.notes[1]
    del app.maps.tails[1]
    raw: bytes = app.maps.untyped[b"abcdef"]
    app.progs.pass_.attach(dev="lo").close()
    verdict: int = app.progs.pass_.run(data=b"").retval
    for key, entry in app.maps.notes.items():
        print(key + 1, entry["word"], app.kconfig.LINUX_KERNEL_VERSION)
"""
REFUSED = {
    'app.maps.counts["x"]': 'expected type "int"',
    'app.maps.counts[0] = "x"': 'target has type "int"',
    "del app.maps.counts[0]": "__delitem__",
    "app.maps.nosuch": 'has no attribute "nosuch"',
    "app.maps.events[0]": "not indexable",
    "app.maps.waiting[0]": "not indexable",
    'app.maps.waiting.push("x")': 'expected "int"',
    'app.maps.notes[0]["nosuch"]': 'has no key "nosuch"',
    'app.maps.notes[0] = {"count": "x"}': 'item "count" has type "int"',
    "app.maps.untyped[1]": 'expected type "bytes"',
    "app.rodata.nosuch": 'has no attribute "nosuch"',
    'app.rodata.wanted = "x"': 'variable has type "int"',
    "app.rodata.nosuch = 1": 'has no attribute "nosuch"',
    'app.rodata.setting = {"first": 1}': 'Missing key "text"',
    'app.bss.hits = "x"': 'variable has type "int"',
    "app.progs.nosuch": 'has no attribute "nosuch"',
    "app.progs.count.attach(dev=3)": 'expected "str | None"',
    "app.progs.count.attach(nosuch=3)": "Unexpected keyword argument",
    "app.nosuch": 'has no attribute "nosuch"',
}


def test_mypy_knows_right_from_wrong(everything: ObjectFile, tmp_path: Path) -> None:
    (tmp_path / "generated.py").write_text(module_text(everything))
    start = USE.count("\n")
    (tmp_path / "use.py").write_text(USE + "\n".join(REFUSED) + "\n")
    done = checked(*MYPY, "--no-pretty", tmp_path / "use.py", tmp_path / "generated.py")
    for number, (line, reason) in enumerate(REFUSED.items(), start + 1):
        assert re.search(rf"use.py:{number}: error: .*{re.escape(reason)}", done.stdout), f"{line}: {done.stdout}"
    assert done.stdout.count(": error: ") == len(REFUSED), done.stdout


# -- declarations


def test_variables_by_section(everything: ObjectFile) -> None:
    text = module_text(everything)
    assert 'class Rodata(skeleton.Data, section=".rodata"):\n    """Constants, to be set before the load' in text
    assert sorted(body(text, "Rodata")) == [
        "setting: Setting  # const volatile struct {...}", "wanted: int  # const volatile __u32"
    ]  # fmt: skip
    assert body(text, "Setting") == ["first: int  # __u16", "text: str | bytes  # char[6]"]
    assert body(text, "Data") == ["step: int"]
    assert body(text, "DataOwn") == ["own: int"]
    assert body(text, "Kconfig") == ["LINUX_KERNEL_VERSION: int"]
    assert {"truth: bool  # _Bool", "real: float", "hits: int  # __u64"} < set(body(text, "Bss"))
    assert "hidden" not in text  # it is static
    assert "        self.data_own = DataOwn(self)\n" in text
    assert 'Verdict: TypeAlias = Literal["FEW", "MANY"] | int  # enum verdict\n' in text


def test_names_that_python_cannot_have(everything: ObjectFile) -> None:
    text = module_text(everything)
    renamed = {
        "class_": "class", "import_": "import", "None_": "None", "dotted_name_": "dotted.name",
        "_private": "__private", "_memory_": "_memory",
    }  # fmt: skip
    found = dict(re.findall(r'^        "(\w+)": "(.+)",$', text, re.MULTILINE))
    assert found == renamed
    assert sorted(line.partition(":")[0] for line in body(text, "Bss")) == sorted(
        [*renamed, "bytes", "dotted_name", "hits", "odd", "real", "str", "truth", "version"]
    )
    assert "str: builtins.str | builtins.bytes  # char[4]" in body(text, "Bss")
    assert 'class Progs(skeleton.Programs, names={"pass_": "pass"}):' in text
    assert '    {\n        "__inside": int,\n        "def": list[OddDef],  # struct {...}[2]\n    },\n' in text


def test_a_union_takes_one_of_its_members(everything: ObjectFile) -> None:
    text = module_text(everything)
    assert "class Note(TypedDict, total=False):" in text
    assert body(text, "Note") == [
        "count: int  # __u64", "verdict: Verdict  # enum verdict", "comm: str | builtins.bytes  # char[8]",
        "word: int  # __u32", "bytes: list[int]  # __u8[4]", "low: int  # __u32: 4", "high: int  # __u32: 4",
    ]  # fmt: skip
    assert "class Setting(TypedDict):" in text


def test_maps_by_kind(everything: ObjectFile) -> None:
    assert set(body(module_text(everything), "Maps")) == {
        "notes: skeleton.HashMap[int, Note]  # hash, max_entries 8",
        "counts: skeleton.ArrayMap[int]  # array, max_entries 3",
        "by_cpu: skeleton.PerCpuArrayMap[int]  # percpu_array, max_entries 1",
        "hash_by_cpu: skeleton.PerCpuHashMap[int, int]  # percpu_hash, max_entries 2",
        "waiting: skeleton.QueueMap[int]  # queue, max_entries 2",
        "events: skeleton.OpaqueMap  # ringbuf, max_entries 4096",
        "untyped: skeleton.HashMap[bytes, bytes]  # hash, max_entries 4",
        "tails: skeleton.FdMap[int]  # prog_array, max_entries 2",
        "outer: skeleton.MapOfMaps[int, skeleton.ArrayMap[int]]  # array_of_maps, max_entries 2",
    }


def test_struct_ops_maps(compile_c: Compile) -> None:
    text = module_text(ObjectFile(str(compile_c("struct_ops.c", "-g", "-DLINK"))))
    assert [line.split("  #")[0] for line in body(text, "Maps")] == [
        "by_update: skeleton.StructOpsMap", "by_link: skeleton.StructOpsMap"
    ]  # fmt: skip


def test_kinds_are_those_of_the_kernel() -> None:
    from bcctool.kernel import uapi

    assert set(KINDS) < set(uapi.MAP_TYPES)


def test_an_object_without_btf(compile_c: Compile, tmp_path: Path) -> None:
    text = module_text(ObjectFile(str(compile_c("prog_legacy.c"))))
    assert "(skeleton.Data" not in text
    assert all("[bytes, bytes]" in line or "ArrayMap[bytes]" in line for line in body(text, "Maps"))
    assert imported(text, tmp_path).All().maps


def test_a_structure_that_points_to_itself(tmp_path: Path, compile_c: Compile) -> None:
    source = tmp_path / "list.c"
    source.write_text("struct node { struct node *next; int n; } head; typedef struct { int a; } pair_t; pair_t pair;")
    text = module_text(ObjectFile(str(compile_c(source, "-g"))))
    assert body(text, "Node") == ["next: int  # struct node *", "n: int"]
    assert body(text, "PairT") == ["a: int"]


def test_a_type_leaves_the_names_of_the_module_alone(tmp_path: Path, compile_c: Compile) -> None:
    source = tmp_path / "names.c"
    source.write_text(
        "struct all { int a; } one; struct bss { int b; } two; struct Literal { int c; } three; struct skeleton "
        "{ int d; } four; struct None { int e; } five; int Bss, skeleton, builtins, All;"
    )
    text = module_text(ObjectFile(str(compile_c(source, "-g"))))
    assert [body(text, name) for name in ("AllType", "BssType", "LiteralType", "Skeleton", "NoneType")] == [
        ["a: int"], ["b: int"], ["c: int"], ["d: int"], ["e: int"]
    ]  # fmt: skip
    assert {"Bss_: int", "skeleton_: int", "builtins_: int", "All_: int"} < set(body(text, "Bss"))
    assert imported(text, tmp_path).All().bss.three == {"c": 0}


@pytest.mark.parametrize("member", ["class", "usual"])
def test_the_first_declaration_is_where_linters_want_it(tmp_path: Path, compile_c: Compile, member: str) -> None:
    source, generated = tmp_path / "first.c", tmp_path / "first.py"
    source.write_text(f"struct {{ int {member}; }} variable;")
    generated.write_text(module_text(ObjectFile(str(compile_c(source, "-g")))))
    clean("ruff", "check", "--no-cache", "--config", ROOT / "ruff.toml", generated)


def test_a_large_enum(tmp_path: Path, compile_c: Compile) -> None:
    source = tmp_path / "enums.c"
    huge = ", ".join([f"H{number}" for number in range(300)])
    large = ", ".join([f"L{number}" for number in range(40)])
    source.write_text(f"enum huge {{ {huge} }} huge; enum large {{ {large} }} large;")
    text = module_text(ObjectFile(str(compile_c(source, "-g"))))
    assert "huge: str | int  # enum huge" in body(text, "Bss")
    assert 'Large: TypeAlias = Literal[\n    "L0",\n    "L1",\n' in text


# -- names


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("sock_key", "SockKey"), ("Already", "Already"), ("__u64x", "U64x"), ("task_struct___v2", "TaskStructV2"),
        ("", "Type"), ("9x", "Type9x"), ("größe", "GrE"), ("data.own-x", "DataOwnX"), ("___", "Type"),
    ],
)  # fmt: skip
def test_names_of_classes(name: str, found: str) -> None:
    assert class_name(name) == found


def test_an_exact_name_goes_first() -> None:
    assert attributes(["a.b", "a$b", "a_b", "__a", "__a__", "if", "if_", "9", "x"], {"x"}) == {
        "a_b_": "a.b", "a_b_2": "a$b", "a_b": "a_b", "_a": "__a", "_a__": "__a__", "if__": "if", "if_": "if_",
        "_9": "9", "x_": "x",
    }  # fmt: skip


def test_a_name_is_given_once() -> None:
    names = Names({"a"})
    assert [names.unique("a", "X") for _ in range(3)] == ["aX", "aX2", "aX3"]
    many = attributes([f"v{'.' * (number % 7)}{number // 7}" for number in range(20_000)], ())
    assert len(many) == 20_000
    assert all(name.isidentifier() and not keyword.iskeyword(name) for name in many)


def test_thousands_of_names_that_become_one() -> None:
    names = ["".join(chr(0x3B1 + int(digit)) for digit in str(number).zfill(5)) for number in range(30_000)]
    assert len(attributes(names, ())) == 30_000


# -- hostile objects

HOSTILE = [
    'x"""; import os',
    "x'''\nimport os", "x\\", 'x"', "\x1b[2J", "a\nb: int = boom()", "{boom()}", "x: int = boom()\n#",
    "boom()", "größe", "ﬁ", "\u202eabc", "x # type: ignore", "x" * 300, "0", "-", "None", "self", "__class__", "lambda",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_becomes_code(name: str, tmp_path: Path) -> None:
    sample = Sample()
    blob = sample.blob
    enum = blob.enum(name, 4, (name, 1), (f"{name}2", 2))
    sample.value = blob.struct(name, 8, (name, sample.int, 0), (f"{name}2", enum, 32))
    sample.map_name = sample.prog_name = name
    sample.prog_section = name
    section = f".data.{name}"
    variables = [blob.add(kinds.VAR, text, sample.value, 1) for text in (name, f"{name}2")]
    blob.datasec(section, 16, *[(id, 8 * at, 8) for at, id in enumerate(variables)])
    sample.more.append((section, bytes(16)))
    number = len(sample.object.headers)
    for at, text in enumerate((name, f"{name}2")):
        sample.object.symbol(text, number + 2, 8 * at, 8)  # behind .maps and license
    obj = ObjectFile.from_bytes(sample.bytes(), "in.o")
    text = module_text(obj)
    check_inert(text)
    app = imported(text, tmp_path).All()
    assert [prog.name for prog in app.progs] == [name]
    data = next(part for part in vars(app).values() if isinstance(part, skeleton.Data))
    assert list(data._attributes.values()) == [name, f"{name}2"]
    first = next(iter(data._attributes))
    setattr(data, first, {name: 5, f"{name}2": name})
    assert getattr(data, first) == {name: 5, f"{name}2": name}
    clean("ruff", "check", "--no-cache", "--config", ROOT / "ruff.toml", tmp_path / "generated.py")


def test_types_without_end(tmp_path: Path) -> None:
    for depth, refused in ((20, False), (40, True)):
        sample = Sample()
        inner = sample.int
        for _ in range(depth):
            inner = sample.blob.struct("deep", 4, ("m", inner, 0))
        sample.value = inner
        obj = ObjectFile.from_bytes(sample.bytes(), "in.o")
        if refused:
            with pytest.raises(Malformed, match="more than 32 types nested in each other"):
                module_text(obj)
        else:
            check_inert(module_text(obj))


def test_anonymous_members_that_double(tmp_path: Path) -> None:
    sample = Sample()
    inner = sample.int
    for level in range(14):
        name = "" if level else "m0"
        inner = sample.blob.struct("", 4, (name, inner, 0), ("", inner, 0), kind=kinds.UNION)
    sample.value = sample.blob.struct("top", 4, ("", inner, 0))
    try:
        text = module_text(ObjectFile.from_bytes(sample.bytes(), "in.o"))
    except Malformed:
        return
    assert body(text, "Top") == ["m0: int"]


def test_an_unsound_object_is_refused() -> None:
    sample = Sample()
    sample.value = sample.blob.struct("outside", 4, ("m", sample.int, 64))
    with pytest.raises(Malformed, match="lie outside its 4 bytes"):
        python_module(ObjectFile.from_bytes(sample.bytes(), "in.o"), "all")


# -- command line


def test_the_module_goes_to_stdout(bcctool: Bcctool, everything: ObjectFile, tmp_path: Path) -> None:
    path = tmp_path / "my-prog.bpf.o"
    shutil.copy(everything.path, path)
    named = bcctool("gen", "python", path, status=0).stdout
    assert "class MyProgBpf(skeleton.Skeleton):" in named
    assert bcctool("gen", "p", path, "n", "all", status=0).stdout == module_text(everything)
    assert bcctool("-j", "gen", "python", path, status=0).stdout == named + "\n"
    assert "bcctool gen python FILE [name OBJECT_NAME]\n" in bcctool("gen", "help", status=0).stderr


FAILURES = [
    ("python", 255, "'python' needs at least 1 arguments, 0 found"),
    ("python /nosuch.o", 255, "/nosuch.o: No such file or directory"),
    ("python OBJ frob x", 255, "unknown arg frob"),
    ("python OBJ name 9x-y", 255, "'9x-y' is no C identifier, which the object's name has to be"),
    ("python TEXT", 95, "not an ELF file"),
    ("python BAD", 234, "BTF"),
    ("-L python OBJ", 255, "there is no light variant (-L) of Python modules"),
]


@pytest.mark.parametrize(("words", "status", "message"), FAILURES)
def test_failures_are_one_line(
    bcctool: Bcctool, everything: ObjectFile, tmp_path: Path, words: str, status: int, message: str
) -> None:
    data = Path(everything.path).read_bytes()
    (tmp_path / "text.o").write_text("hello")
    (tmp_path / "bad.o").write_bytes(data.replace(b"\x9f\xeb\x01\x00\x18", b"\x9f\xeb\x07\x00\x18"))
    for word, path in (("OBJ", everything.path), ("TEXT", tmp_path / "text.o"), ("BAD", tmp_path / "bad.o")):
        words = words.replace(word, str(path))
    options = [word for word in words.split() if word.startswith("-")]
    done = bcctool(*options, "gen", *[word for word in words.split() if word not in options], status=status)
    assert done.stdout == ""
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
