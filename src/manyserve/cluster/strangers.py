"""Never take over an object that is not ours.

A server-side apply by force would make a user's own Service or Ingress ours, if only its name fits. What is
in our copies has our label; before we write something that is not, we look who owns what stands there.
"""

from __future__ import annotations

from manyserve.cluster.client import KubeHttp, Manifest
from manyserve.cluster.copies import key_of
from manyserve.cluster.errors import Conflict, NameTaken, NotFound
from manyserve.cluster.informer import Informer
from manyserve.cluster.kinds import CONFIG_MAP


async def claim(client: KubeHttp, copies: Informer, manifest: Manifest) -> None:
    """Return when the name is free or the object is its owner's own.

    Raises
    ------
    NameTaken
        If somebody else's object has the name.
    Conflict
        If `models.json` is there, but not in our copies. Placing without knowing what is placed could move
        models about, so its labels are put back and the plan is made again when the watch has brought it.
    """
    key = key_of(manifest)
    if key in copies.store:
        return
    try:
        found = await client.get(copies.kind, *key)
    except NotFound:
        return
    if not _owners(found) & _owners(manifest):
        raise NameTaken(f"{copies.kind.name} {key.name} is there already and does not belong to the InferenceService")
    if copies.kind is CONFIG_MAP:
        await _label(client, found, manifest)
        raise Conflict(f"{copies.kind.name} {key.name} has not been read yet")


async def _label(client: KubeHttp, found: Manifest, manifest: Manifest) -> None:
    labels = manifest["metadata"]["labels"]
    if not labels.items() <= (found["metadata"].get("labels") or {}).items():
        await client.merge_patch(CONFIG_MAP, *key_of(found), {"metadata": {"labels": labels}})


def _owners(manifest: Manifest) -> set[str]:
    return {owner["uid"] for owner in manifest["metadata"].get("ownerReferences") or ()}
