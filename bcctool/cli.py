"""argv → family → verb → renderer; errors → message and exit status. bpftool's grammar: getopt_long, prefixes."""

from __future__ import annotations

import errno
import os
import sys

from .errors import GENERIC, Error
from .escapes import printable
from .output import Listing, Output, dumps, render
from .verbs import Args, Family, Options, Usage, Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

# letter, long name (empty: none), whether a word follows, attributes of Options that it sets
OPTIONS = (
    ("j", "json", False, ("json",)),
    ("p", "pretty", False, ("json", "pretty")),
    ("t", "table", False, ("table",)),
    ("f", "bpffs", False, ("bpffs",)),
    ("m", "mapcompat", False, ("mapcompat",)),
    ("n", "nomount", False, ("nomount",)),
    ("d", "debug", False, ("debug",)),
    ("l", "legacy", False, ("legacy",)),
    ("L", "use-loader", False, ("use_loader",)),
    ("B", "base-btf", True, ("base_btf",)),
    ("V", "version", False, ("version",)),
    ("h", "help", False, ("help",)),
)
# In the order in which prefixes are tried: bpftool's first.
OBJECTS = (
    "help", "batch", "prog", "map", "link", "cgroup", "perf", "net", "feature", "btf", "gen", "struct_ops", "iter",
    "token", "version", "object", "bcc", "completion",
)  # fmt: skip
# Those that are commands themselves, and the words that they take.
COMMANDS = {"help": "", "batch": "file FILE", "version": "", "completion": "{ bash | zsh | fish }"}
_STARTS = ("bcc", "run")  # the object and verb whose third word is a program: what follows are its own words
_OWN_NAME = ("btf", "gen", "iter")  # whose help does not say the word as it was typed, as bpftool's
SIGPIPE_STATUS = 141  # what a shell shows for a command that died of SIGPIPE
SIGINT_STATUS = 130

HELP = """\
Usage: bcctool [OPTIONS] OBJECT { COMMAND | help }
       bcctool batch file FILE
       bcctool version
       bcctool completion { bash | zsh | fish }

       OBJECT := { prog | map | link | cgroup | perf | net | feature | btf | gen | struct_ops | iter | token | \
object | bcc }
       OPTIONS := { {-j|--json} [{-p|--pretty}] | {-t|--table} | {-d|--debug} | {-f|--bpffs} |
                    {-m|--mapcompat} | {-n|--nomount} | {-l|--legacy} | {-L|--use-loader} |
                    {-B|--base-btf FILE} | {-V|--version} }
"""


def parse_options(argv: Sequence[str], options: Options | None = None) -> tuple[Options, list[str]]:
    """Split argv into options, which may stand anywhere before `--`, and words. Usage for an unknown option.

    options: where to put them, for those who want to know the ones before an unknown one.
    """
    options = options or Options()
    words: list[str] = []
    rest = list(argv)
    while rest and not options.help and not _is_start(words):
        word = rest.pop(0)
        if word == "--":
            break
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            row = _long(name)
            if row and equals and not row[2]:
                row = None  # it takes no word
            _set(options, row, "", [value] if equals else rest, word)
        elif word.startswith("-") and word != "-" and not word[1:].isdigit():  # a priority may be negative
            letters = word[1:]
            while letters:
                row = next((row for row in OPTIONS if row[0] == letters[0]), None)
                letters = _set(options, row, letters[1:], rest, f"-{letters[0]}")
        else:
            words.append(word)
    return options, words + rest


def _is_start(words: Sequence[str]) -> bool:
    """Whether these words are followed by those of another program."""
    if len(words) != 3 or not words[1]:
        return False
    return find_object(words[0]) == _STARTS[0] and _STARTS[1].startswith(words[1])


_Row = tuple[str, str, bool, tuple[str, ...]]


def _long(word: str) -> _Row | None:
    """The only option that a `--word` abbreviates."""
    rows = [row for row in OPTIONS if row[1].startswith(word[2:])]
    exact = [row for row in rows if row[1] == word[2:]]
    return exact[0] if exact else rows[0] if len(rows) == 1 else None


def _set(options: Options, row: _Row | None, letters: str, rest: list[str], word: str) -> str:
    """Set an option, its word taken from the bundle or the rest of argv; the letters of the bundle that are left."""
    if row is None:
        raise Usage(f"unrecognized option '{word}'")
    _, _, takes_word, attributes = row
    if takes_word and not letters and not rest:
        raise Usage(f"unrecognized option '{word}': a word has to follow it")
    for attribute in attributes:
        setattr(options, attribute, (letters or rest.pop(0)) if takes_word else True)
    return "" if takes_word else letters


