"""Messages of refused kubectl commands."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support import make
from tests.support.eventually import eventually_sync
from tests.support.kubectl import Kubectl, Manifest, Refused


def refusal(try_: Callable[[], object]) -> str:
    """Return the message of a refusal; fail if the command is accepted."""
    with pytest.raises(Refused) as refused:
        try_()
    return str(refused.value)


def lines_about(path: str, message: str) -> list[str]:
    """Return the lines of a refusal about a field, without the prefix of kubectl."""
    return [line[line.index(path) :] for line in message.splitlines() if path in line]


def create_host(kubectl: Kubectl, host: Manifest) -> None:
    """Create a host, and wait until the webhook knows it: then it refuses a model of an unsupported framework."""
    kubectl.create(host)
    probe = make.model_object("probe", framework="abacus", host=host["metadata"]["name"])
    eventually_sync(lambda: _is_refused(kubectl, probe), "the webhook knows the host", 30)


def _is_refused(kubectl: Kubectl, manifest: Manifest) -> bool:
    try:
        kubectl.try_out(manifest)
    except Refused:
        return True
    return False
