"""Where the API server is, and who we are to it.

In a pod this is the service account's folder, read here in a few lines; its token is read again each minute,
because Kubernetes renews it. On a developer's machine it is the kubeconfig, with all that one may contain
(certificates, tokens, programs that print tokens): that is left to the `kubernetes` package, imported only
then. Measured on Python 3.11: this room with aiohttp takes 37 MB of memory, with `kubernetes.config` 58 MB;
no pod pays for the difference.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manyserve.api.errors import StartupError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_SECONDS = 60.0
_ODD = (OSError, TypeError, ValueError, AttributeError, LookupError)
"""What the `kubernetes` package raises, beside errors of its own, over a kubeconfig that is none."""


class Token:
    """A token that is read again when it is a minute old, or when the API server refuses it."""

    def __init__(self, read: Callable[[], str | None], clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self._value = read()
        self._read_at = clock()

    def __call__(self) -> str | None:
        """Return the token to use now."""
        if self._clock() - self._read_at >= TOKEN_SECONDS:
            self.refresh()
        return self._value

    def refresh(self) -> None:
        """Read the token now; a token that cannot be read keeps its last value."""
        with contextlib.suppress(OSError):
            self._value = self._read() or self._value
        self._read_at = self._clock()


@dataclass(frozen=True)
class ClusterConfig:
    """An API server and our identity there."""

    server: str
    tls: ssl.SSLContext | None = None
    token: Token = field(default_factory=lambda: Token(lambda: None))


def find_cluster_config(env: Mapping[str, str] | None = None, folder: Path = SERVICE_ACCOUNT) -> ClusterConfig:
    """Return the access of the pod we run in, else of the kubeconfig. Raises `StartupError`."""
    env = os.environ if env is None else env
    host = env.get("KUBERNETES_SERVICE_HOST")
    if host and (folder / "token").exists() and not env.get("KUBECONFIG"):
        return _in_cluster(host, env.get("KUBERNETES_SERVICE_PORT", "443"), folder)
    return _from_kubeconfig(env.get("KUBECONFIG"))


def _in_cluster(host: str, port: str, folder: Path) -> ClusterConfig:
    address = f"[{host}]" if ":" in host else host
    try:
        tls = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        token = Token(lambda: (folder / "token").read_text().strip())
    except OSError as error:
        raise StartupError(f"the service account in {folder} cannot be read: {error}") from error
    return ClusterConfig(f"https://{address}:{port}", tls, token)


def _from_kubeconfig(path: str | None) -> ClusterConfig:
    from kubernetes.client import Configuration  # noqa: PLC0415  20 MB that no pod should pay for
    from kubernetes.config import ConfigException, load_kube_config  # noqa: PLC0415
    from yaml import YAMLError  # noqa: PLC0415

    found = Configuration()
    try:
        load_kube_config(config_file=path, client_configuration=found)  # type: ignore[no-untyped-call]
        return ClusterConfig(found.host.rstrip("/"), _tls(found), Token(lambda: _bearer(found)))
    except (ConfigException, YAMLError, *_ODD) as error:
        where, sentence = path or "~/.kube/config", " ".join(str(error).split())
        raise StartupError(
            f"no access to a cluster: not in a pod, and the kubeconfig {where} cannot be used: {sentence}"
        ) from error


def _bearer(found: Any) -> str | None:
    """Return the token; asking for it renews one that has expired."""
    header = found.get_api_key_with_prefix("BearerToken")
    return header.removeprefix("Bearer ") if header else None


def _tls(found: Any) -> ssl.SSLContext | None:
    if not found.host.startswith("https"):
        return None
    context = ssl.create_default_context(cafile=found.ssl_ca_cert or None)
    if found.cert_file:
        context.load_cert_chain(found.cert_file, found.key_file)
    if not found.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
