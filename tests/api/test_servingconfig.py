"""`inferenceservice-config`: accepted as a whole or not at all, with an error that names key and field."""

from __future__ import annotations

import json

import pytest

from manyserve.api.credentialsconfig import S3Credentials
from manyserve.api.servingconfig import ConfigError, IngressConfig, parse


def test_serving_config_parses_form_of_kfserving_0_6() -> None:
    predictors = {
        "triton": {
            "image": "nvcr.io/nvidia/tritonserver",
            "defaultImageVersion": "20.08-py3",
            "supportedFrameworks": ["tensorrt", "tensorflow", "onnx", "pytorch", "caffe2"],
            "multiModelServer": True,
        },
        "sklearn": {
            "v1": {"image": "gcr.io/kfserving/sklearnserver", "multiModelServer": False},
            "v2": {"image": "docker.io/seldonio/mlserver", "defaultImageVersion": "0.2.1"},
        },
    }
    config = parse({"predictors": json.dumps(predictors), "explainers": "{}", "storageInitializer": "not even json"})
    assert config.predictors["triton"].multi_model_server
    assert config.predictors["sklearn.v1"].image == "gcr.io/kfserving/sklearnserver"
    assert config.predictors["sklearn.v2"].image == "docker.io/seldonio/mlserver"


def test_serving_config_treats_empty_texts_of_kserve_credentials_as_unset() -> None:
    switches = ("s3UseHttps", "s3VerifySSL", "s3UseVirtualBucket", "s3UseAccelerate", "s3UseAnonymousCredential")
    texts = ("s3Endpoint", "s3Region", "s3CABundleConfigMap", "s3CABundle")
    s3 = {"s3AccessKeyIDName": "AWS_ACCESS_KEY_ID"} | dict.fromkeys((*switches, *texts), "")
    config = parse({"credentials": json.dumps({"storageSpecSecretName": "storage-config", "gcs": {}, "s3": s3})})
    assert config.credentials.s3 == S3Credentials(s3_access_key_id_name="AWS_ACCESS_KEY_ID")


def test_serving_config_takes_empty_domain_template_as_unset() -> None:
    assert parse({"ingress": '{"domainTemplate": ""}'}).ingress == IngressConfig()
    joined = "{{ .Name }}-{{.Namespace}}.{{.IngressDomain }}"
    assert parse({"ingress": json.dumps({"domainTemplate": joined})}).ingress.domain_template == joined


UNKNOWN = {
    "{{ .Name }}.{{ .Cluster }}.{{ .IngressDomain }}": "{{ .Cluster }}",
    "{{ .Name }}.{{.namespace}}.{{ .Region }}": "{{.namespace}}",
    "{{ .Name | lower }}.example.com": "{{ .Name | lower }}",
    "{{ .Name }}.{{ .Namespace }.example.com": "{{ .Namespace }.example.com",
    "{ .Name }.example.com": "{ .Name }.example.com",
}
"""Unknown placeholders by their templates. From a single brace on, the rest is named."""


def placeholder(name: str) -> str:
    known = "{{ .Name }}, {{ .Namespace }} and {{ .IngressDomain }}"
    return f"ingress.domainTemplate: {name!r} is no known placeholder; the known ones are {known}"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"predictors": "{"}, "inferenceservice-config: predictors is not JSON"),
        ({"ingress": "[]"}, "inferenceservice-config: ingress must be a JSON object"),
        ({"predictors": '{"triton": {}}'}, "predictors.triton.image: Field required"),
        ({"deploy": '{"progressDeadline": 0}'}, "deploy.progressDeadline: Input should be greater than"),
        ({"rollout": '{"modelTimeout": "30"}'}, "rollout.modelTimeout: must be a duration from 1s to 24h, such as 90s"),
        ({"rollout": '{"modelTimeout": "25h"}'}, "rollout.modelTimeout: must be a duration from 1s to 24h"),
        ({"rollout": '{"modelTimeout": "0s"}'}, "rollout.modelTimeout: must be a duration from 1s to 24h"),
        ({"rollout": '{"modelTimeout": 30}'}, "rollout.modelTimeout: Input should be a valid string"),
        ({"rollout": '{"hostTimeout": "15"}'}, "rollout.hostTimeout: must be a duration from 1s to 24h, such as 90s"),
        ({"rollout": '{"maxHosts": 0}'}, "rollout.maxHosts: Input should be greater than or equal to 1"),
        ({"rollout": '{"maxHosts": "2"}'}, "rollout.maxHosts: Input should be a valid integer"),
        (
            {"agent": '{"volumeSizeLimit": "64Mi"}'},
            "agent.volumeSizeLimit: 64Mi is too small; it must be",
        ),
        ({"agent": '{"volumeSizeLimit": "much"}'}, "agent.volumeSizeLimit: 'much' is not a quantity; it must be"),
        ({"agent": '{"ephemeralStorageLimit": -1}'}, "agent.ephemeralStorageLimit: '-1' is not greater than 0"),
        (
            {"agent": '{"ephemeralStorageRequest": "2Gi", "ephemeralStorageLimit": "1Gi"}'},
            "agent: ephemeralStorageLimit 1Gi is less than ephemeralStorageRequest 2Gi",
        ),
        ({"ingress": '{"ingressDomain": "a b"}'}, "ingress.ingressDomain: String should match"),
        ({"ingress": '{"urlScheme": "ftp"}'}, "ingress.urlScheme"),
        *(({"ingress": json.dumps({"domainTemplate": text})}, placeholder(name)) for text, name in UNKNOWN.items()),
    ],
)
def test_serving_config_error_names_key_and_field(data: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match="inferenceservice-config") as error:
        parse(data)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("agent", "size"),
    [
        ({}, None),
        ({"volumeSizeLimit": "", "ephemeralStorageLimit": ""}, None),
        ({"volumeSizeLimit": "1Gi"}, 2**30),
        ({"ephemeralStorageLimit": 2**30}, 2**30),
        ({"volumeSizeLimit": "2Gi", "ephemeralStorageLimit": "1Gi"}, 2**30),
        ({"ephemeralStorageRequest": "1Gi"}, None),
    ],
)
def test_serving_config_has_the_smaller_limit_of_the_volume(agent: dict[str, str], size: int | None) -> None:
    assert parse({"agent": json.dumps(agent)}).agent.volume_bytes == size


def test_serving_config_reads_the_model_timeout_of_a_roll_out() -> None:
    assert parse({}).rollout.model_seconds == 1800
    assert parse({"rollout": '{"modelTimeout": "1h30m"}'}).rollout.model_seconds == 5400
