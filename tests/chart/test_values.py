"""Values of the chart: refused ones with the message or the path, and similar ones that are accepted."""

from __future__ import annotations

import base64
import subprocess

import pytest
from webhooks.render import CHART, helm

from tests.chart.rendering import environment, pods, the

SECRET = "webhook.certificate.existingSecret=mine"
CERT_MANAGER = "webhook.certificate.certManager.enabled=true"


def bundle(text: str) -> str:
    """Return the value for a CA."""
    return f"webhook.certificate.caBundle={base64.b64encode(text.encode()).decode()}"


PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
CA = bundle(PEM)
NEEDS_CA = "webhook.certificate.caBundle: String length must be greater than or equal to 1"
NEEDS_SECRET = "webhook.certificate.existingSecret: String length must be greater than or equal to 1"
NO_PEM = "webhook.certificate.caBundle: Does not match pattern"
REFUSED = {
    (SECRET,): NEEDS_CA,
    (SECRET, "webhook.certificate.caBundle="): NEEDS_CA,
    (SECRET, "webhook.certificate.caBundle=null"): "webhook.certificate: caBundle is required",
    (CA,): NEEDS_SECRET,
    (CA, CERT_MANAGER): NEEDS_SECRET,
    (SECRET, bundle("no PEM")): NO_PEM,
    (SECRET, "webhook.certificate.caBundle=-----BEGIN CERTIFICATE-----"): NO_PEM,
    (SECRET, CA[:-1]): NO_PEM,
    (SECRET, f"{CA}\n"): NO_PEM,
    ("config.predictors.tritn.image=x",): "config.predictors: Additional property tritn is not allowed",
    ("config.predictors.tensorflow.image=x",): "config.predictors: Additional property tensorflow is not allowed",
    ("config.predictors.triton.imag=x",): "config.predictors.triton: Additional property imag is not allowed",
    ("config.predictors.triton.v1.image=x",): "config.predictors.triton: Additional property v1 is not allowed",
    ("config.predictors.sklearn.v1.imag=x",): "config.predictors.sklearn.v1: Additional property imag is not allowed",
    ("config.predictors.sklearn.v3.image=x",): "config.predictors.sklearn: Additional property v3 is not allowed",
    ("config.predictors.xgboost.image=x",): "config.predictors.xgboost: Additional property image is not allowed",
    ("global.imageRegistry=x",): "global: Additional property imageRegistry is not allowed",
    ("config.ingress.domainTemplate=x-{{ .Name }}.{{ .Cluster }}",): "config.ingress.domainTemplate: Does not match",
    ("rollout.modelTimeout=30",): "rollout.modelTimeout: Invalid type. Expected: string",
    ("rollout.modelTimeout=half an hour",): "rollout.modelTimeout: Does not match pattern",
    ("rollout.timeout=30m",): "rollout: Additional property timeout is not allowed",
    ("monitoring.serviceMonitor.interval=soon",): "monitoring.serviceMonitor.interval: Does not match pattern",
    ("monitoring.podMonitor.port=agent",): "monitoring.podMonitor: Additional property port is not allowed",
    ("monitoring.prometheusRule.runbookUrl=https://x/",): "monitoring.prometheusRule.runbookUrl: Does not match",
    ("monitoring.dashboards.enabled=perhaps",): "monitoring.dashboards.enabled: Invalid type. Expected: boolean",
    ("webhook.refuseUnmanaged=perhaps",): "webhook.refuseUnmanaged: Invalid type. Expected: boolean",
    ("webhook.refuseUnmanagd=false",): "webhook: Additional property refuseUnmanagd is not allowed",
}
ALLOWED = [
    (SECRET, CA),
    *((SECRET, bundle(PEM + "x" * more)) for more in (1, 2)),
    (SECRET, CERT_MANAGER),
    (SECRET, CA, CERT_MANAGER),
    ("webhook.certificate.existingSecret=", "webhook.certificate.caBundle="),
    ("config.ingress.domainTemplate=x-{{ .Name }}-{{.Namespace}}.{{ .IngressDomain }}",),
    ("config.predictors.triton.image=x",),
    ("config.predictors.xgboost.v2.image=x", "config.predictors.lightgbm=null"),
    ("config.predictors.sklearn.v1=null", "config.predictors.sklearn.v2=null", "config.predictors.sklearn.image=x"),
]


def template(*values: str, skip: bool = False) -> str:
    """Return the rendered chart. Raises `CalledProcessError`."""
    settings = [part for value in values for part in ("--set", value)]
    return helm("template", "x", str(CHART), *settings, *(["--skip-schema-validation"] if skip else []))


@pytest.mark.parametrize(("values", "message"), REFUSED.items(), ids=map(str, REFUSED))
def test_values_schema_refuses_a_value_without_effect_and_names_its_path(values: tuple[str, ...], message: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        template(*values)
    assert message in caught.value.stderr


@pytest.mark.parametrize("values", ALLOWED, ids=map(str, ALLOWED))
def test_values_schema_accepts_similar_values_with_an_effect(values: tuple[str, ...]) -> None:
    assert template(*values)


def test_values_schema_accepts_the_empty_global_of_subcharts() -> None:
    assert helm("template", "x", str(CHART), "--set-json", "global={}")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            SECRET,
            "needs webhook.certificate.caBundle, the CA of that Secret as base64 of PEM: without it the API server",
        ),
        (CA, "needs webhook.certificate.existingSecret, the Secret of which it is the CA"),
    ],
)
def test_template_refuses_half_a_certificate_without_the_schema(value: str, message: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        template(value, skip=True)
    assert message in caught.value.stderr


def test_webhook_registration_has_the_ca_bundle() -> None:
    (hook,) = the("ValidatingWebhookConfiguration", "manyserve-webhook", SECRET, CA)["webhooks"]
    assert base64.b64decode(hook["clientConfig"]["caBundle"]).decode() == PEM


@pytest.mark.parametrize(("values", "message"), [((), "true"), (("webhook.refuseUnmanaged=false",), "false")])
def test_webhook_environment_has_refuse_unmanaged(values: tuple[str, ...], message: str) -> None:
    ((_, pod),) = (each for each in pods(*values) if each[0] == "manyserve-webhook")
    assert environment(pod)["MANYSERVE_REFUSE_UNMANAGED"] == message


def test_values_absent_in_an_older_release_count_as_their_defaults() -> None:
    """As in `helm upgrade --reuse-values`, which takes the defaults of the older chart."""
    absent = (
        "api=null",
        "scope=null",
        "crds.takeOwnership=null",
        "webhook.refuseUnmanaged=null",
        "rollout=null",
        "monitoring=null",
    )
    assert template(*absent) == template()
