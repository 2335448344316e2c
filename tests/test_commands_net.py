"""net: how attachments are described and printed, and what importing pyroute2 leaves behind."""

from __future__ import annotations

import errno
import subprocess
import sys
from importlib.machinery import PathFinder
from typing import Any

import pytest

from bcctool.commands import net
from bcctool.errors import Error, KernelError
from bcctool.kernel import bpf, netlink, uapi
from bcctool.kernel.netlink import Device, Filter
from bcctool.verbs import Args, Options

from .conftest import ROOT
from .fake_kernel import FakeKernel, fake_kernel  # noqa: F401  (a fixture)

ETH0 = Device(2, "eth0", [])


class Attributes(dict[str, Any]):
    """Decoded attributes, as pyroute2 gives them."""

    def get_attr(self, name: str) -> Any:
        return self.get(name)

    def get_attrs(self, name: str) -> Any:
        return self.get(name, [])


@pytest.mark.parametrize(
    ("attached", "expected"),
    [
        (None, []),
        ({"IFLA_XDP_ATTACHED": 0}, []),
        ({"IFLA_XDP_ATTACHED": 1, "IFLA_XDP_PROG_ID": 7, "IFLA_XDP_DRV_PROG_ID": 7}, [("driver", 7)]),
        ({"IFLA_XDP_ATTACHED": 2, "IFLA_XDP_PROG_ID": 7}, [("generic", 7)]),
        ({"IFLA_XDP_ATTACHED": 3, "IFLA_XDP_PROG_ID": 7}, [("offload", 7)]),
        ({"IFLA_XDP_ATTACHED": 9, "IFLA_XDP_PROG_ID": 7}, [("9", 7)]),
        (
            {"IFLA_XDP_ATTACHED": 4, "IFLA_XDP_DRV_PROG_ID": 7, "IFLA_XDP_HW_PROG_ID": 8},
            [("driver", 7), ("offload", 8)],
        ),
        (
            {"IFLA_XDP_ATTACHED": 4, "IFLA_XDP_DRV_PROG_ID": 7, "IFLA_XDP_SKB_PROG_ID": 6, "IFLA_XDP_HW_PROG_ID": 8},
            [("generic", 6), ("driver", 7), ("offload", 8)],
        ),
    ],
)
def test_xdp_modes(attached: dict[str, int] | None, expected: list[tuple[str, int]]) -> None:
    assert netlink._xdp_programs(None if attached is None else Attributes(attached)) == expected


def test_xdp_records_and_text() -> None:
    devices = [ETH0, Device(3, "eth1", [("generic", 5)]), Device(4, "e\x1b2", [("driver", 6), ("offload", 7)])]
    one, several = net.xdp_rows(devices)
    assert one == {"devname": "eth1", "ifindex": 3, "mode": "generic", "id": 5}
    attachments = [{"mode": "driver", "id": 6}, {"mode": "offload", "id": 7}]
    assert several == {"devname": "e\x1b2", "ifindex": 4, "multi_attachments": attachments}
    assert net.xdp_text(one) == "eth1(3) generic id 5\n"
    assert net.xdp_text(several) == "e\\x1b2(4) driver id 6\ne\\x1b2(4) offload id 7\n"


@pytest.mark.parametrize(
    ("filter", "fields", "text"),
    [
        (Filter("htb", "a.o:[x]", 5, None), {"kind": "htb", "name": "a.o:[x]", "id": 5}, "htb a.o:[x] id 5"),
        (Filter("clsact/egress", None, None, None), {"kind": "clsact/egress"}, "clsact/egress"),
        (Filter("root", "n", 5, []), {"kind": "root", "name": "n", "id": 5, "act": []}, "root n id 5 act [] "),
        (
            Filter("root", None, None, [("a", 1), (None, None), ("b", 2)]),
            {"kind": "root", "act": [{"name": "a", "id": 1}, {}, {"name": "b", "id": 2}]},
            "root act [{a id 1}{}{b id 2}] ",
        ),
    ],
)
def test_classic_filters(filter: Filter, fields: dict[str, Any], text: str) -> None:
    record = net.device_fields(ETH0) | net.filter_fields(filter)
    assert list(record.items()) == [("devname", "eth0"), ("ifindex", 2), *fields.items()]
    assert net.tc_text(record) == f"eth0(2) {text}\n"


