"""Key `networkPolicy` of the section `hosts`: the peers that the NetworkPolicies of the hosts let in."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Any, Self

from pydantic import BaseModel, Field, model_validator

from manyserve.api.kube_model import KubeModel
from manyserve.api.scope import STRICT, LabelSelector

_CIDR = re.compile(r"[0-9A-Fa-f:.]+/[0-9]{1,3}")
"""Networks as Kubernetes accepts them: an address without a prefix, or with a mask, is refused."""


class IPBlock(BaseModel):
    """A network without some of its parts."""

    model_config = STRICT
    cidr: str
    exceptions: list[str] = Field([], alias="except")

    @model_validator(mode="after")
    def _parts_of_it(self) -> Self:
        for text in (self.cidr, *self.exceptions):
            if not _CIDR.fullmatch(text):
                raise ValueError(f"{text:.100} is no network such as 10.0.0.0/8")
        network, *parts = (ip_network(text, strict=False) for text in (self.cidr, *self.exceptions))
        for part in parts:
            if part.version != network.version or part == network or not part.subnet_of(network):  # type: ignore[arg-type]
                raise ValueError(f"{part} in except is no part of {network}")
        return self


class Peer(BaseModel):
    """A peer of a NetworkPolicy, with the rules of Kubernetes."""

    model_config = STRICT
    ip_block: IPBlock | None = None
    namespace_selector: LabelSelector | None = None
    pod_selector: LabelSelector | None = None

    @model_validator(mode="after")
    def _of_one_form(self) -> Self:
        by_selector = self.namespace_selector is not None or self.pod_selector is not None
        if by_selector is (self.ip_block is not None):
            raise ValueError("a peer must have podSelector, namespaceSelector or both, or ipBlock alone")
        return self

    def to_wire(self) -> dict[str, Any]:
        """Serialize to the JSON form as the API server returns it, without empty fields in selectors."""
        return self.model_dump(mode="json", exclude_defaults=True)


class NetworkPolicyConfig(KubeModel):
    """Peers of the NetworkPolicies that the operator makes for each host."""

    enabled: bool = False
    """False: the policies that exist are deleted."""
    operator: tuple[Peer, ...] = ()
    """The operator's own pods."""
    sources: tuple[Peer, ...] = Field((), alias="from")
    """Peers that may send requests; empty: all."""
    metrics_from: tuple[Peer, ...] = ()
    """Peers that may read metrics; empty: none."""

    @model_validator(mode="after")
    def _of_the_operator(self) -> Self:
        if self.enabled and not self.operator:
            raise ValueError("operator must name the operator's own pods, which read the state of the agents")
        return self
