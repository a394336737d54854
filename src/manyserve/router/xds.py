"""Server of Envoy's delta ADS on a unix socket, for EDS resources.

A version has a random prefix of the process, so that Envoy takes those of a restarted program for new ones. A NACK, or
a closed stream, is no acknowledgement. With several streams each of them must have a version.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from pathlib import Path

import grpc
from envoy.service.discovery.v3 import discovery_pb2

from manyserve.redaction import one_line
from manyserve.router.buckets import RESOURCES
from manyserve.router.endpoints import TYPE
from manyserve.router.subscription import Subscription

log = logging.getLogger("manyserve.router")

_SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
_METHOD = "DeltaAggregatedResources"
Resources = Mapping[str, tuple[int, bytes]]
"""Version and serialized resource by name."""


class XdsServer:
    """Server for the Envoy beside it.

    Parameters
    ----------
    on_answer
        Called after each ACK, each NACK and each end of a stream.
    """

    def __init__(self, clock: Callable[[], float], on_answer: Callable[[], None]) -> None:
        self.acks = self.nacks = 0
        self.nack = ""
        """Message of the last NACK, until the resources are acknowledged again."""
        self._clock = clock
        self._on_answer = on_answer
        self._resources: dict[str, bytes] = {}
        self._versions: dict[str, int] = {}
        self._streams: dict[Subscription, asyncio.Event] = {}
        self._nonces = itertools.count(1)
        self._prefix = secrets.token_hex(4)
        self._server: grpc.aio.Server | None = None

    async def start(self, socket: Path) -> None:
        """Listen on the socket. gRPC replaces an old one."""
        handler = grpc.stream_stream_rpc_method_handler(
            self._stream,
            discovery_pb2.DeltaDiscoveryRequest.FromString,
            discovery_pb2.DeltaDiscoveryResponse.SerializeToString,
        )
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {_METHOD: handler}),))
        self._server.add_insecure_port(f"unix:{socket}")
        await self._server.start()

    async def stop(self) -> None:
        """End all streams."""
        if self._server is not None:
            await self._server.stop(0)

    def set(self, resources: Resources) -> None:
        """Put new versions of resources in force, and send them."""
        self._versions |= {name: version for name, (version, _) in resources.items()}
        self._resources |= {name: body for name, (_, body) in resources.items()}
        for subscription, wake in self._streams.items():
            subscription.change(resources)
            wake.set()

    def acknowledged(self) -> dict[str, int]:
        """Return the version that each Envoy has, by name; none without a stream."""
        streams = list(self._streams)
        return {name: min(each.acknowledged.get(name, 0) for each in streams) for name in RESOURCES if streams}

    async def _stream(
        self, requests: AsyncIterator[discovery_pb2.DeltaDiscoveryRequest], _: grpc.aio.ServicerContext
    ) -> AsyncIterator[discovery_pb2.DeltaDiscoveryResponse]:
        subscription, wake = Subscription(), asyncio.Event()
        self._streams[subscription] = wake
        log.info("Envoy is connected")
        reader = asyncio.create_task(self._read(requests, subscription, wake))
        reader.add_done_callback(lambda task: task.cancelled() or task.exception())  # marks it as retrieved
        try:
            while not reader.done():
                wake.clear()
                if names := subscription.next(self._versions, self._clock()):
                    yield self._response(subscription, names)
                else:
                    await _wait(wake, subscription.seconds_to_retry(self._clock()))
        finally:
            del self._streams[subscription]
            reader.cancel()
            self._on_answer()
            log.info("Envoy is disconnected")

    async def _read(
        self,
        requests: AsyncIterator[discovery_pb2.DeltaDiscoveryRequest],
        subscription: Subscription,
        wake: asyncio.Event,
    ) -> None:
        try:
            async for request in requests:
                if request.type_url == TYPE:
                    self._take(request, subscription)
                    wake.set()
        finally:
            wake.set()

    def _take(self, request: discovery_pb2.DeltaDiscoveryRequest, subscription: Subscription) -> None:
        refused = request.HasField("error_detail")
        subscription.subscribe(request.resource_names_subscribe, request.resource_names_unsubscribe)
        if not subscription.answer(request.response_nonce, self._clock(), refused=refused):
            return
        if refused:
            self.nacks += 1
            self.nack = one_line(request.error_detail.message)
            log.error("Envoy refuses an update: %s", self.nack)
        else:
            self.acks += 1
            self.nack = self.nack if subscription.is_refused else ""
        self._on_answer()

    def _response(self, subscription: Subscription, names: Mapping[str, int]) -> discovery_pb2.DeltaDiscoveryResponse:
        nonce = str(next(self._nonces))
        subscription.send(nonce, names)
        response = discovery_pb2.DeltaDiscoveryResponse(type_url=TYPE, nonce=nonce)
        for name, version in names.items():
            added = response.resources.add(name=name, version=f"{self._prefix}-{version}")
            added.resource.type_url, added.resource.value = TYPE, self._resources[name]
        return response


async def _wait(event: asyncio.Event, seconds: float | None) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
