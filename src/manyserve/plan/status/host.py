"""Status of a host in KServe's layout: conditions, revisions and addresses.

`predictor_ready` computes `PredictorReady`. `IngressReady` follows the Ingress or the HTTPRoute, and is True for a host
that has neither. A heterogeneous host has `RouterReady`, too. `Ready` is all of them.
"""

from __future__ import annotations

from datetime import datetime

from manyserve.api import conditions, names
from manyserve.api.conditions import Condition
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.inferenceservice_status import Components, ComponentStatus, InferenceServiceStatus, Traffic
from manyserve.api.quantity import format_memory
from manyserve.api.trainedmodel import Address
from manyserve.plan.children.cache import Children
from manyserve.plan.children.common import belongs_to
from manyserve.plan.children.deployment import is_rolled_out, revision_number
from manyserve.plan.children.routing import host_address, http_route_error, ingress_error
from manyserve.plan.children.shards import deployment_of
from manyserve.plan.children.take_over import pending_message
from manyserve.plan.hostname import exposed_url, hostname_problem
from manyserve.plan.observed import Child, Manifest, Observed
from manyserve.plan.placement import Placement
from manyserve.plan.staging import Turn
from manyserve.plan.status.predictor_ready import (
    APPLY_FAILED,
    CREDENTIALS_NOT_USABLE,
    DEPLOYMENT_PAUSED,
    MODEL_CONFIG_FULL,
    MODEL_NOT_UNLOADED,
    PREDICTOR_NOT_CONFIGURED,
    SERVER_STUCK,
    predictor_ready,
)
from manyserve.plan.status.replicas import OTHER_AUTOSCALER, REPLICAS_KEPT, REPLICAS_MANAGED
from manyserve.plan.status.rollout import MODEL_FAILS
from manyserve.plan.status.rollout_wait import ROLLOUT_WAITS, with_rollout_wait
from manyserve.plan.status.router_ready import ROUTER_NOT_CONFIGURED, ROUTER_NOT_READY, UPDATES_REFUSED, router_ready
from manyserve.plan.status.transition import model_status
from manyserve.plan.visibility import is_exposed

PODS_NOT_READY = "PodsNotReady"
"""Reason of a host that answers while further pods of it do not, in a roll-out or a scale-up."""
_WITH_EVENT = (
    *(conditions.INVALID_SPEC, MODEL_FAILS, MODEL_NOT_UNLOADED, SERVER_STUCK, APPLY_FAILED),
    *(ROUTER_NOT_READY, UPDATES_REFUSED, ROLLOUT_WAITS),
)
_WITHOUT_EVENT = (
    *(REPLICAS_MANAGED, OTHER_AUTOSCALER, REPLICAS_KEPT),
    *(PREDICTOR_NOT_CONFIGURED, CREDENTIALS_NOT_USABLE, DEPLOYMENT_PAUSED, MODEL_CONFIG_FULL, ROUTER_NOT_CONFIGURED),
)
"""Reasons of a host that answers, for which the message of its condition is enough."""


def host_status(
    host: InferenceService, observed: Observed, placement: Placement, children: Children, now: datetime
) -> InferenceServiceStatus:
    """Return the host's status, for its desired children."""
    url, address = exposed_url(observed), Address(url=host_address(observed.key))
    new = _conditions(host, observed, placement, children.turn, now)
    deployment, desired = deployment_of(host, observed), children.deployment
    rolled_out = None if desired is None else bool(deployment and is_rolled_out(deployment, desired))
    return InferenceServiceStatus(
        url=url,
        address=address,
        conditions=conditions.merge_conditions(host.status.conditions, new, now),
        components=Components(predictor=_predictor(host, desired, url, address, rolled_out=bool(rolled_out))),
        model_status=model_status(new, deployment, host.status.model_status, rolled_out=rolled_out),
        models=f"{len(placement.placed)}/{len(observed.models)}",
        memory=f"{format_memory(placement.used)}/{format_memory(placement.limit)}",
        operator=observed.operator or host.status.operator,
        observed_generation=host.metadata.generation,
    )


def _conditions(
    host: InferenceService, observed: Observed, placement: Placement, turn: Turn | None, now: datetime
) -> tuple[Condition, ...]:
    predictor = with_rollout_wait(
        predictor_ready(host, observed, placement, now), turn, observed.config.rollout, host.metadata.namespace
    )
    router = router_ready(host, observed, now)
    ingress = _ingress_ready(host, observed)
    checked = tuple(each for each in (predictor, router, ingress) if each is not None)
    failed = next((each for each in checked if each.status != "True"), None)
    noted = router if router is not None and predictor.reason is None else predictor
    ready = Condition(
        type=conditions.READY,
        status="False" if failed else "True",
        reason=failed.reason if failed else _reason_while_ready(noted),
        message=_message_of(failed, ingress) if failed else _message_while_ready(noted),
    )
    return (*checked, ready)


def _message_while_ready(noted: Condition) -> str | None:
    """Return the message of a host that answers; an owner of the replicas that the user has named is none."""
    return None if noted.reason == REPLICAS_MANAGED else noted.message


def _message_of(failed: Condition, ingress: Condition) -> str | None:
    """Return the message of a host that is not ready. One without a way from outside still answers inside."""
    return f"answers inside the cluster only: {failed.message}" if failed is ingress else failed.message


def _reason_while_ready(noted: Condition) -> str | None:
    """Return the reason of a host that answers despite a problem: an event reports it.

    The reasons of pods alternate, such as ErrImagePull and ImagePullBackOff, so they have one word.
    """
    if noted.reason is None or noted.reason in _WITHOUT_EVENT:
        return None
    return noted.reason if noted.reason in _WITH_EVENT else PODS_NOT_READY


def _ingress_ready(host: InferenceService, observed: Observed) -> Condition:
    if problem := hostname_problem(observed):
        reason, message = problem
        return Condition(type=conditions.INGRESS_READY, status="False", reason=reason, message=message)
    name, ingress = observed.key.name, observed.config.ingress
    child = Child("HTTPRoute" if ingress.gateway else "Ingress", name)
    reason = "RouteNotAccepted" if ingress.gateway else "IngressNotReady"
    if not is_exposed(host, ingress):
        error = None
    elif child in observed.foreign:
        error = pending_message(child)
    else:
        manifest = observed.children.get(child)
        own = manifest if manifest is not None and belongs_to(manifest, host) else None
        error = http_route_error(own) if ingress.gateway else ingress_error(own)
    status: conditions.Status = "False" if error else "True"
    return Condition(type=conditions.INGRESS_READY, status=status, reason=reason if error else None, message=error)


def _predictor(
    host: InferenceService, desired: Manifest | None, url: str | None, address: Address, *, rolled_out: bool
) -> ComponentStatus:
    components = host.status.components
    old = (components and components.predictor) or ComponentStatus()
    created = names.revision(host.metadata.name, revision_number(desired)) if desired else old.latest_created_revision
    ready = created if rolled_out else old.latest_ready_revision
    before = old.latest_rolledout_revision
    previous = before if rolled_out and before != created else old.previous_rolledout_revision
    return ComponentStatus(
        latest_created_revision=created,
        latest_ready_revision=ready,
        latest_rolledout_revision=created if rolled_out else before,
        previous_rolledout_revision=previous,
        traffic=(Traffic(revision_name=ready, latest_revision=True, percent=100),) if ready else None,
        url=url,
        address=address,
    )
