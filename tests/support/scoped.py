"""Rights of the two programs from the chart with a list of namespaces, for a test's release."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import yaml
from webhooks.render import CHART, helm

from tests.support.kubectl import Kubectl, Manifest, Refused

KINDS = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")


REGISTERED = ("Secret", "ValidatingWebhookConfiguration")


def grant(kubectl: Kubectl, *values: str, kinds: tuple[str, ...] = KINDS) -> list[Manifest]:
    """Create the accounts, roles and bindings of a release in kubectl's namespace, with that name as their prefix."""
    release = kubectl.namespace
    settings = [part for value in (f"fullnameOverride={release}", *values) for part in ("--set", value)]
    text = helm(
        "template",
        release,
        str(CHART),
        "--namespace",
        release,
        "--set",
        "rbac.aggregate=false",
        "--skip-tests",
        *settings,
    )
    manifests = [each for each in yaml.safe_load_all(text) if each and each["kind"] in kinds]
    for manifest in manifests:
        replace(kubectl, namespace=manifest["metadata"].get("namespace", release)).apply(manifest)
    return manifests


def as_account(kubeconfig: Path, kubectl: Kubectl, account: str, folder: Path) -> Path:
    """Return a kubeconfig for a ServiceAccount of kubectl's namespace."""
    config = yaml.safe_load(kubeconfig.read_text())
    config["users"][0]["user"] = {"token": kubectl("create", "token", account).strip()}
    own = folder / f"{account}.kubeconfig"
    own.write_text(yaml.safe_dump(config))
    return own


def may(kubectl: Kubectl, account: str, verb: str, resource: str, *where: str) -> bool:
    """Return the answer of `kubectl auth can-i` for an account, such as `system:serviceaccount:NAMESPACE:NAME`."""
    try:
        kubectl("auth", "can-i", verb, resource, f"--as={account}", *where)
    except Refused as refused:
        if str(refused).endswith("no"):
            return False
        raise
    return True
