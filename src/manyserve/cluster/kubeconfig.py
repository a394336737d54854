"""Address and credentials of the API server: of the pod's service account, else of a kubeconfig.

In a pod they come from the service account's folder. The token is read again each minute, since Kubernetes renews it.
On a developer's machine the `kubernetes` package reads the kubeconfig with all its forms: certificates, tokens,
programs that print tokens. It is imported only then, and the image does not have it. Measured on Python 3.11: this
module with aiohttp takes 37 MB of memory, with `kubernetes.config` 58 MB.
docs/decisions/0004-own-client-and-informers.md has the reasons.
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
"""Age at which a token is read again."""
NO_PACKAGE = "a kubeconfig needs the package kubernetes: pip install 'manyserve[kubeconfig]'"
"""Reason in the image, which has no such package."""
_PARSER_ERRORS = (OSError, TypeError, ValueError, AttributeError, LookupError)
"""Errors of the `kubernetes` package for a malformed kubeconfig, beside its own classes."""


class Token:
    """Bearer token that is read again after `TOKEN_SECONDS`, or when the API server refused it."""

    def __init__(self, read: Callable[[], str | None], clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self._value = read()
        self._read_at = clock()

    def __call__(self) -> str | None:
        """Return the current token."""
        if self._clock() - self._read_at >= TOKEN_SECONDS:
            self.refresh()
        return self._value

    def refresh(self) -> None:
        """Read the token now. One that cannot be read keeps its last value."""
        with contextlib.suppress(OSError):
            self._value = self._read() or self._value
        self._read_at = self._clock()


@dataclass(frozen=True)
class ClusterConfig:
    """Address of an API server, with TLS and token."""

    server: str
    tls: ssl.SSLContext | None = None
    token: Token = field(default_factory=lambda: Token(lambda: None))


def find_cluster_config(env: Mapping[str, str] | None = None, folder: Path = SERVICE_ACCOUNT) -> ClusterConfig:
    """Return the config of the pod, else of the kubeconfig. Raises `StartupError`."""
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
    try:
        from kubernetes.client import Configuration  # noqa: PLC0415  20 MB that no pod should pay for
        from kubernetes.config import ConfigException, load_kube_config  # noqa: PLC0415
        from yaml import YAMLError  # noqa: PLC0415
    except ImportError as error:
        raise StartupError(f"no access to a cluster: not in a pod, and {NO_PACKAGE}") from error
    configuration = Configuration()
    try:
        load_kube_config(config_file=path, client_configuration=configuration)  # type: ignore[no-untyped-call]
        return _cluster_config(configuration)
    except (ConfigException, YAMLError, *_PARSER_ERRORS) as error:
        path, reason = path or "~/.kube/config", " ".join(str(error).split())
        raise StartupError(
            f"no access to a cluster: not in a pod, and the kubeconfig {path} cannot be used: {reason}"
        ) from error


def _cluster_config(configuration: Any) -> ClusterConfig:
    server = configuration.host.rstrip("/")
    return ClusterConfig(server, _tls(configuration), Token(lambda: _bearer(configuration)))


def _bearer(configuration: Any) -> str | None:
    """Return the token, which this call renews when it has expired."""
    header = configuration.get_api_key_with_prefix("BearerToken")
    return header.removeprefix("Bearer ") if header else None


def _tls(configuration: Any) -> ssl.SSLContext | None:
    if not configuration.host.startswith("https"):
        return None
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert or None)
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
