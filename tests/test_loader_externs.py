"""Externs on a kernel that is made up: a configuration, symbols, and BTF of compiled C, in both byte orders."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bcctool.btf.python import decoder
from bcctool.elf.datasec import raw_btf
from bcctool.elf.object import ObjectFile
from bcctool.errors import Error
from bcctool.kernel import kconfig, proc
from bcctool.loader import externs
from bcctool.loader.externs import kconfig_contents, parsed_number, resolve
from bcctool.loader.kernel_types import KernelTypes, Source

Compile = Callable[..., Path]
TARGETS = ("bpf", "bpfeb")
CONFIG = b"""#
CONFIG_BPF=y
# CONFIG_TEST_OFF is not set
CONFIG_TEST_MODULE=m
CONFIG_TEST_LETTER=m
CONFIG_HZ=250
CONFIG_TEST_TINY=-128
CONFIG_TEST_NEGATIVE=-5
CONFIG_TEST_HEX=0xffffffff81000000
CONFIG_CC_VERSION_TEXT="gcc (GCC) 15.3.0"
CONFIG_TEST_STRING="say "hello""
CONFIG_BROKEN="
CONFIG_WORDS=some words
"""
VALUES = {
    "CONFIG_BPF": True,
    "CONFIG_TEST_OFF": False,
    "CONFIG_TEST_MODULE": "TRI_MODULE",
    "CONFIG_TEST_LETTER": ord("m"),
    "CONFIG_HZ": 250,
    "CONFIG_TEST_TINY": -128,
    "CONFIG_TEST_NEGATIVE": -5,
    "CONFIG_TEST_HEX": 0xFFFFFFFF81000000,
    "CONFIG_CC_VERSION_TEXT": "gcc (",
    "CONFIG_TEST_STRING": 'say "hello"',
    "LINUX_KERNEL_VERSION": 0x060C05,
    "LINUX_HAS_BPF_COOKIE": True,
    "LINUX_HAS_SYSCALL_WRAPPER": 0,
    "LINUX_NOT_INVENTED": 0,
}
KALLSYMS = b"""
ffffffff81000010 T __pfx_bpf_prog_put
ffffffff81000020 T bpf_prog_put
ffffffff81000030 t twice
ffffffff81000040 t twice
ffffffffc0000050 t in_module\t[veth]
ffffffff81000060 t cloned.llvm.123456
ffffffff81000070 t ___strange
ffffffff81000080 t starting_like
ffffffff81000090 t starting
ffffffff810000a0 t starting___within
"""
KERNEL = """
struct task_struct { int pid; long more[4]; };
struct rq { int nr_running; };
struct rq runqueues;
void bpf_rcu_read_lock(void) {}
struct task_struct *bpf_task_from_pid(int pid) { return (void *)(long)pid; }
void bpf_task_release(struct task_struct *p) { p->pid = 0; }
"""
MODULE = "int from_module(int number) { return number; } unsigned int module_variable = 3;"


def opened(compile_c: Compile, *flags: str, target: str = "bpf") -> ObjectFile:
    return ObjectFile(str(compile_c("ksyms_kconfig.c", "-g", *flags, target=target)))


@pytest.fixture(autouse=True)
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel's files of our own."""
    monkeypatch.setattr(kconfig, "_text", lambda: CONFIG)
    monkeypatch.setattr(proc.KernelSymbols, "_lines", lambda self: KALLSYMS)
    monkeypatch.setitem(externs.VIRTUALS, "LINUX_KERNEL_VERSION", lambda: 0x060C05)
    monkeypatch.setitem(externs.VIRTUALS, "LINUX_HAS_BPF_COOKIE", lambda: True)


