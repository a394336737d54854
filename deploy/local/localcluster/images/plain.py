"""Images without a base: one static program each, with busybox beside it where a shell is needed.

They run as the user 65532 without files of its own, so any of them passes Pod Security `restricted`.
"""

import re
import tempfile
from pathlib import Path

from localcluster import helpers
from localcluster.images.archive import Layer, write
from localcluster.paths import HERE, cache
from localcluster.process import run
from localcluster.say import Refusal
from localcluster.tools import TOOLS, ensure

USER = "65532:65532"
PASSWD = b"root:x:0:0:root:/root:/bin/sh\nnonroot:x:65532:65532:nonroot:/tmp:/bin/sh\n"
BUSYBOX = Path("/bin/busybox")
GROUP = b"root:x:0:\nnonroot:x:65532:\n"
MODELS = HERE / "images" / "models" / "make.py"
STORE_PORT = 8080
_LIBRARY = re.compile(r"(/\S+) \(0x")


def pause(path: Path, reference: str) -> None:
    """Hold a pod's namespaces."""
    layer = Layer()
    layer.file("/pause", tool("pause"), 0o755)
    write(path, reference, layer, {"Entrypoint": ["/pause"], "User": USER})


def busybox(path: Path, reference: str) -> None:
    """Hold a shell with the usual small programs, as a client for tests."""
    write(path, reference, _shell(), {"Cmd": ["sh"], "User": USER})


def vegeta(path: Path, reference: str) -> None:
    """Hold the load generator, with a shell to pipe its report."""
    layer = _shell()
    layer.file("/usr/bin/vegeta", tool("vegeta"), 0o755)
    write(path, reference, layer, {"Cmd": ["vegeta", "-version"], "User": USER})


def fake_gcs_server(path: Path, reference: str) -> None:
    """Hold an object store in memory that starts with the walkthrough's two models."""
    layer = Layer()
    layer.folder("/tmp", 0o1777)
    layer.file("/fake-gcs-server", tool("fake-gcs-server"), 0o755)
    with tempfile.TemporaryDirectory() as scratch:
        run([helpers.ensure(), MODELS, scratch])
        layer.tree("/data", Path(scratch))
    options = ["-scheme", "http", "-port", str(STORE_PORT), "-backend", "memory", "-data", "/data"]
    command = ["/fake-gcs-server", "-host", "0.0.0.0", *options]
    write(path, reference, layer, {"Entrypoint": command, "User": USER})


def versitygw(path: Path, reference: str) -> None:
    """Hold an S3 server over the folder /data, with a shell to put files there."""
    layer = _shell()
    layer.folder("/data")
    layer.file("/usr/bin/versitygw", tool("versitygw"), 0o755)
    write(path, reference, layer, {"Entrypoint": ["/usr/bin/versitygw", "posix", "/data"], "User": USER})


def envoy(path: Path, reference: str) -> None:
    """Hold Envoy from PyPI, with the C library of this machine, to which it is linked."""
    helpers.ensure()
    program = cache() / "bin" / "envoy"
    layer = Layer()
    layer.folder("/tmp", 0o1777)
    layer.file("/usr/local/bin/envoy", program.read_bytes(), 0o755)
    for library in _LIBRARY.findall(run(["ldd", program])):
        layer.file(library, Path(library).read_bytes(), 0o755)
    write(path, reference, layer, {"Entrypoint": ["/usr/local/bin/envoy"], "User": USER})


def tool(name: str) -> bytes:
    """Return a Go program of this package."""
    ensure(name)
    return (TOOLS[name].home / name).read_bytes()


def _shell() -> Layer:
    if not BUSYBOX.exists():
        raise Refusal(f"the test images need {BUSYBOX}: install Debian's package busybox-static")
    layer = Layer()
    for folder in ("/dev", "/etc", "/proc", "/root", "/sys", "/usr/bin", "/var"):
        layer.folder(folder)
    layer.folder("/tmp", 0o1777)
    layer.file("/etc/passwd", PASSWD)
    layer.file("/etc/group", GROUP)
    layer.file("/bin/busybox", BUSYBOX.read_bytes(), 0o755)
    for name in run([BUSYBOX, "--list"]).split():
        if name != "busybox":
            layer.link(f"/bin/{name}", "busybox")
    return layer
