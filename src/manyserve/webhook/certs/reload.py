"""TLS context of the server, with a safe reload of its certificate.

A context that loads a certificate with the wrong key refuses every later handshake, and a read in the middle of a
rotation gives such a pair. So a pair is first loaded into a context that is discarded. Then it is loaded, from the same
file, into the context that connections use. New connections get the new pair.
"""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

from manyserve.webhook.certs.issue import KeyPair


class BadPairError(ValueError):
    """A certificate and a key do not match, or cannot be used."""


class ReloadableTls:
    """TLS context that reloads its certificate."""

    def __init__(self) -> None:
        self.context = new_context()
        self.pair: KeyPair | None = None
        """The pair in use."""

    def load(self, pair: KeyPair) -> bool:
        """Use a pair for new connections, and return whether it is a new one. Raises `BadPairError`."""
        if pair == self.pair:
            return False
        with tempfile.TemporaryDirectory(prefix="manyserve-") as folder:  # readable by this user alone
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
    """Return a server's TLS context without a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
