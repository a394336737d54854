"""What is asked for by name: ServiceAccounts and what they list, claims, and when a host's pods may be planned."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from manyserve.api.names import Key
from manyserve.cluster.client import KubeClient
from manyserve.cluster.kinds import CLAIM, SECRET
from manyserve.cluster.metadata_poller import MAX_LOOKUPS_PER_SECOND, LookupIntervals, MetadataPoller, ObjectRef
from manyserve.cluster.observe import observe
from manyserve.cluster.state import ClusterState
from manyserve.cluster.surroundings import required_lookups
from manyserve.plan.observed import Account
from tests.support import make
from tests.support.eventually import eventually
from tests.support.fake_api import FakeApi, served

HOST = Key("default", "triton-mms")
MINE = ObjectRef(CLAIM, Key("default", "mine"))
REGION = "serving.kserve.io/s3-region"
GONE = {"kind": "Status", "code": 404, "message": 'persistentvolumeclaims "mine" not found'}


def account(name: str = "default", **fields: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "uid": "u", "resourceVersion": "1"}
    return {"kind": "ServiceAccount", "metadata": metadata | fields.pop("metadata", {}), **fields}


def known_with(*models: str, read_secrets: bool = False, touched: list[Key] | None = None) -> ClusterState:
    known = ClusterState((touched if touched is not None else []).append)
    known.config = make.config(credentials={"readSecretAnnotations": read_secrets})
    known.update_host(None, make.host_object())
    for index, uri in enumerate(models):
        known.update_model(None, make.model_object(f"m{index}", uri=uri))
    return known


@asynccontextmanager
async def looking(
    client: KubeClient, known: ClusterState, intervals: LookupIntervals | None = None
) -> AsyncIterator[MetadataPoller]:
    lookups = MetadataPoller(client, known.lookup_results, known.enqueue, intervals)
    task = asyncio.create_task(lookups.run())
    yield lookups
    assert not task.done()
    task.cancel()


def test_a_hosts_account_is_the_one_it_names_or_the_default_one() -> None:
    known = known_with()
    known.accounts.update(None, account(secrets=[{"name": "s3"}, {}], imagePullSecrets=[{"name": "pull"}]))
    known.accounts.update(None, account("other", metadata={"annotations": {REGION: "eu", "other": "x"}}))
    seen = observe(known, HOST)
    assert seen
    assert seen.account == Account("default", ("s3",), ("pull",))
    known.update_host(None, make.host_object(serviceAccountName="other"))
    seen = observe(known, HOST)
    assert seen
    assert seen.account == Account("other", annotations={REGION: "eu"})
    known.accounts.update(account("other"), None)
    seen = observe(known, HOST)
    assert seen
    assert seen.account is None


def test_a_change_of_an_account_touches_the_hosts_that_have_it_and_no_other() -> None:
    touched: list[Key] = []
    known = known_with(touched=touched)
    known.account_changed(None, account("other"))
    assert touched == []
    known.account_changed(None, account())
    assert touched == [HOST]


def test_a_host_is_pending_until_what_its_pods_need_has_been_looked_at() -> None:
    known = known_with("pvc://mine/a", "pvc://mine/b", "gs://bucket/c")
    assert required_lookups(known, HOST) == {MINE}
    seen = observe(known, HOST)
    assert seen
    assert seen.lookups_pending


def test_no_secret_is_asked_for_unless_the_configuration_says_so() -> None:
    known = known_with()
    known.accounts.update(None, account(secrets=[{"name": "s3"}]))
    assert required_lookups(known, HOST) == frozenset()
    known = known_with(read_secrets=True)
    known.accounts.update(None, account(secrets=[{"name": "s3"}]))
    assert required_lookups(known, HOST) == {ObjectRef(SECRET, Key("default", "s3"))}


async def test_only_the_metadata_of_a_secret_is_asked_for_and_its_annotations_go_before_the_accounts() -> None:
    server = FakeApi()
    server.answers.append((200, {}, {"metadata": {"name": "s3", "annotations": {REGION: "eu-1", "other": "x"}}}))
    known = known_with(read_secrets=True)
    known.accounts.update(None, account(secrets=[{"name": "s3"}], metadata={"annotations": {REGION: "us-1"}}))
    async with served(server) as client, looking(client, known) as lookups:
        lookups.set_required(HOST, required_lookups(known, HOST))
        await eventually(lambda: bool(known.lookup_results))
    ((_, path, _, headers, _),) = server.requests
    assert path == "/api/v1/namespaces/default/secrets/s3"
    assert headers["Accept"] == "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    seen = observe(known, HOST)
    assert seen
    assert not seen.lookups_pending
    assert seen.account == Account("default", ("s3",), annotations={REGION: "eu-1"})


async def test_a_claim_that_is_missing_is_looked_for_until_it_comes_and_its_host_is_told() -> None:
    server = FakeApi()
    server.answers.extend([(404, {}, GONE), (404, {}, GONE)])
    touched: list[Key] = []
    known = known_with("pvc://mine/a", touched=touched)
    async with served(server) as client, looking(client, known, LookupIntervals(missing=0.2)) as lookups:
        server.items = []
        lookups.set_required(HOST, required_lookups(known, HOST))
        await eventually(lambda: MINE in known.lookup_results)
        seen = observe(known, HOST)
        assert seen
        assert seen.claims == {"mine": "PersistentVolumeClaim mine does not exist in namespace default"}
        await eventually(lambda: known.lookup_results[MINE].problem is None)
    assert touched == [HOST, HOST], "the second look found nothing new"
    assert len(server.requests) == 3


async def test_a_claim_on_its_way_out_counts_as_gone_since_no_new_pod_could_start_with_it() -> None:
    server = FakeApi()
    server.answers.append((200, {}, {"metadata": {"name": "mine", "deletionTimestamp": "2026-01-01T00:00:00Z"}}))
    known = known_with("pvc://mine/a")
    async with served(server) as client, looking(client, known) as lookups:
        lookups.set_required(HOST, required_lookups(known, HOST))
        await eventually(lambda: MINE in known.lookup_results)
    assert known.lookup_results[MINE].problem == "PersistentVolumeClaim mine in namespace default is being deleted"


async def test_a_look_that_fails_leaves_what_was_known_and_is_repeated() -> None:
    server = FakeApi()
    server.answers.extend([(200, {}, {"metadata": {"name": "mine"}}), (500, {}, {}), (500, {}, {})])
    known = known_with("pvc://mine/a")
    async with served(server) as client, looking(client, known, LookupIntervals(present=0.1, failed=0.1)) as lookups:
        lookups.set_required(HOST, required_lookups(known, HOST))
        await eventually(lambda: len(server.requests) >= 4)
    assert known.lookup_results[MINE].problem is None


async def test_however_many_are_missing_they_are_looked_for_at_a_bounded_rate() -> None:
    server = FakeApi()
    count = 4 * MAX_LOOKUPS_PER_SECOND
    server.answers.extend([(404, {}, GONE)] * 10 * count)
    known = known_with(*(f"pvc://c{index}/a" for index in range(count)))
    async with served(server) as client, looking(client, known, LookupIntervals(missing=0.01)) as lookups:
        lookups.set_required(HOST, required_lookups(known, HOST))
        await eventually(lambda: len(known.lookup_results) == count)
        again = min(lookups._due.values()) - time.monotonic()
    assert again > 2, "a round of looks takes as long as its number asks for"


async def test_what_may_not_be_looked_at_is_said_in_the_api_servers_words() -> None:
    server = FakeApi()
    server.answers.append((403, {}, {"kind": "Status", "code": 403, "message": "claims are forbidden"}))
    known = known_with("pvc://mine/a")
    async with served(server) as client, looking(client, known) as lookups:
        lookups.set_required(HOST, required_lookups(known, HOST))
        await eventually(lambda: MINE in known.lookup_results)
    assert known.lookup_results[MINE].problem == "PersistentVolumeClaim mine cannot be read: claims are forbidden"
    seen = observe(known, HOST)
    assert seen
    assert seen.unverified_claims == {"mine"}


async def test_fault_21_a_right_that_is_taken_away_takes_no_setting_from_the_pods_and_is_told() -> None:
    server = FakeApi()
    server.answers.append((200, {}, {"metadata": {"name": "s3", "annotations": {REGION: "eu-1"}}}))
    server.answers.extend([(403, {}, {"kind": "Status", "code": 403, "message": "no"})] * 100)
    known = known_with(read_secrets=True)
    known.accounts.update(None, account(secrets=[{"name": "s3"}]))
    async with served(server) as client, looking(client, known, LookupIntervals(present=0.1)) as lookups:
        lookups.set_required(HOST, required_lookups(known, HOST))
        await eventually(lambda: any(each.unverified for each in known.lookup_results.values()))
    seen = observe(known, HOST)
    assert seen
    assert seen.account
    assert seen.account.annotations == {REGION: "eu-1"}
    assert seen.account.problems == ("Secret s3 cannot be read: no",)


async def test_what_no_host_needs_any_more_is_forgotten() -> None:
    server = FakeApi()
    known = known_with("pvc://mine/a")
    async with served(server) as client, looking(client, known) as lookups:
        lookups.set_required(HOST, required_lookups(known, HOST))
        await eventually(lambda: MINE in known.lookup_results)
        lookups.set_required(HOST, frozenset())
    assert not known.lookup_results
