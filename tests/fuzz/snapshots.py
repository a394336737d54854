"""Random snapshots of a host, within the bounds of the API server.

Specs, statuses and reports of agents have any values, and pods are in any phase. Values that Kubernetes itself checks,
such as the number of replicas, are valid. `tests.fuzz.tampering` changes the children of these snapshots.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from manyserve.api import names
from manyserve.api.agentreport import AgentReport, ModelReport
from manyserve.api.inferenceservice import InferenceService, PredictorSpec
from manyserve.api.inferenceservice_status import InferenceServiceStatus
from manyserve.api.modelconfig import Entry
from manyserve.api.names import Key
from manyserve.api.pod import PodFields
from manyserve.api.servingconfig import ServingConfig
from manyserve.api.trainedmodel import ModelSpec, TrainedModel, TrainedModelStatus
from manyserve.plan.observed import Account, CacheVersion, CacheVersions, ClaimRefusal, Departure, Observed
from manyserve.plan.placement import entry_of
from manyserve.plan.rules.validation import model_problems
from tests.fuzz.shapes import TEXT, Shape, right
from tests.support import make

Manifest = dict[str, Any]


def mostly(usual: Shape, *others: Shape) -> Shape:
    """Draw from `usual` in three of four cases, else from the others."""
    return st.integers(0, 3).flatmap(lambda number: st.one_of(*others) if number == 3 else usual)


def seldom() -> st.SearchStrategy[bool]:
    """Draw True in one of eight cases."""
    return st.integers(0, 7).map(lambda number: number == 7)


KEY = Key("default", "triton-mms")
NAMES = st.sampled_from(["a", "b", "c", "d", "e", "a.b", "n" * 200])
MEMORY = st.sampled_from(["1Gi", "512Mi", "1024Mi", "0.5Gi", "1", "3Gi", "abc", "0", "1e3", "9999999Ti"])
USUAL = st.fixed_dictionaries(
    {
        "framework": st.sampled_from([*make.FRAMEWORKS, "sklearn"]),
        "storageUri": st.sampled_from(["gs://bucket/x", "s3://bucket/x", "https://10.0.0.1/x", "pvc://claim/x"]),
        "memory": MEMORY,
    }
)
MODEL_SPECS = mostly(USUAL, right(ModelSpec), st.builds(dict.__or__, USUAL, right(ModelSpec)))
MOMENTS = (st.integers(-700, 700) | st.sampled_from([-86_400, 86_400])).map(
    lambda seconds: make.NOW + timedelta(seconds=seconds)
)
"""Times before and after the time of the plan, up to a clock jump of a day."""
VERSIONS = st.builds(
    CacheVersion, observed_version=st.integers(0, 4), newest_version=st.integers(0, 4) | st.integers(0, 2**63)
)
CACHE_VERSIONS = st.builds(CacheVersions, hosts=VERSIONS, models=VERSIONS)
"""The resourceVersions of the fake API server begin with 1."""
FLAGS = st.sampled_from(["True", "False", "Unknown"])
REFUSALS = st.builds(ClaimRefusal, TEXT, st.booleans())
SECONDS = st.sampled_from(["nan", "inf", "-1", "0", "1e300", str(make.NOW.timestamp()), "9" * 5000]) | TEXT
ANNOTATIONS = st.dictionaries(
    st.sampled_from([names.CONFIG_HASH, names.TEMPLATE_HASH, names.REVISION, names.APPLIED_HASH]),
    SECONDS | st.builds("{}.{}.{}".format, TEXT, TEXT | SECONDS, SECONDS),
    max_size=3,
)
OWNERS = st.lists(
    st.fixed_dictionaries(
        {"apiVersion": st.sampled_from(["serving.kserve.io/v1beta1", "v1"]), "uid": TEXT}
        | {"kind": st.sampled_from(["InferenceService", "Pod"]), "name": st.sampled_from(["triton-mms", "other"])}
    ),
    max_size=2,
)


def named(models: Iterable[TrainedModel]) -> set[str]:
    """Return the names of models."""
    return {each.metadata.name for each in models}


def parsed(kind: type[Any], shapes: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw the objects of a type that parse from the shapes."""

    def parse(data: Any) -> BaseModel | None:
        try:
            model: BaseModel = kind.from_wire(data)
        except ValidationError:
            return None
        return model

    return shapes.map(parse).filter(lambda each: each is not None)


UIDS = st.sampled_from(["uid-1", "uid-2"])
DEPARTURES = st.builds(
    Departure, since=st.just(0.0), left=st.sampled_from([0.0, 3.0]), decided=st.booleans(), kept=st.booleans()
)
"""Departures of deleted hosts."""
PLACED_BY = st.fixed_dictionaries({"name": st.sampled_from([KEY.name, "other"]), "uid": UIDS})


@st.composite
def models(draw: st.DrawFn) -> tuple[TrainedModel, ...]:
    """Draw models of the host with unique names, and with any status."""
    chosen = draw(st.lists(NAMES, unique=True, max_size=6))
    return tuple(draw(_model(name)) for name in chosen)


def _model(name: str) -> st.SearchStrategy[TrainedModel]:
    created = st.sampled_from(["2026-01-01T00:00:00Z", "2025-01-01T00:00:00Z", ""])

    def whole(parts: tuple[Any, ...]) -> Manifest:
        spec, status, at, owners, leaving, by = parts
        status = status | ({"placedBy": by, "observedUid": f"uid-{name}"} if by else {})
        plain = make.model_object(name, created=at)
        plain["metadata"] |= {"ownerReferences": owners} | ({"deletionTimestamp": at or "now"} if leaving else {})
        return plain | {"spec": {"inferenceService": KEY.name, "model": spec}, "status": status}

    parts = st.tuples(
        MODEL_SPECS, mostly(st.just({}), right(TrainedModelStatus)), created, OWNERS, seldom(), st.none() | PLACED_BY
    )
    return parsed(TrainedModel, parts.map(whole))


