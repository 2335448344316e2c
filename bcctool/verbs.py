"""Verbs and the words they read: bpftool's grammar, where a keyword may be cut to any prefix of it."""

from __future__ import annotations

from .errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

MAX_U32 = 0xFFFFFFFF
HEX_DIGITS = frozenset("0123456789abcdefABCDEF")
ARGUMENT_ERROR = 234  # -EINVAL: what bpftool's pin, attach and detach return for too few words


class Usage(Error):
    """The words make no command: the family's help is shown, status 255; `message` may be empty."""


class Options:
    """The command line's options, one attribute per row of cli.OPTIONS."""

    def __init__(self) -> None:
        self.json = self.pretty = self.table = self.bpffs = self.mapcompat = self.nomount = self.debug = False
        self.use_loader = self.legacy = self.version = self.help = False
        self.batch = False  # whether the words are a line of a batch file
        self.base_btf: str | None = None
        self.base_types: Any = None  # what is in that file, once it is read

    @property
    def style(self) -> str:
        """How results are written: "plain", "json" or "pretty"."""
        return "pretty" if self.pretty else "json" if self.json else "plain"


class Args:
    """A cursor over the words after the verb, with the options they came with."""

    def __init__(self, words: Iterable[str], options: Options, verb: str = "", typed: str = "") -> None:
        self.words = list(words)
        self.options = options
        self.verb = verb
        self.before = typed or verb  # the word before the next one, as it was typed

    def __len__(self) -> int:
        return len(self.words)

    def peek(self) -> str:
        """The next word, or an empty string."""
        return self.words[0] if self.words else ""

    def next(self, what: str = "") -> str:
        """Take the next word; a missing one is an Error that says `what` was expected, or the usage."""
        if not self.words:
            if what:
                raise Error(f"expected {what}")
            raise Usage("")
        self.before = self.words.pop(0)
        return self.before

    def accept(self, *keywords: str) -> str | None:
        """Take the next word if it is a prefix of a keyword: the first keyword that it abbreviates."""
        if self.words:
            for keyword in keywords:
                if keyword.startswith(self.words[0]):
                    self.before = self.words.pop(0)
                    return keyword
        return None

    def expect(self, *keywords: str) -> str:
        """Like accept, but any other word is an Error."""
        found = self.accept(*keywords)
        if found is None:
            raise Error(f"expected {one_of(keywords)}, got: {self.quoted()}")
        return found

    def quoted(self) -> str:
        """The next word for a message."""
        return f"'{self.peek()}'?" if self.words else "nothing"

    def number(self, what: str, limit: int = MAX_U32) -> int:
        """Take a number as strtoul with base 0 reads it (decimal, 0x hex, 0 octal); one above `limit` is an Error."""
        word = self.next(what)
        value = parse_number(word)
        if value is None:
            raise Error(f"can't parse {word} as {what}")
        if value > limit:
            raise Error(f"{what} {word} is out of range: 0..{limit}")
        return value

    def require(self, count: int, status: int = ARGUMENT_ERROR) -> None:
        """Error unless at least `count` words are left."""
        if len(self.words) < count:
            raise Error(f"'{self.before}' needs at least {count} arguments, {len(self.words)} found", status)

    def end(self) -> None:
        """Error if words are left."""
        if self.words:
            raise Error(f"expected no more arguments, got: '{self.words[0]}'")


def parse_number(word: str) -> int | None:
    """A non-negative number as strtoul with base 0 reads it, all of the word; None when it is not one."""
    text = word.lstrip(" \t\n\v\f\r")
    digits = text[1:] if text[:1] == "+" else text
    if digits[:2] in ("0x", "0X"):
        base, digits = 16, digits[2:]
    else:
        base = 8 if digits[:1] == "0" else 10
    if not digits or not all(char in HEX_DIGITS for char in digits):  # int() takes blanks, signs, `_` and `0b` as well
        return None
    try:
        return int(digits, base)
    except ValueError:  # more digits than Python converts, or such as the base does not have
        return None


def one_of(keywords: Iterable[str]) -> str:
    """'a', 'b' or 'c'"""
    *first, last = [f"'{keyword}'" for keyword in keywords]
    return f"{', '.join(first)} or {last}" if first else last


