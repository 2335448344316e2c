"""The documents keep up with the code: verbs, links, examples; and they name no one's machine."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bcctool import cli
from bcctool.verbs import Verb

from .conftest import ROOT

FAMILIES = [name for name in cli.OBJECTS if name not in cli.COMMANDS]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "tutorial").rglob("*.md")])
SOURCES = [
    path
    for folder in ("bcctool", "docs", "scripts", "tests", "tutorial", ".ci")
    for path in (ROOT / folder).rglob("*")
    if path.is_file() and path.suffix not in (".pyc", ".o")
] + [path for path in ROOT.iterdir() if path.is_file() and path.name != ".git"]
README = (ROOT / "README.md").read_text()
VERBS: list[tuple[str, Verb]] = [(family, verb) for family in FAMILIES for verb in cli.load_family(family).verbs]
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]*)(#[^)\s]*)?\)")
HOMES = re.compile(r"/(?:home|root|Users)/\w")


def documented(family: str, text: str) -> set[str]:
    """The words in backticks in a family's row of the table of verbs."""
    row = re.search(rf"^\| `{family}` \| (.*) \|$", text, re.MULTILINE)
    return set(re.findall(r"`([^`]+)`", row[1])) if row else set()


def slug(heading: str) -> str:
    """The anchor that a heading gets."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def broken_links(text: str, folder: Path) -> list[str]:
    """The relative links of a document that lead nowhere."""
    broken = []
    for target, anchor in LINK.findall(text):
        if "://" in target:
            continue
        path = folder / target if target else None
        if path is not None and not path.exists():
            broken.append(target)
        elif anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text() if path else text, re.MULTILINE)
            if anchor[1:] not in map(slug, headings):
                broken.append(target + anchor)
    return broken


@pytest.mark.parametrize(("family", "verb"), VERBS, ids=[f"{family} {verb.name}" for family, verb in VERBS])
def test_every_verb_is_in_the_readme(family: str, verb: Verb) -> None:
    assert verb.name in documented(family, README)
    assert verb.summary, "a verb's docstring says what it does"


@pytest.mark.parametrize("family", FAMILIES)
def test_the_readme_names_only_verbs_that_are_there(family: str) -> None:
    help = cli.load_family(family).help(family)
    assert not {word for word in documented(family, README) if not re.search(rf"\b{word.split()[-1]}\b", help)}


def test_what_the_readme_calls_missing_is_missing() -> None:
    missing = re.search(r"\(`--([\w-]+)`\), which bcctool can't yet", README)
    assert missing, "the README says which options are not there yet"
    assert missing[1] not in [name for _, name, *_ in cli.OPTIONS]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(path: Path) -> None:
    assert not broken_links(path.read_text(), path.parent)


def test_a_broken_link_is_found() -> None:
    text = "# One thing\n[a](LICENSE) [b](nosuch.md) [c](https://example.org/x) [d](#one-thing) [e](#two)"
    assert broken_links(text, ROOT) == ["nosuch.md", "#two"]


def test_nothing_names_a_machine() -> None:
    own = str(ROOT)
    found = []
    for path in SOURCES:
        text = path.read_text(errors="replace")
        if own in text or HOMES.search(text):
            found.append(str(path.relative_to(ROOT)))
    assert not found


def test_the_readmes_python_runs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    compile_c: Callable[..., Path],
) -> None:
    shutil.copy(compile_c(ROOT / "tutorial" / "counter.c", "-g", "-DBTF"), tmp_path / "counter.o")
    monkeypatch.chdir(tmp_path)
    exec(re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0], {})
    assert capsys.readouterr().out == "Dual BSD/GPL little\ncounter xdp 19 instructions\ncounter_map 4 16 1\n"


@pytest.mark.kernel
def test_the_readmes_python_for_root_runs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    compile_c: Callable[..., Path],
) -> None:
    shutil.copy(compile_c(ROOT / "tutorial" / "counter.c", "-g", "-DBTF"), tmp_path / "counter.o")
    monkeypatch.chdir(tmp_path)
    code = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[1]
    exec("import bcctool\n" + code, {})
    assert re.match(r"[0-9a-f]{16} 1\n", capsys.readouterr().out)
