"""Scenario of the contract test of unmanaged objects, and its records.

Objects are stored under CRDs that accept anything. Our CRDs replace these, operator and webhook run, a user labels each
object, and the first CRDs return. The tests compare the objects at each of these times.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from localcluster.paths import Cluster
from manyserve.api import names
from manyserve.cluster.client import KubeClient
from manyserve.cluster.kubeconfig import find_cluster_config
from tests.contract.kubelet import kubelet
from tests.contract.stage import configure
from tests.support import kserve_forms, make
from tests.support.control_plane import new_namespace
from tests.support.eventually import eventually_sync
from tests.support.figures import LONG
from tests.support.kserve_forms import FORMS, HOST_FINALIZER, MODE, PERMISSIVE, TODAY
from tests.support.kubectl import Kubectl, Refused, condition
from tests.support.programs import Program, program, read
from tests.support.webhook import webhook

Manifest = dict[str, Any]
Stored = dict[tuple[str, str], Manifest]
SECONDS = 120.0 if LONG else 30.0
"""Minimum time for which operator and webhook run."""
NEW_FORM, OLD_FORM = "as-model", "as-triton"
"""Two hosts: with `predictor.model`, as KServe 0.8 and newer stores it, and with `predictor.triton`."""
WAITING = "names-an-unmanaged-host"
UNMARKED = tuple(each for each in FORMS if not each.marked)
CHILDREN = "deployment,service,configmap,ingress,hpa,pdb"


@dataclass
class Course:
    """The records, in the order in which they were taken."""

    before: Stored = field(default_factory=dict)
    applied: Stored = field(default_factory=dict)
    """After a replacement of the CRDs and back, with a label in between; no program of ours runs."""
    started: Stored = field(default_factory=dict)
    unlabelled: Stored = field(default_factory=dict)
    """After some seconds of operator and webhook, before the label."""
    labelled: Stored = field(default_factory=dict)
    ended: Stored = field(default_factory=dict)
    after: Stored = field(default_factory=dict)
    """Under the first CRDs again."""
    refusals: dict[str, str] = field(default_factory=dict)
    """Output of kubectl for the create of each form without a mark, by the form's name."""
    marked: dict[str, str] = field(default_factory=dict)
    """Refusals of creates with a mark, by the mark; empty: all were accepted."""
    lenient: str = ""
    """Refusals of creates without a mark by a lenient webhook."""
    metrics: str = ""
    children: list[Manifest] = field(default_factory=list)
    events: list[Manifest] = field(default_factory=list)
    config: str = ""
    """`models.json` of the host with `predictor.triton`."""


async def play(server: Cluster, folder: Path) -> Course:
    """Run the scenario on an API server of its own."""
    with new_namespace(server) as kubectl:
        await asyncio.to_thread(configure, kubectl)
        async with (
            KubeClient(find_cluster_config({"KUBECONFIG": str(server.kubeconfig)})) as client,
            kubelet(client, kubectl.namespace, NEW_FORM) as (_, port),
        ):
            return await asyncio.to_thread(_course, server, kubectl, folder, port)


def _course(server: Cluster, kubectl: Kubectl, folder: Path, agent_port: int) -> Course:
    course = Course()
    _store(kubectl)
    course.before = stored(kubectl)
    kserve_forms.install(kubectl, TODAY, kserve_forms.APPLY)
    kubectl("label", "isvc,tm", "--all", "way=apply")
    kserve_forms.install(kubectl, PERMISSIVE, kserve_forms.APPLY)
    course.applied = stored(kubectl)
    kserve_forms.install(kubectl, TODAY, kserve_forms.REPLACE)
    course.started = stored(kubectl)
    with _programs(server, kubectl, folder, agent_port) as operator:
        began = time.monotonic()
        _with_operator_and_webhook(course, kubectl)
        _try_lenient(course, server, folder)
        eventually_sync(lambda: time.monotonic() - began > SECONDS, "operator and webhook ran", SECONDS + 10)
        course.metrics = read(operator.metrics, "/metrics")
        course.ended = stored(kubectl)
        course.children = kubectl.list(CHILDREN)
        course.events = kubectl.list("events")
    kserve_forms.install(kubectl, PERMISSIVE, kserve_forms.REPLACE)
    course.after = stored(kubectl)
    return course


