"""The list of images with their names, builders and inputs."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from localcluster import helpers
from localcluster.images import archive, base, builder, plain
from localcluster.paths import HERE, PROJECT
from localcluster.tools import TOOLS

PRODUCT_FILES = ("Dockerfile", ".dockerignore", "pyproject.toml", "README.md", "LICENSE", "requirements", "src")


@dataclass(frozen=True)
class Image:
    """One image: `make` writes it as a docker archive to a path under a reference."""

    name: str
    reference: str
    make: Callable[[Path, str], None]
    inputs: Callable[[], Iterable[Path | str]]
    note: str = ""
    asked_for: bool = False
    """Loaded only when it is named: the demo does without it."""

    @property
    def key(self) -> str:
        """A hash of its inputs."""
        digest = hashlib.sha256(self.reference.encode())
        for item in self.inputs():
            for file in _files(item) if isinstance(item, Path) else ():
                digest.update(file.name.encode() + b"\0" + file.read_bytes())
            digest.update(str(item).encode() if isinstance(item, str) else b"\0")
        return digest.hexdigest()[:16]


def _files(path: Path) -> list[Path]:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [file for file in files if file.is_file() and "__pycache__" not in file.parts]


def _plain(*items: Path | str) -> Callable[[], Iterable[Path | str]]:
    return lambda: (Path(archive.__file__), Path(plain.__file__), *items)


IMAGES = {
    image.name: image
    for image in (
        Image("pause", "docker.io/manyserve/pause:1", plain.pause, _plain(TOOLS["pause"].key)),
        Image(
            "busybox",
            "docker.io/manyserve/busybox:1",
            plain.busybox,
            _plain(plain.BUSYBOX),
        ),
        Image(
            "fake-gcs-server",
            "docker.io/manyserve/fake-gcs-server:1",
            plain.fake_gcs_server,
            _plain(TOOLS["fake-gcs-server"].key, plain.MODELS, helpers.REQUIREMENTS),
        ),
        Image(
            "vegeta",
            "docker.io/manyserve/vegeta:12",
            plain.vegeta,
            _plain(TOOLS["vegeta"].key, plain.BUSYBOX),
        ),
        Image(
            "versitygw",
            "docker.io/manyserve/versitygw:1",
            plain.versitygw,
            _plain(TOOLS["versitygw"].key, plain.BUSYBOX),
            asked_for=True,
        ),
        Image(
            "envoy",
            "docker.io/manyserve/envoy:1",
            plain.envoy,
            _plain(helpers.REQUIREMENTS),
            asked_for=True,
        ),
        Image(
            "tritonserver",
            "docker.io/manyserve/tritonserver:2.51.0-cpu",
            builder.making(HERE / "images" / "triton"),
            lambda: [Path(base.__file__), HERE / "images" / "triton"],
            note="first time: 2 to 4 minutes",
        ),
        Image(
            "manyserve",
            "docker.io/manyserve/manyserve:dev",
            builder.making(PROJECT),
            lambda: [Path(base.__file__), *(PROJECT / name for name in PRODUCT_FILES)],
            note="first time: 1 to 3 minutes",
        ),
    )
}
SMALL = ("pause", "busybox")
