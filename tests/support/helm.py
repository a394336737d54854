"""helm as a user types it, for tests on a real API server."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.support.eventually import eventually_sync
from tests.support.kubectl import Kubectl, Refused
from tests.support.programs import PROJECT


class HelmFailed(AssertionError):
    """helm ended with an error; the text is its output."""


@dataclass(frozen=True)
class Helm:
    """helm against one cluster, with the repository's root as its working directory."""

    env: Mapping[str, str]

    def __call__(self, *words: str, limit: float = 120) -> str:
        """Run helm and return its output. Raises `HelmFailed` with its error."""
        return self._run([str(Path(sys.executable).with_name("helm")), *words], limit)

    def shell(self, command: str, limit: float = 120) -> str:
        """Run a command line of a document, with helm and kubectl in PATH. Raises `HelmFailed`."""
        return self._run(["bash", "-ec", command], limit)

    def install(self, namespace: str, *values: str, words: tuple[str, ...] = (), limit: float = 120) -> str:
        """Install the chart as a release named manyserve. Raises `HelmFailed`."""
        settings = [part for value in values for part in ("--set", value)]
        command = ("install", "manyserve", "deploy/chart", "-n", namespace, "--create-namespace", *settings, *words)
        return self(*command, limit=limit)

    def releases(self) -> list[tuple[str, str]]:
        """Return the namespace and the name of every release."""
        releases = json.loads(self("list", "--all", "--all-namespaces", "-o", "json"))
        return [(each["namespace"], each["name"]) for each in releases]

    def _run(self, command: list[str], limit: float) -> str:
        path = f"{Path(sys.executable).parent}{os.pathsep}{self.env['PATH']}"
        done = subprocess.run(
            command,
            cwd=PROJECT,
            env=dict(self.env) | {"PATH": path},
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
        if done.returncode:
            raise HelmFailed(done.stderr.strip())
        return done.stdout


@contextmanager
def released(helm: Helm, kubectl: Kubectl) -> Iterator[Helm]:
    """Yield helm; at the end all releases, CRDs and their objects are removed."""
    try:
        yield helm
    finally:
        for namespace, name in helm.releases():
            helm("uninstall", name, "-n", namespace)
        remove_crds(kubectl)


def remove_crds(kubectl: Kubectl) -> None:
    """Delete the CRDs of both groups, and the objects with their finalizers."""
    for crd in our_crds(kubectl):
        for resource in kubectl.list(crd, "--all-namespaces"):
            metadata = resource["metadata"]
            if metadata.get("finalizers"):
                where = ("--namespace", metadata["namespace"])
                patch = json.dumps({"metadata": {"finalizers": None}})
                kubectl(*where, "patch", crd, metadata["name"], "--type=merge", "-p", patch)
        kubectl("delete", "crd", crd, "--wait=false")
    eventually_sync(lambda: not _still_there(kubectl), "the CRDs are gone", pause=0.5)


def our_crds(kubectl: Kubectl) -> list[str]:
    """Return the names of the CRDs of both groups."""
    names = [each["metadata"]["name"] for each in kubectl.list("crd")]
    return [each for each in names if each.endswith((".serving.kserve.io", ".serving.manyserve.io"))]


def _still_there(kubectl: Kubectl) -> list[str]:
    """Return the CRDs that are left, after a change of each.

    The API server gives up on a CRD that is deleted within seconds of its creation (`InstanceDeletionFailed`, "storage
    is (re)initializing"), until something changes it.
    """
    left = our_crds(kubectl)
    for crd in left:
        with suppress(Refused):  # it was deleted meanwhile
            kubectl("annotate", "--overwrite", "crd", crd, f"test={time.monotonic()}")
    return left


def commands(document: Path, heading: str) -> list[str]:
    """Return the commands of the console blocks under a heading; a backslash continues a line."""
    text = document.read_text()
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    blocks = [each.partition("\n```")[0] for each in section.split("```console\n")[1:]]
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.join(shlex.split(line, comments=True)) for line in lines if line.strip()]
