"""Random snapshots of a settled host with manual changes to its children and new specs."""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from manyserve.api import modelconfig
from manyserve.api.modelconfig import EntrySpec
from manyserve.plan.observed import Child, Manifest, Observed
from tests.fuzz.shapes import JSON, STORED_JSON, TEXT, Shape, right
from tests.fuzz.snapshots import ANNOTATIONS, FLAGS, MEMORY, NAMES, OWNERS, fresh
from tests.support import world
from tests.support.poison import ENTRY, repeated, with_memory

OWNERS_KEY = "ownerReferences"


def entries() -> st.SearchStrategy[list[Manifest]]:
    """Draw entries that somebody may have written into `models.json`."""
    spec = st.builds(dict.__or__, right(EntrySpec), st.fixed_dictionaries({}, optional={"memory": MEMORY}))
    return st.lists(st.fixed_dictionaries({"modelName": NAMES, "modelSpec": spec}), max_size=4)


def config_data() -> st.SearchStrategy[Manifest]:
    """Draw the data of a ConfigMap: a list or other text, plain, packed, both or neither."""
    text = st.one_of(entries().map(json.dumps), JSON.map(json.dumps), TEXT, POISON)
    packed = text.map(lambda each: b64encode(modelconfig.pack(each)).decode()) | NO_LIST
    plain = st.dictionaries(st.sampled_from([modelconfig.KEY, "other"]), text, max_size=2)
    binary = st.dictionaries(st.sampled_from([modelconfig.PACKED_KEY, "other"]), packed, max_size=2)
    return st.fixed_dictionaries({"data": plain | st.none(), "binaryData": binary | st.none()})


POISON = st.sampled_from(
    [
        "[" * 3000,
        repeated(ENTRY, 3000),
        repeated("{}", 3000),
        *map(with_memory, ("9" * 5000, "NaN", "-1", "1e999", '""', "null", "true")),
    ]
)
NO_LIST = st.sampled_from(["AAAA", "%", "\u0663", b64encode(gzip.compress(b" " * 2**20)).decode()])
"""Data that cannot be unpacked."""


@st.composite
def tampered(draw: st.DrawFn) -> Observed:
    """Draw a settled host with manual changes to its children, in half of the cases with new specs."""
    start = draw(fresh())
    steady = world.settle(start)
    children = dict(steady.children)
    for child in draw(st.lists(st.sampled_from(sorted(children, key=str)), unique=True)) if children else []:
        edited = draw(_edited(child, children.pop(child)))
        children |= {child: edited} if edited is not None else {}
    failing = st.sampled_from([*sorted(children, key=str), Child("Service", "x")])
    snapshot = replace(steady, children=children, failures=draw(st.dictionaries(failing, TEXT, max_size=1)))
    return replace(snapshot, **draw(_changed(snapshot))) if draw(st.booleans()) else snapshot


@st.composite
def _changed(draw: st.DrawFn, seen: Observed) -> dict[str, Any]:
    """Draw changes by users and the administrator: host, models, configuration."""
    other = draw(fresh())
    models = {each.metadata.name: each for each in (*seen.models, *other.models)}
    unreadable = seen.unparsable - models.keys()
    return {
        "host": other.host,
        "departures": other.departures,
        "models": tuple(models.values()),
        "cache_versions": other.cache_versions,
        "config": other.config,
        "unparsable": unreadable,
    }


@st.composite
def _edited(draw: st.DrawFn, child: Child, manifest: Manifest) -> Manifest | None:
    """Draw a child after a manual change: deleted, with other metadata, or with other content."""
    metadata = dict(manifest["metadata"])
    how = draw(st.sampled_from(["deleted", "owners", "annotations", "labels", "bare", "content", "content"]))
    if how == "deleted":
        return None
    if how == "owners":
        metadata["ownerReferences"] = draw(OWNERS)
    if how == "annotations":
        metadata["annotations"] = draw(ANNOTATIONS)
    if how == "labels":
        metadata["labels"] = draw(st.dictionaries(TEXT, TEXT, max_size=2))
    if how == "bare":  # an object of a CRD may lack fields that the operator sets
        return draw(_bare(manifest))
    whole = manifest | {"metadata": metadata}
    return whole | draw(_content(child)) if how == "content" else whole


@st.composite
def _bare(draw: st.DrawFn, manifest: Manifest) -> Manifest:
    """Draw a child without some optional fields of an object."""
    lost = draw(st.sets(st.sampled_from(["spec", "status", "data", "binaryData", "labels", "annotations", OWNERS_KEY])))
    metadata = {key: each for key, each in manifest["metadata"].items() if key not in lost}
    return {key: each for key, each in manifest.items() if key not in lost} | {"metadata": metadata}


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
    spec = st.fixed_dictionaries({"spec": st.just({}) | st.dictionaries(TEXT, st.none() | TEXT, max_size=2)})
    if child.kind != "HTTPRoute":
        return spec
    return st.builds(dict.__or__, spec, st.fixed_dictionaries({"status": st.none() | STORED_JSON}))  # of a CRD's kind