class Session:
    """One run of the program: its options and output, shared by all lines of a batch."""

    def __init__(self, options: Options, out: Output) -> None:
        self.options = options
        self.out = out
        self.batches = 0  # files whose lines are being run

    def start(self, words: Sequence[str]) -> int:
        """Run what the command line says, once the file of --base-btf is known to be one."""
        if self.options.base_btf is not None:
            from .commands.btf_dump import base

            try:
                base(self.options)
            except Error as error:
                self.report(error)
                return GENERIC
        if self.options.help or self.options.version:
            words = ["help" if self.options.help else "version"]
        return self.execute(words)

    def refuse(self, error: Error) -> int:
        """Answer a command line with an option that there is not."""
        self.report(error)
        if not self.out.is_json:
            sys.stderr.write(HELP)
        return GENERIC

    def execute(self, words: Sequence[str]) -> int:
        """Run one command and report what fails; its exit status."""
        depth = self.out.depth
        try:
            return self.dispatch(list(words))
        except Usage as error:
            self.report(error)
        except RecursionError:
            self.report(Error("the input nests too deeply"))
        except MemoryError:
            self.report(Error("not enough memory for this"))
        except OSError as error:
            if error.errno in (errno.EPIPE, errno.ENOSPC):
                raise
            self.report(Error(f"{error.filename or ' '.join(words[:2])}: {error.strerror or error}"))
        except Error as error:
            self.report(error)
            return error.status
        finally:
            self.out.depth = depth
        return GENERIC

    def dispatch(self, words: list[str]) -> int:
        """Find the object and the verb, run it, render its result."""
        word = words.pop(0) if words else "help"
        name = find_object(word)
        if name is None:
            raise Usage(HELP)
        if name in COMMANDS:
            return self.command(name, words)
        family = load_family(name)
        typed = (words.pop(0) if words else "") or family.first
        verb = family.find(typed)
        named = name if name in _OWN_NAME else word
        if "help".startswith(typed) and (typed or verb is None):
            return self.help(family.help(named))
        if verb is None:
            raise Usage(family.help(named))
        try:
            return self.run(verb, Args(words, self.options, verb.name, typed or word))
        except Usage as error:
            raise Usage((error.message and f"Error: {error.message}\n") or family.help(named)) from None

    def run(self, verb: Verb, args: Args) -> int:
        """Run a verb and show its result. Usage for words that make no command."""
        result = verb.run(args)
        if verb.columns and self.options.table and not self.out.is_json:
            return self.table(result, verb)
        return render(result, verb.text, self.out)

    def table(self, result: Any, verb: Verb) -> int:
        """Show a verb's records as a table; those before an Error too."""
        from . import columns

        source = [result] if isinstance(result, dict) else result.records if isinstance(result, Listing) else result
        records: list[Any] = []
        try:
            for record in source:
                records += verb.rows(record) if verb.rows else [record]
        finally:
            self.out.write(columns.render(records, verb.columns, columns.coloured()))
        return 0

    def command(self, name: str, words: list[str]) -> int:
        """An object that is a command itself."""
        if name == "help":
            return self.help(HELP)
        if name == "batch":
            from .commands import batch

            return batch.run(Args(words, self.options, "batch"), self)
        if name == "completion":
            from .commands import completion

            declared = completion.Cli(OPTIONS, COMMANDS, OBJECTS, load_family)
            self.out.write(completion.run(Args(words, self.options, "completion"), declared))
            return 0
        from .commands import version

        return render(version.record(), version.text, self.out)

    def help(self, text: str) -> int:
        if self.out.is_json:
            self.out.write("null")
        else:
            self.out.flush()
            sys.stderr.write(text)
        return 0

    def report(self, error: Error) -> None:
        """Show an error where bpftool does: stderr, or an object in the JSON output."""
        if isinstance(error, Usage):
            self.help(error.message)
        elif self.out.is_json:
            self.out.write(dumps({"error": error.message}, self.out.style == "pretty", self.out.depth))
        else:
            self.out.flush()
            sys.stderr.write(f"Error: {printable(error.message)}\n")
        if error.detail:
            sys.stderr.write("".join(f"{printable(line)}\n" for line in error.detail.split("\n")))


def find_object(word: str) -> str | None:
    """The first object that the word abbreviates."""
    return next((name for name in OBJECTS if name.startswith(word)), None)


def load_family(name: str) -> Family:
    """Import a family's module."""
    from importlib import import_module

    return Family(name, import_module(f".commands.{name}", __package__))


def main(argv: Sequence[str] | None = None) -> int:
    """The command line: its exit status."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed: what is opened next must not take its number
            setattr(sys, name, open(os.devnull, "r+"))  # noqa: SIM115
    options, refused = Options(), None
    words: list[str] = []
    try:
        words = parse_options(sys.argv[1:] if argv is None else argv, options)[1]
    except Usage as error:
        refused = Error(error.message)
    out = Output(options.style)
    session = Session(options, out)
    try:
        status = session.refuse(refused) if refused else session.start(words)
        if out.is_json:
            out.write("\n")
        out.flush()
        return status
    except KeyboardInterrupt as interrupt:
        return getattr(interrupt, "status", SIGINT_STATUS)
    except OSError as error:
        # Python would flush stdout once more at exit and complain about the same thing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno == errno.EPIPE:
            return SIGPIPE_STATUS
        sys.stderr.write(f"Error: can't write the output: {error.strerror}\n")
        return GENERIC
