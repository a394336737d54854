"""Keep image archives in the cache, and load them into the nodes that lack them.

An archive's name has the hash of what it was made from, so it is made once. What a node has loaded is
noted beside its containerd's data, and goes away with it.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from localcluster import node
from localcluster.images.catalog import IMAGES, Image
from localcluster.lock import lock
from localcluster.paths import Cluster, Node, cache
from localcluster.say import Refusal, step
from localcluster.wait import until


def ensure(image: Image) -> Path:
    """Return an image's archive, made now if need be."""
    folder = cache() / "images"
    path = folder / f"{image.name}-{image.key}.tar"
    with lock(f"image-{image.name}"):
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            with step(f"building the image {image.name}", image.note):
                _make(image, path)
    return path


def _make(image: Image, path: Path) -> None:
    """Make an archive under another name first, and drop the older ones of its kind."""
    unfinished = path.with_suffix(".part")
    unfinished.unlink(missing_ok=True)
    image.make(unfinished, image.reference)
    for old in path.parent.glob(f"{image.name}-{'?' * 16}.tar"):
        old.unlink()
    unfinished.rename(path)


def load(cluster: Cluster, names: Iterable[str] = ()) -> None:
    """Have the named images, or all, on every node of a cluster."""
    for name in names or [name for name, image in IMAGES.items() if not image.asked_for]:
        if name not in IMAGES:
            raise Refusal(f"there is no image {name}: the images are {', '.join(IMAGES)}")
        path = ensure(IMAGES[name])
        for member in cluster.members:
            _load(member, IMAGES[name].reference, path)


def _load(member: Node, reference: str, path: Path) -> None:
    note = member.folder / "images.json"
    loaded = json.loads(note.read_text()) if note.exists() else {}
    if loaded.get(reference) == path.name:
        return
    until("containerd", lambda: node.containerd_answers(member), limit=60)
    with step(f"loading {reference} into {member.name}"):
        node.ctr(member, "images", "import", str(path))
    note.write_text(json.dumps({**loaded, reference: path.name}))