@pytest.fixture
def kernel(compile_c: Compile, tmp_path: Path) -> KernelTypes:
    """The types of a kernel and of a module."""
    kernel = KernelTypes()
    sources = []
    for name, text in (("vmlinux", KERNEL), ("module", MODULE)):
        path = tmp_path / f"{name}.c"
        path.write_text(text)
        btf = raw_btf(ObjectFile(str(compile_c(path, "-g"))).elf)
        assert btf is not None
        sources.append(Source(btf, name, 7 if name == "module" else 0))
    kernel._vmlinux, kernel._modules = sources[0], sources[1:]
    return kernel


@pytest.mark.parametrize("target", TARGETS)
def test_values_of_every_type(compile_c: Compile, target: str) -> None:
    obj = opened(compile_c, "-DKCONFIG", target=target)
    notes: list[str] = []
    contents = kconfig_contents(obj, notes.append)
    assert obj.btf is not None
    assert len(contents) == next(map_.value_size for map_ in obj.maps if map_.section == ".kconfig")
    found: dict[str, object] = {}
    for extern in obj.externs:
        found |= decoder(obj.btf, extern.type_id)(contents[extern.offset : extern.offset + extern.size])
    assert found == VALUES
    assert notes == ["extern 'CONFIG_CC_VERSION_TEXT': \"gcc (GCC) 15.3.0\" is cut off after 5 of 16 bytes"]


def one(compile_c: Compile, name: str, kind: str, weak: bool = False) -> bytes:
    return kconfig_contents(opened(compile_c, f"-DONE={name}", f"-DKIND={kind}", *(["-DWEAK=__weak"] if weak else [])))


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("CONFIG_HZ", "signed char", "the value 250 does not fit into 1 byte$"),
        ("CONFIG_HZ", "_Bool", "the value 250 belongs in an integer"),
        ("CONFIG_HZ", "enum libbpf_tristate", "the value 250 belongs in an integer"),
        ("CONFIG_TEST_NEGATIVE", "unsigned int", "the value -5 does not fit into 4 bytes"),
        ("CONFIG_TEST_HEX", "int", "does not fit into 4 bytes"),
        ("CONFIG_BPF", "int", "the value y belongs in a bool, an enum libbpf_tristate or a char"),
        ("CONFIG_TEST_MODULE", "_Bool", "the value m a bool has no room for: use enum libbpf_tristate"),
        ("CONFIG_CC_VERSION_TEXT", "int", "belongs in an array of char"),
        ("CONFIG_BROKEN", "char *", "has a type that holds no option"),
        ("CONFIG_WORDS", "int", "the value some words is not understood"),
        ("CONFIG_TEST_OFF", "_Bool", r"is not set in the kernel's configuration \(looked for in /boot/config-\S+ and"),
        ("LINUX_NONE", "int", "is no value that this loader knows; declared __weak, it would be 0"),
        ("LINUX_KERNEL_VERSION", "short", "the value 396293 does not fit into 2 bytes"),
        ("SOMETHING", "int", r"is neither an option \(CONFIG_…\) nor about the kernel \(LINUX_…\)"),
    ],
)
def test_what_a_strong_variable_cannot_be(compile_c: Compile, name: str, kind: str, reason: str) -> None:
    with pytest.raises(Error, match=rf"\.o: extern '{name}': .*{reason}"):
        one(compile_c, name, kind)


@pytest.mark.parametrize(("name", "kind", "size"), [("CONFIG_TEST_OFF", "_Bool", 1), ("LINUX_NONE", "long", 8)])
def test_weak_ones_are_zero(compile_c: Compile, name: str, kind: str, size: int) -> None:
    assert one(compile_c, name, kind, weak=True) == bytes(size)


@pytest.mark.parametrize("name", ["CONFIG_HZ", "SOMETHING"])
def test_a_weak_one_of_a_wrong_type_or_name_is_refused(compile_c: Compile, name: str) -> None:
    with pytest.raises(Error, match=f"extern '{name}'"):
        one(compile_c, name, "struct { int a; }" if name == "CONFIG_HZ" else "int", weak=True)


