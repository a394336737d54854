"""Each field of the pod and of the container is honoured or refused as docs/compatibility.md says.

The tests walk through the tables of the page, for a server by its name, as `model`, and for a custom container.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from manyserve.api.inferenceservice import FormatFields, InferenceService, PredictorSpec
from manyserve.api.pod import ContainerFields, PodFields
from manyserve.api.unsupported import named
from manyserve.plan.children.pod_template import build_pod_template
from manyserve.plan.rules.ignored import ignored_fields
from manyserve.plan.rules.pod.fixed import FIXED
from manyserve.plan.rules.validation import host_problems
from tests.support import make

PAGE = (Path(__file__).parents[1] / "docs" / "compatibility.md").read_text()
TITLES = {"predictor": "`spec.predictor`:", "server": "The server (`triton`, `model` and so on) or container:"}
FORMS = ("named", "model", "custom")
NEEDED: dict[str, Any] = {
    "dnsConfig": {"dnsPolicy": "None"},
    "volumeDevices": {"volumes": [{"name": "block", "persistentVolumeClaim": {"claimName": "block"}}]},
    "volumeMounts": {"volumes": [{"name": "data", "emptyDir": {}}]},
}
"""The fields of the pod without which a field is refused."""
MOUNT = {"name": "data", "mountPath": "/data"}
PROBE = {"httpGet": {"path": "/ready", "port": 8080}}
POD: dict[str, Any] = {
    "affinity": {"nodeAffinity": {}},
    "dnsConfig": {"nameservers": ["192.0.2.1"]},
    "dnsPolicy": "Default",
    "hostAliases": [{"ip": "10.1.2.3", "hostnames": ["nexus.internal"]}],
    "hostname": "server",
    "imagePullSecrets": [{"name": "registry"}],
    "initContainers": [{"name": "warm", "image": "example/warm:1", "command": ["true"]}],
    "nodeSelector": {"gpu": "yes"},
    "priorityClassName": "high",
    "readinessGates": [{"conditionType": "example.com/ready"}],
    "runtimeClassName": "nvidia",
    "schedulerName": "volcano",
    "securityContext": {"fsGroup": 7},
    "serviceAccountName": "reader",
    "setHostnameAsFQDN": True,
    "subdomain": "servers",
    "terminationGracePeriodSeconds": 60,
    "tolerations": [{"key": "gpu"}],
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
    "volumes": [{"name": "data", "emptyDir": {}}],
}
"""A value of each field of the pod."""
CONTAINER: dict[str, Any] = {
    "args": ["--log-verbose=1"],
    "command": ["start"],
    "env": [{"name": "A", "value": "b"}],
    "envFrom": [{"configMapRef": {"name": "settings"}}],
    "image": "example/own:2",
    "imagePullPolicy": "Always",
    "lifecycle": {"preStop": {"exec": {"command": ["true"]}}},
    "livenessProbe": PROBE,
    "ports": [{"name": "http", "containerPort": 8000, "protocol": "TCP"}],
    "readinessProbe": PROBE,
    "resources": {"limits": {"cpu": "2"}},
    "securityContext": {"runAsUser": 7},
    "startupProbe": PROBE,
    "stdin": True,
    "stdinOnce": True,
    "tty": True,
    "volumeDevices": [{"name": "block", "devicePath": "/dev/block"}],
    "volumeMounts": [MOUNT],
    "workingDir": "/srv",
}
"""A value of each field of the container."""


def wire_names(kind: Any) -> set[str]:
    return {field.alias or name for name, field in kind.model_fields.items()}


def table(level: str) -> dict[str, str]:
    """Return the treatment of each field of one table of the page."""
    text = PAGE.split(f"\n{TITLES[level]}\n", 1)[1].strip().split("\n\n", 1)[0]
    rows = re.findall(r"^\| (`.*?) \| (.*) \|$", text, re.MULTILINE)
    pairs = [(name, treatment) for fields, treatment in rows for name in re.findall(r"`(\w+)`", fields)]
    assert len(dict(pairs)) == len(pairs), "a field has one row"
    return dict(pairs)


def host_with(form: str, level: str, field: str, value: Any, monkeypatch: pytest.MonkeyPatch) -> make.Manifest:
    """Return a host of a form, with a field of its pod or of its container."""
    monkeypatch.setattr(make, "FORM", "model" if form == "model" else "named")
    fields = {field: value} if level == "server" else {}
    own = {"image": "example/own:1", "env": [{"name": "MULTI_MODEL_SERVER", "value": "true"}]} | fields
    if field == "env":
        own["env"] = [{"name": "MULTI_MODEL_SERVER", "value": "true"}, *value]
    custom = form == "custom"
    host = make.host_object(triton=None, containers=[own]) if custom else make.host_object(triton=fields)
    host["spec"]["predictor"] |= {field: value} if level == "predictor" else {}
    return host


def has(whole: Any, part: Any) -> bool:
    """Return whether a value has all of another one; elements of a list may stand anywhere."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(has(whole.get(key), each) for key, each in part.items())
    if isinstance(part, list):
        return isinstance(whole, list) and all(any(has(other, each) for other in whole) for each in part)
    return bool(whole == part)


