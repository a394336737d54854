"""Expiring tokens: a kubeconfig with a program that prints the valid token."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from tests.faults.env import FaultEnv

LONG_AGO = "2000-01-01T00:00:00Z"


class Tokens:
    """Tokens of the operator, each of its own ServiceAccount. The next token invalidates the previous one."""

    def __init__(self, env: FaultEnv) -> None:
        self._env = env
        self._file = env.folder / "token.json"
        self._account = ""

    async def next(self) -> None:
        """Create another account with all rights, and make its token the valid one."""
        number = int(self._account.rpartition("-")[2] or 0) + 1
        before, self._account = self._account, f"operator-{number}"
        namespace = self._env.kubectl.namespace
        await self._env.do("create", "serviceaccount", self._account)
        subject = f"--serviceaccount={namespace}:{self._account}"
        await self._env.do(
            "create", "clusterrolebinding", f"{namespace}-{number}", "--clusterrole=cluster-admin", subject
        )
        token = (await self._env.do("create", "token", self._account)).strip()
        status = {"token": token, "expirationTimestamp": LONG_AGO}  # so that the program runs each time
        credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
        self._file.write_text(json.dumps(credential))
        if before:
            await self._env.do("delete", "serviceaccount", before)

    def use(self, kubeconfig: Path) -> None:
        """Make a kubeconfig run the program for the token."""
        config = yaml.safe_load(kubeconfig.read_text())
        program = {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "cat",
            "args": [str(self._file)],
            "interactiveMode": "Never",
        }
        config["users"][0]["user"] = {"exec": program}
        kubeconfig.write_text(yaml.safe_dump(config))
