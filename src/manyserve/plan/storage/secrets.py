"""Which secrets the agent is given: those that the host's ServiceAccount lists, as KServe's users list them.

The operator reads none of them. It mounts them into the agent alone, by name: the model server, in which
strangers' models run, sees no credential. Tokens and registry passwords, which older clusters put into the
same list by themselves, are left out as far as their names tell. So is what no secret can be called: the API server
takes it in the list, and would then refuse the host's whole Deployment.
"""

from __future__ import annotations

import re

from manyserve.plan.observed import Account
from manyserve.plan.rules.field_error import quoted

CREDENTIALS_DIR = "/mnt/credentials"
_GENERATED = 58
"""So much of a name stays before Kubernetes puts five random letters behind it."""
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


def mounted_secrets(account: Account | None) -> tuple[str, ...]:
    """Return the names of the secrets to mount, sorted; none when there is no such ServiceAccount."""
    if account is None:
        return ()
    made_for = (re.escape(f"{account.name}-{what}-"[:_GENERATED]) for what in ("token", "dockercfg"))
    machine_made = re.compile(rf"({'|'.join(made_for)})[a-z0-9]{{5}}")
    named = {each for each in account.secrets if _NAME.fullmatch(each)} - set(account.pull_secrets)
    return tuple(sorted(each for each in named if not machine_made.fullmatch(each)))


def secret_problems(account: Account | None) -> tuple[str, ...]:
    """Return in sentences what is wrong with the list of secrets, or could not be seen of them."""
    if account is None:
        return ()
    odd = sorted({each for each in account.secrets if not _NAME.fullmatch(each)})
    return (*(f"{quoted(each)} is listed in its secrets and is not the name of one" for each in odd), *account.problems)
