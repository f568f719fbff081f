import asyncio
import json
import signal
import socket

import pytest
import uvloop
from prometheus_client.parser import text_string_to_metric_families

from gateway.model.faults import ConfigFault
from gateway.observe.http import serve_http
from gateway.observe.status import DeviceState, DeviceStatus, GatewayStatus, LaneStatus, WorkerStatus


def opened(**changes):
    status = GatewayStatus("hall-a", "0.1.0", 1, 2, **changes)
    status.bus.kind = "memory"
    return status


async def ask(address, path, *, method="GET", extra="", end="\r\n"):
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{extra}{end}".encode())
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode().lower(), body


def serve(status, use):
    async def main():
        async with serve_http("127.0.0.1:0", lambda: status) as address:
            return await use(address)

    return asyncio.run(main())


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_all_pages_in_both_loops(factory):
    status = opened(devices=[DeviceStatus("press-1", "c", DeviceState.UP, polls=3)])

    async def main():
        async with serve_http("127.0.0.1:0", lambda: status) as address:
            return [await ask(address, path) for path in ("/metrics", "/health/live", "/health/ready", "/status", "/x")]

    with asyncio.Runner(loop_factory=factory) as runner:
        metrics, live, ready, whole, other = runner.run(main())
    assert metrics[0] == 200
    assert "content-type: text/plain; version=0.0.4" in metrics[1]
    assert "xingsha_device_polls" in {family.name for family in text_string_to_metric_families(metrics[2].decode())}
    assert (live[0], json.loads(live[2])) == (200, {"status": "ok"})
    assert (ready[0], json.loads(ready[2])) == (200, {"ready": True, "gateway": "hall-a", "reasons": []})
    assert whole[0] == 200
    assert json.loads(whole[2])["devices"][0]["polls"] == 3
    assert other[0] == 404


def test_not_ready_until_the_bus_is_open():
    code, _, body = serve(GatewayStatus("g", "0", 0, 0), lambda address: ask(address, "/health/ready"))
    assert code == 503
    assert json.loads(body)["reasons"] == [{"concerns": "bus", "code": "bus_closed"}]


def test_a_dead_machine_or_platform_is_told_and_does_not_make_it_unready():
    status = opened(
        devices=[DeviceStatus("a", "c", DeviceState.DOWN, "no_answer"), DeviceStatus("b", "c"),
                 DeviceStatus("ok", "c", DeviceState.UP)],
        lanes=[LaneStatus("cloud", reason="auth_refused"), LaneStatus("new"), LaneStatus("fine", connected=True)],
    )  # fmt: skip
    status.bus.full = True
    code, _, body = serve(status, lambda address: ask(address, "/health/ready"))
    assert code == 200
    assert json.loads(body)["reasons"] == [
        {"concerns": "bus", "code": "bus_full"},
        {"concerns": "lane cloud", "code": "auth_refused"},
        {"concerns": "lane new", "code": "link_lost"},
        {"concerns": "device a", "code": "no_answer"},
        {"concerns": "device b", "code": "connecting"},
    ]


@pytest.mark.parametrize("down", [0, 1, 2])
def test_ready_when_all_workers_are_but_for_leftovers(down):
    workers = [WorkerStatus(number, "g", up=number > down, leftover=number == 1) for number in (1, 2)]
    status = opened(workers=workers)

    async def later():
        return status

    async def main():
        async with serve_http("127.0.0.1:0", later) as address:
            return await ask(address, "/health/ready"), await ask(address, "/status"), await ask(address, "/metrics")

    ready, whole, metrics = asyncio.run(main())
    reasons = [{"concerns": "worker 2", "code": "worker_down"}] if down == 2 else []
    assert ready[0] == (503 if reasons else 200)
    assert json.loads(ready[2]) == {"ready": not reasons, "gateway": "hall-a", "reasons": reasons}
    assert [one["number"] for one in json.loads(whole[2])["workers"]] == [1, 2]
    assert b'xingsha_worker_up{worker="2"}' in metrics[2]


def test_the_port_of_another_program():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        async def main():
            async with serve_http(address, lambda: opened()):
                pass

        with pytest.raises(ConfigFault, match="in use by another program") as caught:
            asyncio.run(main())
    assert caught.value.code == "port_in_use"


@pytest.mark.parametrize("address", ["192.0.2.1:9180", "no.such.host.invalid:9180", "127.0.0.1:99999"])
def test_an_address_that_cannot_be_had(address):
    async def main():
        async with serve_http(address, lambda: opened()):
            pass

    with pytest.raises(ConfigFault, match="cannot listen on") as caught:
        asyncio.run(main())
    assert caught.value.code == "address_unusable"


def test_ipv6():
    async def main():
        async with serve_http("[::1]:0", lambda: opened()) as address:
            assert address.startswith("[::1]:")
            return await ask(address, "/health/live")

    assert asyncio.run(main())[0] == 200


def test_the_port_is_free_again_afterwards():
    async def main():
        async with serve_http("127.0.0.1:0", lambda: opened()) as address:
            await ask(address, "/health/live")
        async with serve_http(address, lambda: opened()) as again:
            assert again == address
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_a_scraper_that_stays_connected_does_not_hold_up_the_end():
    async def main():
        async with serve_http("127.0.0.1:0", lambda: opened()) as address:
            host, _, port = address.rpartition(":")
            _, writer = await asyncio.open_connection(host, int(port))
            await asyncio.sleep(0.05)
        writer.close()

    async def in_time():
        await asyncio.wait_for(main(), 10)

    asyncio.run(in_time())


def test_signals_stay_with_the_gateway():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    async def main():
        inside = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        async with serve_http("127.0.0.1:0", lambda: opened()):
            assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == inside

    asyncio.run(main())
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_what_it_does_not_take():
    async def use(address):
        post = await ask(address, "/status", method="POST")
        long = await ask(address, "/status", extra=f"X-Long: {'a' * 20_000}", end="")
        after = await ask(address, "/health/live")
        return post[0], long[0], after[0]

    assert serve(opened(), use) == (405, 400, 200)
