"""batch file FILE: one command per line, up to the first that fails (words, comments, quotes, continued lines)."""

from __future__ import annotations

import sys

from ..errors import Error
from ..kernel import proc
from ..output import dumps, newline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Protocol

    from ..output import Output
    from ..verbs import Args

    class Session(Protocol):
        """What runs a line: cli.Session."""

        out: Output

        def execute(self, words: Sequence[str]) -> int: ...

        def report(self, error: Error) -> None: ...


MAX_LINE = 65536
MAX_WORDS = 4096
_BLANKS = " \t\r\n"


def run(args: Args, session: Session) -> int:
    """Run the file's commands; the status of the first that fails, else 0."""
    if len(args) < 2:
        raise Error("too few parameters for batch")
    if args.accept("file") is None:
        raise Error(f"expected 'file', got: {args.peek()}")
    if len(args) > 1:
        raise Error("too many parameters for batch")
    out = session.out
    if not out.is_json:
        count, status = _run_lines(args.next(), session)
        if not status:
            out.write(f"processed {count} commands\n")
        return status
    lines = read(args.next())
    out.write("[")
    out.depth += 1
    separator, status = "", 0
    while not status:
        try:
            words = next(lines, None)
        except Error as error:
            out.write(separator)
            session.report(error)
            separator, status = ",", error.status
            break
        if words is None:
            break
        out.write(f"{separator}{_opening(words, out)}")
        out.depth += 1
        status = session.execute(words)
        out.depth -= 1
        out.write(newline(out.style == "pretty", out.depth) + "}")
        separator = ","
    out.depth -= 1
    out.write((newline(out.style == "pretty", out.depth) if separator else "") + "]")
    return status


def _run_lines(path: str, session: Session) -> tuple[int, int]:
    """(commands that ran, status of the last)"""
    count = 0
    for words in read(path):
        status = session.execute(words)
        if status:
            return count, status
        count += 1
    return count, 0


def _opening(words: Sequence[str], out: Output) -> str:
    """The start of a command's object, up to the value of `output`."""
    pretty = out.style == "pretty"
    before, colon = newline(pretty, out.depth + 1), '": ' if pretty else '":'
    return f'{{{before}"command{colon}{dumps(list(words), pretty, out.depth + 1)},{before}"output{colon}'


def read(path: str) -> Iterator[list[str]]:
    """The words of each command of a file (`-`: standard input). Error at once when it can't be opened."""
    data = sys.stdin.buffer.read() if path == "-" else proc.read_file(path, f"Can't open file ({path})")
    return commands(data.decode("utf-8", "surrogateescape"))


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command of a text."""
    lines = iter(text.removesuffix("\n").split("\n"))
    number = 0
    for line in lines:
        text = line.partition("#")[0]
        while text.rstrip(_BLANKS).endswith("\\"):
            following = next(lines, None)
            if following is None:
                raise Error(f"missing continuation line on command {number}")
            text = text.rstrip(_BLANKS)[:-1] + following.partition("#")[0]
        if len(text.encode("utf-8", "surrogateescape")) > MAX_LINE:
            raise Error(f"command {number} is too long")
        words = list(split(text, number))
        if words:
            yield words
            number += 1


def split(text: str, number: int) -> Iterator[str]:
    """The words of a line: blanks between them, or a whole word in quotes."""
    text = text.lstrip(_BLANKS)
    for _ in range(MAX_WORDS):
        if not text:
            return
        if text[0] in "'\"":
            end = text.find(text[0], 1)
            if end < 0:
                raise Error(f"unterminated quoted string in command {number}")
            yield text[1:end]
            text = text[end + 1 :].lstrip(_BLANKS)
        else:
            end = next((at for at, char in enumerate(text) if char in _BLANKS), len(text))
            yield text[:end]
            text = text[end:].lstrip(_BLANKS)
    raise Error(f"too many arguments to command {number}")
