"""What a loader sent to the kernel: runs a command under bpf_trace.c, and reads its log (linux/bpf.h: union bpf_attr).

Descriptors and ids differ from run to run, so what stands for a map, a program or BTF becomes its name.
"""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest

from .conftest import Completed, Sandbox, run

SOURCE = Path(__file__).with_suffix(".c")
MAP_CREATE, MAP_UPDATE, PROG_LOAD, BTF_LOAD, MAP_FREEZE = 0, 2, 5, 18, 22
ATTR, INSNS, FUNC_INFO, LINE_INFO, LICENSE, FD_ARRAY, BTF, KEY, VALUE, PATH, FD_MAP, FD_BTF, CORE_RELOS = range(13)
ATTR_SIZE = 256  # more than any command takes
SLOT = 8
LD_IMM64, CALL = 0x18, 0x85
MAP_FD, MAP_VALUE, BTF_ID, KFUNC = 1, 2, 3, 2  # source registers of the first two, kinds of references and calls
STRUCT_OPS = 26

# field → offset in union bpf_attr, struct format. Left out is kern_version, which the kernel ignores since 5.0.
PROG_FIELDS = {
    "prog_type": (0, "I"), "insn_cnt": (4, "I"), "prog_flags": (44, "I"), "prog_ifindex": (64, "I"),
    "expected_attach_type": (68, "I"), "func_info_rec_size": (76, "I"), "line_info_rec_size": (92, "I"),
    "attach_btf_id": (108, "I"),
}  # fmt: skip
MAP_FIELDS = {
    "map_type": (0, "I"), "key_size": (4, "I"), "value_size": (8, "I"), "max_entries": (12, "I"),
    "map_flags": (16, "I"), "numa_node": (24, "I"), "map_ifindex": (44, "I"), "btf_key_type_id": (52, "I"),
    "btf_value_type_id": (56, "I"), "btf_vmlinux_value_type_id": (60, "I"), "map_extra": (64, "Q"),
}  # fmt: skip


class Call:
    """One bpf(2) call: the kernel's `result` (or -errno) and what was answered; `parts`: (tag, bytes)."""

    def __init__(self, cmd: int, result: int, answer: int, parts: list[tuple[int, bytes]]) -> None:
        self.cmd = cmd
        self.result = result
        self.answer = answer
        self.parts = parts
        self.attr = self.part(ATTR).ljust(ATTR_SIZE, b"\0")

    def part(self, tag: int) -> bytes:
        return next((data for own, data in self.parts if own == tag), b"")

    def number(self, offset: int, format: str = "I") -> int:
        value: int = struct.unpack_from(f"={format}", self.attr, offset)[0]
        return value

    def name(self, offset: int) -> str:
        return _name(self.attr[offset : offset + 16])

    def references(self, tag: int) -> list[tuple[int, int, str]]:
        """(fd, id, name) of each object of a kind that the call refers to."""
        return [(*struct.unpack_from("=II", data), _name(data[8:])) for own, data in self.parts if own == tag]


def _name(data: bytes) -> str:
    return data.split(b"\0")[0].decode()


