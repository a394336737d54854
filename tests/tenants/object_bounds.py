"""Bounds of stored objects: statuses, claimants, lists of models, writes, and answers of the API server."""

from __future__ import annotations

import gzip
import tracemalloc
from typing import Any, cast

import pytest

from manyserve.api.conditions import MESSAGE_LIMIT, REASON_LIMIT, TIME_LIMIT
from manyserve.api.modelconfig import MAX_BYTES, MAX_ENTRIES, MAX_RATIO, WINDOW, pack, parse, unpack
from manyserve.api.names import Key
from manyserve.api.trainedmodel import TrainedModelStatus
from manyserve.cluster import errors
from manyserve.cluster.kinds import CLAIM, CONFIG_MAP, DEPLOYMENT
from manyserve.cluster.limiter import BACKOFF
from manyserve.cluster.metadata_poller import MAX_LOOKUPS_PER_SECOND, MetadataPoller, ObjectRef
from manyserve.cluster.reduced import LONGEST_VALUE, MOST_OWNERS, kept_child
from manyserve.cluster.write_budget import CHILD, CONTENT, STATUS
from manyserve.operator.defects import InternalError
from manyserve.plan.host_metadata import is_left_out
from manyserve.plan.rules.validation import host_problems
from manyserve.plan.storage.claims import MAX_CLAIMS
from tests.cluster.test_reduced import labelled
from tests.cluster.test_write_budget import Case as Writes
from tests.operator.test_defects import BAD, GOOD, Hosts
from tests.plan.storage.test_claims import many, mounted, on_claims
from tests.support import make
from tests.support.poison import distinct
from tests.support.replicas import controlled_by
from tests.tenants.tables import Cases

CASES = Cases()
MINUTE = 60.0
FAR = 1000


@CASES.of("claims of models that a host's pods mount")
def claims_of_pods() -> None:
    assert len(mounted(on_claims(many(0, MAX_CLAIMS)))) == MAX_CLAIMS
    assert len(mounted(on_claims(many(0, FAR)))) == MAX_CLAIMS


@CASES.of("entries of `models.json`")
def entries() -> None:
    assert len(parse(distinct(MAX_ENTRIES))) == MAX_ENTRIES
    with pytest.raises(ValueError, match=f"more than {MAX_ENTRIES} entries"):
        parse(distinct(2 * MAX_ENTRIES))


@CASES.of("text of `models.json`")
def text() -> None:
    assert parse("[".ljust(MAX_BYTES - 1) + "]") == ()
    with pytest.raises(ValueError, match=f"more than {MAX_BYTES} bytes"):
        parse("[".ljust(2 * MAX_BYTES) + "]")
    bomb = gzip.compress(b"[".ljust(20 * MAX_BYTES)).ljust(MAX_BYTES)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=f"more than {MAX_BYTES} bytes"):
            unpack(bomb)
        assert tracemalloc.get_traced_memory()[1] < 6 * MAX_BYTES, "no more is unpacked"
    finally:
        tracemalloc.stop()


@CASES.of("text for one byte of packed `models.json`")
def ratio() -> None:
    blank = "[".ljust(2**20) + "]"
    assert unpack(pack(blank)).decode() == blank
    with pytest.raises(ValueError, match=f"more than {MAX_RATIO} times"):
        unpack(gzip.compress(blank.encode()))


@CASES.of("one entry of `models.json`")
def one_entry() -> None:
    later = ', "later": "{}"'
    length = WINDOW - len(distinct(1, later.format("")))
    assert len(parse(distinct(1, later.format("x" * length)))) == 1
    with pytest.raises(ValueError, match=f"more than {WINDOW} characters"):
        parse(distinct(2, later.format("x" * 2**20)))


def stored(length: int) -> tuple[int, int, int, int]:
    """Return the lengths of a stored condition, as it is read."""
    long = "x" * length
    fields = dict.fromkeys(("type", "reason", "message", "lastTransitionTime"), long) | {"status": "True"}
    (read,) = TrainedModelStatus.from_wire({"conditions": [fields]}).conditions
    return len(read.message or ""), len(read.reason or ""), len(read.type), len(read.last_transition_time or "")


@CASES.of("conditions, also stored ones")
def conditions() -> None:
    assert stored(TIME_LIMIT) == (TIME_LIMIT,) * 4
    assert stored(2**20) == (MESSAGE_LIMIT, REASON_LIMIT, REASON_LIMIT, TIME_LIMIT) == (1024, 128, 128, 64)


