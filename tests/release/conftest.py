"""Fixtures: the files of a release, and a real API server. Tests with programs of `make tools` are contract tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripts.release.build import build
from scripts.release.source import commit
from scripts.release.version import parse_image, parse_version

from localcluster import tools
from localcluster.paths import cache
from tests.support.control_plane import bare_server, mark

__all__ = ["bare_server"]
VERSION = "1.2.0-rc.1"
DIGEST = f"sha256:{'a' * 64}"
IMAGE = f"registry.example.com:5000/ml/manyserve@{DIGEST}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    needed = {"bare_server", "kubeconform", "registry"}
    found = [each for each in items if needed & set(getattr(each, "fixturenames", ()))]
    mark(found, Path(__file__).parent, "contract")


def made(out: Path, image: str = "") -> Path:
    """Make a release of the tracked files in a folder, and return it."""
    build(out, parse_version(VERSION), parse_image(image), commit())
    return out


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a release."""
    return made(tmp_path_factory.mktemp("release") / VERSION)


@pytest.fixture(scope="session")
def kubeconform() -> Path:
    """Return the program that checks manifests with JSON schemas."""
    tools.ensure("kubeconform")
    return cache() / "bin" / "kubeconform"


@pytest.fixture(scope="session")
def registry() -> Path:
    """Return the program of a registry of OCI."""
    tools.ensure("registry")
    return cache() / "bin" / "registry"
