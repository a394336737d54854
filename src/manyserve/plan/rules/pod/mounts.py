"""Rules for volumes and mounts: their names, and the folders that the server and the agent share."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from manyserve.api.inferenceservice import InferenceService
from manyserve.plan.children.volumes import OWN_VOLUMES, mounted_folder
from manyserve.plan.rules.fields import FieldError, quoted
from manyserve.plan.rules.pod.containers import JudgedContainer, containers
from manyserve.plan.rules.pod.volumes import BLOCK, READ_ONLY
from manyserve.plan.servers.launch import MODELS_DIR

_NO_VOLUME = "is not a volume; it must be one of spec.predictor.volumes"
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
    """Require of each mount a volume of the user and a folder of its own; the models' folder of the server is taken.

    An init container that mounted a volume of the operator's could change models, or read the keys of stores.
    """
    volumes = _volumes(host)
    for container in containers(host):
        yield from _mount_errors(container, volumes)
        yield from _device_errors(container, volumes)


def _volumes(host: InferenceService) -> dict[str, Mapping[str, Any]]:
    return {str(volume.get("name")): volume for volume in host.spec.predictor.volumes or ()}


def _mount_errors(container: JudgedContainer, volumes: Mapping[str, Mapping[str, Any]]) -> Iterator[FieldError]:
    mounts = container.fields.volume_mounts or ()
    folders = Counter(mounted_folder(mount) for mount in mounts)
    for index, mount in enumerate(mounts):
        path, name, folder = f"{container.path}.volumeMounts[{index}]", mount.get("name"), mounted_folder(mount)
        if isinstance(name, str) and name and name not in volumes:
            yield FieldError(f"{path}.name", f"{quoted(name)} {_NO_VOLUME}")
        if folder is None:
            continue
        error = _folder_error(folder, mount, volumes.get(str(name), {})) if container.is_server else _root_error(folder)
        if error is None and folders[folder] > 1:
            error = f"{quoted(folder)} is given twice; it must be another folder"
        if error:
            yield FieldError(f"{path}.mountPath", error)


def _folder_error(folder: str, mount: Mapping[str, Any], volume: Mapping[str, Any]) -> str | None:
    """Return the error of a folder, or None."""
    if f"{folder}/".startswith(f"{MODELS_DIR}/"):
        return f"{quoted(folder)} is in the models' folder, which is the agent's; it must be outside of {MODELS_DIR}"
    if error := _root_error(folder):
        return error
    is_read_only = mount.get("readOnly") is True or any(volume.get(source) is not None for source in READ_ONLY)
    if MODELS_DIR.startswith(f"{folder}/") and is_read_only:
        return f"{quoted(folder)} is read-only and holds the models' folder, {MODELS_DIR}; it must be another folder"
    return None


def _root_error(folder: str) -> str | None:
    return "'/' is the root of the container; it must be a folder" if folder == "/" else None


def _device_errors(container: JudgedContainer, volumes: Mapping[str, Mapping[str, Any]]) -> Iterator[FieldError]:
    """Require of each block device a claim of the user, and a path of its own."""
    taken = [mount.get("mountPath") for mount in container.fields.volume_mounts or ()]
    for index, device in enumerate(container.fields.volume_devices or ()):
        path, name, place = f"{container.path}.volumeDevices[{index}]", device.get("name"), device.get("devicePath")
        volume = volumes.get(str(name))
        if volume is None:
            yield FieldError(f"{path}.name", f"{quoted(name)} {_NO_VOLUME}")
        elif not any(volume.get(source) is not None for source in BLOCK):
            sentence = f"{quoted(name)} is no block device; it must be a volume with one of: {', '.join(BLOCK)}"
            yield FieldError(f"{path}.name", sentence)
        if place in taken:
            yield FieldError(f"{path}.devicePath", f"{quoted(place)} is given twice; it must be another path")
        taken.append(place)
