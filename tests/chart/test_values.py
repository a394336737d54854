"""Values of the chart: refused ones with the message or the path, and similar ones that are accepted."""

from __future__ import annotations

import base64
import json
import subprocess

import pytest
from webhooks.render import CHART, helm

from manyserve.api import servingconfig
from manyserve.api.hostsconfig import HostsConfig
from manyserve.api.networkpolicyconfig import Peer
from manyserve.api.routerconfig import ENVOY_IMAGE
from tests.chart.rendering import Manifest, environment, objects, pods, the

SECRET = "webhook.certificate.existingSecret=mine"
CERT_MANAGER = "webhook.certificate.certManager.enabled=true"
METRICS = "networkPolicy.metricsFrom[0].podSelector.matchLabels.a=b"
POLICIES = "config.hosts.networkPolicy"
ISSUER = "webhook.certificate.certManager.issuerRef"


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
    ("global.imageRegistri=x",): "global: Additional property imageRegistri is not allowed",
    ("global.imageRegistry=https://x/",): "global.imageRegistry: Does not match pattern",
    ("global.imagePullSecrets=x",): "global.imagePullSecrets: Invalid type. Expected: array",
    ("imagePullSecrets[0].nam=x",): "imagePullSecrets.0: Additional property nam is not allowed",
    ("commonLabels.a=null", "commonLabels.b.c=x"): "commonLabels.b: Invalid type. Expected: string",
    ("commonLabel.a=b",): "Additional property commonLabel is not allowed",
    ("commonLabels.app\\.kubernetes\\.io/name=x",): "commonLabels must not have app.kubernetes.io/name: the chart sets",
    ("webhook.podLabels.helm\\.sh/chart=x",): "webhook.podLabels must not have helm.sh/chart: the chart sets",
    ("operator.podLabel.a=b",): "operator: Additional property podLabel is not allowed",
    ("operator.serviceAccount.nam=x",): "operator.serviceAccount: Additional property nam is not allowed",
    ("webhook.serviceAccount.create=false",): "with create false, name must be the ServiceAccount that exists",
    (
        "operator.serviceAccount.name=x",
        "webhook.serviceAccount.name=x",
    ): "operator.serviceAccount.name and webhook.serviceAccount.name must be different",
    ("podSecurityContext.runAsUsr=1",): 'podSecurityContext: Property name of "runAsUsr" does not match',
    ("podSecurityContext.runAsUser=root",): "podSecurityContext.runAsUser: Invalid type. Expected: [integer,null]",
    ("securityContext.fsGroup=1",): 'securityContext: Property name of "fsGroup" does not match',
    ("config.hosts.podSecurityContext.user=1",): 'config.hosts.podSecurityContext: Property name of "user" does not',
    ("config.hosts.agentSecurityContext.fsGroup=1",): 'agentSecurityContext: Property name of "fsGroup" does not match',
    ("config.hosts.securityContext.runAsUser=1",): "config.hosts: Additional property securityContext is not allowed",
    ("operator.topologySpreadConstraints[0].maxSkew=1",): "topologySpreadConstraints.0: topologyKey is required",
    ("operator.strategy.type=Restart",): "operator.strategy.type must be one of the following",
    (
        "operator.strategy.type=Recreate",
        "operator.strategy.rollingUpdate.maxSurge=1",
    ): "rollingUpdate has no effect with type Recreate",
    ("revisionHistoryLimit=-1",): "revisionHistoryLimit: Must be greater than or equal to 0",
    ("extraObjects[0].kind=ConfigMap",): "extraObjects.0: apiVersion is required",
    ("webhook.port=443",): "webhook.port: Must be greater than or equal to 1024",
    ("webhook.port=9090",): "webhook.port and webhook.metricsPort must be different ports",
    ("webhook.hostnetwork=true",): "webhook: Additional property hostnetwork is not allowed",
    ("webhook.dnsPolicy=None",): "webhook.dnsPolicy must be one of the following",
    (
        "webhook.dnsPolicy=ClusterFirstWithHostNet",
    ): "webhook.dnsPolicy ClusterFirstWithHostNet needs webhook.hostNetwork",
    ("config.ingress.gateway=a/b",): "config.ingress.gateway needs gateway.enabled: without it the operator may not",
    (
        "gateway.enabled=true",
        "config.ingress.gateway=a/b",
        "config.ingress.disableIngressCreation=true",
    ): "config.ingress.gateway has no effect with config.ingress.disableIngressCreation",
    ("crds.install=false", "crds.takeOwnership=true"): "crds.takeOwnership has no effect without crds.install",
    ("webhook.clientCertificate.names={a}",): "webhook.clientCertificate.names need webhook.clientCertificate.caConfig",
    (f"{ISSUER}.name=x",): f"{ISSUER} needs webhook.certificate.certManager.enabled",
    (f"{ISSUER}.kind=Issuer", CERT_MANAGER): f"{ISSUER} must have a name",
    (METRICS,): "networkPolicy.metricsFrom needs networkPolicy.enabled",
    ("networkPolicy.enabled=true", "networkPolicy.metricsFrom[0].podSelector.a=b"): "metricsFrom.0.podSelector: Addit",
    ("config.hosts.networkPolicy.enabled=yes",): "networkPolicy.enabled: Invalid type. Expected: [boolean,null]",
    ("config.hosts.networkPolicy.egress=x",): "config.hosts.networkPolicy: Additional property egress is not allowed",
    (f"config.hosts.{METRICS}",): "from and metricsFrom need config.hosts.networkPolicy.enabled",
    (f"{POLICIES}.from[0].podSelectr.a=b",): "from and metricsFrom need config.hosts.networkPolicy.enabled",
    (f"{POLICIES}.enabled=true", f"{POLICIES}.from[0].podSelectr.a=b"): "from.0: Additional property podSelectr is",
    (
        f"{POLICIES}.enabled=true",
        f"{POLICIES}.from[0].podSelector.matchLabels.a=b",
        f"{POLICIES}.from[0].ipBlock.cidr=10.0.0.0/8",
    ): "ipBlock must be alone in its peer",
    ("monitoring.podMonitor.modelServers=true",): "monitoring.podMonitor.modelServers needs monitoring.podMonitor.en",
    ("config.router.memoryLimit=1G1",): "config.router.memoryLimit: Does not match pattern",
    ("config.agent.cpuRequest=half",): "config.agent.cpuRequest: Does not match pattern",
    ("config.agent.volumeSizeLimit=-1",): "config.agent.volumeSizeLimit: Must be greater than or equal to 0",
    ("tests.namespace=Team",): "tests.namespace: Does not match pattern",
    ("tests.timeoutSeconds=0",): "tests.timeoutSeconds: Must be greater than or equal to 1",
    ("config.ingress.domainTemplate=x-{{ .Name }}.{{ .Cluster }}",): "config.ingress.domainTemplate: Does not match",
    ("rollout.modelTimeout=30",): "rollout.modelTimeout: Invalid type. Expected: string",
    ("rollout.modelTimeout=half an hour",): "rollout.modelTimeout: Does not match pattern",
    ("rollout.maxHosts=0",): "rollout.maxHosts: Must be greater than or equal to 1",
    ("rollout.maxHosts=1.5",): "rollout.maxHosts: Invalid type. Expected: integer",
    ("rollout.hostTimeout=15",): "rollout.hostTimeout: Invalid type. Expected: string",
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
    ("global=null",),
    ("operator.serviceAccount.create=false", "operator.serviceAccount.name=x"),
    ("operator.serviceAccount.name=x", "webhook.enabled=false"),
    ("webhook.hostNetwork=true", "webhook.dnsPolicy=ClusterFirstWithHostNet"),
    ("gateway.enabled=true",),
    (CERT_MANAGER, f"{ISSUER}.name=x"),
    ("podSecurityContext=null", "securityContext.readOnlyRootFilesystem=false"),
    ("operator.strategy.type=Recreate",),
    ("config.predictors.xgboost.v2.image=x", "config.predictors.lightgbm=null"),
    ("networkPolicy.enabled=true", METRICS),
    (f"{POLICIES}.enabled=false", f"config.hosts.{METRICS}"),
    ("config.predictors.sklearn.v1=null", "config.predictors.sklearn.v2=null", "config.predictors.sklearn.image=x"),
]


