"""batch file FILE: one command per line, up to the first that fails (words, comments, quotes, continued lines)."""

from __future__ import annotations

import errno
import os
import sys

from ..errors import Error
from ..output import dumps, newline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO, Protocol

    from ..output import Output
    from ..verbs import Args

    class Session(Protocol):
        """What runs a line: cli.Session."""

        out: Output
        batches: int  # that are being read

        def execute(self, words: Sequence[str]) -> int: ...


MAX_LINE = 65534  # bytes with the newline; a joined command may have one more
MAX_WORDS = 4095
MAX_NESTING = 50  # a file that runs itself must end, and before Python's stack does
_BLANKS = " \t\r\n"


def run(args: Args, session: Session) -> int:
    """Run the file's commands; the status of the first that fails, else 0."""
    if len(args) < 2:
        raise Error("too few parameters for batch")
    if args.accept("file") is None:
        raise Error(f"expected 'file', got: {args.peek()}")
    if len(args) > 1:
        raise Error("too many parameters for batch")
    if session.batches == MAX_NESTING:
        raise Error(f"batch files nest more than {MAX_NESTING} deep: {args.peek()}")
    path = args.next()
    # A line may come from a program that waits for the answer to the last one: nothing is read ahead of it.
    file = sys.stdin.buffer if path == "-" else _open(path)
    session.batches += 1
    args.options.batch = True
    try:
        return (_run_json if session.out.is_json else _run_plain)(file, session)
    finally:
        session.batches -= 1
        if path != "-":
            file.close()


def _open(path: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise Error(f"Can't open file ({path}): {error.strerror}") from None


def _run_plain(file: BinaryIO, session: Session) -> int:
    count = 0
    for words in commands(file):
        status = session.execute(words)
        if status:
            return status
        session.out.flush()
        count += 1
    session.out.write(f"processed {count} commands\n")
    return 0


def _run_json(file: BinaryIO, session: Session) -> int:
    """One array, of what was run and of what it printed; a line that makes no words ends it with an error."""
    out = session.out
    out.write("[")
    out.depth += 1
    separator, status = "", 0
    try:
        for words in commands(file):
            out.write(f"{separator}{_opening(words, out)}")
            out.depth += 1
            status = _output(words, session)
            out.depth -= 1
            out.write(newline(out.style == "pretty", out.depth) + "}")
            separator = ","
            if status:
                break
            out.flush()
    except Error as error:
        out.write(separator + dumps({"error": error.message}, out.style == "pretty", out.depth))
        separator, status = ",", error.status
    out.depth -= 1
    out.write((newline(out.style == "pretty", out.depth) if separator else "") + "]")
    return status


def _output(words: Sequence[str], session: Session) -> int:
    """Run a command whose output is a value in JSON, also when it prints nothing."""
    before = session.out.written
    status = session.execute(words)
    if session.out.written == before:
        session.out.write("null")
    return status


def _opening(words: Sequence[str], out: Output) -> str:
    """The start of a command's object, up to the value of `output`."""
    pretty = out.style == "pretty"
    before, colon = newline(pretty, out.depth + 1), '": ' if pretty else '":'
    return f'{{{before}"command{colon}{dumps(list(words), pretty, out.depth + 1)},{before}"output{colon}'


def commands(file: BinaryIO) -> Iterator[list[str]]:
    """The words of each command of a file; Error for what makes none."""
    number = 0
    while data := _line(file, f"reading batch file failed: {os.strerror(errno.E2BIG)}: {_too_long(number)}"):
        while data.endswith(b"\\\n"):
            following = _line(file, _too_long(number))
            if not following:
                raise Error(f"missing continuation line on command {number}")
            if len(data) + len(following) > MAX_LINE + 1:
                raise Error(_too_long(number))
            data = data[:-2] + following
        if b"\0" in data:
            raise Error(f"command {number} has a NUL byte: is the file a text?")
        words = list(split(data.decode("utf-8", "surrogateescape"), number))
        if words:
            yield words
            number += 1


def _too_long(number: int) -> str:
    return f"command {number} is too long: more than {MAX_LINE} bytes"


def _line(file: BinaryIO, too_long: str) -> bytes:
    """The next line, its newline too, with a blank in place of a comment and newline; empty at the end of the file."""
    try:
        data = part = file.readline(MAX_LINE + 1)
        text, comment, _ = data.partition(b"#")
        while comment and part and not part.endswith(b"\n"):
            part = file.readline(MAX_LINE)  # a comment has no limit
    except OSError as error:
        raise Error(f"reading batch file failed: {error.strerror}") from None
    if len(text) > MAX_LINE:
        raise Error(too_long)
    return text + b" " if comment else text


def split(text: str, number: int) -> Iterator[str]:
    """The words of a line: blanks between them, or a whole word in quotes."""
    text = text.strip(_BLANKS)
    for _ in range(MAX_WORDS + 1):
        if not text:
            return
        if text[0] in "'\"":
            end = text.find(text[0], 1)
            if end < 0:
                raise Error(f"unterminated quoted string in command {number}")
            word, text = text[1:end], text[end + 1 :]
        else:
            end = next((at for at, letter in enumerate(text) if letter in _BLANKS), len(text))
            word, text = text[:end], text[end:]
        yield word
        text = text.lstrip(_BLANKS)
    raise Error(f"too many arguments to command {number}: more than {MAX_WORDS}")
