"""Secrets that the agent mounts: those in the list of the host's ServiceAccount, as in KServe.

The operator reads no secret. It mounts them by name, into the agent only: the model server runs code of models and
gets no credential. Older clusters add tokens and registry passwords to the same list. They are left out if their names
show it. An invalid name is left out, too: the API server accepts it in the list, but would refuse the whole Deployment.
"""

from __future__ import annotations

import re

from manyserve.plan.observed import Account
from manyserve.plan.rules.field_error import quoted

CREDENTIALS_DIR = "/mnt/credentials"
_GENERATED = 58
"""Characters of a name that Kubernetes keeps before it appends five random ones."""
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


def mounted_secrets(account: Account | None) -> tuple[str, ...]:
    """Return the names of the secrets to mount, sorted; none without a ServiceAccount."""
    if account is None:
        return ()
    prefixes = (re.escape(f"{account.name}-{kind}-"[:_GENERATED]) for kind in ("token", "dockercfg"))
    generated = re.compile(rf"({'|'.join(prefixes)})[a-z0-9]{{5}}")
    names = {name for name in account.secrets if _NAME.fullmatch(name)} - set(account.pull_secrets)
    return tuple(sorted(name for name in names if not generated.fullmatch(name)))


def secret_problems(account: Account | None) -> tuple[str, ...]:
    """Return sentences about invalid names in the list of secrets, and about secrets that could not be read."""
    if account is None:
        return ()
    invalid = sorted({name for name in account.secrets if not _NAME.fullmatch(name)})
    sentences = (f"{quoted(name)} is listed in its secrets and is not the name of one" for name in invalid)
    return (*sentences, *account.problems)
