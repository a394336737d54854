"""Metadata poller: claims and secrets by name, ServiceAccounts, and when a host's pods can be planned."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from manyserve.api.names import Key
from manyserve.cluster.client import KubeClient
from manyserve.cluster.kinds import CLAIM, SECRET
from manyserve.cluster.metadata_poller import (
    BATCH,
    MAX_LOOKUPS_PER_SECOND,
    LookupIntervals,
    MetadataPoller,
    ObjectRef,
    in_turn,
)
from manyserve.cluster.observe import observe, required_lookups
from manyserve.cluster.state import ClusterState
from manyserve.plan.observed import Account
from tests.support import make
from tests.support.eventually import eventually
from tests.support.fake_api import FakeApi, served

HOST = Key("default", "triton-mms")
MINE = ObjectRef(CLAIM, Key("default", "mine"))
REGION = "serving.kserve.io/s3-region"
GONE = {"kind": "Status", "code": 404, "message": 'persistentvolumeclaims "mine" not found'}


BOUND = {
    "metadata": {"name": "mine"},
    "spec": {"accessModes": ["ReadOnlyMany"]},
    "status": {"phase": "Bound"},
}


def account(name: str = "default", **fields: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "uid": "u", "resourceVersion": "1"}
    return {"kind": "ServiceAccount", "metadata": metadata | fields.pop("metadata", {}), **fields}


def state_with(*models: str, read_secrets: bool = False, enqueued: list[Key] | None = None) -> ClusterState:
    state = ClusterState((enqueued if enqueued is not None else []).append)
    state.config = make.config(credentials={"readSecretAnnotations": read_secrets})
    state.update_host(None, make.host_object())
    for index, uri in enumerate(models):
        state.update_model(None, make.model_object(f"m{index}", uri=uri))
    return state


@asynccontextmanager
async def polling(
    client: KubeClient, state: ClusterState, intervals: LookupIntervals | None = None
) -> AsyncIterator[MetadataPoller]:
    poller = MetadataPoller(client, state.lookup_results, state.enqueue, intervals)
    task = asyncio.create_task(poller.run())
    yield poller
    assert not task.done()
    task.cancel()


def test_service_account_of_a_host_is_the_named_one_or_the_default() -> None:
    state = state_with()
    state.accounts.update(None, account(secrets=[{"name": "s3"}, {}], imagePullSecrets=[{"name": "pull"}]))
    state.accounts.update(None, account("other", metadata={"annotations": {REGION: "eu", "other": "x"}}))
    snapshot = observe(state, HOST)
    assert snapshot
    assert snapshot.account == Account("default", ("s3",), ("pull",))
    state.update_host(None, make.host_object(serviceAccountName="other"))
    snapshot = observe(state, HOST)
    assert snapshot
    assert snapshot.account == Account("other", annotations={REGION: "eu"})
    state.accounts.update(account("other"), None)
    snapshot = observe(state, HOST)
    assert snapshot
    assert snapshot.account is None


def test_service_account_change_enqueues_its_hosts_only() -> None:
    enqueued: list[Key] = []
    state = state_with(enqueued=enqueued)
    state.account_changed(None, account("other"))
    assert enqueued == []
    state.account_changed(None, account())
    assert enqueued == [HOST]


def test_lookups_of_a_host_are_pending_at_first() -> None:
    state = state_with("pvc://mine/a", "pvc://mine/b", "gs://bucket/c")
    assert required_lookups(state, HOST) == {MINE}
    snapshot = observe(state, HOST)
    assert snapshot
    assert snapshot.lookups_pending


def test_lookups_have_secrets_only_if_configured() -> None:
    state = state_with()
    state.accounts.update(None, account(secrets=[{"name": "s3"}]))
    assert required_lookups(state, HOST) == frozenset()
    state = state_with(read_secrets=True)
    state.accounts.update(None, account(secrets=[{"name": "s3"}]))
    assert required_lookups(state, HOST) == {ObjectRef(SECRET, Key("default", "s3"))}


async def test_lookup_of_a_secret_reads_metadata_and_overrides_annotations_of_the_account() -> None:
    server = FakeApi()
    server.answers.append((200, {}, {"metadata": {"name": "s3", "annotations": {REGION: "eu-1", "other": "x"}}}))
    state = state_with(read_secrets=True)
    state.accounts.update(None, account(secrets=[{"name": "s3"}], metadata={"annotations": {REGION: "us-1"}}))
    async with served(server) as client, polling(client, state) as poller:
        poller.set_required(HOST, required_lookups(state, HOST))
        await eventually(lambda: bool(state.lookup_results))
    ((_, path, _, headers, _),) = server.requests
    assert path == "/api/v1/namespaces/default/secrets/s3"
    assert headers["Accept"] == "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    snapshot = observe(state, HOST)
    assert snapshot
    assert not snapshot.lookups_pending
    assert snapshot.account == Account("default", ("s3",), annotations={REGION: "eu-1"})


async def test_lookup_of_a_missing_claim_is_repeated_and_enqueues_its_host() -> None:
    server = FakeApi()
    server.answers.extend([(404, {}, GONE), (404, {}, GONE), (200, {}, BOUND)])
    enqueued: list[Key] = []
    state = state_with("pvc://mine/a", enqueued=enqueued)
    async with served(server) as client, polling(client, state, LookupIntervals(missing=0.2)) as poller:
        server.items = []
        poller.set_required(HOST, required_lookups(state, HOST))
        await eventually(lambda: MINE in state.lookup_results)
        snapshot = observe(state, HOST)
        assert snapshot
        assert snapshot.claims == {"mine": "PersistentVolumeClaim mine does not exist in namespace default"}
        await eventually(lambda: state.lookup_results[MINE].problem is None)
    assert enqueued == [HOST, HOST], "the second lookup had the same result"
    assert len(server.requests) == 3


async def test_lookup_of_a_claim_in_deletion_counts_as_missing() -> None:
    server = FakeApi()
    server.answers.append((200, {}, {"metadata": {"name": "mine", "deletionTimestamp": "2026-01-01T00:00:00Z"}}))
    state = state_with("pvc://mine/a")
    async with served(server) as client, polling(client, state) as poller:
        poller.set_required(HOST, required_lookups(state, HOST))
        await eventually(lambda: MINE in state.lookup_results)
    assert state.lookup_results[MINE].problem == "PersistentVolumeClaim mine in namespace default is being deleted"


async def test_lookup_that_fails_keeps_the_result_and_is_repeated() -> None:
    server = FakeApi()
    server.answers.extend([(200, {}, BOUND), (500, {}, {}), (500, {}, {})])
    state = state_with("pvc://mine/a")
    async with served(server) as client, polling(client, state, LookupIntervals(present=0.1, failed=0.1)) as poller:
        poller.set_required(HOST, required_lookups(state, HOST))
        await eventually(lambda: len(server.requests) >= 4)
    assert state.lookup_results[MINE].problem is None


async def test_lookup_rate_is_bounded_for_any_number_of_missing_claims() -> None:
    server = FakeApi()
    count = 4 * MAX_LOOKUPS_PER_SECOND
    server.answers.extend([(404, {}, GONE)] * 10 * count)
    state = state_with(*(f"pvc://c{index}/a" for index in range(count)))
    async with served(server) as client, polling(client, state, LookupIntervals(missing=0.01)) as poller:
        poller.set_required(HOST, required_lookups(state, HOST))
        await eventually(lambda: len(state.lookup_results) == count)
        next_due = min(poller._due.values()) - time.monotonic()
    assert next_due > 2, "a round of lookups takes longer with more names"


async def test_lookup_that_is_forbidden_has_the_message_of_the_api_server() -> None:
    server = FakeApi()
    server.answers.append((403, {}, {"kind": "Status", "code": 403, "message": "claims are forbidden"}))
    state = state_with("pvc://mine/a")
    async with served(server) as client, polling(client, state) as poller:
        poller.set_required(HOST, required_lookups(state, HOST))
        await eventually(lambda: MINE in state.lookup_results)
    assert state.lookup_results[MINE].problem == "PersistentVolumeClaim mine cannot be read: claims are forbidden"
    snapshot = observe(state, HOST)
    assert snapshot
    assert snapshot.unverified_claims == {"mine"}


async def test_fault_21_lookup_without_its_right_keeps_settings_and_reports_the_problem() -> None:
    server = FakeApi()
    server.answers.append((200, {}, {"metadata": {"name": "s3", "annotations": {REGION: "eu-1"}}}))
    server.answers.extend([(403, {}, {"kind": "Status", "code": 403, "message": "no"})] * 100)
    state = state_with(read_secrets=True)
    state.accounts.update(None, account(secrets=[{"name": "s3"}]))
    async with served(server) as client, polling(client, state, LookupIntervals(present=0.1)) as poller:
        poller.set_required(HOST, required_lookups(state, HOST))
        await eventually(lambda: any(each.unverified for each in state.lookup_results.values()))
    snapshot = observe(state, HOST)
    assert snapshot
    assert snapshot.account
    assert snapshot.account.annotations == {REGION: "eu-1"}
    assert snapshot.account.problems == ("Secret s3 cannot be read: no",)


async def test_lookup_result_is_dropped_with_its_last_host() -> None:
    server = FakeApi()
    state = state_with("pvc://mine/a")
    async with served(server) as client, polling(client, state) as poller:
        poller.set_required(HOST, required_lookups(state, HOST))
        await eventually(lambda: MINE in state.lookup_results)
        poller.set_required(HOST, frozenset())
    assert not state.lookup_results


def test_lookups_of_namespaces_are_in_turn() -> None:
    """10,000 missing claims of one namespace delayed the first lookup in every other."""
    many = {ObjectRef(CLAIM, Key("many", f"c{number}")): 0.0 for number in range(10_000)}
    few = {ObjectRef(CLAIM, Key("few", name)): 0.0 for name in ("a", "b")}
    names = in_turn(many | few | {MINE: 2.0}, now=1.0)
    assert set(few) <= set(names[:4])
    assert (len(names), MINE in names) == (10_002, False)


def test_lookup_share_of_a_namespace_does_not_depend_on_the_names_of_another() -> None:
    poller = MetadataPoller(cast("Any", None), {}, lambda _key: None)
    poller.set_required(HOST, frozenset({MINE}))
    many = frozenset(ObjectRef(CLAIM, Key("many", f"c{number}")) for number in range(10_000))
    poller.set_required(Key("many", "h"), many)
    assert poller._share("default") == 2 / MAX_LOOKUPS_PER_SECOND
    assert poller._share("many") == 20_000 / MAX_LOOKUPS_PER_SECOND
    poller.set_required(Key("many", "h"), frozenset())
    assert poller._share("default") == 1 / MAX_LOOKUPS_PER_SECOND


async def test_new_claim_is_looked_up_amid_those_of_another_namespace() -> None:
    server = FakeApi()
    async with served(server) as client:
        state = state_with()
        async with polling(client, state) as poller:
            many = frozenset(ObjectRef(CLAIM, Key("many", f"c{number}")) for number in range(2000))
            poller.set_required(Key("many", "h"), many)
            await eventually(lambda: server.requests)
            poller.set_required(HOST, frozenset({MINE}))
            await eventually(lambda: MINE in state.lookup_results)
            assert len(server.requests) < 10 * BATCH


async def test_lookup_of_a_claim_reads_it_whole_and_repeats_soon_while_it_is_refused() -> None:
    server = FakeApi()
    server.answers.extend([(200, {}, BOUND | {"status": {"phase": "Pending"}}), (200, {}, BOUND)])
    state = state_with("pvc://mine/a")
    async with served(server) as client, polling(client, state, LookupIntervals(missing=0.1)) as poller:
        poller.set_required(HOST, required_lookups(state, HOST))
        await eventually(lambda: bool(state.lookup_results))
        snapshot = observe(state, HOST)
        assert snapshot
        assert snapshot.claims == {"mine": None}
        assert "is Pending" in snapshot.refused_claims["mine"].sentence

        def is_mountable() -> bool:
            again = observe(state, HOST)
            return again is not None and not again.refused_claims

        await eventually(is_mountable)
    assert all("PartialObjectMetadata" not in headers["Accept"] for _, _, _, headers, _ in server.requests)
