"""Tolerations, affinity and spread of a pod."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from manyserve.plan.rules.pod.types import LabelKey, LabelValue, Part, Positive, check, is_label_value, is_qualified

_Weight = Annotated[int, Field(ge=1, le=100)]
_NEEDS_VALUES = ("In", "NotIn")


class Toleration(Part):
    """A taint that a pod tolerates."""

    key: Annotated[str, check(lambda text: not text or is_qualified(text), "it must be the key of a label")] | None = (
        None
    )
    operator: Literal["", "Exists", "Equal", "Lt", "Gt"] | None = None
    value: str | None = None
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: int | None = None

    @model_validator(mode="after")
    def _fields_fit(self) -> Self:
        if self.operator == "Exists" and self.value:
            raise ValueError("it must have no value with the operator Exists")
        if not self.key and self.operator != "Exists":
            raise ValueError("it must have a key, or the operator Exists")
        if self.operator in (None, "", "Equal") and not is_label_value(self.value or ""):
            raise ValueError("it must have the value of a taint, such as fast-1")
        if self.toleration_seconds is not None and self.effect != "NoExecute":
            raise ValueError("it must have the effect NoExecute to have tolerationSeconds")
        return self


class _Expression(Part):
    """A requirement of a label selector."""

    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[LabelValue] | None = None

    @model_validator(mode="after")
    def _values_fit(self) -> Self:
        if (self.operator in _NEEDS_VALUES) != bool(self.values):
            raise ValueError("it must have values with the operators In and NotIn, and else none")
        return self


class _Selector(Part):
    match_labels: dict[LabelKey, LabelValue] | None = None
    match_expressions: list[_Expression] | None = None


class _NodeExpression(Part):
    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    values: list[str] | None = None

    @model_validator(mode="after")
    def _values_fit(self) -> Self:
        count = len(self.values or ())
        if self.operator in ("Gt", "Lt") and count != 1:
            raise ValueError(f"it must have one value with the operator {self.operator}")
        if self.operator in _NEEDS_VALUES and not count:
            raise ValueError(f"it must have values with the operator {self.operator}")
        if self.operator in ("Exists", "DoesNotExist") and count:
            raise ValueError(f"it must have no values with the operator {self.operator}")
        return self


class _NodeTerm(Part):
    match_expressions: list[_NodeExpression] | None = None


class _NodeSelector(Part):
    node_selector_terms: Annotated[list[_NodeTerm], Field(min_length=1)]


class _PreferredNode(Part):
    weight: _Weight
    preference: _NodeTerm


class _NodeAffinity(Part):
    required: Annotated[_NodeSelector | None, Field(alias="requiredDuringSchedulingIgnoredDuringExecution")] = None
    preferred: Annotated[
        list[_PreferredNode] | None, Field(alias="preferredDuringSchedulingIgnoredDuringExecution")
    ] = None


class _PodTerm(Part):
    topology_key: LabelKey
    label_selector: _Selector | None = None
    namespace_selector: _Selector | None = None
    namespaces: list[str] | None = None


class _PreferredPod(Part):
    weight: _Weight
    pod_affinity_term: _PodTerm


class _PodAffinity(Part):
    required: Annotated[list[_PodTerm] | None, Field(alias="requiredDuringSchedulingIgnoredDuringExecution")] = None
    preferred: Annotated[list[_PreferredPod] | None, Field(alias="preferredDuringSchedulingIgnoredDuringExecution")] = (
        None
    )


class Affinity(Part):
    """Affinity of a pod to nodes and to other pods."""

    node_affinity: _NodeAffinity | None = None
    pod_affinity: _PodAffinity | None = None
    pod_anti_affinity: _PodAffinity | None = None


class SpreadConstraint(Part):
    """A topology spread constraint."""

    max_skew: Positive
    topology_key: LabelKey
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"]
    label_selector: _Selector | None = None
    min_domains: Positive | None = None
    node_affinity_policy: Literal["Honor", "Ignore"] | None = None
    node_taints_policy: Literal["Honor", "Ignore"] | None = None

    @model_validator(mode="after")
    def _domains_fit(self) -> Self:
        if self.min_domains is not None and self.when_unsatisfiable != "DoNotSchedule":
            raise ValueError("it must have whenUnsatisfiable DoNotSchedule to have minDomains")
        return self
