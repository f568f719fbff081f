"""Against an implementation of others: the reference agent (cppagent), fed by a machine that speaks SHDR."""

import asyncio

import pytest

from adapters.mtconnect.tests.conftest import until
from adapters.mtconnect.tests.reference import agent_at_work, moment, needs_agent
from gateway.sdk import LinkLost, OutOfStep, ProtocolFault
from gateway.testing.chaos import ChaosLink, Mischief

pytestmark = needs_agent

CHANGES = 4000


def counted(kit):
    """Feeds of what `Feeder.count` feeds."""
    lathe = kit.feed(kit.tag("parts", "int64"), kit.tag("Xabs"), device="lathe")
    return lathe, kit.feed(kit.tag("p_force", "int32"))


def told(feed, name):
    """Value and time of one tag, as told; what a new session tells of the present, once more, is left out."""
    found = []
    for values, time, replayed in feed.samples:
        if name in values and (replayed or not found or found[-1] != (values[name], time)):
            found.append((values[name], time))
    return found


def check(lathe, press, last, first=1):
    """All has arrived, in order, nothing twice, with its time."""
    numbers = range(first, last + 1)
    unknown = ["not_available"] if first == 1 else []
    for feed, name, factor in ((lathe, "parts", 1), (lathe, "Xabs", 0.25), (press, "p_force", 2)):
        found = [one for one in told(feed, name) if one[0] not in unknown]
        assert found == [(number * factor, moment(number)) for number in numbers], name


def test_probe_and_browse(run, kit, tmp_path):
    async def work():
        async with agent_at_work(tmp_path) as agent:
            made = kit.adapter(agent)
            found = await made.probe(kit.device(device="lathe"))
            told = dict(found.identity)
            assert (found.outcome, "missing" in told) == ("ok", False)
            assert {"lathe", "press"} <= set(told["devices"].split(", "))
            nodes = {node.address: node async for node in made.browse(kit.device(device="lathe"))}
            path = "lathe/controller/path"
            expected = {
                "l_avail": ("lathe/avail", "string", ""), "l_x": (f"{path}/Xabs", "float64", "mm"),
                "l_exec": (f"{path}/exec", "string", ""), "l_parts": (f"{path}/parts", "int64", ""),
                "l_msg": (f"{path}/msg", "string", ""), "l_at": (f"{path}/at", "string", ""),
                "l_volts": (f"{path}/volts", "string", ""), "l_sys": (f"{path}/sys", "string", ""),
            }  # fmt: skip
            assert {name: (nodes[name].path, nodes[name].type, nodes[name].unit) for name in expected} == expected
            assert (nodes[""].path, nodes[""].type) == (f"{path}/vars", None)
            press = [node.address async for node in made.browse(kit.device(device="uuid-press"))]
            assert {"p_avail", "p_force"} <= set(press)
            assert not set(press) & set(nodes)

    run(work)


def test_values_and_their_times(run, kit, tmp_path):
    async def work():
        async with agent_at_work(tmp_path) as agent:
            feeder = agent.feeder
            kinds = {"Xabs": "float64", "exec": "string", "parts": "int64", "msg": "string", "at": "string"}
            kinds |= {"volts": "string", "vars": "string", "sys": "string"}
            feed = kit.feed(*(kit.tag(name, kind) for name, kind in kinds.items()), device="lathe")
            press = kit.feed(kit.tag("force", "int16"), kit.tag("Xabs"), device="press")
            async with kit.subscribed(kit.adapter(agent), feed, press):
                await until(lambda: feed.signs)
                assert set(feed.last.values()) == {"not_available"}
                assert press.last == {"force": "not_available", "Xabs": "address_refused"}
                await feeder.tell(1, "Xabs", "-0.125", "exec", "ACTIVE", "parts", 1207, "at", "1.5 -2 3")
                await feeder.tell(2, "msg", "A7", "door <open> & 门")
                await feeder.tell(3, "volts", 3, 100, "1 2.5 3")
                await feeder.tell(4, "vars", "a=1 b=2")
                await feeder.tell(5, "press:force", 42)
                await feeder.tell(6, "sys", "NORMAL", "", "", "", "")
                expected = {
                    "Xabs": -0.125, "exec": "ACTIVE", "parts": 1207, "at": "1.5 -2 3", "msg": "door <open> & 门",
                    "volts": "1 2.5 3", "vars": "undecodable", "sys": "NORMAL",
                }  # fmt: skip
                await until(lambda: feed.last == expected)
                await until(lambda: press.last["force"] == 42)
                times = {name: time for values, time, _ in feed.samples + press.samples for name in values}
                numbers = {"exec": 1, "parts": 1, "at": 1, "msg": 2, "volts": 3, "vars": 4, "force": 5, "sys": 6}
                assert {name: times[name] for name in numbers} == {name: moment(numbers[name]) for name in numbers}
                for text, time in (
                    ("2024-03-31T01:00:00Z", 1_711_846_800_000_000_000),
                    ("2024-03-31T01:00:00.5Z", 1_711_846_800_500_000_000),
                    ("2024-03-31T01:00:00.000001Z", 1_711_846_800_000_001_000),
                ):
                    await feeder.tell(text, "parts", text[-7:-1].strip("0:.") or "0", "exec", text)
                    await until(lambda text=text: feed.last["exec"] == text)
                    assert feed.samples[-1][1] == time
                await feeder.tell(7, "parts", "UNAVAILABLE")
                await until(lambda: feed.last["parts"] == "not_available")
                assert feed.samples[-1][1] == moment(7)
                feeder.hang_up()
                await until(lambda: set(feed.last.values()) == {"not_available"})
            assert not feed.faults

    run(work)


