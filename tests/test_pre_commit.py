"""`.pre-commit-config.yaml`: local hooks only, programs that exist, and the form of a commit's subject."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
CONFIG = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
HOOKS: list[dict[str, Any]] = [hook for repo in CONFIG["repos"] for hook in repo["hooks"]]
LONGEST = "operator: " + "x" * 62
BIN = Path(sys.executable).parent


def check(subject: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    message = tmp_path / "COMMIT_EDITMSG"
    message.write_text(f"{subject}\n\nThe body says why.\n")
    program = [sys.executable, str(ROOT / "scripts" / "commit_subject.py"), str(message)]
    return subprocess.run(program, capture_output=True, text=True, check=False, timeout=60)


def test_hooks_are_local_and_download_nothing() -> None:
    assert [repo["repo"] for repo in CONFIG["repos"]] == ["local"]
    assert {hook["language"] for hook in HOOKS} == {"system"}


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: str(hook["id"]))
def test_program_of_hook_exists(hook: dict[str, Any]) -> None:
    program, *arguments = hook["entry"].split()
    assert program.startswith(".venv/bin/")
    assert (BIN / Path(program).name).exists()
    assert all((ROOT / each).exists() for each in arguments if each.endswith(".py"))


def test_checks_of_make_lint_are_hooks() -> None:
    makefile = (ROOT / "Makefile").read_text()
    entries = {Path(hook["entry"].split()[0]).name for hook in HOOKS}
    for name in ("ruff", "mypy", "lint-imports", "bandit"):
        assert f"$(BIN)/{name}" in makefile
        assert name in entries


@pytest.mark.parametrize(
    "subject",
    [LONGEST, "plan, webhook: state each name once", "agent/download: refuse links", "Merge branch 'wip'"],
)
def test_commit_subject_accepts_package_and_imperative(subject: str, tmp_path: Path) -> None:
    checked = check(subject, tmp_path)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_commit_subject_refuses_73_characters(tmp_path: Path) -> None:
    checked = check(LONGEST + "x", tmp_path)
    assert checked.returncode == 1
    assert "73 characters; at most 72" in checked.stderr


@pytest.mark.parametrize(
    "subject", ["", "debounce config writes", "Operator: debounce", "operator: Debounce", "plan: x."]
)
def test_commit_subject_refuses_another_form(subject: str, tmp_path: Path) -> None:
    checked = check(subject, tmp_path)
    assert checked.returncode == 1
    assert "package: imperative" in checked.stderr
