"""Chart: lint, generated files, values, and the settings that the programs read."""

from __future__ import annotations

import base64
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from scripts import values_reference
from webhooks.render import CHART, ROOT, copied, helm, rendered

from manyserve.api import servingconfig
from manyserve.api.credentialsconfig import Credentials
from manyserve.api_group import GROUPS, KSERVE, OWN
from manyserve.operator.settings import OperatorSettings
from manyserve.webhook.settings import WebhookSettings
from tests.chart.rendering import VARIANTS, environment, objects, pods, the


@pytest.mark.parametrize("values", VARIANTS)
def test_helm_lint_accepts_the_chart(values: tuple[str, ...]) -> None:
    settings = [part for value in values for part in ("--set", value)]
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART), *settings)


def test_generated_files_are_up_to_date() -> None:
    files = copied() | rendered()
    stale = [str(path.relative_to(ROOT)) for path, expected in files.items() if path.read_text() != expected]
    assert stale == [], "run: make generate"


def test_chart_crds_equal_those_of_the_repository() -> None:
    for group, folder in ((KSERVE, ROOT / "crds"), (OWN, ROOT / "crds" / OWN)):
        files = {path.name: path.read_text() for path in (CHART / "files" / group).iterdir()}
        assert files == {path.name: path.read_text() for path in folder.glob("*.yaml")}


