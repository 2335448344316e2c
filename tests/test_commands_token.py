"""token: the options of mounts as lists, and how lists are laid out."""

from __future__ import annotations

import pytest

from bcctool.commands import token
from bcctool.errors import Error
from bcctool.kernel import proc
from bcctool.verbs import Args, Options

NOTHING: dict[str, list[str]] = {key: [] for key in token.LISTS}
COMMANDS = "map_create:map_lookup_elem:map_update_elem:map_delete_elem:prog_load"


def test_mounts_that_delegate_nothing_are_left_out() -> None:
    assert token.describe("/sys/fs/bpf", "rw,nosuid,relatime,mode=700") is None
    assert token.describe("/a", "rw,delegate_maps=hash") == {"token_info": "/a"} | NOTHING | {"allowed_maps": ["hash"]}


def test_all_lists() -> None:
    options = f"rw,delegate_attachs=any,delegate_progs=xdp:0x8000000000000000,delegate_cmds={COMMANDS},mode=700"
    record = token.describe("/b", options)
    assert record == {
        "token_info": "/b",
        "allowed_cmds": COMMANDS.split(":"),
        "allowed_maps": [],
        "allowed_progs": ["xdp", "0x8000000000000000"],
        "allowed_attachs": ["any"],
    }
    assert list(record) == ["token_info", "allowed_cmds", "allowed_maps", "allowed_progs", "allowed_attachs"]


def test_text_has_four_names_per_line() -> None:
    record = token.describe("/b\x1b", f"delegate_cmds={COMMANDS},delegate_progs=a:b:c:d")
    assert record is not None
    assert token.text(record).replace(" ", ".") == (
        "token_info../b\\x1b\n"
        "\tallowed_cmds:\n"
        "\t..map_create..........map_lookup_elem.....map_update_elem.....map_delete_elem.....\n"
        "\t..prog_load...........\n"
        "\tallowed_maps:\n"
        "\tallowed_progs:\n"
        "\t..a...................b...................c...................d...................\n"
        "\tallowed_attachs:\n"
    )


def test_words_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc, "mount_options", lambda *types: iter([("/a", "delegate_maps=any"), ("/b", "rw")]))
    assert [record["token_info"] for record in token.show.run(Args([], Options()))] == ["/a"]
    with pytest.raises(Error, match="expected no more arguments, got: 'x'"):
        token.show.run(Args(["x"], Options()))
