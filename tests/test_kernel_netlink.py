"""rtnetlink's messages, in bytes as the kernel sends them; what is asked for, and when an answer is not whole."""

from __future__ import annotations

import errno
import struct

import pytest

from bcctool.errors import KernelError
from bcctool.kernel import netlink

LINK, QDISC, CLASS, FILTER = 16, 36, 40, 44
GET_LINK, GET_QDISC, GET_CLASS, GET_FILTER = 18, 38, 42, 46
CLSACT = 0xFFFF0000


def attribute(type: int, value: bytes) -> bytes:
    """struct nlattr and its value, padded."""
    return struct.pack("=HH", len(value) + 4, type) + value + b"\0" * (-len(value) % 4)


def nested(type: int, *attributes: bytes) -> bytes:
    return attribute(type, b"".join(attributes))


def number(type: int, value: int) -> bytes:
    return attribute(type, struct.pack("=I", value))


def message(type: int, body: bytes, *attributes: bytes) -> bytes:
    """struct nlmsghdr, the body, the attributes."""
    data = body + b"".join(attributes)
    return struct.pack("=IHHII", len(data) + 16, type, 2, 0, 0) + data


def link(index: int, name: bytes, *xdp: bytes) -> bytes:
    body = struct.pack("=BxHiII", 0, 1, index, 0, 0)
    return message(LINK, body, attribute(3, name + b"\0"), attribute(99, b"x"), *([nested(43, *xdp)] if xdp else []))


def tc(type: int, index: int, handle: int, kind: bytes, *attributes: bytes) -> bytes:
    return message(type, struct.pack("=BxxxiIII", 0, index, handle, 0, 0), attribute(1, kind + b"\0"), *attributes)


class Kernel:
    """A socket that answers from `answers`, by request and device, and notes what it was asked for."""

    def __init__(self) -> None:
        self.answers: dict[tuple[int, int], list[bytes]] = {}
        self.asked: list[tuple[int, int, int]] = []
        self.interruptions = self.error = 0
        self.pieces: list[bytes] = []  # to be received

    def connect(self, address: tuple[int, int]) -> None:
        assert address == (0, 0)

    def send(self, request: bytes) -> None:
        length, type, flags, sequence, _ = struct.unpack_from("=IHHII", request)
        index, parent = struct.unpack_from("=4xi4xI", request, 16) if type != GET_LINK else (0, 0)
        assert (length, flags) == (len(request), 0x301)
        self.asked.append((type, index, parent))
        if self.error and type != GET_QDISC:
            failed = message(2, struct.pack("=i", -self.error), request[:16])
            self.pieces.append(sent(sequence, failed) + sent(sequence, link(9, b"after an error")))
            return
        answers = self.answers.get((type, index), [])
        self.pieces += [b"".join(sent(sequence, answer) for answer in part) for part in (answers[:2], answers[2:])]
        self.pieces.append(sent(sequence, message(3, bytes(4)), 16 if self.interruptions else 0))
        self.interruptions -= bool(self.interruptions)

    def recv(self, _: int) -> bytes:
        return self.pieces.pop(0)


def sent(sequence: int, message: bytes, flags: int = 0) -> bytes:
    """A message as part of an answer, padded."""
    length, type, known = struct.unpack_from("=IHH", message)
    header = struct.pack("=IHHII", length, type, known | flags, sequence, 0)
    return header + message[16:] + bytes(-len(message) % 4)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    monkeypatch.setattr(netlink, "socket", lambda *_: kernel)
    return kernel


def test_xdp_of_devices(kernel: Kernel) -> None:
    """One program, several, none; offloaded ones, which no kernel here has."""
    kernel.answers[GET_LINK, 0] = [
        link(1, b"lo"),
        link(2, b"eth0", attribute(2, b"\x03"), number(4, 7), number(7, 7)),
        link(3, b"eth1", attribute(2, b"\x04"), number(5, 8), number(6, 9), number(7, 10)),
        link(4, b"eth2", attribute(2, b"\x00")),
        link(5, b"b\xff\xfe"),
        link(6, "\u00f6".encode()),
    ]
    found = [(device.index, device.name, device.xdp) for device in netlink.Netlink().devices()]
    assert found == [
        (1, "lo", []),
        (2, "eth0", [("offload", 7)]),
        (3, "eth1", [("generic", 9), ("driver", 8), ("offload", 10)]),
        (4, "eth2", []),
        (5, "b\\xff\\xfe", []),
        (6, "\u00f6", []),
    ]


def bpf_filter(*attributes: bytes, kind: bytes = b"bpf") -> bytes:
    return tc(FILTER, 2, 1, kind, nested(2, *attributes))


def action(prio: int, kind: bytes, *options: bytes) -> bytes:
    return nested(prio, attribute(1, kind + b"\0"), number(3, 1), nested(2, *options))


