"""Scope of the chart: Roles in place of the ClusterRole, the webhook's selector, the programs' settings."""

from __future__ import annotations

import subprocess

import pytest
from webhooks.render import CHART, helm

from manyserve.api.scope import EVERYWHERE, LabelSelector, Scope
from manyserve.operator.settings import OperatorSettings
from manyserve.webhook.settings import WebhookSettings
from tests.chart.rendering import VARIANTS, Manifest, environment, objects, pods, the

LIST = ("scope.namespaces={team-a,team-b}",)
SELECTOR = (
    "scope.namespaceSelector.matchLabels.serve=yes",
    "scope.namespaceSelector.matchExpressions[0].key=system",
    "scope.namespaceSelector.matchExpressions[0].operator=DoesNotExist",
)
READS_NAMESPACES = {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list", "watch"]}
REGISTRATION = ["validatingwebhookconfigurations"]


def names(kind: str, *values: str) -> set[str]:
    return {each["metadata"]["name"] for each in objects(*values) if each["kind"] == kind}


def scoped(kind: str, name: str, *values: str) -> dict[str, Manifest]:
    """Return the objects of a name by their namespace."""
    named = [each for each in objects(*values) if each["kind"] == kind and each["metadata"]["name"] == name]
    return {each["metadata"]["namespace"]: each for each in named}


@pytest.mark.parametrize("program", ["operator", "webhook"])
def test_scope_list_replaces_the_cluster_role_by_roles_with_its_rules(program: str) -> None:
    name = f"manyserve-{program}"
    rules = [rule for rule in the("ClusterRole", name)["rules"] if rule["resources"] != REGISTRATION]
    roles = scoped("Role", f"{name}-scope", *LIST)
    assert {where: role["rules"] for where, role in roles.items()} == {"team-a": rules, "team-b": rules}
    bindings = scoped("RoleBinding", f"{name}-scope", *LIST)
    assert bindings.keys() == roles.keys()
    for binding in bindings.values():
        assert binding["roleRef"]["name"] == f"{name}-scope"
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": name, "namespace": "manyserve-system"}]


def test_scope_list_leaves_only_the_cluster_roles_for_people_and_for_the_registration() -> None:
    people = {"manyserve-edit", "manyserve-view"}
    assert names("ClusterRole", *LIST) == {*people, "manyserve-webhook"}
    assert names("ClusterRoleBinding", *LIST) == {"manyserve-webhook"}
    (rule,) = the("ClusterRole", "manyserve-webhook", *LIST)["rules"]
    assert (rule["resources"], rule["resourceNames"]) == (REGISTRATION, ["manyserve-webhook"])
    mounted = (*LIST, *VARIANTS[2])
    assert names("ClusterRole", *mounted) == people
    assert names("ClusterRoleBinding", *mounted) == set()


def test_scope_list_grants_the_configuration_in_the_namespace_of_the_release() -> None:
    rules = the("Role", "manyserve-operator", *LIST)["rules"]
    others = [rule for rule in rules if rule["resources"] != ["leases"]]
    assert others == [
        {
            "apiGroups": [""],
            "resources": ["configmaps"],
            "resourceNames": ["inferenceservice-config"],
            "verbs": ["list", "watch"],
        },
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
    ]


@pytest.mark.parametrize("name", ["manyserve-operator", "manyserve-webhook"])
def test_scope_selector_adds_only_the_right_to_read_namespaces(name: str) -> None:
    rules = the("ClusterRole", name)["rules"]
    with_selector = the("ClusterRole", name, *SELECTOR)["rules"]
    assert [rule for rule in with_selector if rule not in rules] == [READS_NAMESPACES]
    assert [rule for rule in rules if rule not in with_selector] == []
    assert not [each for each in names("Role", *SELECTOR) if each.endswith("-scope")]


BY_NAME = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["team-a", "team-b"]}
BY_LABEL = {"key": "serve", "operator": "In", "values": ["yes"]}
NO_SYSTEM = {"key": "system", "operator": "DoesNotExist"}
LABELS = {"matchLabels": {"serve": "yes"}, "matchExpressions": [NO_SYSTEM]}
OWN = {"key": "serve", "operator": "In", "values": ["no"]}


@pytest.mark.parametrize(
    ("values", "expressions"),
    [
        ((), None),
        (LIST, [BY_NAME]),
        (SELECTOR, [BY_LABEL, NO_SYSTEM]),
        (("webhook.namespaceSelector.matchLabels.serve=no",), [OWN]),
        ((*LIST, "webhook.namespaceSelector.matchLabels.serve=no"), [BY_NAME, OWN]),
        ((*SELECTOR, "webhook.namespaceSelector.matchLabels.serve=no"), [BY_LABEL, NO_SYSTEM, OWN]),
    ],
)
def test_webhook_namespace_selector_combines_the_scope_and_its_own_selector(
    values: tuple[str, ...], expressions: list[Manifest] | None
) -> None:
    (hook,) = the("ValidatingWebhookConfiguration", "manyserve-webhook", *values)["webhooks"]
    assert hook.get("namespaceSelector") == ({"matchExpressions": expressions} if expressions else None)


@pytest.mark.parametrize(
    ("values", "scope"),
    [
        ((), EVERYWHERE),
        (LIST, Scope(("team-a", "team-b"))),
        (SELECTOR, Scope(selector=LabelSelector.model_validate(LABELS))),
    ],
)
def test_scope_reaches_both_programs(values: tuple[str, ...], scope: Scope) -> None:
    environments = {name: environment(pod) for name, pod in pods(*values)}
    assert OperatorSettings.from_env(environments["manyserve-operator"]).scope == scope
    assert WebhookSettings.from_env(environments["manyserve-webhook"]).scope == scope


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ((*LIST, *SELECTOR), "set scope.namespaces or scope.namespaceSelector, not both"),
        (("scope.namespaces={Team}",), "scope.namespaces.0"),
        (("scope.namespaceSelector.labels.a=b",), "labels is not allowed"),
        (("webhook.namespaceSelector.labels.a=b",), "labels is not allowed"),
    ],
)
def test_scope_schema_refuses_an_invalid_scope(values: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        helm("template", str(CHART), *(part for value in values for part in ("--set", value)))
    assert sentence in caught.value.stderr
