"""The whole gateway in one process: a real Modbus server, a real broker, a subscriber who counts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from adapters.modbus.simulator import Faults, Simulator
from gateway.bus import open_bus
from gateway.config.errors import ConfigErrors
from gateway.model.batch import Gap
from gateway.model.faults import ConfigFault, Fault
from gateway.model.quality import Quality
from gateway.observe.status import DeviceState
from gateway.runtime import Gateway, read_once
from gateway.runtime.making import load_configuration
from gateway.runtime.shards import share
from gateway.testing.broker import embedded_broker
from gateway.testing.subscriber import Subscriber

PLANT = """
gateway: {{id: plant}}
observe: {{http: "{http}"}}
bus: {{path: journal.db, linger: 20ms}}
connections:
  hall: {{adapter: modbus, host: 127.0.0.1, port: {port}, timeout: 300ms, retry: 200ms}}
profiles:
  press:
    adapter: modbus
    scan: 50ms
    tags:
      - {{name: oil, address: "hr:0", type: int16, scale: 0.1, unit: °C}}
      - {{name: count, address: "hr:1", type: uint32}}
      - {{name: program, address: "hr:10", type: string, length: 8}}
      - {{name: energy, address: "hr:20", type: int64, scan: 100ms}}
devices:
  press-1: {{connection: hall, profile: press, unit: 1}}
  press-2: {{connection: hall, profile: press, unit: 2}}
  spare: {{connection: hall, profile: press, unit: 3, enabled: false}}
lanes:
  platform:
    to: {{host: 127.0.0.1, port: {broker}}}
