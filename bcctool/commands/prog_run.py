"""prog run: a program run by hand, on data and context from files."""

from __future__ import annotations

import errno

from ..errors import GENERIC, Error, KernelError
from ..objects.prog import DEFAULT_ROOM
from ..verbs import MAX_U32, Args, one_of
from . import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..objects.prog import Prog, TestRun

FILES = ("data_in", "data_out", "ctx_in", "ctx_out")
NUMBERS = {"data_size_out": "output data size", "ctx_size_out": "output context size", "repeat": "repeat number"}
WORDS = ("data_in", "data_out", "data_size_out", "ctx_in", "ctx_out", "ctx_size_out", "repeat")
AMBIGUOUS = (WORDS[:3], WORDS[3:6])  # where a prefix that fits several is an error
STDIO = "-"
MAX_BYTES = 16 << 20  # of input or output: far more than any program's data or context may have
ENOTSUPP = 524  # the kernel's own, which no C library knows
LINE_BYTES, HALF_LINE, HEX_COLUMNS = 16, 8, 40


class Request:
    """The words after PROG."""

    def __init__(self, args: Args) -> None:
        self.files: dict[str, str] = {}
        self.numbers: dict[str, int] = {}
        while args:
            word = _word(args)
            args.require(1, GENERIC)
            if word in NUMBERS:
                limit = MAX_U32 if word == "repeat" else MAX_BYTES
                self.numbers[word] = args.number(NUMBERS[word], limit)
            else:
                self.files[word] = args.next()
        if self.files.get("data_in") == self.files.get("ctx_in") == STDIO:
            raise Error("cannot use standard input for both data_in and ctx_in")

    def input(self, word: str) -> bytes:
        """The contents of a file or of standard input, empty when the word was not given."""
        path = self.files.get(word)
        if path is None:
            return b""
        try:
            with open(0 if path == STDIO else path, "rb", closefd=path != STDIO) as file:
                data = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise Error(f"failed to open {path}: {error.strerror}") from None
        if len(data) > MAX_BYTES:
            raise Error(f"{path}: {word} takes {MAX_BYTES} bytes at most")
        return data

    def output(self, word: str, data: bytes) -> dict[str, list[int]]:
        """The field of the record, if the bytes are to be shown; those for a file go there."""
        path = self.files.get(word, "")
        if path == STDIO:
            return {word: list(data)} if data else {}
        if path:
            try:
                with open(path, "wb") as file:
                    file.write(data)
            except OSError as error:
                raise Error(f"failed to open {path}: {error.strerror}") from None
        return {}

    def run(self, prog: Prog) -> TestRun:
        """Run the program on the inputs."""
        data, ctx = self.input("data_in"), self.input("ctx_in")
        room = {
            f"{part}_room": self.numbers.get(f"{part}_size_out") or (DEFAULT_ROOM if given else 0)
            for part, given in (("data", data), ("ctx", ctx and "ctx_out" in self.files))
        }
        try:
            return prog.test_run(data, ctx, repeat=self.numbers.get("repeat", 1), **room)
        except KernelError as error:
            if error.errno in (ENOTSUPP, errno.EOPNOTSUPP):
                reason = f"this kernel can't test-run programs of type {prog.type}"
                raise Error(f"failed to run program: {reason}", error.status) from None
            raise


def _word(args: Args) -> str:
    for keywords in AMBIGUOUS:
        fitting = [f"'{keyword}'" for keyword in keywords if keyword.startswith(args.peek())]
        if len(fitting) > 1:
            raise Error(f"ambiguous prefix: '{args.peek()}' could be {' or '.join(fitting)}")
    found = args.accept(*WORDS)
    if found is None:
        raise Error(f"expected no more arguments, {one_of(WORDS)}, got: {args.quoted()}")
    return found


class Record(dict[str, "Any"]):
    """The JSON of a run, and what only its text needs."""

    repeat = 1


def run(args: Args) -> Record:
    """Run a program; the record of what came out of it."""
    args.require(4, status=255)
    with select.prog(args) as prog:
        request = Request(args)
        done = request.run(prog)
    record = Record(request.output("data_out", done.data) | request.output("ctx_out", done.ctx))
    record |= {"retval": done.retval, "duration": done.duration_ns}
    record.repeat = request.numbers.get("repeat", 1)
    return record


def text(record: Record) -> str:
    """A hex view of what came out, and a line with the return value."""
    views = [hex_view(bytes(record[word])) for word in ("data_out", "ctx_out") if word in record]
    average = " (average)" if record.repeat > 1 else ""
    return f"{''.join(views)}Return value: {record['retval']}, duration{average}: {record['duration']}ns\n"


def hex_view(data: bytes) -> str:
    """Bytes as lines of offset, hex digits in groups of two bytes, and characters."""
    lines = []
    for at in range(0, len(data), LINE_BYTES):
        line = data[at : at + LINE_BYTES]
        characters = "".join([chr(byte) if 0x20 <= byte < 0x7F else "." for byte in line])
        if len(line) >= HALF_LINE:
            characters = f"{characters[:HALF_LINE]} {characters[HALF_LINE:]}"
        lines.append(f"{at:07x}\t{line.hex(' ', -2):{HEX_COLUMNS}}| {characters}\n")
    return "".join(lines)