def action(kind: str, name: str, id: int) -> Attributes:
    options = Attributes(TCA_ACT_BPF_NAME=name, TCA_ACT_BPF_ID=id)
    return Attributes(TCA_ACT_KIND=kind, TCA_ACT_OPTIONS=options)


def test_only_bpf_actions_are_listed() -> None:
    actions = Attributes(action=[action("gact", "x", 1), action("bpf", "y", 2)])
    found = netlink._filter_of("root", Attributes(TCA_BPF_ACT=actions, TCA_BPF_NAME="f", TCA_BPF_ID=3))
    assert (found.name, found.prog_id, found.actions) == ("f", 3, [("y", 2)])


def test_programs_at_link_hooks(fake_kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    fake_kernel.add(bpf.PROG, 7, name=b"first")

    def query(attach_type: str, target: int, links: bool = False) -> list[tuple[int, int, int, int]]:
        assert (attach_type, target, links) == ("tcx_ingress", 2, True)
        return [(7, 0, 0, 0), (8, 3, 9, 1)]

    monkeypatch.setattr(bpf, "prog_query", query)
    named, gone = net.link_hook_rows(ETH0, "tcx_ingress", "tcx/ingress")
    assert [*named] == ["devname", "ifindex", "kind", "name", "prog_id", "prog_flags", "link_id", "link_flags"]
    assert net.tc_text(named) == "eth0(2) tcx/ingress first prog_id 7 \n"
    assert (gone["prog_flags"], gone["link_flags"], "name" in gone) == ([3], [1], False)
    assert net.tc_text(gone) == "eth0(2) tcx/ingress prog_id 8 prog_flags 3 link_id 9 \n"


def test_a_hook_that_is_not_there_and_one_that_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    error = OSError(errno.EINVAL, "")

    def query(*_: object, **__: object) -> list[tuple[int, int, int, int]]:
        raise error

    monkeypatch.setattr(bpf, "prog_query", query)
    assert list(net.link_hook_rows(ETH0, "tcx_ingress", "tcx/ingress")) == []
    assert net.flow_dissector_rows() == []
    error.errno = errno.EPERM
    with pytest.raises(KernelError, match="tcx/ingress of eth0"):
        list(net.link_hook_rows(ETH0, "tcx_ingress", "tcx/ingress"))
    with pytest.raises(KernelError, match=r"^can't query prog: Operation not permitted$") as caught:
        net.flow_dissector_rows()
    assert caught.value.status == 255


def test_netfilter_links_in_order(fake_kernel: FakeKernel) -> None:  # noqa: F811
    for id, (pf, hook, priority, flags) in enumerate([(10, 1, 5, 0), (2, 4, 9, 0), (2, 4, -128, 1), (2, 0, 99, 0)]):
        fake_kernel.add(bpf.LINK, id, type=uapi.LINK_TYPES.index("netfilter"), prog_id=id + 20)
        info = fake_kernel.objects[bpf.LINK][id]
        assert isinstance(info, uapi.link_info)
        netfilter = info.netfilter
        netfilter.pf, netfilter.hooknum, netfilter.priority, netfilter.flags = pf, hook, priority, flags
    fake_kernel.add(bpf.LINK, 50, type=uapi.LINK_TYPES.index("xdp"), prog_id=1)
    fake_kernel.add(bpf.LINK, 51, type=uapi.LINK_TYPES.index("netfilter"), prog_id=1)
    fake_kernel.vanished.add(51)
    rows = net.netfilter_rows()
    assert [row["id"] for row in rows] == [23, 22, 21, 20]
    assert rows[1] == {"pf": 2, "hook": 4, "prio": -128, "flags": 1, "id": 22}
    assert [net.netfilter_text(row) for row in rows] == [
        "\n\tip prerouting prio 99 prog_id 23",
        "\n\tip postrouting prio -128 flags 0x1 prog_id 22",
        "\n\tip postrouting prio 9 prog_id 21",
        "\n\tip6 input prio 5 prog_id 20",
    ]


@pytest.mark.parametrize(
    ("pf", "hook", "start"),
    [(3, 1, "arp output"), (3, 4, "arp, hook 4,"), (99, 1, "pf: 99, hook 1,"), (7, 2, "bridge forward")],
)
def test_netfilter_names(pf: int, hook: int, start: str) -> None:
    text = net.netfilter_text({"pf": pf, "hook": hook, "prio": 1, "flags": 0, "id": 2})
    assert text == f"\n\t{start} prio 1 prog_id 2"


def test_all_sections_as_text() -> None:
    empty: dict[str, list[Any]] = {"xdp": [], "tc": [], "flow_dissector": [], "netfilter": []}
    assert net.text(empty) == "xdp:\n\ntc:\n\nflow_dissector:\n\nnetfilter:\n\n"
    netfilter = {"pf": 2, "hook": 0, "prio": 1, "flags": 0, "id": 5}
    filled = empty | {"flow_dissector": [{"id": 4}], "netfilter": [netfilter]}
    assert net.text(filled).endswith("flow_dissector:\nid 4\nnetfilter:\n\n\tip prerouting prio 1 prog_id 5\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("xdp id 1 dev", "'attach' needs at least 5 arguments, 4 found"),
        ("ydp id 1 dev lo", "invalid net attach/detach type: ydp"),
        ("xdp foo 1 dev lo", "expected 'id', 'tag', 'name' or 'pinned', got: 'foo'?"),
        ("xdp id x dev lo", "can't parse x as ID"),
        ("xdp id 9 dev lo", "get by id (9): No such file or directory"),
        ("xdp id 1 foo lo", "expected 'dev', got: 'foo'?"),
        ("xdp id 1 dev no/such", "invalid devname no/such"),
        ("xdp id 1 dev lo prepend", "expected 'overwrite', got: 'prepend'?"),
        ("xdp id 1 dev lo overwrite junk", "expected no more arguments, got: 'junk'?"),
        ("tcx_egress id 1 dev lo overwrite", "expected 'prepend', got: 'overwrite'?"),
    ],
)
def test_bad_words_attach_nothing(
    fake_kernel: FakeKernel,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    words: str,
    message: str,
) -> None:
    fake_kernel.add(bpf.PROG, 1)
    monkeypatch.setattr("bcctool.kernel.libbpf.call", lambda *args: pytest.fail(f"called {args}"))
    with pytest.raises(Error) as caught:
        net.attach.run(Args(words.split(), Options(), "attach"))
    assert (caught.value.message, caught.value.status) == (message, 234)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("xdp dev", "'detach' needs at least 3 arguments, 2 found"),
        ("ydp dev lo", "invalid net attach/detach type: ydp"),
        ("xdp foo lo", "expected 'dev', got: 'foo'?"),
        ("tcx_egress dev no/such", "invalid devname no/such"),
        ("xdp dev lo overwrite", "expected no more arguments, got: 'overwrite'?"),
    ],
)
def test_bad_words_detach_nothing(monkeypatch: pytest.MonkeyPatch, words: str, message: str) -> None:
    calls: list[object] = []
    monkeypatch.setattr("bcctool.kernel.libbpf.call", lambda *args: calls.append(args))
    with pytest.raises(Error) as caught:
        net.detach.run(Args(words.split(), Options(), "detach"))
    assert (caught.value.message, caught.value.status, calls) == (message, 234, [])


