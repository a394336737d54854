"""The structure of the source: the budget of the pacing, and the figures of `reports/redesign.json`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from tests.support.english.files import pieces_of
from tests.support.english.rules import hits
from tests.support.english.source import DOC, DOCSTRING
from tests.support.english.text import sentences
from tests.support.figures import Figures

SOURCES = Path(__file__).parents[1] / "src" / "manyserve"
PACING = (
    "operator/workqueue.py",
    "operator/debounce.py",
    "operator/reconcile.py",
    "cluster/apply.py",
    "cluster/limiter.py",
    "cluster/status_writer.py",
    "plan/status/updates.py",
)
ELSEWHERE = {"plan/actions.py": ("PROGRESS_GRACE",), "cluster/state.py": ("USERS_IDLE",)}
"""Constants of the pacing in modules that are about something else, too."""
MAX_FILES, MAX_LINES, MAX_CONSTANTS = 8, 800, 12


@pytest.fixture(scope="module")
def figures() -> Iterator[Figures]:
    """Return the figures, which are written at the end."""
    taken = Figures("redesign")
    yield taken
    taken.write()


def test_pacing_keeps_its_budget_of_files_lines_and_constants(figures: Figures) -> None:
    lines = sum(len((SOURCES / name).read_text().splitlines()) for name in PACING)
    constants = [name for path in PACING for name in tuned_constants(SOURCES / path)]
    for path, names in ELSEWHERE.items():
        assert set(names) <= set(tuned_constants(SOURCES / path))
        constants += names
    figures.take("pacing: files", len(PACING), "files", below=MAX_FILES + 1)
    figures.take("pacing: lines", lines, "lines", below=MAX_LINES + 1)
    figures.take("pacing: tuned constants", len(constants), "constants", below=MAX_CONSTANTS + 1)
    assert len(PACING) <= MAX_FILES
    assert lines <= MAX_LINES
    assert len(constants) <= MAX_CONSTANTS, constants


def test_files_and_functions_are_small(figures: Figures) -> None:
    paths = sorted(SOURCES.rglob("*.py"))
    files = [len(path.read_text().splitlines()) for path in paths]
    functions = [length for path in paths for length in function_lengths(path)]
    figures.take("source: files", len(files), "files")
    figures.take("source: lines of a file, median", median(files), "lines")
    figures.take("source: lines of a function, median", median(functions), "lines")
    assert median(functions) <= 20
    assert max(files) <= 300


@pytest.mark.parametrize("kind", [DOC, DOCSTRING])
def test_sentences_are_counted(figures: Figures, kind: str) -> None:
    pieces = [piece for piece in pieces_of() if piece.kind == kind]
    words = sorted(s.words for piece in pieces if not piece.block.cell for s in sentences(piece.block))
    figures.take(f"{kind}: words of a sentence, median", median(words), "words")
    figures.take(f"{kind}: words of a sentence, 90th percentile", words[len(words) * 9 // 10], "words")
    figures.take(f"{kind}: words of a sentence, longest", words[-1], "words")
    figures.take(f"{kind}: hits of the reject list", sum(1 for piece in pieces for _ in hits(piece)), "hits", exactly=0)
    assert median(words) <= 20


def tuned_constants(path: Path) -> list[str]:
    """Return the names of the public constants of a module that are numbers, or a `Backoff` of numbers."""
    named = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Assign)]
    targets = [target for node in named if is_tuned(node) for target in node.targets if isinstance(target, ast.Name)]
    return [target.id for target in targets if not target.id.startswith("_")]


def is_tuned(node: ast.Assign) -> bool:
    """Return whether a number is written in the value of an assignment."""
    return any(isinstance(part, ast.Constant) and isinstance(part.value, int | float) for part in ast.walk(node.value))


def function_lengths(path: Path) -> list[int]:
    """Return the lines of the functions of a module."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kinds)]
    return [(node.end_lineno or node.lineno) - node.lineno + 1 for node in nodes]
