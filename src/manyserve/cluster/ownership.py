"""Ownership at an apply: no object of another owner becomes ours, and a field of another owner is given up.

A server-side apply with force would take over a user's own Service or Ingress of the right name. Our label alone does
not make an object ours. Before we write an object that is not in a store, or has another owner there, its owner
references are read from the API server.
"""

from __future__ import annotations

from manyserve.cluster.client import KubeClient, Manifest
from manyserve.cluster.errors import Conflict, ForeignObject, NotFound, NotTakenOver
from manyserve.cluster.informer import Informer
from manyserve.cluster.kinds import CONFIG_MAP, DEPLOYMENT
from manyserve.cluster.store import key_of
from manyserve.plan.actions import Apply
from manyserve.plan.children import take_over
from manyserve.plan.children.replicas import without_our_replicas
from manyserve.plan.observed import Child


async def ensure_not_foreign(
    client: KubeClient, informer: Informer, manifest: Manifest, *, taking_over: bool = True
) -> None:
    """Return when the name is free, or the object has the same owner.

    Parameters
    ----------
    taking_over
        Whether an object that another controller made for the same owner becomes ours now.

    Raises
    ------
    ForeignObject
        If the object has another owner, or cannot be changed into ours.
    NotTakenOver
        If another controller made the object for the same owner, and it is not taken over now.
    Conflict
        If `models.json` exists, but not in our store. A plan without it could place other models than before. So its
        labels are restored, and the host is planned again when the watch has shown it.
    """
    key = key_of(manifest)
    known = informer.objects.get(key)
    if known is not None and not take_over.is_foreign(known) and _may_be_ours(known, manifest):
        return
    try:
        current = await client.get(informer.kind, *key)
    except NotFound:
        return
    if not _owners(current) & _owners(manifest):
        raise ForeignObject(
            f"{informer.kind.name} {key.name} already exists and does not belong to the InferenceService"
        )
    if informer.kind is CONFIG_MAP:
        await _label(client, current, manifest)
        raise Conflict(f"{informer.kind.name} {key.name} has not been read yet")
    if take_over.is_foreign(current):
        await _take_over(client, informer, current, manifest, now=taking_over)


async def apply_owned(client: KubeClient, informer: Informer, action: Apply) -> None:
    """Apply a manifest with its precondition; of a Deployment without `replicas`, this field is given up first."""
    manifest, key = action.manifest, key_of(action.manifest)
    if informer.kind is DEPLOYMENT and key in informer.objects and "replicas" not in manifest["spec"]:
        await _release_replicas(client, manifest)
    if action.resource_version is not None:
        manifest = manifest | {"metadata": manifest["metadata"] | {"resourceVersion": action.resource_version}}
    await informer.write(key, client.apply(informer.kind, manifest))


async def _release_replicas(client: KubeClient, manifest: Manifest) -> None:
    """Give up `spec.replicas` of a Deployment, for an apply without this field.

    The API server removes a field that its only manager applies no more, and sets `replicas` to its default, 1. A field
    without a manager stays as it is.
    """
    live = await client.get(DEPLOYMENT, *key_of(manifest))
    entries = live["metadata"].get("managedFields") or []
    released = without_our_replicas(entries)
    if released != entries:
        metadata = {"resourceVersion": live["metadata"]["resourceVersion"], "managedFields": released}
        await client.merge_patch(DEPLOYMENT, *key_of(manifest), {"metadata": metadata})


async def _take_over(
    client: KubeClient, informer: Informer, current: Manifest, manifest: Manifest, *, now: bool
) -> None:
    """Prepare an object of another controller for our apply."""
    kind, name = informer.kind, manifest["metadata"]["name"]
    if not now:
        raise NotTakenOver(take_over.pending_message(Child(kind.name, name)))
    if (error := take_over.immutable_error(current, manifest)) is not None:
        raise ForeignObject(error)
    if (patch := take_over.pre_apply_patch(current, manifest)) is not None:
        await client.merge_patch(kind, *key_of(current), patch)


async def _label(client: KubeClient, current: Manifest, manifest: Manifest) -> None:
    labels = manifest["metadata"]["labels"]
    if not labels.items() <= (current["metadata"].get("labels") or {}).items():
        await client.merge_patch(CONFIG_MAP, *key_of(current), {"metadata": {"labels": labels}})


def _may_be_ours(known: Manifest, manifest: Manifest) -> bool:
    owners = _owners(known)
    return not owners or bool(owners & _owners(manifest))


def _owners(manifest: Manifest) -> set[str]:
    return {owner["uid"] for owner in manifest["metadata"].get("ownerReferences") or ()}
