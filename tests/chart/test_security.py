"""Rights and pods of the chart: least privilege without wildcards, and Pod Security *restricted*."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from manyserve.cluster import kinds
from manyserve.operator.settings import OperatorSettings
from tests.chart.rendering import VARIANTS, Manifest, environment, objects, pods, the
from tests.faults.rights import VALUES
from tests.support.figures import Figures

WRITES = {"create", "update", "patch", "delete", "deletecollection"}


def rules(*values: str) -> Iterator[tuple[str, Manifest]]:
    for manifest in objects(*values):
        if manifest["kind"] in ("Role", "ClusterRole"):
            yield from ((manifest["metadata"]["name"], rule) for rule in manifest["rules"])


def rights(name: str, *values: str) -> dict[str, set[str]]:
    """Return the verbs by resource that this role and its namesake grant."""
    verbs: dict[str, set[str]] = {}
    for role, rule in rules(*values):
        for resource in rule["resources"] if role == name else ():
            verbs.setdefault(resource, set()).update(rule["verbs"])
    return verbs


@pytest.mark.parametrize("values", VARIANTS)
def test_roles_have_no_wildcard(tenants: Figures, values: tuple[str, ...]) -> None:
    wide: list[str] = []
    for role, rule in rules(*values):
        words = [*rule["apiGroups"], *rule["resources"], *rule["verbs"], *rule.get("resourceNames", ())]
        if any("*" in word for word in words) or {"escalate", "bind", "impersonate"} & set(rule["verbs"]):
            wide.append(role)
    tenants.take("roles with a wildcard or a right to more rights", len(wide), "roles", exactly=0)
    assert not wide


@pytest.mark.parametrize("values", VARIANTS)
def test_operator_role_has_no_right_to_secrets(values: tuple[str, ...]) -> None:
    of_operator = [rule for role, rule in rules(*values) if "-operator" in role]
    assert of_operator
    assert not any("secrets" in rule["resources"] for rule in of_operator)


def test_operator_role_has_get_on_secrets_only_to_read_annotations() -> None:
    assert rights("manyserve-operator", "config.credentials.readSecretAnnotations=true")["secrets"] == {"get"}


def test_operator_role_reads_accounts_and_gets_claims_by_name() -> None:
    verbs = rights("manyserve-operator")
    assert verbs["serviceaccounts"] == {"list", "watch"}
    assert verbs["persistentvolumeclaims"] == {"get"}


def test_operator_role_lists_and_watches_only_the_kinds_of_its_informers() -> None:
    watched = {kind.plural for kind in (kinds.INFERENCE_SERVICE, kinds.TRAINED_MODEL, kinds.POD, kinds.REPLICA_SET)}
    watched |= {kind.plural for kind in (*kinds.CHILDREN, kinds.SERVICE_ACCOUNT)}
    granted = rights("manyserve-operator", *VALUES)
    assert {name for name, verbs in granted.items() if {"list", "watch"} & verbs} == watched
    assert all({"list", "watch"} <= granted[each] for each in watched)
    children = {kind.plural for kind in kinds.CHILDREN}
    assert {name for name, verbs in granted.items() if "get" in verbs} == children | {
        "inferenceservices",
        "leases",
        "persistentvolumeclaims",
        "secrets",
    }


def test_operator_role_writes_only_the_objects_that_it_creates() -> None:
    verbs = {name: each & WRITES for name, each in rights("manyserve-operator").items()}
    permanent = {"create", "patch"}
    optional = permanent | {"delete"}
    assert verbs == {
        "inferenceservices": set(),
        "trainedmodels": {"patch", "delete"},
        "inferenceservices/status": {"patch"},
        "trainedmodels/status": {"patch"},
        "deployments": permanent,
        "services": permanent,
        "configmaps": permanent | {"update"},
        "horizontalpodautoscalers": optional,
        "poddisruptionbudgets": optional,
        "ingresses": optional,
        "httproutes": {"delete"},
        "pods": {"patch"},
        "events": {"create", "patch"},
        "leases": {"create", "update"},
        "serviceaccounts": set(),
        "replicasets": set(),
        "persistentvolumeclaims": set(),
    }
    assert rights("manyserve-operator", "gateway.enabled=true")["httproutes"] & WRITES == optional


@pytest.mark.parametrize("enabled", ["true", "false"])
@pytest.mark.parametrize("scope", [(), ("scope.namespaces={team-a}",)])
def test_operator_has_rights_on_network_policies_when_the_value_is_set(enabled: str, scope: tuple[str, ...]) -> None:
    values, role = (
        (f"config.hosts.networkPolicy.enabled={enabled}", *scope),
        f"manyserve-operator{'-scope' if scope else ''}",
    )
    assert rights(role, *values)["networkpolicies"] == {"get", "list", "watch"} | WRITES - {
        "update",
        "deletecollection",
    }
    assert operator_settings(*values).network_policies


def test_operator_has_no_rights_on_network_policies_by_default() -> None:
    assert not [rule for _, rule in rules() if "networkpolicies" in rule["resources"]]
    assert not operator_settings().network_policies


def operator_settings(*values: str) -> OperatorSettings:
    """Return the settings of the operator's pods."""
    ((_, pod),) = (each for each in pods(*values) if each[0] == "manyserve-operator")
    return OperatorSettings.from_env(environment(pod))


