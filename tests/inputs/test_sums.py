"""Input 5: sums of declared memory."""

from __future__ import annotations

import random

from manyserve.api.names import Key
from manyserve.plan.capacity import MEMORY_ADVICE
from manyserve.plan.memory import MemoryShare
from manyserve.webhook.allocations import Allocation, Allocations
from tests.inputs.refusals import create_host, refusal
from tests.inputs.test_memory import ALLOWED, HOST_PATH, PATH
from tests.inputs.webhook_client import WebhookClient
from tests.support import make
from tests.support.placed import place_on_one
from tests.support.webhook import Webhook
from tests.webhook.reviews import review_of

MANY, EACH = 10_000, 900_000_000_000_001
"""No float holds this sum, or half of it, to the byte."""


def test_input_05_placement_sums_ten_thousand_models_exactly() -> None:
    models = [make.model(f"m{index:05}", memory=EACH) for index in range(MANY)]
    full = place_on_one(make.host(memory=str(MANY * EACH)), models, (), make.config())
    short = place_on_one(make.host(memory=str(MANY * EACH - 1)), models, (), make.config())
    assert (len(full.placed) + len(full.left_out), full.insufficient_memory) == (MANY, {})
    assert list(short.insufficient_memory) == ["m09999"]


def test_input_05_allocations_stay_exact_after_removals() -> None:
    host, allocations, sizes = Key("default", "host"), Allocations(), random.Random(5)
    held = {f"uid-{index}": sizes.randrange(1, 2**62) for index in range(MANY)}
    for uid, memory in held.items():
        allocations.put(uid, Allocation(host, "onnx", MemoryShare(uid, memory)))
    for uid in list(held)[: MANY // 2]:
        allocations.drop(uid)
        del held[uid]
    assert allocations.total(host) == sum(held.values()) > 2**63


def test_input_05_sum_beyond_63_bits_does_not_fit() -> None:
    models = [make.model(name, memory="7Ei") for name in ("a", "b", "c")]
    placement = place_on_one(make.host(memory="7Ei"), models, (), make.config())
    assert list(placement.placed) == ["a"]
    assert placement.insufficient_memory["c"] == (
        f"7Ei does not fit on triton-mms: 7Ei of 7Ei is used by 1 model (largest: a 7Ei), 0 free. {MEMORY_ADVICE}"
    )


def test_input_05_largest_host_is_filled_to_the_byte(webhook: Webhook) -> None:
    kubectl, host = webhook.kubectl, "input-05"
    create_host(kubectl, make.host_object(host, memory=str(2**63 - 2)))
    kubectl.create(make.model_object("input-05-half", host=host, memory="4Ei"))
    message = refusal(lambda: kubectl.create(make.model_object("input-05-more", host=host, memory=2**62 - 1)))
    assert f"{PATH}: 4.00Ei does not fit on {host}: 4Ei of 8.00Ei is used by 1 model" in message
    kubectl.create(make.model_object("input-05-rest", host=host, memory=2**62 - 2))
    message = refusal(lambda: kubectl.create(make.model_object("input-05-byte", host=host, memory=1)))
    assert f"{PATH}: 1 does not fit on {host}: 8.00Ei of 8.00Ei is used by 2 models" in message
    assert message.endswith(f"0 free. {MEMORY_ADVICE}")


async def test_input_05_memory_limit_beyond_63_bits_is_refused_and_counts_as_zero(
    webhook_client: WebhookClient,
) -> None:
    host = make.host_object(memory="9Ei")
    response = await webhook_client.review(review_of(host))
    assert f"{HOST_PATH}.memory: '9Ei' is more than any machine has; it {ALLOWED}" in response["status"]["message"]
    placement = place_on_one(make.host(memory="9Ei"), [make.model(memory=1)], (), make.config())
    assert (placement.limit, placement.placed) == (0, {})
