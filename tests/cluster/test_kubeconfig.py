"""Cluster config: from a pod's service account, else from a kubeconfig."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from manyserve.api.errors import StartupError
from manyserve.cluster.kubeconfig import find_cluster_config

KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: lab, cluster: {server: "http://127.0.0.1:1234/"}}]
users: [{name: me, user: {token: secret}}]
contexts: [{name: lab, context: {cluster: lab, user: me}}]
current-context: lab
"""


def test_kubeconfig_has_server_and_token(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(KUBECONFIG)
    config = find_cluster_config({"KUBECONFIG": str(path)})
    assert config.server == "http://127.0.0.1:1234"
    assert config.token() == "secret"


def test_missing_kubeconfig_is_an_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"^no access to a cluster: .+$") as caught:
        find_cluster_config({"KUBECONFIG": str(tmp_path / "absent")})
    assert "\n" not in str(caught.value)


def test_unreadable_service_account_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")
    with pytest.raises(StartupError, match="cannot be read"):
        find_cluster_config({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, folder=tmp_path)


def test_kubeconfig_without_the_package_kubernetes_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "kubernetes.client", None)
    with pytest.raises(StartupError, match=r"needs the package kubernetes: pip install 'manyserve\[kubeconfig\]'$"):
        find_cluster_config({"KUBECONFIG": str(tmp_path / "config")})


@pytest.mark.parametrize("text", ["{: [", "just words", "[]", "clusters: 7", "", "current-context: x", "\0"])
def test_input_31_malformed_kubeconfig_is_an_error_of_one_line_with_its_path(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(StartupError) as error:
        find_cluster_config({"KUBECONFIG": str(path)})
    assert f"the kubeconfig {path} cannot be used: " in str(error.value)
    assert len(str(error.value).splitlines()) == 1