@pytest.mark.parametrize("values", [(), ("scope.namespaces={team-a}",)], ids=["cluster", "namespace"])
def test_operator_role_deletes_deployments_and_configmaps_only_for_heterogeneous_hosts(values: tuple[str, ...]) -> None:
    role = "manyserve-operator-scope" if values else "manyserve-operator"
    before, after = rights(role, *values), rights(role, *values, "config.router.enabled=true")
    more = {name: verbs - before[name] for name, verbs in after.items() if verbs != before[name]}
    assert more == {"deployments": {"delete"}, "configmaps": {"delete"}}


@pytest.mark.parametrize("name", ["manyserve", "other"])
def test_operator_role_updates_only_its_own_lease(name: str) -> None:
    values = (f"fullnameOverride={name}",)
    on_leases = [
        rule for role, rule in rules(*values) if role == f"{name}-operator" and rule["resources"] == ["leases"]
    ]
    assert [(rule.get("resourceNames"), rule["verbs"]) for rule in on_leases] == [
        ([f"{name}-operator"], ["get", "update"]),
        (None, ["create"]),
    ]
    ((_, pod),) = (each for each in pods(*values) if each[0] == f"{name}-operator")
    assert OperatorSettings.from_env(environment(pod)).lease == f"{name}-operator"
    assert the("Role", f"{name}-operator", *values)["metadata"]["namespace"] == "manyserve-system"


def test_webhook_role_writes_one_secret_and_one_registration_by_name() -> None:
    writing = [rule for name, rule in rules() if name == "manyserve-webhook" and WRITES & set(rule["verbs"])]
    assert [(rule["resources"], rule["resourceNames"], rule["verbs"]) for rule in writing] == [
        (["validatingwebhookconfigurations"], ["manyserve-webhook"], ["get", "patch"]),
        (["secrets"], ["manyserve-webhook-certificate"], ["get", "update"]),
    ]


@pytest.mark.parametrize("values", VARIANTS[1:3])
def test_webhook_role_writes_nothing_with_an_external_certificate(values: tuple[str, ...]) -> None:
    assert not any(WRITES & verbs for verbs in rights("manyserve-webhook", *values).values())
    assert set(rights("manyserve-webhook", *values)) == {"inferenceservices", "trainedmodels", "configmaps"}


def test_aggregated_roles_have_the_two_kinds_without_their_status() -> None:
    for name in ("manyserve-view", "manyserve-edit"):
        assert set(rights(name)) == {"inferenceservices", "trainedmodels"}
    assert not rights("manyserve-view")["trainedmodels"] & WRITES


@pytest.mark.parametrize("values", VARIANTS)
def test_pods_satisfy_pod_security_restricted(values: tuple[str, ...]) -> None:
    for name, pod in pods(*values):
        assert restriction_errors(pod) == [], name


def restriction_errors(pod: Manifest) -> list[str]:
    """Return the violations of the Pod Security Standard "restricted", and of our further requirements."""
    errors = [key for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)]
    volumes = {key for each in pod.get("volumes", ()) for key in each if key != "name"}
    errors += sorted(volumes - {"emptyDir", "secret", "configMap", "projected", "downwardAPI"})
    context = pod["securityContext"]
    for container in [*pod["containers"], *pod.get("initContainers", ())]:
        own = container["securityContext"]
        checks = {
            "escalation": own["allowPrivilegeEscalation"] is False,
            "capabilities": own["capabilities"] == {"drop": ["ALL"]},
            "non-root": own["runAsNonRoot"] is True and context["runAsUser"] == 65532,
            "seccomp": own["seccompProfile"]["type"] == "RuntimeDefault" == context["seccompProfile"]["type"],
            "read-only": own["readOnlyRootFilesystem"] is True,
            "privileged": not own.get("privileged"),
            "host ports": not any(port.get("hostPort") for port in container["ports"]),
            "memory limit": "memory" in container["resources"]["limits"],
            "probes": {"livenessProbe", "readinessProbe"} <= container.keys(),
        }
        errors += [f"{container['name']}: {check}" for check, holds in checks.items() if not holds]
    return errors


def test_restriction_errors_finds_a_loose_pod() -> None:
    ((_, pod), *_) = pods()
    (container,) = pod["containers"]
    loose = container | {"securityContext": container["securityContext"] | {"readOnlyRootFilesystem": False}}
    assert restriction_errors(pod | {"containers": [loose], "hostNetwork": True}) == [
        "hostNetwork",
        f"{container['name']}: read-only",
    ]


def test_network_policies_allow_traffic_from_and_to_the_api_server() -> None:
    values = VARIANTS[3]
    webhook = the("NetworkPolicy", "manyserve-webhook", *values)["spec"]
    assert [port["port"] for rule in webhook["ingress"] for port in rule["ports"]] == ["https"]
    operator = the("NetworkPolicy", "manyserve-operator", *values)["spec"]
    assert "ingress" not in operator
    assert {port["port"] for rule in operator["egress"] for port in rule["ports"]} == {443, 6443, 53, 9081, 9082}
