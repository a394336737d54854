"""Agent report: the response of an agent's `/status`, a long poll of the operator.

`GET /status?after=REVISION&instance=ID&wait=SECONDS` answers at once when the agent's revision is not REVISION or its
instance is not ID. Else it answers after the next change, or when the wait is over. An agent that restarts is a new
instance and counts from 1. `docs/agent-status.schema.json` is generated from these types.

`&hold=SECONDS` keeps a pod that was never ready unready until so many seconds after the first answer of its server.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic_core import from_json

from manyserve.api.kube_model import WIRE, KubeModel

AGENT_PORT = 9081
MOST_STUCK = 8
"""Models that a report, or a sentence, names at most as those with loads that do not finish."""
LONGEST_HOLD = 86_400.0
"""Seconds. No hold is longer, whoever sends it."""


class ModelState(StrEnum):
    """Progress of a model on one pod."""

    PENDING = "Pending"
    DOWNLOADING = "Downloading"
    LOADING = "Loading"
    LOADED = "Loaded"
    DOWNLOAD_FAILED = "DownloadFailed"
    LOAD_FAILED = "LoadFailed"


@dataclass(frozen=True, slots=True)  # a `KubeModel` takes 1.5 KB, and there is one report for each model and pod
class ModelReport:
    """State of one model on one pod."""

    __pydantic_config__: ClassVar[ConfigDict] = WIRE

    state: Annotated[ModelState, Field(description="Progress of the model.")]
    digest: Annotated[str, Field(description="SHA-256 of the requested version (`Entry.digest`).")]
    attempt: Annotated[int, Field(ge=0, le=2**31 - 1, description="Number of attempts, counted from 1.")] = 0
    message: Annotated[
        str, Field(description="The last error, or the reason of the wait: one sentence, truncated, without secrets.")
    ] = ""
    permanent: Annotated[bool, Field(description="A retry alone is not expected to help.")] = False
    next_try: Annotated[str | None, Field(max_length=64, description="Time of the next attempt, RFC 3339.")] = None
    bytes: Annotated[int | None, Field(description="Bytes downloaded, while a download runs.")] = None
    bytes_total: Annotated[int | None, Field(description="Bytes of the whole download, if the store says so.")] = None
    serving: Annotated[bool, Field(description="The previous version of the model still answers.")] = False
    download_seconds: Annotated[float | None, Field(description="Duration of the last download.")] = None
    load_seconds: Annotated[float | None, Field(description="Duration of the last load.")] = None
    warning: Annotated[
        str, Field(description="Rule about its content that a loaded model breaks: one sentence, truncated.")
    ] = ""


class AgentReport(KubeModel):
    """State of one agent and all its models."""

    instance: Annotated[str, Field(description="Random, new at each start of the agent.")]
    revision: Annotated[int, Field(ge=1, description="Incremented at each change of this report.")]
    config: Annotated[str, Field(description="`content_hash` of the models.json in force, empty before the first.")] = (
        ""
    )
    config_error: Annotated[str, Field(description="Reason why the models.json on disk is not in force.")] = ""
    server_ready: Annotated[bool, Field(description="The model server answers.")] = False
    settled: Annotated[bool, Field(description="The pod waits for models no longer.")] = False
    models: Annotated[dict[str, ModelReport], Field(description="Each desired model by its name.")] = {}
    not_unloaded: Annotated[
        dict[str, str], Field(description="The reason by name, for each removed model that the server does not unload.")
    ] = {}
    stuck_loads: Annotated[
        tuple[Annotated[str, Field(max_length=253)], ...],
        Field(
            max_length=MOST_STUCK,
            description="Models with loads that the server does not finish, while it can begin no other load: only its "
            "restart ends them.",
        ),
    ] = ()

    @cached_property
    def answering(self) -> frozenset[str]:
        """Names of the models that answer, with any version of their files."""
        if not self.server_ready:
            return frozenset()
        loaded = ModelState.LOADED
        return frozenset([name for name, each in self.models.items() if each.state is loaded or each.serving])


_MODEL = TypeAdapter(ModelReport)


def read(body: bytes, before: AgentReport | None = None) -> AgentReport:
    """Parse a report. Models that are equal to those of the report before are the same objects.

    Models are validated one by one: the validation of 10,000 in one call would block the other threads.

    Raises
    ------
    ValueError
        If the body is no report. It is a `pydantic.ValidationError` when the body is JSON.
    """
    data = from_json(body)
    models = data.get("models") if isinstance(data, dict) else None
    if not isinstance(models, dict):
        return AgentReport.model_validate(data)
    report = AgentReport.model_validate(data | {"models": {}})
    known = before.models if before else {}
    return report.model_copy(update={"models": {name: _model(each, known.get(name)) for name, each in models.items()}})


def _model(data: object, before: ModelReport | None) -> ModelReport:
    report = _MODEL.validate_python(data)
    return before if before == report and before is not None else report