class Sent:
    """What was sent for one object, comparable between loaders: dicts of fields by name, in order of creation.

    progs: with `insns` as a list of instructions, `result` of the kernel (0, or -errno). maps: without probes, which
    are told by names that the object does not have. values: (map, key, value) of what was put into the object's maps.
    """

    def __init__(self, log: Path, map_names: set[str], prog_names: set[str]) -> None:
        self.progs: list[dict[str, Any]] = []
        self.maps: list[dict[str, Any]] = []
        self.values: list[tuple[str, bytes, bytes]] = []
        self.frozen: list[str] = []
        self.btf = b""
        self.prog_fds: dict[int, str] = {}
        self._map_ids: dict[int, str] = {}
        self._btf_fds: dict[int, bytes] = {}
        self._map_names, self._prog_names = map_names, prog_names
        take = {
            MAP_CREATE: self._take_map, PROG_LOAD: self._take_prog, BTF_LOAD: self._take_btf,
            MAP_UPDATE: self._take_value, MAP_FREEZE: self._take_freeze,
        }  # fmt: skip
        for call in calls(log):
            if call.cmd in take:
                take[call.cmd](call)

    def _take_btf(self, call: Call) -> None:
        self._btf_fds[call.answer] = call.part(BTF)
        if len(call.part(BTF)) >= len(self.btf):
            self.btf = call.part(BTF)

    def _take_map(self, call: Call) -> None:
        name = call.name(28)
        made = call.references(FD_MAP)[-1:] if call.answer >= 0 else []
        if name not in self._map_names:
            return
        for _, id, _ in made:
            self._map_ids[id] = name
        if self.maps and self.maps[-1]["name"] == name and self.maps[-1]["answer"] < 0:
            self.maps.pop()  # tried again, without types
        fields: dict[str, Any] = {field: call.number(*place) for field, place in MAP_FIELDS.items()}
        fields["inner"] = self._map_of(call, call.number(20)) if call.number(20) else ""
        types = ("btf_key_type_id", "btf_value_type_id", "btf_vmlinux_value_type_id")
        fields["has_btf"] = bool(call.number(48)) and any(fields[field] for field in types)
        answers = {"result": min(0, call.result), "answer": min(0, call.answer)}
        self.maps.append({"name": name, **answers, **fields})

    def _take_prog(self, call: Call) -> None:
        name = call.name(48)
        if name not in self._prog_names:
            return
        fields: dict[str, Any] = {field: call.number(*place) for field, place in PROG_FIELDS.items()}
        fields |= {
            "insns": self._insns(call),
            "license": call.part(LICENSE),
            "func_info": call.part(FUNC_INFO),
            "line_info": call.part(LINE_INFO),
            "has_btf": bool(call.number(72)),
            "attach_to": self._btf_of(call, call.number(112)) if call.number(112) else "",
            "core_relos": len(call.part(CORE_RELOS)),
        }
        if call.answer >= 0:
            self.prog_fds[call.answer] = name
        self.progs.append({"name": name, "result": min(0, call.result), **fields})

    def _take_value(self, call: Call) -> None:
        map_, key, value = self._map_of(call, call.number(0)), call.part(KEY), call.part(VALUE)
        if map_ not in self._map_names or not any(value):  # zeros are what a new array has anyway
            return
        others = call.references(FD_MAP)[1:]
        if others:
            value = self._map_ids.get(others[0][1], others[0][2]).encode()
        elif len(value) == 4 and int.from_bytes(value, "little") in self.prog_fds:
            value = self.prog_fds[int.from_bytes(value, "little")].encode()
        self.values.append((map_, key, value))

    def _take_freeze(self, call: Call) -> None:
        if (map_ := self._map_of(call, call.number(0))) in self._map_names:
            self.frozen.append(map_)

    def _map_of(self, call: Call, fd: int) -> str:
        found = [(id, name) for own, id, name in call.references(FD_MAP) if own == fd]
        return self._map_ids.get(found[0][0], found[0][1]) if found else f"not a map: {fd}"

    def _btf_of(self, call: Call, fd: int) -> str:
        return next((name for own, _, name in call.references(FD_BTF) if own == fd), f"prog {fd}")

    def _insns(self, call: Call) -> list[str]:
        """Each instruction as its bytes in hex, descriptors in them as names."""
        data, at, insns = call.part(INSNS), 0, []
        fds = struct.unpack(f"={len(call.part(FD_ARRAY)) // 4}i", call.part(FD_ARRAY))
        while at < len(data):
            code, registers, off, imm = struct.unpack_from("=BBhi", data, at)
            size = 2 * SLOT if code == LD_IMM64 else SLOT
            insn = data[at : at + size]
            text, src = insn.hex(), registers >> 4
            if code == LD_IMM64 and src in (MAP_FD, MAP_VALUE):
                text = f"{insn[:4].hex()} {self._map_of(call, imm)} {insn[8:].hex()}"
            elif code == LD_IMM64 and src == BTF_ID and insn[12:] != bytes(4):
                text = f"{insn[:12].hex()} {self._btf_of(call, int.from_bytes(insn[12:], 'little'))}"
            elif code == CALL and src == KFUNC and off:
                text = f"{insn[:2].hex()} {self._btf_of(call, fds[off])} {insn[4:].hex()}"
            insns.append(text)
            at += size
        return insns


