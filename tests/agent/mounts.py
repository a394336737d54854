"""Folders of Secrets as the kubelet mounts them."""

from __future__ import annotations

from pathlib import Path


class SecretMount:
    """Folder of one Secret: the content changes by the swap of one link."""

    def __init__(self, root: Path, name: str, **keys: str | bytes) -> None:
        self.folder = root / name
        self._count = 0
        self.folder.mkdir(parents=True)
        self.write(**keys)

    def write(self, **keys: str | bytes) -> None:
        """Replace the content by these keys."""
        self._count += 1
        version = self.folder / f"..{self._count}"
        version.mkdir()
        for key, value in keys.items():
            (version / key).write_bytes(value.encode() if isinstance(value, str) else value)
        link = self.folder / "..new"
        link.symlink_to(version.name)
        link.rename(self.folder / "..data")
        for key in keys:
            if not (self.folder / key).is_symlink():
                (self.folder / key).symlink_to(f"..data/{key}")
