"""The pages in docs/: they build without a warning, say all that is declared, and what their examples show is so."""

from __future__ import annotations

import re
import shutil
import sys
from html import unescape
from importlib.util import find_spec
from pathlib import Path

import pytest

from bcctool import cli
from bcctool.verbs import Verb

from .conftest import PROGRAMS, ROOT, Completed, Sandbox, run
from .test_docs import FAMILIES, VERBS
from .test_tutorial import Step, installed, play, play_without_root, prepare, steps

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.rst"))
SPHINX = find_spec("sphinx") is not None and find_spec("myst_parser") is not None
BLOCK = re.compile(r"^\.\. code-block:: console\n\n((?:   .*\n|\n)+)", re.MULTILINE)
FILE = re.compile(r"^\.\. code-block:: \w+\n   :caption: (\S+)\n\n((?:   .*\n|\n)+)", re.MULTILINE)

needs_sphinx = pytest.mark.skipif(not SPHINX, reason="sphinx and myst-parser are not installed (pip install '.[docs]')")


def fenced(page: str) -> str:
    """A page with its console blocks as a chapter of the tutorial has them, each line where it was."""

    def fence(match: re.Match[str]) -> str:
        body = match[1].rstrip("\n")
        blank = match[1][len(body) + 2 :]
        return "\n```console\n" + unindented(body) + "\n```\n" + blank

    return BLOCK.sub(fence, page)


def unindented(block: str) -> str:
    """The text of a directive."""
    return re.sub("^ {3}", "", block, flags=re.MULTILINE)


