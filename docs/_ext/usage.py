"""Directives `usage`, `verbs`, `options`, `api`: pages from what the program runs by (verbs.Family, cli.OPTIONS).

A page says only what the declarations don't: below `verbs` and `options` a list with a word on each verb or option, in
any order. What is declared is shown whether the page says more of it or not; what is not declared is an error.
"""

from __future__ import annotations

import inspect
import pydoc
import re
from functools import cached_property
from typing import TYPE_CHECKING, Any

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.roles import XRefRole
from sphinx.util import logging

from bcctool import cli

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

    from bcctool.verbs import Family, Verb

FAMILIES = [name for name in cli.OBJECTS if name not in cli.COMMANDS]
WIDTH = 78  # of a usage line: a terminal's, with the margin of a man page
HANGING = " " * 11  # before the rest of a line that is longer
PROPERTIES = (property, cached_property)
GENERAL = "bcctool"  # the page of the command line as a whole

logger = logging.getLogger(__name__)


def usage(name: str) -> str:
    """What `bcctool NAME help` shows, long lines wrapped; of an object that is a command its lines of the help."""
    if name == GENERAL:
        return cli.HELP
    if name in FAMILIES:
        return "\n".join(line for row in cli.load_family(name).help(name).splitlines() for line in wrapped(row)) + "\n"
    return "".join(f"{line.strip()}\n" for line in cli.HELP.splitlines() if f"bcctool {name}" in line)


def wrapped(line: str) -> Iterator[str]:
    """A command of the usage in lines of WIDTH, cut between words that are in no brackets, if that will do."""
    if not line.removeprefix("Usage:").lstrip().startswith("bcctool "):
        yield line
        return
    indent = line[: len(line) - len(line.lstrip())]
    current = ""
    for unit in units(line):
        if current.strip() and len(current) + 1 + len(unit) > WIDTH:
            yield current
            current = indent + HANGING + unit
        else:
            current = f"{current} {unit}" if current else indent + unit
    yield current


def units(line: str) -> Iterator[str]:
    """The words of a line, those in brackets together if they fit."""
    depth, unit = 0, ""
    for word in line.split():
        depth += sum(word.count(bracket) for bracket in "{[") - sum(word.count(bracket) for bracket in "}]")
        unit = f"{unit} {word}" if unit else word
        if depth <= 0:
            yield from [unit] if len(unit) <= WIDTH - 2 * len(HANGING) else unit.split()
            unit = ""
    if unit:
        yield unit


def paragraphs(text: str) -> list[nodes.Node]:
    """A docstring as paragraphs; what is in backticks as code."""
    result: list[nodes.Node] = []
    for block in inspect.cleandoc(text).split("\n\n"):
        paragraph = nodes.paragraph()
        for number, piece in enumerate(" ".join(block.split()).split("`")):
            if piece:
                paragraph += nodes.literal(piece, piece) if number % 2 else nodes.Text(piece)
        result.append(paragraph)
    return result


def term(names: Iterable[str], id: str) -> nodes.term:
    """The head of an item: its names as code, and an anchor."""
    result = nodes.term("", "", ids=[id])
    for number, name in enumerate(names):
        result += [*([nodes.Text(", ")] if number else []), nodes.literal(name, name)]
    return result


class Page(XRefRole):
    """`:page:`prog``: a link to another page, worded as its man page is called."""

    def process_link(
        self, env: BuildEnvironment, refnode: nodes.Element, has_explicit_title: bool, title: str, target: str
    ) -> tuple[str, str]:
        refnode.attributes |= {"refdomain": "std", "reftype": "doc", "refexplicit": True, "refwarn": True}
        return (f"bcctool-{target}(8)" if target != GENERAL else "bcctool(8)"), target