def _store(kubectl: Kubectl) -> None:
    """Create all forms, two hosts with a model each, and a model that names an unmanaged InferenceService."""
    kubectl("create", "-f", "-", text=json.dumps(kubectl.here(make.host_object(OLD_FORM))))
    kubectl("create", "-f", "-", text=json.dumps(kubectl.here(make.model_object("of-triton", host=OLD_FORM))))
    kserve_forms.install(kubectl, PERMISSIVE, kserve_forms.REPLACE)
    kserve_forms.store(kubectl, FORMS)
    kubectl.create(new_form(NEW_FORM))
    kubectl.create(make.model_object("of-model", host=NEW_FORM))
    kubectl.create(make.model_object(WAITING, host="model-with-storage-uri"))


def new_form(name: str) -> Manifest:
    """Return a host as KServe 0.8 and newer rewrites it."""
    limits = {"cpu": "1", "memory": "2Gi"}
    model = {"modelFormat": {"name": "triton"}, "name": "", "resources": {"limits": limits, "requests": limits}}
    return make.host_object(name, triton=None, model=model)


@contextmanager
def _programs(server: Cluster, kubectl: Kubectl, folder: Path, agent_port: int) -> Iterator[Program]:
    """Run the operator, and the webhook with the failure policy Fail."""
    settings = {"MANYSERVE_AGENT_PORT": str(agent_port), "MANYSERVE_LEADER_ELECTION": "false"}
    log = folder / "operator.log"
    with (
        webhook(server.kubeconfig, kubectl, folder, policy="Fail"),
        program(server.kubeconfig, kubectl.namespace, log, settings=settings) as operator,
    ):
        eventually_sync(lambda: read(operator.health, "/readyz") == "ok", f"the operator is ready: {log}")
        yield operator


def _with_operator_and_webhook(course: Course, kubectl: Kubectl) -> None:
    eventually_sync(lambda: _is_served(kubectl), "the hosts are served")
    course.unlabelled = stored(kubectl)
    kubectl("label", "isvc,tm", "--all", "team=a")
    course.labelled = stored(kubectl)
    course.refusals = _refusals(kubectl)
    course.marked = {
        "as stored": _try_out(kubectl, [each.copy(f"{each.name}-new") for each in FORMS if each.marked]),
        "annotation": _try_out(kubectl, [each.copy(f"{each.name}-new", annotations=MODE) for each in UNMARKED]),
        "finalizer": _try_out(
            kubectl, [each.copy(f"{each.name}-new", finalizers=[HOST_FINALIZER]) for each in UNMARKED]
        ),
    }
    course.config = kubectl.get("configmap", names.model_config(OLD_FORM))["data"]["models.json"]


def _try_lenient(course: Course, server: Cluster, folder: Path) -> None:
    """Create the forms where the webhook accepts unmanaged objects."""
    folder = folder / "lenient"
    folder.mkdir()
    more = {"MANYSERVE_REFUSE_UNMANAGED": "false"}
    with new_namespace(server) as kubectl:
        configure(kubectl)
        with webhook(server.kubeconfig, kubectl, folder, policy="Fail", more=more):
            course.lenient = _try_out(kubectl, [each.manifest for each in UNMARKED])


def _is_served(kubectl: Kubectl) -> bool:
    """Return whether the model on one host is loaded, and the model on the other one is placed."""
    config = names.model_config(OLD_FORM)
    placed = kubectl.exists("configmap", config) and "of-triton" in str(kubectl.get("configmap", config))
    return placed and condition(kubectl.get("tm", "of-model")).get("status") == "True"


def _refusals(kubectl: Kubectl) -> dict[str, str]:
    """Try out the create of each form without a mark, a few at once."""
    with ThreadPoolExecutor(4) as pool:
        refusals = pool.map(lambda form: _try_out(kubectl, [form.copy(f"{form.name}-new")]), UNMARKED)
        return dict(zip((each.name for each in UNMARKED), refusals, strict=True))


def _try_out(kubectl: Kubectl, manifests: Iterable[Manifest]) -> str:
    """Create objects in a dry run, and return the refusal, or an empty text."""
    try:
        kubectl("create", "--dry-run=server", "-f", "-", text=yaml.safe_dump_all(manifests))
    except Refused as refused:
        return str(refused)
    return ""


def stored(kubectl: Kubectl) -> Stored:
    """Return all InferenceServices and TrainedModels, with their managed fields."""
    objects = json.loads(kubectl("get", "isvc,tm", "--show-managed-fields", "-o", "json"))["items"]
    return {(each["kind"], each["metadata"]["name"]): each for each in objects}
