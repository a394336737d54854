"""Uninstallation keeps the users' objects, and all commands of the README succeed.

The tests uninstall the chart and install it again, so they run after all others.
"""

from __future__ import annotations

import re
import subprocess

from tests.support.helm import commands
from tests.support.kubectl import Kubectl
from tests.walkthrough.cluster import DemoCluster
from tests.walkthrough.conftest import ROOT
from tests.walkthrough.things import answers, host, model, wait_ready

SYSTEM = "manyserve-system"
WAITS = {
    "SERVICE_HOSTNAME=": "kubectl wait --for=condition=Ready isvc/triton-mms --timeout=2m",
    "curl": "kubectl wait --for=condition=Ready tm/cifar10 --timeout=2m",
}


def readme_commands() -> list[str]:
    """Return the commands of the README's console blocks, in order."""
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    lines = (line.split("  #")[0].strip() for block in blocks for line in block.splitlines())
    return [line for line in lines if line]


def test_install_document_check_of_the_release_succeeds(cluster: DemoCluster) -> None:
    lines = commands(ROOT / "docs" / "install.md", "Check the release")
    done = subprocess.run(
        ["bash", "-ec", "\n".join(lines)], env=cluster.env, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\nok: ") == 5


def test_uninstall_keeps_the_users_objects_and_their_models(cluster: DemoCluster, kubectl: Kubectl) -> None:
    kubectl.apply(host(), model("a"))
    wait_ready(kubectl, "tm", "a")
    words = ["helm", "uninstall", "manyserve", "--namespace", SYSTEM, "--wait"]
    assert " ".join(words[:-1]) in (ROOT / "README.md").read_text()
    subprocess.run(words, env=cluster.env, check=True, capture_output=True, timeout=120)
    assert Kubectl(cluster.env, SYSTEM).list("deployment") == []
    assert kubectl.exists("isvc", "mms")
    assert kubectl.exists("tm", "a")
    assert answers(cluster, kubectl, "a")
    kubectl("delete", "isvc", "mms")


def test_readme_commands_all_succeed(cluster: DemoCluster) -> None:
    listed = readme_commands()
    make = [command for command in listed if command.startswith("make ")]
    assert make == ["make demo", "make test"], "the demo ran before all tests; make test runs this very test"
    assert "make test" in (ROOT / ".ci" / "run").read_text()
    script = ["set -euo pipefail"]
    for command in listed[len(make) :]:
        wait = next((each for start, each in WAITS.items() if command.startswith(start)), None)
        local = " -f deploy/local/values.yaml --wait" if command.startswith("helm install") else ""
        script += [*([wait] if wait else []), f"{command}{local}"]
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=ROOT,
        env=cluster.env,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert '"platform"' in done.stdout
    assert "load-test" in done.stdout
    kubectl = Kubectl(cluster.env)
    wait_ready(kubectl, "tm", "simple-string")
    kubectl("delete", "isvc", "triton-mms")
    kubectl("delete", "job", "--all")