def test_conditions(run, kit, tmp_path):
    async def work():
        async with agent_at_work(tmp_path) as agent:
            made = kit.adapter(agent)
            tags = [kit.tag("a", "string", address="sys"), kit.tag("b", "uint8", address="l_sys")]
            feed = kit.feed(*tags, kit.tag("c", "bool", address="sys"), device="lathe")
            worst = []
            async with kit.subscribed(made, feed):
                await until(lambda: feed.signs)
                for number, (level, code, expected) in enumerate(
                    [
                        ("NORMAL", "", 0), ("WARNING", "W1", 1), ("FAULT", "E1", 2), ("FAULT", "E2", 2),
                        ("NORMAL", "E1", 2), ("WARNING", "E2", 1), ("NORMAL", "E2", 1), ("NORMAL", "W1", 0),
                        ("FAULT", "E3", 2), ("NORMAL", "", 0), ("FAULT", "E4", 2), ("WARNING", "W2", 2),
                    ],
                    1,
                ):  # fmt: skip
                    await agent.feeder.tell(number, "sys", level, code, "", "", f"{level} {code}")
                    worst.append(expected)
                    await until(lambda number=number: feed.samples[-1][1] == moment(number))
                assert feed.of("b", False)[1:] == worst
                assert feed.of("c", False)[1:] == [level == 2 for level in worst]
                assert feed.of("a", False)[1:] == [("NORMAL", "WARNING", "FAULT")[level] for level in worst]
            later = kit.feed(kit.tag("sys", "uint8"), device="lathe")
            async with kit.subscribed(made, later):
                await until(lambda: later.signs)
                assert later.last == {"sys": 2}, "two are active, of which the worse is told"
                await agent.feeder.tell(13, "sys", "NORMAL", "E4", "", "", "")
                await until(lambda: later.last == {"sys": 1})
                await agent.feeder.tell(14, "sys", "UNAVAILABLE", "", "", "", "")
                await until(lambda: later.last == {"sys": "not_available"})

    run(work)


@pytest.mark.parametrize(("count", "interval"), [(37, "0s"), (500, "100ms")])
def test_every_change_arrives_in_order(run, kit, tmp_path, count, interval):
    async def work():
        async with agent_at_work(tmp_path) as agent:
            lathe, press = counted(kit)
            async with kit.subscribed(kit.adapter(agent, count=count, interval=interval), lathe, press) as task:
                await until(lambda: lathe.signs and press.signs)
                await agent.feeder.count(CHANGES)
                await until(lambda: press.last["p_force"] == 2 * CHANGES, 30)
                assert not task.future.done()
            check(lathe, press, CHANGES)

    run(work, limit=60)


async def ended(kit, made, feeds, link, mischief):
    """A session that does its work until its link is cut."""
    async with kit.subscribed(made, *feeds) as task:
        signs = feeds[0].signs
        await until(lambda: feeds[0].signs > signs + 2, 20)
        if mischief is None:
            link.hang_up()
        else:
            link.next(mischief)
        with pytest.raises((LinkLost, OutOfStep, ProtocolFault)):
            await task.future


@pytest.mark.parametrize("mischief", [None, Mischief.CUT, Mischief.RESET, Mischief.STALL])
def test_a_cut_link_loses_nothing(run, kit, tmp_path, mischief):
    async def work():
        async with agent_at_work(tmp_path) as agent, ChaosLink(agent.port) as link:
            feeds = counted(kit)
            made = kit.adapter(link, count=100)
            async with kit.subscribed(made, *feeds):
                await until(lambda: feeds[0].signs)
            feeding = asyncio.create_task(agent.feeder.count(CHANGES, pause=0.001))
            for _ in range(4):
                await ended(kit, made, feeds, link, mischief)
                before = agent.feeder.told
                await until(lambda before=before: agent.feeder.told > min(before + 200, CHANGES - 1), 20)
            async with kit.subscribed(made, *feeds):
                await until(lambda: feeds[1].last["p_force"] == 2 * CHANGES, 30)
                assert feeds[0].settled[-1] is False
                assert feeds[0].settled.count(True) == 1, "when it began"
            await feeding
            check(*feeds, CHANGES)
            assert any(replayed for *_, replayed in feeds[0].samples)

    run(work, limit=60)


