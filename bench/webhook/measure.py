"""The measurement: targets that take turns, and a row for each figure, beside its peer of the same run.

Direct is the webhook alone, beside the floor, a constant answer by Python, aiohttp and TLS. Through the API
server is a dry-run create in a namespace with the webhook, beside one in a namespace without. The webhook with few
models is a program of the same kind with an API server of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

from tests.support.control_plane import control_plane

from bench.agent.figures import Figure, figure
from bench.webhook import reviews
from bench.webhook.load import Target, load
from bench.webhook.processes import memory
from bench.webhook.samples import Round, Summary, summary
from bench.webhook.stage import ASKED, BARE, Listening, floor, furnish, webhook
from localcluster import process
from localcluster.paths import Cluster
from localcluster.pki import folder_of

CONNECTIONS = (1, 16, 64)
FEW = 100
GOAL_MS, GOAL_RATIO = 3.0, 1.3
OTHERS = 3
"""Objects that are known beside the models: a host in each of two namespaces, and the configuration."""
CREATE = "/apis/serving.kserve.io/v1alpha1/namespaces/{}/trainedmodels?dryRun=All"

Found = dict[str, Figure]


async def measure(server: Cluster, models: int, *, seconds: float = 1.5, rounds: int = 4) -> Found:
    """Return the figures, with so many models on one host of a server on which there are no others."""
    with ExitStack() as open_now:
        few_server = open_now.enter_context(control_plane())
        few_count = min(FEW, models)
        await furnish(few_server, few_count)
        took = await furnish(server, models)
        few, many = (open_now.enter_context(webhook(each)) for each in (few_server, server))
        bare = open_now.enter_context(floor(server))
        figures = _at_rest(models, many, few, few_count) | {"creating the models": figure(took, "s")}
        targets = {"many": _direct(many), "few": _direct(few), "floor": _direct(bare), **_through(server, many)}
        for connections in CONNECTIONS:
            seen = await _in_turn(targets, connections, seconds, rounds)
            figures |= direct_rows(connections, seen["many"], seen["floor"])
            figures |= through_rows(connections, seen["with"], seen["without"])
            figures |= ratio_rows(f"{models} models beside {few_count}, {_at(connections)}", seen["many"], seen["few"])
        refused = {"many": _refusing(many), "few": _refusing(few)}
        seen = await _in_turn(refused, 1, seconds, rounds)
        loaded = {"memory after the load": figure(memory(many.pid), "MB")}
        return figures | ratio_rows(f"{models} models beside {few_count}, refused", seen["many"], seen["few"]) | loaded


def _at_rest(models: int, many: Listening, few: Listening, few_count: int) -> Found:
    peer = f"{few_count} models: {{}}"
    return {
        "objects known": figure(many.known, "objects", exactly=models + OTHERS, peer=peer.format(few.known)),
        "synced, from the start of the program": figure(many.seconds, "s", peer=peer.format(f"{few.seconds:.2f}")),
        "resident memory": figure(memory(many.pid), "MB", peer=peer.format(f"{memory(few.pid):.1f}")),
    }


async def _in_turn(targets: Mapping[str, Target], connections: int, seconds: float, rounds: int) -> dict[str, Summary]:
    """Load each target for some seconds, and all again."""
    rounds_of: dict[str, list[Round]] = {name: [] for name in targets}
    for _ in range(rounds):
        for name, target in targets.items():
            rounds_of[name].append(await load(target, connections, seconds))
    return {name: summary(each) for name, each in rounds_of.items()}


def direct_rows(connections: int, own: Summary, bare: Summary) -> Found:
    """Return the rows of the webhook alone, beside the floor."""
    below = GOAL_MS if connections == 1 else None
    rows = {
        "p50": figure(own.p50, "ms", below=below, peer=f"floor: {bare.p50:.2f}"),
        "p99": figure(own.p99, "ms", peer=f"floor: {bare.p99:.2f}"),
        "requests a second": figure(own.rate, "/s", peer=f"floor: {bare.rate:.0f}"),
        "processor time a request": figure(own.cpu, "ms", peer=f"floor: {bare.cpu:.3f}"),
        "the load generator's own": figure(own.own_cpu, "ms", peer=f"floor: {bare.own_cpu:.3f}"),
    }
    return {f"direct, {_at(connections)}: {name}": each for name, each in rows.items()}


def through_rows(connections: int, asked: Summary, bare: Summary) -> Found:
    """Return the rows of creates with the webhook, beside those without; both programs' processor time."""
    pairs: Sequence[tuple[str, str, Callable[[Summary], float]]] = (
        ("p50", "ms", lambda each: each.p50),
        ("p99", "ms", lambda each: each.p99),
        ("requests a second", "/s", lambda each: each.rate),
        ("processor time in all", "ms", lambda each: each.cpu),
    )
    return {
        f"dry-run create, {_at(connections)}: {name}": figure(
            read(asked), unit, peer=f"without the webhook: {read(bare):.2f}"
        )
        for name, unit, read in pairs
    }


def ratio_rows(what: str, many: Summary, few: Summary) -> Found:
    """Return the ratios of time and processor time with many models to those with few."""
    return {
        f"{what}: p50": figure(
            many.p50 / few.p50, "times", below=GOAL_RATIO, peer=f"{many.p50:.2f} to {few.p50:.2f} ms"
        ),
        f"{what}: processor time": figure(
            many.cpu / few.cpu, "times", below=GOAL_RATIO, peer=f"{many.cpu:.3f} to {few.cpu:.3f} ms"
        ),
    }


def _at(connections: int) -> str:
    return "1 connection" if connections == 1 else f"{connections} connections"


def _direct(server: Listening) -> Target:
    return Target(server.url, reviews.reviews(ASKED), server.authority, [server.pid])


def _refusing(server: Listening) -> Target:
    too_much = reviews.reviews(ASKED, memory=reviews.TOO_MUCH)
    return Target(server.url, too_much, server.authority, [server.pid], words=b'"allowed": false')


def _through(server: Cluster, asked: Listening) -> dict[str, Target]:
    """Return the creates with the webhook and those without."""
    api_server = process.find(server, "kube-apiserver")
    assert api_server is not None
    config = json.loads(server.kubeconfig.read_text())
    return {
        name: Target(
            server.server + CREATE.format(namespace),
            reviews.models(namespace),
            (folder_of(server) / "ca.crt").read_bytes(),
            [api_server, *more],
            status=201,
            words=b'"TrainedModel"',
            token=config["users"][0]["user"]["token"],
        )
        for name, namespace, more in (("with", ASKED, [asked.pid]), ("without", BARE, []))
    }
