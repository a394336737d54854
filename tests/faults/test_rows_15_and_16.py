"""Rows 15 and 16: the webhook is down, slow, or answers garbage; nobody's clean-up and no status waits for it."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.contract.stage import soon
from tests.faults.hooks import Answer, hang, registered, serving, talk_html
from tests.faults.scene import Scene
from tests.support import make
from tests.support.figures import Figures
from tests.support.kubectl import Refused, condition
from tests.support.programs import free_port

TIMEOUT = 5.0
"""As shipped: `timeoutSeconds`."""


async def test_fault_15_with_fail_a_webhook_that_is_down_refuses_creates_and_nothing_else(
    scene: Scene, figures: Figures
) -> None:
    await scene.furnish()
    async with registered(scene, free_port(), "Fail"):
        with pytest.raises(Refused, match=r"failed calling webhook .validate\.serving\.kserve\.io"):
            await scene.apply(make.model_object("four"))
        await scene.do("delete", "tm", "one", "--wait=false")
        seconds = await scene.right()
        figures.take("15 webhook down (Fail): seconds until a deletion has freed memory and all is right", seconds, "s")
    await scene.judge()


async def test_fault_15_with_ignore_a_bad_object_has_a_condition_and_the_others_are_served(scene: Scene) -> None:
    async with registered(scene, free_port(), "Ignore"):
        await scene.apply(make.host_object(), make.model_object("one"), make.model_object("bad", framework="abacus"))
        await soon(lambda: _ready(scene, "bad").get("reason") == "FrameworkNotSupported", "the bad one says why")
        await soon(lambda: _ready(scene, "one").get("status") == "True", "the good one answers")
    assert "abacus" in (await asyncio.to_thread(_ready, scene, "bad"))["message"]


@pytest.mark.parametrize("answer", [hang, talk_html], ids=["hangs", "answers HTML"])
async def test_fault_16_a_webhook_that_hangs_or_talks_nonsense_holds_a_request_up_no_longer_than_its_timeout(
    scene: Scene, figures: Figures, answer: Answer
) -> None:
    await scene.apply(make.host_object())
    async with serving(scene.api_server, answer) as port, registered(scene, port, "Ignore"):
        began = time.monotonic()
        await scene.apply(make.model_object("one"))
        seconds = time.monotonic() - began
        await scene.right()
    figures.take(
        f"16 a webhook that {'hangs' if answer is hang else 'answers HTML'}: seconds for a create",
        seconds,
        "s",
        below=TIMEOUT + 5,
    )
    assert seconds < TIMEOUT + 5
    await scene.judge()


def _ready(scene: Scene, model: str) -> dict[str, str]:
    return condition(scene.kubectl.get("tm", model))
