"""Files of a release: the same bytes each time, the version in each of them, and refusals."""

from __future__ import annotations

import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml
from scripts.release import source
from scripts.release.version import Refused, parse_image, parse_version

from tests.release.conftest import DIGEST, IMAGE, VERSION, made
from tests.support.makefile import make

EXPECTED = {
    "SHA256SUMS",
    "crds-serving.manyserve.io.yaml",
    "crds.yaml",
    "install-serving.manyserve.io.yaml",
    "install.yaml",
    "manyserve-1.2.0-rc.1.tgz",
    "manyserve-1.2.0rc1-py3-none-any.whl",
    "sbom.cdx.json",
    "schemas",
}


def chart_file(release: Path, name: str) -> str:
    """Return a file of the chart in the release."""
    with tarfile.open(release / f"manyserve-{VERSION}.tgz") as archive:
        found = archive.extractfile(f"manyserve/{name}")
        assert found is not None
        return found.read().decode()


def test_release_has_its_files_and_their_sums(release: Path) -> None:
    assert {path.name for path in release.iterdir()} == EXPECTED
    done = subprocess.run(
        ["sha256sum", "--check", "SHA256SUMS"], cwd=release, capture_output=True, text=True, check=True
    )
    files = {str(path.relative_to(release)) for path in release.rglob("*") if path.is_file()}
    assert {line.removesuffix(": OK") for line in done.stdout.splitlines()} == files - {"SHA256SUMS"}


def test_release_made_twice_has_the_same_hashes(release: Path, tmp_path: Path) -> None:
    again = made(tmp_path / "again")
    assert (again / "SHA256SUMS").read_text() == (release / "SHA256SUMS").read_text()


def test_release_has_its_version_in_chart_manifests_and_wheel(release: Path) -> None:
    chart = yaml.safe_load(chart_file(release, "Chart.yaml"))
    assert (chart["version"], chart["appVersion"]) == (VERSION, VERSION)
    assert chart["annotations"]["artifacthub.io/prerelease"] == "true"
    assert f"image: manyserve/manyserve:{VERSION}" in chart["annotations"]["artifacthub.io/images"]
    assert f"image: manyserve/manyserve:{VERSION}\n" in (release / "install.yaml").read_text()
    with zipfile.ZipFile(release / "manyserve-1.2.0rc1-py3-none-any.whl") as wheel:
        metadata = wheel.read("manyserve-1.2.0rc1.dist-info/METADATA").decode()
    assert "\nVersion: 1.2.0rc1\n" in metadata
    assert "Provides-Extra: server" in metadata


def test_release_with_an_image_has_it_in_chart_and_manifests(tmp_path: Path) -> None:
    release = made(tmp_path / "release", IMAGE)
    values = yaml.safe_load(chart_file(release, "values.yaml"))
    assert values["image"]["repository"] == "registry.example.com:5000/ml/manyserve"
    assert values["image"]["digest"] == DIGEST
    assert f"image: {IMAGE}\n" in (release / "install.yaml").read_text()
    assert f"image: {IMAGE}\n" in chart_file(release, "Chart.yaml")


def test_wheel_of_the_release_has_every_module(release: Path) -> None:
    with zipfile.ZipFile(release / "manyserve-1.2.0rc1-py3-none-any.whl") as wheel:
        packed = {name for name in wheel.namelist() if name.startswith("manyserve/")}
    tracked = subprocess.run(["git", "ls-files", "src"], cwd=source.ROOT, capture_output=True, text=True, check=True)
    assert packed == {line.removeprefix("src/") for line in tracked.stdout.splitlines()}


@pytest.mark.parametrize(
    "text", ["", "1", "1.2", "v1.2.3", "01.2.3", "1.2.3+build", "1.2.3-foo", "1.2.3-rc", "1.2.3-rc.01", "1.2.3\n"]
)
def test_bad_version_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(Refused, match=r"is no version: it has three numbers, such as 1\.2\.0"):
        parse_version(text)


@pytest.mark.parametrize(
    ("text", "python"), [("1.2.3", "1.2.3"), ("0.10.0-alpha.0", "0.10.0a0"), ("2.0.0-beta.12", "2.0.0b12")]
)
def test_version_has_a_form_for_python(text: str, python: str) -> None:
    assert parse_version(text).python == python


@pytest.mark.parametrize(
    "text", ["manyserve:1.0", "r.example/m@sha256:abc", "UPPER/x", "a b", "r.example/m:1@" + DIGEST]
)
def test_image_with_a_tag_or_a_bad_digest_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="is no image without a tag"):
        parse_image(text)


def test_make_release_of_a_bad_version_fails_with_the_sentence() -> None:
    ran = make("release", "VERSION=one")
    assert ran.returncode != 0
    assert "make release: VERSION='one' is no version" in ran.stderr


def test_release_refuses_changes_that_are_not_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "ROOT", tmp_path)
    with pytest.raises(Refused, match="a release is made from a git repository"):
        source.commit()
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    file = tmp_path / "pyproject.toml"
    file.write_text("one")
    for words in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    source.refuse_changes()
    file.write_text("two")
    with pytest.raises(Refused, match=r"a release has what is committed, and 1 files are not: pyproject\.toml"):
        source.refuse_changes()
