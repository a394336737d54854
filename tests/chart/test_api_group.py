"""API group of a release: the chart uses it in all objects, and one cluster can have a release of each group."""

from __future__ import annotations

import re

import pytest
import yaml
from webhooks.render import CHART, SAMPLES, helm

from manyserve.api_group import GROUPS, KSERVE, OWN, from_env
from manyserve.webhook.settings import WebhookSettings
from tests.chart.rendering import Manifest, environment, objects, pods, the

CLUSTER_SCOPED = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "ValidatingWebhookConfiguration"}
EVERYTHING = ("networkPolicy.enabled=true", "gateway.enabled=true")


def release(group: str, namespace: str) -> dict[tuple[str, str, str], Manifest]:
    """Return the objects of a release named `manyserve` by kind, namespace and name."""
    values = [part for value in (f"api.group={group}", *EVERYTHING) for part in ("--set", value)]
    text = helm("template", "manyserve", str(CHART), "--namespace", namespace, *values)
    manifests = [each for each in yaml.safe_load_all(text) if each]
    return {(each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]): each for each in manifests}


def test_api_group_defaults_to_kserves() -> None:
    assert objects(f"api.group={KSERVE}") == objects()


def test_api_group_schema_refuses_an_unknown_group_and_names_the_known_ones() -> None:
    with pytest.raises(Exception, match="returned non-zero") as refused:
        helm("template", "manyserve", str(CHART), "--set", "api.group=kserve.io")
    error = str(getattr(refused.value, "stderr", ""))
    assert 'api.group must be one of the following: "serving.kserve.io", "serving.manyserve.io"' in error


def test_api_group_releases_of_one_name_share_no_object() -> None:
    releases = [release(KSERVE, "a"), release(OWN, "b")]
    assert len(releases[0]) == len(releases[1])
    assert set(releases[0]) & set(releases[1]) == set()


@pytest.mark.parametrize("group", GROUPS)
def test_api_group_release_has_a_namespace_for_each_namespaced_object(group: str) -> None:
    assert {kind for kind, namespace, _ in release(group, "a") if not namespace} == CLUSTER_SCOPED


def test_own_group_release_never_names_kserves_group() -> None:
    for key, manifest in release(OWN, "b").items():
        if manifest["kind"] != "ConfigMap":
            assert KSERVE not in str(manifest), key


def test_api_group_releases_differ_only_in_the_group() -> None:
    def neutral(objects: dict[tuple[str, str, str], Manifest], group: str) -> list[str]:
        text = yaml.safe_dump_all(objects.values())
        text = text.replace(f".{OWN}", "") if group == OWN else text.replace(f".{KSERVE}", "")
        text = text.replace("- misvc", "- isvc").replace("- mtm", "- tm")
        return text.replace(group, "GROUP").splitlines()

    assert neutral(release(OWN, "a"), OWN) == neutral(release(KSERVE, "a"), KSERVE)


@pytest.mark.parametrize("group", GROUPS)
def test_api_group_reaches_the_programs_and_the_webhook_registration(group: str) -> None:
    environments = {name: environment(pod) for name, pod in pods(f"api.group={group}")}
    assert {name: from_env(env) for name, env in environments.items()} == dict.fromkeys(environments, group)
    settings = WebhookSettings.from_env(environments["manyserve-webhook"])
    registration = the("ValidatingWebhookConfiguration", settings.configuration, f"api.group={group}")
    (hook,) = registration["webhooks"]
    assert hook["name"] == f"validate.{group}"
    assert {word for rule in hook["rules"] for word in rule["apiGroups"]} == {group}


@pytest.mark.parametrize("group", GROUPS)
def test_role_bindings_name_existing_roles(group: str) -> None:
    objects = release(group, "a")
    for (kind, namespace, _), binding in objects.items():
        if kind in ("ClusterRoleBinding", "RoleBinding"):
            where = namespace if binding["roleRef"]["kind"] == "Role" else ""
            assert (binding["roleRef"]["kind"], where, binding["roleRef"]["name"]) in objects


@pytest.mark.parametrize("group", GROUPS)
def test_network_policy_selects_the_agents_of_the_groups_hosts(group: str) -> None:
    policy = the("NetworkPolicy", "manyserve-operator", f"api.group={group}", *EVERYTHING)
    keys = re.findall(r"[\w.]+/inferenceservice", str(policy))
    assert keys == [f"{group}/inferenceservice"]


def test_upgrade_with_values_without_a_group_keeps_kserves_group() -> None:
    text = helm("template", "manyserve", str(CHART), "--set", "api=null")
    assert "name: trainedmodels.serving.kserve.io" in text
    assert OWN not in text


def test_samples_with_the_group_exist_for_our_own_group() -> None:
    named = {path.name for path in SAMPLES.glob("*.yaml") if KSERVE in path.read_text()}
    own = {path.name: path.read_text() for path in (SAMPLES / OWN).iterdir()}
    assert set(own) == named
    assert [name for name, text in own.items() if KSERVE in text] == []
