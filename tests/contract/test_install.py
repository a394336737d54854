"""Installation with helm, on clusters with different CRDs.

The API server of these tests has no CRD of ours before and after each test.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcluster.paths import Cluster
from manyserve.api_group import KSERVE, OWN
from tests.support import make
from tests.support.control_plane import CRDS, environment
from tests.support.eventually import eventually_sync
from tests.support.foreign_crds import KINDS, NAMES, permissive_crd, permissive_crds
from tests.support.helm import Helm, HelmFailed, commands, released
from tests.support.kubectl import Kubectl, Refused

FIRST = Path(__file__).parents[1] / "data" / "first_crds"
INSTALL = Path(__file__).parents[2] / "docs" / "install.md"
ELSEWHERE = ("walkthrough/test_zz_install.py", "release/test_install_alone.py", "release/test_registry.py")
"""The tests of commands that need pods, or the files of a release."""
TAKE = ("--take-ownership",)
OTHER = "belongs to another controller, such as KServe, and this release would replace it"
WAYS = "--set api.group=serving.manyserve.io, or migrate as docs/migrating-from-kserve.md says"
BOTH_FLAGS = "to take it over, add both --take-ownership and --set crds.takeOwnership=true"
Manifest = dict[str, Any]


@pytest.fixture
def kubectl(bare_server: Cluster) -> Kubectl:
    """kubectl without a namespace of its own: releases have theirs."""
    return Kubectl(environment(bare_server))


@pytest.fixture
def helm(kubectl: Kubectl) -> Iterator[Helm]:
    """helm on the API server without CRDs."""
    with released(Helm(kubectl.env), kubectl) as helm:
        yield helm


def versions(kubectl: Kubectl, *kinds: str) -> dict[str, str]:
    """Return the resourceVersion of each object of these kinds."""
    objects = [each for kind in kinds for each in kubectl.list(kind, "--all-namespaces")]
    return {f"{each['kind']}/{each['metadata']['name']}": each["metadata"]["resourceVersion"] for each in objects}


def kserve(kubectl: Kubectl) -> dict[str, str]:
    """Create KServe's CRDs and an object of each kind in KServe's form, and return their resourceVersions."""
    kubectl.apply(*permissive_crds())
    host = make.host_object(triton=None, model={"modelFormat": {"name": "sklearn"}, "storageUri": "gs://b/m"})
    for manifest, finalizer in (
        (host, "inferenceservice.finalizers"),
        (make.model_object(), "trainedmodel.finalizer"),
    ):
        metadata = {"name": manifest["metadata"]["name"], "namespace": "default", "finalizers": [finalizer]}
        eventually_sync(partial(applied, kubectl, manifest | {"metadata": metadata}), "the kind is served")
    eventually_sync(lambda: established(kubectl), "the CRDs have their conditions")
    return versions(kubectl, "crd", *NAMES)


def applied(kubectl: Kubectl, manifest: Manifest) -> bool:
    """Apply an object of a kind that may not be served yet, and return whether it was accepted."""
    try:
        return bool(kubectl.apply(manifest))
    except Refused:
        return False


def established(kubectl: Kubectl) -> bool:
    """Return whether the API server has written all its conditions on the CRDs."""
    conditions = [each["status"].get("conditions", []) for each in kubectl.list("crd")]
    return all({each["type"] for each in some} >= {"Established", "NamesAccepted"} for some in conditions)


def release_of(kubectl: Kubectl, crd: str) -> tuple[str, str]:
    """Return the namespace and the name of the release that a CRD belongs to."""
    notes = kubectl.get("crd", crd)["metadata"]["annotations"]
    return notes["meta.helm.sh/release-namespace"], notes["meta.helm.sh/release-name"]


@pytest.mark.parametrize("index", [0, 1], ids=NAMES)
def test_chart_refuses_over_a_foreign_crd_and_names_two_ways(kubectl: Kubectl, helm: Helm, index: int) -> None:
    kubectl.apply(permissive_crds()[index])
    eventually_sync(lambda: established(kubectl), "the CRD has its conditions")
    before = versions(kubectl, "crd")
    with pytest.raises(HelmFailed) as refused:
        helm.install("one")
    assert f"{NAMES[index]} {OTHER}" in str(refused.value)
    assert WAYS in str(refused.value)
    with pytest.raises(HelmFailed, match=re.escape(OTHER)):
        helm.install("one", "crds.takeOwnership=true", words=TAKE)
    assert helm.releases() == []
    assert versions(kubectl, "crd") == before


def test_chart_refuses_over_a_foreign_crd_in_our_own_group(kubectl: Kubectl, helm: Helm) -> None:
    kubectl.apply(*(permissive_crd(*kind, group=OWN) for kind in KINDS))
    with pytest.raises(HelmFailed, match=r"is in the cluster without the label app\.kubernetes\.io/part-of=manyserve"):
        helm.install("one", f"api.group={OWN}")


def test_chart_in_its_own_group_installs_beside_kserve_and_changes_nothing_there(kubectl: Kubectl, helm: Helm) -> None:
    before = kserve(kubectl)
    helm.install("one", f"api.group={OWN}")
    after = versions(kubectl, "crd", *NAMES)
    assert {name: after[name] for name in before} == before
    assert [name for name in after if name.endswith(OWN)] == [
        f"CustomResourceDefinition/{plural}.{OWN}" for plural in ("inferenceservices", "trainedmodels")
    ]
    eventually_sync(lambda: applied(kubectl, make.host_object() | own("h", "v1beta1")), "our kind is served")
    assert kubectl("get", "misvc", "-o", "name") == f"inferenceservice.{OWN}/h\n"


def own(name: str, version: str) -> Manifest:
    """Return the part of an object that puts it into our own group."""
    return {"apiVersion": f"{OWN}/{version}", "metadata": {"name": name, "namespace": "default"}}


def test_chart_releases_of_both_groups_share_a_cluster_and_a_name(kubectl: Kubectl, helm: Helm) -> None:
    for namespace, group in (("one", KSERVE), ("two", OWN)):
        helm.install(namespace, f"api.group={group}")
    assert sorted(helm.releases()) == [("one", "manyserve"), ("two", "manyserve")]
    helm("uninstall", "manyserve", "-n", "two")
    roles = kubectl("get", "clusterrole,clusterrolebinding,validatingwebhookconfiguration", "-o", "name").split()
    left = [each for each in roles if "/manyserve" in each]
    assert len(left) == 7
    assert not any(OWN in each for each in left)


def test_chart_takes_over_crds_of_another_release_with_both_flags(kubectl: Kubectl, helm: Helm) -> None:
    crd = NAMES[1]
    helm.install("one")
    eventually_sync(lambda: applied(kubectl, make.model_object()), "the kind is served")
    helm("uninstall", "manyserve", "-n", "one")
    sentence = f"{crd} is a CRD of manyserve and belongs to the release manyserve in the namespace one; {BOTH_FLAGS}"
    with pytest.raises(HelmFailed, match=re.escape(sentence)):
        helm.install("two")
    with pytest.raises(HelmFailed, match=re.escape(sentence)):
        helm.install("two", words=TAKE)
    with pytest.raises(HelmFailed, match="invalid ownership metadata"):
        helm.install("two", "crds.takeOwnership=true")
    helm.install("two", "crds.takeOwnership=true", words=TAKE)
    assert release_of(kubectl, crd) == ("two", "manyserve")
    assert kubectl.exists("tm", "cifar10")
    helm("upgrade", "manyserve", "deploy/chart", "-n", "two")


def test_chart_takes_over_crds_that_kubectl_applied(kubectl: Kubectl, helm: Helm) -> None:
    kserve(kubectl)
    kubectl("annotate", "crd", *NAMES, "meta.helm.sh/release-name=kserve-crd", "meta.helm.sh/release-namespace=kserve")
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRDS))
    with pytest.raises(HelmFailed, match=f"belongs to the release kserve-crd in the namespace kserve; {BOTH_FLAGS}"):
        helm.install("one")
    helm.install("one", "crds.takeOwnership=true", words=TAKE)
    assert release_of(kubectl, NAMES[0]) == ("one", "manyserve")


def test_chart_refusal_names_no_release_for_crds_without_one(kubectl: Kubectl, helm: Helm) -> None:
    kubectl("apply", "--server-side", "-f", str(CRDS))
    with pytest.raises(HelmFailed, match=f"belongs to no release of Helm; {BOTH_FLAGS}"):
        helm.install("one")


def test_chart_accepts_the_crds_of_our_first_release(kubectl: Kubectl, helm: Helm) -> None:
    kubectl.apply(*(crd_of_first_release(path) for path in sorted(FIRST.iterdir())))
    with pytest.raises(HelmFailed, match=f"the release manyserve in the namespace manyserve-system; {BOTH_FLAGS}"):
        helm.install("one")
    helm.install("manyserve-system")
    assert "x-kubernetes" in str(kubectl.get("crd", NAMES[0])["spec"])


def crd_of_first_release(path: Path) -> Manifest:
    """Return a CRD of our first release with the labels and annotations of its chart."""
    crd: Manifest = yaml.safe_load(path.read_text())
    labels = {"app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/part-of": "manyserve"}
    notes = {"name": "manyserve", "namespace": "manyserve-system"}
    annotations = {f"meta.helm.sh/release-{key}": value for key, value in notes.items()}
    metadata = {"labels": labels, "annotations": annotations | {"helm.sh/resource-policy": "keep"}}
    return crd | {"metadata": {"name": crd["metadata"]["name"]} | metadata}


def test_chart_without_crds_installs_over_any_crd(kubectl: Kubectl, helm: Helm) -> None:
    before = kserve(kubectl)
    helm.install("one", "crds.install=false")
    assert versions(kubectl, "crd", *NAMES) == before


def test_install_document_installs_beside_kserve(kubectl: Kubectl, helm: Helm) -> None:
    kserve(kubectl)
    printed = run(helm, "Beside KServe")
    assert "triton-mms" in printed
    assert "cifar10" in printed
    kubectl("delete", "namespace", "own-models", "--wait=false")


def test_install_document_installs_again_in_another_namespace(kubectl: Kubectl, helm: Helm) -> None:
    run(helm, "Install")
    assert release_of(kubectl, NAMES[0]) == ("manyserve-system", "manyserve")
    run(helm, "In another namespace")
    assert release_of(kubectl, NAMES[0]) == ("serving", "manyserve")


def test_install_document_hands_over_crds_to_a_helm_without_the_flag(kubectl: Kubectl, helm: Helm) -> None:
    kubectl("apply", "--server-side", "-f", str(CRDS))
    run(helm, "With a Helm before 3.17")
    assert release_of(kubectl, NAMES[0]) == ("serving", "manyserve")


def test_install_document_check_shows_the_owner_of_the_crds(kubectl: Kubectl, helm: Helm) -> None:
    (command,) = commands(INSTALL, "Argo CD, Flux and other tools")
    assert helm.shell(command) == ""
    kubectl.apply(*permissive_crds())
    assert "manyserve" not in helm.shell(command)
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRDS))
    lines = helm.shell(command).splitlines()[1:]
    assert [line.split()[-1] for line in lines] == ["manyserve"] * 2


def test_install_document_uninstalls_and_removes_everything(kubectl: Kubectl, helm: Helm) -> None:
    run(helm, "Install")
    eventually_sync(partial(applied, kubectl, make.host_object()), "the kinds are served")
    eventually_sync(partial(applied, kubectl, make.model_object()), "the kinds are served")
    first, *rest = commands(INSTALL, "Uninstall")
    helm.shell(first)
    assert helm.releases() == []
    assert all(kubectl.exists("crd", each) for each in NAMES)
    for command in rest:
        helm.shell(command)
    assert not any(kubectl.exists("crd", each) for each in NAMES)


def test_install_document_commands_are_all_run_by_these_tests() -> None:
    text = INSTALL.read_text()
    headings = re.findall(r"\n## (.*)\n", text)
    with_commands = [each for each in headings if commands(INSTALL, each)]
    tests = Path(__file__).parents[1]
    source = Path(__file__).read_text() + "".join((tests / name).read_text() for name in ELSEWHERE)
    assert [each for each in with_commands if f'"{each}"' not in source] == []
    assert text.count("```console\n") == text.count("```console")


def run(helm: Helm, heading: str) -> str:
    """Run the commands under a heading of the document, and return what they printed."""
    printed = ""
    for command in commands(INSTALL, heading):
        printed += eventually_sync(partial(tried, helm, command), f"{command} succeeds", 20)[0]
    return printed


def tried(helm: Helm, command: str) -> list[str]:
    """Run a command and return what it printed; kubectl may come before a new kind is served, and then nothing."""
    try:
        return [helm.shell(command)]
    except HelmFailed:
        if command.startswith("kubectl"):
            return []
        raise
