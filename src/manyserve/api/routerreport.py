"""Router report: the response of `/status` of a router program, a long poll of the operator.

`GET /status?after=REVISION&instance=ID&wait=SECONDS` answers as `/status` of an agent does. A report comes from a pod,
so its reader bounds each part of it.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from manyserve.api.agentreport import LONGEST_NAME, Sentence, Word
from manyserve.api.kube_model import KubeModel
from manyserve.api.modelconfig import MAX_ENTRIES
from manyserve.api.routes import MAX_COUNT

Name = Annotated[str, Field(max_length=LONGEST_NAME)]


class RouterReport(KubeModel):
    """State of one router."""

    instance: Annotated[Word, Field(description="Random, new at each start of the router program.")]
    revision: Annotated[int, Field(ge=1, le=MAX_COUNT, description="Incremented at each change of this report.")]
    ready: Annotated[bool, Field(description="Envoy has the routes of all agents.")]
    problem: Annotated[Sentence, Field(description="Reason why the router is not ready.")] = ""
    nack: Annotated[Sentence, Field(description="Message of Envoy about the last update that it refused.")] = ""
    pods: Annotated[Word, Field(description="`content_hash` of the pods.json in force; empty before the first.")] = ""
    pods_error: Annotated[Sentence, Field(description="Reason why the pods.json on disk is not in force.")] = ""
    models: Annotated[
        frozenset[Name],
        Field(max_length=MAX_ENTRIES, description="Models with an endpoint that Envoy has acknowledged."),
    ] = frozenset()
