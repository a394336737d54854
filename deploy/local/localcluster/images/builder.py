"""Build an image from a Dockerfile with buildah, in a separate container storage in the cache.

The Dockerfiles start from `docker.io/library/python:3.11-slim`, the public image. Where no registry answers, `base`
builds a stand-in of that name from Debian packages, so that the same Dockerfiles build.
"""

import json
from collections.abc import Callable
from pathlib import Path

from localcluster import host
from localcluster.images import base
from localcluster.paths import cache
from localcluster.process import run
from localcluster.say import Refusal

CERTIFICATES = Path("/etc/ssl/certs")
MANY = 60


def making(context: Path) -> Callable[[Path, str], None]:
    """Return the function that builds the Dockerfile in a folder."""

    def make(path: Path, reference: str) -> None:
        if not (context / "Dockerfile").exists():
            raise Refusal(f"there is no {context / 'Dockerfile'} to build {reference} from")
        host.check_for_images()
        base.ensure(buildah)
        trust = ["--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro"] if CERTIFICATES.is_dir() else []
        options = ["--isolation=chroot", "--network=host", "--pull=never", "--layers", *trust]
        buildah("build", *options, "--tag", reference, str(context))
        buildah("push", reference, f"docker-archive:{path}:{reference}")
        _prune()

    return make


def _prune() -> None:
    """Drop the layers of earlier builds when there are many; they make the next build quick."""
    if len(buildah("images", "--all", "--quiet").split()) > MANY:
        buildah("rmi", "--prune")


def buildah(*words: str) -> str:
    """Run buildah with its separate storage and settings."""
    return run(["buildah", *words], env=_environment())


def _environment() -> dict[str, str]:
    home = cache() / "containers"
    (home / "tmp").mkdir(parents=True, exist_ok=True)
    storage = f'[storage]\ndriver = "overlay"\ngraphroot = "{home}/root"\nrunroot = "{home}/run"\n'
    (home / "storage.conf").write_text(storage)
    (home / "policy.json").write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}]}))
    (home / "registries.conf").write_text('unqualified-search-registries = ["docker.io"]\n')
    return {
        "CONTAINERS_STORAGE_CONF": f"{home}/storage.conf",
        "CONTAINERS_REGISTRIES_CONF": f"{home}/registries.conf",
        "TMPDIR": f"{home}/tmp",
        "BUILDAH_ISOLATION": "chroot",
    }
