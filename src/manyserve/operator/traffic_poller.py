"""Traffic poller: the counters of each pod of a host that is scaled on traffic, every 5 s.

They change with each request, so no host is enqueued for them. The autoscaler reads the last two
readings of each pod.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import aiohttp

from manyserve.api.agentreport import AGENT_PORT
from manyserve.api.names import Key
from manyserve.api.routes import MAX_BYTES, Traffic
from manyserve.backoff import Backoff
from manyserve.cluster.state import ClusterState
from manyserve.cluster.store import Manifest
from manyserve.operator.pod_poller import PodPoller
from manyserve.operator.poll_client import Endpoint, Polled, PollIntervals, parsed, read_body
from manyserve.plan.sharding.autoscale import needs_traffic
from manyserve.plan.sharding.scaling import TICK
from manyserve.plan.sharding.traffic import Interval, reading_of

INTERVALS = PollIntervals(pause=TICK, retry=Backoff(base=1.0, cap=TICK))


class TrafficPoller(PodPoller[Interval]):
    """Keeps `traffic` of the cluster state up to date.

    Parameters
    ----------
    clock
        Seconds of a monotonic clock.
    """

    what = "traffic"

    def __init__(
        self,
        state: ClusterState,
        intervals: PollIntervals = INTERVALS,
        port: int = AGENT_PORT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(state, state.traffic, self._pods, lambda _host: None, intervals)
        self._port = port
        self._clock = clock

    def _pods(self, key: Key) -> Iterable[Manifest]:
        """Return the pods of a host that is scaled on traffic; those of another one are not polled."""
        host = self._state.hosts.get(key)
        return self._state.replicas(key) if host is not None and needs_traffic(host) else ()

    async def _poll(
        self, session: aiohttp.ClientSession, endpoint: Endpoint, last: Polled[Interval] | None
    ) -> Polled[Interval]:
        url = f"http://{endpoint.address}:{self._port}/traffic"
        async with session.get(url, allow_redirects=False) as response:
            body = await read_body(response, MAX_BYTES)
        now = self._clock()
        traffic = await parsed(url, body, None, Traffic.model_validate_json)
        interval = Interval(reading_of(traffic.report, now), last.report.after if last else None)
        return Polled(interval, traffic.digest, traffic.seconds)