def test_chart_ships_the_crds_of_the_known_groups_only() -> None:
    others = ("alerts", "dashboards")
    assert sorted(path.name for path in (CHART / "files").iterdir() if path.name not in others) == sorted(GROUPS)


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("name", ["inferenceservices", "trainedmodels"])
def test_chart_template_keeps_the_whole_crd(name: str, group: str) -> None:
    source = yaml.safe_load((CHART / "files" / group / f"{name}.yaml").read_text())
    crd = the("CustomResourceDefinition", source["metadata"]["name"], f"api.group={group}")
    assert crd["spec"] == source["spec"]
    assert crd["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert source["metadata"]["labels"].items() <= crd["metadata"]["labels"].items()


def test_chart_metadata_names_its_images_crds_and_icon() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    notes = {key.removeprefix("artifacthub.io/"): text for key, text in chart["annotations"].items()}
    config = servingconfig.parse(the("ConfigMap", "inferenceservice-config")["data"])
    servers = {f"{each.image}:{each.default_image_version}" for each in config.predictors.values()}
    assert {each["image"] for each in yaml.safe_load(notes["images"])} == servers | {config.agent.image}
    crds = {(each["name"], each["kind"], each["version"]) for each in yaml.safe_load(notes["crds"])}
    shipped = [each for each in objects() if each["kind"] == "CustomResourceDefinition"]
    assert crds == {
        (each["metadata"]["name"], each["spec"]["names"]["kind"], each["spec"]["versions"][0]["name"])
        for each in shipped
    }
    icon = (CHART / "icon.svg").read_bytes().strip()
    assert chart["icon"] == f"data:image/svg+xml;base64,{base64.b64encode(icon).decode()}"
    assert chart["maintainers"]
    assert chart["sources"]


@pytest.mark.parametrize("template", sorted((CHART / "templates").glob("*.yaml")), ids=lambda path: path.name)
def test_template_file_has_one_object(template: Path) -> None:
    if template.name == "extra-objects.yaml":
        return  # they are in the values
    assert template.read_text().count("\nkind: ") + template.read_text().count('"manyserve.crd"') == 1


FREE_FORM = ("resources", ".predictors", "issuerRef", "ecurityContext")


def paths(node: Any, prefix: str = "") -> set[str]:
    """Return the path of each value; a value of any shape counts as one path."""
    if not isinstance(node, dict) or not node or prefix.endswith(FREE_FORM):
        return {prefix}
    return set().union(*(paths(each, f"{prefix}.{key}") for key, each in node.items()))


def test_values_schema_and_values_file_have_the_same_paths() -> None:
    def of_schema(node: dict[str, Any], prefix: str = "") -> set[str]:
        inner = {} if prefix.endswith(FREE_FORM) else node.get("properties", {})
        return set().union(*(of_schema(each, f"{prefix}.{key}") for key, each in inner.items())) or {prefix}

    values = paths(yaml.safe_load((CHART / "values.yaml").read_text()))
    schema = of_schema(yaml.safe_load((CHART / "values.schema.json").read_text()))
    assert values == schema


def test_values_have_a_comment_each() -> None:
    lines = (CHART / "values.yaml").read_text().splitlines()
    free_form = ("requests:", "limits:", "cpu:", "memory:", "ephemeral-storage:", "{")
    bare = [
        line
        for before, line in pairwise(lines)
        if line.strip() and not line.strip().startswith(("#", *free_form)) and not before.strip().startswith("#")
    ]
    assert bare == []


def test_values_have_a_comment_in_the_form_of_helm_docs() -> None:
    text = (CHART / "values.yaml").read_text()
    comments = {f".{'.'.join(path)}": comment for path, comment in values_reference.described(text)}
    leaves = {path for path in paths(yaml.safe_load(text)) if not path.endswith(("redictors", "ecurityContext"))}
    leaves |= {path for path in comments if ".predictors." in path or "ecurityContext." in path}
    sections = {"triton", "sklearn", "xgboost", "lightgbm"}
    assert {each for each in leaves if not comments[each].startswith("-- ")} == {
        f".config.predictors.{each}" for each in sections
    }


@pytest.mark.parametrize(
    "value",
    ["webhook.failurePolicy=Perhaps", "image.digest=latest", "config.ingress.gateway=a", "operator.replicas=0", "x=1"],
)
def test_values_schema_refuses_an_invalid_value(value: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        helm("template", str(CHART), "--set", value)
    assert "values don't meet the specifications" in caught.value.stderr


def test_config_map_defaults_match_the_walkthrough() -> None:
    config = servingconfig.parse(the("ConfigMap", "inferenceservice-config")["data"])
    triton = config.predictors["triton"]
    assert triton.multi_model_server
    assert {"tensorrt", "tensorflow", "onnx", "pytorch", "caffe2"} <= set(triton.supported_frameworks)
    for name in ("sklearn", "xgboost", "lightgbm"):
        for protocol in ("v1", "v2"):
            predictor = config.predictors[f"{name}.{protocol}"]
            assert predictor.multi_model_server
            assert predictor.supported_frameworks == (name,)
    assert config.ingress == servingconfig.IngressConfig()
    assert config.agent.image == "manyserve/manyserve:0.1.0"
    assert config.agent.volume_bytes is None
    assert config.deploy.progress_deadline == 600
    assert config.rollout == servingconfig.RolloutConfig(model_timeout="30m", max_hosts=1, host_timeout="15m")
    assert config.credentials == Credentials()


def test_config_map_has_the_values_that_are_set() -> None:
    values = (
        "config.ingress.ingressClassName=contour",
        "config.ingress.gateway=infra/gateway",
        "gateway.enabled=true",
        "config.agent.image=other:1",
        "config.agent.ephemeralStorageRequest=10Gi",
        "config.agent.volumeSizeLimit=20Gi",
        "config.credentials.gcs.endpoint=http://gcs",
        "config.predictors.triton.image=own",
        "rollout.modelTimeout=1h30m",
        "rollout.maxHosts=3",
        "rollout.hostTimeout=5m",
    )
    config = servingconfig.parse(the("ConfigMap", "inferenceservice-config", *values)["data"])
    assert config.ingress.ingress_class_name == "contour"
    assert config.ingress.gateway == "infra/gateway"
    assert config.agent.image == "other:1"
    assert (config.agent.ephemeral_storage_request, config.agent.ephemeral_storage_limit) == ("10Gi", None)
    assert config.agent.volume_size_limit == "20Gi"
    assert config.rollout.model_seconds == 5400
    assert (config.rollout.max_hosts, config.rollout.host_seconds) == (3, 300)
    assert config.credentials.gcs.endpoint == "http://gcs"
    assert config.predictors["triton"].image == "own"


def test_config_map_has_the_settings_of_object_stores() -> None:
    values = (
        "config.credentials.readSecretAnnotations=true",
        "config.credentials.gcs.gcsCredentialFileName=key.json",
        "config.credentials.s3.s3AccessKeyIDName=id",
        "config.credentials.s3.s3SecretAccessKeyName=key",
        "config.credentials.s3.s3Endpoint=minio:9000",
        "config.credentials.s3.s3UseHttps=false",
        "config.credentials.s3.s3Region=eu-1",
        "config.credentials.s3.s3VerifySSL=0",
        "config.credentials.s3.s3UseVirtualBucket=true",
        "config.credentials.s3.s3UseAnonymousCredential=false",
        "config.credentials.s3.s3CABundle=/ca",
        "config.credentials.s3.s3CABundleConfigMap=ca",
        "config.credentials.azure.endpoint=http://azurite",
        "config.credentials.hf.endpoint=http://hub",
        "config.credentials.https.allowHttp=true",
        "config.credentials.https.allowedNetworks={10.0.0.0/8,fd00::/8}",
        "config.credentials.https.caBundle=/roots",
    )
    credentials = servingconfig.parse(the("ConfigMap", "inferenceservice-config", *values)["data"]).credentials
    for store in (
        credentials,
        credentials.gcs,
        credentials.s3,
        credentials.azure,
        credentials.hf,
        credentials.https,
    ):
        assert type(store).model_fields.keys() - store.model_fields_set <= {"endpoint"}
    assert credentials.s3.s3_use_anonymous_credential is False
    assert credentials.s3.s3_verify_ssl is False


def test_operator_settings_match_the_environment_of_the_pod() -> None:
    ((_, pod),) = (each for each in pods() if each[0] == "manyserve-operator")
    settings = OperatorSettings.from_env(environment(pod))
    ports = {each["name"]: each["containerPort"] for each in pod["containers"][0]["ports"]}
    assert settings.namespace == "manyserve-system"
    assert settings.leader_election
    assert settings.pod
    assert ports == {"health": settings.health_port, "metrics": settings.metrics_port}


@pytest.mark.parametrize("name", ["manyserve", "other"])
def test_webhook_settings_match_the_environment_of_the_pod(name: str) -> None:
    values = (f"fullnameOverride={name}",)
    ((_, pod),) = (each for each in pods(*values) if each[0] == f"{name}-webhook")
    settings = WebhookSettings.from_env(environment(pod))
    ports = {each["name"]: each["containerPort"] for each in pod["containers"][0]["ports"]}
    assert ports == {"https": settings.port, "metrics": settings.metrics_port}
    assert the("Secret", settings.secret, *values).get("data") is None
    registration = the("ValidatingWebhookConfiguration", settings.configuration, *values)
    service = registration["webhooks"][0]["clientConfig"]["service"]
    assert service == {"name": settings.service, "namespace": "manyserve-system", "path": "/validate", "port": 443}
    assert f"{service['name']}.{service['namespace']}.svc" in settings.names


def test_webhook_certificate_is_read_from_its_mount_path() -> None:
    values = VARIANTS[2]
    ((_, pod),) = (each for each in pods(*values) if each[0] == "manyserve-webhook")
    mounts = {each["name"]: each["mountPath"] for each in pod["containers"][0]["volumeMounts"]}
    volumes = {each["name"]: each for each in pod["volumes"]}
    assert environment(pod)["MANYSERVE_WEBHOOK_CERTIFICATE_FOLDER"] == mounts["certificate"]
    assert volumes["certificate"]["secret"]["secretName"] == "mine"
    assert not [each for each in objects(*values) if each["kind"] == "Secret"]


def test_webhook_requires_the_client_certificate_of_the_values() -> None:
    values = ("webhook.clientCertificate.caConfigMap=api-server-ca", "webhook.clientCertificate.names={a,b.c}")
    ((_, pod),) = (each for each in pods(*values) if each[0] == "manyserve-webhook")
    mounts = {each["name"]: each for each in pod["containers"][0]["volumeMounts"]}
    volumes = {each["name"]: each for each in pod["volumes"]}
    assert volumes["client-ca"]["configMap"] == {"name": "api-server-ca"}
    settings = WebhookSettings.from_env(environment(pod))
    assert settings.client_names == ("a", "b.c")
    assert str(settings.client_ca) == f"{mounts['client-ca']['mountPath']}/ca.crt"
    ((_, pod),) = (each for each in pods() if each[0] == "manyserve-webhook")
    assert WebhookSettings.from_env(environment(pod)).client_ca is None


def test_webhook_registration_has_two_kinds_without_status_and_deletion() -> None:
    (hook,) = the("ValidatingWebhookConfiguration", "manyserve-webhook")["webhooks"]
    rules = [(each["apiVersions"], each["resources"], each["operations"]) for each in hook["rules"]]
    assert rules == [
        (["v1beta1"], ["inferenceservices"], ["CREATE", "UPDATE"]),
        (["v1alpha1"], ["trainedmodels"], ["CREATE", "UPDATE"]),
    ]
    assert hook["failurePolicy"] == "Ignore"
    assert hook["matchPolicy"] == "Equivalent"
    assert hook["sideEffects"] == "NoneOnDryRun"
    assert hook["timeoutSeconds"] == 5
    assert hook["admissionReviewVersions"] == ["v1"]
    assert "caBundle" not in hook["clientConfig"]


SELECTORS = {
    "Service": ["selector"],
    "PodDisruptionBudget": ["selector", "matchLabels"],
    "NetworkPolicy": ["podSelector", "matchLabels"],
}


@pytest.mark.parametrize("values", VARIANTS)
def test_selectors_match_a_deployment(values: tuple[str, ...]) -> None:
    labels = [
        each["spec"]["template"]["metadata"]["labels"] for each in objects(*values) if each["kind"] == "Deployment"
    ]
    for manifest in objects(*values):
        if manifest["kind"] in SELECTORS:
            selector: Any = manifest["spec"]
            for part in SELECTORS[manifest["kind"]]:
                selector = selector[part]
            assert sum(selector.items() <= of_pods.items() for of_pods in labels) == 1, manifest["metadata"]["name"]
