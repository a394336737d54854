"""Requirements of a cluster on its machine: installed where possible, else refused in one sentence."""

import os
import sys
from pathlib import Path

import pytest

from localcluster import cli, host, process
from localcluster.say import Failure, Refusal


def has(monkeypatch: pytest.MonkeyPatch, *programs: str, user: int = 0) -> list[list[str]]:
    """Give the machine these programs and this user; return the commands that it is asked to run."""
    ran: list[list[str]] = []
    monkeypatch.setattr(host, "program", lambda name: f"/usr/bin/{name}" if name in programs else None)
    monkeypatch.setattr(host, "run", lambda command, **_: ran.append(command))
    monkeypatch.setattr(os, "geteuid", lambda: user)
    return ran


def test_host_installs_openssl_for_control_plane(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = has(monkeypatch, "apt-get")
    host.check_for_control_plane()
    assert [command[-1] for command in ran] == ["openssl"]


def test_host_installs_nothing_when_openssl_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = has(monkeypatch, "openssl", user=1000)
    host.check_for_control_plane()
    assert ran == []


@pytest.mark.parametrize(("programs", "user"), [(["apt-get"], 1000), ([], 0)])
def test_host_refuses_in_one_sentence_without_openssl(
    monkeypatch: pytest.MonkeyPatch, programs: list[str], user: int
) -> None:
    ran = has(monkeypatch, *programs, user=user)
    with pytest.raises(Refusal, match="the control plane needs openssl"):
        host.check_for_control_plane()
    assert ran == []


def test_host_refusal_comes_before_any_build_with_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    has(monkeypatch, user=1000)
    monkeypatch.setenv("MANYSERVE_CACHE", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["localcluster", "up", "--control-plane-only", "--port", "28700"])
    assert cli.main() == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="nodes need Linux")
def test_host_installs_programs_of_walkthrough_for_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = has(monkeypatch, "apt-get")
    host.check_for_nodes()
    assert {"curl", "openssl", "containerd"} <= set(ran[0])


def test_host_names_missing_program_in_one_sentence() -> None:
    with pytest.raises(Failure, match="`no-such-program` is needed, and this machine does not have it"):
        process.run(["no-such-program"])
