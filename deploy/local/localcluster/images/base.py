"""The Python image that Dockerfiles start from: the public one, or a stand-in where no registry answers.

The stand-in is Debian 12 with Python 3.11 from Debian's packages, with the commands also in /usr/local/bin, where the
public image has them. It has the public name, but only in a separate storage. Two things differ. There is no `pip`
outside a virtual environment (make one with `python -m venv`), and paths below /usr/local other than those commands
do not exist.
"""

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path

from localcluster.process import run
from localcluster.say import Failure, step

NAME = "docker.io/library/python:3.11-slim"
PACKAGES = "python3,python3-venv,libpython3.11,ca-certificates"
COMMANDS = {"python": "python3", "python3": "python3", "python3.11": "python3.11"}
UNNEEDED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")
LABEL = "io.manyserve.stand-in"

Buildah = Callable[..., str]


def ensure(buildah: Buildah) -> None:
    """Ensure the base image in the storage."""
    ours = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    if _found(buildah, f"{LABEL}={ours}") or (_found(buildah) and not _found(buildah, LABEL)):
        return
    try:
        buildah("pull", "--quiet", "--policy=always", NAME)
    except Failure:
        _stand_in(buildah, f"{LABEL}={ours}")


def _found(buildah: Buildah, label: str = "") -> bool:
    """Return whether the storage has the image, with a label if one is given."""
    filters = ["--filter", f"reference={NAME}", *(["--filter", f"label={label}"] if label else [])]
    return bool(buildah("images", "--quiet", *filters).strip())


def _stand_in(buildah: Buildah, label: str) -> None:
    with tempfile.TemporaryDirectory() as scratch, step("no registry answers: making a Python base from Debian"):
        files = Path(scratch) / "base.tar"
        options = [f"--dpkgopt=path-exclude={path}" for path in UNNEEDED]
        links = [f"ln -s /usr/bin/{target} $1/usr/local/bin/{name}" for name, target in COMMANDS.items()]
        options += [f"--customize-hook={link}" for link in links]
        run(["mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", *options, "bookworm", files])
        container = buildah("from", "scratch").strip()
        buildah("add", container, str(files), "/")
        buildah("config", "--cmd", "python3", "--env", "LANG=C.UTF-8", "--label", label, container)
        buildah("commit", "--rm", container, NAME)
