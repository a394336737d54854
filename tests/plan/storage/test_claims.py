"""PersistentVolumeClaims: mounts of the agent, and conditions of models that wait for one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from manyserve.api import conditions
from manyserve.api.agentreport import ModelState
from manyserve.plan.observed import ClaimRefusal, Manifest, Observed
from manyserve.plan.placement import entry_of
from manyserve.plan.plan import plan
from manyserve.plan.storage.claims import (
    MAX_CLAIMS,
    OWNERS_LABEL,
    blocked_claims,
    claim_refusal,
    claims_of_deployment,
)
from tests.plan.storage.snapshots import folders, pod_spec, ready_of, seen
from tests.support import make, sharded, world


def test_existing_claim_is_mounted_read_only_into_the_agent() -> None:
    spec = pod_spec(seen("pvc://mine/a", "pvc://mine/b", "pvc://theirs/c", claims={"mine": None, "theirs": "gone"}))
    mounts = {path: each for path, each in folders(spec).items() if path.startswith("/mnt/pvc")}
    assert mounts == {"/mnt/pvc/mine": {"persistentVolumeClaim": {"claimName": "mine", "readOnly": True}}}
    assert "/mnt/pvc/mine" not in folders(spec, "kserve-container")


@pytest.mark.parametrize("claims", [{"mine": "PersistentVolumeClaim mine cannot be read: no"}, {}])
def test_fault_21_mounted_claim_stays_while_its_existence_is_unknown(claims: dict[str, str]) -> None:
    """The cases are a revoked right, and a model that does not parse any more."""
    settled = world.settle(seen("pvc://mine/a", claims={"mine": None}))
    unsure = replace(settled, claims=claims, unverified_claims=frozenset(claims))
    assert not plan(unsure, make.NOW).applies
    assert plan(replace(unsure, unverified_claims=frozenset()), make.NOW).applies or not claims
    new = seen("pvc://mine/a", claims=claims, unverified_claims=frozenset(claims))
    assert "/mnt/pvc/mine" not in folders(pod_spec(new)), "a claim that was never mounted is not tried"


def test_claim_of_waiting_model_is_not_mounted() -> None:
    observed = seen(claims={"mine": None}, models=(make.model(uri="pvc://mine/a", memory="9Gi"),))
    assert "/mnt/pvc/mine" not in folders(pod_spec(observed))


def test_missing_claim_is_reported_by_the_model_and_the_host_stays_ready() -> None:
    why = "PersistentVolumeClaim mine does not exist in namespace default"
    settled = world.settle(seen("gs://bucket/a", "pvc://mine/b", claims={"mine": why}))
    waiting = replace(settled, models=settled.models[1:], agents={"uid-pod-1": make.report()})
    ready = ready_of(waiting)
    assert (ready.reason, ready.message) == ("PersistentVolumeClaimNotFound", f"{why}; the model waits for it")
    assert settled.host
    host = conditions.find(settled.host.status.conditions, conditions.READY)
    assert host
    assert host.status == "True"


@pytest.mark.parametrize("why", ["PersistentVolumeClaim mine does not exist in namespace default", None])
def test_missing_claim_message_says_that_the_previous_version_answers(why: str | None) -> None:
    settled = world.settle(seen("pvc://mine/b", claims={"mine": why}))
    report = make.report(entry_of(settled.models[0]), state=ModelState.PENDING, serving=True)
    message = ready_of(replace(settled, agents={"uid-pod-1": report})).message
    assert str(message).endswith("; the previous version still answers")


def test_model_reports_roll_out_of_pods_with_its_claim() -> None:
    settled = world.settle(seen("pvc://mine/a", claims={"mine": None}))
    rolling = replace(settled, agents={"uid-pod-1": make.report()})
    ready = ready_of(rolling)
    message = "pods are being replaced by ones that mount PersistentVolumeClaim mine; pod-1 has not"
    assert (ready.reason, ready.message) == ("Pending", message)
    volume = {"name": "x", "persistentVolumeClaim": {"claimName": "mine"}}
    mounted = make.pod() | {"spec": {"volumes": [volume]}}
    assert "replaced" not in str(ready_of(replace(rolling, pods=(mounted,))).message)


def many(first: int, count: int) -> dict[str, None]:
    return dict.fromkeys(f"claim-{number:03}" for number in range(first, first + count))


def mounted(observed: Observed) -> list[str]:
    return [path.removeprefix("/mnt/pvc/") for path in folders(pod_spec(observed)) if path.startswith("/mnt/pvc/")]


def on_claims(claims: dict[str, None]) -> Observed:
    models = tuple(make.model(name, uri=f"pvc://{name}/a", memory="1Mi") for name in claims)
    return seen(models=models, claims=claims)


def test_host_mounts_a_bounded_number_of_claims() -> None:
    assert len(mounted(on_claims(many(0, MAX_CLAIMS)))) == MAX_CLAIMS
    assert mounted(on_claims(many(0, 10 * MAX_CLAIMS))) == list(many(0, MAX_CLAIMS))


def test_claims_that_are_mounted_stay_and_the_model_of_another_one_waits() -> None:
    first = many(MAX_CLAIMS, MAX_CLAIMS)
    settled = world.settle(on_claims(first))
    model = make.model("new", uri="pvc://claim-000/a", memory="1Mi")
    more = replace(settled, claims=first | many(0, 1), models=(model, *settled.models))
    full = world.settle(more)
    assert not [each for each in plan(more, make.NOW).applies if each.manifest["kind"] == "Deployment"]
    ready = ready_of(replace(full, agents={"uid-pod-1": make.report()}))
    message = f"the host's pods mount {MAX_CLAIMS} PersistentVolumeClaims; the model waits until one has no model"
    assert (ready.reason, ready.message) == ("PersistentVolumeClaimNotAllowed", message)
    free = replace(more, models=more.models[:-1])
    assert "claim-000" in mounted(free)


PENDING = ClaimRefusal("PersistentVolumeClaim mine is Pending; it must be Bound to a volume")
OWNED = ClaimRefusal("PersistentVolumeClaim mine has the access mode ReadWriteOnce", keeps_mounts=True)


def claim(*modes: str, phase: str | None = "Bound", labels: dict[str, str] | None = None, mode: str = "") -> Manifest:
    return {
        "metadata": {"name": "mine"} | ({"labels": labels} if labels else {}),
        "spec": {"accessModes": [*modes]} | ({"volumeMode": mode} if mode else {}),
        "status": {"phase": phase} if phase else {},
    }


@pytest.mark.parametrize(
    ("manifest", "sentence"),
    [
        (claim("ReadOnlyMany"), None),
        (claim("ReadWriteOnce", "ReadWriteMany", mode="Filesystem"), None),
        (claim("ReadWriteOnce", labels={OWNERS_LABEL: "true"}), None),
        (claim("ReadWriteOnce"), "has the access mode ReadWriteOnce; it must have ReadOnlyMany or ReadWriteMany, or"),
        (claim("ReadWriteOncePod"), "has the access mode ReadWriteOncePod; it must have"),
        (claim("ReadWriteOnce", labels={OWNERS_LABEL: "false"}), f"or its owner's label {OWNERS_LABEL}: 'true'"),
        (claim("ReadWriteMany", phase="Pending"), "is Pending; it must be Bound"),
        (claim("ReadWriteMany", phase="Lost", labels={OWNERS_LABEL: "true"}), "is Lost; it must be Bound"),
        (claim("ReadWriteMany", phase=None), "is Pending; it must be Bound"),
        (claim("ReadWriteMany", mode="Block"), "has the volumeMode Block; it must be Filesystem"),
        ({"metadata": {"name": "mine"}}, "is Pending; it must be Bound"),
    ],
)
def test_claim_is_refused_unless_it_is_bound_a_file_system_and_shared(manifest: Manifest, sentence: str | None) -> None:
    refusal = claim_refusal("mine", manifest)
    assert (refusal is None) == (sentence is None)
    if refusal is not None:
        assert refusal.sentence.startswith("PersistentVolumeClaim mine ")
        assert str(sentence) in refusal.sentence
        assert refusal.keeps_mounts == ("access mode" in refusal.sentence)


def refused(refusal: ClaimRefusal, *uris: str) -> Observed:
    return seen(*uris, claims={"mine": None}, refused_claims={"mine": refusal})


@pytest.mark.parametrize("refusal", [PENDING, OWNED], ids=["pending", "owned"])
def test_refused_claim_is_not_mounted_and_blocks_no_other_model(refusal: ClaimRefusal) -> None:
    observed = refused(refusal, "gs://bucket/a", "pvc://mine/b")
    assert "/mnt/pvc/mine" not in folders(pod_spec(observed))
    settled = world.settle(observed)
    ready = ready_of(replace(settled, models=settled.models[1:], agents={"uid-pod-1": make.report()}))
    message = f"{refusal.sentence}; the model waits for it"
    assert (ready.status, ready.reason, ready.message) == ("False", "PersistentVolumeClaimNotAllowed", message)
    assert settled.host
    host = conditions.find(settled.host.status.conditions, conditions.READY)
    assert host
    assert host.status == "True"


def served(*uris: str) -> Observed:
    """Return a host with loaded models on the claim."""
    return world.settle(seen(*uris, claims={"mine": None}))


def test_mounted_claim_that_is_refused_later_keeps_its_models_with_a_warning() -> None:
    later = replace(served("pvc://mine/a"), refused_claims={"mine": OWNED})
    todo = plan(later, make.NOW)
    assert todo.applies == ()
    assert todo.configs == ()
    ready = ready_of(later)
    assert (ready.status, ready.reason) == ("True", "PersistentVolumeClaimNotAllowed")
    assert str(ready.message).startswith(OWNED.sentence)
    (event,) = todo.events
    assert (event.type, event.reason) == ("Warning", "PersistentVolumeClaimNotAllowed")


def test_claim_that_a_shard_mounts_stays_mounted_when_it_is_refused_later() -> None:
    with sharded.served():
        host = replace(sharded.host(sharded.model(uri="pvc://mine/a"), least=2), claims={"mine": None})
        settled = world.settle(world.settle(host))
        assert claims_of_deployment(settled) == {"mine"}
        todo = plan(replace(settled, refused_claims={"mine": OWNED}), make.NOW)
    assert (todo.applies, todo.configs) == ((), ())
    (event,) = todo.events
    assert (event.type, event.reason) == ("Warning", "PersistentVolumeClaimNotAllowed")


def test_mounted_claim_that_no_pod_can_mount_any_more_leaves_the_pods() -> None:
    later = replace(served("pvc://mine/a"), refused_claims={"mine": PENDING})
    assert "/mnt/pvc/mine" not in folders(pod_spec(later))
    assert ready_of(later).status == "True", "the agent has copied it"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"refused_claims": {"mine": OWNED}}, OWNED.sentence),
        ({"claims": {}}, "PersistentVolumeClaim mine has not been looked up yet"),
        ({"claims": {"mine": "cannot be read"}, "unverified_claims": frozenset({"mine"})}, "cannot be read"),
    ],
    ids=["refused", "unknown", "forbidden"],
)
def test_new_model_is_not_placed_on_a_mounted_claim_that_is_not_for_it(
    change: dict[str, object], sentence: str
) -> None:
    later = replace(served("pvc://mine/a"), **change)  # type: ignore[arg-type]
    assert blocked_claims(later) == {"mine": sentence}
    after = world.settle(replace(later, models=(*later.models, make.model("new", uri="pvc://mine/"))))
    first, second = (conditions.find(each.status.conditions, conditions.READY) for each in after.models)
    assert first
    assert second
    assert first.status == "True"
    assert (second.status, second.reason) == ("False", "InvalidSpec")
    assert f"spec.model.storageUri: {sentence}" in str(second.message)


def test_changed_model_on_a_mounted_claim_that_is_refused_keeps_its_version() -> None:
    later = replace(served("pvc://mine/a"), refused_claims={"mine": OWNED})
    changed = replace(later, models=(make.model("m0", uri="pvc://mine/postgres"),))
    todo = plan(changed, make.NOW)
    assert todo.configs == ()
    ready = ready_of(changed)
    assert (ready.status, ready.reason) == ("False", "InvalidSpec")
