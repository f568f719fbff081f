"""A subscriber at the platform that keeps the books: what came, what is missing, what came twice.

As a program it shows the latest values and the account: ``python -m gateway.testing.subscriber --for 10s``.
Exit code 0: values came, and no batch between the first and the last was missing.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress

import aiomqtt

from gateway.config.fields import parse_duration
from gateway.model.faults import LinkLost
from gateway.model.quality import is_good, quality_label
from gateway.reader import DeviceRow, Event, Frames, Reader, Report

TOPICS = "xingsha/v1/+/#"


class Subscriber:
    """Receives every message of the gateways at one MQTT 5 broker."""

    def __init__(self, hear: Callable[[Event], object] = id) -> None:
        """``hear`` is called with every event that the reader finds in a message."""
        self.reader = Reader()
        self.subscribed = asyncio.Event()
        self._hear = hear
        self._news = asyncio.Event()

    async def run(self, host: str, port: int, topics: str = TOPICS) -> None:
        """Receive until cancelled. Raises LinkLost when the broker cannot be had or goes away."""
        try:
            async with aiomqtt.Client(host, port, protocol=aiomqtt.ProtocolVersion.V5) as client:
                await client.subscribe(topics, qos=1)
                self.subscribed.set()
                async for message in client.messages:
                    self._take(message)
        except aiomqtt.MqttError as error:
            raise LinkLost(f"broker {host}:{port}: {error}") from error

    def _take(self, message: aiomqtt.Message) -> None:
        if isinstance(message.payload, bytes):
            for event in self.reader.feed(str(message.topic), message.payload):
                self._hear(event)
            self._news.set()

    async def until(self, batches: int) -> None:
        """Wait until so many batches have come."""
        while self.reader.report().batches < batches:
            self._news.clear()
            await self._news.wait()


def main() -> int:
    """Receive for a while, show values and account; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m gateway.testing.subscriber", description="Receive what gateways deliver, and keep the books."
    )
    parser.add_argument("--host", default="127.0.0.1", help="the broker")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--for", dest="seconds", type=parse_duration, default=10.0, metavar="DURATION")
    options = parser.parse_args()
    latest: dict[tuple[str, str], DeviceRow] = {}

    def hear(event: Event) -> None:
        if isinstance(event, Frames):
            latest.update(((row.device, row.tag), row) for row in event.rows())

    subscriber = Subscriber(hear)
    try:
        asyncio.run(_receive(subscriber, options.host, options.port, options.seconds))
    except LinkLost as fault:
        sys.stderr.write(f"error [{fault.code}]: {fault}\n")
        return 1
    report = subscriber.reader.report()
    sys.stdout.write("".join(f"{_text(row)}\n" for _, row in sorted(latest.items())) + account(report) + "\n")
    return 0 if report.points and not report.lost else 1


def account(report: Report) -> str:
    """Return the account of a report in one line."""
    return (
        f"{report.batches:,} batches · {report.points:,} values · lost {report.lost:,} · "
        f"duplicates {report.duplicates:,} · gaps declared {report.gaps:,}"
    )


def _text(row: DeviceRow) -> str:
    value = row.value if is_good(row.quality) else f"{row.value} ({quality_label(row.quality)})"
    return f"{row.device:<16}{row.tag:<24}{value} {row.unit}".rstrip()


async def _receive(subscriber: Subscriber, host: str, port: int, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(subscriber.run(host, port), seconds)


if __name__ == "__main__":
    sys.exit(main())