def test_what_the_buffer_has_no_more_is_a_gap(run, kit, tmp_path):
    async def work():
        async with agent_at_work(tmp_path, exponent=7) as agent:
            feeds = counted(kit)
            made = kit.adapter(agent, count=100)
            async with kit.subscribed(made, *feeds):
                await until(lambda: feeds[0].signs)
                await agent.feeder.count(10)
                await until(lambda: feeds[1].last["p_force"] == 20)
            check(*feeds, 10)
            await agent.feeder.count(300)
            await agent.has_read_all()
            later = counted(kit)
            async with kit.subscribed(made, *later):
                await until(lambda: later[0].signs)
                assert later[0].settled == [True]
                await agent.feeder.count(310)
                await until(lambda: later[1].last["p_force"] == 620)
            check(*later, 310, first=300)

    run(work)


def test_an_agent_that_is_killed_and_started_anew(run, kit, tmp_path):
    async def work():
        async with agent_at_work(tmp_path) as agent:
            feeds = counted(kit)
            made = kit.adapter(agent)

            async def until_killed():
                async with kit.subscribed(made, *feeds) as task:
                    await until(lambda: feeds[0].signs)
                    await agent.feeder.count(10)
                    await until(lambda: feeds[1].last["p_force"] == 20)
                    await agent.kill()
                    await task.future

            with pytest.raises(LinkLost):
                await until_killed()
            with pytest.raises(LinkLost):
                async with made.open():
                    raise AssertionError("nobody is there")
            check(*feeds, 10)
            instance = made._position.instance
            await agent.start()
            later = counted(kit)
            async with kit.subscribed(made, *later):
                await until(lambda: later[0].signs)
                assert made._position.instance != instance
                assert set(later[0].last.values()) == {"not_available"}
                assert later[0].settled == [True]
                await agent.feeder.count(20)
                await until(lambda: later[1].last["p_force"] == 40)
            found = [one for one in told(later[0], "parts") if one[0] != "not_available"]
            assert found == [(number, moment(number)) for number in range(11, 21)]

    run(work)


def test_silence_is_no_fault(run, kit, tmp_path):
    async def work():
        async with agent_at_work(tmp_path) as agent:
            feeds = counted(kit)
            async with kit.subscribed(kit.adapter(agent, heartbeat="200ms", timeout="500ms"), *feeds) as task:
                await until(lambda: feeds[0].signs)
                signs = feeds[0].signs
                await asyncio.sleep(3)
                assert feeds[0].signs - signs >= 10
                assert not task.future.done()
                await agent.feeder.count(1)
                await until(lambda: feeds[1].last["p_force"] == 2)
            check(*feeds, 1)

    run(work)


def test_what_it_refuses(run, kit, tmp_path):
    async def work():
        async with agent_at_work(tmp_path, exponent=7) as agent:
            async with kit.adapter(agent).open() as session:
                for path, query, words in (
                    ("/nothing", None, "INVALID_REQUEST"),
                    ("/sample", {"from": 9999}, "OUT_OF_RANGE: 'from'"),
                    ("/sample", {"count": 9999}, "OUT_OF_RANGE: 'count'"),
                ):
                    with pytest.raises(ProtocolFault, match=words):
                        await session.get(path, query)
            feeds = counted(kit)
            async with kit.subscribed(kit.adapter(agent, count=100_000), *feeds):
                await until(lambda: feeds[0].signs)
                await agent.feeder.count(10)
                await until(lambda: feeds[1].last["p_force"] == 20)
            check(*feeds, 10)

    run(work)


def test_overtaken_in_the_stream(run, kit, tmp_path):
    async def work():
        async with agent_at_work(tmp_path, exponent=7) as agent:
            feeds = counted(kit)
            made = kit.adapter(agent, interval="1s", timeout="5s")
            async with kit.subscribed(made, *feeds) as task:
                await until(lambda: feeds[0].signs > 1)
                await agent.feeder.count(500)
                with pytest.raises(LinkLost, match=r"cannot go on with the stream|has overwritten"):
                    await task.future
            later = counted(kit)
            async with kit.subscribed(made, *later):
                await until(lambda: later[0].signs)
                assert later[0].settled == [True]
                await agent.feeder.count(510)
                await until(lambda: later[1].last["p_force"] == 1020)
            check(*later, 510, first=500)

    run(work)


def test_overtaken_while_it_tells_again(run, kit, tmp_path):
    async def work():
        async with agent_at_work(tmp_path, exponent=7) as agent:
            made = kit.adapter(agent, count=5)
            before = counted(kit)
            async with kit.subscribed(made, *before):
                await until(lambda: before[0].signs)
            await agent.feeder.count(20)
            await agent.has_read_all()
            feeds = counted(kit)

            class Slow(list):
                async def room(self):
                    if feeds[0].of("parts", True) and agent.feeder.told == 20:
                        await agent.feeder.count(200)
                        await agent.has_read_all()

            async with made.open() as session:
                following = asyncio.ensure_future(session.subscribe(Slow(feeds)))
                await until(lambda: feeds[1].last.get("p_force") == 400)
                assert feeds[0].settled == feeds[1].settled == [True]
                following.cancel()
                await asyncio.wait([following])
            again = feeds[0].of("parts", True)
            assert again == list(range(1, len(again) + 1))
            assert len(again) < 20

    run(work)
