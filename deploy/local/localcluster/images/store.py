"""Keep image archives in the cache, and load them into the nodes that lack them.

The name of an archive has a hash of its inputs, so it is built once. A list of a node's loaded images lies beside its
containerd's data, and is removed with it.
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
    """Return an image's archive, built when it is missing."""
    folder = cache() / "images"
    path = folder / f"{image.name}-{image.key}.tar"
    with lock(f"image-{image.name}"):
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            with step(f"building the image {image.name}", image.note):
                _make(image, path)
    return path


def _make(image: Image, path: Path) -> None:
    """Write an archive under another name first, and drop the older ones of its kind."""
    unfinished = path.with_suffix(".part")
    unfinished.unlink(missing_ok=True)
    image.make(unfinished, image.reference)
    for old in path.parent.glob(f"{image.name}-{'?' * 16}.tar"):
        old.unlink()
    unfinished.rename(path)


def load(cluster: Cluster, names: Iterable[str] = ()) -> None:
    """Load the named images, or all, onto every node of a cluster."""
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