class Usage(Directive):
    """`.. usage:: NAME`: the grammar of a family, or of an object that is a command itself."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        text = usage(self.arguments[0])
        if not text:
            raise self.error(f"bcctool has no '{self.arguments[0]}'")
        return [nodes.literal_block(text, text, language="none", classes=["usage"])]


Row = tuple[str, nodes.term, list[nodes.Node]]  # the name that the page may use, the head, what the declaration says


class Declared(Directive):
    """A definition list of what is declared, each item with what the list below the directive says of it."""

    has_content = True

    def said(self) -> dict[str, list[nodes.Node]]:
        """The nodes for each term of the definition lists below the directive."""
        container = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, container)
        found = {}
        for item in [item for child in container for item in child.children]:
            if not isinstance(item, nodes.definition_list_item):
                raise self.error(f"'{self.name}' takes a definition list only")
            name = item[0].astext()
            if name in found:
                raise self.error(f"twice: {name}")
            found[name] = list(item[-1].children)
        return found

    def listed(self, rows: list[Row]) -> list[nodes.Node]:
        said = self.said()
        if unknown := set(said) - {name for name, _, _ in rows}:
            raise self.error(f"not declared: {', '.join(sorted(unknown))}")
        result = nodes.definition_list(classes=[self.name])
        for name, head, declared in rows:
            if not declared and name not in said:
                place = (self.state.document.settings.env.docname, self.lineno)
                logger.warning("below '.. %s::' nothing says what %s does", self.name, name, location=place)
            result += nodes.definition_list_item("", head, nodes.definition("", *declared, *said.get(name, [])))
        return [result]


def row(family: Family, verb: Verb) -> Row:
    names = [f"{family.name} {word}" for word in (verb.name, verb.alias) if word]
    return verb.name, term(names, f"{family.name}-{verb.name}"), paragraphs(verb.run.__doc__ or "")


class Verbs(Declared):
    """`.. verbs:: FAMILY`: its verbs with their docstrings."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        if name not in FAMILIES:
            raise self.error(f"bcctool has no family '{name}'")
        family: Family = cli.load_family(name)
        return self.listed([row(family, verb) for verb in family.verbs])


class Options(Declared):
    """`.. options::`: the rows of cli.OPTIONS; what each does stands in the page, by its long name."""

    def run(self) -> list[nodes.Node]:
        rows: list[Row] = []
        for letter, long, takes_word, _ in cli.OPTIONS:
            words = [f"-{letter}"] if letter else []
            words += [f"--{long}"] if long else []
            takes = re.search(rf"--{long} (\w+)", cli.HELP) if takes_word else None
            shown = [f"{word} {takes[1]}" for word in words] if takes else words
            rows.append((words[-1].lstrip("-"), term(shown, f"option-{words[-1].lstrip('-')}"), []))
        return self.listed(rows)


class Api(Directive):
    """`.. api:: NAME`: something of the package; of a class also its own public methods and properties."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        thing = pydoc.locate(f"bcctool.{name}")
        if thing is None:
            raise self.error(f"the package has no '{name}'")
        items = [item(f"bcctool.{name}", thing, "")]
        if inspect.isclass(thing):
            members = {key: value for key, value in vars(thing).items() if not key.startswith("_")}
            items += [item(key, value, f"{name}-") for key, value in members.items() if documented(value)]
        return [nodes.definition_list("", *items, classes=["api"])]


def documented(member: object) -> bool:
    """Whether a member of a class is a method or a property with a docstring."""
    return isinstance(member, (classmethod, *PROPERTIES)) or (inspect.isfunction(member) and bool(member.__doc__))


def item(name: str, thing: Any, prefix: str) -> nodes.definition_list_item:
    """A name with its parameters, and its docstring."""
    parameters = "" if isinstance(thing, PROPERTIES) else signature(getattr(thing, "__func__", thing))
    head = term([name + parameters], f"{prefix}{name}".replace(".", "-"))
    return nodes.definition_list_item("", head, nodes.definition("", *paragraphs(inspect.getdoc(thing) or "")))


def signature(function: Any) -> str:
    """The parameters with their defaults, `self` left out."""
    try:
        found = inspect.signature(function)
    except ValueError:
        return ""
    parameters = [value.replace(annotation=value.empty) for value in found.parameters.values()]
    kept = [value for value in parameters if value.name not in ("self", "cls")]
    return str(found.replace(parameters=kept, return_annotation=found.empty))


def check_pages(app: Sphinx, env: BuildEnvironment) -> None:
    """Each family has a page of its name, with its usage and its verbs."""
    for name in FAMILIES:
        if name not in env.found_docs:
            logger.warning("the family '%s' has no page: write docs/%s.rst", name, name)
            continue
        seen = {word for node in env.get_doctree(name).findall(nodes.Element) for word in node.get("classes", [])}
        for directive in ("usage", "verbs"):
            if directive not in seen:
                logger.warning("docs/%s.rst has no '.. %s:: %s'", name, directive, name)


def name_pages(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """In a man page the name of another page is no link, and would be followed by an empty address."""
    if app.builder.format == "man":
        for reference in list(doctree.findall(nodes.reference)):
            if not reference.get("refuri"):
                reference.replace_self(nodes.strong("", reference.astext()))


def setup(app: Sphinx) -> dict[str, bool]:
    for name, directive in {"usage": Usage, "verbs": Verbs, "options": Options, "api": Api}.items():
        app.add_directive(name, directive)
    app.add_role("page", Page())
    app.connect("env-check-consistency", check_pages)
    app.connect("doctree-resolved", name_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
