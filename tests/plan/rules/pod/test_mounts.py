"""Rules for volumes and mounts, in both forms of a host."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.plan.children.pod_template import build_pod_template
from manyserve.plan.children.volumes import OWN_VOLUMES
from manyserve.plan.rules.validation import host_problems
from manyserve.plan.storage.mounts import Folder
from tests.plan.rules.paths import sentences
from tests.support import make

pytestmark = pytest.mark.usefixtures("both_forms")

VOLUMES = [{"name": "data", "emptyDir": {}}, {"name": "conf", "configMap": {"name": "conf"}}]


def problems(*mounts: dict[str, Any], volumes: list[dict[str, Any]] = VOLUMES) -> list[str]:
    raw = make.host_object(triton={"volumeMounts": list(mounts)}, volumes=volumes)
    return [each.replace(make.server_path(), "SERVER") for each in sentences(host_problems(raw))]


def mount(path: str, name: str = "data", **fields: Any) -> dict[str, Any]:
    return {"name": name, "mountPath": path} | fields


@pytest.mark.parametrize("name", [*OWN_VOLUMES, Folder("claim", "a", {}, "/a").name])
def test_mount_rules_refuse_the_name_of_a_volume_of_the_operators(name: str) -> None:
    (problem,) = problems(volumes=[{"name": name, "emptyDir": {}}])
    assert problem == f"spec.predictor.volumes[0].name: '{name}' is a volume of the operator's; it must be another name"


def test_mount_rules_refuse_a_volume_twice() -> None:
    (problem,) = problems(volumes=[VOLUMES[0], VOLUMES[0]])
    assert problem == "spec.predictor.volumes[1].name: 'data' is given twice; it must be another name"


@pytest.mark.parametrize("name", ["gone", "models"])
def test_mount_rules_refuse_the_mount_of_a_volume_that_the_user_does_not_give(name: str) -> None:
    (problem,) = problems(mount("/data", name))
    assert problem == (
        f"SERVER.volumeMounts[0].name: '{name}' is not a volume; it must be one of spec.predictor.volumes"
    )


@pytest.mark.parametrize("path", ["/mnt/models", "/mnt/models/", "/mnt/models/overrides", "mnt//models/./a"])
def test_mount_rules_refuse_a_mount_in_the_models_folder(path: str) -> None:
    (problem,) = problems(mount(path, "conf"))
    assert problem.startswith("SERVER.volumeMounts[0].mountPath: '/mnt/models")
    assert problem.endswith("is in the models' folder, which is the agent's; it must be outside of /mnt/models")


def test_mount_rules_refuse_the_root_and_a_read_only_folder_above_the_models() -> None:
    assert "'/' is the root of the container" in problems(mount("/"))[0]
    assert "'/mnt' is read-only and holds the models' folder" in problems(mount("/mnt", "conf"))[0]
    assert "'/mnt' is read-only" in problems(mount("/mnt", readOnly=True))[0]
    assert problems(mount("/mnt")) == []
    assert problems(mount("/mnt/models-of-mine", "conf")) == []


def test_mount_rules_refuse_one_folder_twice_in_any_spelling() -> None:
    assert problems(mount("/data"), mount("/data/", "conf")) == [
        "SERVER.volumeMounts[0].mountPath: '/data' is given twice; it must be another folder",
        "SERVER.volumeMounts[1].mountPath: '/data' is given twice; it must be another folder",
    ]


@pytest.mark.parametrize("path", ["/tmp", "/tmp/", "//tmp"])
def test_server_has_the_users_tmp_in_place_of_the_operators(path: str) -> None:
    memory = {"name": "shm", "emptyDir": {"medium": "Memory"}}
    mounts = [mount(path), mount("/dev/shm", "shm")]
    assert problems(*mounts, volumes=[*VOLUMES, memory]) == []
    host = make.host(triton={"volumeMounts": mounts}, volumes=[*VOLUMES, memory])
    server = build_pod_template(host, make.config())["spec"]["containers"][0]
    assert [each["mountPath"] for each in server["volumeMounts"]] == ["/mnt/models", path, "/dev/shm"]
