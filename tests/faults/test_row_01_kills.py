"""Row 1: the operator is killed after its nth write, for every n, until a run ends without a kill.

A run is a new host with three models of which two fit, and then the changes of every other row.
"""

from __future__ import annotations

from tests.faults import faults
from tests.faults.env import LONG, FaultEnv
from tests.support.figures import Figures

STEP = 1 if LONG else 7
MOST = 60


async def test_fault_01_operator_killed_after_any_write_loses_nothing(env: FaultEnv, figures: Figures) -> None:
    kills, worst = 0, 0.0
    for nth in range(1, MOST, STEP):
        await env.clear()
        async with faults.killed(env, nth) as rule:
            await env.furnish()
            await env.change()
        worst = max(worst, await env.right())
        kills += rule.done
        if not rule.done:
            break
    await env.judge()
    assert env.operator.starts == kills + 1
    figures.take(f"1 operator killed after every {'' if STEP == 1 else f'{STEP}th '}write: kills survived", kills, "")
    figures.take("1 operator killed: seconds until all is right again, at worst", worst, "s")
