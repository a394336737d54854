"""Tokens that come to their end: a kubeconfig whose program prints the token that is good now."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from tests.faults.env import FaultEnv

LONG_AGO = "2000-01-01T00:00:00Z"


class Tokens:
    """The tokens of the operator, each of a service account of its own; the next one ends the one before."""

    def __init__(self, env: FaultEnv) -> None:
        self._scene = env
        self._file = env.folder / "token.json"
        self._account = ""

    async def next(self) -> None:
        """Make another account with all rights, and have its token be the one that is good."""
        number = int(self._account.rpartition("-")[2] or 0) + 1
        before, self._account = self._account, f"operator-{number}"
        namespace = self._scene.kubectl.namespace
        await self._scene.do("create", "serviceaccount", self._account)
        subject = f"--serviceaccount={namespace}:{self._account}"
        await self._scene.do(
            "create", "clusterrolebinding", f"{namespace}-{number}", "--clusterrole=cluster-admin", subject
        )
        token = (await self._scene.do("create", "token", self._account)).strip()
        status = {"token": token, "expirationTimestamp": LONG_AGO}  # so that the program is asked each time
        credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
        self._file.write_text(json.dumps(credential))
        if before:
            await self._scene.do("delete", "serviceaccount", before)

    def use(self, kubeconfig: Path) -> None:
        """Have a kubeconfig ask for the token."""
        config = yaml.safe_load(kubeconfig.read_text())
        program = {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "cat",
            "args": [str(self._file)],
            "interactiveMode": "Never",
        }
        config["users"][0]["user"] = {"exec": program}
        kubeconfig.write_text(yaml.safe_dump(config))