@pytest.mark.parametrize(
    ("words", "call"),
    [
        ("xdp dev lo", ("bpf_xdp_attach", 1, -1, 0, None)),
        ("x d lo", ("bpf_xdp_attach", 1, -1, 0, None)),
        ("xdpgeneric dev lo", ("bpf_xdp_attach", 1, -1, 2, None)),
        ("xdpdrv dev lo", ("bpf_xdp_attach", 1, -1, 4, None)),
        ("xdpoffload dev lo", ("bpf_xdp_attach", 1, -1, 8, None)),
        ("t dev lo", ("bpf_prog_detach", 1, 46)),
        ("tcx_e dev lo", ("bpf_prog_detach", 1, 47)),
    ],
)
def test_what_detach_asks_libbpf_for(monkeypatch: pytest.MonkeyPatch, words: str, call: tuple[object, ...]) -> None:
    calls: list[tuple[object, ...]] = []
    monkeypatch.setattr("bcctool.kernel.libbpf.call", lambda *args: calls.append(args))
    net.detach.run(Args(words.split(), Options(), "detach"))
    assert calls == [call]


@pytest.mark.parametrize(
    ("words", "call"),
    [
        ("xdp id 1 dev lo", ("bpf_xdp_attach", 1, "fd", 1, None)),
        ("xdp id 1 d lo over", ("bpf_xdp_attach", 1, "fd", 0, None)),
        ("xdpg id 1 dev lo", ("bpf_xdp_attach", 1, "fd", 3, None)),
        ("xdpd id 1 dev lo", ("bpf_xdp_attach", 1, "fd", 5, None)),
        ("xdpoffload id 1 dev lo overwrite", ("bpf_xdp_attach", 1, "fd", 8, None)),
        ("tcx_i id 1 dev lo", ("bpf_prog_attach", "fd", 1, 46, 16)),
        ("tcx_e id 1 dev lo pre", ("bpf_prog_attach", "fd", 1, 47, 8)),
    ],
)
def test_what_attach_asks_libbpf_for(
    fake_kernel: FakeKernel,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    words: str,
    call: tuple[object, ...],
) -> None:
    fake_kernel.add(bpf.PROG, 1)
    calls: list[tuple[object, ...]] = []
    monkeypatch.setattr("bcctool.kernel.libbpf.call", lambda *args: calls.append(args))
    net.attach.run(Args(words.split(), Options(), "attach"))
    (fd,) = fake_kernel.open
    assert calls == [tuple(fd if word == "fd" else word for word in call)]