def test_a_configuration_that_cannot_be_read_matters_to_strong_ones_only(
    compile_c: Compile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable() -> bytes:
        raise Error("can't open file: No such file or directory")

    monkeypatch.setattr(kconfig, "_text", unreadable)
    assert one(compile_c, "CONFIG_HZ", "int", weak=True) == bytes(4)
    assert one(compile_c, "LINUX_KERNEL_VERSION", "int") != bytes(4)
    with pytest.raises(Error, match=r"extern 'CONFIG_HZ': .*config.gz\): can't open file: No such file"):
        one(compile_c, "CONFIG_HZ", "int")


def test_an_array_of_many_megabytes_is_refused(compile_c: Compile, tmp_path: Path) -> None:
    source = tmp_path / "large.c"
    source.write_text(
        'extern char CONFIG_X[1 << 30] __attribute__((section(".kconfig"), weak));\n'
        '__attribute__((section("tc"), used)) int prog(void *ctx) { return CONFIG_X[5]; }\n'
    )
    with pytest.raises(Error, match=r"section \.kconfig: 1073741824 bytes, 16777216 are supported"):
        kconfig_contents(ObjectFile(str(compile_c(source, "-g"))))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"0", 0), (b"12", 12), (b"-12", -12), (b"0x1F", 31), (b"-0x1f", -31), (b"017", 15), (b"", None),
        (b"08", None), (b"0x", None), (b"1_0", None), (b"+1", None), (b" 1", None), (b"--1", None), (b"\xb2", None),
        (b"1" * 1000, None),
    ],
)  # fmt: skip
def test_numbers(text: bytes, value: int | None) -> None:
    assert parsed_number(text) == value


@pytest.mark.parametrize("target", TARGETS)
def test_symbols_with_and_without_a_type(compile_c: Compile, kernel: KernelTypes, target: str) -> None:
    obj = opened(compile_c, "-DKSYMS", target=target)
    found = {obj.symbols[index].name: resolved for index, resolved in resolve(obj, kernel).items()}
    types = kernel.vmlinux.types
    assert {name for name, resolved in found.items() if not resolved.found} == {
        "bpf_no_such_thing", "no_such_variable", "bpf_task_release___wrong", "bpf_no_such_function",
    }  # fmt: skip
    assert (found["bpf_prog_put"].kind, found["bpf_prog_put"].address) == ("address", 0xFFFFFFFF81000020)
    assert (found["runqueues"].kind, found["runqueues"].btf_id) == ("variable", types.find("runqueues", 14))
    for name in ("bpf_rcu_read_lock", "bpf_task_from_pid", "bpf_task_release___flavor"):
        resolved = found[name]
        assert resolved.kind == "function"
        assert types.name(resolved.btf_id) == name.partition("___")[0]
        assert resolved.source is kernel.vmlinux
    assert {found[name].kind for name in ("bpf_no_such_thing", "no_such_variable", "bpf_no_such_function")} == {
        "address", "variable", "function",
    }  # fmt: skip


def ksym(compile_c: Compile, kernel: KernelTypes, name: str, kind: str, *flags: str) -> externs.Resolved:
    return next(iter(resolve(opened(compile_c, f"-DONE_KSYM={name}", f"-DKIND={kind}", *flags), kernel).values()))


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("in_module", 0xFFFFFFFFC0000050),
        ("cloned", 0xFFFFFFFF81000060),
        ("___strange", 0xFFFFFFFF81000070),
        ("starting", 0xFFFFFFFF81000090),
        ("starting___flavor", 0xFFFFFFFF81000090),
        ("starting___within", 0xFFFFFFFF810000A0),
    ],
)
def test_addresses(compile_c: Compile, kernel: KernelTypes, name: str, address: int) -> None:
    assert ksym(compile_c, kernel, name, "void").address == address


def test_what_a_module_has(compile_c: Compile, kernel: KernelTypes) -> None:
    for found in (
        ksym(compile_c, kernel, "from_module", "int", "-DFUNCTION"),
        ksym(compile_c, kernel, "module_variable", "long"),  # any integer does
    ):
        assert found.found
        assert found.source is kernel.modules[0]
        assert found.source.types.name(found.btf_id) in ("from_module", "module_variable")


