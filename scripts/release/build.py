"""All files of a release: chart, manifests, schemas, wheel, bill of materials, and their sums."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from manyserve.api_group import GROUPS, KSERVE
from scripts.release import manifests, sbom, schemas
from scripts.release.archive import sums, write_tgz
from scripts.release.lock import locked
from scripts.release.source import Commit, stage
from scripts.release.version import Image, Refused, Version

SUMS = "SHA256SUMS"


def build(out: Path, version: Version, image: Image, commit: Commit) -> None:
    """Write the files of a release into an empty folder."""
    out.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="manyserve-release-") as scratch:
        source = Path(scratch)
        stage(source, version, image)
        chart = out / f"manyserve-{version.text}.tgz"
        write_tgz(chart, source / "deploy" / "chart", "manyserve", commit.time)
        for group in GROUPS:
            _write_group(out, chart, source / "crds", version, group)
        packages = locked((source / "requirements" / "runtime.txt").read_text())
        (out / "sbom.cdx.json").write_text(sbom.document(packages, version, commit.revision, commit.time))
        _write_wheel(out, source, commit.time)
    (out / SUMS).write_text(sums(out))


def _write_group(out: Path, chart: Path, crds: Path, version: Version, group: str) -> None:
    """Write manifests and schemas of one API group; the files of the second group have its name."""
    folder, suffix = (crds, "") if group == KSERVE else (crds / group, f"-{group}")
    (out / f"install{suffix}.yaml").write_text(manifests.install(chart, version.text, group))
    (out / f"crds{suffix}.yaml").write_text(manifests.crds(folder, version.text, group))
    for path in sorted(folder.glob("*.yaml")):
        for name, text in schemas.files(yaml.safe_load(path.read_text())).items():
            target = out / "schemas" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)


def _write_wheel(out: Path, source: Path, time: int) -> None:
    """Build the wheel; hatchling takes the time of its files from the environment."""
    words = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(out)]
    env = os.environ | {"SOURCE_DATE_EPOCH": str(time)}
    done = subprocess.run(words, cwd=source, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(f"the wheel cannot be built: {done.stderr.strip()}")
