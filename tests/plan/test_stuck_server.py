"""A model server with loads that it never finishes: the host says that it must be restarted, and still answers."""

from __future__ import annotations

from dataclasses import replace

from manyserve.api import conditions
from manyserve.api.agentreport import MOST_STUCK, read
from manyserve.plan.capacity import stuck_server_error
from manyserve.plan.plan import plan
from tests.plan.test_plan import seen
from tests.support import make, world


def test_host_names_the_loads_and_the_command_until_the_server_is_restarted() -> None:
    settled = world.settle(seen(make.model("a", memory="1Mi")))
    agents = {uid: each.model_copy(update={"stuck_loads": ("h1", "h2")}) for uid, each in settled.agents.items()}
    stuck = replace(settled, agents=agents)
    planned = plan(stuck, make.NOW)
    after = world.carry_out(stuck, planned)
    assert after.host
    pod = settled.pods[0]["metadata"]["name"]
    for kind in (conditions.PREDICTOR_READY, conditions.READY):
        condition = conditions.find(after.host.status.conditions, kind)
        assert condition
        assert (condition.status, condition.reason) == ("True", "ModelServerStuck")
        assert condition.message == (
            f"{pod}: the model server does not finish the loads of h1, h2, and loads no other model until it is "
            f"restarted: kubectl delete pod {pod}"
        )
    assert [(event.type, event.reason) for event in planned.events] == [("Warning", "ModelServerStuck")]
    healed = replace(after, agents=settled.agents)
    host = world.carry_out(healed, plan(healed, make.NOW)).host
    assert host
    ready = conditions.find(host.status.conditions, conditions.READY)
    assert ready
    assert ready.reason is None


def test_host_names_three_loads_and_one_pod_at_most() -> None:
    message = stuck_server_error({"pod-2": ("a",), "pod-1": ("d", "c", "b", "a")})
    assert message.startswith("pod-1: the model server does not finish the loads of a, b, c and 1 more, and")
    assert message.endswith("kubectl delete pod pod-1; 1 more of its pods")


def test_report_names_a_bounded_number_of_loads() -> None:
    names = ", ".join(['"a"'] * (MOST_STUCK + 1))
    report = read(f'{{"instance": "a", "revision": 1, "stuckLoads": [{names}]}}'.encode())
    assert report.stuck_loads == ("a",) * MOST_STUCK
    assert read(b'{"instance": "a", "revision": 1}').stuck_loads == ()
