"""Snapshots of a host with a ServiceAccount, and parts of its pod."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from manyserve.api import conditions
from manyserve.api.names import Key
from manyserve.plan.observed import Account, Child, Manifest, Observed
from manyserve.plan.plan import plan
from tests.support import make, world

KEY = Key("default", "triton-mms")
ACCOUNT = Account(
    "default", ("s3-keys", "gcs.key", "default-token-x7k2p", "default-dockercfg-abc12", "pull"), ("pull",)
)
DEPLOYMENT = Child("Deployment", "triton-mms-predictor-default")


def seen(*uris: str, **fields: Any) -> Observed:
    models = tuple(make.model(f"m{index}", uri=uri) for index, uri in enumerate(uris))
    start = Observed(key=KEY, config=make.config(), host=make.host(memory="8Gi"), models=models, pods=(make.pod(),))
    return replace(start, **fields)


def pod_spec(observed: Observed) -> Manifest:
    (found,) = (each.manifest for each in plan(observed, make.NOW).applies if each.manifest["kind"] == "Deployment")
    return dict(found["spec"]["template"]["spec"])


def folders(spec: Manifest, container: str = "agent") -> dict[str, Manifest]:
    """Return the volumes of a container by mount path, without their names."""
    (found,) = (each for each in spec["containers"] if each["name"] == container)
    volumes = {each["name"]: {key: value for key, value in each.items() if key != "name"} for each in spec["volumes"]}
    return {each["mountPath"]: volumes[each["name"]] for each in found["volumeMounts"]}


def env(spec: Manifest) -> dict[str, str]:
    (found,) = (each for each in spec["containers"] if each["name"] == "agent")
    return {each["name"]: each.get("value", "") for each in found["env"]}


def credentials_message(settled: Observed) -> str | None:
    """Return the message of a ready host about its credentials."""
    assert settled.host
    found = conditions.find(settled.host.status.conditions, conditions.PREDICTOR_READY)
    assert found
    assert (found.status, found.reason) == ("True", "CredentialsNotUsable")
    ready = conditions.find(settled.host.status.conditions, conditions.READY)
    assert ready
    assert (ready.status, ready.message) == ("True", found.message), "kubectl get isvc -o wide shows it as REASON"
    return found.message


def ready_of(observed: Observed) -> conditions.Condition:
    model = world.carry_out(observed, plan(observed, make.NOW)).models[0]
    found = conditions.find(model.status.conditions, conditions.READY)
    assert found
    return found


def account_with(**notes: str) -> Account:
    return Account("mine", annotations={f"serving.kserve.io/s3-{name}": value for name, value in notes.items()})
