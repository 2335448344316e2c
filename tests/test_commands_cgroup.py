"""cgroup: its words, how programs are described, and walks over cgroups that vanish or can't be read."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from bcctool.commands import cgroup
from bcctool.errors import Error, KernelError
from bcctool.kernel import bpf, proc, uapi
from bcctool.objects import btf
from bcctool.objects import cgroup as cgroups
from bcctool.verbs import Args, Options

from .fake_kernel import FakeKernel, fake_kernel  # noqa: F401  (a fixture)

INGRESS, DEVICE, SETSOCKOPT = "cgroup_inet_ingress", "cgroup_device", "cgroup_setsockopt"
TARGET = {"attach_btf_name": "", "attach_btf_obj_id": 0, "attach_btf_id": 0}
Attached = dict[tuple[str, str], Any]


def args(*words: str, verb: str = "attach") -> Args:
    return Args(words, Options(), verb)


@pytest.fixture
def attached(monkeypatch: pytest.MonkeyPatch) -> Attached:
    """What is attached: (last part of the cgroup's path, hook) → [(id, flags)], or the errno of the question."""
    found: Attached = {}

    class Query:
        def __init__(self, effective: bool) -> None:
            self.asked: list[str] = []

        def progs(self, fd: int, hook: int) -> list[tuple[int, int]]:
            name = os.path.basename(os.readlink(f"/proc/self/fd/{fd}"))
            answer: Any = found.get((name, uapi.ATTACH_TYPES[hook]), found.get((name, ""), []))
            if isinstance(answer, int):
                raise OSError(answer, os.strerror(answer))
            return list(answer)

    monkeypatch.setattr(bpf, "CgroupQuery", Query)
    return found


@pytest.fixture
def kernel(fake_kernel: FakeKernel, attached: Attached, monkeypatch: pytest.MonkeyPatch) -> FakeKernel:  # noqa: F811
    """Programs 1 to 3, in a kernel that has types."""
    monkeypatch.setattr(btf, "VMLINUX", "/")
    for id, name in ((1, b"one"), (2, b"two"), (3, b"three")):
        fake_kernel.add(bpf.PROG, id, name=name)
    return fake_kernel


def programs(path: Path, effective: bool = False) -> list[dict[str, Any]]:
    fd = cgroups.opened(str(path))
    try:
        return cgroup.Cgroups(effective).programs(fd, str(path))
    finally:
        os.close(fd)


def tree(root: Path, *below: str) -> list[dict[str, Any]]:
    """The records of a tree of these directories."""
    for name in below:
        (root / name).mkdir()
    return list(cgroup.tree_rows(str(root), effective=False))


def shape(records: list[dict[str, Any]], root: Path) -> dict[str, list[int]]:
    return {os.path.relpath(row["cgroup"], root): [prog["id"] for prog in row["programs"]] for row in records}


@pytest.mark.parametrize("hook", cgroups.HOOKS)
def test_a_kernel_s_name_of_an_attach_type_is_never_cut(hook: str) -> None:
    assert cgroup.attach_type(args(hook)) == hook
    with pytest.raises(Error, match=rf"^invalid attach type: {hook[:-1]}, "):
        cgroup.attach_type(args(hook[:-1]))


@pytest.mark.parametrize(
    ("word", "hook"),
    [
        *cgroup.TRADITIONAL_NAMES.items(),
        ("", INGRESS), ("e", "cgroup_inet_egress"), ("s", "cgroup_inet_sock_create"), ("se", "cgroup_udp4_sendmsg"),
        ("set", SETSOCKOPT), ("sock_r", "cgroup_inet_sock_release"), ("sock_o", "cgroup_sock_ops"), ("d", DEVICE),
        ("g", "cgroup_getsockopt"), ("getp", "cgroup_inet4_getpeername"), ("getsockn", "cgroup_inet4_getsockname"),
        ("bind", "cgroup_inet4_bind"), ("p", "cgroup_inet4_post_bind"), ("r", "cgroup_udp4_recvmsg"),
    ],
)  # fmt: skip
def test_prefixes_of_traditional_names(word: str, hook: str) -> None:
    words = args(word, "id")
    assert (cgroup.attach_type(words), words.words) == (hook, ["id"])


def test_all_hooks_are_the_kernel_s_attach_types_of_cgroups() -> None:
    assert len(set(cgroups.HOOKS)) == len(cgroups.HOOKS)
    assert set(cgroups.HOOKS) == {name for name in uapi.ATTACH_TYPES if name.startswith("cgroup_")} | {"lsm_cgroup"}
    unix = {name for name in cgroups.HOOKS if "unix" in name}
    assert set(cgroup.TRADITIONAL_NAMES.values()) == set(cgroups.HOOKS) - unix - {"lsm_cgroup"}


def test_attach_flags() -> None:
    assert [cgroup.attach_flags(args(*words.split())) for words in ("", "multi", "o", "m override m")] == [0, 2, 1, 3]
    with pytest.raises(Error, match=r"^unknown option: x, expected 'multi' or 'override'$"):
        cgroup.attach_flags(args("multi", "x", "y"))


def test_effective() -> None:
    assert [cgroup.effective(args(*words.split())) for words in ("", "effective", "e")] == [False, True, True]
    with pytest.raises(Error, match=r"^duplicated argument: eff$"):
        cgroup.effective(args("effective", "eff"))
    with pytest.raises(Error, match=r"^expected no more arguments, 'effective', got: 'x'\?$"):
        cgroup.effective(args("x"))


@pytest.mark.parametrize("verb", ["attach", "detach"])
def test_too_few_words(verb: str) -> None:
    with pytest.raises(Error, match=f"^too few parameters for cgroup {verb}") as caught:
        cgroup.change(args("/", "ingress", "id", verb=verb), attaching=verb == "attach")
    assert caught.value.status == 255


def test_records_in_the_order_of_the_hooks(kernel: FakeKernel, attached: Attached, tmp_path: Path) -> None:
    attached[tmp_path.name, SETSOCKOPT] = [(1, 1)]
    attached[tmp_path.name, DEVICE] = [(2, 4), (1, 4)]
    attached[tmp_path.name, "lsm_cgroup"] = [(3, 0)]
    attached[tmp_path.name, INGRESS] = [(3, 2)]
    assert [[*record.items()] for record in programs(tmp_path)] == [
        [("id", id), ("attach_type", hook), ("attach_flags", flags), ("name", name), *TARGET.items()]
        for id, hook, flags, name in (
            (3, INGRESS, "multi", "three"), (2, DEVICE, "unknown(4)", "two"), (1, DEVICE, "unknown(4)", "one"),
            (1, SETSOCKOPT, "override", "one"), (3, "lsm_cgroup", "", "three"),
        )
    ]  # fmt: skip
    first = programs(tmp_path, effective=True)[0]
    assert [*first.items()] == [("id", 3), ("attach_type", INGRESS), ("name", "three"), *TARGET.items()]


def test_the_hook_of_an_lsm_program(kernel: FakeKernel, attached: Attached, monkeypatch: pytest.MonkeyPatch) -> None:
    class Types:
        def name(self, id: int) -> str:
            return f"bpf_lsm_{id}"

    monkeypatch.setattr(btf, "kernel_types", {1: Types()}.__getitem__)
    kernel.add(bpf.PROG, 4, name=b"guard", attach_btf_obj_id=1, attach_btf_id=77)
    record = cgroup.described(4)
    target = {"attach_btf_name": "bpf_lsm_77", "attach_btf_obj_id": 1, "attach_btf_id": 77}
    assert [*(record or {}).items()] == [("name", "guard"), *target.items()]
    assert cgroup.text({"id": 4, "attach_type": "lsm_cgroup", "attach_flags": "multi", **(record or {})}) == (
        "4        lsm_cgroup      multi           guard           bpf_lsm_77     \n"
    )


def test_without_types_of_the_kernel_no_hook_is_named(kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(btf, "VMLINUX", "/nonexistent")
    record = cgroup.described(1)
    assert record == {"name": "one", "attach_btf_obj_id": 0, "attach_btf_id": 0}
    assert cgroup.text({"id": 1, "attach_type": DEVICE, "attach_flags": "", **record}) == (
        "1        cgroup_device                   one            \n"
    )


def test_names_and_paths_do_nothing_to_a_terminal(kernel: FakeKernel, attached: Attached, tmp_path: Path) -> None:
    kernel.add(bpf.PROG, 4, name=b"\x1b[2J")
    root = tmp_path / "a\x1b\udcff"
    root.mkdir()
    attached[root.name, INGRESS] = [(4, 0)]
    (record,) = tree(root)
    assert cgroup.place_text(record, cgroup.utf8(str(root))) == (
        f"{tmp_path}/a\\x1b\\xff\n4        cgroup_inet_ingress                 \\x1b[2J                        \n"
    )


def test_a_program_that_vanishes_is_skipped(kernel: FakeKernel, attached: Attached, tmp_path: Path) -> None:
    kernel.vanished.add(2)
    attached[tmp_path.name, DEVICE] = [(1, 2), (2, 2), (3, 2)]
    before = os.listdir("/proc/self/fd")
    assert [record["id"] for record in programs(tmp_path)] == [1, 3]
    kernel.error = errno.EPERM
    with pytest.raises(KernelError, match=r"^get by id \(1\): Operation not permitted$"):
        programs(tmp_path)
    assert os.listdir("/proc/self/fd") == before


def test_programs_of_a_tree_are_asked_for_once(
    kernel: FakeKernel, attached: Attached, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    described = cgroup.described

    def counted(id: int) -> Any:
        asked.append(id)
        return described(id)

    monkeypatch.setattr(cgroup, "described", counted)
    kernel.vanished.add(2)
    for name in (tmp_path.name, "a", "b"):
        attached[name, INGRESS] = [(1, 0), (2, 0)]
    assert shape(tree(tmp_path, "a", "b"), tmp_path) == {".": [1], "a": [1], "b": [1]}
    assert asked == [1, 2]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EOPNOTSUPP])
def test_a_hook_that_the_kernel_does_not_have(
    kernel: FakeKernel, attached: Attached, tmp_path: Path, number: int
) -> None:
    attached[tmp_path.name, INGRESS] = number
    attached[tmp_path.name, DEVICE] = [(1, 0)]
    attached["a", INGRESS] = errno.EIO  # not asked for again
    attached["a", DEVICE] = [(2, 0)]
    assert shape(tree(tmp_path, "a"), tmp_path) == {".": [1], "a": [2]}


def test_a_kernel_without_any_hook(attached: Attached, tmp_path: Path) -> None:
    attached[tmp_path.name, ""] = errno.EINVAL
    with pytest.raises(KernelError, match=r"^can't query bpf programs attached to /.*: Invalid argument$") as caught:
        programs(tmp_path)
    assert caught.value.status == 255


def test_what_is_no_cgroup(attached: Attached, tmp_path: Path) -> None:
    attached[tmp_path.name, ""] = errno.EBADF
    with pytest.raises(Error, match=r"^can't query bpf programs attached to /.*: it is no directory of cgroup v2$"):
        tree(tmp_path, "a", "b")


def test_cgroups_without_programs_are_left_out(kernel: FakeKernel, attached: Attached, tmp_path: Path) -> None:
    attached["c", DEVICE] = [(1, 0)]
    assert shape(tree(tmp_path, "a", "a/b", "a/b/c"), tmp_path) == {"a/b/c": [1]}


def test_a_cgroup_that_vanishes_is_skipped(kernel: FakeKernel, attached: Attached, tmp_path: Path) -> None:
    """When it is asked for its programs, when it is opened, when it is listed; and the root, which is an error."""
    for name in ("a", "b", "c", "d"):
        attached[name, INGRESS] = [(1, 0)]
        (tmp_path / name).mkdir()
    attached["a", ""] = attached["a", INGRESS] = errno.ENOENT
    attached["b", ""] = attached["b", INGRESS] = errno.ENODEV
    attached[tmp_path.name, INGRESS] = [(2, 0)]
    rows = cgroup.tree_rows(str(tmp_path), effective=False)
    found = [next(rows), next(rows)]  # the root has been listed by now
    last = "c" if found[1]["cgroup"].endswith("d") else "d"
    (tmp_path / last).rmdir()
    found += rows
    assert shape(found, tmp_path) == {".": [2], "c" if last == "d" else "d": [1]}
    attached[tmp_path.name, INGRESS] = errno.ENOENT
    with pytest.raises(KernelError, match=r"^can't query bpf programs attached to .*: No such file or directory$"):
        tree(tmp_path)


def test_a_tree_survives_what_cannot_be_read(
    kernel: FakeKernel, attached: Attached, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All else is shown, then one error says what was not, and the status that it was not all."""
    for name in (tmp_path.name, "closed", "closed-in", "no-list", "below", "refused", "last"):
        attached[name, INGRESS] = [(1, 0)]
    attached["refused", INGRESS] = errno.EPERM
    for name in ("closed", "closed/closed-in", "no-list", "no-list/below", "refused", "last"):
        (tmp_path / name).mkdir()
    real_open, real_list = os.open, cgroups._directories

    def open_(path: Any, *words: Any) -> int:
        if str(path).endswith("/closed"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real_open(path, *words)

    def list_(fd: int, device: int) -> list[str]:
        if os.readlink(f"/proc/self/fd/{fd}").endswith("/no-list"):
            raise OSError(errno.EIO, "Input/output error")
        return real_list(fd, device)

    monkeypatch.setattr(os, "open", open_)
    monkeypatch.setattr(cgroups, "_directories", list_)
    found: list[dict[str, Any]] = []
    with pytest.raises(Error) as caught:
        found.extend(cgroup.tree_rows(str(tmp_path), effective=False))
    assert shape(found, tmp_path) == {".": [1], "no-list": [1], "last": [1]}
    messages = {caught.value.message.removesuffix(" (and 2 more)"), *caught.value.detail.split("\n")}
    assert messages == {
        f"can't open cgroup {tmp_path}/closed: Permission denied",
        f"can't iterate over {tmp_path}/no-list: Input/output error",
        f"can't query bpf programs attached to {tmp_path}/refused: Operation not permitted",
    }
    assert caught.value.message.endswith(" (and 2 more)")
    assert caught.value.status == 255


@pytest.mark.parametrize(
    ("path", "reason"),
    [("/nosuch", "No such file or directory"), ("", "No such file or directory"), ("a\0b", "Invalid argument")],
)
def test_a_root_that_is_not_there(path: str, reason: str) -> None:
    with pytest.raises(KernelError, match=rf"^can't iterate over {path}: {reason}$") as caught:
        list(cgroup.tree_rows(path, effective=False))
    assert caught.value.status == 255
    with pytest.raises(KernelError, match=rf"^can't open cgroup {path}: {reason}$"):
        cgroup.show.run(args(path, verb="show"))


def test_a_tree_leaves_no_descriptor_open(kernel: FakeKernel, attached: Attached, tmp_path: Path) -> None:
    """When it ends, when it is left, and when it fails."""
    for name in (tmp_path.name, "a", "b"):
        attached[name, INGRESS] = [(1, 0)]
    before = os.listdir("/proc/self/fd")
    assert len(tree(tmp_path, "a", "b")) == 3
    assert os.listdir("/proc/self/fd") == before
    rows = cgroup.tree_rows(str(tmp_path), effective=False)
    next(rows)
    assert os.listdir("/proc/self/fd") != before
    del rows
    assert os.listdir("/proc/self/fd") == before
    attached[tmp_path.name, INGRESS] = errno.EIO
    with pytest.raises(KernelError):
        tree(tmp_path)
    assert os.listdir("/proc/self/fd") == before


def test_a_root_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    with pytest.raises(KernelError, match=r"^can't open cgroup .*/f: Not a directory$"):
        list(cgroup.tree_rows(str(tmp_path / "f"), effective=False))


def test_links_are_not_followed(kernel: FakeKernel, attached: Attached, tmp_path: Path) -> None:
    attached["a", INGRESS] = [(1, 0)]
    (tmp_path / "a").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path)
    assert shape(tree(tmp_path), tmp_path) == {"a": [1]}


def test_the_default_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc, "mounts", lambda *types: iter(["/first", "/second"] if types == ("cgroup2",) else []))
    assert cgroups.mount_point() == "/first"
    monkeypatch.setattr(proc, "mounts", lambda *types: iter([]))
    with pytest.raises(Error, match=r"^cgroup v2 isn't mounted"):
        cgroup.tree.run(args(verb="tree"))


def test_headers(attached: Attached, tmp_path: Path) -> None:
    plain = "ID       AttachType      AttachFlags     Name           \n"
    short = "ID       AttachType      Name           \n"
    assert cgroup.tree.run(args(str(tmp_path))).header == f"CgroupPath\n{plain}"
    assert cgroup.tree.run(args(str(tmp_path), "eff")).header == f"CgroupPath\n{short}"
    assert cgroup.show.run(args(str(tmp_path))).header == ""  # where there is nothing


class Kernel:
    """Answers BPF_PROG_QUERY: ids and their flags by hook, for descriptor 5, as many as there is room for."""

    def __init__(self, hooks: dict[int, tuple[list[int], list[int]]]) -> None:
        self.hooks = hooks
        self.calls = 0

    def bpf(self, cmd: int, attr: Any) -> int:
        assert (cmd, attr.target_fd) == (uapi.BPF_PROG_QUERY, 5)
        self.calls += 1
        ids, flags = self.hooks.get(attr.attach_type, ([], []))
        room, attr.count = attr.count, len(ids)
        attr.attach_flags = flags[0] if flags and not attr.query_flags else 0
        for address, numbers in ((attr.prog_ids, ids), (attr.prog_attach_flags, flags)):
            if address:
                ctypes.memmove(address, (ctypes.c_uint32 * len(numbers))(*numbers), 4 * min(room, len(numbers)))
        if room < len(ids):
            raise OSError(errno.ENOSPC, "")
        return 0


@pytest.mark.parametrize("effective", [False, True])
def test_questions_to_the_kernel(monkeypatch: pytest.MonkeyPatch, effective: bool) -> None:
    """Among them one with more programs than are expected, and the LSM's, where each program has flags of its own."""
    lsm, device = uapi.ATTACH_TYPES.index("lsm_cgroup"), uapi.ATTACH_TYPES.index(DEVICE)
    many = list(range(1, 201))
    kernel = Kernel({device: ([7, 8], [2, 2]), lsm: ([4, 5, 6], [0, 2, 1]), 0: (many, [2] * 200)})
    monkeypatch.setattr(bpf, "bpf", kernel.bpf)
    query = bpf.CgroupQuery(effective)
    shown = 0 if effective else 2
    assert query.progs(5, device) == [(7, shown), (8, shown)]
    assert query.progs(5, lsm) == [(4, 0), (5, 0 if effective else 2), (6, 0 if effective else 1)]
    assert query.progs(5, 1) == []
    assert query.progs(5, 0) == [(id, shown) for id in many]
    assert query.progs(5, device) == [(7, shown), (8, shown)]
    assert kernel.calls == 6


def test_no_room_that_is_enough_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(cmd: int, attr: Any) -> int:
        raise OSError(errno.ENOSPC, "")

    monkeypatch.setattr(bpf, "bpf", refuse)
    with pytest.raises(OSError, match=r"Errno 28"):
        bpf.CgroupQuery().progs(5, 0)
