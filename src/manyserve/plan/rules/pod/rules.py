"""All rules for the pods of a host. `RULES` is the specification."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from manyserve.api.inferenceservice import InferenceService
from manyserve.plan.rules.fields import FieldError
from manyserve.plan.rules.pod import fixed
from manyserve.plan.rules.pod.containers import init_containers_have_known_fields
from manyserve.plan.rules.pod.form import parts_have_the_form_of_kubernetes
from manyserve.plan.rules.pod.mounts import mounts_fit, volumes_have_names_of_their_own
from manyserve.plan.rules.pod.resources import (
    extended_resources_are_not_overcommitted,
    resources_have_names_of_kubernetes,
)
from manyserve.plan.rules.pod.settings import (
    list_items_differ,
    probes_name_ports_of_the_container,
    security_settings_agree,
    stop_hook_ends_in_time,
)

Rule = Callable[[InferenceService], Iterator[FieldError]]

RULES: tuple[Rule, ...] = (
    *fixed.RULES,
    init_containers_have_known_fields,
    parts_have_the_form_of_kubernetes,
    volumes_have_names_of_their_own,
    mounts_fit,
    resources_have_names_of_kubernetes,
    extended_resources_are_not_overcommitted,
    list_items_differ,
    probes_name_ports_of_the_container,
    stop_hook_ends_in_time,
    security_settings_agree,
)