def reading_folder(page: str, top: Path) -> Path:
    """The tutorial's folder in a copy of the checkout, with the page's files: its blocks that have a caption."""
    shutil.copytree(PROGRAMS, top / "tests" / "programs")
    folder = prepare(top / "tutorial")
    for name, text in FILE.findall(page):
        (folder / name).write_text(unindented(text))
    return folder


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The site, built: the folders of its HTML and of its man pages."""
    top = tmp_path_factory.mktemp("site")
    return {builder: built(builder, DOCS, top) for builder in ("html", "man")}


def built(builder: str, source: Path, top: Path) -> Path:
    """What a builder makes of the pages of a folder; a warning is a failure."""
    done = sphinx(builder, source, top)
    assert done.returncode == 0, done.stderr
    return top / builder


def sphinx(builder: str, source: Path, top: Path) -> Completed:
    words = ("-m", "sphinx", "-E", "-W", "--keep-going", "-q", "-b", builder, "-d", top / "doctrees", source)
    return run(sys.executable, *words, top / builder, status=None)


def plain(html: str) -> str:
    """The text of an HTML page, white space made one blank."""
    return " ".join(unescape(re.sub("<[^>]*>", "", html)).split())


@needs_sphinx
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_has_a_page_with_its_usage(family: str, build: dict[str, Path]) -> None:
    text = plain((build["html"] / f"{family}.html").read_text())
    assert " ".join(cli.load_family(family).help(family).split()) in text


@needs_sphinx
@pytest.mark.parametrize(("family", "verb"), VERBS, ids=[f"{family} {verb.name}" for family, verb in VERBS])
def test_a_verb_is_in_the_pages_of_its_family(family: str, verb: Verb, build: dict[str, Path]) -> None:
    html = (build["html"] / f"{family}.html").read_text()
    said = html.partition(f'id="{family}-{verb.name}"')[2].partition("</dd>")[0]
    assert plain("<" + said).startswith(f"{family} {verb.name}")
    assert verb.summary.replace("`", "") in plain(said)
    man = (build["man"] / f"bcctool-{family}.8").read_text()
    assert f"{family} {verb.name}" in man.replace("\\", "")


def test_every_family_has_examples_that_are_run() -> None:
    assert {path.stem for path in pages_with("$") + pages_with("#")} >= set(FAMILIES) - {"completion"}


@needs_sphinx
def test_every_option_is_described(build: dict[str, Path]) -> None:
    html = (build["html"] / "bcctool.html").read_text()
    for letter, name, _, _ in cli.OPTIONS:
        said = html.partition(f'id="option-{name or letter}"')[2].partition("</dd>")[0].partition("<dd>")
        assert plain("<" + said[0])
        assert len(plain(said[2]).split()) > 1


@needs_sphinx
@pytest.mark.skipif(not shutil.which("man"), reason="man is not installed")
def test_man_pages_are_formatted_without_warnings(build: dict[str, Path]) -> None:
    pages = sorted(build["man"].glob("*.8"))
    assert {page.name for page in pages} >= {f"bcctool-{family}.8" for family in FAMILIES} | {"bcctool.8"}
    for page in pages:
        done = run("man", "--warnings=w", "-E", "UTF-8", "-l", page)
        assert not done.stderr
        assert re.search(r"^NAME\n +bcctool(-\w+)? - \w", done.stdout, re.MULTILINE)
        assert "EXIT STATUS" in done.stdout


@needs_sphinx
@pytest.mark.parametrize(
    ("page", "change", "complaint"),
    [
        ("perf.rst", None, "the family 'perf' has no page"),
        ("perf.rst", (".. usage:: perf", ""), "has no '.. usage:: perf'"),
        ("perf.rst", (".. usage:: perf", ".. usage:: nosuch"), "bcctool has no 'nosuch'"),
        ("perf.rst", ("   show\n", "   nosuch\n"), "not declared: nosuch"),
        ("perf.rst", (".. verbs:: perf", ".. verbs:: nosuch"), "bcctool has no family 'nosuch'"),
        ("bcctool.rst", ("   nomount\n      Never mount a", "   json\n      A"), "twice: json"),
        ("bcctool.rst", ("   nomount\n      Never mount a bpf file system or tracefs.\n", ""), "what nomount does"),
        ("perf.rst", (":page:`prog`", ":page:`nosuch`"), "unknown document: 'nosuch'"),
    ],
)
def test_a_page_that_does_not_fit_is_a_failure(
    page: str, change: tuple[str, str] | None, complaint: str, tmp_path: Path
) -> None:
    for folder in ("docs", "tutorial", "bcctool"):
        shutil.copytree(ROOT / folder, tmp_path / folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    path = tmp_path / "docs" / page
    if change:
        assert change[0] in path.read_text()
        path.write_text(path.read_text().replace(*change))
    else:
        path.unlink()
    done = sphinx("html", tmp_path / "docs", tmp_path)
    assert done.returncode
    assert complaint in done.stderr


def examples(path: Path) -> list[Step]:
    return [step for step in steps(fenced(path.read_text())) if installed(step)]


def pages_with(prompt: str) -> list[Path]:
    return [path for path in PAGES if any(step.prompt == prompt for step in examples(path))]


@pytest.mark.parametrize("path", pages_with("$"), ids=lambda path: path.stem)
def test_examples_that_need_no_root(path: Path, tmp_path: Path) -> None:
    folder = reading_folder(path.read_text(), tmp_path)
    play_without_root([step for step in examples(path) if step.prompt == "$"], folder)


@pytest.mark.kernel
@pytest.mark.parametrize("path", pages_with("#"), ids=lambda path: path.stem)
def test_examples(path: Path, tmp_path: Path, sandbox: Sandbox) -> None:
    play(examples(path), reading_folder(path.read_text(), tmp_path), sandbox)


def test_examples_are_found_where_they_are() -> None:
    page = "One\n---\n\n.. code-block:: console\n\n   $ echo a; echo; echo b\n   a\n\n   b\n   # true\n\nTwo\n"
    first, second = steps(fenced(page))
    assert (first.line, first.prompt, first.command, first.expected) == (6, "$", "echo a; echo; echo b", ["a", "", "b"])
    assert (second.line, second.prompt, second.command, second.expected) == (10, "#", "true", [])
