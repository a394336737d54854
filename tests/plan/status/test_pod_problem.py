"""Problems of pods: scheduling, waiting and ended containers, sidecars, init containers, evictions."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.plan.status.pod_problem import pod_problem
from manyserve.redaction import LIMIT
from tests.support import make

Manifest = dict[str, Any]
STARTING = {"waiting": {"reason": "PodInitializing"}}
BACK_OFF = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s restarting failed container"}}


def container(name: str = "kserve-container", **fields: Any) -> Manifest:
    return {"name": name, "ready": False, "started": False, "restartCount": 0} | fields


def ended(code: int, **fields: Any) -> Manifest:
    return {"terminated": {"exitCode": code, "reason": "Error"} | fields}


def pod(*containers: Manifest, init: tuple[Manifest, ...] = (), name: str = "pod-1", **status: Any) -> Manifest:
    made = make.pod(name, ready=False)
    made["status"] |= {"containerStatuses": list(containers), "initContainerStatuses": list(init)} | status
    return made


def problem(*pods: Manifest) -> tuple[str, str]:
    found = pod_problem(pods)
    assert found is not None
    return found


def test_waiting_container_is_reported_with_kubernetes_own_message() -> None:
    state = {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "example/server:24.99"'}}
    assert problem(pod(container(state=state))) == (
        "ImagePullBackOff",
        'pod pod-1: container kserve-container is waiting: Back-off pulling image "example/server:24.99"',
    )


def test_container_that_restarts_is_reported_with_the_last_line_of_its_log() -> None:
    log = "Traceback (most recent call last):\n  File x\nValueError: no model repository\n\n"
    crashed = container(state=BACK_OFF, lastState=ended(1, message=log), restartCount=3)
    assert problem(pod(crashed)) == (
        "CrashLoopBackOff",
        "pod pod-1: container kserve-container is waiting: back-off 20s restarting failed container; "
        "it ended with exit code 1: ValueError: no model repository",
    )


def test_container_that_has_just_ended_is_reported() -> None:
    reason, sentence = problem(pod(container(state=ended(127, reason="StartError", message="exec: not found"))))
    assert reason == "StartError"
    assert sentence == "pod pod-1: container kserve-container ended with exit code 127 (StartError): exec: not found"


def test_container_killed_for_its_memory_is_reported_while_it_starts_again() -> None:
    again = container(state={"running": {}}, lastState=ended(137, reason="OOMKilled"), restartCount=1)
    assert problem(pod(again)) == (
        "OOMKilled",
        "pod pod-1: container kserve-container was OOMKilled, since it needed more memory than its limit "
        "(exit code 137, signal 9); it starts again",
    )


def test_signal_is_read_from_the_exit_code_or_from_its_own_field() -> None:
    assert problem(pod(container(state=ended(139))))[1].endswith("ended with exit code 139, signal 11")
    assert problem(pod(container(state=ended(0, signal=15))))[1].endswith("ended with exit code 0, signal 15")


def test_server_that_ends_without_an_error_is_reported() -> None:
    reason, sentence = problem(pod(container(state=ended(0, reason="Completed"))))
    assert (reason, sentence) == ("Completed", "pod pod-1: container kserve-container ended with exit code 0")


def test_init_container_and_injected_sidecar_are_reported_by_name() -> None:
    init = container("istio-init", state=BACK_OFF, lastState=ended(1, message="iptables: permission denied"))
    sidecar = container("istio-proxy", state=ended(255, message="no certificate"))
    reason, sentence = problem(pod(sidecar, container(state=STARTING), init=(init,)))
    assert reason == "CrashLoopBackOff"
    assert "container istio-init is waiting: back-off 20s" in sentence
    assert "it ended with exit code 1: iptables: permission denied; container istio-proxy ended" in sentence
    assert sentence.endswith("container istio-proxy ended with exit code 255: no certificate")


@pytest.mark.parametrize(
    "healthy",
    [
        pod(container(state={"running": {}}, ready=True, lastState=ended(1))),
        pod(container(state={"running": {}}, started=True, lastState=ended(1))),
        pod(container(state={"running": {}})),
        pod(container(state={"waiting": {"reason": "ContainerCreating"}})),
        pod(container(state=STARTING), init=(container("init", state=ended(0, reason="Completed")),)),
        pod(),
    ],
    ids=["ready", "started", "starting", "creating", "init-completed", "no-status"],
)
def test_container_without_a_problem_now_is_not_reported(healthy: Manifest) -> None:
    assert pod_problem([healthy]) is None


def test_termination_message_is_one_short_line_without_secrets() -> None:
    message = f"first line\nGET https://user:word@host/x?token=abc failed\x00 {'y' * 5000}"
    sentence = problem(pod(container(state=ended(1, message=message))))[1]
    assert "GET https://host/x failed?" in sentence
    assert sentence.isprintable()
    assert len(sentence) < LIMIT + 100
    for hidden in ("word", "token", "first line"):
        assert hidden not in sentence


def test_pod_without_a_node_is_reported_with_the_schedulers_message() -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes fit"}
    pending = make.pod(ready=False)
    pending["status"] = {"phase": "Pending", "conditions": [condition]}
    assert problem(pending) == ("Unschedulable", "pod pod-1: 0/1 nodes fit")


def test_evicted_pod_is_reported_while_no_other_pod_has_a_problem() -> None:
    evicted = pod(container(state=ended(137)), phase="Failed", reason="Evicted", message="Usage of EmptyDir is 3Gi")
    assert problem(evicted) == ("Evicted", "pod pod-1: Usage of EmptyDir is 3Gi")
    newer = pod(container(state=BACK_OFF), name="pod-2")
    assert problem(evicted, newer)[0] == "CrashLoopBackOff"
    assert problem(evicted, pod(name="pod-2"))[0] == "Evicted"


def test_pod_in_deletion_is_not_reported() -> None:
    leaving = pod(container(state=ended(143)))
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert pod_problem([leaving]) is None


def test_ready_pod_is_not_reported() -> None:
    ready = make.pod()
    ready["status"]["conditions"].append({"type": "PodScheduled", "status": "False", "reason": "Unschedulable"})
    assert pod_problem([ready]) is None


@pytest.mark.parametrize(
    ("code", "clause"), [(255, "exit code 255"), (192, "exit code 192, signal 64"), (128, "exit code 128")]
)
def test_exit_code_above_all_signals_is_no_signal(code: int, clause: str) -> None:
    _, sentence = problem(pod(container(state=ended(code))))
    assert sentence == f"pod pod-1: container kserve-container ended with {clause}"
