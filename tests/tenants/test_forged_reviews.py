"""Reviews by a client that is no API server: the creates of users are answered meanwhile."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from localcluster.paths import Cluster
from manyserve.cluster.client import KubeClient
from manyserve.webhook.reservations import LIFETIME
from tests.support.figures import TENANTS_LONG, Figures
from tests.support.placements import Comparison
from tests.support.programs import PROJECT
from tests.support.tasks import background
from tests.tenants.operating import judge_memory
from tests.tenants.probes import probed
from tests.tenants.reviewing import NO_MEMORY, Reviewing, reviewing
from tests.webhook import flooding

MIB = 1024**2
LONG_UID = flooding.NUMBER.decode() + "x" * int(6.8 * MIB)
"""Each review has another one, so that each would be kept."""
REVIEWS = 128
CREATES = 20
"""Creates without the attack before each flood."""
FLOODS = 5 if TENANTS_LONG else 1
SECONDS = 60.0 if TENANTS_LONG else 10.0
"""Duration of the forged creates."""
PAUSE = 0.02
"""Seconds between two forged creates."""
SLACK = 0.5
"""Seconds by which a busy machine may delay the create that is admitted again."""


async def test_reviews_of_megabytes_keep_no_memory_and_honest_creates_are_answered(
    api_server: Cluster, client: KubeClient, tmp_path: Path, tenants: Figures
) -> None:
    compared, refusals = Comparison(), list[str]()
    async with reviewing(api_server, client, tmp_path) as case:
        with probed(case.probes()) as probes:
            for _ in range(FLOODS):
                compared.without += [(await case.honest_create())[0] for _ in range(CREATES)]
                flood = asyncio.create_task(flooded(case, tmp_path))
                while not flood.done():
                    seconds, refused = await case.honest_create()
                    compared.beside.append(seconds)
                    refusals += [refused] if refused else []
                assert await flood == REVIEWS
        judge_memory(tenants, case.webhook.program, "webhook", f"{REVIEWS} reviews of 6.8 MiB")
        probes.judge(tenants, "webhook beside large reviews", min(case.probes().values()))
        total = len(compared.beside)
        tenants.take("honest creates refused beside large reviews", len(refusals), "", exactly=0, peer=f"of {total}")
        tenants.take("slowest honest create beside large reviews", max(compared.beside), "s", below=5)
        assert refusals == []
        compared.judge(tenants, "time of an honest create beside large reviews")


async def flooded(case: Reviewing, folder: Path) -> int:
    """Send the reviews at once from a process of its own. Return the number of answers."""
    body, authority = folder / "body.json", folder / "ca.crt"
    await asyncio.to_thread(body.write_text, json.dumps(case.forged(uid=LONG_UID, memory="1Ki")))
    authority.write_text(case.authority)
    words = ("-m", "tests.webhook.flooding", str(case.webhook.port), str(authority), str(body), str(REVIEWS))
    client = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=asyncio.subprocess.PIPE, cwd=PROJECT)
    output, _ = await client.communicate()
    answers = [line[:3] for line in output.decode().splitlines()]
    assert set(answers) <= {"200", "408"}, "denied, or not read in time"
    return len(answers)


async def test_forged_creates_refuse_honest_ones_for_two_seconds(
    api_server: Cluster, client: KubeClient, tmp_path: Path, tenants: Figures
) -> None:
    refused, total = list[float](), 0
    async with reviewing(api_server, client, tmp_path) as case, background(case.post_forged(PAUSE)):
        began = time.monotonic()
        while (now := time.monotonic() - began) < SECONDS:
            _, refusal = await case.honest_create()
            total += 1
            assert not refusal or NO_MEMORY in refusal, refusal
            refused += [now] if refusal else []
    assert refused, "the forged creates take the memory at first"
    seconds = refused[-1] - refused[0]
    print(f"{len(refused)} of {total} creates were refused, from {refused[0]:.2f} s to {refused[-1]:.2f} s")
    tenants.take("honest creates refused beside forged ones", len(refused), "", peer=f"of {total} in {SECONDS:g} s")
    tenants.take("seconds until an honest create is admitted", seconds, "s", below=LIFETIME + SLACK)
    assert seconds < LIFETIME + SLACK