REFUSED = [
    ("missing", "void", (), r"the running kernel has no such symbol \(/proc/kallsyms\); declared __weak, it might be"),
    ("missing", "int", (), r"the running kernel has no such variable \(in its BTF\); declared __weak"),
    ("missing", "int", ("-DFUNCTION",), r"the running kernel has no such function \(in its BTF\); declared __weak"),
    ("twice", "void", (), r"is ambiguous: /proc/kallsyms has 2 symbols of this name"),
    ("runqueues", "int", (), "its type is not the kernel's: 'const int runqueues' here, 'struct rq runqueues' in vml"),
    ("runqueues", "int", ("-DWEAK=__weak",), "its type is not the kernel's"),
    (
        "bpf_task_release", "int", ("-DFUNCTION",),
        r"'int bpf_task_release\(int \)' here, 'void bpf_task_release\(struct task_struct \* p\)' in vmlinux; declared",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kind", "flags", "reason"), REFUSED)
def test_what_the_kernel_does_not_have(
    compile_c: Compile, kernel: KernelTypes, name: str, kind: str, flags: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(Error, match=rf"\.o: extern '{name}': .*{reason}"):
        ksym(compile_c, kernel, name, kind, *flags)


def test_hidden_addresses(compile_c: Compile, kernel: KernelTypes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc.KernelSymbols, "_lines", lambda self: b"\n0000000000000000 T bpf_prog_put\n")
    with pytest.raises(Error, match="extern 'bpf_prog_put': /proc/kallsyms hides the addresses from this user"):
        ksym(compile_c, kernel, "bpf_prog_put", "void")


@pytest.mark.parametrize("debug", [True, False])
def test_symbols_of_other_objects(compile_c: Compile, kernel: KernelTypes, debug: bool) -> None:
    path = compile_c("ksyms_kconfig.c", "-DELSEWHERE", *(["-g"] if debug else []))
    with pytest.raises(Error, match="extern 'elsewhere': has no definition, and no BTF that says what it is"):
        resolve(ObjectFile(str(path)), kernel)


def test_maps_of_other_objects(compile_c: Compile, kernel: KernelTypes, tmp_path: Path) -> None:
    source = tmp_path / "outside.c"
    source.write_text(
        '#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\nextern struct { int *x; } outside SEC(".maps");\n'
        'SEC("tc") int prog(void *ctx) { return !bpf_map_lookup_elem(&outside, &ctx); }\n'
    )
    obj = ObjectFile(str(compile_c(source, "-g")))
    with pytest.raises(Error, match="extern 'outside': is defined elsewhere: link the object with its definition"):
        resolve(obj, kernel)


def test_an_object_without_externs_needs_nothing(compile_c: Compile) -> None:
    obj = ObjectFile(str(compile_c("prog_legacy.c")))
    assert (resolve(obj, KernelTypes()), kconfig_contents(obj)) == ({}, b"")


@pytest.mark.parametrize(
    ("release", "version", "signature", "code"),
    [
        ("6.18.44-fc", "#1 SMP", None, 0x06122C),
        ("6.1.0-40-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.153-1 (2025-09-20)", None, 0x060199),
        ("5.4.0-200-generic", "#220-Ubuntu SMP", "Ubuntu 5.4.0-200.220-generic 5.4.284\n", 0x0504FF),
        ("7.0-rc1", "#1", None, 0x070000),
        ("nonsense", "", None, 0),
    ],
)
def test_the_version_is_the_true_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, release: str, version: str, signature: str | None, code: int
) -> None:
    path = tmp_path / "version_signature"
    if signature:
        path.write_text(signature)
    words = os.uname_result(("Linux", "host", release, version, "x86_64"))
    monkeypatch.setattr(os, "uname", lambda: words)
    monkeypatch.setattr(kconfig, "SIGNATURE", str(path))
    assert kconfig.version_code() == code
