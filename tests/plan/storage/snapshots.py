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
    manifests = (action.manifest for action in plan(observed, make.NOW).applies)
    (deployment,) = (manifest for manifest in manifests if manifest["kind"] == "Deployment")
    return dict(deployment["spec"]["template"]["spec"])


def folders(spec: Manifest, container: str = "agent") -> dict[str, Manifest]:
    """Return the volumes of a container by mount path, without their names."""
    (mounts,) = (each["volumeMounts"] for each in spec["containers"] if each["name"] == container)
    volumes = {each["name"]: {key: value for key, value in each.items() if key != "name"} for each in spec["volumes"]}
    return {each["mountPath"]: volumes[each["name"]] for each in mounts}


def env(spec: Manifest) -> dict[str, str]:
    (variables,) = (each["env"] for each in spec["containers"] if each["name"] == "agent")
    return {each["name"]: each.get("value", "") for each in variables}


def credentials_message(settled: Observed) -> str | None:
    """Return the message of a ready host about its credentials."""
    assert settled.host
    predictor = conditions.find(settled.host.status.conditions, conditions.PREDICTOR_READY)
    assert predictor
    assert (predictor.status, predictor.reason) == ("True", "CredentialsNotUsable")
    ready = conditions.find(settled.host.status.conditions, conditions.READY)
    assert ready
    assert (ready.status, ready.message) == ("True", predictor.message), "kubectl get isvc -o wide shows it as REASON"
    return predictor.message


def ready_of(observed: Observed) -> conditions.Condition:
    model = world.carry_out(observed, plan(observed, make.NOW)).models[0]
    ready = conditions.find(model.status.conditions, conditions.READY)
    assert ready
    return ready


def account_with(**settings: str) -> Account:
    """Return a ServiceAccount with annotations of KServe for S3."""
    return Account("mine", annotations={f"serving.kserve.io/s3-{name}": value for name, value in settings.items()})
