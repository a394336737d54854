"""The Secrets of the host's ServiceAccount, as mounted, and the HTTP headers that they hold for one host.

A mounted Secret is a folder with a file for each key. The files are read again when a link or a file changes. The
kubelet swaps a Secret's folder by the link `..data`. All keys of a Secret are read through one target of this link, so
they are of one version. Values lose the white space around them, because keys are often made with `echo`. A file that
is no text is ignored.

Headers are as in KServe. The key `https-host` names the host, with its port unless that is the default of the scheme:
another port may be another user's. The key `headers` is a JSON object of texts. The headers are sent over https for any
URI of the host. Over http they are sent only when `https-host` itself is `http://host`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from yarl import URL

from manyserve.agent.download.base import DownloadError

Secret = Mapping[str, str]
"""The values of one Secret by key."""
SecretsByName = Mapping[str, Secret]
"""Secrets by name, sorted."""

_MAX_BYTES = 1024 * 1024  # of a value; a Kubernetes Secret is smaller
_MAX_READS = 5  # while the kubelet swaps folders
HOST_KEY, HEADERS_KEY = "https-host", "headers"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_AGENT_HEADERS = frozenset(
    {"host", "range", "if-range", "content-length", "transfer-encoding", "connection", "accept-encoding"}
)


class Secrets:
    """A cache of the Secrets below a folder, which need not exist. Its repr shows no value."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._cached: tuple[object, SecretsByName] = (None, {})  # one attribute, since several threads read it

    def __repr__(self) -> str:
        return f"Secrets({str(self._root)!r})"

    def by_name(self) -> SecretsByName:
        """Return the present content of all Secrets."""
        for _ in range(_MAX_READS):
            state, (cached_state, secrets) = _state(self._root), self._cached
            if state == cached_state:
                return secrets
            self._cached = (state, _read(self._root))
        return self._cached[1]

    def get(self, key: str) -> str | None:
        """Return the value of a key in the first Secret, by name, with a value that is not empty."""
        return next((secret[key] for secret in self.by_name().values() if secret.get(key)), None)


def _read(root: Path) -> SecretsByName:
    return {folder.name: _read_secret(folder) for folder in _secret_folders(root)}


def _read_secret(folder: Path) -> Secret:
    version = _current_version(folder)
    values = ((name, read_text(version / name)) for name in _names(version))
    return {name: value for name, value in values if value is not None}


def _current_version(folder: Path) -> Path:
    """Return the folder behind the link `..data`, so that all keys are read from one version."""
    try:
        return folder / (folder / "..data").readlink()
    except OSError:
        return folder


def read_text(path: Path) -> str | None:
    """Return the text of a file at a path from a user; None when it is no regular file, no text, or too long."""
    try:
        if not path.is_file():  # a device yields bytes without end, and a pipe blocks
            return None
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        return data.decode().strip() if len(data) <= _MAX_BYTES else None
    except (OSError, UnicodeDecodeError):
        return None


def _state(root: Path) -> object:
    """Return a value that changes when any Secret changes."""
    return tuple((folder.name, *_file_states(folder)) for folder in _secret_folders(root))


def _file_states(folder: Path) -> Iterator[object]:
    version = _current_version(folder)
    for path in (version, *(version / name for name in _names(version))):
        try:
            status = path.stat()
        except OSError:
            continue
        yield (path.name, status.st_ino, status.st_mtime_ns, status.st_size)


def _secret_folders(root: Path) -> list[Path]:
    return [root / name for name in _names(root) if (root / name).is_dir()]


def _names(folder: Path) -> list[str]:
    """Return the sorted names in a folder, without the kubelet's own, which begin with two dots."""
    try:
        return sorted(path.name for path in folder.iterdir() if not path.name.startswith(".."))
    except OSError:
        return []


def without_keys(secrets: SecretsByName, keys: str) -> str:
    """Return the clause that none of the Secrets has the keys, with the names of the Secrets.

    The mounted folder of a Secret that does not exist is empty.
    """
    if not secrets:
        return f"the host's ServiceAccount lists no secret with {keys}"
    names = ", ".join(name if secret else f"{name} (empty or absent)" for name, secret in secrets.items())
    return f"none of the secrets {names} has {keys}" if len(secrets) > 1 else f"the secret {names} does not have {keys}"


def secret_headers(url: URL, secrets: SecretsByName) -> dict[str, str]:
    """Return the headers for a URL. Raises `DownloadError`, which names the secret and no value."""
    scheme = "" if url.scheme == "https" else f"{url.scheme}://"
    names = {url.host, url.raw_host, url.host_subcomponent}
    ports = (f":{url.port}", "") if url.is_default_port() else (f":{url.port}",)
    hostnames = {f"{scheme}{name}{port}" for name in names for port in ports}
    headers: dict[str, str] = {}
    for name, secret in secrets.items():
        if secret.get(HOST_KEY, "").lower() in hostnames:
            headers |= _parse(name, secret.get(HEADERS_KEY, "{}"))
    return headers


def _parse(secret: str, text: str) -> dict[str, str]:
    try:
        headers = json.loads(text)
    except (ValueError, RecursionError):
        headers = None
    if not isinstance(headers, dict) or not all(map(_is_header, headers, headers.values())):
        sentence = f"the key {HEADERS_KEY} of the secret {secret} must be a JSON object of header names and texts"
        raise DownloadError(sentence, reason="bad_secret", permanent=True)
    reserved = sorted(name for name in headers if name.lower() in _AGENT_HEADERS)
    if reserved:
        names = ", ".join(reserved)
        sentence = f"the key {HEADERS_KEY} of the secret {secret} has {names}, which the agent sets itself"
        raise DownloadError(sentence, reason="bad_secret", permanent=True)
    return headers


def _is_header(name: str, value: object) -> bool:
    return bool(_NAME.fullmatch(name)) and isinstance(value, str) and value.isprintable()
