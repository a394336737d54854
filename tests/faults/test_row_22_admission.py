"""Row 22: limits of a namespace's administrator: a quota, a LimitRange, Pod Security *restricted*.

The plugins are the API server's own, and the pods are made by the real controllers.
"""

from __future__ import annotations

import time

from tests.faults.env import HOST, FaultEnv
from tests.support import make
from tests.support.eventually import eventually_in_thread
from tests.support.figures import Figures
from tests.support.kubectl import Manifest, condition


async def test_fault_22_quota_message_is_in_condition_and_its_end_is_noticed(env: FaultEnv, figures: Figures) -> None:
    await _has_quota(env, services=0, pods=0)
    await env.apply(make.host_object(), make.model_object("one"))
    await eventually_in_thread(
        lambda: _says(env, "ApplyFailed", "exceeded quota: few", "services=1"), "the Service is refused", 60
    )
    await _has_quota(env, services=1, pods=0)
    began = time.monotonic()
    await eventually_in_thread(
        lambda: _says(env, "FailedCreate", "exceeded quota: few", "pods=1"), "its pods are refused", 60
    )
    figures.take("22 a quota lets a child in: seconds until it is made", time.monotonic() - began, "s")
    await eventually_in_thread(lambda: _waits(env, "one"), "its model is told that it waits for the host")
    await _has_quota(env, services=1, pods=1)
    figures.take("22 a quota lets pods in: seconds until all is right", await env.right(), "s")
    await env.judge()


async def test_fault_22_pods_pass_pod_security_restricted_unless_limit_range_forbids_them(
    env: FaultEnv, figures: Figures
) -> None:
    await env.do("label", "namespace", env.kubectl.namespace, "pod-security.kubernetes.io/enforce=restricted")
    await env.apply(_limit_range(max={"memory": "1Gi"}))
    await env.apply(make.host_object(memory="2Gi"), make.model_object("one"))
    await eventually_in_thread(
        lambda: _says(env, "FailedCreate", "maximum memory usage per Container is 1Gi"), "why no pod is made"
    )
    adjusting = {"memory": "100Mi", "cpu": "10m"}
    await env.apply(_limit_range(max={"memory": "2Gi"}, default=adjusting, defaultRequest=adjusting))
    figures.take("22 a LimitRange lets pods in: seconds until all is right", await env.right(), "s")
    assert _pods_are_made(env), "Pod Security lets them in"
    await env.judge()


async def _has_quota(env: FaultEnv, **hard: int) -> None:
    """Create a quota, and wait until it is in force."""
    wanted = {name: str(count) for name, count in hard.items()}
    await env.apply(
        {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": wanted}}
    )
    await eventually_in_thread(
        lambda: env.kubectl.get("quota", "few").get("status", {}).get("hard") == wanted, "it is in force"
    )


def _limit_range(**limits: dict[str, str]) -> Manifest:
    spec = {"limits": [{"type": "Container"} | limits]}
    return {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "limits"}, "spec": spec}


def _says(env: FaultEnv, reason: str, *words: str) -> bool:
    ready = condition(env.kubectl.get("isvc", HOST))
    return ready.get("reason") == reason and all(each in ready["message"] for each in words)


def _waits(env: FaultEnv, model: str) -> bool:
    return condition(env.kubectl.get("tm", model)).get("reason") == "InferenceServiceNotReady"


def _pods_are_made(env: FaultEnv) -> bool:
    return bool(env.kubectl.list("pods"))
