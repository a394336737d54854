"""Rules for volumes and mounts: their names, and the folders that the server and the agent share."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from manyserve.api.inferenceservice import InferenceService
from manyserve.plan.children.volumes import OWN_VOLUMES, mounted_folder
from manyserve.plan.rules.fields import FieldError, quoted
from manyserve.plan.rules.paths import server_path
from manyserve.plan.rules.pod.volumes import READ_ONLY
from manyserve.plan.servers.launch import MODELS_DIR

_SOURCE_VOLUME = re.compile(r"(secret|claim|ca)-[0-9a-f]{16}")
"""Name of a volume for a store."""


def volumes_have_names_of_their_own(host: InferenceService) -> Iterator[FieldError]:
    """Refuse the names of the operator's volumes, and a name that is given twice."""
    names = [volume.get("name") for volume in host.spec.predictor.volumes or ()]
    for index, name in enumerate(names):
        path = f"spec.predictor.volumes[{index}].name"
        if not isinstance(name, str):
            continue
        if name in OWN_VOLUMES or _SOURCE_VOLUME.fullmatch(name):
            yield FieldError(path, f"{quoted(name)} is a volume of the operator's; it must be another name")
        elif name in names[:index]:
            yield FieldError(path, f"{quoted(name)} is given twice; it must be another name")


def mounts_fit(host: InferenceService) -> Iterator[FieldError]:
    """Require of each mount a volume of the user, and a folder of its own outside of the models' folder."""
    volumes = {str(volume.get("name")): volume for volume in host.spec.predictor.volumes or ()}
    mounts = host.spec.predictor.server.volume_mounts or ()
    folders = Counter(mounted_folder(mount) for mount in mounts)
    for index, mount in enumerate(mounts):
        path, name, folder = f"{server_path(host)}.volumeMounts[{index}]", mount.get("name"), mounted_folder(mount)
        if isinstance(name, str) and name and name not in volumes:
            yield FieldError(
                f"{path}.name", f"{quoted(name)} is not a volume; it must be one of spec.predictor.volumes"
            )
        if folder is None:
            continue
        error = _folder_error(folder, mount, volumes.get(str(name), {}))
        if error is None and folders[folder] > 1:
            error = f"{quoted(folder)} is given twice; it must be another folder"
        if error:
            yield FieldError(f"{path}.mountPath", error)


def _folder_error(folder: str, mount: Mapping[str, Any], volume: Mapping[str, Any]) -> str | None:
    """Return the error of a folder, or None."""
    if f"{folder}/".startswith(f"{MODELS_DIR}/"):
        return f"{quoted(folder)} is in the models' folder, which is the agent's; it must be outside of {MODELS_DIR}"
    if folder == "/":
        return "'/' is the root of the container; it must be a folder"
    is_read_only = mount.get("readOnly") is True or any(volume.get(source) is not None for source in READ_ONLY)
    if MODELS_DIR.startswith(f"{folder}/") and is_read_only:
        return f"{quoted(folder)} is read-only and holds the models' folder, {MODELS_DIR}; it must be another folder"
    return None
