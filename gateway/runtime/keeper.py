"""Keeps one worker at work: starts its process, starts it again when it ends by itself, asks it how it is, stops it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Final

import structlog

from gateway.config.root import Configuration
from gateway.model.faults import ConfigFault
from gateway.observe.status import DeviceState, DeviceStatus, GatewayStatus, WorkerStatus
from gateway.runtime.channel import QUESTION, Failure, Job, receive_report

log = structlog.get_logger("supervisor")

FIRST_WAIT: Final = 0.2
"""Seconds before a worker is started again: a crash that does not come back should cost few polls …"""
LONGEST_WAIT: Final = 30.0
"""… and one that does, little CPU: the wait doubles up to here."""
STEADY: Final = 60.0
"""Seconds of work after which the next crash counts as the first one again."""
FAILED: Final = 1
ANSWER: Final = 3.0
"""Seconds that a worker may take to say how it is."""


class Keeper:
    """See the module. `run` it once; ``configuration`` is the share of its worker."""

    def __init__(self, configuration: Configuration, *, leftover: bool = False) -> None:
        self.configuration = configuration
        self.status = WorkerStatus(configuration.worker, configuration.gateway.id, leftover=leftover)
        self.done = False
        """True when a leftover has nothing left to do."""
        self._last: GatewayStatus | None = None
        self._failure: Failure | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._asked: asyncio.Future[bool] | None = None
        self._log = log.bind(worker=configuration.worker)

    async def run(self, stop: asyncio.Event, drain: float) -> None:
        """Keep it at work until ``stop``; then have it drain. Cancelled: it is killed.

        Raises ConfigFault when it cannot even begin until somebody edits the configuration.
        """
        job = Job(self.configuration, drain, self.status.leftover)
        frame = await asyncio.to_thread(job.pack)
        told = asyncio.create_task(stop.wait(), name=f"worker {self.status.number} stop")
        wait = FIRST_WAIT
        try:
            while not stop.is_set():
                began = monotonic()
                try:
                    code = await self._live(frame, told)
                except OSError as error:  # no process to be had: no memory, no descriptors; later, perhaps
                    code, self._failure = FAILED, Failure("system_error", str(error), permanent=False)
                if stop.is_set():
                    return
                if self._settled(code):
                    self.done = True
                    return
                wait = FIRST_WAIT if monotonic() - began > STEADY else wait
                failure = self._failure or Failure("worker_down", _ended(code), permanent=False)
                self._log.error(
                    "worker_ended", how=_ended(code), reason=failure.code, message=failure.message, again_seconds=wait
                )
                await asyncio.wait({told}, timeout=wait)
                wait = min(2 * wait, LONGEST_WAIT)
                self.status.restarts += 1
        finally:
            told.cancel()

    @property
    def clock_trusted(self) -> bool:
        """False when the worker last said that nobody vouches for the clock."""
        return self._last is None or self._last.clock_trusted

    async def ask(self) -> tuple[WorkerStatus, list[DeviceStatus]]:
        """Ask it how it and its devices are. When it does not say: as it was last, and down."""
        status = self.status
        status.up = await self._answers()
        if status.up:
            status.cpu_seconds, status.memory_bytes = usage(status.pid)
        last = self._last
        if last is None:
            names = self.configuration.devices.items()
            devices = [DeviceStatus(name, device.config.connection) for name, device in names if device.config.enabled]
        else:
            status.lanes, status.bus, devices = last.lanes, last.bus, last.devices
        status.devices = len(devices)
        if not status.up:
            devices = [replace(device, state=DeviceState.DOWN, reason="worker_down") for device in devices]
            status.lanes = [replace(lane, connected=False, reason="worker_down") for lane in status.lanes]
        return status, devices

    def _settled(self, code: int) -> bool:
        """True when there is no use in starting it again. Raises ConfigFault when that concerns the whole gateway."""
        failure, leftover = self._failure, self.status.leftover
        if leftover and code == 0:
            self._log.info("leftover_done")
            return True
        if failure is None or not failure.permanent or self.status.restarts:
            return False
        if not leftover:
            raise ConfigFault(failure.message, code=failure.code)
        self._log.warning("leftover_refused", reason=failure.code, message=failure.message)
        return True

    async def _live(self, job: bytes, told: asyncio.Task[bool]) -> int:
        """Live through one process; returns its exit code."""
        self._failure = None
        process, writer, reader = await self._start()
        self._writer, self.status.pid = writer, process.pid
        hearing = asyncio.create_task(self._hear(reader), name=f"worker {self.status.number} reports")
        ended = asyncio.create_task(process.wait(), name=f"worker {self.status.number} process")
        try:
            writer.write(job)
            await asyncio.wait({ended, told}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                _signal(process, signal.SIGTERM)
            code = await ended
            await hearing
        finally:
            if not ended.done() or ended.cancelled():
                _signal(process, signal.SIGKILL)
                await process.wait()
            self._writer, self.status.pid = None, 0
            hearing.cancel()
            writer.close()
        return code

    async def _start(self) -> tuple[Process, asyncio.StreamWriter, asyncio.StreamReader]:
        ours, theirs = socket.socketpair()
        descriptor = theirs.fileno()
        command = [sys.executable, "-m", "gateway.runtime.worker", str(descriptor), str(os.getpid())]
        with theirs:
            try:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    pass_fds=[descriptor],
                    stdin=DEVNULL,
                    start_new_session=True,  # Ctrl-C is for the supervisor alone
                )
            except OSError:
                ours.close()
                raise
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        self._log.info("worker_started", pid=process.pid, leftover=self.status.leftover)
        return process, writer, reader

    async def _hear(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                report = await receive_report(reader)
                self._failure = report.failure
                if report.status is not None:
                    self._last = report.status
                    self._tell(answered=True)
        self._writer = None  # whoever asks from now on is told at once
        self._tell(answered=False)

    def _tell(self, *, answered: bool) -> None:
        if self._asked is not None and not self._asked.done():
            self._asked.set_result(answered)
        self._asked = None

    async def _answers(self) -> bool:
        """Ask, with everybody else who asks now. True when it answers in time, and is at work."""
        if self._writer is None:
            return False
        if self._asked is None:
            self._asked = asyncio.get_running_loop().create_future()
            self._writer.write(QUESTION)
        try:
            answered = await asyncio.wait_for(asyncio.shield(self._asked), ANSWER)
        except TimeoutError:
            return False
        return answered and self._last is not None and bool(self._last.bus.kind)


def usage(pid: int) -> tuple[float, int]:
    """CPU seconds, user and system, and resident bytes of a process; zeros when it is gone."""
    folder = Path("/proc") / str(pid)
    try:
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        pages = int((folder / "statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0, 0
    ticks = int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE")


def _signal(process: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


def _ended(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"ended by {signal.Signals(-code).name}"
    return f"ended with {code}"
