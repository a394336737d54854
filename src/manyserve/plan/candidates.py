"""Candidates of a placement: the models that may have new copies, those that keep their entry, and the invalid ones.

* Turning multi-model serving off places no new model and unloads none, because a mistake in the configuration must not
  empty a thousand servers. The same holds for a store that becomes forbidden.
* A model with an invalid spec, or on a claim that is not for new models, is not newly placed. Its entry stays.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Set
from dataclasses import dataclass
from functools import cache, partial

from manyserve.api.credentialsconfig import HttpsCredentials
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.modelconfig import Entry
from manyserve.api.servingconfig import ServingConfig
from manyserve.api.storageuri import claim_of
from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan.capacity import framework_error, is_multi_model
from manyserve.plan.rules.allocation import copies_of_homogeneous
from manyserve.plan.rules.source import STORAGE_URI, source_error
from manyserve.plan.rules.validation import model_problems


@dataclass(frozen=True)
class Candidates:
    """The models of a host, sorted by what may happen to them."""

    models: Mapping[str, TrainedModel]
    """Models that stay or are newly placed, while they fit."""
    staying: Collection[str]
    """Models with an entry that stays as it is, while it fits."""
    invalid: Mapping[str, str]
    """Sentences by model, for models that are not placed because of an invalid spec."""


def candidates_of(
    host: InferenceService,
    models: Mapping[str, TrainedModel],
    held: Mapping[str, Entry],
    outdated: Set[str],
    config: ServingConfig,
    blocked_claims: Mapping[str, str],
) -> Candidates:
    """Sort the models of a host; `held` has an entry of each placed model, and `outdated` names the changed ones."""
    judged = {name: models[name] for name in (models.keys() - held.keys()) | (models.keys() & outdated)}
    error_of = partial(_spec_error, host, blocked_claims)
    invalid = {name: error for name, model in judged.items() if (error := error_of(model))}
    accepts, https = _accepted_frameworks(host, config), config.credentials.https
    refused = {
        name for name, model in judged.items() if name in invalid or not _may_be_placed(model, held, accepts, https)
    }
    placeable = {
        name: model for name, model in models.items() if not model.metadata.deletion_timestamp and name not in refused
    }
    staying = {name for name in invalid if not models[name].metadata.deletion_timestamp}
    return Candidates(placeable, staying, invalid)


def _spec_error(host: InferenceService, blocked_claims: Mapping[str, str], model: TrainedModel) -> str | None:
    """Return the errors of the spec of a new or changed model; None for a valid one."""
    blocked = blocked_claims.get(claim_of(model.spec.model.storage_uri) or "")
    problems = [*model_problems(model), *copies_of_homogeneous(host, model)]
    return "; ".join(map(str, problems)) or (blocked and f"{STORAGE_URI}: {blocked}") or None


def _accepted_frameworks(host: InferenceService, config: ServingConfig) -> Callable[[str], bool]:
    """Return a cached predicate: whether the host takes new models of a framework."""
    multi_model = is_multi_model(host, config)
    return cache(lambda framework: multi_model and framework_error(host, framework, config) is None)


def _may_be_placed(
    model: TrainedModel, held: Mapping[str, Entry], accepts: Callable[[str], bool], https: HttpsCredentials
) -> bool:
    before = held.get(model.metadata.name)
    if before is not None and before.model_spec.framework == model.spec.model.framework:
        return True
    return accepts(model.spec.model.framework) and source_error(model.spec.model.storage_uri, https) is None
