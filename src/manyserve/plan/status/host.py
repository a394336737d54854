"""The status of a host: its conditions, its revisions and its addresses, as KServe lays them out.

`PredictorReady` is judged in a file of its own; `IngressReady` follows the ingress or route; `Ready` is both.
"""

from __future__ import annotations

from datetime import datetime

from manyserve.api import conditions, names
from manyserve.api.conditions import Condition
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.inferenceservice_status import Components, ComponentStatus, InferenceServiceStatus, Traffic
from manyserve.api.quantity import format_memory
from manyserve.api.trainedmodel import Address
from manyserve.plan.children import urls
from manyserve.plan.children.common import belongs_to
from manyserve.plan.children.deployment import revision_number
from manyserve.plan.children.http_route import why_route_not_ready
from manyserve.plan.children.ingress import why_ingress_not_ready
from manyserve.plan.children.take_over import why_not_yet
from manyserve.plan.observed import Child, Manifest, Observed
from manyserve.plan.placement import Placement
from manyserve.plan.status.predictor_ready import predictor_ready


def host_status(
    host: InferenceService, observed: Observed, placement: Placement, wanted: Manifest | None, now: datetime
) -> InferenceServiceStatus:
    """Return the host's status; `wanted` is the Deployment that we want, None when there can be none."""
    url, address = urls.host_url(observed.key, observed.config.ingress), Address(url=urls.host_address(observed.key))
    found = _conditions(host, observed, placement)
    return InferenceServiceStatus(
        url=url,
        address=address,
        conditions=conditions.merge_conditions(host.status.conditions, found, now),
        components=Components(predictor=_predictor(host, observed, wanted, url, address)),
        models=f"{len(placement.placed)}/{len(observed.models)}",
        memory=f"{format_memory(placement.used)}/{format_memory(placement.limit)}",
        observed_generation=host.metadata.generation,
    )


def _conditions(host: InferenceService, observed: Observed, placement: Placement) -> tuple[Condition, ...]:
    predictor = predictor_ready(host, observed, placement)
    ingress = _ingress_ready(observed)
    bad = next((each for each in (predictor, ingress) if each.status != "True"), None)
    ready = Condition(
        type=conditions.READY,
        status="False" if bad else "True",
        reason=bad.reason if bad else _also_wrong(predictor),
        message=bad.message if bad else predictor.message,
    )
    return (predictor, ingress, ready)


def _also_wrong(predictor: Condition) -> str | None:
    """Return the reason of a host that answers by its spec before and has an invalid one now: an event says so."""
    return predictor.reason if predictor.reason == conditions.INVALID_SPEC else None


def _ingress_ready(observed: Observed) -> Condition:
    name, ingress = observed.key.name, observed.config.ingress
    child = Child("HTTPRoute" if ingress.gateway else "Ingress", name)
    reason = "RouteNotAccepted" if ingress.gateway else "IngressNotReady"
    if ingress.disable_ingress_creation:
        why = None
    elif child in observed.foreign:
        why = why_not_yet(child)
    elif ingress.gateway:
        why = why_route_not_ready(observed.child(child.kind, child.name))
    else:
        why = why_ingress_not_ready(observed.child(child.kind, child.name))
    return Condition(
        type=conditions.INGRESS_READY, status="False" if why else "True", reason=reason if why else None, message=why
    )


def _predictor(
    host: InferenceService, observed: Observed, wanted: Manifest | None, url: str, address: Address
) -> ComponentStatus:
    components = host.status.components
    old = (components and components.predictor) or ComponentStatus()
    deployment = observed.child("Deployment", names.deployment(observed.key.name))
    created = names.revision(observed.key.name, revision_number(wanted)) if wanted else old.latest_created_revision
    rolled = bool(wanted and deployment and belongs_to(deployment, host) and _rolled_out(deployment, wanted))
    ready = created if rolled else old.latest_ready_revision
    before = old.latest_rolledout_revision
    previous = before if rolled and before != created else old.previous_rolledout_revision
    return ComponentStatus(
        latest_created_revision=created,
        latest_ready_revision=ready,
        latest_rolledout_revision=created if rolled else before,
        previous_rolledout_revision=previous,
        traffic=(Traffic(revision_name=ready, latest_revision=True, percent=100),) if ready else None,
        url=url,
        address=address,
    )


def _rolled_out(deployment: Manifest, wanted: Manifest) -> bool:
    """Tell whether every replica is of the wanted revision and available."""
    if revision_number(deployment) != revision_number(wanted):
        return False
    status, count = deployment.get("status") or {}, (deployment.get("spec") or {}).get("replicas", 1)
    settled = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    return bool(
        settled
        and count
        and status.get("updatedReplicas", 0) == status.get("replicas", 0) == count
        and status.get("availableReplicas", 0) == count
    )
