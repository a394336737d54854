"""What an agent tells the operator about its pod: the answer of its `/status`.

`GET /status?after=REVISION&instance=ID&wait=SECONDS` answers at once when the agent's revision is not
REVISION or its instance not ID, else when something changes or the wait is over. A new instance (the agent
restarted) counts from 1 again. `docs/agent-status.schema.json` is generated from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic_core import from_json

from manyserve.api.kube_model import WIRE, KubeModel

AGENT_PORT = 9081


class ModelState(StrEnum):
    """How far a model is on one pod."""

    PENDING = "Pending"
    DOWNLOADING = "Downloading"
    LOADING = "Loading"
    LOADED = "Loaded"
    DOWNLOAD_FAILED = "DownloadFailed"
    LOAD_FAILED = "LoadFailed"


@dataclass(frozen=True, slots=True)  # as a `Wire` each would take 1.5 KB, and there is one a model and pod
class ModelReport:
    """One model on one pod."""

    __pydantic_config__: ClassVar[ConfigDict] = WIRE

    state: Annotated[ModelState, Field(description="How far it is.")]
    digest: Annotated[str, Field(description="SHA-256 of what was asked for (`Entry.digest`).")]
    attempt: Annotated[int, Field(ge=0, le=2**31 - 1, description="Tries so far, counted from 1.")] = 0
    message: Annotated[
        str, Field(description="The last error, or what is waited for: one sentence, cut, without secrets.")
    ] = ""
    permanent: Annotated[bool, Field(description="A retry alone is not expected to help.")] = False
    next_try: Annotated[str | None, Field(max_length=64, description="When it is tried again, RFC 3339.")] = None
    bytes: Annotated[int | None, Field(description="Bytes downloaded, while a download is under way.")] = None
    bytes_total: Annotated[int | None, Field(description="Bytes of the whole download, where the store tells.")] = None
    serving: Annotated[bool, Field(description="Another version of the model, from before, still answers.")] = False
    download_seconds: Annotated[float | None, Field(description="How long the last download took.")] = None
    load_seconds: Annotated[float | None, Field(description="How long the last load took.")] = None


class AgentReport(KubeModel):
    """Everything one agent knows."""

    instance: Annotated[str, Field(description="Random, new at each start of the agent.")]
    revision: Annotated[int, Field(ge=1, description="Counted up at each change of this report.")]
    config: Annotated[str, Field(description="`content_hash` of the models.json in force, empty before the first.")] = (
        ""
    )
    config_error: Annotated[str, Field(description="Why the models.json on disk is not in force.")] = ""
    server_ready: Annotated[bool, Field(description="The model server answers.")] = False
    settled: Annotated[bool, Field(description="The initial set is loaded, or failed and reported.")] = False
    models: Annotated[dict[str, ModelReport], Field(description="Each wanted model by its name.")] = {}


_MODEL = TypeAdapter(ModelReport)


def read(body: bytes, before: AgentReport | None = None) -> AgentReport:
    """Return the report that a body says, made of the models of the one before as far as they are the same.

    Model by model, for one of ten thousand is long, and all at once nobody else would have a turn.

    Raises
    ------
    ValueError
        If it is no report; a `pydantic.ValidationError` when it is JSON all the same.
    """
    said = from_json(body)
    models = said.get("models") if isinstance(said, dict) else None
    if not isinstance(models, dict):
        return AgentReport.model_validate(said)
    report = AgentReport.model_validate(said | {"models": {}})
    known = before.models if before else {}
    return report.model_copy(update={"models": {name: _model(each, known.get(name)) for name, each in models.items()}})


def _model(said: object, before: ModelReport | None) -> ModelReport:
    report = _MODEL.validate_python(said)
    return before if before == report and before is not None else report
