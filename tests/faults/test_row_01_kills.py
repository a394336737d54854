"""Row 1: the operator is killed after its nth write, for every n, until a run ends without a kill.

A run is a new host with three models of which two fit, and then the changes of every other row.
"""

from __future__ import annotations

from tests.faults import faults
from tests.faults.scene import LONG, Scene
from tests.support.figures import Figures

STEP = 1 if LONG else 7
MOST = 60


async def test_fault_01_a_kill_after_any_write_loses_nothing(scene: Scene, figures: Figures) -> None:
    kills, worst = 0, 0.0
    for nth in range(1, MOST, STEP):
        await scene.clear()
        async with faults.killed(scene, nth) as rule:
            await scene.furnish()
            await scene.change()
        worst = max(worst, await scene.right())
        kills += rule.done
        if not rule.done:
            break
    await scene.judge()
    assert scene.operator.starts == kills + 1
    figures.take(f"1 operator killed after every {'' if STEP == 1 else f'{STEP}th '}write: kills survived", kills, "")
    figures.take("1 operator killed: seconds until all is right again, at worst", worst, "s")
