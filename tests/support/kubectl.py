"""kubectl as a user types it, for tests on a real cluster."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from typing import Any

import yaml

Manifest = dict[str, Any]


class Refused(AssertionError):
    """kubectl ended with an error; the text is its output."""


@dataclass(frozen=True)
class Kubectl:
    """kubectl against one cluster and namespace."""

    env: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    namespace: str = "default"

    def __call__(self, *words: str, text: str | None = None, limit: float = 120) -> str:
        """Run kubectl and return its output. Raises `Refused` with its error."""
        done = subprocess.run(
            ["kubectl", "--namespace", self.namespace, *words],
            input=text,
            text=True,
            capture_output=True,
            timeout=limit,
            env=self.env,
            check=False,
        )
        if done.returncode:
            raise Refused(done.stderr.strip() or done.stdout.strip())
        return done.stdout

    def apply(self, *manifests: Manifest) -> str:
        """Apply objects."""
        return self("apply", "-f", "-", text=yaml.safe_dump_all(manifests))

    def here(self, manifest: Manifest) -> Manifest:
        """Return a user's form of an object for this namespace, without the fields that the API server sets."""
        own = {key: each for key, each in manifest["metadata"].items() if key in ("name", "labels", "annotations")}
        return manifest | {"metadata": own | {"namespace": self.namespace}}

    def create(self, manifest: Manifest, *words: str) -> str:
        """Create an object in this namespace. Raises `Refused`."""
        return self("create", *words, "-f", "-", text=json.dumps(self.here(manifest)))

    def try_out(self, manifest: Manifest, *words: str) -> str:
        """Create an object as a dry run. Raises `Refused`."""
        return self.create(manifest, "--dry-run=server", *words)

    def get(self, kind: str, name: str) -> Manifest:
        """Return an object. Raises `Refused` when it does not exist."""
        manifest: Manifest = json.loads(self("get", kind, name, "-o", "json"))
        return manifest

    def list(self, kind: str, *words: str) -> list[Manifest]:
        """Return objects."""
        return list(json.loads(self("get", kind, *words, "-o", "json"))["items"])

    def exists(self, kind: str, name: str) -> bool:
        """Return whether the object exists."""
        return bool(self("get", kind, name, "--ignore-not-found", "-o", "name").strip())


def condition(thing: Manifest, kind: str = "Ready") -> Manifest:
    """Return a condition of an object, or an empty dictionary."""
    conditions = thing.get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == kind), {})
