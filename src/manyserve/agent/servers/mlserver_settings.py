"""Settings files of MLServer: `model-settings.json`, at any depth of a model's folder.

MLServer searches all folders of all models for these files. It knows a model by the name in its file, or by the name
of the file's folder. A file with the name of another model would answer in its place. So the agent writes every file
anew, in one form, with a name that belongs to the model:

- the file of the model's folder has the model's name; without it, those of the folders right below, one a version;
- another file with the same name as the first has the model's name, too;
- any other file gets the model's name and its folder, with a dot between, which no TrainedModel has in its name.

MLServer reads all files for its index and before each load. Their number, their bytes and their values are bounded.
"""

from __future__ import annotations

import json
import os
import unicodedata
from pathlib import Path, PurePosixPath
from posixpath import join, normpath
from typing import Any
from urllib.parse import urlsplit

from manyserve.agent.servers.base import RefusedFilesError
from manyserve.json_size import separators

SETTINGS = "model-settings.json"
MAX_FILES = 100
"""Settings files of a model: MLServer reads one in a millisecond."""
MAX_BYTES = 1024 * 1024
"""Bytes of all settings files of a model, far more than their usual kilobytes."""
MAX_VALUES = 50_000
"""Values in all settings files of a model: objects of Python take 30 times the bytes of their text."""
MODELS_DIR = "/mnt/models"
"""Folder of the models in the server's container."""

Settings = dict[Path, dict[str, Any]]


def write_names(name: str, folder: Path) -> None:
    """Write every settings file with a name that belongs to the model. Raises `RefusedFilesError`, `OSError`."""
    given, root = read_all(folder), folder / SETTINGS
    versions = {file for file in given if file.parent.parent == folder}
    if root not in given and not versions:
        given[root] = {}
    own = {root} if root in given else versions
    same = given[root].get("name", name) if root in given else name
    for file, settings in given.items():
        is_own = file in own or settings.get("name", "") == same
        parts = () if is_own else file.parent.relative_to(folder).parts
        file.unlink(missing_ok=True)  # it may be a hard link that other models share
        others = {key: value for key, value in settings.items() if _field(key) != "name"}
        file.write_text(json.dumps({"name": ".".join((name, *parts))} | others), encoding="utf-8")


def outside_error(name: str, folder: Path) -> str:
    """Return the sentence about a settings file that names files out of the model's folder; empty if none does."""
    own = PurePosixPath(MODELS_DIR) / name
    for file, settings in read_all(folder).items():
        base = str(own / file.parent.relative_to(folder))
        uris = [uri for each in _values(settings, "parameters") for uri in _values(each, "uri")]
        if not all(_is_below(own, base, str(uri)) for uri in uris if uri):
            return f"parameters.uri in {file.relative_to(folder)} must be a path in the model's folder"
    return ""


def _values(settings: Any, field: str) -> list[Any]:
    """Return the values of a field in all its spellings; none for other data than an object."""
    return [value for key, value in settings.items() if _field(key) == field] if isinstance(settings, dict) else []


def _field(key: str) -> str:
    """Return the field that a key may mean: MLServer ignores its case, and the first of several spellings counts."""
    return unicodedata.normalize("NFKC", key).casefold().strip().removeprefix("mlserver_model_")


def read_all(folder: Path) -> Settings:
    """Read the settings files below a folder. Raises `RefusedFilesError`, `OSError`."""
    files = _find(folder)
    if len(files) > MAX_FILES:
        raise RefusedFilesError(f"the model has more than {MAX_FILES} files {SETTINGS}")
    left, values, settings = MAX_BYTES, 0, Settings()
    for file in files:
        with file.open("rb") as opened:
            content = opened.read(left + 1)
        left -= len(content)
        if left < 0:
            raise RefusedFilesError(f"the model has more than {MAX_BYTES} bytes in files {SETTINGS}")
        values += separators(content)
        if values > MAX_VALUES:
            raise RefusedFilesError(f"the model has more than {MAX_VALUES} values in files {SETTINGS}")
        settings[file] = _parse(content, str(file.relative_to(folder)))
    return settings


def _find(folder: Path) -> list[Path]:
    """Return the settings files below a folder. A link in it could lead to the files of another model."""
    files: list[Path] = []
    for parent, folders, names in os.walk(folder):
        for path in (Path(parent, each) for each in sorted((*folders, *names))):
            if path.is_symlink() or (path.name == SETTINGS and not path.is_file()):
                raise RefusedFilesError(f"{path.relative_to(folder)} must be a file, and is a link or a folder")
        files += (Path(parent, each) for each in names if each == SETTINGS)
    return sorted(files)


def _parse(content: bytes, name: str) -> dict[str, Any]:
    try:
        settings = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RefusedFilesError(f"{name} cannot be read: it is not JSON: {error}") from None
    if not isinstance(settings, dict):
        raise RefusedFilesError(f"{name} cannot be read: it must be a JSON object")
    return settings


def _is_below(own: PurePosixPath, base: str, uri: str) -> bool:
    """Return whether a URI is a path below the model's folder, as text and as MLServer parses it."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return False
    if parts.scheme not in ("", "file") or parts.netloc:
        return False
    paths = (PurePosixPath(normpath(join(base, path))) for path in (uri, parts.path))
    return all(path.is_relative_to(own) for path in paths)