NEW_OF_PODS = ("serviceAccount", "podLabels", "topologySpreadConstraints", "strategy")
CONTEXTS = ("pod", "server", "agent")
HOSTS = the("ConfigMap", "inferenceservice-config")["data"]["hosts"]


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
        "global=null",
        "commonLabels=null",
        "extraObjects=null",
        "revisionHistoryLimit=null",
        "securityContext=null",
        "tests=null",
        *(f"{name}.{key}=null" for name in ("operator", "webhook") for key in NEW_OF_PODS),
        *(f"webhook.{key}=null" for key in ("hostNetwork", "port", "metricsPort", "dnsPolicy")),
    )
    assert template(*absent) == template()


def test_values_absent_in_an_older_release_leave_the_hosts_to_the_operator() -> None:
    config = {"config.hosts=null": {"imagePullSecrets": []}, "config.hosts.imagePullSecrets=null": json.loads(HOSTS)}
    for value, hosts in config.items():
        data = the("ConfigMap", "inferenceservice-config", value)["data"]
        assert json.loads(data.get("hosts", "{}")) == hosts
        assert servingconfig.parse(data) == servingconfig.parse(the("ConfigMap", "inferenceservice-config")["data"])


@pytest.mark.parametrize(
    "values",
    [
        ("config.hosts=null", "global.imagePullSecrets={x}"),
        (*(f"config.hosts.{name}SecurityContext=null" for name in CONTEXTS), "config.hosts.imagePullSecrets={x}"),
    ],
    ids=["global", "of hosts"],
)
def test_pull_secrets_over_the_values_of_an_older_release_keep_the_operators_contexts(values: tuple[str, ...]) -> None:
    data = the("ConfigMap", "inferenceservice-config", "tests=null", *values)["data"]
    assert servingconfig.parse(data).hosts == HostsConfig(image_pull_secrets=("x",))