REFUSED_TEXTS = {"serviceAccount": "other", "restartPolicy": "other", "allocation": "Heterogeneous"}


def refusals() -> Iterator[Any]:
    for level, form in product(TITLES, FORMS):
        for field, treatment in table(level).items():
            if "refused: " in treatment:
                yield pytest.param(form, level, field, treatment, id=f"{form}-{level}.{field}")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("level", "field"), [*product(["predictor"], POD), *product(["server"], CONTAINER)])
def test_pod_template_has_honoured_field(form: str, level: str, field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value = (POD if level == "predictor" else CONTAINER)[field]
    raw = host_with(form, level, field, value, monkeypatch)
    extra = NEEDED.get(field, {})
    assert host_problems(raw | {"spec": {"predictor": raw["spec"]["predictor"] | extra}}) == []
    host = InferenceService.from_wire(raw)
    spec = build_pod_template(host, make.config())["spec"]
    assert has((spec if level == "predictor" else spec["containers"][0])[field], value)
    assert list(ignored_fields(host)) == []


@pytest.mark.parametrize(("form", "level", "field", "treatment"), list(refusals()))
def test_host_rules_refuse_field_with_the_sentence_of_the_page(
    form: str, level: str, field: str, treatment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    value: Any = REFUSED_TEXTS.get(field) or (True if field in FIXED else [{}])
    problems = host_problems(host_with(form, level, field, value, monkeypatch))
    (sentence,) = re.findall(r"refused: \*(.*)\*$", treatment)
    assert [each.message for each in problems if each.path.endswith(f".{field}") and sentence in each.message]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("field", FIXED)
def test_host_rules_accept_the_value_that_all_pods_have(form: str, field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = host_with(form, "predictor", field, FIXED[field].value, monkeypatch)
    assert host_problems(raw) == []
    plain = build_pod_template(InferenceService.from_wire(raw), make.config())
    del raw["spec"]["predictor"][field]
    assert build_pod_template(InferenceService.from_wire(raw), make.config()) == plain


def test_compatibility_page_has_a_row_for_each_field() -> None:
    assert {field for field, how in table("predictor").items() if how == "honoured"} >= set(POD)
    assert set(POD) == wire_names(PodFields)
    assert set(CONTAINER) == wire_names(ContainerFields)
    assert {field for field, how in table("server").items() if how == "honoured"} >= set(CONTAINER)
    assert set(table("predictor")) == wire_names(PredictorSpec) | set(named("predictor"))
    assert set(table("server")) == wire_names(FormatFields) | set(named("server"))
