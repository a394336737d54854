"""The shipped account, rights and Secret of the webhook, for a test's own namespace."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from manyserve.api_group import KSERVE
from tests.support.kubectl import Kubectl
from tests.support.programs import PROJECT

FOLDER = PROJECT / "webhooks"
KINDS = ("serviceaccount", "clusterrole", "clusterrolebinding", "role", "rolebinding", "secret")


@contextmanager
def shipped_rights(kubeconfig: Path, kubectl: Kubectl, name: str, folder: Path, group: str = KSERVE) -> Iterator[Path]:
    """Yield a kubeconfig with the shipped rights of a group; all but the Secret has the given name here."""
    texts = ((FOLDER / f"{kind}.yaml").read_text() for kind in KINDS)
    text = "---\n".join(texts).replace("manyserve-system", kubectl.namespace).replace(KSERVE, group)
    text = re.sub(r"manyserve-webhook(?!-certificate)", name, text)
    kubectl("apply", "-f", "-", text=text)
    config = yaml.safe_load(kubeconfig.read_text())
    config["users"][0]["user"] = {"token": kubectl("create", "token", name).strip()}
    own = folder / "webhook.kubeconfig"
    own.write_text(yaml.safe_dump(config))
    try:
        yield own
    finally:
        kubectl("delete", "clusterrole,clusterrolebinding", name)
