"""Who we are and where the API server is: a pod's service account, else a kubeconfig."""

from __future__ import annotations

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


def test_a_kubeconfig_is_read(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(KUBECONFIG)
    access = find_cluster_config({"KUBECONFIG": str(path)})
    assert access.server == "http://127.0.0.1:1234"
    assert access.token() == "secret"


def test_no_access_is_one_line_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"^no access to a cluster: .+$") as caught:
        find_cluster_config({"KUBECONFIG": str(tmp_path / "absent")})
    assert "\n" not in str(caught.value)


def test_a_service_account_that_cannot_be_read_is_one_line_too(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")
    with pytest.raises(StartupError, match="cannot be read"):
        find_cluster_config({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, folder=tmp_path)


@pytest.mark.parametrize("text", ["{: [", "just words", "[]", "clusters: 7", "", "current-context: x", "\0"])
def test_input_31_what_is_no_kubeconfig_is_one_line_that_names_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(StartupError) as error:
        find_cluster_config({"KUBECONFIG": str(path)})
    assert f"the kubeconfig {path} cannot be used: " in str(error.value)
    assert len(str(error.value).splitlines()) == 1
