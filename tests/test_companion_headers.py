"""Headers made for BCC: what is added for a source, what becomes of the C library's headers, and the cache of trees."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from bcctool.companion import headers
from bcctool.errors import Error

from .conftest import ROOT

NO_BTF = "/nowhere/vmlinux"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and the UAPI headers of a machine whose kernel has no BTF."""
    usr = tmp_path / "usr"
    for name, text in (
        (
            "linux/bpf.h",
            "#include <linux/types.h>\n/* #define OLD 1 */\n#define BPF_X 1\nstruct bpf_thing { int a; };\n",
        ),
        ("linux/long.h", "#define LONG(a) \\\n\t(a + 1)\nenum { HERE };\n#include <sys/absent.h>\n"),
        ("asm-generic/errno.h", "#define EPERM 1\n"),
        ("asm/ptrace.h", "#define R15 0\n"),
    ):
        path = usr / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(headers, "USR_INCLUDE", str(usr))
    monkeypatch.setattr(headers, "BTF_FILE", NO_BTF)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(headers.SOURCE, raising=False)
    return tmp_path / "cache" / "bcctool"


def test_without_btf_the_uapi_headers_are_the_tree(cache: Path) -> None:
    path = Path(headers.tree())
    assert path.parent == cache
    assert path.name.startswith(f"headers-{os.uname().release}-")
    assert "enum { HERE }" in (path / "include/uapi/linux/long.h").read_text()
    assert (path / "include/uapi/linux/bpf.h").read_text() == ""  # BCC has its own
    assert (path / "include/uapi/sys/absent.h").read_text() == ""
    assert (path / f"arch/{headers.architecture()}/include/uapi/asm/ptrace.h").exists()
    assert "CONFIG_BPF_SYSCALL" in (path / "include/linux/kconfig.h").read_text()
    assert "KERNEL_VERSION(a, b, c)" in (path / "include/linux/version.h").read_text()


def test_neither_btf_nor_uapi_headers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path) -> None:
    monkeypatch.setattr(headers, "USR_INCLUDE", str(tmp_path / "none"))
    with pytest.raises(Error, match="no headers for BCC: the kernel has no /nowhere/vmlinux, and there are no UAPI"):
        headers.tree()
    assert list(cache.iterdir()) == []


def test_a_tree_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    path = headers.tree()
    monkeypatch.setattr(headers, "fill", lambda path: pytest.fail("made again"))
    assert headers.tree() == path


def test_another_kernel_has_a_tree_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    first = headers.tree()
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "host", "9.9", "#2", "x86_64")))
    assert headers.tree() != first


def test_the_name_of_a_kernel_leads_nowhere_else(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "host", "../../evil", "#2", "x86_64")))
    assert Path(headers.tree()).parent == cache


def test_many_at_once_make_one_tree(cache: Path, tmp_path: Path) -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom bcctool.companion import headers\n"
        f"headers.USR_INCLUDE, headers.BTF_FILE = {str(tmp_path / 'usr')!r}, {NO_BTF!r}\nprint(headers.tree())"
    )
    running = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(6)]
    paths = {process.communicate()[0].strip() for process in running}
    assert len(paths) == 1
    assert [entry.name for entry in cache.iterdir()] == [Path(paths.pop()).name]  # and nothing partial


def test_a_cache_where_others_may_write_is_refused(cache: Path) -> None:
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    with pytest.raises(Error, match="others may write there: set XDG_CACHE_HOME to a directory of yours"):
        headers.tree()
    assert list(cache.iterdir()) == []


def test_a_new_cache_is_ours_alone(cache: Path) -> None:
    headers.tree()
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700


def test_a_cache_that_can_not_be_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(Error, match="Not a directory: set XDG_CACHE_HOME to a directory of yours"):
        headers.tree()


def test_old_trees_go(cache: Path) -> None:
    cache.mkdir(mode=0o700, parents=True)
    for number in range(20):
        (cache / f"headers-{number}-x").mkdir()
        os.utime(cache / f"headers-{number}-x", (number, number))
    (cache / ".partial-new").mkdir()
    (cache / ".partial-old").mkdir()
    os.utime(cache / ".partial-old", (1, 1))
    path = Path(headers.tree())
    names = {entry.name for entry in cache.iterdir()}
    assert path.name in names
    assert names - {path.name} == {
        ".partial-new",
        *(f"headers-{number}-x" for number in range(20 - headers.MAX_TREES + 1, 20)),
    }


