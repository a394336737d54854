"""The SSRF guard: allowed addresses, odd spellings and the checked resolver."""

import asyncio
import socket
import threading
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from manyserve.agent.concurrency import in_thread
from manyserve.agent.download.dns import addresses
from manyserve.agent.download.ssrf import AddressPolicy, CheckedResolver, RefusedError, literal
from tests.agent.download.webserver import FakeDns
from tests.support.eventually import LIMIT


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("127.8.8.8", "loopback"),
        ("::1", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("::ffff:0.0.0.0", "unspecified"),
        ("::", "unspecified"),
        ("10.0.0.5", "private"),
        ("172.16.0.1", "private"),
        ("192.168.1.1", "private"),
        ("fd12::1", "private"),
        ("fec0::1", "private"),
        ("169.254.1.1", "link-local"),
        ("fe80::1", "link-local"),
        ("169.254.169.254", "cloud"),
        ("fd00:ec2::254", "cloud"),
        ("100.100.100.200", "cloud"),
        ("168.63.129.16", "cloud"),
        ("100.64.0.1", "public"),
        ("224.0.1.1", "multicast"),
        ("ff0e::1", "multicast"),
        ("240.0.0.1", "private"),
        ("255.255.255.255", "private"),
        ("::ffff:169.254.169.254", "cloud"),
        ("::ffff:10.0.0.1", "private"),
        ("2002:7f00:1::", "loopback"),
        ("64:ff9b::a9fe:a9fe", "cloud"),
        ("64:ff9b:1::a00:1", "public"),
        ("::127.0.0.1", "public"),
        ("2001:db8::1", "private"),
        ("34.118.224.1", "Kubernetes"),
        ("34.118.239.255", "Kubernetes"),
        ("::ffff:34.118.224.1", "Kubernetes"),
        ("64:ff9b::2276:e001", "Kubernetes"),
        ("2002:2276:e001::", "Kubernetes"),
        ("192.88.99.1", "public"),
        ("192.88.99.255", "public"),
    ],
)
def test_address_policy_refuses_address_that_is_not_public(address: str, kind: str) -> None:
    assert kind in AddressPolicy().refusal(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "34.118.223.255",
        "34.118.240.0",
        "192.88.98.1",
        "2606:4700::1111",
        "64:ff9b::808:808",
        "::ffff:8.8.8.8",
    ],
)
def test_address_policy_allows_public_address(address: str) -> None:
    assert AddressPolicy().refusal(ip_address(address)) == ""


def test_address_policy_allows_network_of_settings_in_every_spelling() -> None:
    allowed = AddressPolicy((ip_network("10.1.0.0/16"), ip_network("fd12::/64")))
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd12::5"):
        assert allowed.refusal(ip_address(address)) == ""
    assert allowed.refusal(ip_address("10.2.0.1")) == "a private address"


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "0x7f000001", "1.2.3.4.5", "999.1.1.1"]
)
def test_literal_refuses_odd_spelling_of_address(host: str) -> None:
    with pytest.raises(RefusedError, match="odd spelling"):
        literal(host)


@pytest.mark.parametrize("host", ["example.com", "a.0x7f.com", "1a", "host-1", "xn--bcher-kva.example."])
def test_literal_of_host_name_is_none(host: str) -> None:
    assert literal(host) is None


def test_literal_ignores_trailing_dot_and_zone() -> None:
    assert literal("127.0.0.1.") == ip_address("127.0.0.1")
    assert literal("fe80::1%eth0") == ip_address("fe80::1")


async def test_hanging_lookups_leave_threads_to_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def hangs(*_: object, **__: object) -> list[object]:
        over.wait(LIMIT)
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    monkeypatch.setattr(socket, "getaddrinfo", hangs)
    resolver = CheckedResolver(AddressPolicy())
    lookups: list[asyncio.Task[Any]] = [asyncio.create_task(resolver.resolve(f"h{each}.test")) for each in range(40)]
    lookups += [asyncio.create_task(addresses(f"s{each}.test")) for each in range(20)]
    try:
        await asyncio.sleep(0)
        async with asyncio.timeout(LIMIT / 2):
            assert await asyncio.gather(*(in_thread(str, number) for number in range(100)))
        monkeypatch.undo()
        async with asyncio.timeout(LIMIT / 2):
            assert await addresses("localhost"), "other look-ups have threads, too"
    finally:
        over.set()
    results = await asyncio.gather(*lookups, return_exceptions=True)
    assert all(isinstance(result, socket.gaierror) for result in results)


async def test_resolver_refuses_private_address_without_naming_it() -> None:
    resolver = CheckedResolver(AddressPolicy(), FakeDns({"inner.example": [["10.3.2.1"]]}))
    with pytest.raises(RefusedError) as caught:
        await resolver.resolve("inner.example", 443)
    assert str(caught.value) == (
        "inner.example leads to a private address; allowed are public addresses and those in MANYSERVE_ALLOWED_NETWORKS"
    )


async def test_resolver_returns_only_allowed_addresses() -> None:
    resolver = CheckedResolver(AddressPolicy(), FakeDns({"mixed": [["10.3.2.1", "8.8.8.8", "::1"]]}))
    assert [each["host"] for each in await resolver.resolve("mixed")] == ["8.8.8.8"]


async def test_resolver_trusts_host_of_settings() -> None:
    allowed = AddressPolicy(hosts=frozenset({"hub.internal", "10.0.0.7"}))
    results = await CheckedResolver(allowed, FakeDns({"hub.internal": [["10.3.2.1"]]})).resolve("hub.internal")
    assert [each["host"] for each in results] == ["10.3.2.1"]
    allowed.check_literal("10.0.0.7")
    with pytest.raises(RefusedError):
        allowed.check_literal("10.0.0.8")
