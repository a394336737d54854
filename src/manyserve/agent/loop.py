"""The loop: look at the config, the server and the disk; decide; let workers do it; report. For ever.

Looking is cheap and happens all the time; deciding happens when something changed, when a time has come, every
second while anything is unfinished, and now and then anyway. Nothing depends on having seen an event: a pass
over an unchanged world does nothing, and a pass after any accident does what is missing.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from manyserve.agent import reconcile
from manyserve.agent.config import Config, ConfigFile
from manyserve.agent.index_poller import DUTY_FACTOR
from manyserve.agent.job import AgentContext, Job
from manyserve.agent.readiness import ReadinessGate
from manyserve.agent.report import ReportBuilder, ReportPublisher
from manyserve.agent.worker import work
from manyserve.api import agentenv
from manyserve.api.errors import StartupError

log = logging.getLogger("manyserve.agent")

_GATHER_SECONDS = 0.01  # what changes together is decided together
_BUSY_SECONDS, _QUIET_SECONDS = 1.0, 30.0  # between two passes at the most


class Agent:
    """The agent of one pod."""

    def __init__(self, shop: AgentContext) -> None:
        self.board = ReportPublisher()
        self.beat = shop.clock()
        self._shop = shop
        self._world = shop.world
        self._file = ConfigFile(shop.settings.config_file)
        self._config: Config | None = None
        self._reports = ReportBuilder()
        self._settling = ReadinessGate(shop.store, shop.settings.settle_seconds)
        self._jobs: dict[str, tuple[Job, asyncio.Task[None]]] = {}

    async def run(self) -> None:
        """Run until cancelled. Raises `StartupError` when the volume cannot be used."""
        try:
            await asyncio.to_thread(self._shop.store.open)
        except OSError as error:
            raise StartupError(f"{agentenv.STORE_DIR} cannot be used: {error}") from error
        await self._settling.open()
        self._world.rescan()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch_config())
                group.create_task(self._watch_server())
                group.create_task(self._decide())
                group.create_task(self._settling.write_down())
        finally:
            await self._stop()

    async def _stop(self) -> None:
        """End all work; only threads that write to the volume are waited for."""
        tasks = [task for _, task in self._jobs.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch_config(self) -> None:
        """Look at the config file; how late the look comes tells how busy the loop is."""
        pause = self._shop.settings.config_poll_seconds
        while True:
            if self._file.look():
                self._config_changed()
            due = self._shop.clock() + pause
            await asyncio.sleep(pause)
            self._shop.metrics.lag.set(max(0.0, self._shop.clock() - due))

    def _config_changed(self) -> None:
        if self._file.error:
            log.error("the config in force is kept: %s", self._file.error)
        config = self._file.config
        if config and config is not self._config:
            self._config = config
            self._shop.metrics.config_time.set(self._shop.wall())
            self._world.set_desired(config)
        self._world.changed.set()

    async def _watch_server(self) -> None:
        """Look at the server's index and at the disk, whatever happens."""
        await self._world.looks.run(self._shop.settings.index_poll_seconds, self._look_at_disk)

    def _look_at_disk(self) -> None:
        try:
            self._world.rescan()
        except OSError:
            log.exception("the volume cannot be listed")

    async def _decide(self) -> None:
        """Pass after pass; what changes soon after one waits, so that deciding takes a tenth of the time at most."""
        while True:
            self._world.changed.clear()
            self.beat = self._shop.clock()
            self._pass(self.beat)
            rest = min(max(_GATHER_SECONDS, DUTY_FACTOR * (self._shop.clock() - self.beat)), _BUSY_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(max(rest, self._until_due())):
                    await self._world.changed.wait()
                    await asyncio.sleep(self.beat + rest - self._shop.clock())

    def _until_due(self) -> float:
        """Return the seconds until the next pass, if nothing changes."""
        unfinished = self._jobs or not self.board.report.settled or self.board.report.config_error
        return min(_BUSY_SECONDS if unfinished else _QUIET_SECONDS, reconcile.next_check(self._world.seen, self.beat))

    def _pass(self, now: float) -> None:
        """Stop what is not wanted any more, start what is missing, report."""
        for job, task in self._jobs.values():
            if job.superseded and job.cancellable:
                job.cancellable = False  # once: a second time would interrupt the tidying up
                task.cancel()
        if self._file.config:
            for name, steps in reconcile.plan(self._world.seen, now).items():
                if name not in self._jobs:
                    self._start(name, steps)
        self._report()

    def _start(self, name: str, steps: tuple[reconcile.Step, ...]) -> None:
        job = Job(self._shop, name, self._world.wanted.get(name))
        task = asyncio.get_running_loop().create_task(work(job, steps))
        self._jobs[name] = (job, task)
        task.add_done_callback(lambda _: self._ended(job))

    def _ended(self, job: Job) -> None:
        del self._jobs[job.name]
        left = reconcile.steps_for(job.name, self._world.seen, self._shop.clock())
        log.log(job.level, "completion event for model %s, in flight ops %d", job.name, len(left))
        self._world.changed.set()

    def _report(self) -> None:
        world, config = self._world, self._file.config
        seen, old = world.seen, self.board.report.models
        work = {name: job.progress for name, (job, _) in self._jobs.items()}
        slow = [name for name, (job, _) in self._jobs.items() if job.slow]
        models = self._reports.of(seen, work)
        changed = self.board.post(
            config=config.hash if config else "",
            config_error=self._file.error,
            server_ready=world.index is not None,
            settled=self._settling.is_over(config.entries if config else None, seen, self._shop.clock(), slow),
            models=old if old == models else models,
        )
        if changed:
            self._shop.metrics.reported(self.board.report)
