"""Objects of `helm test`: the pod of `manyserve check`, its rights, and how long they exist."""

from __future__ import annotations

import pytest
from webhooks.render import CHART

from manyserve.api_group import KSERVE, OWN, from_env
from manyserve.check.settings import CheckSettings
from tests.chart.rendering import VARIANTS, Manifest, environment, objects
from tests.chart.test_pods import everything
from tests.chart.test_security import restriction_errors

PROBES: Manifest = {"livenessProbe": {}, "readinessProbe": {}, "ports": []}


def hooks(*values: str) -> list[Manifest]:
    """Return the objects of `helm test`."""
    return [each for each in everything(*values) if "helm.sh/hook" in each["metadata"].get("annotations", {})]


def pod(*values: str) -> Manifest:
    """Return the pod of `helm test`."""
    (found,) = (each for each in hooks(*values) if each["kind"] == "Pod")
    return found


def settings(*values: str) -> CheckSettings:
    """Return the settings of the pod's program."""
    return CheckSettings.from_env(environment(pod(*values)["spec"]))


def granted(*values: str) -> list[tuple[str, str, list[str], list[str] | None, list[str]]]:
    """Return kind, namespace, resources, names and verbs of each rule."""
    return [
        (
            each["kind"],
            each["metadata"].get("namespace", ""),
            rule["resources"],
            rule.get("resourceNames"),
            rule["verbs"],
        )
        for each in hooks(*values)
        for rule in each.get("rules", ())
    ]


def test_helm_test_objects_are_no_part_of_a_release() -> None:
    assert {path.stem for path in (CHART / "templates" / "tests").iterdir()} == {
        *("clusterrole", "clusterrolebinding", "pod", "review-role", "review-rolebinding", "role", "rolebinding"),
        "serviceaccount",
    }
    assert len(hooks()) == 8
    assert not [each for each in objects() if "helm.sh/hook" in each["metadata"].get("annotations", {})]


def test_helm_test_deletes_its_rights_and_keeps_the_pod_for_its_log() -> None:
    for each in hooks():
        notes = each["metadata"]["annotations"]
        assert notes["helm.sh/hook"] == "test"
        policies = notes["helm.sh/hook-delete-policy"].split(",")
        assert policies == ["before-hook-creation", *([] if each["kind"] == "Pod" else ["hook-succeeded"])]
    weights = {each["kind"]: int(each["metadata"]["annotations"]["helm.sh/hook-weight"]) for each in hooks()}
    assert weights["ServiceAccount"] < weights["RoleBinding"] < weights["Pod"]


def test_helm_test_has_only_the_rights_of_its_checks() -> None:
    crds = [f"inferenceservices.{KSERVE}", f"trainedmodels.{KSERVE}"]
    system = "manyserve-system"
    assert sorted(granted()) == [
        ("ClusterRole", "", ["customresourcedefinitions"], crds, ["get"]),
        ("Role", system, ["deployments"], ["manyserve-operator", "manyserve-webhook"], ["get"]),
        ("Role", system, ["trainedmodels"], None, ["create"]),
    ]
    for binding in (each for each in hooks() if "subjects" in each):
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "manyserve-test", "namespace": system}]
    assert pod()["spec"]["serviceAccountName"] == "manyserve-test"


@pytest.mark.parametrize(
    ("values", "namespace"),
    [
        ((), "manyserve-system"),
        (("scope.namespaces={team-a,team-b}",), "team-a"),
        (("scope.namespaces={team-a,team-b}", "tests.namespace=team-b"), "team-b"),
        (("scope.namespaceSelector.matchLabels.a=b", "tests.namespace=team-c"), "team-c"),
    ],
)
def test_helm_test_tries_a_model_out_in_a_namespace_of_the_scope(values: tuple[str, ...], namespace: str) -> None:
    assert settings(*values).review_namespace == namespace
    assert [where for _, where, resources, *_ in granted(*values) if resources == ["trainedmodels"]] == [namespace]


def test_helm_test_without_the_webhook_checks_the_operator_alone() -> None:
    checked = settings("webhook.enabled=false")
    assert (checked.deployments, checked.review_namespace) == (("manyserve-operator",), "")
    assert not [each for each in granted("webhook.enabled=false") if each[2] == ["trainedmodels"]]


@pytest.mark.parametrize("values", VARIANTS)
def test_helm_test_pod_satisfies_pod_security_restricted(values: tuple[str, ...]) -> None:
    spec = pod(*values)["spec"]
    assert restriction_errors(spec | {"containers": [each | PROBES for each in spec["containers"]]}) == []


@pytest.mark.parametrize("values", VARIANTS)
def test_helm_test_names_the_deployments_and_the_group_of_the_release(values: tuple[str, ...]) -> None:
    names = {each["metadata"]["name"] for each in objects(*values) if each["kind"] == "Deployment"}
    assert set(settings(*values).deployments) == names
    group = from_env(environment(pod(*values)["spec"]))
    assert group == (OWN if f"api.group={OWN}" in values else KSERVE)


def test_helm_test_pod_ends_after_its_checks() -> None:
    spec = pod("tests.timeoutSeconds=90")["spec"]
    assert settings("tests.timeoutSeconds=90").timeout == 90
    assert spec["activeDeadlineSeconds"] > 90
    assert spec["restartPolicy"] == "Never"
