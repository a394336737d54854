"""Rows 15 and 16: the webhook is down, slow, or answers HTML. No deletion and no status waits for it."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.faults.env import FaultEnv
from tests.faults.hooks import Answer, hang, registered, serving, talk_html
from tests.support import make
from tests.support.eventually import eventually_in_thread
from tests.support.figures import Figures
from tests.support.kubectl import Refused, condition
from tests.support.programs import free_port

TIMEOUT = 5.0
"""The shipped `timeoutSeconds`."""


async def test_fault_15_webhook_down_with_fail_refuses_creates_only(env: FaultEnv, figures: Figures) -> None:
    await env.furnish()
    async with registered(env, free_port(), "Fail"):
        with pytest.raises(Refused, match=r"failed calling webhook .validate\.serving\.kserve\.io"):
            await env.apply(make.model_object("four"))
        await env.do("delete", "tm", "one", "--wait=false")
        seconds = await env.right()
        figures.take("15 webhook down (Fail): seconds until a deletion has freed memory and all is right", seconds, "s")
    await env.judge()


async def test_fault_15_invalid_object_with_ignore_gets_condition_and_others_are_served(env: FaultEnv) -> None:
    async with registered(env, free_port(), "Ignore"):
        await env.apply(make.host_object(), make.model_object("one"), make.model_object("bad", framework="abacus"))
        await eventually_in_thread(
            lambda: _ready(env, "bad").get("reason") == "FrameworkNotSupported", "the bad one says why"
        )
        await eventually_in_thread(lambda: _ready(env, "one").get("status") == "True", "the good one answers")
    assert "abacus" in (await asyncio.to_thread(_ready, env, "bad"))["message"]


@pytest.mark.parametrize("answer", [hang, talk_html], ids=["hangs", "answers HTML"])
async def test_fault_16_webhook_that_hangs_or_answers_html_delays_request_up_to_timeout(
    env: FaultEnv, figures: Figures, answer: Answer
) -> None:
    await env.apply(make.host_object())
    async with serving(env.api_server, answer) as port, registered(env, port, "Ignore"):
        began = time.monotonic()
        await env.apply(make.model_object("one"))
        seconds = time.monotonic() - began
        await env.right()
    figures.take(
        f"16 a webhook that {'hangs' if answer is hang else 'answers HTML'}: seconds for a create",
        seconds,
        "s",
        below=TIMEOUT + 5,
    )
    assert seconds < TIMEOUT + 5
    await env.judge()


def _ready(env: FaultEnv, model: str) -> dict[str, str]:
    return condition(env.kubectl.get("tm", model))
