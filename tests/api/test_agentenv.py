"""Environment variables of the agent: only `agentenv` has their names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import manyserve
from manyserve.api import agentenv

SOURCE = Path(manyserve.__file__).parent
NAMES = frozenset(value for name, value in vars(agentenv).items() if name.isupper())


def literals(source: str) -> Iterator[str]:
    """Yield the string constants of a module and the parts of f-strings, without docstrings."""
    tree = ast.parse(source)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    constants = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docstrings)
    yield from (node.value for node in constants if isinstance(node.value, str))


def names_in(text: str) -> frozenset[str]:
    """Return the agent's variables that are words of a text."""
    return NAMES.intersection("".join(each if each.isalnum() or each == "_" else " " for each in text).split())


def test_agentenv_names_have_prefix_of_project() -> None:
    assert len(NAMES) > 15
    assert all(name.startswith("MANYSERVE_") for name in NAMES)


def test_agentenv_is_the_only_module_with_the_names_as_literals() -> None:
    modules = {path.relative_to(SOURCE): path.read_text() for path in SOURCE.rglob("*.py")}
    names_by_module = {module: set().union(*map(names_in, literals(source))) for module, source in modules.items()}
    assert {module: names for module, names in names_by_module.items() if names} == {Path("api/agentenv.py"): NAMES}


@pytest.mark.parametrize("package", ["plan", "agent"])
def test_agentenv_names_are_each_used_by_operator_and_agent(package: str) -> None:
    source = "".join(path.read_text() for path in (SOURCE / package).rglob("*.py"))
    constants = {name for name in vars(agentenv) if name.isupper()}
    assert {name for name in constants if not re.search(rf"\bagentenv\.{name}\b", source)} == set()


def test_agentenv_literal_search_finds_a_name_in_each_form() -> None:
    source = '"""MANYSERVE_CA_FILE"""\na = "MANYSERVE_S3_REGION AWS_REGION"\nb = f"{a} MANYSERVE_STORE_DIR: no"\n'
    assert set().union(*map(names_in, literals(source))) == {"MANYSERVE_S3_REGION", "MANYSERVE_STORE_DIR"}
