"""Fake web servers on loopback addresses, with real TLS, a certificate authority and a scripted DNS."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

HOSTS = ("models.test", "cdn.test", "127.0.0.1", "127.0.0.2")


class FakeDns(AbstractResolver):
    """A DNS that returns the next answer of a name, and its last one from then on. Unknown names are loopback."""

    def __init__(self, names: dict[str, list[list[str]]] | None = None) -> None:
        self.answers = names or {}
        self.queries: list[str] = []

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        self.queries.append(host)
        answers = self.answers.get(host, [["127.0.0.1"]])
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": 10 if ":" in address else 2,
                "proto": 6,
                "flags": 4,
            }
            for address in addresses
        ]

    async def close(self) -> None:
        pass


@dataclass
class Site:
    """A server with a handler for each path. It records the requests."""

    handlers: dict[str, Handler] = field(default_factory=dict)
    requests: list[web.Request] = field(default_factory=list)
    port: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        handler = self.handlers.get(request.path)
        return await handler(request) if handler else web.Response(status=404)

    def url(self, path: str, host: str = "models.test", scheme: str = "https") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    def serve(self, path: str, body: bytes, headers: Mapping[str, str] | None = None, status: int = 200) -> None:
        """Answer a path with a body. With an ETag, ranges of it may be requested."""
        named = dict(headers or {})

        async def answer(request: web.Request) -> web.StreamResponse:
            span = request.http_range
            condition = request.headers.get("If-Range", named.get("ETag"))
            if "ETag" in named and "Range" in request.headers and condition == named["ETag"]:
                part = body[span]
                start = span.start or 0
                part_headers = {"Content-Range": f"bytes {start}-{start + len(part) - 1}/{len(body)}"}
                return web.Response(status=206, body=part, headers=named | part_headers)
            return web.Response(status=status, body=body, headers=named)

        self.handlers[path] = answer

    def redirect(self, path: str, to: str, status: int = 302) -> None:
        async def answer(_: web.Request) -> web.StreamResponse:
            return web.Response(status=status, headers={"Location": to})

        self.handlers[path] = answer

    async def start(self, tls: ssl.SSLContext | None, host: str = "127.0.0.1") -> TestServer:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        server = TestServer(app, host=host, scheme="https" if tls else "http")
        await server.start_server(ssl=tls)
        self.port = server.port or 0
        return server


class RawSite:
    """A server that writes the given bytes, valid HTTP or not."""

    def __init__(self, *pieces: bytes, pause: float = 0, endless: bytes = b"") -> None:
        self._pieces = pieces
        self.pause = pause
        self._endless = endless
        self.open = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            head, end, _ = b"".join(self._pieces).partition(b"\r\n\r\n")
            if request.startswith(b"HEAD") and end:
                writer.write(head + end)
                return
            for piece in self._pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(self.pause)
            while self._endless:
                writer.write(self._endless)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def start(self, tls: ssl.SSLContext | None) -> asyncio.Server:
        return await asyncio.start_server(self.handle, "127.0.0.1", 0, ssl=tls)


@dataclass(frozen=True)
class Trust:
    """A certificate authority for tests, and the TLS context of a server signed by it."""

    ca_file: Path
    tls: ssl.SSLContext


def make_trust(folder: Path) -> Trust:
    key, ca = _signed("tests", None)
    server_key, certificate = _signed("server", (key, ca))
    ca_file, pair = folder / "ca.pem", folder / "pair.pem"
    ca_file.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pair.write_bytes(server_key.private_bytes(*form) + certificate.public_bytes(serialization.Encoding.PEM))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pair)
    return Trust(ca_file, tls)


def _signed(
    name: str, issuer: tuple[ec.EllipticCurvePrivateKey, x509.Certificate] | None
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    alternatives = [
        x509.IPAddress(ipaddress.ip_address(host)) if host[0].isdigit() else x509.DNSName(host) for host in HOSTS
    ]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[1].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .sign(issuer[0] if issuer else key, hashes.SHA256())
    )
    return key, certificate
