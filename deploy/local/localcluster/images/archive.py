"""Write an image of one layer as a docker archive, without a container tool.

All files have a fixed owner and time, so the same content results in the same bytes.
"""

import hashlib
import io
import json
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Layer:
    """The files of an image, gathered in order."""

    def __init__(self) -> None:
        self._bytes = io.BytesIO()
        self._tar = tarfile.TarFile(fileobj=self._bytes, mode="w", format=tarfile.GNU_FORMAT)
        self._folders = {"."}

    def folder(self, path: str, mode: int = 0o755) -> None:
        """Add a folder and those above it."""
        place = PurePosixPath(path.lstrip("/"))
        for outer in reversed(place.parents):
            self._folder(str(outer), 0o755)
        self._folder(str(place), mode)

    def file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Add a file."""
        self._above(path)
        _add(self._tar, path.lstrip("/"), content, mode)

    def link(self, path: str, target: str) -> None:
        """Add a symbolic link."""
        self._above(path)
        entry = tarfile.TarInfo(path.lstrip("/"))
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        self._tar.addfile(entry)

    def tree(self, path: str, source: Path) -> None:
        """Add all files below a folder."""
        for file in sorted(p for p in source.rglob("*") if p.is_file()):
            self.file(f"{path}/{file.relative_to(source)}", file.read_bytes())

    def close(self) -> bytes:
        """Return the layer."""
        self._tar.close()
        return self._bytes.getvalue()

    def _above(self, path: str) -> None:
        self.folder(str(PurePosixPath(path).parent))

    def _folder(self, path: str, mode: int) -> None:
        if path not in self._folders:
            self._folders.add(path)
            entry = tarfile.TarInfo(path)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            self._tar.addfile(entry)


def write(path: Path, reference: str, layer: Layer, config: dict[str, Any]) -> None:
    """Write an archive that `ctr images import` and `docker load` take."""
    content = layer.close()
    digest = hashlib.sha256(content).hexdigest()
    image = {
        "architecture": "amd64",
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {"Env": [PATH], "WorkingDir": "/", **config},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "manyserve's local cluster"}],
    }
    about = json.dumps(image, sort_keys=True).encode()
    name, data = f"{hashlib.sha256(about).hexdigest()}.json", f"{digest}/layer.tar"
    manifest = json.dumps([{"Config": name, "RepoTags": [reference], "Layers": [data]}]).encode()
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for entry, body in ((name, about), (data, content), ("manifest.json", manifest)):
            _add(archive, entry, body, 0o644)


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))
