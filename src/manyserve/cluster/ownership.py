"""Never take over an object that is not ours.

A server-side apply by force would make a user's own Service or Ingress ours, if only its name fits. What is
in our copies has our label; before we write something that is not, we look who owns what stands there.
"""

from __future__ import annotations

from manyserve.cluster.client import KubeClient, Manifest
from manyserve.cluster.errors import Conflict, ForeignObject, NotFound, NotTakenOver
from manyserve.cluster.informer import Informer
from manyserve.cluster.kinds import CONFIG_MAP
from manyserve.cluster.store import key_of
from manyserve.plan.children import take_over
from manyserve.plan.observed import Child


async def ensure_not_foreign(
    client: KubeClient, copies: Informer, manifest: Manifest, *, taking_over: bool = True
) -> None:
    """Return when the name is free or the object is its owner's own.

    Parameters
    ----------
    taking_over
        Whether an object that another controller made for the same owner becomes ours now.

    Raises
    ------
    ForeignObject
        If somebody else's object has the name, or one that cannot be changed into ours.
    NotTakenOver
        If another controller made the object for the same owner, and it is not taken over now.
    Conflict
        If `models.json` is there, but not in our copies. Placing without knowing what is placed could move
        models about, so its labels are put back and the plan is made again when the watch has brought it.
    """
    key = key_of(manifest)
    if key in copies.objects:
        return
    try:
        found = await client.get(copies.kind, *key)
    except NotFound:
        return
    if not _owners(found) & _owners(manifest):
        raise ForeignObject(
            f"{copies.kind.name} {key.name} is there already and does not belong to the InferenceService"
        )
    if copies.kind is CONFIG_MAP:
        await _label(client, found, manifest)
        raise Conflict(f"{copies.kind.name} {key.name} has not been read yet")
    if take_over.is_foreign(found):
        await _take_over(client, copies, found, manifest, now=taking_over)


async def _take_over(client: KubeClient, copies: Informer, found: Manifest, manifest: Manifest, *, now: bool) -> None:
    """Make an object of another controller ready for the apply of ours."""
    kind, name = copies.kind, manifest["metadata"]["name"]
    if not now:
        raise NotTakenOver(take_over.pending_message(Child(kind.name, name)))
    if (error := take_over.immutable_error(found, manifest)) is not None:
        raise ForeignObject(error)
    if (patch := take_over.pre_apply_patch(found, manifest)) is not None:
        await client.merge_patch(kind, *key_of(found), patch)


async def _label(client: KubeClient, found: Manifest, manifest: Manifest) -> None:
    labels = manifest["metadata"]["labels"]
    if not labels.items() <= (found["metadata"].get("labels") or {}).items():
        await client.merge_patch(CONFIG_MAP, *key_of(found), {"metadata": {"labels": labels}})


def _owners(manifest: Manifest) -> set[str]:
    return {owner["uid"] for owner in manifest["metadata"].get("ownerReferences") or ()}
