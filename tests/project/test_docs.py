"""The pages for contributors name files, modules and make targets that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "CONTRIBUTING.md", ROOT / "docs" / "architecture.md")
LINKED = (PAGES[0], ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
IN_BACKTICKS = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
PATH = re.compile(r"[\w.-]+(/[\w.-]+)*(/|\.(py|md|toml|yml|cff|lock))|\.git-blame-ignore-revs")
IN_WORDS = {"__init__.py"}  # of whichever folder the sentence is about
MAKE = re.compile(r"make ([a-z]+)")
RULE = re.compile(r"^([a-z][a-z ]*):")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


def named(page: Path) -> list[str]:
    """What a page has in backticks, outside of blocks of code."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    return IN_BACKTICKS.findall(text)


def paths(page: Path) -> set[str]:
    return {name for name in named(page) if PATH.fullmatch(name)} - IN_WORDS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    assert len(paths(page)) > 20
    missing = sorted(path for path in paths(page) if not (ROOT / path).exists())
    assert not missing


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.name)
def test_every_link_of_a_page_exists(page: Path) -> None:
    links = LINK.findall(page.read_text())
    assert not [link for link in links if not (page.parent / link).exists()]


def test_every_make_target_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = {found for page in PAGES for name in named(page) for found in MAKE.findall(name)}
    assert "check" in targets
    rules = {found for line in makefile.splitlines() for found in RULE.findall(line)}
    assert targets <= {target for rule in rules for target in rule.split()}


def test_every_part_of_the_package_is_in_the_picture() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    picture = text.partition("```mermaid")[2].partition("```")[0]
    parts = {path.stem for path in (ROOT / "optsuite").iterdir()}
    parts -= {"__init__", "__main__", "__pycache__", "py"}
    missing = sorted(part for part in parts if not re.search(rf"\b{part}\b", picture))
    assert not missing
