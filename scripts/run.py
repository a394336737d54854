"""Run operator and webhook in the foreground against the cluster of KUBECONFIG; `make run` calls it.

Both end together: at Ctrl-C, or when one of them ends by itself. The settings of both are environment variables
(docs/operations.md). The webhook has a certificate in a temporary folder and is not registered: the API server does not
ask it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from manyserve.api.errors import StartupError
from manyserve.cluster.client import KubeClient
from manyserve.cluster.errors import NotFound
from manyserve.cluster.kubeconfig import find_cluster_config
from manyserve.operator.main import check
from manyserve.operator.settings import OperatorSettings
from manyserve.webhook.certs.issue import issue_authority, issue_leaf
from manyserve.webhook.settings import WebhookSettings

END_SECONDS = 20
"""Seconds that a program has to end after SIGTERM, before it is killed."""
_MANYSERVE = (sys.executable, "-c", "from manyserve.cli import main; main()")


def main() -> None:
    """Run until Ctrl-C. Exit with code 2 and a sentence when the cluster is not ready for the programs."""
    try:
        settings = OperatorSettings.from_env(os.environ)
        asyncio.run(_check(settings.namespace))
    except StartupError as error:
        print(f"make run: {error}", file=sys.stderr)
        sys.exit(2)
    with tempfile.TemporaryDirectory(prefix="manyserve-webhook-") as folder:
        webhook = webhook_environment(os.environ, settings, Path(folder))
        print(
            f"make run: operator and webhook in namespace {settings.namespace}; Ctrl-C ends both\n"
            f"make run: the webhook is not registered, so the API server does not ask it; "
            f"its CA is {folder}/ca.crt, its host name localhost, its port {webhook['MANYSERVE_WEBHOOK_PORT']}",
            flush=True,
        )
        sys.exit(asyncio.run(_run({"operator": os.environ, "webhook": webhook})))


def webhook_environment(env: Mapping[str, str], operator: OperatorSettings, folder: Path) -> dict[str, str]:
    """Issue a certificate into the folder, and return the settings of a webhook that serves it beside the operator."""
    settings = WebhookSettings(namespace=operator.namespace, service="localhost")
    now = datetime.now(UTC)
    authority = issue_authority(now)
    leaf = issue_leaf(authority, settings.names, now)
    for name, content in {"ca.crt": authority.certificate, "tls.crt": leaf.certificate, "tls.key": leaf.key}.items():
        (folder / name).write_bytes(content)
    return dict(env) | {
        "POD_NAMESPACE": settings.namespace,
        "MANYSERVE_WEBHOOK_SERVICE": settings.service,
        "MANYSERVE_WEBHOOK_CERTIFICATE_FOLDER": str(folder),
        "MANYSERVE_WEBHOOK_PORT": env.get("MANYSERVE_WEBHOOK_PORT") or str(settings.port),
        "MANYSERVE_METRICS_PORT": str(operator.metrics_port + 1),
    }


async def _check(namespace: str) -> None:
    """Return when the cluster has the kinds and the namespace of the Lease. Raises `StartupError`."""
    async with KubeClient(find_cluster_config()) as client:
        await check(client)
        try:
            await client.read(f"/api/v1/namespaces/{namespace}")
        except NotFound as error:
            raise StartupError(
                f"namespace {namespace}, where the operator keeps its Lease, does not exist; "
                f"create it with: kubectl create namespace {namespace}"
            ) from error


async def _run(environments: Mapping[str, Mapping[str, str]]) -> int:
    """Run the programs until a signal comes or one of them ends, then end all. Return the exit code."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    programs = {name: await _start(name, env) for name, env in environments.items()}
    ends = {asyncio.create_task(program.wait()): name for name, program in programs.items()}
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([stopped, *ends], return_when=asyncio.FIRST_COMPLETED)
    for name in (name for task, name in ends.items() if task.done() and not stop.is_set()):
        print(f"make run: the {name} ended with exit code {programs[name].returncode}", file=sys.stderr)
    codes = [program.returncode for program in programs.values() if program.returncode is not None]
    stopped.cancel()
    await asyncio.gather(*map(_end, programs.values()))
    return 0 if stop.is_set() else next(filter(None, codes), 1)


async def _start(name: str, env: Mapping[str, str]) -> Process:
    """Start a program in a session of its own: Ctrl-C reaches this process only, which ends the programs once."""
    return await asyncio.create_subprocess_exec(*_MANYSERVE, name, env=env, start_new_session=True)


async def _end(program: Process) -> None:
    if program.returncode is not None:
        return
    program.terminate()
    try:
        async with asyncio.timeout(END_SECONDS):
            await program.wait()
    except TimeoutError:
        program.kill()
        await program.wait()


if __name__ == "__main__":
    main()
