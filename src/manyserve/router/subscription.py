"""State of one stream of delta ADS: the names that Envoy subscribed to, has, and refused. Pure.

One response is in flight. Changes meanwhile go with the next one. After a NACK of several names each is sent alone, so
that one bad name does not keep the others back. A name that is refused alone is due again after `RETRY_SECONDS`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

RETRY_SECONDS = 1.0


class Subscription:
    """Names of one stream. `versions` are those of the server, by name."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.acknowledged: dict[str, int] = {}
        """Version that Envoy has, by name."""
        self._due: set[str] = set()
        self._alone: list[str] = []
        self._refused: dict[str, float] = {}
        """Time at which each refused name is due again."""
        self._nonce = ""
        self._sent: Mapping[str, int] = {}

    def subscribe(self, added: Collection[str], removed: Collection[str]) -> None:
        """Change the names. An added name is due, also when it was subscribed to before."""
        self.names = (self.names | set(added)) - set(removed)
        self._due = (self._due | set(added)) & self.names

    def change(self, names: Collection[str]) -> None:
        """Mark names with a new version as due."""
        self._due |= self.names & set(names)

    def next(self, versions: Mapping[str, int], now: float) -> dict[str, int]:
        """Return the names and versions of the next response; none while one is in flight, or none is due."""
        if self._nonce:
            return {}
        self._due |= {name for name, due in self._refused.items() if due <= now}
        self._refused = {name: due for name, due in self._refused.items() if due > now}
        while self._alone:
            name = self._alone.pop()
            if name in self.names and name in versions:
                self._due.discard(name)
                return {name: versions[name]}
        names = {name: versions[name] for name in self._due if name in versions}
        self._due -= names.keys()
        return names

    def send(self, nonce: str, names: Mapping[str, int]) -> None:
        """Record a response in flight."""
        self._nonce, self._sent = nonce, names

    def answer(self, nonce: str, now: float, *, refused: bool) -> bool:
        """Record an ACK or a NACK. Return False for one of an earlier response."""
        if not nonce or nonce != self._nonce:
            return False
        self._nonce, sent = "", self._sent
        if not refused:
            self.acknowledged |= sent
            self._refused = {name: due for name, due in self._refused.items() if name not in sent}
        elif len(sent) > 1:
            self._alone = sorted(sent)
        else:
            self._refused |= dict.fromkeys(sent, now + RETRY_SECONDS)
        return True

    @property
    def is_refused(self) -> bool:
        """Whether Envoy refuses a name, or a refused response is sent again name by name."""
        return bool(self._refused or self._alone)

    def seconds_to_retry(self, now: float) -> float | None:
        """Return the seconds until a refused name is due again; None without one."""
        return max(0.0, min(self._refused.values()) - now) if self._refused else None
