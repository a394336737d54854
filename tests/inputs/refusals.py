"""What a user reads when kubectl is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support import make
from tests.support.eventually import eventually_sync
from tests.support.kubectl import Kubectl, Manifest, Refused


def refusal(try_: Callable[[], object]) -> str:
    """Return the sentence with which something is refused; fail when it is let in."""
    with pytest.raises(Refused) as refused:
        try_()
    return str(refused.value)


def lines_about(path: str, said: str) -> list[str]:
    """Return what a refusal says about a field, line by line, without what kubectl puts before."""
    return [line[line.index(path) :] for line in said.splitlines() if path in line]


def furnish(kubectl: Kubectl, host: Manifest) -> None:
    """Have a host that the webhook knows: it refuses a model that the host's server could not read."""
    kubectl.create(host)
    probe = make.model_object("probe", framework="abacus", host=host["metadata"]["name"])
    eventually_sync(lambda: _is_refused(kubectl, probe), "the webhook knows the host", 30)


def _is_refused(kubectl: Kubectl, manifest: Manifest) -> bool:
    try:
        kubectl.try_out(manifest)
    except Refused:
        return True
    return False
