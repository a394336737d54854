"""Findings of kube-score in the chart's objects: none but accepted ones, each with its reason."""

from __future__ import annotations

import json
import subprocess

import pytest

from localcluster import tools
from localcluster.paths import cache
from tests.chart.rendering import VARIANTS, Manifest, text

pytestmark = pytest.mark.contract  # the program is one of `make tools`

GRADE_OK = 10
ACCEPTED = {
    "container-image-pull-policy": "tags are of releases, and a tag of a release does not change",
    "container-resources": "there is no CPU limit: a throttled leader would lose its Lease",
    "pod-networkpolicy": "no default is right for all clusters; docs/security.md says what follows",
}
OF_SOME_VALUES = {"deployment-replicas": "the user asked for one replica"}


def findings(manifests: str) -> dict[str, set[str]]:
    """Return the sentences about failed checks, by the check's id."""
    tools.ensure("kube-score")
    words = [str(cache() / "bin" / "kube-score"), "score", "--output-format", "json", "-"]
    done = subprocess.run(words, input=manifests, capture_output=True, text=True, check=False)
    checks: list[tuple[str, Manifest]] = [
        (each["object_name"], check) for each in json.loads(done.stdout) for check in each["checks"] or ()
    ]
    failed = [(name, check) for name, check in checks if check["grade"] < GRADE_OK and not check["skipped"]]
    found: dict[str, set[str]] = {}
    for name, check in failed:
        sentences = {f"{name} {each['path']}: {each['summary']}" for each in check["comments"] or ()}
        found.setdefault(check["check"]["id"], set()).update(sentences)
    return found


@pytest.mark.parametrize("values", VARIANTS)
def test_kube_score_finds_nothing_but_what_is_accepted(values: tuple[str, ...]) -> None:
    found = findings(text(*values))
    assert {check: found[check] for check in found.keys() - ACCEPTED.keys() - OF_SOME_VALUES.keys()} == {}
    assert found.keys() >= {"container-resources"}, "an accepted finding is gone, or nothing was judged"


def test_kube_score_accepts_no_finding_that_is_gone() -> None:
    found = {check for values in VARIANTS for check in findings(text(*values))}
    assert found == {*ACCEPTED, *OF_SOME_VALUES}
    assert "deployment-replicas" not in findings(text())
