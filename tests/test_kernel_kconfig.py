"""kernel/kconfig.py: what of a configuration file counts."""

from __future__ import annotations

import pytest

from bcctool.errors import Error
from bcctool.kernel import kconfig

HEAD = b"#\n# Automatically generated file; DO NOT EDIT.\n# Linux/x86 6.18.0 Kernel Configuration\n#\n"


def options(text: bytes, monkeypatch: pytest.MonkeyPatch, *names: str) -> list[str | None]:
    monkeypatch.setattr(kconfig, "_text", lambda: text)
    return list(kconfig.options(names).values())


def test_values(monkeypatch: pytest.MonkeyPatch) -> None:
    text = HEAD + b'CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C="x=y"\nCONFIG_D=0x10\nCONFIG_A=n\nCONFIG_E\n CONFIG_F=y'
    names = [f"CONFIG_{letter}" for letter in "ABCDEF"]
    assert options(text, monkeypatch, *names) == ["y", None, '"x=y"', "0x10", None, None]


@pytest.mark.parametrize("text", [b"", b"CONFIG_A=y\n", b"# Automatically generated file; DO NOT EDIT.\nCONFIG_A=y\n"])
def test_any_other_file_is_none(monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    with pytest.raises(Error, match="can't find correct file"):
        options(text, monkeypatch, "CONFIG_A")
