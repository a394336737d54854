"""Environment of the agent: settings of the configuration, annotations of KServe, and forbidden URIs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyserve.agent.settings import AgentSettings, SourceSettings
from manyserve.api.credentialsconfig import Credentials
from manyserve.plan.plan import plan
from manyserve.plan.storage.env import annotated, configured
from manyserve.plan.storage.mounts import CREDENTIALS_DIR, PVC_DIR
from tests.plan.storage.snapshots import (
    DEPLOYMENT,
    account_with,
    credentials_message,
    env,
    folders,
    pod_spec,
    ready_of,
    seen,
)
from tests.support import make, world

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


def test_agent_reads_each_setting_of_the_configuration() -> None:
    read = SourceSettings.from_env(configured(Credentials.from_wire(EVERYTHING)))
    untouched = {
        "s3_check_endpoint",
        "credentials_dir",
        "pvc_dir",
        "range_bytes",
        "gcs_credentials",
        "archive_ratio",
    }
    assert set(SourceSettings.model_fields) - read.model_fields_set == untouched
    assert read.s3_endpoint == "http://minio.storage:9000"
    assert read.s3_verify_tls is False
    assert read.s3_anonymous is True
    assert [str(each) for each in read.allowed_networks] == ["10.0.0.0/8", "fd00::/8"]


def test_mount_paths_are_the_defaults_of_the_agent() -> None:
    assert (str(SourceSettings().credentials_dir), str(SourceSettings().pvc_dir)) == (CREDENTIALS_DIR, PVC_DIR)


def test_unset_configuration_leads_to_no_variable() -> None:
    assert configured(Credentials()) == {}


NOTES = {
    "endpoint": "minio:9000",
    "usehttps": "0",
    "region": "eu-1",
    "verifyssl": "1",
    "usevirtualbucket": "true",
    "useanoncredential": "false",
}


def test_annotations_of_kserve_override_the_configuration() -> None:
    config = make.config(credentials=EVERYTHING)
    variables = env(pod_spec(seen(config=config, account=account_with(**NOTES))))
    assert variables["MANYSERVE_S3_ENDPOINT"] == "http://minio:9000"
    assert variables["MANYSERVE_S3_VERIFY_TLS"] == "true"
    assert variables["MANYSERVE_S3_VIRTUAL_HOST"] == "true"
    assert variables["MANYSERVE_S3_ANONYMOUS"] == "false"
    assert variables["MANYSERVE_S3_CA_FILE"] == "/etc/ca.crt"
    AgentSettings.from_env(variables)


def test_annotated_endpoint_uses_https_by_default() -> None:
    assert annotated(account_with(endpoint="minio")).env["MANYSERVE_S3_ENDPOINT"] == "https://minio"


def test_annotated_endpoint_is_checked_and_configured_endpoint_is_not() -> None:
    assert annotated(account_with(endpoint="minio")).env["MANYSERVE_S3_CHECK_ENDPOINT"] == "true"
    assert "MANYSERVE_S3_CHECK_ENDPOINT" not in configured(Credentials.from_wire(EVERYTHING))


def test_annotated_config_map_with_certificates_is_mounted() -> None:
    spec = pod_spec(seen(account=account_with(**{"cabundle-configmap": "ca"})))
    assert folders(spec)["/mnt/s3-ca"] == {"configMap": {"name": "ca", "optional": True}}
    assert env(spec)["MANYSERVE_S3_CA_FILE"] == "/mnt/s3-ca/cabundle.crt"


def test_configured_config_map_with_certificates_is_mounted_for_all_hosts() -> None:
    config = make.config(credentials={"s3": {"s3CABundleConfigMap": "ca"}})
    spec = pod_spec(seen(config=config))
    assert folders(spec)["/mnt/s3-ca"] == {"configMap": {"name": "ca", "optional": True}}
    assert env(spec)["MANYSERVE_S3_CA_FILE"] == "/mnt/s3-ca/cabundle.crt"
    spec = pod_spec(seen(config=config, account=account_with(**{"cabundle-configmap": "mine"})))
    assert folders(spec)["/mnt/s3-ca"]["configMap"]["name"] == "mine"


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
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
def test_unreadable_annotation_is_reported_and_stops_no_pod(name: str, value: str, sentence: str) -> None:
    settled = world.settle(seen(account=account_with(**{name: value})))
    assert credentials_message(settled) == f"ServiceAccount mine: the annotation serving.kserve.io/s3-{name} {sentence}"
    AgentSettings.from_env(env(settled.children[DEPLOYMENT]["spec"]["template"]["spec"]))


@given(
    st.dictionaries(
        st.sampled_from([*NOTES, "cabundle", "cabundle-configmap"]), st.text(alphabet="a1.:-[]/%0 \n\x00é", max_size=12)
    )
)
def test_input_32_agent_starts_with_any_annotations(notes: dict[str, str]) -> None:
    AgentSettings.from_env(annotated(account_with(**notes)).env)  # passes when nothing is raised


def test_model_with_forbidden_uri_is_not_placed() -> None:
    settled = world.settle(seen("http://example.com/m.tar"))
    ready = ready_of(settled)
    assert ready.reason == "StorageUriNotAllowed"
    assert ready.message
    assert ready.message.startswith("not placed on triton-mms: spec.model.storageUri: http:// is not allowed")
    allowed = make.config(credentials={"https": {"allowHttp": True}})
    assert ready_of(world.settle(replace(settled, config=allowed))).status == "True"


def test_model_with_uri_forbidden_later_stays_placed() -> None:
    allowed = make.config(credentials={"https": {"allowHttp": True}})
    settled = world.settle(seen("http://example.com/m.tar", config=allowed))
    assert plan(replace(settled, config=make.config()), make.NOW).configs == ()
