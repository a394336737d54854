"""Agent report: the response of an agent's `/status`, a long poll of the operator.

`GET /status?after=REVISION&instance=ID&wait=SECONDS` answers at once when the agent's revision is not REVISION or its
instance is not ID. Else it answers after the next change, or when the wait is over. An agent that restarts is a new
instance and counts from 1. `docs/agent-status.schema.json` is generated from these types.

`&hold=SECONDS` keeps a pod that was never ready unready until so many seconds after the first answer of its server.

A report may come from any pod that claims to be a replica. So `read` bounds each part of it before it is kept. Texts
are one short line, numbers out of range are left out, and models that nobody asked about are dropped.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import islice
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import from_json

from manyserve.api.kube_model import WIRE, KubeModel
from manyserve.redaction import LIMIT, one_line

AGENT_PORT = 9081
MOST_STUCK = 8
"""Models that a report, or a sentence, names at most as those with loads that do not finish."""
LONGEST_HOLD = 86_400.0
"""Seconds. No hold is longer, whoever sends it."""
LONGEST_WORD = 128
"""Characters of a hash, an instance or a time; a SHA-256 has 64."""
MOST_BYTES = 2**63 - 1
"""Bytes of a download at most; no file system can hold more."""
MOST_SECONDS = 1e9
"""Seconds of a download or a load at most: thirty years."""
LONGEST_NAME = 253
"""Characters of the name of an object of Kubernetes."""
MOST_NOT_UNLOADED = 1000
"""Models that a server does not unload, in one report. The sentence about them names a few."""


def _in_range(least: float, most: float) -> BeforeValidator:
    """Return a validator for which a number out of range is None: a store or an attacker may have sent it."""

    def check(value: Any) -> Any:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return None if is_number and not least <= value <= most else value

    return BeforeValidator(check)


def _line(limit: int) -> BeforeValidator:
    return BeforeValidator(lambda text: one_line(text, limit) if isinstance(text, str) and text else text)


Sentence = Annotated[str, _line(LIMIT)]
"""A sentence for people: one line of printable letters, cut short."""
Word = Annotated[str, _line(LONGEST_WORD)]
"""A word for programs, likewise."""
ByteCount = Annotated[Annotated[int, Field(ge=0, le=MOST_BYTES)] | None, _in_range(0, MOST_BYTES)]
Seconds = Annotated[Annotated[float, Field(ge=0, le=MOST_SECONDS)] | None, _in_range(0, MOST_SECONDS)]


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
    digest: Annotated[Word, Field(description="SHA-256 of the requested version (`Entry.digest`).")]
    attempt: Annotated[int, Field(ge=0, le=2**31 - 1, description="Number of attempts, counted from 1.")] = 0
    message: Annotated[
        Sentence,
        Field(description="The last error, or the reason of the wait: one sentence, truncated, without secrets."),
    ] = ""
    permanent: Annotated[bool, Field(description="A retry alone is not expected to help.")] = False
    next_try: Annotated[Word | None, Field(description="Time of the next attempt, RFC 3339.")] = None
    bytes: Annotated[ByteCount, Field(description="Bytes downloaded, while a download runs.")] = None
    bytes_total: Annotated[ByteCount, Field(description="Bytes of the whole download, if the store says so.")] = None
    serving: Annotated[bool, Field(description="The previous version of the model still answers.")] = False
    download_seconds: Annotated[Seconds, Field(description="Duration of the last download.")] = None
    load_seconds: Annotated[Seconds, Field(description="Duration of the last load.")] = None
    routed: Annotated[
        bool | None,
        Field(description="The routers send requests for the model to this pod. Not given where there are no routers."),
    ] = None
    warning: Annotated[
        Sentence, Field(description="Rule about its content that a loaded model breaks: one sentence, truncated.")
    ] = ""


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and len(name) <= LONGEST_NAME and name.isprintable()


def _not_unloaded(models: Any) -> Any:
    """Return the first models of a possible name, at most `MOST_NOT_UNLOADED`."""
    if not isinstance(models, dict):
        return models
    return {name: models[name] for name in islice(filter(_is_name, models), MOST_NOT_UNLOADED)}


def _stuck_loads(names: Any) -> Any:
    """Return the first possible names, at most `MOST_STUCK`."""
    return list(islice(filter(_is_name, names), MOST_STUCK)) if isinstance(names, list | tuple) else names


class AgentReport(KubeModel):
    """State of one agent and all its models."""

    instance: Annotated[Word, Field(description="Random, new at each start of the agent.")]
    revision: Annotated[int, Field(ge=1, le=2**63 - 1, description="Incremented at each change of this report.")]
    config: Annotated[
        Word, Field(description="`content_hash` of the models.json in force, empty before the first.")
    ] = ""
    config_error: Annotated[Sentence, Field(description="Reason why the models.json on disk is not in force.")] = ""
    server_ready: Annotated[bool, Field(description="The model server answers.")] = False
    settled: Annotated[bool, Field(description="The pod waits for models no longer.")] = False
    models: Annotated[dict[str, ModelReport], Field(description="Each desired model by its name.")] = {}
    not_unloaded: Annotated[
        dict[str, Sentence],
        BeforeValidator(_not_unloaded),
        Field(description="The reason by name, for each removed model that the server does not unload."),
    ] = {}
    dropped: Annotated[SkipJsonSchema[int], Field(exclude=True)] = 0
    """Number of models that nobody asked about."""
    stuck_loads: Annotated[
        tuple[str, ...],
        BeforeValidator(_stuck_loads),
        Field(
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


def read(body: bytes, before: AgentReport | None = None, wanted: Container[str] | None = None) -> AgentReport:
    """Parse a report. Models that are equal to those of the report before are the same objects.

    Models are validated one by one: the validation of 10,000 in one call would block the other threads. A model of the
    report before stays while the agent reports it: its TrainedModel may be made again.

    Parameters
    ----------
    wanted
        Names of the models that are asked about; None: all. Others are dropped before they are validated.

    Raises
    ------
    ValueError
        If the body is no report. It is a `pydantic.ValidationError` when the body is JSON.
    """
    data = from_json(body, allow_inf_nan=False)
    models = data.get("models") if isinstance(data, dict) else None
    if not isinstance(models, dict):
        return AgentReport.model_validate(data).model_copy(update={"dropped": 0})
    report = AgentReport.model_validate(data | {"models": {}})
    known = before.models if before else {}
    asked = {name: _model(each, known.get(name)) for name, each in models.items() if _is_asked(name, known, wanted)}
    return report.model_copy(update={"models": asked, "dropped": len(models) - len(asked)})


def _is_asked(name: str, known: Container[str], wanted: Container[str] | None) -> bool:
    return wanted is None or name in wanted or name in known


def _model(data: object, before: ModelReport | None) -> ModelReport:
    report = _MODEL.validate_python(data)
    return before if before == report and before is not None else report
