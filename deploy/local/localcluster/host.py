"""Checks of this machine, and installation of the Debian packages that a cluster needs.

A cluster with nodes needs Linux, root, and a container runtime on the machine; a control plane alone needs openssl.
Missing packages are installed where apt can; otherwise the user gets one sentence.
"""

import functools
import os
import shutil
import sys
from pathlib import Path

from localcluster.process import SEARCH, run
from localcluster.say import Failure, Refusal, step

WAYS_OUT = "with Docker use `make demo CLUSTER=kind`, or for a cluster that you have `KUBECONFIG=... make demo`"
CONTROL_PLANE_PROGRAMS = {"openssl": "openssl"}
NODE_PROGRAMS = {
    **CONTROL_PLANE_PROGRAMS,
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "ip": "iproute2",
    "iptables": "iptables",
    "nft": "nftables",
    "conntrack": "conntrack",
    "nsenter": "util-linux",
    "sysctl": "procps",
    "busybox": "busybox-static",
    "curl": "curl",
}
IMAGE_PROGRAMS = {"buildah": "buildah", "mmdebstrap": "mmdebstrap"}
CNI_PACKAGE = "containernetworking-plugins"
CNI_FOLDERS = ("/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni")


def check_for_control_plane() -> None:
    """Install the packages for a control plane without nodes, or name them in a refusal."""
    wanted = _missing(CONTROL_PLANE_PROGRAMS)
    if wanted and not (os.geteuid() == 0 and program("apt-get")):
        raise Refusal(
            f"the control plane needs {' '.join(wanted)}, which only root can install with apt-get: install it"
        )
    _install(wanted)


def check_for_nodes() -> None:
    """Refuse where nodes cannot run, and install their packages."""
    if sys.platform != "linux":
        raise Refusal(f"the local cluster needs Linux, and this is {sys.platform}: {WAYS_OUT}")
    if os.geteuid() != 0:
        raise Refusal(f"the local cluster needs root, to make network namespaces and containers: {WAYS_OUT}")
    wanted = _missing(NODE_PROGRAMS)
    if cni_folder() is None:
        wanted.append(CNI_PACKAGE)
    _install(wanted)


def check_for_images() -> None:
    """Install the packages that build images."""
    _install(_missing(IMAGE_PROGRAMS))


def cni_folder() -> str | None:
    """Return the folder of the container network plugins."""
    return next((folder for folder in CNI_FOLDERS if (Path(folder) / "bridge").exists()), None)


def program(name: str) -> str | None:
    """Return the path of a program on this machine."""
    return shutil.which(name, path=SEARCH)


def _missing(programs: dict[str, str]) -> list[str]:
    return sorted({package for name, package in programs.items() if not program(name)})


def _install(packages: list[str]) -> None:
    """Install Debian packages, with a fresh list of them when the first try fails."""
    if not packages:
        return
    names = " ".join(packages)
    if not program("apt-get"):
        raise Refusal(f"the local cluster needs {names}, and there is no apt-get to install them: {WAYS_OUT}")
    apt = functools.partial(run, env={"DEBIAN_FRONTEND": "noninteractive"})
    install = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    with step(f"installing {names}"):
        try:
            apt(install)
        except Failure:
            _update_and_install(apt, install, names)


def _update_and_install(apt: functools.partial[str], install: list[str], names: str) -> None:
    try:
        apt(["apt-get", "update"])
        apt(install)
    except Failure as error:
        reason = str(error).splitlines()[-1]
        raise Refusal(f"apt-get could not install {names} ({reason}): {WAYS_OUT}") from None
