"""Which secrets the agent is given: those that the host's ServiceAccount lists, as KServe's users list them.

The operator reads none of them. It mounts them into the agent alone, by name: the model server, in which
strangers' models run, sees no credential. Tokens and registry passwords, which older clusters put into the
same list by themselves, are left out as far as their names tell.
"""

from __future__ import annotations

import re

from manyserve.plan.observed import Account

CREDENTIALS_DIR = "/mnt/credentials"


def mounted_secrets(account: Account | None) -> tuple[str, ...]:
    """Return the names of the secrets to mount, sorted; none when there is no such ServiceAccount."""
    if account is None:
        return ()
    machine_made = re.compile(rf"{re.escape(account.name)}-(token|dockercfg)-[a-z0-9]{{5}}")
    pulled = set(account.pull_secrets)
    return tuple(sorted({each for each in account.secrets if each not in pulled and not machine_made.fullmatch(each)}))
