"""The source of a release: the tracked files in a folder of their own, with the release's version in them."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from scripts.release.version import Image, Refused, Version

ROOT = Path(__file__).resolve().parents[2]
TRACKED = ("pyproject.toml", "README.md", "LICENSE", "requirements/runtime.txt", "src", "crds", "deploy/chart")


@dataclass(frozen=True)
class Commit:
    """The commit of a release: its hash and its time in seconds since 1970."""

    revision: str
    time: int


def commit() -> Commit:
    """Return the last commit. Raises `Refused` outside of a repository."""
    revision, time = _git("log", "-1", "--format=%H %ct").split()
    return Commit(revision, int(time))


def refuse_changes() -> None:
    """Raise `Refused` while tracked files differ from the last commit."""
    changed = _git("status", "--porcelain", "--untracked-files=no").splitlines()
    if changed:
        names = ", ".join(line[3:] for line in changed[:3])
        raise Refused(f"a release has what is committed, and {len(changed)} files are not: {names}; commit them first")


def stage(folder: Path, version: Version, image: Image) -> None:
    """Copy the tracked files into a folder, and write version and image into them."""
    for name in filter(None, _git("ls-files", "-z", "--", *TRACKED).split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)
    _write(folder / "pyproject.toml", {r'^version = ".*"$': f'version = "{version.python}"'})
    chart = folder / "deploy" / "chart"
    reference = f"{image.name}@{image.digest}" if image.digest else f"{image.name}:{version.text}"
    _write(
        chart / "Chart.yaml",
        {
            r"^version: .*$": f"version: {version.text}",
            r"^appVersion: .*$": f"appVersion: {version.text}",
            r"(?<=^  artifacthub.io/prerelease: ).*$": f'"{str(version.stage is not None).lower()}"',
            r"(?<=^      image: )manyserve/manyserve:.*$": reference,
        },
    )
    _write(
        chart / "values.yaml",
        {
            r"^  repository: manyserve/manyserve$": f"  repository: {image.name}",
            r'(?<=; it wins over the tag.\n)  digest: ""$': f'  digest: "{image.digest}"',
        },
    )


def _write(path: Path, changes: dict[str, str]) -> None:
    """Replace each pattern in a file. Each must be there once."""
    text = path.read_text()
    for pattern, new in changes.items():
        text, count = re.subn(pattern, new, text, flags=re.MULTILINE)
        if count != 1:
            raise Refused(f"{path.name} has {count} lines {pattern!r}, and a release writes one")
    path.write_text(text)


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(f"a release is made from a git repository: {done.stderr.strip()}")
    return done.stdout
