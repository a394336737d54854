"""The targets `run` and `test T=path` of the Makefile, as far as they need no cluster."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from scripts import run_tests

from tests.support.makefile import PROJECT, make
from tests.support.programs import free_port

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: closed
contexts: [{{name: closed, context: {{cluster: closed, user: nobody}}}}]
clusters: [{{name: closed, cluster: {{server: "http://127.0.0.1:{port}"}}}}]
users: [{{name: nobody, user: {{}}}}]
"""


def test_make_help_lists_the_developer_loop() -> None:
    listed = make("help").stdout
    assert "make run " in listed
    assert "make test T=path " in listed
    assert "make golden " in listed


def test_make_test_runs_one_path_only() -> None:
    ran = make("test", "T=tests/test_backoff.py")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "3 passed" in ran.stdout


def test_make_test_of_a_missing_path_fails_with_its_name() -> None:
    ran = make("test", "T=tests/test_missing.py")
    assert ran.returncode != 0
    assert "tests/test_missing.py" in ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("path", "needed"), [("tests/contract/test_wire.py", "contract"), ("tests/agent/servers/test_real.py", "servers")]
)
def test_markers_of_a_path_are_found_by_collection(path: str, needed: str) -> None:
    code = f"from scripts.run_tests import collected; print(set().union(*collected([{path!r}])))"
    listed = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert listed.stdout.strip() == str({needed})


def test_path_with_a_unit_test_runs_unit_tests_only() -> None:
    assert run_tests.expression([frozenset(), frozenset({"contract"})]) == run_tests.UNIT
    assert run_tests.expression([frozenset({"contract"}), frozenset({"cluster"})]) == ""


def test_make_unit_and_make_test_mean_the_same_unit_tests() -> None:
    makefile = (PROJECT / "Makefile").read_text()
    assert f'-m "{run_tests.UNIT}"' in makefile


def test_make_run_against_a_closed_port_names_the_api_server(tmp_path: Path) -> None:
    kubeconfig, port = tmp_path / "kubeconfig", free_port()
    kubeconfig.write_text(KUBECONFIG.format(port=port))
    ran = make("run", KUBECONFIG=str(kubeconfig))
    assert ran.returncode == 2
    sentence = ran.stderr.splitlines()[0]
    assert sentence.startswith("make run: the API server does not answer as it should")
    assert f"127.0.0.1:{port}" in sentence
