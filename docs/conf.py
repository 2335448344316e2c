"""Sphinx's configuration: HTML pages, and man pages of section 8, from the pages in this folder."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]

import bcctool  # noqa: E402
from bcctool import cli  # noqa: E402

project = "bcctool"
author = "the authors of bcctool"
project_copyright = author
version = release = bcctool.__version__

extensions = ["myst_parser", "usage"]
exclude_patterns = ["_ext"]
myst_heading_anchors = 3
# The chapters and the list of differences also link to files of the checkout that are no pages; tests/test_docs.py
# looks after those links.
suppress_warnings = ["myst.xref_missing"]
rst_prolog = f"""
.. |objects| replace:: {", ".join(f"``{name}``" for name in cli.OBJECTS)}
.. |families| replace:: {", ".join(f":page:`{name}`" for name in cli.OBJECTS if name not in cli.COMMANDS)}
"""
highlight_language = "none"
smartquotes = False  # -- stays what one types

html_theme = "alabaster"
html_theme_options = {"description": "Look into eBPF on Linux", "page_width": "1080px"}
html_copy_source = False

NO_MAN_PAGE = ("index", "python")


def man_page(page: Path) -> tuple[str, str, str, list[str], int]:
    """A row of man_pages for a page whose title is `NAME: what it is for`."""
    title = page.read_text().partition("\n")[0]
    name = "bcctool" if page.stem == "bcctool" else f"bcctool-{page.stem}"
    return (page.stem, name, title.partition(": ")[2], [], 8)


man_pages = [man_page(page) for page in sorted(HERE.glob("*.rst")) if page.stem not in NO_MAN_PAGE]
