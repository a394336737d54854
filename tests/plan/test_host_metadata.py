"""Labels and annotations of a host on its pods and children."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from manyserve.api import names
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.names import Key
from manyserve.plan.actions import Apply
from manyserve.plan.host_metadata import LEFT_OUT, is_left_out
from manyserve.plan.observed import Observed
from manyserve.plan.plan import plan
from tests.support import make, world

LABELS = {"team": "risk", "cost-center": "4711"}
ANNOTATIONS = {"sidecar.istio.io/inject": "false", "prometheus.io/port": "8002"}
REPLICATED = {"minReplicas": 2, "maxReplicas": 3}
PAGE = (Path(__file__).parents[2] / "docs" / "compatibility.md").read_text()


def seen(host: InferenceService) -> Observed:
    key = Key("default", "triton-mms")
    return Observed(key=key, config=make.config(), host=host, models=(make.model(),), pods=(make.pod(),))


def changed(settled: Observed, host: InferenceService) -> tuple[Apply, ...]:
    """Return the applies of a settled host after its user applies another form of it."""
    assert settled.host
    return plan(replace(settled, host=host.model_copy(update={"status": settled.host.status})), make.NOW).applies


def test_host_metadata_reaches_pods_and_all_children_but_the_config_map() -> None:
    todo = plan(seen(make.labelled_host(LABELS, ANNOTATIONS, **REPLICATED)), make.NOW)
    children = {each.manifest["kind"]: each.manifest["metadata"] for each in todo.applies}
    assert set(children) == {"Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "Ingress"}
    (deployment,) = [each.manifest for each in todo.applies if each.manifest["kind"] == "Deployment"]
    for metadata in (*children.values(), deployment["spec"]["template"]["metadata"]):
        assert LABELS.items() <= metadata["labels"].items()
        assert ANNOTATIONS.items() <= metadata["annotations"].items()
    assert deployment["spec"]["selector"]["matchLabels"] == names.selector("triton-mms")
    assert todo.configs
    assert not LABELS.keys() & todo.configs[0].manifest["metadata"]["labels"].keys()


def test_host_metadata_of_predictor_overrides_that_of_host() -> None:
    own = {"labels": {"team": "fraud"}, "annotations": {"prometheus.io/port": "9081"}}
    todo = plan(seen(make.labelled_host(LABELS, ANNOTATIONS, **own)), make.NOW)
    (template,) = [each.manifest["spec"]["template"] for each in todo.applies if each.manifest["kind"] == "Deployment"]
    assert template["metadata"]["labels"].items() >= {"team": "fraud", "cost-center": "4711"}.items()
    expected = ANNOTATIONS | {"prometheus.io/port": "9081"}
    assert expected.items() <= template["metadata"]["annotations"].items()
    assert not {"labels", "annotations"} & template["spec"].keys()


def test_host_metadata_never_replaces_labels_of_the_operator() -> None:
    own = {names.HOST_LABEL: "other", names.COMPONENT_LABEL: "other", names.MANAGED_BY: "Helm", names.REVISION: "7"}
    plain, mine = (plan(seen(make.labelled_host(labels, labels)), make.NOW) for labels in ({}, own))
    assert [each.manifest for each in mine.applies] == [each.manifest for each in plain.applies]


@pytest.mark.parametrize(
    "key",
    [
        "app.kubernetes.io/managed-by",
        "app.kubernetes.io/instance",
        "helm.sh/chart",
        "meta.helm.sh/release-name",
        "argocd.argoproj.io/tracking-id",
        "kustomize.toolkit.fluxcd.io/name",
        "fluxcd.io/sync-checksum",
        "kubectl.kubernetes.io/last-applied-configuration",
        "serving.kserve.io/autoscalerClass",
        "internal.serving.kserve.io/storage-initializer-sourceuri",
        "serving.manyserve.io/inferenceservice",
        "networking.knative.dev/visibility",
        "deployment.kubernetes.io/revision",
        "nginx.ingress.kubernetes.io/configuration-snippet",
        "nginx.org/server-snippets",
        "nginx.ingress.kubernetes.io/server-alias",
        "haproxy-ingress.github.io/config-backend",
        "addonmanager.kubernetes.io/mode",
        "configmanagement.gke.io/managed",
        "applyset.kubernetes.io/part-of",
    ],
)
def test_host_metadata_leaves_out_keys_of_controllers_and_tools(key: str) -> None:
    assert is_left_out(key)


@pytest.mark.parametrize("key", ["team", "app", "app.kubernetes.io/part-of", "myhelm.sh.io/a", "example.com/instance"])
def test_host_metadata_keeps_other_keys(key: str) -> None:
    assert not is_left_out(key)


def test_host_metadata_that_is_left_out_replaces_no_pod() -> None:
    settled = world.settle(seen(make.host()))
    assert changed(settled, make.labelled_host({"helm.sh/chart": "x-1"}, {"kubectl.kubernetes.io/x": "{}"})) == ()


def test_label_that_leaves_the_host_leaves_its_children() -> None:
    settled = world.settle(seen(make.labelled_host(LABELS, ANNOTATIONS)))
    assert plan(settled, make.NOW).empty
    applies = changed(settled, make.labelled_host({"team": "risk"}))
    assert sorted(each.manifest["kind"] for each in applies) == ["Deployment", "Ingress", "Service"]
    for each in applies:
        assert each.manifest["metadata"]["labels"]["team"] == "risk"
        assert "cost-center" not in each.manifest["metadata"]["labels"]
        assert not ANNOTATIONS.keys() & each.manifest["metadata"]["annotations"].keys()


def test_changed_label_increments_the_revision() -> None:
    settled = world.settle(seen(make.labelled_host(LABELS)))
    (revision,) = {
        each.manifest["metadata"]["annotations"][names.REVISION]
        for each in changed(settled, make.labelled_host(LABELS | {"team": "fraud"}))
        if each.manifest["kind"] == "Deployment"
    }
    assert revision == "2"


def test_compatibility_page_has_all_keys_that_are_left_out() -> None:
    rows = re.findall(r"^\| (`[^|]+`) \| ([^|]+) \|$", PAGE, re.MULTILINE)
    page = {tuple(re.findall(r"`([^`]+)`", keys)): reason for keys, reason in rows}
    assert [row for row in LEFT_OUT if page.get(row.keys) != row.reason] == []
