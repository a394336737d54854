"""Reviews by a client that is no API server: the creates of users are answered meanwhile."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from localcluster.paths import Cluster
from manyserve.cluster.client import KubeClient
from manyserve.webhook.bodies import USUAL_SEPARATORS
from manyserve.webhook.reservations import LIFETIME
from manyserve.webhook.sizes import MOST_SEPARATORS
from tests.support import chart, make
from tests.support.figures import TENANTS_LONG, Figures
from tests.support.placements import Comparison
from tests.support.programs import PROJECT
from tests.support.tasks import background
from tests.tenants.operating import judge_memory
from tests.tenants.probes import probed
from tests.tenants.reviewing import NO_MEMORY, Manifest, Reviewing, reviewing
from tests.webhook import flooding
from tests.webhook.reviews import review_of

BYTES = int(6.8 * 2**20)
"""Bytes of the large part of a review; a body has at most 7 MiB."""
CREATES = 20
"""Creates without the attack before each flood."""
FLOODS = 5 if TENANTS_LONG else 1
SECONDS = 60.0 if TENANTS_LONG else 10.0
"""Duration of the forged creates."""
PAUSE = 0.02
"""Seconds between two forged creates."""
FLOOD_SLACK = 0.005
"""Seconds by which the client of the flood, on the same processors, may delay a create. Without the pauses of the
webhook a create takes 20 to 30 ms longer."""
MOST_SHARED_TIMES = 30
"""Median of an honest create that shares turns with reviews of usual size and the most time, in creates without them.
Without shares by address it waits for all of them, and the probes fail."""
SLACK = 0.5
"""Seconds by which a busy machine may delay the create that is admitted again."""


def long_uids(case: Reviewing) -> Manifest:
    """Return a review with a uid of megabytes: each has another one, so that each would be kept."""
    return case.forged(uid=flooding.NUMBER.decode() + "x" * BYTES, memory="1Ki")


def nested_values(case: Reviewing) -> Manifest:
    """Return a review with as many values as are parsed, of the form that takes the most memory and time."""
    review, element = case.forged(memory="1Ki"), {"": dict[str, str]()}
    spec = review["request"]["object"]["spec"]
    spec["x"] = [element] * (MOST_SEPARATORS // len("{{,") - 100)
    spec["y"] = "y" * (BYTES - len('{"":{}},') * len(spec["x"]))
    return review


def many_tolerations(case: Reviewing) -> Manifest:
    """Return a review of less than 32 KiB that takes 0.1 s: each of its values has an error."""
    return of_host(case, tolerations=[{}] * 9000)


def init_containers(case: Reviewing) -> Manifest:
    """Return a review of usual size, and of the most time that such a review takes."""
    return of_host(case, initContainers=[{}] * ((USUAL_SEPARATORS - 40) // 2))


def of_host(case: Reviewing, **fields: Any) -> Manifest:
    """Return the review of a host with these fields of its predictor, as no API server sends it."""
    host = make.host_object("forged")
    host["spec"]["predictor"] |= fields
    return review_of(host, namespace=case.webhook.kubectl.namespace)


FORMS = {long_uids: 128, nested_values: 32, many_tolerations: 256, init_containers: 256}
"""Forms of reviews, with the number of those that are sent at once."""


@pytest.mark.parametrize(("form", "number"), FORMS.items(), ids=[each.__name__ for each in FORMS])
async def test_floods_of_reviews_keep_no_memory_and_honest_creates_are_answered(
    api_server: Cluster,
    client: KubeClient,
    tmp_path: Path,
    tenants: Figures,
    form: Callable[[Reviewing], Manifest],
    number: int,
) -> None:
    async with reviewing(api_server, client, tmp_path) as case:
        await asyncio.to_thread(write_files, case, tmp_path, form)
        with probed(case.probes()) as probes:
            compared, refusals = await measured(case, tmp_path, number)
        attack = f"{number} reviews with {form.__name__.replace('_', ' ')}"
        judge_memory(tenants, case.webhook.program, "webhook", attack)
        probes.judge(tenants, f"webhook beside {attack}", min(case.probes().values()))
    total = f"of {len(compared.beside)}"
    tenants.take(f"honest creates refused beside {attack}", len(refusals), "", exactly=0, peer=total)
    slowest, limit = max(compared.beside), chart.review_seconds()
    tenants.take(f"slowest honest create beside {attack}", slowest, "s", below=limit)
    if form is init_containers:  # they share the turns of the loop with honest ones, and are not paced
        median, alone = statistics.median(compared.beside), statistics.median(compared.without)
        name, peer = f"median of honest creates beside {attack}", f"{median:.3f} s; {alone:.3f} s without"
        tenants.take(name, median / alone, "times", below=MOST_SHARED_TIMES, peer=peer)
        assert median / alone < MOST_SHARED_TIMES
    else:
        compared.judge(tenants, f"time of an honest create beside {attack}", slack=FLOOD_SLACK)
    assert refusals == []
    assert slowest < limit


def write_files(case: Reviewing, folder: Path, form: Callable[[Reviewing], Manifest]) -> None:
    """Write the body of the reviews, and the CA of the webhook."""
    (folder / "body.json").write_text(json.dumps(form(case), separators=(",", ":")))
    (folder / "ca.crt").write_text(case.authority)


async def measured(case: Reviewing, folder: Path, number: int) -> tuple[Comparison, list[str]]:
    """Return the seconds of honest creates without and beside floods of so many reviews, and all refusals."""
    compared, refusals = Comparison(), list[str]()
    for _ in range(FLOODS):
        compared.without += [(await case.honest_create())[0] for _ in range(CREATES)]
        flood = asyncio.create_task(flooded(case.webhook.port, folder, number))
        while not flood.done():
            seconds, refused = await case.honest_create()
            compared.beside.append(seconds)
            refusals += [refused] if refused else []
        assert await flood == number
    return compared, refusals


async def flooded(port: int, folder: Path, number: int) -> int:
    """Send reviews at once from a process of its own. Return the number of answers."""
    files = (str(folder / "ca.crt"), str(folder / "body.json"))
    words = ("-m", "tests.webhook.flooding", str(port), *files, str(number))
    client = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=asyncio.subprocess.PIPE, cwd=PROJECT)
    output, _ = await client.communicate()
    answers = [line[:3] for line in output.decode().splitlines()]
    assert set(answers) <= {"200", "503"}, "denied, or no turn in time"
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
