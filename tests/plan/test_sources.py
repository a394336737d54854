"""What the agent is given to reach stores: secrets, claims and settings; never a pod that cannot start."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyserve.agent.settings import AgentSettings
from manyserve.agent.storage_settings import SourceSettings
from manyserve.api import conditions
from manyserve.api.agentreport import ModelState
from manyserve.api.credentialsconfig import Credentials
from manyserve.api.names import Key
from manyserve.plan.observed import Account, Child, Manifest, Observed
from manyserve.plan.placement import entry_of
from manyserve.plan.plan import plan
from manyserve.plan.storage.env import annotated, configured
from manyserve.plan.storage.mounts import PVC_DIR
from manyserve.plan.storage.secrets import CREDENTIALS_DIR
from tests.support import make, world

KEY = Key("default", "triton-mms")
LISTED = ("s3-keys", "gcs.key", "default-dockercfg-abc12")
ACCOUNT = Account(
    "default", ("s3-keys", "gcs.key", "default-token-x7k2p", "default-dockercfg-abc12", "pull"), ("pull",)
)
DEPLOYMENT = Child("Deployment", "triton-mms-predictor-default")


def seen(*uris: str, **fields: Any) -> Observed:
    models = tuple(make.model(f"m{index}", uri=uri) for index, uri in enumerate(uris))
    start = Observed(key=KEY, config=make.config(), host=make.host(memory="8Gi"), models=models, pods=(make.pod(),))
    return replace(start, **fields)


def pod_spec(observed: Observed) -> Manifest:
    (found,) = (each.manifest for each in plan(observed, make.NOW).applies if each.manifest["kind"] == "Deployment")
    return dict(found["spec"]["template"]["spec"])


def folders(spec: Manifest, container: str = "agent") -> dict[str, Manifest]:
    """Return the volumes that a container sees, by where it sees them, without their names."""
    (found,) = (each for each in spec["containers"] if each["name"] == container)
    volumes = {each["name"]: {key: value for key, value in each.items() if key != "name"} for each in spec["volumes"]}
    return {each["mountPath"]: volumes[each["name"]] for each in found["volumeMounts"]}


def env(spec: Manifest) -> dict[str, str]:
    (found,) = (each for each in spec["containers"] if each["name"] == "agent")
    return {each["name"]: each.get("value", "") for each in found["env"]}


def told(settled: Observed) -> str | None:
    """Return what a host that answers has to say of its credentials."""
    assert settled.host
    found = conditions.find(settled.host.status.conditions, conditions.PREDICTOR_READY)
    assert found
    assert (found.status, found.reason) == ("True", "CredentialsNotUsable")
    ready = conditions.find(settled.host.status.conditions, conditions.READY)
    assert ready
    assert (ready.status, ready.message) == ("True", found.message), "kubectl get isvc -o wide shows it as REASON"
    return found.message


def test_the_secrets_of_the_service_account_are_mounted_into_the_agent_alone() -> None:
    spec = pod_spec(seen(account=ACCOUNT))
    found = {path: each for path, each in folders(spec).items() if path.startswith("/mnt/credentials")}
    assert found == {
        f"/mnt/credentials/{name}": {"secret": {"secretName": name, "optional": True, "defaultMode": 0o440}}
        for name in ("s3-keys", "gcs.key")
    }
    assert not any("secret" in each for each in folders(spec, "kserve-container").values())
    (agent,) = (each for each in spec["containers"] if each["name"] == "agent")
    assert all(each["readOnly"] for each in agent["volumeMounts"] if each["mountPath"].startswith("/mnt/credentials"))


def test_tokens_and_registry_passwords_are_left_out() -> None:
    spec = pod_spec(seen(account=ACCOUNT))
    assert "token" not in str(spec["volumes"])
    assert "pull" not in str(spec["volumes"])


def test_the_token_of_an_account_with_a_long_name_is_left_out_as_well() -> None:
    name = "a" * 55
    spec = pod_spec(seen(account=Account(name, (f"{name}-tox7k2p", "mine"))))
    assert [path for path in folders(spec) if path.startswith("/mnt/credentials")] == ["/mnt/credentials/mine"]


def test_what_no_secret_can_be_called_is_left_out_and_said_since_no_deployment_could_mount_it() -> None:
    settled = world.settle(seen(account=Account("mine", ("a:b", "s3-keys"))))
    spec = settled.children[DEPLOYMENT]["spec"]["template"]["spec"]
    assert [path for path in folders(spec) if path.startswith("/mnt/credentials")] == ["/mnt/credentials/s3-keys"]
    assert told(settled) == "ServiceAccount mine: 'a:b' is listed in its secrets and is not the name of one"


def test_a_secret_whose_annotations_cannot_be_seen_is_told_on_the_host() -> None:
    why = "Secret s3-keys does not exist in namespace default"
    settled = world.settle(seen(account=Account("mine", ("s3-keys",), problems=(why,))))
    assert told(settled) == f"ServiceAccount mine: {why}"


def test_a_volume_has_a_name_that_kubernetes_takes_whatever_the_secret_is_called() -> None:
    name = "a.b-" * 60 + "c"
    spec = pod_spec(seen(account=Account("default", (name,))))
    assert max(len(each["name"]) for each in spec["volumes"]) <= 63
    assert f"/mnt/credentials/{name}" in folders(spec)


def test_without_a_service_account_nothing_is_mounted() -> None:
    assert pod_spec(seen(account=None)) == pod_spec(seen(account=Account("default")))


def test_the_pods_stay_while_the_list_of_secrets_does() -> None:
    settled = world.settle(seen(account=ACCOUNT))
    reordered = replace(ACCOUNT, secrets=ACCOUNT.secrets[::-1], annotations={})
    assert plan(replace(settled, account=reordered), make.NOW).empty
    fewer = replace(settled, account=Account("default", ("s3-keys",)))
    assert [each.manifest["kind"] for each in plan(fewer, make.NOW).applies] == ["Deployment"]


def test_the_pods_stay_until_everything_they_depend_on_has_been_looked_at() -> None:
    settled = world.settle(seen(account=ACCOUNT))
    unsure = replace(settled, account=None, lookups_pending=True)
    assert plan(unsure, make.NOW).empty
    assert not [
        each for each in plan(seen(lookups_pending=True), make.NOW).applies if each.manifest["kind"] == "Deployment"
    ]


def test_a_claim_that_exists_is_mounted_read_only_into_the_agent() -> None:
    spec = pod_spec(seen("pvc://mine/a", "pvc://mine/b", "pvc://theirs/c", claims={"mine": None, "theirs": "gone"}))
    found = {path: each for path, each in folders(spec).items() if path.startswith("/mnt/pvc")}
    assert found == {"/mnt/pvc/mine": {"persistentVolumeClaim": {"claimName": "mine", "readOnly": True}}}
    assert "/mnt/pvc/mine" not in folders(spec, "kserve-container")


@pytest.mark.parametrize("claims", [{"mine": "PersistentVolumeClaim mine may not be looked at: no"}, {}])
def test_fault_21_a_mounted_claim_stays_while_nobody_can_tell_whether_it_exists(claims: dict[str, str]) -> None:
    """So after a right was taken away, and for a model that does not parse any more."""
    settled = world.settle(seen("pvc://mine/a", claims={"mine": None}))
    unsure = replace(settled, claims=claims, unverified_claims=frozenset(claims))
    assert not plan(unsure, make.NOW).applies
    assert plan(replace(unsure, unverified_claims=frozenset()), make.NOW).applies or not claims
    new = seen("pvc://mine/a", claims=claims, unverified_claims=frozenset(claims))
    assert "/mnt/pvc/mine" not in folders(pod_spec(new)), "what was never mounted is not tried"


def test_a_claim_of_a_model_that_is_not_placed_is_not_mounted() -> None:
    observed = seen(claims={"mine": None}, models=(make.model(uri="pvc://mine/a", memory="9Gi"),))
    assert "/mnt/pvc/mine" not in folders(pod_spec(observed))


def ready_of(observed: Observed) -> conditions.Condition:
    model = world.carry_out(observed, plan(observed, make.NOW)).models[0]
    found = conditions.find(model.status.conditions, conditions.READY)
    assert found
    return found


def test_a_model_says_that_its_claim_does_not_exist_and_the_host_stays_ready() -> None:
    why = "PersistentVolumeClaim mine does not exist in namespace default"
    settled = world.settle(seen("gs://bucket/a", "pvc://mine/b", claims={"mine": why}))
    waiting = replace(settled, models=settled.models[1:], agents={"uid-pod-1": make.report()})
    ready = ready_of(waiting)
    assert (ready.reason, ready.message) == ("PersistentVolumeClaimNotFound", f"{why}; the model waits for it")
    assert settled.host
    host = conditions.find(settled.host.status.conditions, conditions.READY)
    assert host
    assert host.status == "True"


@pytest.mark.parametrize("why", ["PersistentVolumeClaim mine does not exist in namespace default", None])
def test_while_a_model_waits_for_its_claim_it_says_that_the_version_before_answers(why: str | None) -> None:
    settled = world.settle(seen("pvc://mine/b", claims={"mine": why}))
    report = make.report(entry_of(settled.models[0]), state=ModelState.PENDING, serving=True)
    message = ready_of(replace(settled, agents={"uid-pod-1": report})).message
    assert str(message).endswith("; the previous version still answers")


def test_a_model_says_that_the_pods_are_being_replaced_with_its_claim_mounted() -> None:
    settled = world.settle(seen("pvc://mine/a", claims={"mine": None}))
    rolling = replace(settled, agents={"uid-pod-1": make.report()})
    ready = ready_of(rolling)
    said = "pods are being replaced by ones that mount PersistentVolumeClaim mine; pod-1 has not"
    assert (ready.reason, ready.message) == ("Pending", said)
    volume = {"name": "x", "persistentVolumeClaim": {"claimName": "mine"}}
    mounted = make.pod() | {"spec": {"volumes": [volume]}}
    assert "replaced" not in str(ready_of(replace(rolling, pods=(mounted,))).message)


EVERYTHING = {
    "gcs": {"gcsCredentialFileName": "key.json", "endpoint": "http://gcs:4443"},
    "s3": {
        "s3AccessKeyIDName": "id",
        "s3SecretAccessKeyName": "key",
        "s3Endpoint": "minio.storage:9000",
        "s3UseHttps": "0",
        "s3Region": "eu-1",
        "s3VerifySSL": "0",
        "s3UseVirtualBucket": "false",
        "s3UseAnonymousCredential": "true",
        "s3CABundle": "/etc/ca.crt",
    },
    "azure": {"endpoint": "http://azurite:10000"},
    "hf": {"endpoint": "https://hub.example.com"},
    "https": {"allowHttp": True, "allowedNetworks": ["10.0.0.0/8", "fd00::/8"], "caBundle": "/etc/roots.crt"},
}


def test_the_agent_reads_every_setting_of_the_configuration() -> None:
    read = SourceSettings.from_env(configured(Credentials.from_wire(EVERYTHING)))
    untouched = {
        "s3_check_endpoint",
        "credentials_dir",
        "pvc_dir",
        "range_bytes",
        "gcs_credentials",
        "archive_files",
        "archive_ratio",
    }
    assert set(SourceSettings.model_fields) - read.model_fields_set == untouched
    assert read.s3_endpoint == "http://minio.storage:9000"
    assert read.s3_verify_tls is False
    assert read.s3_anonymous is True
    assert [str(each) for each in read.allowed_networks] == ["10.0.0.0/8", "fd00::/8"]


def test_folders_are_mounted_where_the_agent_looks_for_them() -> None:
    assert (str(SourceSettings().credentials_dir), str(SourceSettings().pvc_dir)) == (CREDENTIALS_DIR, PVC_DIR)


def test_what_is_unset_is_left_to_the_agents_defaults() -> None:
    assert configured(Credentials()) == {}


NOTES = {
    "endpoint": "minio:9000",
    "usehttps": "0",
    "region": "eu-1",
    "verifyssl": "1",
    "usevirtualbucket": "true",
    "useanoncredential": "false",
}


def account_with(**notes: str) -> Account:
    return Account("mine", annotations={f"serving.kserve.io/s3-{name}": value for name, value in notes.items()})


def test_the_annotations_of_kserve_go_before_the_configuration() -> None:
    config = make.config(credentials=EVERYTHING)
    found = env(pod_spec(seen(config=config, account=account_with(**NOTES))))
    assert found["MANYSERVE_S3_ENDPOINT"] == "http://minio:9000"
    assert found["MANYSERVE_S3_VERIFY_TLS"] == "true"
    assert found["MANYSERVE_S3_VIRTUAL_HOST"] == "true"
    assert found["MANYSERVE_S3_ANONYMOUS"] == "false"
    assert found["MANYSERVE_S3_CA_FILE"] == "/etc/ca.crt"
    AgentSettings.from_env(found)


def test_an_endpoint_is_asked_over_https_unless_it_says_otherwise() -> None:
    assert annotated(account_with(endpoint="minio")).env["MANYSERVE_S3_ENDPOINT"] == "https://minio"


def test_the_address_of_an_endpoint_from_an_annotation_is_judged_and_the_administrators_is_not() -> None:
    assert annotated(account_with(endpoint="minio")).env["MANYSERVE_S3_CHECK_ENDPOINT"] == "true"
    assert "MANYSERVE_S3_CHECK_ENDPOINT" not in configured(Credentials.from_wire(EVERYTHING))


def test_a_config_map_with_certificates_is_mounted_and_named() -> None:
    spec = pod_spec(seen(account=account_with(**{"cabundle-configmap": "ca"})))
    assert folders(spec)["/mnt/s3-ca"] == {"configMap": {"name": "ca", "optional": True}}
    assert env(spec)["MANYSERVE_S3_CA_FILE"] == "/mnt/s3-ca/cabundle.crt"


def test_a_config_map_with_certificates_may_be_configured_for_all_hosts() -> None:
    config = make.config(credentials={"s3": {"s3CABundleConfigMap": "ca"}})
    spec = pod_spec(seen(config=config))
    assert folders(spec)["/mnt/s3-ca"] == {"configMap": {"name": "ca", "optional": True}}
    assert env(spec)["MANYSERVE_S3_CA_FILE"] == "/mnt/s3-ca/cabundle.crt"
    spec = pod_spec(seen(config=config, account=account_with(**{"cabundle-configmap": "mine"})))
    assert folders(spec)["/mnt/s3-ca"]["configMap"]["name"] == "mine"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("endpoint", "http://u:p@minio", "must be host or host:port; whether it is https stands beside it"),
        ("endpoint", "minio:99999", "must be host or host:port; whether it is https stands beside it"),
        ("endpoint", "minio:port", "must be host or host:port; whether it is https stands beside it"),
        ("endpoint", "[:::]:9000", "must be host or host:port; whether it is https stands beside it"),
        ("usehttps", "maybe", "must be true or false"),
        ("cabundle", "ca.crt", "must be an absolute path in the agent's container"),
        ("cabundle", "/ca\n.crt", "must be an absolute path in the agent's container"),
        ("cabundle", "/" * 2000, "must be an absolute path in the agent's container"),
        ("region", "eu 1", "must be letters, digits and '-'"),
        ("cabundle-configmap", "A/b", "must be the name of a ConfigMap"),
        ("useaccelerate", "true", "is not supported"),
    ],
)
def test_an_annotation_that_cannot_be_understood_is_said_and_stops_no_pod(name: str, value: str, said: str) -> None:
    settled = world.settle(seen(account=account_with(**{name: value})))
    assert told(settled) == f"ServiceAccount mine: the annotation serving.kserve.io/s3-{name} {said}"
    AgentSettings.from_env(env(settled.children[DEPLOYMENT]["spec"]["template"]["spec"]))


@given(
    st.dictionaries(
        st.sampled_from([*NOTES, "cabundle", "cabundle-configmap"]), st.text(alphabet="a1.:-[]/%0 \n\x00é", max_size=12)
    )
)
def test_input_32_whatever_annotations_say_an_agent_starts_with_what_is_taken_from_them(notes: dict[str, str]) -> None:
    AgentSettings.from_env(annotated(account_with(**notes)).env)  # passes when nothing is raised


def test_a_place_that_is_not_allowed_is_not_placed_and_says_so() -> None:
    settled = world.settle(seen("http://example.com/m.tar"))
    ready = ready_of(settled)
    assert ready.reason == "StorageUriNotAllowed"
    assert ready.message
    assert ready.message.startswith("not placed on triton-mms: spec.model.storageUri: http:// is not allowed")
    allowed = make.config(credentials={"https": {"allowHttp": True}})
    assert ready_of(world.settle(replace(settled, config=allowed))).status == "True"


def test_what_is_placed_stays_when_its_place_is_not_allowed_any_more() -> None:
    allowed = make.config(credentials={"https": {"allowHttp": True}})
    settled = world.settle(seen("http://example.com/m.tar", config=allowed))
    assert plan(replace(settled, config=make.config()), make.NOW).config is None
