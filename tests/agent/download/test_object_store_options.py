"""Options of a store, from secrets, settings and the environment. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from manyserve.agent.download import DownloadError
from manyserve.agent.download.object_store.azure import azure_options
from manyserve.agent.download.object_store.gcs import gcs_options, wants_identity
from manyserve.agent.download.object_store.location import ObjectLocation, StoreOptions, is_azure, parse_location
from manyserve.agent.download.object_store.s3 import s3_options
from manyserve.agent.settings import SourceSettings

S3 = ObjectLocation("s3", "bucket", "models/a")
GCS = ObjectLocation("gs", "bucket", "models/a")
AZURE = ObjectLocation("az", "container", "models/a", "account")
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "hush"}
SERVICE_ACCOUNT = json.dumps({"type": "service_account", "client_email": "a@b", "private_key": "hush"})
GCS_KEY = "gcloud-application-credentials.json"
IRSA = {"AWS_WEB_IDENTITY_TOKEN_FILE": "/token", "AWS_ROLE_ARN": "arn:aws:iam::1:role/r"}
POD_IDENTITY = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials"}
FEDERATED = {"AZURE_FEDERATED_TOKEN_FILE": "/token", "AZURE_CLIENT_ID": "client", "AZURE_TENANT_ID": "tenant"}


def s3(*secrets: Mapping[str, str], environ: Mapping[str, str] | None = None, **settings: Any) -> StoreOptions:
    named = {f"secret-{number}": secret for number, secret in enumerate(secrets)}
    return s3_options(S3, SourceSettings(**settings), named, environ or {})


def azure(
    where: ObjectLocation, *secrets: Mapping[str, str], environ: Mapping[str, str] | None = None
) -> dict[str, Any]:
    named = {f"secret-{number}": secret for number, secret in enumerate(secrets)}
    return dict(azure_options(where, SourceSettings(), named, environ or {}).config)


@pytest.mark.parametrize(
    ("uri", "location"),
    [
        ("gs://bucket/models/a", GCS),
        ("s3://bucket/models/a/", S3),
        ("az://container/models/a", ObjectLocation("az", "container", "models/a")),
        ("abfss://container@account.dfs.core.windows.net/models/a", AZURE),
        ("https://account.blob.core.windows.net/container/models/a", AZURE),
        (
            "https://account.blob.core.windows.net/container/with%20space",
            ObjectLocation("az", "container", "with space", "account"),
        ),
    ],
)
def test_parse_location_reads_uris(uri: str, location: ObjectLocation) -> None:
    assert parse_location(uri) == location


@pytest.mark.parametrize(
    "uri",
    [
        "abfss://account.dfs.core.windows.net/models/a",
        "abfss://container@account.example.com/models/a",
        "https://account.blob.core.windows.net/container",
        "https://account.blob.core.windows.net/container/a?sv=1&sig=hush",
        "s3://user:hush@bucket/a",
        "gs://bucket/a#part",
    ],
)
def test_parse_location_rejects_invalid_uri_without_its_secrets(uri: str) -> None:
    with pytest.raises(DownloadError, match=r"does not name|has a query or a fragment") as caught:
        parse_location(uri)
    assert (caught.value.reason, caught.value.permanent) == ("bad_uri", True)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "truth"),
    [
        ("https://account.blob.core.windows.net/c/p", True),
        ("http://account.blob.core.windows.net/c/p", False),
        ("https://account.blob.core.windows.net.example.com/c/p", False),
        ("https://account.blob.core.windows.net@example.com/c/p", False),
        ("https://example.com/account.blob.core.windows.net/c", False),
    ],
)
def test_is_azure_accepts_only_hostnames_of_azure(uri: str, truth: bool) -> None:
    assert is_azure(uri) is truth


def test_store_options_without_secret_or_identity_are_anonymous() -> None:
    assert dict(s3().config)["skip_signature"] is True
    assert azure(AZURE)["skip_signature"] is True
    assert dict(gcs_options(GCS, SourceSettings(), {}).config)["skip_signature"] is True


S3_KEYS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
AZURE_KEYS = (
    "AZURE_STORAGE_ACCOUNT of this account and AZURE_STORAGE_ACCESS_KEY or AZURE_STORAGE_SAS_TOKEN, "
    "or AZ_CLIENT_ID, AZ_CLIENT_SECRET, AZ_TENANT_ID"
)


def test_s3_options_name_the_missing_keys_of_an_anonymous_request() -> None:
    nothing = f"the host's ServiceAccount lists no secret with {S3_KEYS}"
    assert s3().anonymous_because == nothing
    for secret in ({"accesskey": "a", "secretkey": "b"}, {"AWS_ACCESS_KEY_ID": "half"}, {"AWS_REGION": "eu-1"}):
        assert s3(secret).anonymous_because == f"the secret secret-0 does not have {S3_KEYS}"
    absent = "secret-1 (empty or absent)"
    assert s3({"a": "b"}, {}).anonymous_because == f"none of the secrets secret-0, {absent} has {S3_KEYS}"
    named = s3({"a": "b"}, s3_access_key_name="MINIO_USER", s3_secret_key_name="MINIO_PASSWORD")
    assert named.anonymous_because == "the secret secret-0 does not have MINIO_USER and MINIO_PASSWORD"


def test_s3_options_name_no_key_when_there_are_credentials_or_none_are_wanted() -> None:
    for options in (s3({}, KEYS), s3({}, environ=IRSA), s3({"awsAnonymousCredential": "true"}), s3(s3_anonymous=True)):
        assert options.anonymous_because == ""


def test_gcs_options_name_the_missing_key_of_an_anonymous_request() -> None:
    wrong = {"gcs": {"key.json": SERVICE_ACCOUNT}}
    assert gcs_options(GCS, SourceSettings(), wrong).anonymous_because == f"the secret gcs does not have {GCS_KEY}"
    right = {"gcs": {GCS_KEY: SERVICE_ACCOUNT}}
    assert gcs_options(GCS, SourceSettings(), right).anonymous_because == ""
    assert gcs_options(GCS, SourceSettings(), {}, identity=True).anonymous_because == ""


def test_azure_options_name_the_missing_keys_of_an_anonymous_request() -> None:
    def because(secret: dict[str, str], environ: Mapping[str, str] | None = None) -> str:
        return azure_options(AZURE, SourceSettings(), {"azure": secret}, environ or {}).anonymous_because

    missing = f"the secret azure does not have {AZURE_KEYS}"
    assert because({"key": "hush"}) == missing
    assert because({"AZURE_STORAGE_ACCOUNT": "other", "AZURE_STORAGE_ACCESS_KEY": "hush"}) == missing
    assert because({"AZURE_STORAGE_ACCESS_KEY": "hush"}) == because({}, FEDERATED) == ""


@pytest.mark.parametrize(
    "secret",
    [KEYS, {"awsAccessKeyID": "key", "awsSecretAccessKey": "hush"}, {"MINIO_USER": "key", "MINIO_PASSWORD": "hush"}],
)
def test_s3_options_accept_each_name_of_the_keys(secret: dict[str, str]) -> None:
    config = dict(s3(secret, s3_access_key_name="MINIO_USER", s3_secret_key_name="MINIO_PASSWORD").config)
    assert (config["access_key_id"], config["secret_access_key"]) == ("key", "hush")
    assert "skip_signature" not in config


def test_s3_options_use_one_secret_and_prefer_that_with_keys() -> None:
    config = dict(
        s3({"AWS_REGION": "settings-only"}, KEYS | {"AWS_SESSION_TOKEN": "token"}, {"S3_ENDPOINT": "x"}).config
    )
    assert config["session_token"] == "token"
    assert config["region"] == "us-east-1"
    assert "aws_endpoint_url_s3" not in config


def test_s3_options_ignore_half_a_key_pair() -> None:
    assert dict(s3({"AWS_ACCESS_KEY_ID": "key"}, {"AWS_SECRET_ACCESS_KEY": "hush"}).config)["skip_signature"] is True


@pytest.mark.parametrize(
    ("secret", "endpoint"),
    [
        ({"S3_ENDPOINT": "minio.store:9000"}, "https://minio.store:9000"),
        ({"S3_ENDPOINT": "minio.store:9000", "S3_USE_HTTPS": "1"}, "https://minio.store:9000"),
        ({"S3_ENDPOINT": "minio.store:9000", "S3_USE_HTTPS": "0"}, "http://minio.store:9000"),
        ({"AWS_ENDPOINT_URL": "http://minio.store:9000/"}, "http://minio.store:9000"),
    ],
)
def test_s3_options_do_not_trust_endpoint_of_secret(secret: dict[str, str], endpoint: str) -> None:
    options = s3(KEYS | secret, s3_endpoint="https://settings")
    assert (options.endpoint, options.has_user_endpoint) == (endpoint, True)
    config = dict(options.config)
    assert (config["aws_endpoint_url_s3"], config["virtual_hosted_style_request"]) == (endpoint, False)


def test_s3_options_do_not_trust_endpoint_of_annotation() -> None:
    options = s3(KEYS, s3_endpoint="https://annotation", s3_check_endpoint=True)
    assert (options.endpoint, options.has_user_endpoint) == ("https://annotation", True)


def test_s3_options_fall_back_to_settings_and_environment() -> None:
    options = s3(KEYS, s3_endpoint="https://settings", s3_region="eu", s3_verify_tls=False)
    assert (options.endpoint, options.has_user_endpoint, options.verify_tls) == ("https://settings", False, False)
    assert dict(options.config)["region"] == "eu"
    assert s3(KEYS, environ={"AWS_ENDPOINT_URL": "https://env"}).endpoint == "https://env"


@pytest.mark.parametrize(
    ("secret", "settings", "virtual", "endpoint"),
    [
        ({}, {}, True, None),
        ({"S3_USE_VIRTUAL_BUCKET": "false"}, {}, False, None),
        ({"S3_ENDPOINT": "s3.example"}, {"s3_virtual_host": True}, True, "https://bucket.s3.example"),
        ({"S3_ENDPOINT": "s3.example", "S3_USE_VIRTUAL_BUCKET": "True"}, {}, True, "https://bucket.s3.example"),
        ({"S3_ENDPOINT": "s3.eu-west-1.amazonaws.com"}, {}, True, "https://bucket.s3.eu-west-1.amazonaws.com"),
    ],
)
def test_s3_options_use_virtual_host_at_amazon_and_on_request(
    secret: dict[str, str], settings: dict[str, Any], virtual: bool, endpoint: str | None
) -> None:
    options = s3(KEYS | secret, **settings)
    config = dict(options.config)
    assert (config["virtual_hosted_style_request"], config.get("aws_endpoint_url_s3")) == (virtual, endpoint)
    assert options.endpoint == (endpoint or "")  # the checked address


def test_s3_options_use_path_style_for_bucket_with_dot() -> None:
    options = s3_options(ObjectLocation("s3", "my.bucket", "a"), SourceSettings(), {}, {})
    assert dict(options.config)["virtual_hosted_style_request"] is False


def test_s3_options_anonymous_overrides_keys() -> None:
    assert dict(s3(KEYS | {"awsAnonymousCredential": "true"}).config)["skip_signature"] is True
    assert dict(s3(KEYS, s3_anonymous=True).config)["skip_signature"] is True


def test_s3_options_name_key_of_invalid_boolean() -> None:
    with pytest.raises(DownloadError, match="the key S3_VERIFY_SSL of a secret must be one of 1, true, yes, 0"):
        s3(KEYS | {"S3_VERIFY_SSL": "maybe"})


@pytest.mark.parametrize(
    "secret",
    [
        {"AWS_REGION": "x@169.254.169.254/"},
        {"AWS_DEFAULT_REGION": "eu.example.com/#"},
        {"S3_ENDPOINT": "169.254.169.254\\@minio.store"},
        {"AWS_ENDPOINT_URL": "http://user:hush@minio.store"},
        {"AWS_ENDPOINT_URL": "http://minio.store?hush"},
        {"AWS_ENDPOINT_URL_S3": "gopher://minio.store"},
        {"S3_ENDPOINT": "minio.store:99999"},
    ],
)
def test_s3_options_reject_secret_with_another_hostname(secret: dict[str, str]) -> None:
    with pytest.raises(DownloadError, match="of S3 that a secret names is not one") as caught:
        s3(KEYS | secret)
    assert (caught.value.reason, caught.value.permanent) == ("credentials", True)
    assert "hush" not in str(caught.value)


def test_s3_options_accept_endpoint_with_path_or_address() -> None:
    for endpoint in ("https://store.example/v1/s3", "http://[fd00::1]:9000", "http://10.0.0.1:9000"):
        assert s3(KEYS | {"AWS_ENDPOINT_URL": endpoint}).endpoint == endpoint


@pytest.mark.parametrize("account", ["example.com/", "account.example.com#", "ACCOUNT", "me@host"])
def test_azure_options_reject_account_with_another_hostname(account: str) -> None:
    with pytest.raises(DownloadError, match="the account that a secret names is not one"):
        azure(ObjectLocation("az", "container", "a"), {"AZURE_STORAGE_ACCOUNT": account})


@pytest.mark.parametrize("environ", [KEYS, IRSA, POD_IDENTITY])
def test_s3_options_prefer_keys_of_secret_to_pod_identity(environ: dict[str, str]) -> None:
    assert not {"skip_signature", "access_key_id"} & dict(s3(environ=environ).config).keys()
    assert dict(s3({"awsAccessKeyID": "k", "awsSecretAccessKey": "s"}, environ=environ).config)["access_key_id"] == "k"


@pytest.mark.parametrize(
    ("secret", "kind", "proof"),
    [
        ({"AZURE_STORAGE_ACCESS_KEY": "hush"}, "access_key", {"account_key": "hush"}),
        (
            {"AZ_CLIENT_ID": "i", "AZ_CLIENT_SECRET": "hush", "AZ_TENANT_ID": "t"},
            "client_secret",
            {"client_id": "i", "client_secret": "hush", "tenant_id": "t"},
        ),
        (
            {"AZURE_STORAGE_SAS_TOKEN": "?sv=1&sig=hush", "AZURE_STORAGE_ACCOUNT": "account"},
            "sas_token",
            {"sas_key": "sv=1&sig=hush"},
        ),
    ],
)
def test_azure_options_use_one_kind_of_credential(secret: dict[str, str], kind: str, proof: dict[str, str]) -> None:
    options = azure(AZURE, secret, environ=FEDERATED)
    assert options == {"account_name": "account", "credential_type": kind, **proof}


def test_azure_options_ignore_secret_of_another_account() -> None:
    other = {"AZURE_STORAGE_ACCOUNT": "other", "AZURE_STORAGE_ACCESS_KEY": "hush"}
    mine = {"AZURE_STORAGE_ACCOUNT": "account", "AZURE_STORAGE_ACCESS_KEY": "mine"}
    assert azure(AZURE, other, mine)["account_key"] == "mine"
    assert azure(AZURE, other)["skip_signature"] is True
    assert azure(ObjectLocation("az", "container", "a"), other)["account_name"] == "other"


def test_azure_options_send_sas_to_the_account_of_its_secret_only() -> None:
    sas = {"AZURE_STORAGE_SAS_TOKEN": "?sv=1&sig=hush"}
    assert "hush" not in str(azure(AZURE, sas))
    assert azure(AZURE, sas)["skip_signature"] is True
    assert azure(AZURE, sas | {"AZURE_STORAGE_ACCOUNT": "other"})["skip_signature"] is True
    named = sas | {"AZURE_STORAGE_ACCOUNT": "account"}
    assert azure(AZURE, sas, named)["sas_key"] == "sv=1&sig=hush"
    assert azure(ObjectLocation("az", "container", "a"), named)["account_name"] == "account"


def test_azure_options_use_federated_token_without_secret() -> None:
    options = azure(AZURE, environ=FEDERATED | {"AZURE_AUTHORITY_HOST": "https://login"})
    assert options == {
        "account_name": "account",
        "credential_type": "workload_identity",
        "federated_token_file": "/token",
        "client_id": "client",
        "tenant_id": "tenant",
        "authority_host": "https://login",
    }


def test_gcs_options_prefer_key_file_of_secret() -> None:
    settings = SourceSettings(gcs_credentials="/file")
    options = dict(gcs_options(GCS, settings, {"s": {GCS_KEY: SERVICE_ACCOUNT}}).config)
    assert options == {"base_url": "https://storage.googleapis.com", "service_account_key": SERVICE_ACCOUNT}
    assert dict(gcs_options(GCS, settings, {}).config)["application_credentials"] == "/file"


@pytest.mark.parametrize("text", ["{", "[]", '{"type": "authorized_user"}'])
def test_gcs_options_name_invalid_key_file(text: str) -> None:
    with pytest.raises(DownloadError, match=f"the key {GCS_KEY} of the secret mine is not the key file") as caught:
        gcs_options(GCS, SourceSettings(), {"mine": {GCS_KEY: text}})
    assert caught.value.permanent


def test_gcs_options_use_metadata_server_only_for_googles_storage() -> None:
    assert wants_identity(SourceSettings(), {})
    assert wants_identity(SourceSettings(gcs_endpoint="https://storage-x.p.googleapis.com"), {})
    assert not wants_identity(SourceSettings(gcs_endpoint="http://localhost:4443"), {})
    assert not wants_identity(SourceSettings(gcs_credentials="/file"), {})
    assert not wants_identity(SourceSettings(), {"s": {GCS_KEY: SERVICE_ACCOUNT}})
    assert "skip_signature" not in dict(gcs_options(GCS, SourceSettings(), {}, identity=True).config)


def test_store_options_hide_secrets_in_repr() -> None:
    assert "hush" not in repr(s3(KEYS))
    assert "hush" not in repr(gcs_options(GCS, SourceSettings(), {"s": {GCS_KEY: SERVICE_ACCOUNT}}))
