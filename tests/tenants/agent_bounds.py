"""Cases of the tables of bounds on the agent in `docs/security.md`, by the first cell of each row.

A case gives an input just below the limit, which is taken, and one far above it, which is refused as the row says.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from tests.tenants import (
    agent_bounds_archives,
    agent_bounds_disk,
    agent_bounds_models,
    agent_bounds_slots,
    agent_bounds_stores,
)

Case = Callable[[Path], Awaitable[None] | None]
"""Runs in an empty folder."""

AGENT_CASES: Mapping[str, Case] = {
    "`model-settings.json`, at any depth": agent_bounds_models.settings_names,
    "the same, number and content": agent_bounds_models.settings_sum,
    "the same, no JSON object, or a link": agent_bounds_models.settings_form,
    "`parameters.uri` in it (*new*)": agent_bounds_models.settings_uri,
    "`config.pbtxt`, `configs/*.pbtxt` (*new*)": agent_bounds_models.configurations,
    "steps of an ensemble": agent_bounds_models.steps,
    "Triton's backend (*new*)": agent_bounds_models.backends,
    "bytes of all files (*new*)": agent_bounds_models.memory,
    "loads that hang": agent_bounds_models.hanging_loads,
    "downloads under way": agent_bounds_slots.downloads_under_way,
    "time in a fast slot while others wait": agent_bounds_slots.time_in_fast_slot,
    "slow slots that other origins hold, while one without a slot waits with a large model": (
        agent_bounds_slots.rate_beside_large_download
    ),
    "files and folders of a model, of an archive or a listing": agent_bounds_archives.files_and_folders,
    "names in one folder of a claim": agent_bounds_archives.names_in_folder,
    "the node's disk": agent_bounds_disk.node_disk,
    "the node's inodes": agent_bounds_disk.node_inodes,
    "the volume, if it has a limit (`config.agent.volumeSizeLimit`, or the host's annotation)": (
        agent_bounds_disk.volume
    ),
    "archives in work": agent_bounds_archives.archives_in_work,
    "directory of a zip": agent_bounds_archives.zip_directory,
    "global headers of a tar": agent_bounds_archives.global_headers,
    "list of files of the Hugging Face hub": agent_bounds_stores.hub_listing,
    "requests for addresses of host names": agent_bounds_stores.resolver_threads,
    "headers of a Secret": agent_bounds_stores.secret_headers_of_host,
    "a SAS of Azure": agent_bounds_stores.azure_sas,
    "addresses of Services on GKE, 34.118.224.0/20, and of 6to4 relays, 192.88.99.0/24": (
        agent_bounds_stores.refused_addresses
    ),
    "another version than HEAD named": agent_bounds_stores.version_of_response,
}