def test_what_a_source_includes_and_nobody_has_is_empty() -> None:
    text = '#include <linux/bpf.h>\n#include <net/inet_sock.h>\n # include "linux/nothing.h"\n#include <bcc/proto.h>\n'
    files = headers.additions(text, headers.tree())
    assert {name for name, data in files.items() if not name.startswith("bcctool/")} == {
        "net/inet_sock.h",
        "linux/nothing.h",
    }
    assert files["net/inet_sock.h"] == b""


@pytest.mark.parametrize("name", ["../../etc/evil.h", "/etc/evil.h", "a/../../evil.h"])
def test_includes_lead_nowhere_out(name: str) -> None:
    files = headers.additions(f"#include <{name}>\n", headers.tree())
    assert set(files) == {"bcctool/begin.h", "bcctool/end.h"}


def test_types_that_a_source_has_itself_are_renamed_around_the_kernels() -> None:
    text = (
        "struct sock_state { int a; };\n  typedef struct pair {\n int b; } pair_t;\nenum kind { A };\nstruct used *p;\n"
    )
    files = headers.additions(text, headers.tree())
    assert files["bcctool/begin.h"].split(b"\n") == [
        b"#define sock_state sock_state__of_kernel",
        b"#define pair pair__of_kernel",
        b"#define kind kind__of_kernel",
        b"",
    ]
    assert files["bcctool/end.h"] == b"#undef sock_state\n#undef pair\n#undef kind\n"


def test_of_a_header_its_macros_stay() -> None:
    data = b"/* #define OLD 1 */\n#define A 1 /* one */\nstruct s { int a; };\n#define B(x) \\\n\tx\nenum { C };\n"
    assert headers.without_types(data) == b"#define A 1  \n#define B(x) \\\n\tx\n"


def test_real_headers_are_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kconfig = tmp_path / "linux" / "include" / "linux" / "kconfig.h"
    kconfig.parent.mkdir(parents=True)
    kconfig.write_text("")
    monkeypatch.setenv(headers.SOURCE, str(tmp_path / "linux"))
    monkeypatch.setattr(headers, "tree", lambda: pytest.fail("made a tree"))
    with headers.prepared("int f;") as flags:
        assert flags == []
    assert os.environ[headers.SOURCE] == str(tmp_path / "linux")


def test_a_tree_that_is_no_whole_one_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(headers.SOURCE, str(tmp_path))
    with headers.prepared("int f;"):
        assert os.environ[headers.SOURCE] == headers.tree()
    assert os.environ[headers.SOURCE] == str(tmp_path)


def test_the_environment_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headers, "installed", lambda: False)
    with headers.prepared("#include <net/x.h>\n") as flags:
        own = Path(flags[0].removeprefix("-I"))
        assert (own / "net/x.h").exists()
        assert os.environ[headers.SOURCE] == headers.tree()
    assert headers.SOURCE not in os.environ
    assert not own.exists()


def test_the_configuration_in_c(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {b"CONFIG_A": b"y", b"CONFIG_B": b"m", b"CONFIG_HZ": b"250", b"CONFIG_S": b'"text"', b"CONFIG X": b"y"}
    monkeypatch.setattr("bcctool.kernel.kconfig.settings", lambda: settings)
    lines = headers.configuration("x86").splitlines()
    assert lines == [
        b"#define CONFIG_A 1",
        b"#define CONFIG_B_MODULE 1",
        b"#define CONFIG_HZ 250",
        b'#define CONFIG_S "text"',
        b"#define CONFIG_BPF_SYSCALL 1",
    ]


def test_a_kernel_that_does_not_tell_its_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    def untold() -> dict[bytes, bytes]:
        raise Error("not there")

    monkeypatch.setattr("bcctool.kernel.kconfig.settings", untold)
    assert b"#define CONFIG_ARCH_HAS_SYSCALL_WRAPPER 1\n" in headers.configuration("x86")
    assert b"WRAPPER" not in headers.configuration("powerpc")