def test_image_registry_over_the_values_of_an_older_release_has_the_image_of_envoy() -> None:
    data = the("ConfigMap", "inferenceservice-config", "config.router=null", "global.imageRegistry=r.example")["data"]
    assert servingconfig.parse(data).router.envoy_image == ENVOY_IMAGE.replace("docker.io", "r.example")


def test_network_policies_of_hosts_have_the_peers_of_the_values_and_the_pods_of_the_operator() -> None:
    values = (f"{POLICIES}.enabled=true", f"config.hosts.{METRICS}")
    config = servingconfig.parse(the("ConfigMap", "inferenceservice-config", *values)["data"]).hosts.network_policy
    assert config
    assert config.enabled
    assert config.sources == ()
    assert [each.to_wire() for each in config.metrics_from] == [{"podSelector": {"matchLabels": {"a": "b"}}}]
    (operator,) = config.operator
    assert operator.namespace_selector
    assert operator.namespace_selector.match_labels == {"kubernetes.io/metadata.name": "manyserve-system"}
    selected = [each for each in objects(*values) if each["kind"] == "Deployment" and _selects(operator, each)]
    assert [each["metadata"]["name"] for each in selected] == ["manyserve-operator"]


def _selects(peer: Peer, deployment: Manifest) -> bool:
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    return peer.pod_selector is not None and peer.pod_selector.matches(labels)
