"""The pages for contributors name files, headings and documents that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = ("CONTRIBUTING.md", "docs/contributing.md", "docs/architecture.md", "docs/performance.md", "docs/glossary.md")
RECORDS = tuple(str(path.relative_to(ROOT)) for path in sorted((DOCS / "decisions").glob("*.md")))
LINKED = ("README.md", "SECURITY.md", *PAGES, *RECORDS)
PATH = re.compile(r"`((?:src|tests|docs|deploy|requirements)/[\w./-]*\w/?|[A-Z]+\.md|pyproject\.toml)`")
MODULE = re.compile(r"`((?:api|plan|cluster|operator|webhook|agent)/[\w/]+\.py)`")
NAME = re.compile(r"`([A-Z][A-Z_]+|(?:[A-Z][a-z]+)+)`")
LINK = re.compile(r"\]\(([^):\s]+)\)")


def paths(text: str) -> list[str]:
    """Return the paths in backticks; modules may be named without `src/manyserve/`."""
    paths_in_text = [*PATH.findall(text), *(f"src/manyserve/{module}" for module in MODULE.findall(text))]
    return [path for path in paths_in_text if "NNNN" not in path]


def headings(page: Path) -> set[str]:
    """Return the anchors of a page, as GitHub makes them."""
    lines = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", line).strip().lower().replace(" ", "-") for line in lines}


@pytest.mark.parametrize("page", [*PAGES, *RECORDS])
def test_paths_in_backticks_exist(page: str) -> None:
    assert [path for path in paths((ROOT / page).read_text()) if not (ROOT / path).exists()] == []


def test_names_in_a_step_of_a_recipe_are_in_its_files() -> None:
    steps = re.split(r"^ *(?:\d+\.|\*) ", (DOCS / "contributing.md").read_text(), flags=re.MULTILINE)
    for step in steps:
        files = [ROOT / path for path in paths(step) if (ROOT / path).is_file()]
        code = "\n".join(file.read_text() for file in files)
        missing = [name for name in NAME.findall(step) if not re.search(rf"\b{name}\b", code)]
        assert missing == [] or not files, step


@pytest.mark.parametrize("page", LINKED)
def test_links_lead_to_files_and_headings(page: str) -> None:
    source = ROOT / page
    broken = []
    for link in LINK.findall(source.read_text()):
        name, _, anchor = link.partition("#")
        target = (source.parent / name).resolve() if name else source
        if not target.exists() or (anchor and anchor not in headings(target)):
            broken.append(link)
    assert broken == []


def test_recipes_name_the_files_of_the_five_changes() -> None:
    recipes = re.split(r"^## ", (DOCS / "contributing.md").read_text(), flags=re.MULTILINE)[1:]
    assert len(recipes) == 5
    assert [recipe.splitlines()[0] for recipe in recipes if len(paths(recipe)) < 5] == []


def test_decisions_are_numbered_and_listed() -> None:
    numbers = [int(Path(path).name[:4]) for path in RECORDS if not path.endswith("README.md")]
    assert len(numbers) == len(set(numbers))
    index = (DOCS / "decisions" / "README.md").read_text()
    assert [path for path in RECORDS if not path.endswith("README.md") and f"({Path(path).name})" not in index] == []
