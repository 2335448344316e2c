"""`map event_pipe`: its words, and how records look; no kernel."""

from __future__ import annotations

import os
import select
import struct

import pytest

from bcctool.commands.map_event_pipe import describe, take_places, text, wait
from bcctool.errors import Error
from bcctool.output import dumps
from bcctool.verbs import Args, Options

SAMPLE = struct.pack("=QI", 3_000_000_042, 20) + bytes(range(20))


def places(words: str) -> list[tuple[int, int]]:
    return take_places(Args(words.split(), Options(), "event_pipe"))


@pytest.mark.parametrize(
    ("words", "found"),
    [("", []), ("cpu 1 index 2", [(1, 2)]), ("i 0x2 c 1", [(1, 2)]), ("index 1 cpu 0 index 0", [(0, 0)])],
)
def test_places(words: str, found: list[tuple[int, int]]) -> None:
    assert places(words) == found


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("cpu 1", "cpu and index must be specified together"),
        ("cpu 1 cpu 2", "cpu and index must be specified together"),
        ("cpu", "what is 'cpu'?"),
        ("cpu 1 index", "what is 'index'?"),
        ("cpu 1 index 1 junk", "what is 'junk'?"),
        ("cpu x index 1", "can't parse x as CPU ID"),
        ("cpu 1 index x", "can't parse x as index"),
        ("cpu 4294967296 index 0", "CPU ID 4294967296 is out of range: 0..2147483647"),
    ],
)
def test_words_that_are_no_place(words: str, message: str) -> None:
    with pytest.raises(Error) as refused:
        places(words)
    assert (refused.value.message, refused.value.status) == (message, 255)


def test_a_sample() -> None:
    record = describe(3, 1, 9, SAMPLE)
    assert text(record) == (
        "== @3.000000042 CPU: 3 index: 1 =====\n00 01 02 03 04 05 06 07  08 09 0a 0b 0c 0d 0e 0f\n10 11 12 13\n"
    )
    numbers = ",".join(map(str, range(20)))
    assert dumps(record) == f'{{"type":9,"cpu":3,"index":1,"timestamp":3000000042,"data":[{numbers}]}}'


def test_a_loss() -> None:
    record = describe(0, 0, 2, struct.pack("=QQ", 7, 3))
    assert text(record) == "lost 3 events\n"
    assert dumps(record) == '{"type":2,"cpu":0,"index":0,"lost":{"id":7,"count":3}}'


def test_a_record_of_another_kind() -> None:
    assert text(describe(0, 0, 5, bytes(24))) == "unknown event type=5 size=32\n"


def test_who_is_gone_is_waited_for_no_more() -> None:
    """The ring of a CPU that has been switched off says so at each poll."""
    gone, writer = os.pipe()
    os.close(writer)
    ending, signaled = os.pipe()
    poll = select.poll()
    for fd in (gone, ending):
        poll.register(fd, select.POLLIN)
    assert not wait(poll, ending)
    assert poll.poll(0) == []
    os.write(signaled, b"\2")
    assert wait(poll, ending)
    for fd in (gone, ending, signaled):
        os.close(fd)
