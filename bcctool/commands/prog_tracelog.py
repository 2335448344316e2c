"""prog tracelog: what programs print, from the kernel's trace pipe or a program's own streams."""

from __future__ import annotations

import os
import select as polling
import sys
from functools import partial

from ..escapes import printable, quote
from ..kernel import bpf, proc
from ..output import Rendered, newline
from ..verbs import Args
from . import select
from .interrupts import woken

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

STREAMS = {"stdout": 1, "stderr": 2}  # BPF_STDOUT, BPF_STDERR
READ_SIZE = 1 << 16


def run(args: Args) -> Rendered:
    """All lines of the trace from now on, or what a program's stream holds."""
    if not args:
        return Rendered(partial(trace, args.options.nomount), live=True)
    stream = args.expect(*STREAMS)
    prog = select.prog(args)
    args.end()
    with prog:
        text = b"".join(bpf.stream_parts(prog.fd, STREAMS[stream])).decode("utf-8", "backslashreplace")
    if stream == "stderr":
        sys.stderr.write(_harmless(text))
        text = ""
    return Rendered(lambda style, depth: (_harmless(text),), is_text=bool(text))


def trace(nomount: bool, style: str, depth: int) -> Iterator[str]:
    """Lines of the trace pipe until a signal ends it; in JSON an array of strings, closed then."""
    if style == "plain":
        yield from map(_harmless, lines(nomount))
        return
    separator = "["
    for line in lines(nomount):
        yield separator + quote(line)
        separator = ","
    yield newline(style == "pretty", depth) + "]" if separator == "," else "[]"


def lines(nomount: bool = False) -> Iterator[str]:
    """The lines, each with its newline, as they come. A signal that ends commands ends them, or the end of the pipe."""
    with woken() as ending, proc.open_trace_pipe(nomount) as pipe:
        yield from _lines(pipe.fileno(), ending)


def _lines(pipe: int, ending: int) -> Iterator[str]:
    poll = polling.poll()
    for fd in (pipe, ending):
        poll.register(fd, polling.POLLIN)
    os.set_blocking(pipe, False)  # while a read waits, nobody looks at what woke us
    rest = b""
    while ending not in dict(poll.poll()):
        try:
            data = os.read(pipe, READ_SIZE)
        except BlockingIOError:
            continue
        if not data:
            return
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "backslashreplace") + "\n"


def _harmless(text: str) -> str:
    """Lines without what a terminal could take for commands."""
    return "\n".join(["\t".join(map(printable, line.split("\t"))) for line in text.split("\n")])
