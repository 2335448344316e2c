"""What generated modules are made of, before there is anything in the kernel: first values, and errors that help."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bcctool.elf.object import ObjectFile
from bcctool.errors import Error

from .test_codegen_python import imported, module_text

Compile = Callable[..., Path]


@pytest.fixture
def text(compile_c: Compile) -> str:
    return module_text(ObjectFile(str(compile_c("python_module.c", "-g"))))


@pytest.fixture
def app(text: str, tmp_path: Path) -> Any:
    return imported(text, tmp_path).All()


def test_values_before_the_load(app: Any) -> None:
    assert (app.rodata.wanted, app.data.step, app.data_own.own, app.bss.hits) == (0, 1, 7, 0)
    assert app.rodata.setting == {"first": 1, "text": "one"}
    app.rodata.setting = {"first": 2, "text": "zwei"}
    app.bss.class_ = 5
    app.bss.import_ = [3, -4]
    app.bss.str = "abc"
    assert (app.bss.class_, app.bss.import_, app.bss.str, app.bss.hits) == (5, [3, -4], "abc", 0)
    assert app.rodata.setting == {"first": 2, "text": "zwei"}
    assert type(app)().bss.class_ == 0  # another object has its own


WRONG = [
    ("rodata", "wanted", "x", ".rodata: wanted: expected an integer, got 'x'"),
    ("rodata", "wanted", -1, ".rodata: wanted: -1 is out of range, 0 to 4294967295 expected"),
    ("rodata", "wanted", 1 << 32, ".rodata: wanted: 4294967296 is out of range, 0 to 4294967295 expected"),
    ("rodata", "setting", {"first": 1, "text": "longer"}, ""),
    ("rodata", "setting", {"first": 1, "text": "too long"}, ".rodata: setting.text: 8 bytes do not fit in 6"),
    ("rodata", "setting", {"nosuch": 1}, ".rodata: setting: no member 'nosuch' in struct"),
    ("rodata", "setting", 3, ".rodata: setting: expected a dict, got 3"),
    ("bss", "import_", [1, 2, 3], ".bss: import: 3 elements do not fit in 2"),
    ("bss", "odd", {"def": [{"deep": 1 << 40}]}, ".bss: odd.def[0].deep: 1099511627776 is out of range"),
    ("kconfig", "LINUX_KERNEL_VERSION", 1, ".kconfig: LINUX_KERNEL_VERSION is the kernel's, and known when the object"),
]


@pytest.mark.parametrize(("section", "name", "value", "message"), WRONG)
def test_values_that_a_variable_cannot_have(
    app: Any, section: str, name: str, value: object, message: str
) -> None:
    part = getattr(app, section)
    if not message:
        setattr(part, name, value)
        return
    with pytest.raises(Error, match=re.escape(message)) as caught:
        setattr(part, name, value)
    assert "\n" not in caught.value.message


def test_typos_and_replaced_parts(app: Any) -> None:
    for part, name in ((app.rodata, "nosuch"), (app.maps, "nosuch"), (app.progs, "nosuch"), (app.rodata, "class")):
        with pytest.raises(AttributeError, match=name):
            getattr(part, name)
        with pytest.raises(AttributeError, match=name):
            setattr(part, name, 1)
    with pytest.raises(AttributeError, match=r"no variable 'nosuch' in \.rodata, there are: (setting|wanted), "):
        assert app.rodata.nosuch
    for part, name in ((app.maps, "counts"), (app.progs, "count")):
        with pytest.raises(AttributeError, match="is a part of the object, which is not replaced"):
            setattr(part, name, 1)
        with pytest.raises(AttributeError, match="is a part of the object, which is not replaced"):
            delattr(part, name)
    assert {"wanted", "setting"} < set(dir(app.rodata))


def test_use_before_the_load(app: Any) -> None:
    uses: list[Callable[[], object]] = [
        lambda: app.loaded, lambda: app.attach(), lambda: app.maps.counts[0], lambda: app.maps.events.fd,
        lambda: app.progs.count.attach(), lambda: app.progs.pass_.run(), lambda: app.maps.waiting.pop(),
    ]  # fmt: skip
    for use in uses:
        with pytest.raises(Error, match=r"^all is not loaded: use `with app\.load\(\):`$"):
            use()
    with pytest.raises(Error, match="known when the object is loaded"):
        assert app.kconfig.LINUX_KERNEL_VERSION
    app.close()
    with pytest.raises(Error, match=r"^all is not loaded: it was closed$"):
        assert app.rodata.wanted


def test_values_in_the_other_byte_order(compile_c: Compile, tmp_path: Path) -> None:
    foreign = "bpfeb" if sys.byteorder == "little" else "bpfel"
    obj = ObjectFile(str(compile_c("python_module.c", "-g", target=foreign)))
    app = imported(module_text(obj), tmp_path).All()
    assert (app.data.step, app.rodata.setting) == (1, {"first": 1, "text": "one"})
    with pytest.raises(Error, match="-endian object on a"):
        app.load()


def test_a_damaged_module(text: str, tmp_path: Path) -> None:
    at = text.index("OBJECT = ") + 400
    for damage in ("AAAAA", "[[[[["):
        module = imported(text[:at] + damage + text[at + 5 :], tmp_path)
        with pytest.raises(Error, match=r"^all: the object in this module is damaged: generate the module again$"):
            module.All()
