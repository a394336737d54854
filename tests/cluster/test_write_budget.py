"""Token bucket of the writes of each object: a fight with another controller is a few writes."""

from __future__ import annotations

import pytest

from manyserve.cluster.errors import TooManyWrites, is_fatal, is_refusal
from manyserve.cluster.kinds import CONFIG_MAP, DEPLOYMENT
from manyserve.cluster.write_budget import CHILD, CONTENT, MOST_OBJECTS, STATUS, Rate, WriteBudget, rate_of
from tests.support.fake_api import FakeApi, served

PATH = DEPLOYMENT.path("n", "d")


class Case:
    """A budget with a clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.budget = WriteBudget(lambda: self.now)

    def writes(self, path: str, seconds: float, interval: float = 0.01) -> int:
        """Try to write all the time, and return how often it was possible."""
        count, end = 0, self.now + seconds
        while self.now < end:
            try:
                self.budget.take("PATCH", path)
                count += 1
            except TooManyWrites:
                pass
            self.now += interval
        return count


@pytest.mark.parametrize(
    ("path", "rate"),
    [
        (PATH, CHILD),
        (CONFIG_MAP.path("n", "c"), CONTENT),
        ("/api/v1/namespaces/n/pods/p", CONTENT),
        (f"{PATH}/status", STATUS),
    ],
)
def test_writes_of_one_object_are_limited_by_its_rate(path: str, rate: Rate) -> None:
    assert rate_of(path) is rate
    case = Case()
    assert case.writes(path, 30) == pytest.approx(rate.burst + 30 * rate.per_second, abs=1)
    assert case.writes(path, 600, interval=0.1) == pytest.approx(600 * rate.per_second, abs=2)


def test_fight_over_a_deployment_is_a_few_writes() -> None:
    """Two releases with different images wrote a Deployment 235 times in 30 s."""
    assert Case().writes(PATH, 30) < 30


def test_objects_have_a_budget_each_and_creations_need_none() -> None:
    case = Case()
    case.writes(PATH, 30)
    case.budget.take("PATCH", DEPLOYMENT.path("n", "other"))
    for _ in range(1000):
        case.budget.take("POST", CONFIG_MAP.path("n"))


def test_budget_forgets_the_oldest_of_many_objects() -> None:
    case = Case()
    for number in range(MOST_OBJECTS + 10):
        case.budget.take("PATCH", DEPLOYMENT.path("n", str(number)))
    assert len(case.budget._buckets) == MOST_OBJECTS


def test_object_that_was_quiet_has_its_burst_again() -> None:
    case = Case()
    case.writes(PATH, 30)
    case.now += CHILD.burst / CHILD.per_second
    assert case.writes(PATH, 0.3) == CHILD.burst


async def test_client_sends_no_write_beyond_the_budget() -> None:
    """It is a refusal of this object: `models.json` and statuses of the host are written."""
    server = FakeApi()
    async with served(server) as client:
        client._budget = WriteBudget(lambda: 0.0)
        for _ in range(int(CHILD.burst)):
            await client.merge_patch(DEPLOYMENT, "n", "d", {})
        with pytest.raises(TooManyWrites, match="another controller may change it back") as caught:
            await client.merge_patch(DEPLOYMENT, "n", "d", {})
    assert len(server.requests) == CHILD.burst
    assert caught.value.retry_after == pytest.approx(1 / CHILD.per_second)
    assert is_refusal(caught.value)
    assert not is_fatal(caught.value)