def script(code: str) -> str:
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def test_our_part_of_pyroute2_is_no_one_elses() -> None:
    """Who imports pyroute2 after us gets all of it; the little that we took goes on working."""
    assert (
        script(
            "from bcctool.kernel import netlink\n"
            "print([name for name in sys.modules if name.startswith('pyroute2')])\n"
            "import pyroute2\n"
            "print(pyroute2.IPRoute().get_links()[0].get_attr('IFLA_IFNAME'))\n"
            "print(pyroute2.netlink.nlmsg is netlink.netlink.nlmsg)\n"
            "with netlink.Netlink() as socket: print(socket.devices()[0].name)\n"
        )
        == "[]\nlo\nFalse\nlo\n"
    )


def test_a_pyroute2_that_is_there_already_is_used() -> None:
    assert (
        script(
            "import pyroute2\n"
            "from bcctool.kernel import netlink\n"
            "print(pyroute2.netlink.nlmsg is netlink.netlink.nlmsg, 'pyroute2.netlink' in sys.modules)\n"
        )
        == "True True\n"
    )


def test_without_pyroute2_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pyroute2", raising=False)
    monkeypatch.setattr(PathFinder, "find_spec", lambda name: None)
    with pytest.raises(Error, match=r"pyroute2 is not installed.*install python3-pyroute2"):
        netlink._import()
    assert "pyroute2" not in sys.modules
