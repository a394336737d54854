"""The release's chart in a registry of OCI on this machine: pushed, pulled and installed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcluster.paths import Cluster
from tests.release.conftest import VERSION
from tests.support.control_plane import environment
from tests.support.eventually import eventually_sync
from tests.support.helm import Helm, commands, released
from tests.support.kubectl import Kubectl
from tests.support.programs import PROJECT, free_port, read

INSTALL = PROJECT / "docs" / "install.md"


@pytest.fixture
def address(registry: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a registry with its content in memory."""
    port = free_port()
    with (
        (tmp_path / "registry.log").open("wb") as log,
        subprocess.Popen([registry, "-port", str(port)], stdout=log, stderr=log) as running,
    ):
        try:
            eventually_sync(lambda: "repositories" in read(port, "/v2/_catalog"), "the registry answers")
            yield f"localhost:{port}"
        finally:
            running.kill()


@pytest.fixture
def helm(bare_server: Cluster) -> Iterator[Helm]:
    """helm on the API server without CRDs."""
    kubectl = Kubectl(environment(bare_server))
    with released(Helm(kubectl.env), kubectl) as helm:
        yield helm


def test_install_document_pushes_the_chart_to_a_registry_and_installs_it_from_there(
    helm: Helm, address: str, release: Path, tmp_path: Path
) -> None:
    push, install = commands(INSTALL, "The chart in a registry")
    chart = release / f"manyserve-{VERSION}.tgz"
    helm.shell(
        f"{push} --plain-http".replace("manyserve-1.2.0.tgz", str(chart)).replace("registry.example.com", address)
    )
    pull = ("pull", f"oci://{address}/charts/manyserve", "--version", VERSION)
    helm(*pull, "--plain-http", "--destination", str(tmp_path))
    assert (tmp_path / chart.name).read_bytes() == chart.read_bytes()
    helm.shell(f"{install} --plain-http".replace(" 1.2.0 ", f" {VERSION} ").replace("registry.example.com", address))
    assert helm.releases() == [("manyserve-system", "manyserve")]
    assert f"manyserve/manyserve:{VERSION}" in helm("get", "manifest", "manyserve", "-n", "manyserve-system")