class Verb:
    """A command of a family: what `run` returns is what output.render takes."""

    def __init__(
        self, run: Callable[[Args], Any], grammar: str, text: Callable[[Any], str] | None, alias: str,
        columns: Sequence[Any], rows: Callable[[Any], Iterable[Any]] | None,
    ) -> None:  # fmt: skip
        self.run = run
        self.columns = columns
        self.rows = rows
        self.name = run.__name__.rstrip("_")
        self.grammar = grammar
        self.text = text
        self.alias = alias
        self.summary = (run.__doc__ or "").partition("\n")[0]


def verb(
    grammar: str = "",
    *,
    text: Callable[[Any], str] | None = None,
    alias: str = "",
    columns: Sequence[Any] = (),
    rows: Callable[[Any], Iterable[Any]] | None = None,
) -> Callable[[Callable[[Args], Any]], Verb]:
    """Make a function a verb of the family whose module it stands in.

    grammar: the words after the verb, for the help; text: a record as plain text; alias: a second name.
    columns: of a table (columns.py), which `-t` asks for; rows: the rows of a record, where it is not one itself.
    The function returns None (no result), a dict (one record), an iterable of records, or an output.Rendered.
    """
    return lambda run: Verb(run, grammar, text, alias, columns, rows)


def later(name: str) -> Callable[..., Any]:
    """`module.function` of commands/, imported by its first call: what few commands need is not to slow the others."""

    def call(*args: Any) -> Any:
        from importlib import import_module

        module, _, function = name.partition(".")
        return getattr(import_module(f".commands.{module}", __package__), function)(*args)

    return call


OPTIONS = {
    "j": "{-j|--json} [{-p|--pretty}]",
    "t": "{-t|--table}",
    "d": "{-d|--debug}",
    "l": "{-l|--legacy}",
    "f": "{-f|--bpffs}",
    "m": "{-m|--mapcompat}",
    "n": "{-n|--nomount}",
    "L": "{-L|--use-loader}",
    "B": "{-B|--base-btf FILE}",
}
"""Letter → what the help of a family says of an option."""
_HELP_WIDTH = 88


class Family:
    """A word such as `prog` and its verbs, in the order in which prefixes are tried.

    first: what the word alone does, if not the first verb: FIRST of the family's module. options: those that its help
    names, by their letters: OPTIONS of the module, behind those of all families.
    """

    def __init__(self, name: str, module: Any) -> None:
        self.name = name
        self.verbs: list[Verb] = [value for value in vars(module).values() if isinstance(value, Verb)]
        self.notes: str = getattr(module, "HELP", "")
        self.first: str = getattr(module, "FIRST", "")
        tables = "t" if any(verb.columns for verb in self.verbs) else ""
        self.options: str = f"j{tables}d{getattr(module, 'OPTIONS', '')}"

    def find(self, word: str) -> Verb | None:
        """The first verb that the word abbreviates."""
        for verb in self.verbs:
            if verb.name.startswith(word) or (verb.alias and verb.alias.startswith(word)):
                return verb
        return None

    def help(self, word: str) -> str:
        """The usage text; `word` is the family's name as it was typed."""
        names = [f"{{ {verb.name} | {verb.alias} }}" if verb.alias else verb.name for verb in self.verbs]
        rows = [f"bcctool {word} {name} {verb.grammar}".rstrip() for name, verb in zip(names, self.verbs, strict=True)]
        rows.append(f"bcctool {word} help")
        text = "Usage: " + "\n       ".join(rows) + "\n\n"
        if self.notes:
            text += "".join(f"       {line}\n" if line else "\n" for line in self.notes.strip("\n").split("\n"))
        return text + self.options_help()

    def options_help(self) -> str:
        """The options, as many in a line as fit."""
        lines = ["       OPTIONS := {"]
        for number, letter in enumerate(self.options):
            word = OPTIONS[letter] + (" }" if number == len(self.options) - 1 else " |")
            if len(lines[-1]) + 1 + len(word) > _HELP_WIDTH:
                lines.append(" " * len("       OPTIONS := {"))
            lines[-1] += f" {word}"
        return "\n".join(lines) + "\n"
