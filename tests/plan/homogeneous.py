"""Golden files of homogeneous hosts: their children, `models.json` and statuses as text.

The files were written before there were heterogeneous hosts. They must never change. `status.modelStatus` of a host is
newer, so exactly this field is left out, and a status in which nothing else changes: tests of its own cover it. So is
the annotation of a Deployment with the hash of the users' inputs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from manyserve.api.names import HOST_INPUTS
from manyserve.plan.actions import Plan, SetStatus, Status
from manyserve.plan.observed import Manifest, Observed
from manyserve.plan.plan import plan
from tests.plan.scenario import read
from tests.support import world

DATA = Path(__file__).parents[1] / "data" / "homogeneous"
INPUT, OUTPUT = ".in.yaml", ".out.json"


def inputs() -> list[Path]:
    """Return the inputs of all hosts."""
    return sorted(DATA.glob(f"*{INPUT}"))


def output_of(path: Path) -> Path:
    """Return the golden file of an input."""
    return path.with_name(path.name.removesuffix(INPUT) + OUTPUT)


def render(path: Path) -> str:
    """Return the first plan of a host and all its objects when it has settled, as JSON."""
    scenario = read(path)
    observed = scenario.observed()
    assert observed is not None
    todo = plan(observed, scenario.now)
    document = {"plan": dict(_plan(todo)), "settled": _objects(world.settle(observed))}
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _plan(todo: Plan) -> Iterator[tuple[str, Any]]:
    yield "children", [_older_child(each.manifest) for each in todo.applies]
    yield "deletes", [[each.child.kind, each.child.name] for each in todo.deletes]
    yield "models.json", [each.manifest for each in todo.configs]
    yield "annotatedPods", [[each.pod, each.config_hash] for each in todo.config_refreshes]
    yield "statuses", {f"{each.kind}/{each.name}": _older(each.after) for each in todo.statuses if _is_older(each)}
    yield "events", [[each.kind, each.name, each.type, each.reason, each.message] for each in todo.events]
    yield "requeueAfter", todo.requeue_after


def _older_child(manifest: Manifest) -> Manifest:
    """Return a child without the annotation that is newer than the golden files."""
    annotations = {
        name: each for name, each in manifest["metadata"].get("annotations", {}).items() if name != HOST_INPUTS
    }
    given = "annotations" in manifest["metadata"]
    return manifest | {"metadata": manifest["metadata"] | ({"annotations": annotations} if given else {})}


def _older(status: Status) -> dict[str, Any]:
    """Return a status without the field that is newer than the golden files."""
    return {name: each for name, each in status.to_wire().items() if name != "modelStatus"}


def _is_older(update: SetStatus) -> bool:
    """Return whether more changes than the newer field."""
    return _older(update.before) != _older(update.after)


def _objects(observed: Observed) -> dict[str, Any]:
    children = {f"{child.kind}/{child.name}": _older_child(manifest) for child, manifest in observed.children.items()}
    host = _older(observed.host.status) if observed.host else None
    return {
        "children": children,
        "host": host,
        "models": {m.metadata.name: m.status.to_wire() for m in observed.models},
    }
