"""Checks of a release against an API server in memory: requests, sentences, repeats and the exit code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from manyserve.api import crd
from manyserve.api.names import GROUP, PART_OF
from manyserve.check import main
from manyserve.check.checks import Result, checks, results
from manyserve.check.settings import CheckSettings
from manyserve.cli import app
from manyserve.cluster.crd_guard import GUARDED, INDEX
from manyserve.cluster.kinds import CRD, DEPLOYMENT, TRAINED_MODEL
from tests.check.test_verdicts import DENIED, READY
from tests.support.fake_api import Answer, FakeApi, served

SETTINGS = CheckSettings(namespace="s", review_namespace="team-a", timeout=0.1)
PROGRAMS = [DEPLOYMENT.path("s", name) for name in SETTINGS.deployments]
CRDS = [CRD.path(None, f"{kind.plural}.{GROUP}") for kind in GUARDED]
DOCUMENTS = [f"{INDEX}/apis/{kind.api_version}" for kind in GUARDED]
MODELS = TRAINED_MODEL.path("team-a")
REFUSED: Answer = (403, {}, {"kind": "Status", "code": 403, "reason": "Forbidden", "message": DENIED})
MISSING: Answer = (404, {}, {"kind": "Status", "code": 404, "reason": "NotFound", "message": "not found"})


def document(index: int, *, prunes: bool = False) -> dict[str, Any]:
    """Return the published schema of a kind."""
    kind, make = GUARDED[index], (crd.inference_services, crd.trained_models)[index]
    schema: dict[str, Any] = make(GROUP)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    version = kind.api_version.rpartition("/")[2]
    name = [{"group": GROUP, "version": version, "kind": kind.name}]
    if prunes:
        schema = schema | {"properties": {"spec": {"type": "object", "properties": {}}}}
    return {"components": {"schemas": {"x": schema | {"x-kubernetes-group-version-kind": name}}}}


def healthy() -> Iterator[tuple[str, Answer]]:
    """Yield the answers of a cluster with a release that works."""
    for path in PROGRAMS:
        metadata = {"namespace": "s", "name": path.rpartition("/")[2], "generation": 2}
        yield path, (200, {}, {"metadata": metadata, "spec": {"replicas": 2}, "status": READY})
    for path in CRDS:
        yield path, (200, {}, {"metadata": {"name": path.rpartition("/")[2], "labels": {PART_OF: "manyserve"}}})
    for index, path in enumerate(DOCUMENTS):
        yield path, (200, {}, document(index))
    yield MODELS, REFUSED


async def found(
    settings: CheckSettings = SETTINGS, changed: dict[str, Answer] | None = None
) -> tuple[FakeApi, list[Result]]:
    """Return the API server and the results, with some answers in place of the healthy ones."""
    api = FakeApi()
    api.by_path |= dict(healthy()) | (changed or {})
    async with served(api) as client:
        return api, await results(list(checks(client, settings)), settings.timeout, pause=0.01)


def failures(of: list[Result]) -> list[str]:
    return [each.sentence for each in of if not each.succeeded]


async def test_check_of_a_release_that_works_succeeds_and_stores_nothing() -> None:
    api, all_results = await found()
    assert failures(all_results) == []
    assert [each.sentence for each in all_results] == [
        "all pods of manyserve-operator are ready",
        "all pods of manyserve-webhook are ready",
        "the CRD inferenceservices.serving.kserve.io is manyserve's and preserves unknown fields",
        "the CRD trainedmodels.serving.kserve.io is manyserve's and preserves unknown fields",
        "the webhook refuses a wrong TrainedModel",
    ]
    (written,) = [each for each in api.requests if each.verb != "GET"]
    assert (written.path, written.query["dryRun"]) == (MODELS, "All")


@pytest.mark.parametrize(
    ("path", "answer", "sentence"),
    [
        (PROGRAMS[0], MISSING, "the Deployment s/manyserve-operator does not exist"),
        (
            PROGRAMS[1],
            (200, {}, {"metadata": {"namespace": "s", "name": "w"}, "status": {}}),
            "the Deployment s/w has 0 of 1 pods ready; kubectl describe says why",
        ),
        (CRDS[0], MISSING, "the CRD inferenceservices.serving.kserve.io is not installed"),
        (CRDS[1], (200, {}, {"metadata": {}}), "the CRD trainedmodels.serving.kserve.io is not manyserve's: it has no"),
        (
            DOCUMENTS[0],
            (200, {}, document(0, prunes=True)),
            "the CRD inferenceservices.serving.kserve.io prunes unknown",
        ),
        (DOCUMENTS[1], (200, {}, document(1, prunes=True)), "the CRD trainedmodels.serving.kserve.io prunes unknown"),
        (MODELS, (201, {}, {}), "the webhook did not refuse a TrainedModel with the address"),
        (MODELS, MISSING, "a TrainedModel in the namespace team-a was refused, but not by the webhook: not found"),
        (
            PROGRAMS[0],
            (403, {}, {"message": "no"}),
            "it cannot be checked whether all pods of manyserve-operator are ready",
        ),
    ],
)
async def test_check_that_fails_has_one_sentence(path: str, answer: Answer, sentence: str) -> None:
    _, all_results = await found(changed={path: answer})
    (problem,) = failures(all_results)
    assert problem.startswith(sentence)
    assert "\n" not in problem


async def test_check_without_a_webhook_tries_nothing_out() -> None:
    settings = SETTINGS.model_copy(update={"review_namespace": "", "deployments": SETTINGS.deployments[:1]})
    api, all_results = await found(settings)
    assert len(all_results) == 3
    assert {each.verb for each in api.requests} == {"GET"}


async def test_check_is_repeated_until_it_succeeds() -> None:
    api = FakeApi()
    api.by_path |= dict(healthy())
    api.answers.append(MISSING)
    async with served(api) as client:
        all_results = await results(list(checks(client, SETTINGS)), limit=10.0, pause=0.01)
    assert failures(all_results) == []
    assert sum(each.path == PROGRAMS[0] for each in api.requests) == 2


@pytest.mark.parametrize(("succeeded", "code", "line"), [(True, 0, "ok: it works"), (False, 1, "FAILED: it works")])
def test_check_prints_a_line_for_each_result_and_ends_with_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, succeeded: bool, code: int, line: str
) -> None:
    monkeypatch.setattr(main, "run", lambda _: [Result(True, "first"), Result(succeeded, "it works")])
    done = CliRunner().invoke(app, ["check"], env={"POD_NAMESPACE": "s"})
    assert done.output.splitlines() == ["ok: first", line]
    assert done.exit_code == code
