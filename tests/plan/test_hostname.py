"""Host names outside the cluster: a host waits when its name is no DNS name, or when an older host has the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from manyserve.api import conditions
from manyserve.api.inferenceservice import InferenceService
from manyserve.plan.actions import Plan
from manyserve.plan.hostname import dns_error
from manyserve.plan.observed import Child, Observed
from manyserve.plan.plan import plan
from tests.plan.test_plan import KEY, seen
from tests.support import make, world

JOINED = "{{ .Name }}-{{ .Namespace }}.{{ .IngressDomain }}"
INGRESS = Child("Ingress", KEY.name)
INSIDE = "answers inside the cluster only: "
LONG = f"{KEY.name}-{'n' * 50}-{KEY.namespace}"


def configured(**ingress: Any) -> Observed:
    return seen(make.model(), config=make.config(ingress=ingress))


def host_of(name: str, namespace: str, created: str) -> InferenceService:
    manifest = make.host_object(name)
    manifest["metadata"] |= {"namespace": namespace, "creationTimestamp": created, "uid": f"uid-{namespace}"}
    return InferenceService.from_wire(manifest)


def ready(observed: Observed, kind: str = conditions.READY) -> tuple[str, str | None, str | None]:
    assert observed.host
    condition = conditions.find(observed.host.status.conditions, kind)
    assert condition
    return condition.status, condition.reason, condition.message


def urls(observed: Observed) -> set[str | None]:
    assert observed.host
    assert observed.host.status.components
    assert observed.host.status.components.predictor
    models = {model.status.url for model in observed.models}
    return {observed.host.status.url, observed.host.status.components.predictor.url, *models}


def kinds(todo: Plan) -> set[str]:
    return {each.manifest["kind"] for each in todo.applies}


def test_host_with_joined_name_and_namespace_is_ready() -> None:
    settled = world.settle(configured(domainTemplate=JOINED))
    assert ready(settled)[0] == "True"
    assert settled.host
    assert settled.host.status.url == "http://triton-mms-default.example.com"


@pytest.mark.parametrize("gateway", ["", "infra/public"])
def test_host_with_long_label_waits_without_url_and_route(gateway: str) -> None:
    template = JOINED.replace("-", f"-{'n' * 50}-", 1)
    settled = world.settle(configured(domainTemplate=template, gateway=gateway or None))
    message = (
        f"the host name {LONG}.example.com is no DNS name: its label {LONG} has 69 characters, and 63 are allowed; "
        "shorten the name of the host or of its namespace, or change domainTemplate in inferenceservice-config"
    )
    assert ready(settled, conditions.INGRESS_READY) == ("False", "InvalidHostName", message)
    assert ready(settled) == ("False", "InvalidHostName", f"{INSIDE}{message}")
    assert ready(settled, conditions.PREDICTOR_READY)[0] == "True"
    assert urls(settled) == {None}
    assert {child.kind for child in settled.children} == {"Deployment", "Service", "ConfigMap"}
    assert plan(settled, make.NOW).empty


def test_host_that_gets_an_invalid_host_name_loses_its_ingress() -> None:
    settled = world.settle(configured())
    broken = replace(settled, config=make.config(ingress={"domainTemplate": "{{ .Name }}_x.{{ .IngressDomain }}"}))
    assert [each.child for each in plan(broken, make.NOW).deletes] == [INGRESS]
    assert ready(world.settle(broken))[1] == "InvalidHostName"
    assert ready(world.settle(replace(world.settle(broken), config=settled.config)))[0] == "True"


def test_host_name_is_not_judged_without_ingresses() -> None:
    template = {"domainTemplate": "{{ .Name }}_x.{{ .IngressDomain }}", "disableIngressCreation": True}
    other = host_of("triton", "mms-default", "2025-01-01T00:00:00Z")
    assert ready(world.settle(replace(configured(**template), same_hostname=(other,))))[0] == "True"


@pytest.mark.parametrize(
    ("created", "is_ready"), [("2025-01-01T00:00:00Z", False), ("2026-01-01T00:00:00Z", False), ("2027", True)]
)
def test_oldest_host_keeps_a_host_name(created: str, is_ready: bool) -> None:
    host = host_of("triton-mms", "default", "2026-01-01T00:00:00Z")
    others = (host_of("triton", "aaa", created), host_of("triton", "zzz", "2028-01-01T00:00:00Z"))
    settled = world.settle(replace(configured(domainTemplate=JOINED), host=host, same_hostname=others))
    message = (
        "the host name triton-mms-default.example.com belongs to the older InferenceService aaa/triton; "
        "rename this one, or change domainTemplate in inferenceservice-config"
    )
    waits = ("False", "HostNameTaken", f"{INSIDE}{message}")
    assert ready(settled) == (("True", None, None) if is_ready else waits)
    assert urls(settled) & {None} == (set() if is_ready else {None})
    assert (INGRESS in settled.children) is is_ready
    assert kinds(plan(replace(settled, same_hostname=()), make.NOW)) == (set() if is_ready else {"Ingress"})


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("a.b-c.example.com", None),
        (f"{'a' * 63}.example", None),
        (".".join(["a" * 62] * 4), None),
        (f"{'a' * 64}.example", f"its label {'a' * 64} has 64 characters, and 63 are allowed"),
        (".".join(["a" * 63] * 4), "it has 255 characters, and 253 are allowed"),
        ("A.example", "a label has letters a to z, digits, and - between them, and not A"),
        ("-a.example", "a label has letters a to z, digits, and - between them, and not -a"),
        ("a..example", "a label has letters a to z, digits, and - between them, and one is empty"),
        ("", "a label has letters a to z, digits, and - between them, and one is empty"),
    ],
)
def test_dns_error_names_the_label(name: str, error: str | None) -> None:
    assert dns_error(name) == error