def calls(log: Path) -> list[Call]:
    """The calls of a log; none when no file was written."""
    data = log.read_bytes() if log.exists() else b""
    found, at = [], 0
    while at < len(data):
        cmd, result, answer, count = struct.unpack_from("=IiiI", data, at)
        at += 16
        parts = []
        for _ in range(count):
            tag, size = struct.unpack_from("=II", data, at)
            parts.append((tag, data[at + 8 : at + 8 + size]))
            at += 8 + size
        found.append(Call(cmd, result, answer, parts))
    return found


def library(directory: Path) -> Path:
    """The compiled bpf_trace.c. Skips where there is no compiler for programs of this machine."""
    compiler = shutil.which("clang") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    out = directory / "bpf_trace.so"
    if not out.exists():
        partial = out.with_suffix(f".{os.getpid()}")
        done = run(compiler, "-O2", "-fPIC", "-shared", SOURCE, "-o", partial, "-ldl", status=None)
        if done.returncode:
            pytest.skip(f"bpf_trace.c does not compile here: {done.stderr.splitlines()[0]}")
        partial.rename(out)
    return out


def traced(box: Sandbox, library: Path, log: Path, words: list[str], substitute: str = "") -> Completed:
    """Run a command in a sandbox with its bpf(2) calls going to `log`; substitute: see bpf_trace.c."""
    variables = {"LD_PRELOAD": library, "BPF_TRACE_LOG": log, "BPF_TRACE_SUBSTITUTE": substitute}
    return box.run("env", *(f"{name}={value}" for name, value in variables.items() if value), *words, status=None)


def difference(ours: Sent, theirs: Sent) -> list[str]:
    """What differs, a line each: `prog NAME: FIELD: ours, theirs`. Instructions as the first one that differs."""
    lines = []
    for what, one, other in (("map", ours.maps, theirs.maps), ("prog", ours.progs, theirs.progs)):
        names = [[row["name"] for row in rows] for rows in (one, other)]
        if names[0] != names[1]:
            lines.append(f"{what}s: {names[0]}, {names[1]}")
            continue
        for left, right in zip(one, other, strict=True):
            for field in (field for field in left if left[field] != right[field]):
                lines.append(f"{what} {left['name']}: {field}: {_shown(left[field], right[field])}")
    if ours.btf != theirs.btf:
        lines.append(f"btf: {_shown(ours.btf, theirs.btf)}")
    if ours.frozen != theirs.frozen:
        lines.append(f"frozen: {ours.frozen}, {theirs.frozen}")
    return lines + _value_differences(ours, theirs)


def _value_differences(ours: Sent, theirs: Sent) -> list[str]:
    one, other = sorted(ours.values), sorted(theirs.values)
    if [row[:2] for row in one] != [row[:2] for row in other]:
        return [f"values: {[row[:2] for row in one]}, {[row[:2] for row in other]}"]
    return [
        f"value of {map_} at {key.hex()}: {_shown(left, right)}"
        for (map_, key, left), (_, _, right) in zip(one, other, strict=True)
        if _named(left, ours.prog_fds) != _named(right, theirs.prog_fds)
    ]


def _named(value: bytes, prog_fds: dict[int, str]) -> list[str | bytes]:
    """The words of a value; those of a struct_ops map may be descriptors of programs."""
    words = [value[at : at + 8] for at in range(0, len(value), 8)]
    return [prog_fds.get(int.from_bytes(word, "little"), word) for word in words]


def _shown(left: Any, right: Any) -> str:
    """Two values, long ones from where they differ."""
    if isinstance(left, (bytes, list)):
        pairs = enumerate(zip(left, right, strict=False))
        at = next((at for at, (one, other) in pairs if one != other), min(len(left), len(right)))
        end = at + (16 if isinstance(left, bytes) else 1)
        return f"{len(left)} and {len(right)} long, at {at}: {left[at:end]!r}, {right[at:end]!r}"
    return f"{left!r}, {right!r}"
