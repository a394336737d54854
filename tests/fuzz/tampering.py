"""Pictures of a host that ran well, until somebody laid hands on what we made, and its users changed their minds."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from manyserve.api import modelconfig
from manyserve.api.modelconfig import EntrySpec
from manyserve.plan.observed import Child, Manifest, Observed
from tests.fuzz.pictures import ANNOTATIONS, FLAGS, MEMORY, NAMES, OWNERS, fresh
from tests.fuzz.shapes import TEXT, Shape, right
from tests.support import world


def entries() -> st.SearchStrategy[list[Manifest]]:
    """Return what somebody may have written into `models.json`."""
    spec = st.builds(dict.__or__, right(EntrySpec), st.fixed_dictionaries({}, optional={"memory": MEMORY}))
    return st.lists(st.fixed_dictionaries({"modelName": NAMES, "modelSpec": spec}), max_size=4)


def config_data() -> st.SearchStrategy[Manifest]:
    """Return the data of a ConfigMap: a list, what is none, packed or not, both or neither."""
    text = st.one_of(entries().map(json.dumps), TEXT, st.just("[" * 3000))
    packed = text.map(lambda each: b64encode(modelconfig.pack(each)).decode()) | st.just("AAAA") | st.just("%")
    plain = st.dictionaries(st.sampled_from([modelconfig.KEY, "other"]), text, max_size=1)
    binary = st.dictionaries(st.just(modelconfig.PACKED_KEY), packed, max_size=1)
    return st.fixed_dictionaries({"data": plain | st.none(), "binaryData": binary | st.none()})


@st.composite
def tampered(draw: st.DrawFn) -> Observed:
    """Draw a host that ran well, on whose children somebody laid hands, and whose spec changed since."""
    start = draw(fresh())
    steady = world.settle(start)
    children = dict(steady.children)
    for child in draw(st.lists(st.sampled_from(sorted(children, key=str)), unique=True)) if children else []:
        touched = draw(_touched(child, children.pop(child)))
        children |= {child: touched} if touched is not None else {}
    there = st.sampled_from([*sorted(children, key=str), Child("Service", "x")])
    seen = replace(steady, children=children, failures=draw(st.dictionaries(there, TEXT, max_size=1)))
    return replace(seen, **draw(_changed(seen))) if draw(st.booleans()) else seen


@st.composite
def _changed(draw: st.DrawFn, seen: Observed) -> dict[str, Any]:
    """Draw what users and the administrator changed since: the host, its models, the configuration."""
    other = draw(fresh())
    models = {each.metadata.name: each for each in (*seen.models, *other.models)}
    unreadable = seen.unreadable - models.keys()
    return {
        "service": other.service,
        "departures": other.departures,
        "models": tuple(models.values()),
        "renewed": other.renewed,
        "sight": other.sight,
        "config": other.config,
        "unreadable": unreadable,
    }


@st.composite
def _touched(draw: st.DrawFn, child: Child, manifest: Manifest) -> Manifest | None:
    """Draw what became of a child: gone, somebody else's, or changed where its kind allows it."""
    metadata = dict(manifest["metadata"])
    how = draw(st.sampled_from(["gone", "owners", "annotations", "labels", "content", "content"]))
    if how == "gone":
        return None
    if how == "owners":
        metadata["ownerReferences"] = draw(OWNERS)
    if how == "annotations":
        metadata["annotations"] = draw(ANNOTATIONS)
    if how == "labels":
        metadata["labels"] = draw(st.dictionaries(TEXT, TEXT, max_size=2))
    whole = manifest | {"metadata": metadata}
    return whole | draw(_content(child)) if how == "content" else whole


def _content(child: Child) -> st.SearchStrategy[Manifest]:
    if child.kind == "ConfigMap":
        return config_data()
    condition = st.fixed_dictionaries(
        {"type": st.sampled_from(["Available", "Progressing", "ReplicaFailure"]), "status": FLAGS},
        optional={"reason": TEXT, "message": TEXT},
    )
    if child.kind == "Deployment":
        few = st.integers(0, 3)
        counts = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas", "readyReplicas"), few)
        status = st.fixed_dictionaries({}, optional=counts | {"conditions": st.lists(condition, max_size=3)})
        template: Shape = st.just({"spec": {"containers": [], "volumes": []}})
        spec = st.fixed_dictionaries({"replicas": few, "template": template}, optional={"paused": st.booleans()})
        return st.fixed_dictionaries({"spec": spec, "status": status})
    return st.fixed_dictionaries({"spec": st.just({}) | st.dictionaries(TEXT, st.none() | TEXT, max_size=2)})
