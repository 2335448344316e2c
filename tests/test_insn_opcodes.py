"""The table of instructions: its numbers are linux/bpf.h's, its rows don't contradict each other."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from bcctool.insn import opcodes

HEADERS = (Path("/usr/include/linux/bpf_common.h"), Path("/usr/include/linux/bpf.h"))
RENAMED = {"CALL": "CALL_OP", "EXIT": "EXIT_OP"}  # our CALL and EXIT are whole opcodes
FIELDS = {"", "off", "imm", "src"}


def test_numbers_are_those_of_the_uapi_headers() -> None:
    if not all(path.exists() for path in HEADERS):
        pytest.skip("the kernel's UAPI headers are not installed (linux-libc-dev)")
    text = "".join(path.read_text() for path in HEADERS)
    plain = re.findall(r"#define\s+BPF_(\w+)\s+(0x[0-9a-f]+|\d+)\s", text)
    fetching = re.findall(r"#define\s+BPF_(\w+)\s+\((\w+) \| BPF_FETCH\)", text)
    theirs = {name: int(value, 0) for name, value in plain}
    theirs |= {name: int(value, 0) | theirs["FETCH"] for name, value in fetching}
    names = {name: RENAMED.get(name, name) for name in theirs}
    ours = {name: getattr(opcodes, attribute) for name, attribute in names.items() if hasattr(opcodes, attribute)}
    assert ours == {name: theirs[name] for name in ours}
    assert len(ours) >= 55


def test_no_form_appears_twice() -> None:
    counts = Counter((form.code, form.field, form.value) for form in opcodes.FORMS)
    assert [form for form, count in counts.items() if count > 1] == []


def test_forms_of_an_opcode_are_told_apart_by_one_field() -> None:
    fields: dict[int, set[str]] = {}
    for form in opcodes.FORMS:
        fields.setdefault(form.code, set()).add(form.field)
    assert {field for names in fields.values() for field in names} == FIELDS
    assert [code for code, names in fields.items() if len(names - {""}) > 1] == []


def test_whole_opcodes() -> None:
    names = ("LD_IMM64", "CALL", "EXIT", "GOTO", "GOTOL", "GOTOX", "MAY_GOTO")
    assert [getattr(opcodes, name) for name in names] == [0x18, 0x85, 0x95, 0x05, 0x06, 0x0D, 0xE5]


@pytest.mark.parametrize("code", range(256))
def test_every_opcode_has_a_mark_for_what_it_is_not(code: int) -> None:
    marks = [text for mask, value, text in opcodes.UNKNOWN if code & mask == value]
    assert marks
    assert f"{code:02x}" in marks[0].format(code)
