"""The process of one worker: a whole gateway with its share of the connections. Started by the supervisor only.

    python -m gateway.runtime.worker CHANNEL PARENT

CHANNEL is the descriptor of its end of the socket pair, PARENT the process id of the supervisor. It ends on SIGTERM or
when the channel ends; and the kernel kills it when the supervisor is gone, so that no orphan ever holds a journal.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import sys
from typing import Final

import structlog

from gateway.bus.open import remove_journal
from gateway.model.faults import ConfigFault, Fault
from gateway.observe import log
from gateway.runtime.channel import Failure, Job, Report, receive_job
from gateway.runtime.gateway import Gateway
from gateway.runtime.loop import loop_factory

PR_SET_PDEATHSIG: Final = 1
FAILED: Final = 1


def main(arguments: list[str]) -> int:
    """Work until told to stop; returns the exit code."""
    channel, parent = map(int, arguments)
    end_with(parent)
    with socket.socket(fileno=channel) as connection:
        try:
            job = receive_job(connection)
        except EOFError:
            return FAILED
        log.configure(job.configuration.observe.log, job.configuration.observe.log_format)
        structlog.contextvars.bind_contextvars(worker=job.configuration.worker)
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            return runner.run(work(job, connection))


def end_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends, whatever ends it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before we had said so
        os._exit(FAILED)


async def work(job: Job, channel: socket.socket) -> int:
    """Run the gateway, answer questions, and say what ended it."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    reader, writer = await asyncio.open_unix_connection(sock=channel)
    gateway = Gateway(job.configuration)
    answering = asyncio.create_task(answer(gateway, reader, writer, stop), name="answers")
    emptying = asyncio.create_task(gateway.emptied(), name="leftover") if job.leftover else None
    if emptying is not None:
        emptying.add_done_callback(lambda _: stop.set())
    failure = None
    try:
        await gateway.run(stop, job.drain)
    except Exception as error:  # noqa: BLE001 - the supervisor starts another, and has to say why
        failure = failure_of(error)
        if failure.code == "bug":
            structlog.get_logger("gateway").error("worker_failed", exc_info=error)
    answering.cancel()
    emptied = emptying is not None and emptying.done() and emptying.exception() is None
    if emptying is not None:
        emptying.cancel()
    with contextlib.suppress(OSError):
        writer.write(Report(failure=failure).pack())
        writer.close()
        await writer.wait_closed()
    if failure is None and emptied:
        path = job.configuration.folder / job.configuration.bus.path
        await asyncio.to_thread(remove_journal, path)
        structlog.get_logger("gateway").info("journal_removed", path=str(path))
    return 0 if failure is None else FAILED


async def answer(
    gateway: Gateway, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stop: asyncio.Event
) -> None:
    """Answer questions until there are no more; then the supervisor is gone, and this worker stops."""
    with contextlib.suppress(OSError):
        while await reader.read(1):
            writer.write(Report(status=gateway.status()).pack())
            await writer.drain()
    stop.set()


def failure_of(error: BaseException) -> Failure:
    """Put what ended the gateway in words; of several, the first that only an operator can mend."""
    while isinstance(error, BaseExceptionGroup):
        error = next((one for one in error.exceptions if isinstance(one, ConfigFault)), error.exceptions[0])
    match error:
        case Fault():
            return Failure(error.code, str(error), isinstance(error, ConfigFault))
        case OSError():
            return Failure("system_error", str(error), permanent=False)
    return Failure("bug", f"{type(error).__name__}: {error}", permanent=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
