"""`xingsha tail`: what arrives at the platform, as it comes, with gaps, duplicates and holes made visible."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from gateway.cli.read import plain, show
from gateway.cli.run import duration, loop_factory
from gateway.model.faults import Fault
from gateway.model.quality import is_good, quality_label
from gateway.reader import Declared, DeviceRow, Duplicate, Event, Frames, Malformed, Reader, Status

PASSWORD: Final = "XINGSHA_PASSWORD"  # noqa: S105 - the name of the variable, not its value
AGAIN: Final = 1.0
"""Seconds before a lost connection is tried again."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where to listen, and for what."""

    host: str
    port: int
    topic: str
    username: str | None = None
    password: str | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("tail")
    def tail(
        host: Annotated[str, typer.Option("--host", help="Name or address of the broker.")] = "127.0.0.1",
        port: Annotated[int | None, typer.Option("--port", min=1, max=65535, help="1883; 8883 with --ca.")] = None,
        topic: Annotated[str, typer.Option("--topic", "-t", help="Topic filter.")] = "xingsha/v1/#",
        device: Annotated[
            list[str] | None, typer.Option("--device", "-d", help="This device only; repeatable.")
        ] = None,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line, for programs.")] = False,
        limit: Annotated[
            float, typer.Option("--for", parser=duration, metavar="DURATION", help="End after this time; 0s: never.")
        ] = 0.0,
        count: Annotated[int, typer.Option("--count", "-n", min=0, help="End after so many values; 0: never.")] = 0,
        username: Annotated[str | None, typer.Option("--username", "-u", help=f"Password: in ${PASSWORD}.")] = None,
        ca: Annotated[Path | None, typer.Option("--ca", help="Use TLS, and trust this authority (PEM file).")] = None,
        cert: Annotated[Path | None, typer.Option("--cert", help="Own certificate (PEM file).")] = None,
        key: Annotated[Path | None, typer.Option("--key", help="Its private key (PEM file).")] = None,
    ) -> None:
        """Follow what arrives at the platform: every value as it comes, and whatever is not as it should be.

        Values go to standard output; gaps, duplicates and batches that are missing, and the account at the end, to
        standard error.
        """
        source = Source(host, port or (8883 if ca else 1883), topic, username, os.environ.get(PASSWORD), ca, cert, key)
        printer = Printer(frozenset(device or ()), as_json=as_json, count=count)
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            try:
                runner.run(follow(source, printer, limit))
            except KeyboardInterrupt:
                sys.stderr.write("\n")
        printer.summary()


@dataclass(slots=True)
class Printer:
    """Turns events into lines; knows when it has printed enough."""

    devices: frozenset[str]
    as_json: bool = False
    count: int = 0
    out: Callable[[str], None] = lambda line: print(line, flush=True)
    err: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True)
    reader: Reader = field(default_factory=Reader)
    printed: int = 0
    connected: bool = False
    """True once there was a connection."""
    _missing: dict[tuple[str, int], list[tuple[int, int]]] = field(default_factory=dict)

    @property
    def enough(self) -> bool:
        """True when as many values have been printed as were asked for."""
        return 0 < self.count <= self.printed

    def take(self, topic: str, payload: bytes) -> None:
        """Print what a message says."""
        for event in self.reader.feed(topic, payload):
            for line in self._notes(event):
                self.err(f"! {line}")
            if isinstance(event, Frames):
                self._values(event)
                self._holes(event.gateway, event.epoch)

    def summary(self) -> None:
        """Print the account."""
        report = self.reader.report()
        self.err(
            f"{report.points} values in {report.batches} batches, {report.lost} missing, {report.gaps} gaps declared, "
            f"{report.duplicates} duplicates, {report.malformed} unreadable"
        )

    def _values(self, event: Frames) -> None:
        for row in event.rows():
            if self.enough:
                return
            if not self.devices or row.device in self.devices:
                self.out(_json(event, row) if self.as_json else _text(row))
                self.printed += 1

    def _holes(self, gateway: str, epoch: int) -> None:
        """Say which batches are missing, once each time that changes."""
        missing = self.reader.journal(gateway, epoch).missing()
        if missing != self._missing.get((gateway, epoch), []):
            self._missing[gateway, epoch] = missing
            ranges = ", ".join(f"{first}" if first == last else f"{first}–{last}" for first, last in missing)
            self.err(f"! {gateway}: missing: {ranges}" if missing else f"! {gateway}: nothing is missing any more")

    def _notes(self, event: Event) -> Iterator[str]:
        match event:
            case Declared(gateway, gap):
                parts = [f"{show(gateway)}: gap ({show(gap.reason)})", gap.device, gap.group]
                parts.append(f"{_time(gap.since)} to {_time(gap.until)}")
                if gap.count:
                    parts.append(f"{gap.count} missing")
                if gap.first_seq:
                    parts.append(f"batches {gap.first_seq}–{gap.last_seq}")
                yield " ".join(show(part) for part in (*parts, gap.detail) if part)
            case Duplicate(gateway, epoch, seq, part):
                yield f"{show(gateway)}: duplicate of batch {epoch}/{seq}, part {part}"
            case Malformed(topic, reason):
                yield f"{show(topic)}: cannot be read: {show(reason)}"
            case Status(_, record):
                yield json.dumps(record)