def hosts() -> st.SearchStrategy[InferenceService]:
    """Draw hosts with any predictor that parses, mostly Triton's, and with any status."""

    def whole(parts: tuple[Any, ...]) -> Manifest:
        given, other, memory, status, leaving = parts
        plain = make.host_object(memory=memory)
        predictor = {} if other else plain["spec"]["predictor"]
        if leaving:
            plain["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        return plain | {"spec": {"predictor": predictor | given}, "status": status}

    status = mostly(st.just({}), right(InferenceServiceStatus))
    given = mostly(st.just({}), right(PredictorSpec), right(PodFields))
    shapes = st.tuples(given, seldom(), mostly(st.just("2Gi"), MEMORY), status, seldom()).map(whole)
    return parsed(InferenceService, shapes)


def configs() -> st.SearchStrategy[ServingConfig]:
    """Draw configurations: the chart's, also with one changed section."""
    fields = ServingConfig.model_fields
    section = st.sampled_from(["ingress", "agent", "deploy", "credentials"])
    changed = section.flatmap(lambda name: right(fields[name].annotation).map(lambda each: {name: each}))
    plain = {"predictors": {key: each.to_wire() for key, each in make.config().predictors.items()}}
    off = {"predictors": {"triton": plain["predictors"]["triton"] | {"multiModelServer": False}}}
    return parsed(ServingConfig, mostly(st.just(plain), st.just(off), changed.map(lambda each: plain | each)))


@st.composite
def pods(draw: st.DrawFn) -> Manifest:
    """Draw a pod in any phase, with any reasons of its conditions and containers."""
    pod = make.pod(draw(st.sampled_from(["pod-1", "pod-2"])), annotations=draw(ANNOTATIONS))
    condition = st.fixed_dictionaries(
        {"type": st.sampled_from(["Ready", "PodScheduled"]), "status": FLAGS},
        optional={"reason": TEXT, "message": TEXT},
    )
    waiting = st.fixed_dictionaries({}, optional={"reason": TEXT, "message": TEXT})
    stuck = st.fixed_dictionaries({"name": TEXT, "state": st.fixed_dictionaries({}, optional={"waiting": waiting})})
    more = {"containerStatuses": st.lists(stuck, max_size=2), "conditions": st.lists(condition, max_size=3)}
    status = draw(st.fixed_dictionaries({"phase": st.sampled_from(["Running", "Pending"])}, optional=more))
    if draw(st.booleans()):
        pod["status"] = status
    if draw(seldom()):
        pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    claims = draw(st.lists(st.sampled_from(["claim", "other"]), max_size=2))
    pod["spec"] = {"volumes": [{"name": "c", "persistentVolumeClaim": {"claimName": each}} for each in claims]}
    return pod


def accounts() -> st.SearchStrategy[Account]:
    """Draw ServiceAccounts with annotations about S3."""
    settings = st.sampled_from(["endpoint", "usehttps", "region", "cabundle", "cabundle-configmap", "odd"])
    annotations = st.dictionaries(settings.map("serving.kserve.io/s3-{}".format), TEXT, max_size=3)
    texts = st.lists(TEXT, max_size=2).map(tuple)
    return st.builds(Account, name=TEXT, secrets=texts, pull_secrets=texts, annotations=annotations, problems=texts)


@st.composite
def fresh(draw: st.DrawFn) -> Observed:
    """Draw a host with its models and pods, but without children."""
    drawn_pods = draw(st.lists(pods(), max_size=2, unique_by=lambda pod: pod["metadata"]["name"]))
    drawn_models = draw(models())
    return Observed(
        key=KEY,
        config=draw(configs()),
        host=draw(mostly(hosts(), hosts(), st.none())),
        departures=draw(st.dictionaries(UIDS, DEPARTURES, max_size=2)),
        models=drawn_models,
        cache_versions=draw(mostly(st.just(CacheVersions()), CACHE_VERSIONS)),
        pods=tuple(drawn_pods),
        agents={pod["metadata"]["uid"]: draw(_report(drawn_models)) for pod in drawn_pods},
        account=draw(st.none() | accounts()),
        claims=draw(st.dictionaries(st.sampled_from(["claim", "other"]), st.none() | TEXT, max_size=2)),
        refused_claims=draw(st.dictionaries(st.sampled_from(["claim", "other"]), REFUSALS, max_size=2)),
        unparsable=frozenset(draw(st.lists(st.sampled_from(["a", "x"]), max_size=1))) - named(drawn_models),
        lookups_pending=draw(seldom()),
    )


def _report(wanted: tuple[TrainedModel, ...]) -> Shape:
    """Draw reports of agents about the wanted models and others."""
    known = [entry_of(model) for model in wanted if not model_problems(model)]
    return parsed(AgentReport, reports(*known))


def reports(*entries: Entry) -> Shape:
    """Draw reports about the models of these entries and others, of this version or another."""
    digest = st.sampled_from(["", *(entry.digest for entry in entries)])
    name = st.sampled_from([entry.model_name for entry in entries]) if entries else NAMES
    model_report = st.builds(lambda report, of: report | {"digest": of}, right(ModelReport), digest)
    model_reports = st.dictionaries(name, model_report, max_size=3)
    return st.builds(lambda report, models: report | {"models": models}, right(AgentReport), model_reports)
