"""The TLS context of the server, and how a new pair gets into it without ever breaking it.

A certificate loaded with another one's key leaves a context that refuses every handshake from then on, and a
rotation that is read halfway gives just that. So a pair is first loaded into a context that is thrown away,
and only then, from the same file, into the one that connections use. New connections get the new pair.
"""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

from manyserve.webhook.certs.issue import KeyPair


class BadPairError(ValueError):
    """A certificate and a key that do not make a pair."""


class ReloadableTls:
    """The context that connections use."""

    def __init__(self) -> None:
        self.context = new_context()
        self.pair: KeyPair | None = None
        """What is served now."""

    def load(self, pair: KeyPair) -> bool:
        """Serve a pair from now on; tell whether it is another than before. Raises `BadPairError`."""
        if pair == self.pair:
            return False
        with tempfile.TemporaryDirectory(prefix="manyserve-") as folder:  # readable by us alone
            file = Path(folder) / "pair.pem"
            file.write_bytes(pair.certificate.rstrip() + b"\n" + pair.key)
            try:
                new_context().load_cert_chain(file)
            except (ssl.SSLError, OSError) as error:
                raise BadPairError(f"the certificate and its key cannot be used: {error}") from error
            self.context.load_cert_chain(file)
        self.pair = pair
        return True


def new_context() -> ssl.SSLContext:
    """Return a context for a server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
