"""The reconcile loop: observe the config, the server and the disk; plan; start jobs; report.

Observation is cheap and continuous. A pass of the loop runs after a change, when a retry is due, every
`_BUSY_SECONDS` while anything is unfinished, and every `_IDLE_SECONDS` otherwise. The loop is level-triggered:
a pass over an unchanged state does nothing, and a pass after a crash starts the missing work.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from manyserve.agent import reconcile, suspects
from manyserve.agent.config import Config, ConfigFile
from manyserve.agent.job import AgentContext, Job
from manyserve.agent.prepare import judge_found
from manyserve.agent.readiness import ReadinessGate
from manyserve.agent.report import ReportBuilder, ReportPublisher
from manyserve.agent.routes.routing import LONGEST_LEAVE
from manyserve.agent.state import DUTY_FACTOR
from manyserve.agent.worker import work
from manyserve.api import agentenv
from manyserve.api.agentreport import MOST_STUCK
from manyserve.api.errors import StartupError

log = logging.getLogger("manyserve.agent")

_BATCH_SECONDS = 0.01  # changes within this time share one pass
_BUSY_SECONDS, _IDLE_SECONDS = 1.0, 30.0  # longest time between two passes


class Agent:
    """The agent of one pod."""

    def __init__(self, context: AgentContext) -> None:
        self.publisher = ReportPublisher(context.instance)
        self.last_pass = context.clock()
        """Monotonic time of the last pass, for the liveness probe."""
        self._context = context
        self._state = context.state
        self._file = ConfigFile(context.settings.config_file)
        self._config: Config | None = None
        self._configured = asyncio.Event()
        """Set once there is a config."""
        self._reports = ReportBuilder()
        settings = context.settings
        self._removal_seconds = settings.unload_seconds + (LONGEST_LEAVE if settings.routers else 0.0)
        self._readiness = ReadinessGate(context.store, settings.settle_seconds, settings.silence_seconds)
        self._jobs: dict[str, tuple[Job, asyncio.Task[None]]] = {}

    async def run(self) -> None:
        """Run until cancelled. Raises `StartupError` when the volume cannot be used."""
        try:
            await asyncio.to_thread(self._context.store.open)
        except OSError as error:
            raise StartupError(f"{agentenv.STORE_DIR} cannot be used: {error}") from error
        await self._readiness.restore()
        self._state.unjudged = await asyncio.to_thread(self._context.store.load_records.all)
        self._state.rescan()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._poll_config())
                group.create_task(self._poll_server())
                group.create_task(self._reconcile())
                group.create_task(self._readiness.persist())
                group.create_task(self._judge_found())
        finally:
            await self._stop()

    def hold(self, seconds: float) -> None:
        """Keep a new pod unready until so many seconds after the server's first answer, as the operator asks."""
        if self._readiness.hold(seconds, self._context.clock()):
            self._state.changed.set()

    async def _stop(self) -> None:
        """Cancel all jobs; wait only for threads that write to the volume."""
        tasks = [task for _, task in self._jobs.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _poll_config(self) -> None:
        """Poll the config file; the delay of each poll is the lag of the event loop."""
        interval = self._context.settings.config_poll_seconds
        while True:
            if self._file.refresh():
                self._on_config_change()
            due = self._context.clock() + interval
            await asyncio.sleep(interval)
            self._context.metrics.lag.set(max(0.0, self._context.clock() - due))

    async def _judge_found(self) -> None:
        """Judge the files of the first config that an earlier agent has left on the volume."""
        await self._configured.wait()
        try:
            await judge_found(self._context)
        except OSError:
            log.exception("the files on the volume cannot be judged")

    def _on_config_change(self) -> None:
        if self._file.error:
            log.error("the config in force is kept: %s", self._file.error)
        config = self._file.config
        if config and config is not self._config:
            self._config = config
            self._context.metrics.config_time.set(self._context.unix_time())
            self._state.set_desired(config)
            self._configured.set()
        self._state.changed.set()

    async def _poll_server(self) -> None:
        """Poll the server's index, and scan the disk after each poll, failed or not."""
        await self._state.poller.run(self._context.settings.index_poll_seconds, self._scan_disk)

    def _scan_disk(self) -> None:
        try:
            self._state.rescan()
        except OSError:
            log.exception("the volume cannot be listed")

    async def _reconcile(self) -> None:
        """Run pass after pass; a change soon after a pass waits, so that passes take a tenth of the time at most."""
        while True:
            self._state.changed.clear()
            self.last_pass = self._context.clock()
            self._pass(self.last_pass)
            rest = min(max(_BATCH_SECONDS, DUTY_FACTOR * (self._context.clock() - self.last_pass)), _BUSY_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(max(rest, self._seconds_until_due())):
                    await self._state.changed.wait()
                    await asyncio.sleep(self.last_pass + rest - self._context.clock())

    def _seconds_until_due(self) -> float:
        """Return the seconds until the next pass, if nothing changes."""
        unfinished = (
            self._jobs
            or self._state.removals.pending
            or not self.publisher.report.settled
            or self.publisher.report.config_error
        )
        longest = _BUSY_SECONDS if unfinished else _IDLE_SECONDS
        return min(longest, reconcile.next_check(self._state.observed, self.last_pass))

    def _pass(self, now: float) -> None:
        """Cancel superseded jobs, judge loads without a result, start missing jobs, report."""
        for job, task in self._jobs.values():
            if job.is_superseded and job.cancellable:
                job.cancellable = False  # a second cancellation would interrupt the cleanup
                task.cancel()
        suspects.judge(self._context)
        if self._file.config:
            self._state.removals.update(self._state.observed, now, self._removal_seconds)
            for name, steps in reconcile.plan(self._state.observed, now).items():
                if name not in self._jobs:
                    self._start(name, steps)
        self._report()

    def _start(self, name: str, steps: tuple[reconcile.Step, ...]) -> None:
        job = Job(self._context, name, self._state.desired.get(name))
        task = asyncio.get_running_loop().create_task(work(job, steps))
        self._jobs[name] = (job, task)
        task.add_done_callback(lambda _: self._on_job_end(job))

    def _on_job_end(self, job: Job) -> None:
        del self._jobs[job.name]
        remaining = reconcile.steps_for(job.name, self._state.observed, self._context.clock())
        log.log(job.log_level, "completion event for model %s, in flight ops %d", job.name, len(remaining))
        self._state.changed.set()

    def _report(self) -> None:
        state, config = self._state, self._file.config
        observed, previous = state.observed, self.publisher.report.models
        progress = {name: job.progress for name, (job, _) in self._jobs.items()}
        routed = self._context.routing.routed() if self._context.settings.routers else None
        models = self._reports.build(observed, progress, state.contents, routed)
        entries = config.entries if config else None
        if self._context.settings.routers:
            self._context.routing.table.update(models if config else None, observed)
        changed = self.publisher.publish(
            config=config.hash if config else "",
            config_error=self._file.error,
            server_ready=state.index is not None,
            settled=self._readiness.update(entries, observed, self._context.clock()),
            not_unloaded=state.removals.not_unloaded(observed),
            stuck_loads=tuple(state.stuck_loads(self._context.settings.unfinished_loads)[:MOST_STUCK]),
            models=previous if previous == models else models,
        )
        if changed:
            self._context.metrics.on_report(self.publisher.report)
