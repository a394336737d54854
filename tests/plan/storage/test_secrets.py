"""Secrets of the ServiceAccount: mounts of the agent, invalid names, and stable pods."""

from __future__ import annotations

from dataclasses import replace

from manyserve.plan.observed import Account
from manyserve.plan.plan import plan
from tests.plan.storage.snapshots import ACCOUNT, DEPLOYMENT, credentials_message, folders, pod_spec, seen
from tests.support import make, world


def test_secrets_of_the_service_account_are_mounted_into_the_agent_only() -> None:
    spec = pod_spec(seen(account=ACCOUNT))
    mounts = {path: each for path, each in folders(spec).items() if path.startswith("/mnt/credentials")}
    assert mounts == {
        f"/mnt/credentials/{name}": {"secret": {"secretName": name, "optional": True, "defaultMode": 0o440}}
        for name in ("s3-keys", "gcs.key")
    }
    assert not any("secret" in each for each in folders(spec, "kserve-container").values())
    (agent,) = (each for each in spec["containers"] if each["name"] == "agent")
    assert all(each["readOnly"] for each in agent["volumeMounts"] if each["mountPath"].startswith("/mnt/credentials"))


def test_secrets_exclude_tokens_and_registry_passwords() -> None:
    spec = pod_spec(seen(account=ACCOUNT))
    assert "token" not in str(spec["volumes"])
    assert "pull" not in str(spec["volumes"])


def test_secrets_exclude_token_of_an_account_with_a_long_name() -> None:
    name = "a" * 55
    spec = pod_spec(seen(account=Account(name, (f"{name}-tox7k2p", "mine"))))
    assert [path for path in folders(spec) if path.startswith("/mnt/credentials")] == ["/mnt/credentials/mine"]


def test_secrets_with_invalid_name_are_left_out_and_reported() -> None:
    settled = world.settle(seen(account=Account("mine", ("a:b", "s3-keys"))))
    spec = settled.children[DEPLOYMENT]["spec"]["template"]["spec"]
    assert [path for path in folders(spec) if path.startswith("/mnt/credentials")] == ["/mnt/credentials/s3-keys"]
    assert (
        credentials_message(settled) == "ServiceAccount mine: 'a:b' is listed in its secrets and is not the name of one"
    )


def test_secrets_with_unreadable_annotations_are_reported_by_the_host() -> None:
    why = "Secret s3-keys does not exist in namespace default"
    settled = world.settle(seen(account=Account("mine", ("s3-keys",), problems=(why,))))
    assert credentials_message(settled) == f"ServiceAccount mine: {why}"


def test_secrets_have_valid_volume_names() -> None:
    name = "a.b-" * 60 + "c"
    spec = pod_spec(seen(account=Account("default", (name,))))
    assert max(len(each["name"]) for each in spec["volumes"]) <= 63
    assert f"/mnt/credentials/{name}" in folders(spec)


def test_secrets_are_not_mounted_without_a_service_account() -> None:
    assert pod_spec(seen(account=None)) == pod_spec(seen(account=Account("default")))


def test_pods_stay_while_the_list_of_secrets_is_unchanged() -> None:
    settled = world.settle(seen(account=ACCOUNT))
    reordered = replace(ACCOUNT, secrets=ACCOUNT.secrets[::-1], annotations={})
    assert plan(replace(settled, account=reordered), make.NOW).empty
    fewer = replace(settled, account=Account("default", ("s3-keys",)))
    assert [each.manifest["kind"] for each in plan(fewer, make.NOW).applies] == ["Deployment"]


def test_pods_stay_while_lookups_are_pending() -> None:
    settled = world.settle(seen(account=ACCOUNT))
    unsure = replace(settled, account=None, lookups_pending=True)
    assert plan(unsure, make.NOW).empty
    assert not [
        each for each in plan(seen(lookups_pending=True), make.NOW).applies if each.manifest["kind"] == "Deployment"
    ]