def test_filters_with_actions(kernel: Kernel) -> None:
    actions = nested(
        1,
        action(1, b"gact", number(9, 99)),
        action(2, b"bpf", attribute(6, b"a.o:[x]\0"), number(9, 5)),
        action(3, b"bpf", number(9, 6)),
        action(32, b"bpf", attribute(6, b"\xff\0"), number(9, 7)),
    )
    kernel.answers[GET_QDISC, 0] = [tc(QDISC, 2, 0x10000, b"htb")]
    kernel.answers[GET_FILTER, 2] = [
        tc(FILTER, 2, 0, b"bpf"),  # the head of a priority
        bpf_filter(actions, attribute(7, b"name\0"), number(11, 4)),
        bpf_filter(number(4, 1), attribute(5, b"12345678")),  # classic BPF
        bpf_filter(attribute(7, b"n\xe9\0"), number(11, 8), nested(1)),
        bpf_filter(attribute(7, b"u32's\0"), kind=b"u32"),
    ]
    found = netlink.Netlink().filters(2)
    assert [(filter.place, filter.name, filter.prog_id, filter.actions) for filter in found] == [
        ("htb", "name", 4, [("a.o:[x]", 5), (None, 6), ("\\xff", 7)]),
        ("htb", None, None, None),
        ("htb", "n\\xe9", 8, []),
    ]


def test_a_device_is_asked_only_for_what_it_can_have(kernel: Kernel) -> None:
    """Those of all devices are asked for once; most devices have no queue, and no filters."""
    kernel.answers[GET_QDISC, 0] = [
        tc(QDISC, 1, 0, b"noqueue"),
        tc(QDISC, 2, 0, b"noqueue"),
        tc(QDISC, 2, CLSACT, b"clsact"),
        tc(QDISC, 4, 0x10000, b"htb"),
    ]
    kernel.answers[GET_CLASS, 4] = [tc(CLASS, 4, 0x10001, b"htb")]
    socket = netlink.Netlink()
    for index in range(1, 5):
        list(socket.filters(index))
    assert kernel.asked == [
        (GET_QDISC, 0, 0),
        (GET_CLASS, 2, 0),
        (GET_FILTER, 2, CLSACT),
        (GET_FILTER, 2, 0xFFFFFFFF),
        (GET_FILTER, 2, 0xFFFFFFF2),
        (GET_FILTER, 2, 0xFFFFFFF3),
        (GET_CLASS, 4, 0),
        (GET_FILTER, 4, 0x10001),
        (GET_FILTER, 4, 0x10000),
    ]


@pytest.mark.parametrize(("interruptions", "asked"), [(1, 2), (100, 5)])
def test_an_answer_that_is_not_whole_is_asked_for_again(kernel: Kernel, interruptions: int, asked: int) -> None:
    """But not for ever: a network may change all the time."""
    kernel.answers[GET_LINK, 0] = [link(1, b"lo"), link(2, b"eth0")]
    kernel.interruptions = interruptions
    assert [device.name for device in netlink.Netlink().devices()] == ["lo", "eth0"]
    assert kernel.asked == [(GET_LINK, 0, 0)] * asked


def test_a_device_that_is_gone_has_nothing(kernel: Kernel) -> None:
    kernel.answers[GET_QDISC, 0] = [tc(QDISC, 2, CLSACT, b"clsact")]
    kernel.error = errno.ENODEV
    assert list(netlink.Netlink().filters(2)) == []
    kernel.error = errno.EPERM
    with pytest.raises(KernelError, match=r"^can't list tc classes: Operation not permitted$") as caught:
        list(netlink.Netlink().filters(2))
    assert caught.value.status == 255
    with pytest.raises(KernelError, match=r"^can't list network devices: "):
        netlink.Netlink().devices()


def test_what_is_left_of_an_answer_is_passed_over(kernel: Kernel) -> None:
    """After an error the next answer is that to the next question."""
    kernel.answers[GET_LINK, 0] = [link(1, b"lo")]
    kernel.error = errno.EBUSY
    socket = netlink.Netlink()
    with pytest.raises(KernelError, match="Device or resource busy"):
        socket.devices()
    kernel.pieces += [sent(1, link(7, b"late"))]
    kernel.error = 0
    assert [device.name for device in socket.devices()] == ["lo"]


@pytest.mark.parametrize(
    "piece",
    [
        pytest.param(b"\x10\0\0\0", id="no whole header"),
        pytest.param(struct.pack("=IHHII", 15, LINK, 2, 1, 0), id="shorter than its header"),
        pytest.param(struct.pack("=IHHII", 400, LINK, 2, 1, 0) + bytes(40), id="longer than what came"),
    ],
)
def test_a_damaged_answer(kernel: Kernel, piece: bytes) -> None:
    kernel.pieces = [piece]
    with pytest.raises(KernelError, match=r"^can't list network devices: "):
        netlink.Netlink().devices()


@pytest.mark.parametrize("length", [0, 3, 0x7FFF])
def test_damaged_attributes_end_a_message(kernel: Kernel, length: int) -> None:
    body = struct.pack("=BxHiII", 0, 1, 5, 0, 0)
    damaged = struct.pack("=HH", length, 43) + b"\x08\0\0\0"
    kernel.answers[GET_LINK, 0] = [message(LINK, body, attribute(3, b"eth0\0"), damaged)]
    found = [(device.index, device.name, device.xdp) for device in netlink.Netlink().devices()]
    assert found == [(5, "eth0", [])]


def test_only_what_is_read_is_decoded(kernel: Kernel) -> None:
    """pyroute2 makes an object of each attribute."""
    kernel.answers[GET_LINK, 0] = [link(1, b"lo", attribute(2, b"\0"))]
    (decoded,) = netlink.Netlink()._dump("network devices", GET_LINK, netlink._ifinfomsg)
    assert [attribute[0] for attribute in decoded["attrs"]] == ["IFLA_IFNAME", "IFLA_XDP"]
