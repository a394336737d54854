"""The command line: one function a verb. Every known failure is a sentence and an exit code."""

import argparse
import os
import sys

from localcluster import cluster, store, tools
from localcluster.paths import Cluster, cache
from localcluster.say import Sentence


def main() -> int:
    """Run one verb; 0 is success, 1 a failure, 2 a refusal."""
    arguments = _parser().parse_args()
    try:
        return int(VERBS[arguments.verb](arguments) or 0)
    except Sentence as sentence:
        print(sentence, file=sys.stderr)
        return sentence.code
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="localcluster", description="A local Kubernetes for manyserve")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name, verb in VERBS.items():
        words = verbs.add_parser(name, help=verb.__doc__)
        if verb is not _tools:
            words.add_argument("--port", type=int, default=22000, help="which cluster (default: 22000)")
        if verb is _images:
            words.add_argument("names", nargs="*", help="which images (default: those of the demo)")
        if verb is _up:
            words.add_argument("--nodes", type=int, default=1, choices=(1, 2, 3, 4))
            words.add_argument("--control-plane-only", action="store_true", help="no nodes, no root")
    return parser


def _tools(_: argparse.Namespace) -> None:
    """Build and cache the programs."""
    tools.ensure()


def _up(arguments: argparse.Namespace) -> None:
    """Ensure a healthy cluster."""
    cluster.up(Cluster(arguments.port, arguments.nodes, arguments.control_plane_only))


def _down(arguments: argparse.Namespace) -> None:
    """Remove a cluster and leave nothing behind."""
    cluster.down(arguments.port)


def _images(arguments: argparse.Namespace) -> None:
    """Build images and load them into a cluster's nodes."""
    cluster.load_images(arguments.port, arguments.names)


def _store(arguments: argparse.Namespace) -> None:
    """Start an object store with the walkthrough's models."""
    store.start(arguments.port)


def _status(arguments: argparse.Namespace) -> int:
    """Print the state of a cluster; return 0 when it is healthy."""
    return cluster.status(arguments.port)


def _env(arguments: argparse.Namespace) -> None:
    """Print shell commands that point kubectl and curl at a cluster."""
    target = Cluster(arguments.port)
    print(f"export KUBECONFIG={target.kubeconfig}")
    print("export INGRESS_HOST=127.0.0.1")
    print(f"export INGRESS_PORT={target.gateway_port}")
    if str(cache() / "bin") not in os.environ.get("PATH", "").split(os.pathsep):
        print(f"export PATH={cache() / 'bin'}:$PATH")


VERBS = {
    "tools": _tools,
    "up": _up,
    "down": _down,
    "images": _images,
    "store": _store,
    "status": _status,
    "env": _env,
}
