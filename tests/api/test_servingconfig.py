"""The configuration is taken whole or not at all, and what is wrong is said with its key and field."""

from __future__ import annotations

import json

import pytest

from manyserve.api.credentialsconfig import S3Credentials
from manyserve.api.servingconfig import ConfigError, parse


def test_the_shape_of_kfserving_0_6_is_read() -> None:
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


def test_the_credentials_that_kserve_ships_are_read_with_empty_texts_for_what_is_not_set() -> None:
    switches = ("s3UseHttps", "s3VerifySSL", "s3UseVirtualBucket", "s3UseAccelerate", "s3UseAnonymousCredential")
    texts = ("s3Endpoint", "s3Region", "s3CABundleConfigMap", "s3CABundle")
    s3 = {"s3AccessKeyIDName": "AWS_ACCESS_KEY_ID"} | dict.fromkeys((*switches, *texts), "")
    config = parse({"credentials": json.dumps({"storageSpecSecretName": "storage-config", "gcs": {}, "s3": s3})})
    assert config.credentials.s3 == S3Credentials(s3_access_key_id_name="AWS_ACCESS_KEY_ID")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"predictors": "{"}, "inferenceservice-config: predictors is not JSON"),
        ({"ingress": "[]"}, "inferenceservice-config: ingress must be a JSON object"),
        ({"predictors": '{"triton": {}}'}, "predictors.triton.image: Field required"),
        ({"deploy": '{"progressDeadline": 0}'}, "deploy.progressDeadline: Input should be greater than"),
        ({"ingress": '{"ingressDomain": "a b"}'}, "ingress.ingressDomain: String should match"),
        ({"ingress": '{"urlScheme": "ftp"}'}, "ingress.urlScheme"),
    ],
)
def test_a_broken_edit_is_refused_with_its_key_and_field(data: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match="inferenceservice-config") as error:
        parse(data)
    assert said in str(error.value)
