"""Volumes of a pod, with the sources that users of model servers have. Other sources are left to the API server."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from manyserve.plan.rules.pod.types import (
    SUBSCRIPT,
    Label,
    Mode,
    OneOf,
    Part,
    RelativePath,
    RelativePathOrEmpty,
    ResourceField,
    Size,
    Text,
    check,
    matching,
)

BLOCK = ("persistentVolumeClaim", "ephemeral")
"""Sources of volumes that may be block devices."""
READ_ONLY = ("configMap", "secret", "projected", "downwardAPI", "image")
"""Sources into which no folder for another mount can be made."""


class _File(Part):
    key: Text
    path: RelativePath
    mode: Mode | None = None


class _ConfigMap(Part):
    name: Text
    items: list[_File] | None = None
    default_mode: Mode | None = None
    optional: bool | None = None


class _Secret(Part):
    secret_name: Text
    items: list[_File] | None = None
    default_mode: Mode | None = None
    optional: bool | None = None


class _EmptyDir(Part):
    medium: str | None = None
    size_limit: Size | None = None


class _Claim(Part):
    claim_name: Text
    read_only: bool | None = None


class _HostPath(Part):
    path: Annotated[Text, check(lambda path: ".." not in path.split("/"), "it must be a path without ..")]
    type: (
        Literal["", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice"]
        | None
    ) = None


class _Nfs(Part):
    server: Text
    path: Annotated[Text, check(lambda path: path.startswith("/"), "it must be an absolute path")]
    read_only: bool | None = None


class _Csi(Part):
    driver: Text
    read_only: bool | None = None


_FIELDS = rf"metadata\.(name|namespace|uid|labels|annotations)|{SUBSCRIPT}"


class _FieldRef(Part):
    field_path: Annotated[str, matching(_FIELDS, "a field of the pod that volumes have, such as metadata.labels")]


class _ResourceRef(Part):
    container_name: Text
    resource: ResourceField


class _Annotated(OneOf):
    choices = ("fieldRef", "resourceFieldRef")
    path: RelativePath
    field_ref: _FieldRef | None = None
    resource_field_ref: _ResourceRef | None = None
    mode: Mode | None = None


class _DownwardApi(Part):
    items: list[_Annotated] | None = None
    default_mode: Mode | None = None


class _ProjectedFiles(Part):
    name: Text
    items: list[_File] | None = None


class _Token(Part):
    path: RelativePath
    expiration_seconds: Annotated[int, Field(ge=600, le=2**32)] | None = None


class _Projection(OneOf):
    needs_one = False
    choices = ("configMap", "secret", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate")
    config_map: _ProjectedFiles | None = None
    secret: _ProjectedFiles | None = None
    downward_api: Annotated[_DownwardApi | None, Field(alias="downwardAPI")] = None
    service_account_token: _Token | None = None


class _Projected(Part):
    sources: list[_Projection] | None = None
    default_mode: Mode | None = None


class Volume(OneOf):
    """A volume: its name and one source; without a source it is an emptyDir."""

    choices = (
        "emptyDir", "configMap", "secret", "persistentVolumeClaim", "hostPath", "nfs", "projected", "downwardAPI",
        "csi", "ephemeral", "image", "iscsi", "glusterfs", "rbd", "flexVolume", "cephfs", "fc", "azureFile",
        "azureDisk", "awsElasticBlockStore", "gcePersistentDisk", "vsphereVolume", "cinder", "flocker", "gitRepo",
        "quobyte", "portworxVolume", "scaleIO", "storageos", "photonPersistentDisk",
    )  # fmt: skip
    needs_one = False
    name: Label
    empty_dir: _EmptyDir | None = None
    config_map: _ConfigMap | None = None
    secret: _Secret | None = None
    persistent_volume_claim: _Claim | None = None
    host_path: _HostPath | None = None
    nfs: _Nfs | None = None
    projected: _Projected | None = None
    downward_api: Annotated[_DownwardApi | None, Field(alias="downwardAPI")] = None
    csi: _Csi | None = None


class VolumeMount(Part):
    """A mount of a volume into a container."""

    name: Text
    mount_path: Text
    read_only: bool | None = None
    sub_path: RelativePathOrEmpty | None = None
    sub_path_expr: RelativePathOrEmpty | None = None
    mount_propagation: Literal["None", "HostToContainer", "Bidirectional"] | None = None

    @model_validator(mode="after")
    def _one_path_is_given(self) -> Self:
        if self.sub_path and self.sub_path_expr:
            raise ValueError("it must have subPath or subPathExpr")
        return self


class VolumeDevice(Part):
    """A block device of a container."""

    name: Text
    device_path: Annotated[Text, check(lambda path: ".." not in path.split("/"), "it must be a path without ..")]
