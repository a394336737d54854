"""The Python image that Dockerfiles start from: the public one, or a stand-in where no registry answers.

The stand-in is Debian 12 with Python 3.11 and pip from Debian's packages, with the commands also in
/usr/local/bin, where the public image has them. It is under the public name, but only in our own
storage; Dockerfiles must not name other paths of the public image than those commands.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

from localcluster.process import run
from localcluster.say import Failure, step

NAME = "docker.io/library/python:3.11-slim"
PACKAGES = "python3,python3-pip,python3-venv,ca-certificates,libpython3.11"
LINKS = {"python": "python3", "python3": "python3", "python3.11": "python3.11", "pip": "pip3", "pip3": "pip3"}

Buildah = Callable[..., str]


def ensure(buildah: Buildah) -> None:
    """Have the base image in our storage."""
    if buildah("images", "--quiet", "--filter", f"reference={NAME}").strip():
        return
    try:
        buildah("pull", "--quiet", "--retry=0", NAME)
    except Failure:
        _stand_in(buildah)


def _stand_in(buildah: Buildah) -> None:
    with tempfile.TemporaryDirectory() as scratch, step("making a Python base image from Debian packages"):
        files = Path(scratch) / "base.tar"
        hooks = [f"ln -s /usr/bin/{target} $1/usr/local/bin/{name}" for name, target in LINKS.items()]
        hooks.append("rm -f $1/usr/lib/python3*/EXTERNALLY-MANAGED")
        options = [f"--customize-hook={hook}" for hook in hooks]
        run(["mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", *options, "bookworm", files])
        container = buildah("from", "scratch").strip()
        buildah("add", container, str(files), "/")
        buildah("config", "--cmd", "python3", "--env", "LANG=C.UTF-8", container)
        buildah("commit", "--rm", container, NAME)
