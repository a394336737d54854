"""The programs of a cluster, built from Go modules once and kept in the cache.

Each folder under `tools/` is one Go module with a go.mod and a go.sum that pin every dependency. A program's key is a
hash of those files and of the flags. When `$CACHE/tools/NAME-KEY` exists, the program is built already. All of
Kubernetes and etcd is one program with many names.
"""

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from localcluster.lock import lock
from localcluster.paths import HERE, cache
from localcluster.process import run
from localcluster.say import Failure, Refusal, step

GO_ENV = {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false -modcacherw"}
KUBERNETES = "v1.37.2"


@dataclass(frozen=True)
class Tool:
    """One Go module and its program."""

    name: str
    package: str = "."
    note: str = ""
    flags: str = "-s -w"
    links: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()

    @property
    def source(self) -> Path:
        """Its module."""
        return HERE / "tools" / self.name

    @property
    def key(self) -> str:
        """A hash of all inputs of the build."""
        digest = hashlib.sha256(repr(self).encode())
        for file in sorted(self.source.iterdir()):
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
        return digest.hexdigest()[:16]

    @property
    def home(self) -> Path:
        """Its path in the cache."""
        return cache() / "tools" / f"{self.name}-{self.key}"


def _kubernetes_flags() -> str:
    """Return linker flags that set the output of `kubectl version`."""
    place = "k8s.io/component-base/version"
    facts = {
        "gitVersion": KUBERNETES,
        "gitMajor": "1",
        "gitMinor": KUBERNETES.split(".")[1],
        "gitTreeState": "clean",
    }
    return " ".join(["-s -w", *(f"-X {place}.{name}={value}" for name, value in facts.items())])


TOOLS = {
    tool.name: tool
    for tool in (
        Tool(
            "kubernetes",
            note="first time: about 10 minutes",
            flags=_kubernetes_flags(),
            links=(
                "etcd",
                "kube-apiserver",
                "kube-controller-manager",
                "kube-proxy",
                "kube-scheduler",
                "kubectl",
                "kubelet",
            ),
        ),
        Tool("coredns", note="first time: 1 to 2 minutes"),
        Tool(
            "contour",
            package="github.com/projectcontour/contour/cmd/contour",
            note="first time: 2 to 4 minutes",
            extras=("examples/contour/01-crds.yaml",),
        ),
        Tool("fake-gcs-server", package="github.com/fsouza/fake-gcs-server", note="first time: 1 to 3 minutes"),
        Tool("versitygw", package="github.com/versity/versitygw/cmd/versitygw", note="first time: about 3 minutes"),
        Tool("kwok", package="sigs.k8s.io/kwok/cmd/kwok", note="first time: about a minute"),
        Tool("vegeta", package="github.com/tsenart/vegeta/v12", note="first time: about a minute"),
        Tool("kube-score", package="github.com/zegl/kube-score/cmd/kube-score", note="first time: about a minute"),
        Tool("grafana-decode", note="first time: about 20 seconds"),
        Tool("kubeconform", package="github.com/yannh/kubeconform/cmd/kubeconform", note="first time: about a minute"),
        Tool(
            "registry", package="github.com/google/go-containerregistry/cmd/registry", note="first time: some seconds"
        ),
        Tool("pause"),
    )
}


def ensure(*names: str) -> None:
    """Build missing programs and point the links in `$CACHE/bin` at them."""
    for name in names or tuple(TOOLS):
        tool = TOOLS[name]
        if not tool.home.is_dir():
            _ensure_built(tool)
        for called in tool.links or (name,):
            link(tool.home / name, cache() / "bin" / called)


def _ensure_built(tool: Tool) -> None:
    """Build a tool, unless another run has just done so."""
    with lock("tools"):
        if tool.home.is_dir():
            return
        _check_go(tool)
        with step(f"building {tool.name}", tool.note):
            _build(tool)


def _check_go(tool: Tool) -> None:
    """Refuse without a Go that can build the tool (a newer one may be fetched by Go itself)."""
    if not shutil.which("go"):
        raise Refusal(f"Go is needed to build {tool.name}, and there is no `go` on PATH: install Go 1.26 or newer")
    try:
        run(["go", "env", "GOVERSION"], env=GO_ENV, cwd=tool.source)
    except Failure as error:
        last = str(error).splitlines()[-1]
        raise Refusal(f"this Go cannot build {tool.name}: {last}; install Go 1.26 or newer") from None


def _build(tool: Tool) -> None:
    """Build into a folder beside the final one, and rename when all is there."""
    tool.home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=tool.home.parent, prefix=".building-") as scratch:
        built = Path(scratch) / "made"
        command = ["go", "build", "-trimpath", "-ldflags", tool.flags, "-o", built / tool.name, tool.package]
        run(command, env=GO_ENV, cwd=tool.source)
        for extra in tool.extras:
            module = tool.package.partition("/cmd/")[0]
            folder = run(["go", "list", "-m", "-f", "{{.Dir}}", module], env=GO_ENV, cwd=tool.source).strip()
            shutil.copy(Path(folder) / extra, built)
        built.rename(tool.home)


def link(target: Path, place: Path) -> None:
    """Create a link, or keep it when it is right."""
    if place.is_symlink() and place.readlink() == target:
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = place.with_name(f".{place.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(place)
