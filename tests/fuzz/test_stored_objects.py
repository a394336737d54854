"""No stored object, report or lookup makes a plan raise, in any form that users, agents and controllers write."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from manyserve.api import names
from manyserve.api.agentreport import AgentReport, ModelReport, read
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.inferenceservice_status import InferenceServiceStatus
from manyserve.api.names import Key
from manyserve.api.trainedmodel import TrainedModel, TrainedModelStatus
from manyserve.cluster.kinds import CLAIM
from manyserve.cluster.metadata_poller import LookupResult, ObjectRef
from manyserve.cluster.observe import observe, size
from manyserve.cluster.state import ClusterState
from manyserve.operator.rollout import hold_of
from manyserve.plan.placement import entry_of
from manyserve.plan.plan import plan
from tests.fuzz.profile import tried
from tests.fuzz.shapes import NUMBERS, STORED_JSON, TEXT, Shape, near
from tests.fuzz.snapshots import ANNOTATIONS, configs, pods
from tests.fuzz.tampering import config_data
from tests.support import make, replicas

HOST = Key("default", "triton-mms")
LONG = st.sampled_from(["9" * 4299, "x" * 2**16, "\x1b[31m", "\u202e", "\n", "\ud83d\ude00"])
HUGE = st.sampled_from([10**4298, -1, 2**63, 1e308])
NUMERIC = ("bytes", "bytesTotal", "attempt", "downloadSeconds", "loadSeconds")


def stored(kind: Any) -> Shape:
    """Draw what the API server may hold at a place of a type: JSON that CRDs without rules let in."""
    return st.one_of(near(kind), near(kind), STORED_JSON, LONG)


@st.composite
def bodies(draw: st.DrawFn, digest: str = "") -> bytes:
    """Draw responses of an agent: reports of any form, with numbers, texts and names of any size."""
    model = draw(near(ModelReport))
    if isinstance(model, dict):
        model = (
            model | {draw(st.sampled_from(NUMERIC)): draw(HUGE | NUMBERS)} | {"digest": digest, "message": draw(LONG)}
        )
    report = draw(near(AgentReport))
    known = {"instance": draw(TEXT | LONG), "revision": draw(st.integers(1, 9)), "serverReady": True}
    if isinstance(report, dict):
        unloaded = draw(st.dictionaries(TEXT | LONG, TEXT | LONG, max_size=3))
        report = report | known | {"models": {"cifar10": model, draw(TEXT): model}, "notUnloaded": unloaded}
    return json.dumps(report).encode()


@st.composite
def states(draw: st.DrawFn) -> ClusterState:
    """Draw a cluster state from stored objects: a host, its models, its ConfigMap, accounts, claims and pods."""
    state = ClusterState(lambda _key: None)
    state.config = draw(configs())
    host, spec = make.host_object(), draw(st.none() | stored(InferenceService.model_fields["spec"].annotation))
    state.update_host(None, host | ({"spec": spec} if spec is not None else {}) | _status(draw, InferenceServiceStatus))
    for number, name in enumerate(("cifar10", "other")):
        model = make.model_object(name, uri=draw(st.sampled_from(["gs://b/x", "pvc://claim/x", "pvc://" + "c" * 999])))
        spec = draw(st.none() | stored(TrainedModel.model_fields["spec"].annotation)) if number else None
        state.update_model(None, model | ({"spec": spec} if spec else {}) | _status(draw, TrainedModelStatus))
    replicas.add_chain(state)
    state.update_child(None, _config_map() | draw(config_data()))
    annotations = draw(st.dictionaries(TEXT.map("serving.kserve.io/s3-{}".format), TEXT | LONG, max_size=3))
    secrets = [{"name": each} for each in draw(st.lists(TEXT | LONG, max_size=3))]
    account = {"metadata": {"name": "default", "namespace": "default", "annotations": annotations}, "secrets": secrets}
    state.accounts.update(None, account)
    for pod in draw(st.lists(pods(), max_size=2, unique_by=lambda pod: pod["metadata"]["name"])):
        state.update_pod(None, pod)
    problem = draw(st.none() | TEXT | LONG)
    state.lookup_results[ObjectRef(CLAIM, Key("default", "claim"))] = LookupResult(problem=problem)
    return state


def _status(draw: st.DrawFn, kind: Any) -> dict[str, Any]:
    return {"status": draw(stored(kind))} if draw(st.booleans()) else {}


def _config_map() -> dict[str, Any]:
    owners = replicas.controlled_by("InferenceService", f"uid-{HOST.name}")
    own: dict[str, Any] = {"labels": names.labels(HOST.name), "annotations": {}, "ownerReferences": owners}
    metadata = {"name": names.model_config(HOST.name), "namespace": "default", "uid": "c", "resourceVersion": "1"}
    return {"kind": "ConfigMap", "metadata": metadata | own}


def planned(state: ClusterState) -> str:
    """Return the plan of the host as text, as far as there is one."""
    size(state, HOST)
    observed = observe(state, HOST)
    return repr(plan(observed, make.NOW)) if observed else ""


@given(states())
@tried(60)
def test_no_stored_object_makes_a_plan_raise(state: ClusterState) -> None:
    size(state, HOST)
    observed = observe(state, HOST)
    for status in plan(observed, make.NOW).statuses if observed else ():
        json.dumps(status.patch)


def of_model() -> ClusterState:
    """Return the state of a host with one placed model and one replica."""
    state = ClusterState(lambda _key: None)
    state.config = make.config()
    state.update_host(None, make.host_object())
    state.update_model(None, make.model_object())
    replicas.add_chain(state)
    state.update_pod(None, make.pod())
    observed = observe(state, HOST)
    assert observed is not None
    (config,) = plan(observed, make.NOW).configs
    assert config is not None
    config.manifest["metadata"] |= {"uid": "c", "resourceVersion": "1"}
    state.update_child(None, config.manifest)
    return state


STATE = of_model()


DIGEST = entry_of(make.model()).digest


@given(bodies(DIGEST), bodies(DIGEST))
@tried(150)
def test_no_report_of_an_agent_makes_a_plan_raise(first: bytes, second: bytes) -> None:
    before = None
    for body in (first, second):
        try:
            before = read(body, before, STATE.model_names(HOST))
        except ValueError:
            continue
        STATE.reports["uid-pod-1"] = before
        observed = observe(STATE, HOST)
        assert observed is not None
        for status in plan(observed, make.NOW).statuses:
            text = json.dumps(status.patch, ensure_ascii=False)
            assert len(text) < 16 * 2**10
            assert text.isprintable(), "control characters, or marks that change the direction"
        hold = hold_of(STATE, HOST, "uid-pod-1")
        assert hold is None or hold >= 0


@given(ANNOTATIONS, st.dictionaries(TEXT, TEXT | LONG, max_size=3))
@tried(30)
def test_no_annotation_of_a_child_makes_a_plan_raise(annotations: dict[str, str], labels: dict[str, str]) -> None:
    state = of_model()
    deployment = replicas.deployment(annotations=annotations, labels=labels | names.labels(HOST.name))
    state.update_child(replicas.deployment(), deployment | {"spec": {"replicas": 1}})
    assert planned(state)