@CASES.of("objects with our labels and another owner, or no owner and another name")
def claimants() -> None:
    (owner,) = controlled_by("InferenceService", "u" * LONGEST_VALUE, "another")
    kept = kept_child(labelled("ConfigMap", "mine", ownerReferences=[owner] * MOST_OWNERS))["metadata"]
    assert kept["ownerReferences"] == [owner] * MOST_OWNERS
    long = owner | {"uid": "u" * 2**20}
    object_beyond = kept_child(labelled("ConfigMap", "mine", ownerReferences=[long] * FAR))
    assert object_beyond["metadata"]["ownerReferences"] == [owner] * MOST_OWNERS
    assert "data" not in object_beyond


@CASES.of("anything that makes a plan raise")
async def plans_that_raise() -> None:
    hosts = Hosts()
    await hosts.defects.shown(hosts.reconcile)(GOOD)
    with pytest.raises(InternalError):
        await hosts.defects.shown(hosts.reconcile)(BAD)
    assert hosts.ready(BAD).reason == "InternalError"
    assert hosts.ready(GOOD).reason is None
    assert BACKOFF.cap == MINUTE


@CASES.of("writes of one child")
def writes_of_a_child() -> None:
    assert Writes().writes(DEPLOYMENT.path("n", "d"), CHILD.burst / FAR, 1 / FAR) == CHILD.burst == 20
    beyond = Writes().writes(DEPLOYMENT.path("n", "d"), MINUTE)
    assert beyond == pytest.approx(CHILD.burst + MINUTE / 10, abs=1)


@CASES.of("writes of one `models.json` or pod, and of one status")
def writes_of_content() -> None:
    for path, burst, rate in ((CONFIG_MAP.path("n", "c"), 60, 1), (f"{DEPLOYMENT.path('n', 'd')}/status", 200, 2)):
        assert Writes().writes(path, burst / FAR, 1 / FAR) == burst
        assert Writes().writes(path, MINUTE) == pytest.approx(burst + MINUTE * rate, abs=2)
    assert (CONTENT.burst, STATUS.burst) == (60, 200)


@CASES.of("claims that models name")
def claims() -> None:
    poller = MetadataPoller(cast("Any", None), {}, lambda _key: None)
    for namespace, number in (("few", MAX_LOOKUPS_PER_SECOND), ("many", FAR)):
        wanted = frozenset(ObjectRef(CLAIM, Key(namespace, f"c{each}")) for each in range(number))
        poller.set_required(Key(namespace, "h"), wanted)
    assert poller._share("few") == 2, "two namespaces have half of the rate each"
    assert poller._share("many") == 2 * FAR / MAX_LOOKUPS_PER_SECOND


@CASES.of("`Retry-After` of the API server")
def retry_after() -> None:
    assert [errors.from_response(429, b"{}", each).retry_after for each in ("29", "86400")] == [29.0, 30.0]


def problems(predictor: dict[str, Any] | None = None, **server: Any) -> str:
    """Return the sentences about a host."""
    return "; ".join(map(str, host_problems(make.host_object(triton=server, **(predictor or {})))))


@CASES.of("volumes of an init container")
def volumes() -> None:
    def init(volume: str) -> dict[str, Any]:
        mounts = [{"name": volume, "mountPath": "/a"}]
        container = {"name": "warm", "image": "example/warm:1", "volumeMounts": mounts}
        return {"volumes": [{"name": "data", "emptyDir": {}}], "initContainers": [container]}

    assert problems(init("data")) == ""
    assert "'models' is not a volume" in problems(init("models"))


@CASES.of("flags of Triton in variables")
def variables() -> None:
    def flags(argument: str, value: str) -> str:
        return problems(args=[argument], env=[{"name": "FLAGS", "value": value}])

    assert flags("$(FLAGS)", "--log-verbose=1") == flags("--http-port=$(FLAGS)", "8080") == ""
    assert "'--load-model=*' is not allowed" in flags("$(FLAGS)", "--load-model=*")
    assert "without a known value" in problems(args=["--grpc-restricted-protocol=$(APIS)"])


@CASES.of("annotations that add host names to an Ingress")
def aliases() -> None:
    assert not is_left_out("nginx.ingress.kubernetes.io/proxy-body-size")
    assert is_left_out("nginx.ingress.kubernetes.io/server-alias")