"""


def configure(folder: Path, port: int, broker: int, http: str = "off") -> Path:
    path = folder / "plant.yaml"
    path.write_text(PLANT.format(port=port, broker=broker, http=http), "utf-8")
    return path


class Books(Subscriber):
    """A subscriber that also counts values."""

    @property
    def values(self) -> int:
        return self.reader.report().points


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


def fill(simulator: Simulator, number: int) -> None:
    unit = simulator.unit(number)
    unit.holding[0] = 421
    unit.holding[1], unit.holding[2] = 0, 7
    for place, word in enumerate((0x4142, 0x4300)):
        unit.holding[10 + place] = word
    for place in range(4):
        unit.holding[20 + place] = (0x8000, 0, 0, 0)[place]


def with_gateway(
    tmp_path: Path, body: Callable[[Gateway, Simulator, Books], Awaitable[None]], units: tuple[int, ...] = (1, 2)
) -> Books:
    async def main() -> Books:
        async with embedded_broker() as broker, Simulator() as simulator:
            for number in units:
                fill(simulator, number)
            subscriber = Books()
            hearing = asyncio.create_task(subscriber.run("127.0.0.1", broker.port_v5))
            await subscriber.subscribed.wait()
            gateway = Gateway(load_configuration(configure(tmp_path, int(simulator.port), broker.port_v5)))
            stop = asyncio.Event()
            running = asyncio.create_task(gateway.run(stop, 5))
            try:
                await body(gateway, simulator, subscriber)
            finally:
                stop.set()
                await running
            committed = gateway.status().bus.points
            await until(lambda: subscriber.values >= committed)
            hearing.cancel()
            return subscriber

    return asyncio.run(main())


def test_from_machine_to_platform_and_to_people(tmp_path: Path) -> None:
    async def body(gateway: Gateway, simulator: Simulator, subscriber: Books) -> None:
        await until(lambda: [device.state for device in gateway.status().devices] == [DeviceState.UP] * 2)
        await until(lambda: subscriber.values >= 8)
        values = {(reading.device, reading.tag): reading for reading in gateway.values()}
        assert len(values) == 8
        assert (values["press-1", "oil"].value, values["press-1", "oil"].unit) == (42.1, "°C")
        assert values["press-2", "count"].value == 7
        assert values["press-2", "program"].value == "ABC"
        assert values["press-2", "energy"].value == -(2**63)
        before = subscriber.values
        simulator.unit(1).holding[0] = 500
        await until(lambda: subscriber.values > before)
        status = gateway.status()
        assert [device.name for device in status.devices] == ["press-1", "press-2"]
        assert status.bus.points == sum(device.points for device in status.devices)
        assert status.lanes[0].connected

    subscriber = with_gateway(tmp_path, body)
    report = subscriber.reader.report()
    assert report.missing == {}
    assert report.duplicates == 0


def test_a_device_that_goes_and_comes_back_is_told_to_the_platform(tmp_path: Path) -> None:
    async def body(gateway: Gateway, simulator: Simulator, subscriber: Books) -> None:
        def state(name: str) -> DeviceState | None:
            return {device.name: device.state for device in gateway.status().devices}.get(name)

        await until(lambda: state("press-1") is DeviceState.UP and state("press-2") is DeviceState.UP)
        simulator.unit(2).faults = Faults(silent=True)
        await until(lambda: state("press-2") is DeviceState.DOWN)
        assert state("press-1") is DeviceState.UP
        bad = [reading for reading in gateway.values() if reading.device == "press-2"]
        assert {reading.quality for reading in bad} == {Quality.TIMEOUT}
        assert {reading.value for reading in bad} == {None}
        simulator.unit(2).faults = None
        await until(lambda: state("press-2") is DeviceState.UP)

    with_gateway(tmp_path, body)


def test_read_once_past_bus_and_lanes(tmp_path: Path) -> None:
    async def main() -> None:
        async with Simulator() as simulator:
            fill(simulator, 1)
            simulator.unit(2).faults = Faults(silent=True)
            configuration = load_configuration(configure(tmp_path, int(simulator.port), 1))
            readings = await read_once(configuration)
            found = {(reading.device, reading.tag): reading for reading in readings}
            assert found["press-1", "oil"].value == 42.1
            assert found["press-2", "oil"].quality == Quality.TIMEOUT
            assert [reading.device for reading in await read_once(configuration, ["press-1"])] == ["press-1"] * 4
            with pytest.raises(ConfigFault, match="no device 'press-9'; the configuration has: press-1, press-2"):
                await read_once(configuration, ["press-9"])
        gone = await read_once(configuration, ["press-1"])
        assert {reading.quality for reading in gone} == {Quality.NOT_CONNECTED}
        assert not (tmp_path / "journal.db").exists()

    asyncio.run(main())


def test_a_port_in_use_ends_the_start_with_one_clear_message(tmp_path: Path) -> None:
    async def main() -> None:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            configuration = load_configuration(configure(tmp_path, 1, 1, f"127.0.0.1:{port}"))
            with pytest.raises(ConfigFault) as caught:
                await Gateway(configuration).run(asyncio.Event())
            assert caught.value.code == "port_in_use"

    asyncio.run(main())


def test_errors_name_their_place(tmp_path: Path) -> None:
    path = configure(tmp_path, 1, 1)
    path.write_text(path.read_text("utf-8").replace("type: uint32", "type: uint33"), "utf-8")
    with pytest.raises(ConfigErrors, match=r"plant\.yaml:13:\d+: .*type.*uint33"):
        load_configuration(path)


def test_empty_only_when_every_consumer_that_is_known_has_everything(tmp_path: Path) -> None:
    async def main() -> None:
        async with embedded_broker() as broker, Simulator() as simulator:
            configuration = load_configuration(configure(tmp_path, int(simulator.port), broker.port_v5))
            async with open_bus(configuration.bus, "plant", tmp_path) as bus:
                bus.consumer("switched-off")
                bus.declare(Gap("outage", 1, 2))
                await bus.flush()
            gateway = Gateway(share(configuration, 1, ()))
            stop = asyncio.Event()
            running = asyncio.create_task(gateway.run(stop, 5))
            await until(lambda: bool(gateway.status().lanes) and gateway.status().lanes[0].batches == 2)
            emptied = asyncio.create_task(gateway.emptied())
            done, _ = await asyncio.wait({emptied}, timeout=2)
            assert not done, "a lane that is switched off has not had it"
            stop.set()
            await running
            emptied.cancel()
            async with open_bus(configuration.bus, "plant", tmp_path) as bus:
                assert bus.stale_consumers() == ["platform", "switched-off"]
                bus.forget("switched-off")
            gateway = Gateway(share(configuration, 1, ()))
            stop = asyncio.Event()
            running = asyncio.create_task(gateway.run(stop, 5))
            await asyncio.wait_for(gateway.emptied(), 20)
            stop.set()
            await running

    asyncio.run(main())


def test_a_bus_that_cannot_go_on_ends_the_gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise MemoryError("no more")

    async def main() -> None:
        async with embedded_broker() as broker, Simulator() as simulator:
            fill(simulator, 1)
            fill(simulator, 2)
            gateway = Gateway(load_configuration(configure(tmp_path, int(simulator.port), broker.port_v5)))
            monkeypatch.setattr("gateway.bus.ledger.pack", broken)
            with pytest.raises(Fault, match="no more") as caught:
                async with asyncio.timeout(20):
                    await gateway.run(asyncio.Event(), 1)
            assert caught.value.code == "bus_failed"

    asyncio.run(main())
