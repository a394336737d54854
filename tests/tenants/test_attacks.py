"""The table of attacks: each row has tests that exist, and a report without its figure is refused."""

from __future__ import annotations

from tests.support.programs import PROJECT
from tests.tenants.attacks import Attack, attacks, files_of, problems

SLOW = Attack("slow downloads", ("a small model",), ("tests/x.py",))
TAKEN = {"name": "8 slow downloads: a small model is loaded", "value": 1.0, "goal": "< 60", "met": True}


def test_attacks_have_figures_and_tests_that_exist() -> None:
    rows = attacks()
    assert len(rows) > 20, "the table is found"
    for attack in rows:
        assert attack.figures, attack
        assert attack.tests, attack
        assert all(map(exists, attack.tests)), attack


def exists(test: str) -> bool:
    """Return whether a file of tests exists, and has the test if one is named."""
    file, _, name = test.partition("::")
    return (PROJECT / file).is_file() and (not name or f"def {name}(" in (PROJECT / file).read_text())


def test_attacks_name_each_file_of_tests_that_takes_figures() -> None:
    """Files that take figures of attacks are in the table, so that `make tenants` runs them."""
    taking = {
        f"{path.relative_to(PROJECT)}"
        for path in (PROJECT / "tests").rglob("test_*.py")
        if "tenants: Figures" in path.read_text() or '["tenants"]' in path.read_text()
    }
    named = {test.partition("::")[0] for attack in attacks() for test in attack.tests}
    assert taking - {"tests/tenants/test_attacks.py"} <= named
    assert len(files_of(attacks())) > 5


def test_attacks_without_a_figure_or_without_its_goal_are_named() -> None:
    missing = ["slow downloads: no figure with a goal has 'a small model' in its name"]
    assert list(problems([SLOW], [TAKEN])) == []
    assert list(problems([SLOW], [])) == missing
    assert list(problems([SLOW], [{"name": TAKEN["name"], "value": 1.0}])) == missing


def test_figures_of_no_attack_are_named() -> None:
    other = TAKEN | {"name": "another"}
    assert list(problems([SLOW], [TAKEN, other])) == ["another: the figure belongs to no attack of the table"]