async def follow(source: Source, printer: Printer, limit: float) -> None:
    """Print until ``limit`` seconds are over (0: for ever) or the printer has had enough. Reconnects by itself.

    Raises Fault when the first connection cannot be made.
    """
    try:
        async with asyncio.timeout(limit or None):
            while not printer.enough:
                try:
                    await _listen(source, printer)
                except Fault as fault:
                    if not printer.connected:
                        raise
                    printer.err(f"! {fault}")
                    await asyncio.sleep(AGAIN)
    except TimeoutError:
        return


async def _listen(source: Source, printer: Printer) -> None:
    import aiomqtt
    from paho.mqtt.reasoncodes import ReasonCode

    from gateway.sinks.mqtt.codes import connect_fault, transport_fault
    from gateway.sinks.mqtt.config import TlsConfig
    from gateway.sinks.mqtt.tls import tls_context

    where = f"{source.host}:{source.port}"
    tls = tls_context(TlsConfig(ca=source.ca, cert=source.cert, key=source.key), Path()) if source.ca else None
    client = aiomqtt.Client(
        source.host, source.port, username=source.username, password=source.password, tls_context=tls, timeout=5
    )
    try:
        async with client:
            await client.subscribe(source.topic, qos=1)
            printer.connected = True
            async for message in client.messages:
                printer.take(str(message.topic), bytes(message.payload))
                if printer.enough:
                    return
    except aiomqtt.MqttError as error:
        code = error.rc if isinstance(error, aiomqtt.MqttCodeError) else None
        if isinstance(code, ReasonCode):
            raise connect_fault(code.value, str(code)) from error
        raise transport_fault(error.__context__ if isinstance(error.__context__, OSError) else error, where) from error
    finally:
        if tls is not None:
            tls.close()


def _text(row: DeviceRow) -> str:
    value = f"{row.value:.10g}" if isinstance(row.value, float) else show(row.value)
    quality = "" if is_good(row.quality) else f"[{quality_label(row.quality)}]"
    parts = (_time(row.time), show(row.device), show(row.tag), f"{value} {show(row.unit)}".strip(), quality)
    return "  ".join(filter(None, parts))


def _json(event: Frames, row: DeviceRow) -> str:
    record: dict[str, Any] = {"gateway": event.gateway, "epoch": event.epoch, "seq": event.seq}
    record |= row._asdict() | {"value": plain(row.value), "quality": quality_label(row.quality)}
    return json.dumps(record, ensure_ascii=False)


def _time(time: int) -> str:
    """Milliseconds are enough for people. 0, which a json payload's rows have, is no time at all."""
    if not time:
        return ""
    try:
        return f"{datetime.fromtimestamp(time / 1e9, UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3]
    except (ValueError, OverflowError, OSError):
        return str(time)
