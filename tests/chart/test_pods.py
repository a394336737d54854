"""Values of images, labels, accounts, ids, networks and further objects, in the objects that helm renders.

No test here runs the pods. Tests about OpenShift render, and do not run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from webhooks.render import CHART, helm

from manyserve.api import servingconfig
from manyserve.webhook.settings import WebhookSettings
from tests.chart.rendering import VARIANTS, Manifest, environment, objects, pods, text, the
from tests.support.figures import Figures

MIRROR = VARIANTS[-2]
PROGRAMS = ("manyserve-operator", "manyserve-webhook")
NO_IDS = (
    "podSecurityContext=null",
    "config.hosts.podSecurityContext=null",
    "config.hosts.serverSecurityContext=null",
    "config.hosts.agentSecurityContext=null",
)
IDS = {"runAsUser", "runAsGroup", "fsGroup"}


def everything(*values: str) -> list[Manifest]:
    """Return all objects, with those of `helm test`."""
    settings = [part for value in values for part in ("--set", value)]
    text = helm("template", "manyserve", str(CHART), "--namespace", "manyserve-system", *settings)
    return [each for each in yaml.safe_load_all(text) if each and each["kind"] != "CustomResourceDefinition"]


def found(node: Any, key: str) -> Iterator[Any]:
    """Yield each value of a key, at any depth; a text that is a JSON object counts as one."""
    if isinstance(node, str) and node.startswith("{"):
        node = json.loads(node)
    children: Any = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    if isinstance(node, dict) and key in node:
        yield node[key]
    for child in children:
        yield from found(child, key)


def program(name: str, *values: str) -> Manifest:
    """Return the pod of a program."""
    return dict(pods(*values))[name]


@pytest.mark.parametrize(
    ("values", "images"),
    [
        (("image.repository=localhost/a/b",), "r.example/a/b:0.1.0"),
        (("image.repository=quay.io:443/a",), "r.example/a:0.1.0"),
        (("image.repository=a", "image.tag=x.y"), "r.example/a:x.y"),
        ((f"image.digest=sha256:{'0' * 64}",), f"r.example/manyserve/manyserve@sha256:{'0' * 64}"),
        (("config.agent.image=ghcr.io/o/agent:1",), "r.example/o/agent:1"),
        (
            (
                "config.predictors.sklearn.v1=null",
                "config.predictors.sklearn.v2=null",
                "config.predictors.sklearn.image=gcr.io/s",
            ),
            "r.example/s",
        ),
    ],
)
def test_image_registry_replaces_the_registry_of_each_image(values: tuple[str, ...], images: str) -> None:
    names = list(found(everything("global.imageRegistry=r.example", *values), "image"))
    assert images in names
    assert len(names) >= 9
    assert {each.partition("/")[0] for each in names} == {"r.example"}


def test_image_registry_is_the_only_one_in_the_whole_rendering(chart_figures: Figures) -> None:
    text = helm("template", "manyserve", str(CHART), "--set", "global.imageRegistry=r.example")
    images = re.findall(r"^ *-? ?\"?image\"?: *\"?([\w./:@-]+)", text, re.MULTILINE)
    others = [each for each in images if not each.startswith("r.example/")]
    chart_figures.take("images of another registry than global.imageRegistry", len(others), "images", exactly=0)
    assert len(images) >= 10
    assert others == []


def test_pull_secrets_reach_the_pods_and_the_hosts() -> None:
    values = ("global.imagePullSecrets={a}", "imagePullSecrets[0].name=b", "config.hosts.imagePullSecrets={c,a}")
    of_pods = list(found([each for each in everything(*values) if each["kind"] != "ConfigMap"], "imagePullSecrets"))
    assert len(of_pods) >= 2
    assert all(each == [{"name": "a"}, {"name": "b"}] for each in of_pods)
    config = servingconfig.parse(the("ConfigMap", "inferenceservice-config", *values)["data"])
    assert config.hosts.image_pull_secrets == ("a", "c")


def test_label_of_one_object_replaces_the_common_label_of_its_name() -> None:
    values = ("commonLabels.team=a", "operator.podLabels.team=b", "webhook.podLabels.team=c")
    monitors = ("monitoring.serviceMonitor.enabled=true", "monitoring.serviceMonitor.labels.team=d")
    labels = "\n".join(found_labels(text(*values, *monitors)))
    assert [labels.count(f"team: {each}") for each in "bcd"] == [1, 1, 2]
    assert "team: a" in labels


def found_labels(rendered: str) -> Iterator[str]:
    """Yield the lines with each labels, of which no two have one key."""
    for block in re.findall(r"^( *)labels:\n((?:\1 +.*\n)+)", rendered, re.MULTILINE):
        keys = [line.partition(":")[0] for line in block[1].splitlines()]
        assert len(keys) == len(set(keys))
        yield block[1]


def test_common_labels_are_on_each_object_and_pod_and_in_no_selector() -> None:
    rendered = everything(*MIRROR)
    assert [each["metadata"]["name"] for each in rendered if each["metadata"]["labels"].get("team") != "a"] == []
    templates = [each["spec"]["template"] for each in rendered if each["kind"] == "Deployment"]
    assert [each["metadata"]["labels"]["team"] for each in templates] == ["a", "a"]
    assert [each["metadata"]["labels"]["mesh"] for each in templates] == ["off", "on"]
    assert not any("team" in each for each in found(rendered, "matchLabels"))


def test_role_bindings_and_pods_name_the_accounts_of_the_values() -> None:
    rendered = objects(*MIRROR)
    accounts = [each["metadata"]["name"] for each in rendered if each["kind"] == "ServiceAccount"]
    assert accounts == ["own"], "the webhook's is given"
    subjects = {each["subjects"][0]["name"] for each in rendered if each["kind"].endswith("RoleBinding")}
    assert subjects == {"own", "given"}
    assert [program(name, *MIRROR)["serviceAccountName"] for name in PROGRAMS] == ["own", "given"]


def test_account_has_its_annotations() -> None:
    account = the("ServiceAccount", "manyserve-webhook", "webhook.serviceAccount.annotations.a\\.b/c=d")
    assert account["metadata"]["annotations"] == {"a.b/c": "d"}


def test_contexts_without_ids_are_rendered_without_any_id(chart_figures: Figures) -> None:
    """For OpenShift: rendered, not run."""
    ids = [each for key in IDS for each in found(everything(*NO_IDS), key)]
    chart_figures.take("fixed ids with the security contexts set to null", len(ids), "ids", exactly=0)
    assert ids == []
    assert {key for key in IDS if list(found(everything(), key))} == IDS
    hosts = servingconfig.parse(the("ConfigMap", "inferenceservice-config", *NO_IDS)["data"]).hosts
    assert (hosts.pod_security_context, hosts.server_security_context, hosts.agent_security_context) == ({}, {}, {})
    for name in PROGRAMS:
        context = program(name, *NO_IDS)["securityContext"]
        assert context == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def test_one_id_that_is_null_leaves_the_others() -> None:
    context = program("manyserve-operator", "podSecurityContext.runAsUser=null")["securityContext"]
    assert IDS & context.keys() == {"runAsGroup", "fsGroup"}
    values = ("securityContext.readOnlyRootFilesystem=false", "securityContext.runAsGroup=7")
    (container,) = program("manyserve-operator", *values)["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is False
    assert container["securityContext"]["runAsGroup"] == 7
    assert container["securityContext"]["allowPrivilegeEscalation"] is False


@pytest.mark.parametrize("name", PROGRAMS)
def test_pods_prefer_different_zones_unless_the_values_have_constraints(name: str) -> None:
    (zone,) = program(name)["topologySpreadConstraints"]
    assert (zone["topologyKey"], zone["whenUnsatisfiable"]) == ("topology.kubernetes.io/zone", "ScheduleAnyway")
    labels = the("Deployment", name)["spec"]["template"]["metadata"]["labels"]
    assert zone["labelSelector"]["matchLabels"].items() <= labels.items()
    key = f"{name.removeprefix('manyserve-')}.topologySpreadConstraints[0]"
    own = (f"{key}.maxSkew=2", f"{key}.topologyKey=rack", f"{key}.whenUnsatisfiable=DoNotSchedule")
    (rack,) = program(name, *own)["topologySpreadConstraints"]
    assert (rack["maxSkew"], rack["labelSelector"]) == (2, zone["labelSelector"])


def test_webhook_in_the_network_of_its_node_has_ports_dns_and_a_strategy_that_ends() -> None:
    values = (
        "webhook.hostNetwork=true",
        "webhook.port=10443",
        "webhook.metricsPort=10090",
        "networkPolicy.enabled=true",
    )
    pod = program("manyserve-webhook", *values)
    assert (pod["hostNetwork"], pod["dnsPolicy"]) == (True, "ClusterFirstWithHostNet")
    settings = WebhookSettings.from_env(environment(pod))
    ports = {each["name"]: each["containerPort"] for each in pod["containers"][0]["ports"]}
    assert ports == {"https": 10443, "metrics": 10090} == {"https": settings.port, "metrics": settings.metrics_port}
    strategy = the("Deployment", "manyserve-webhook", *values)["spec"]["strategy"]
    assert strategy == {"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}
    policies = [each["metadata"]["name"] for each in objects(*values) if each["kind"] == "NetworkPolicy"]
    assert policies == ["manyserve-operator"]
    assert not {"hostNetwork", "dnsPolicy"} & program("manyserve-webhook").keys()
    assert program("manyserve-webhook", "webhook.dnsPolicy=Default")["dnsPolicy"] == "Default"


def test_deployments_have_the_strategy_and_the_history_of_the_values() -> None:
    for name in PROGRAMS:
        spec = the("Deployment", name)["spec"]
        assert spec["strategy"] == {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
        assert spec["revisionHistoryLimit"] == 10
    spec = the("Deployment", "manyserve-operator", "operator.strategy.type=Recreate", *MIRROR)["spec"]
    assert (spec["strategy"], spec["revisionHistoryLimit"]) == ({"type": "Recreate"}, 0)


def test_extra_objects_are_rendered_with_their_templates() -> None:
    values = (
        "extraObjects[0].apiVersion=v1",
        "extraObjects[0].kind=ConfigMap",
        "extraObjects[0].metadata.name=more-{{ .Release.Name }}",
        "extraObjects[1].apiVersion=v1",
        "extraObjects[1].kind=Secret",
        "extraObjects[1].metadata.name=other",
    )
    assert the("ConfigMap", "more-manyserve", *values)
    assert the("Secret", "other", *values)
    assert len(objects(*values)) == len(objects()) + 2
